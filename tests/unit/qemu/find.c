/* SPDX-License-Identifier: Apache-2.0 */
/* Finding QEMU: programs that pretend to be one, of any version. */
#include "../test.h"
#include "base/path.h"
#include "qemu/qemu.h"
#include <signal.h>

static char *pretend(void **state, const char *name, const char *script)
{
	char *path = path_join(*state, name);
	struct error *e = NULL;

	assert_ok(file_write(path, script, strlen(script), 0700, &e), e);
	setenv("CROFT_QEMU", path, 1);
	setenv("CROFT_HOME", *state, 1);
	return path;
}

static void old_ones_are_named(void **state)
{
	_cleanup_free_ char *path = pretend(state, "old",
		"#!/bin/sh\necho x >> \"$0.calls\"\n"
		"echo '{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 1, \"minor\": 2, \"major\": 5}, \"package\": \"Debian\"}}}'\n");
	_cleanup_free_ char *calls = xasprintf("%s.calls", path);
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct error *e = NULL;
	struct qemu q;

	assert_int_equal(qemu_find("x86_64", &q, &e), -1);
	assert_non_null(strstr(e->hint, "qemu-system-x86"));
	assert_err(-1, e, ERR_FAILED, "is QEMU 5.2.1, Debian; croft needs at least 7.2");
	/* The answer is remembered: no second call. */
	assert_err(qemu_find("x86_64", &q, &e), e, ERR_FAILED, "5.2.1");
	assert_ok(file_read(calls, 100, &b, &e), e);
	assert_string_equal(b.data, "x\n");
}

static void new_ones_are_taken(void **state)
{
	_cleanup_free_ char *path = pretend(state, "new",
		"#!/bin/sh\ncase \"$*\" in *-sandbox*) echo 'no seccomp' >&2; exit 1;; esac\n"
		"echo '{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 0, \"minor\": 0, \"major\": 11}}}}'\n");
	struct error *e = NULL;
	_cleanup_qemu_ struct qemu q = { 0 };

	assert_ok(qemu_find("x86_64", &q, &e), e);
	assert_string_equal(q.path, path);
	assert_int_equal(q.major, 11);
	assert_false(q.sandbox);
}

static void others_are_refused(void **state)
{
	_cleanup_free_ char *path = pretend(state, "other", "#!/bin/sh\necho 'what?' >&2\n");
	struct error *e = NULL;
	struct qemu q;

	assert_err(qemu_find("x86_64", &q, &e), e, ERR_FAILED, "does not answer as QEMU does: what?");
	assert_ok(file_unlink(path, &e), e);
	setenv("CROFT_QEMU", "/no/such", 1);
	assert_err(qemu_find("x86_64", &q, &e), e, ERR_NOT_FOUND, "/no/such: QEMU is not installed");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(old_ones_are_named),
		cmocka_unit_test(new_ones_are_taken),
		cmocka_unit_test(others_are_refused),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, test_dir_setup, test_dir_teardown);
}
