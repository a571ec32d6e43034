/* SPDX-License-Identifier: Apache-2.0 */
#include "../test.h"
#include <errno.h>

static void context_goes_in_front(void **s)
{
	_cleanup_error_ struct error *e = NULL;
	_cleanup_free_ char *text = NULL;

	assert_int_equal(error_errno(&e, ENOENT, "/x/machine.json"), -1);
	assert_int_equal(error_wrap(&e, "machine %s", "sn"), -1);
	error_hint(&e, "create it");
	error_hint(&e, "a later hint does not replace the nearer one");
	text = error_text(e);
	assert_string_equal(text, "machine sn: /x/machine.json: No such file or directory; create it");
	assert_int_equal(e->cls, ERR_NOT_FOUND);
	assert_int_equal(e->code, ENOENT);
}

static void a_new_error_may_quote_the_old_one(void **s)
{
	_cleanup_error_ struct error *e = NULL;

	error_set(&e, ERR_FAILED, "first");
	error_set(&e, ERR_USAGE, "second after %s", e->msg);
	assert_string_equal(e->msg, "second after first");
	assert_int_equal(e->cls, ERR_USAGE);
}

static void full_disk_says_what_to_do(void **s)
{
	_cleanup_error_ struct error *e = NULL;

	error_errno(&e, ENOSPC, "disk");
	assert_non_null(strstr(e->hint, "make room"));
}

static void first_error_is_kept_by_move(void **s)
{
	_cleanup_error_ struct error *e = NULL;
	struct error *f = NULL;

	error_set(&f, ERR_FAILED, "one");
	error_move(&e, &f);
	assert_null(f);
	error_set(&f, ERR_FAILED, "two");
	error_move(&e, &f);
	assert_null(f);
	assert_string_equal(e->msg, "one");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(context_goes_in_front),
		cmocka_unit_test(a_new_error_may_quote_the_old_one),
		cmocka_unit_test(full_disk_says_what_to_do),
		cmocka_unit_test(first_error_is_kept_by_move),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
