/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include "cli/cli.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The parser's own small program: what real commands there are is not its matter. */
static int nothing(const struct cmd_args *a, struct error **err)
{
	return 0;
}

static const struct opt make_opts[] = {
	{ 'n', "name", OPT_STRING, "NAME", "", NULL },
	{ 'd', "disk", OPT_LIST, "SIZE", "", NULL },
	{ 'f', "force", OPT_FLAG, NULL, "", NULL },
	{ 0, "net", OPT_STRING, "NET", "", "user|none" },
	OPT_END,
};
static const struct command vm_make = { .path = "vm make", .opts = make_opts, .min_words = 1, .max_words = 2, .run = nothing };
static const struct command vm_exec = { .path = "vm exec", .opts = make_opts, .min_words = 2, .max_words = -1,
	.passthrough = true, .run = nothing };
static const struct command group_list = { .path = "group list", .max_words = 0, .run = nothing };
static const struct command group_up = { .path = "group NAME up", .min_words = 1, .max_words = 1, .run = nothing };
static const struct command group_run = { .path = "group NAME run", .min_words = 3, .max_words = -1, .passthrough = true,
	.opts = make_opts, .run = nothing };
const struct command *const commands[] = { &vm_make, &vm_exec, &group_list, &group_up, &group_run, NULL };

/* Theirs are in cli.c and table.c, which need the rest of croft. */
const char *cli_program = "croft";
enum format cli_format = FORMAT_TABLE;

#define PARSE(a, err, ...) args_parse(a, (const char *const[]){ __VA_ARGS__, NULL }, err)

static void fails(const char *want, const char *const *argv)
{
	_cleanup_args_ struct cmd_args a = { 0 };
	_cleanup_error_ struct error *err = NULL;
	char *text;

	assert_int_equal(args_parse(&a, argv, &err), -1);
	assert_int_equal(err->cls, ERR_USAGE);
	text = error_text(err);
	if (!strstr(text, want))
		fail_msg("'%s' is not in '%s'", want, text);
	free(text);
}
#define FAILS(want, ...) fails(want, (const char *const[]){ __VA_ARGS__, NULL })

static void test_options(void **state)
{
	_cleanup_args_ struct cmd_args a = { 0 };
	_cleanup_error_ struct error *err = NULL;

	assert_int_equal(PARSE(&a, &err, "vm", "make", "-fn", "x", "w1", "--disk=1G", "-d2G", "-d", "3G", "--net", "user",
				 "--", "--w2"),
		0);
	assert_ptr_equal(a.cmd, &vm_make);
	assert_true(arg_flag(&a, "force"));
	assert_string_equal(arg_str(&a, "name"), "x");
	assert_int_equal(arg_list(&a, "disk")->len, 3);
	assert_string_equal(arg_list(&a, "disk")->v[1], "2G");
	assert_string_equal(arg_str(&a, "disk"), "3G");
	assert_int_equal(arg_words(&a)->len, 2);
	assert_string_equal(arg_words(&a)->v[1], "--w2");
	assert_null(arg_str(&a, "nothing"));
}

static void test_abbreviated(void **state)
{
	_cleanup_args_ struct cmd_args a = { 0 };
	_cleanup_error_ struct error *err = NULL;

	assert_int_equal(PARSE(&a, &err, "vm", "make", "--di", "1", "--nam=y", "w"), 0);
	assert_string_equal(arg_str(&a, "name"), "y");
	FAILS("--name, --net", "vm", "make", "--n=1", "w");
}

static void test_empty_value_is_a_value(void **state)
{
	_cleanup_args_ struct cmd_args a = { 0 };
	_cleanup_error_ struct error *err = NULL;

	assert_int_equal(PARSE(&a, &err, "vm", "make", "--name=", ""), 0);
	assert_string_equal(arg_str(&a, "name"), "");
	assert_int_equal(arg_words(&a)->len, 1);
}

static void test_passthrough(void **state)
{
	_cleanup_args_ struct cmd_args a = { 0 }, b = { 0 }, c = { 0 };
	_cleanup_error_ struct error *err = NULL;

	assert_int_equal(PARSE(&a, &err, "vm", "exec", "m", "ls", "-l", "--", "--name"), 0);
	assert_int_equal(arg_words(&a)->len, 5);
	assert_string_equal(arg_words(&a)->v[3], "--");
	assert_int_equal(PARSE(&b, &err, "vm", "exec", "m", "-f", "--", "-x", "--"), 0);
	assert_true(arg_flag(&b, "force"));
	assert_string_equal(arg_words(&b)->v[1], "-x");
	assert_int_equal(arg_words(&b)->len, 3);
	assert_int_equal(PARSE(&c, &err, "group", "g", "run", "node", "ls", "-l"), 0);
	assert_int_equal(arg_words(&c)->len, 4);
	assert_string_equal(arg_words(&c)->v[0], "g");
	assert_string_equal(arg_words(&c)->v[3], "-l");
}

static void test_paths(void **state)
{
	_cleanup_args_ struct cmd_args a = { 0 }, b = { 0 };
	_cleanup_error_ struct error *err = NULL;

	assert_int_equal(PARSE(&a, &err, "group", "list"), 0);
	assert_ptr_equal(a.cmd, &group_list);
	assert_int_equal(PARSE(&b, &err, "group", "2zone_sn", "up"), 0);
	assert_ptr_equal(b.cmd, &group_up);
	assert_string_equal(arg_words(&b)->v[0], "2zone_sn");
	FAILS("did you mean 'make'?", "vm", "maek", "x");
	FAILS("did you mean 'vm'?", "wm");
	FAILS("did you mean 'up'?", "group", "g", "upp");
	FAILS("a word is missing: up, run", "group", "g");
	FAILS("a word is missing", "vm");
}

static void test_wrong(void **state)
{
	FAILS("an argument is missing", "vm", "make");
	FAILS("unexpected argument 'c'", "vm", "make", "a", "b", "c");
	FAILS("needs a value", "vm", "make", "a", "--name");
	FAILS("needs a value", "vm", "make", "a", "-n");
	FAILS("takes no value", "vm", "make", "--force=yes", "a");
	FAILS("unknown option -z", "vm", "make", "-fz", "a");
	FAILS("did you mean --force?", "vm", "make", "--froce", "a");
	FAILS("'lan' is none of user|none", "vm", "make", "--net", "lan", "a");
	FAILS("unknown option --", "--=x");
}

static void test_global(void **state)
{
	_cleanup_args_ struct cmd_args a = { 0 }, b = { 0 }, c = { 0 };
	_cleanup_error_ struct error *err = NULL;

	assert_int_equal(PARSE(&a, &err, "--format", "json", "vm", "make", "x", "-v"), 0);
	assert_int_equal(cli_format, FORMAT_JSON);
	assert_int_equal(log_level, LOG_DEBUG);
	assert_int_equal(PARSE(&b, &err, "vm", "make", "--help"), 0);
	assert_true(b.help);
	assert_ptr_equal(b.cmd, &vm_make);
	assert_int_equal(PARSE(&c, &err, "vm", "-h"), 0);
	assert_null(c.cmd);
	assert_int_equal(arg_words(&c)->len, 1);
	FAILS("is none of table|json|yaml", "--format=xml");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_abbreviated),
		cmocka_unit_test(test_empty_value_is_a_value),
		cmocka_unit_test(test_passthrough),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_global),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
