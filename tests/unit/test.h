/* SPDX-License-Identifier: Apache-2.0 */
/* What every unit test includes: cmocka with the headers it wants before it, and a scratch directory. */
#ifndef CROFT_TESTS_UNIT_TEST_H
#define CROFT_TESTS_UNIT_TEST_H

#undef NDEBUG
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/file.h"
#include "base/mem.h"

/* For a test that cannot run here: it says so and passes. cmocka writes what its skip() skips as "not ok", a failure for meson. */
#define skip_test(why)                                                                             \
	do {                                                                                       \
		fprintf(stderr, "skipped: %s\n", why);                                             \
		return;                                                                            \
	} while (0)

/* Fails the test with the error's text when rc is not 0. */
#define assert_ok(rc, err)                                                                         \
	do {                                                                                       \
		if ((rc) != 0)                                                                     \
			fail_msg("%s: %s", #rc, (err) ? (err)->msg : "no error set");              \
		assert_null(err);                                                                  \
	} while (0)
/* rc is -1, the class fits and the message holds `part`; the error is cleared. */
#define assert_err(rc, err, want_cls, part)                                                        \
	do {                                                                                       \
		assert_int_equal((rc), -1);                                                        \
		assert_non_null(err);                                                              \
		if ((err)->cls != (want_cls) || !strstr((err)->msg, (part)))                       \
			fail_msg("class %d, '%s'; wanted %d, '%s'", (err)->cls, (err)->msg,        \
				(want_cls), (part));                                               \
		error_clear(&(err));                                                               \
	} while (0)

/* Outlives the test program: one that was ended in the middle leaves neither processes that have dir in their arguments nor dir. */
static inline int test_dir_watch(const char *dir)
{
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0 || (pid = fork()) < 0)
		return -1;
	if (pid == 0) {
		int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

		setsid();
		if (dup2(ends[0], 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0)
			_exit(1);
		execlp("sh", "sh", "-c",
			"cat; [ -d \"$0\" ] || exit 0; for p in /proc/[0-9]*; do [ $p != /proc/$$ ] && grep -qF -- \"$0\" $p/cmdline && kill -9 ${p#/proc/}; done; "
			"rm -rf \"$0\"", dir, NULL);
		_exit(127);
	}
	close(ends[0]); /* the other end is open as long as the test lives */
	return 0;
}

/* A fresh directory whose name has a space and UTF-8 in it; as group setup with test_dir_teardown. */
static inline int test_dir_setup(void **state)
{
	char *outer = xstrdup("/tmp/croft-test-XXXXXX");

	if (!mkdtemp(outer) || test_dir_watch(outer) < 0)
		return -1;
	*state = xasprintf("%s/döner dir", outer);
	free(outer);
	return mkdir(*state, 0700);
}

static inline int test_dir_teardown(void **state)
{
	struct error *e = NULL;
	char *dir = *state;

	*strrchr(dir, '/') = '\0';
	file_remove_tree(dir, &e);
	error_clear(&e);
	free(dir);
	return 0;
}

#endif
