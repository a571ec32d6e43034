/* SPDX-License-Identifier: Apache-2.0 */
#include "../test.h"
#include "base/buf.h"
#include "base/map.h"
#include "base/strv.h"

static void buf_grows_and_stays_a_string(void **s)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	assert_string_equal(buf_str(&b), "");
	for (int i = 0; i < 1000; i++)
		buf_addf(&b, "%d,", i);
	assert_int_equal(b.len, 3890);
	assert_int_equal(strlen(b.data), b.len);
	buf_consume(&b, 3886);
	assert_string_equal(b.data, "999,");
	buf_add(&b, "a\0b", 3);
	assert_int_equal(b.len, 7);
	buf_consume(&b, 100);
	assert_int_equal(b.len, 0);
	assert_string_equal(b.data, "");
}

static void strv_is_an_argv(void **s)
{
	_cleanup_strv_ struct strv l = STRV_INIT;
	_cleanup_free_ char *joined = NULL;

	strv_split(&l, " b  a,c ", " ,");
	assert_int_equal(l.len, 3);
	assert_null(l.v[3]);
	strv_sort(&l);
	joined = strv_join(&l, "+");
	assert_string_equal(joined, "a+b+c");
	assert_true(strv_has(&l, "b"));
	assert_false(strv_has(&l, ""));
}

static void map_keeps_order_through_growth_and_removal(void **s)
{
	_cleanup_map_ struct map m = { .free_value = free };
	char key[16], last[16] = "";
	size_t n = 0;

	for (int i = 0; i < 2000; i++) {
		snprintf(key, sizeof(key), "k%04d", i);
		map_set(&m, key, xasprintf("%d", i));
	}
	for (int i = 0; i < 2000; i += 2) {
		snprintf(key, sizeof(key), "k%04d", i);
		assert_true(map_remove(&m, key));
		assert_false(map_remove(&m, key));
	}
	map_set(&m, "k0001", xstrdup("new"));
	assert_string_equal(map_get(&m, "k0001"), "new");
	assert_null(map_get(&m, "k0002"));
	MAP_FOR(&m, it)
	{
		assert_true(strcmp(last, it->key) < 0);
		snprintf(last, sizeof(last), "%s", it->key);
		n++;
	}
	assert_int_equal(n, 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buf_grows_and_stays_a_string),
		cmocka_unit_test(strv_is_an_argv),
		cmocka_unit_test(map_keeps_order_through_growth_and_removal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
