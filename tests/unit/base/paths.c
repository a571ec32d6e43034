/* SPDX-License-Identifier: Apache-2.0 */
#include "../test.h"
#include "base/path.h"

static void arithmetic(void **s)
{
	static const struct {
		const char *a, *b, *want;
	} joins[] = { { "/a", "b", "/a/b" }, { "/a/", "b", "/a/b" }, { "a", "/b", "/b" }, { "", "b", "b" } };

	for (size_t i = 0; i < ARRAY_SIZE(joins); i++) {
		_cleanup_free_ char *p = path_join(joins[i].a, joins[i].b);

		assert_string_equal(p, joins[i].want);
	}
	{
		_cleanup_free_ char *a = path_dirname("/x/y"), *b = path_dirname("/x"), *c = path_dirname("x");

		assert_string_equal(a, "/x");
		assert_string_equal(b, "/");
		assert_string_equal(c, ".");
	}
	assert_string_equal(path_basename("/x/y"), "y");
	assert_string_equal(path_basename("y"), "y");
}

static void places(void **s)
{
	setenv("CROFT_HOME", "/tmp/my home", 1);
	unsetenv("CROFT_CACHE");
	{
		_cleanup_free_ char *d = path_data("machines"), *c = path_cache(NULL);

		assert_string_equal(d, "/tmp/my home/machines");
		assert_string_equal(c, "/tmp/my home/cache");
	}
	unsetenv("CROFT_HOME");
	setenv("HOME", "/h", 1);
	setenv("XDG_DATA_HOME", "relative/is/ignored", 1);
	setenv("XDG_CACHE_HOME", "/c", 1);
	{
		_cleanup_free_ char *d = path_data(NULL), *c = path_cache("x");

		assert_string_equal(d, "/h/.local/share/croft");
		assert_string_equal(c, "/c/croft/x");
	}
}

static void names(void **s)
{
	static const char *const good[] = { "sn", "alice-ood1", "A.b_c", "0" };
	static const char *const bad[] = { "", ".hidden", "-x", "a/b", "a b", "ä", "a\n", "..",
		"12345678901234567890123456789012345678901234567890123456789012345" };
	struct error *e = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_ok(name_check("machine", good[i], &e), e);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_err(name_check("machine", bad[i], &e), e, ERR_USAGE, "machine");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arithmetic),
		cmocka_unit_test(places),
		cmocka_unit_test(names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
