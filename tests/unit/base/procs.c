/* SPDX-License-Identifier: Apache-2.0 */
#include "../test.h"
#include "base/path.h"
#include "base/proc.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#define ARGV(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void output_and_status(void **s)
{
	_cleanup_buf_ struct buf out = BUF_INIT, errout = BUF_INIT;
	struct error *e = NULL;

	assert_ok(proc_run(ARGV("sh", "-c", "echo out; echo err >&2"), 10000, &out, &errout, &e), e);
	assert_string_equal(out.data, "out\n");
	assert_string_equal(errout.data, "err\n");
	assert_err(proc_run(ARGV("sh", "-c", "echo why >&2; exit 3"), 10000, NULL, NULL, &e), e, ERR_FAILED,
		"sh exited with status 3: why");
	assert_err(proc_run(ARGV("sh", "-c", "kill -SEGV $$"), 10000, NULL, NULL, &e), e, ERR_FAILED,
		"killed by SIGSEGV");
	assert_err(proc_run(ARGV("no-such-program"), 10000, NULL, NULL, &e), e, ERR_NOT_FOUND, "no-such-program");
}

static void failure_of_exec_is_an_error(void **state)
{
	_cleanup_free_ char *p = path_join(*state, "not a program");
	struct error *e = NULL;

	assert_ok(file_write(p, "\177ELF junk", 9, 0700, &e), e);
	assert_int_equal(proc_run(ARGV(p), 10000, NULL, NULL, &e), -1);
	assert_int_equal(e->code, ENOEXEC);
	error_clear(&e);
}

static void timeouts_end_the_whole_group(void **state)
{
	_cleanup_free_ char *mark = path_join(*state, "pid");
	_cleanup_free_ char *script = xasprintf("sleep 1000 & echo $! > '%s'; wait", mark);
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct error *e = NULL;
	int pid;

	assert_err(proc_run(ARGV("sh", "-c", script), 1500, NULL, NULL, &e), e, ERR_TIMEOUT, "sh");
	assert_ok(file_read(mark, 20, &b, &e), e);
	pid = atoi(b.data);
	assert_true(pid > 1);
	for (int i = 0; i < 500 && kill(pid, 0) == 0; i++) {
		struct proc_id id;

		if (proc_id_of(pid, &id, &e) < 0 || !proc_id_alive(&id))
			break;
		usleep(10000);
		assert_int_not_equal(i, 499);
	}
	error_clear(&e);
}

static void no_descriptor_leaks_into_children(void **s)
{
	_cleanup_buf_ struct buf out = BUF_INIT;
	struct error *e = NULL;
	int plain = open("/dev/zero", O_RDONLY); /* no CLOEXEC, on purpose */

	assert_ok(proc_run(ARGV("sh", "-c", "ls /proc/$$/fd"), 10000, &out, NULL, &e), e);
	close(plain);
	assert_string_equal(out.data, "0\n1\n2\n");
}

static void kept_descriptors_and_cwd_arrive(void **s)
{
	_cleanup_proc_ struct proc p = PROC_INIT;
	struct error *e = NULL;
	int pipefd[2], status;
	char got[16] = "";

	assert_int_equal(pipe2(pipefd, O_CLOEXEC), 0);
	assert_int_equal(fcntl(pipefd[1], F_DUPFD_CLOEXEC, 40), 40);
	assert_ok(proc_spawn(&(struct proc_opts){ .argv = ARGV("sh", "-c", "pwd >&9; test \"$X\" = 'a b' || exit 1"),
			  .cwd = "/usr", .env = ARGV("X=a b"), .keep_fds = (int[]){ dup2(40, 9) }, .nkeep_fds = 1 },
			  &p, &e),
		e);
	assert_ok(proc_wait(&p, 10000, &status, &e), e);
	assert_int_equal(status, 0);
	assert_int_equal(read(pipefd[0], got, sizeof(got) - 1), 5);
	assert_string_equal(got, "/usr\n");
	close(pipefd[0]);
	close(pipefd[1]);
	close(40);
	close(9);
}

static void a_pid_alone_is_no_identity(void **state)
{
	_cleanup_free_ char *file = path_join(*state, "id");
	struct proc_id id, other;
	struct error *e = NULL;
	int fd;

	assert_ok(proc_id_of(getpid(), &id, &e), e);
	assert_ok(proc_id_write(file, &id, &e), e);
	assert_ok(proc_id_read(file, &other, &e), e);
	assert_true(proc_id_alive(&other));
	fd = proc_id_open(&other);
	assert_true(fd >= 0);
	close(fd);
	other.start++;
	assert_false(proc_id_alive(&other));
	assert_int_equal(proc_id_open(&other), -1);
	other.start--;
	other.boot[0] ^= 1;
	assert_false(proc_id_alive(&other));
	assert_ok(file_write(file, "123\n", 4, 0600, &e), e);
	assert_err(proc_id_read(file, &other, &e), e, ERR_FAILED, "not a pid file");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(output_and_status),
		cmocka_unit_test(failure_of_exec_is_an_error),
		cmocka_unit_test(timeouts_end_the_whole_group),
		cmocka_unit_test(no_descriptor_leaks_into_children),
		cmocka_unit_test(kept_descriptors_and_cwd_arrive),
		cmocka_unit_test(a_pid_alone_is_no_identity),
	};

	return cmocka_run_group_tests(tests, test_dir_setup, test_dir_teardown);
}
