/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/settings.h"
#include "../test.h"

static void put(const char *path, const char *text)
{
	struct error *err = NULL;

	assert_ok(file_writef(path, 0600, &err, "%s", text), err);
}

static int setup(void **state)
{
	struct error *err = NULL;
	char *own;

	if (test_dir_setup(state) < 0 || chdir(*state) < 0)
		return -1;
	own = xasprintf("%s/croft", (char *)*state);
	if (file_mkdirs(own, 0700, &err) < 0)
		return -1;
	free(own);
	setenv("XDG_CONFIG_HOME", *state, 1);
	unsetenv("CROFT_HOME");
	unsetenv("CROFT_MEMORY");
	unsetenv("CROFT_IMAGE_DEFAULT");
	return 0;
}

static void test_layers(void **state)
{
	static const char *const options[] = { "cpus=4", NULL };
	struct error *err = NULL;

	put("croft/croft.yaml", "memory: 1G\ncpus: 2\nimage:\n  default: own\n");
	put("croft.yaml", "# here\nmemory: 2G\n");
	assert_ok(settings_load(NULL, &err), err);
	assert_string_equal(settings_get("memory"), "2G");
	assert_string_equal(settings_origin("memory"), "croft.yaml:2");
	assert_string_equal(settings_get("image.default"), "own");
	assert_non_null(strstr(settings_origin("image.default"), "croft/croft.yaml:4"));
	assert_string_equal(settings_origin("release"), "default");
	assert_true(settings_number("stop_timeout") == 60000);
	setenv("CROFT_IMAGE_DEFAULT", "env", 1);
	assert_ok(settings_load(options, &err), err);
	assert_string_equal(settings_get("image.default"), "env");
	assert_string_equal(settings_origin("image.default"), "CROFT_IMAGE_DEFAULT");
	assert_int_equal(settings_number("cpus"), 4);
	assert_string_equal(settings_origin("cpus"), "option");
	unsetenv("CROFT_IMAGE_DEFAULT");
}

static void test_wrong(void **state)
{
	static const char *const options[] = { "acel=tcg", NULL };
	struct error *err = NULL;

	put("croft.yaml", "memory: 3G\n");
	assert_ok(settings_load(NULL, &err), err);
	put("croft.yaml", "a: 1\n");
	assert_err(settings_load(NULL, &err), err, ERR_USAGE, "croft.yaml:1:1: unknown setting 'a'");
	/* What was loaded before stays. */
	assert_string_equal(settings_get("memory"), "3G");
	put("croft.yaml", "memory: much\n");
	assert_err(settings_load(NULL, &err), err, ERR_USAGE, "croft.yaml:1");
	put("croft.yaml", "accel: warp\n");
	assert_err(settings_load(NULL, &err), err, ERR_USAGE, "'warp' is none of");
	put("croft.yaml", "memory: [1]\n");
	assert_err(settings_load(NULL, &err), err, ERR_USAGE, "a single value is needed");
	put("croft.yaml", "cpus: 1\n");
	assert_int_equal(settings_load(options, &err), -1);
	assert_non_null(strstr(err->hint, "'accel'"));
	error_clear(&err);
	settings_free();
	assert_string_equal(settings_get("memory"), "512M");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_layers), cmocka_unit_test(test_wrong) };

	return cmocka_run_group_tests(tests, setup, test_dir_teardown);
}
