/* SPDX-License-Identifier: Apache-2.0 */
#include "../test.h"
#include "base/path.h"
#include "base/proc.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

static void write_replaces_whole(void **state)
{
	_cleanup_free_ char *p = path_join(*state, "a file");
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct error *e = NULL;
	struct stat st;

	assert_ok(file_write(p, "first and longer", 16, 0640, &e), e);
	assert_ok(file_write(p, "second", 6, 0600, &e), e);
	assert_ok(file_read(p, 100, &b, &e), e);
	assert_string_equal(b.data, "second");
	assert_int_equal(stat(p, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_err(file_read(p, 5, &b, &e), e, ERR_FAILED, "larger than the 5 bytes");
	assert_err(file_read("/nonexistent/x", 5, &b, &e), e, ERR_NOT_FOUND, "/nonexistent/x");
}

static const char *self; /* not /proc/self/exe, which is valgrind's when that runs us */

/* In a new process, since the hook reads CROFT_FAULT once; returns its wait status. */
static int write_with_fault(const char *path, const char *fault)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		setenv("CROFT_FAULT", fault, 1);
		execl(self, "files", "--write", path, NULL);
		_exit(99);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static int write_once(const char *path)
{
	struct error *e = NULL;
	int rc = file_write(path, "new", 3, 0600, &e) == 0 ? 0 : e->code == ENOSPC ? 10 : 11;

	error_clear(&e);
	return rc;
}

static void any_fault_leaves_old_or_new(void **state)
{
	_cleanup_free_ char *p = path_join(*state, "swept");

	for (int n = 1;; n++) {
		_cleanup_free_ char *full = xasprintf("any:%d:ENOSPC", n), *die = xasprintf("any:%d:die", n);
		struct error *e = NULL;
		int status;

		assert_ok(file_write(p, "old", 3, 0600, &e), e);
		status = write_with_fault(p, full);
		if (WEXITSTATUS(status) == 0) {
			assert_int_equal(n, 5); /* write, fsync, rename, fsync of the directory, none */
			break;
		}
		assert_int_equal(WEXITSTATUS(status), 10);
		status = write_with_fault(p, die);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		{
			_cleanup_buf_ struct buf b = BUF_INIT;

			assert_ok(file_read(p, 100, &b, &e), e);
			assert_string_equal(b.data, n <= 3 ? "old" : "new");
		}
	}
}

static void trees_go_away_and_links_are_not_followed(void **state)
{
	_cleanup_free_ char *deep = path_join(*state, "t/a/b/c"), *top = path_join(*state, "t");
	_cleanup_free_ char *link = path_join(*state, "t/a/link"), *keep = path_join(*state, "keep");
	struct error *e = NULL;

	assert_ok(file_mkdirs(deep, 0700, &e), e);
	assert_ok(file_mkdirs(deep, 0700, &e), e);
	assert_ok(file_write(keep, "x", 1, 0600, &e), e);
	assert_int_equal(symlink(*state, link), 0);
	assert_ok(file_remove_tree(top, &e), e);
	assert_ok(file_remove_tree(top, &e), e);
	assert_false(file_exists(top));
	assert_true(file_exists(keep));
	{
		_cleanup_free_ char *below = path_join(keep, "sub/dir");

		assert_err(file_mkdirs(below, 0700, &e), e, ERR_FAILED, "cannot make the folder");
	}
}

static void copies_keep_holes(void **state)
{
	_cleanup_free_ char *from = path_join(*state, "sparse"), *to = path_join(*state, "copy");
	_cleanup_close_ int fd = open(from, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct error *e = NULL;
	struct stat st;

	assert_int_equal(pwrite(fd, "head", 4, 0), 4);
	assert_int_equal(pwrite(fd, "tail", 4, (off_t)30 << 20), 4);
	assert_ok(file_copy(from, to, 0600, &e), e);
	assert_int_equal(stat(to, &st), 0);
	assert_int_equal(st.st_size, ((off_t)30 << 20) + 4);
	assert_true(st.st_blocks * 512 < 1 << 20);
	assert_ok(file_read(to, 64 << 20, &b, &e), e);
	assert_memory_equal(b.data, "head", 4);
	assert_memory_equal(b.data + (30 << 20), "tail", 4);
	assert_int_equal(file_copy(from, to, 0600, &e), -1);
	assert_int_equal(e->code, EEXIST);
	error_clear(&e);
}

static void locks_name_the_holder_and_die_with_it(void **state)
{
	_cleanup_free_ char *p = path_join(*state, "lock"), *me = xasprintf("process %d", (int)getpid());
	struct error *e = NULL;
	int a = file_lock(p, true, 0, &e);

	assert_true(a >= 0);
	assert_err(file_lock(p, true, 0, &e), e, ERR_STATE, me);
	assert_err(file_lock(p, true, 50, &e), e, ERR_STATE, "in use");
	close(a);
	a = file_lock(p, true, 0, &e);
	assert_true(a >= 0);
	close(a);
}

static void sockets_work_below_long_paths(void **state)
{
	_cleanup_buf_ struct buf path = BUF_INIT;
	_cleanup_close_ int l = -1, c = -1;
	struct error *e = NULL;
	struct stat st;

	buf_adds(&path, *state);
	for (int i = 0; i < 4; i++)
		buf_adds(&path, "/a-folder-with-quite-a-long-name-in-it");
	assert_ok(file_mkdirs(path.data, 0700, &e), e);
	buf_adds(&path, "/x.sock");
	l = unix_listen(path.data, 1, &e);
	assert_true(l >= 0);
	assert_int_equal(stat(path.data, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	c = unix_connect(path.data, &e);
	assert_true(c >= 0);
	close(l);
	l = unix_listen(path.data, 1, &e); /* over the stale one */
	assert_true(l >= 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(write_replaces_whole),
		cmocka_unit_test(any_fault_leaves_old_or_new),
		cmocka_unit_test(trees_go_away_and_links_are_not_followed),
		cmocka_unit_test(copies_keep_holes),
		cmocka_unit_test(locks_name_the_holder_and_die_with_it),
		cmocka_unit_test(sockets_work_below_long_paths),
	};

	self = argv[0];
	if (argc == 3)
		return write_once(argv[2]);
	return cmocka_run_group_tests(tests, test_dir_setup, test_dir_teardown);
}
