/* SPDX-License-Identifier: Apache-2.0 */
/* Several stores: read from all, written to the first that allows it. */
#include "common.h"
#include "base/strv.h"
#include "conf/settings.h"

static void read_from_all_written_to_the_first(void **state)
{
	_cleanup_free_ char *own = path_join(*state, "own"), *shared = path_join(*state, "shared"), *in = NULL, *text = NULL;
	_cleanup_free_ char *file = path_join(*state, "in/none");
	_cleanup_strv_ struct strv dirs = STRV_INIT, odd = STRV_INIT;
	struct store_put_result r;
	struct error *e = NULL;
	struct store *s = fresh_store(*state, "shared");

	in = make_file(*state, "in", (const uint8_t *)"low", 3);
	put(s, "low", in, &r);
	store_close(s);
	text = xasprintf("%s:%s", own, shared);
	assert_int_equal(setenv("CROFT_STORES", text, 1), 0);
	assert_ok(settings_load(NULL, &e), e);
	store_dirs(&dirs);
	assert_int_equal(dirs.len, 2);
	/* the first is not there yet: found in the second, made by the first put */
	s = store_open_with(&dirs, "low", &e);
	assert_non_null(s);
	get_is(s, *state, "low", (const uint8_t *)"low", 3);
	store_close(s);
	s = store_open_writable(&dirs, 0, &e);
	assert_non_null(s);
	put(s, "up", in, &r);
	assert_int_equal(r.fresh > 0, 1); /* it relies on nothing in the other */
	store_close(s);
	s = store_open_with(&dirs, "low", &e);
	get_is(s, *state, "low", (const uint8_t *)"low", 3);
	store_close(s);
	s = store_open_with(&dirs, r.object, &e);
	get_is(s, *state, "up", (const uint8_t *)"low", 3);
	store_close(s);
	s = store_open_with(&dirs, "nobody", &e);
	assert_non_null(s);
	assert_err(store_size(s, "nobody", &(uint64_t){ 0 }, &e), e, ERR_NOT_FOUND, "nothing is named 'nobody'");
	store_close(s);
	/* what cannot be made for another reason than a lack of rights is an error */
	strv_add(&odd, file);
	strv_add(&odd, shared);
	assert_null(store_open_writable(&odd, 0, &e));
	assert_err(-1, e, ERR_FAILED, "in");
	unsetenv("CROFT_STORES");
	settings_free();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(read_from_all_written_to_the_first),
	};

	return cmocka_run_group_tests(tests, test_dir_setup, test_dir_teardown);
}
