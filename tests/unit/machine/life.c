/* SPDX-License-Identifier: Apache-2.0 */
/* Machines on disk, without any QEMU: made wholly or not at all, found, told apart, removed without a trace. */
#include "../test.h"
#include "base/path.h"
#include "base/proc.h"
#include "machine/machine.h"
#include <dirent.h>

#define MIB (1u << 20)

static int setup(void **state)
{
	if (test_dir_setup(state) < 0)
		return -1;
	return setenv("CROFT_HOME", *state, 1);
}

static int make(const char *name, uint64_t size, struct error **err)
{
	_cleanup_(machine_def_clear) struct machine_def d;

	machine_def_init(&d);
	d.name = xstrdup(name);
	d.disks = xcalloc(1, sizeof(*d.disks));
	d.disks[d.ndisks++] = (struct machine_disk){ .size = size, .boot = -1 };
	return machine_create(&d, err);
}

static int entries(const char *sub)
{
	_cleanup_free_ char *dir = path_data(sub);
	_cleanup_closedir_ DIR *d = opendir(dir);
	int n = 0;

	while (d && readdir(d))
		n++;
	return d ? n - 2 : -1;
}

static void names_are_taken_once(void **state)
{
	_cleanup_strv_ struct strv names = STRV_INIT;
	_cleanup_free_ char *all = NULL;
	struct error *e = NULL;

	assert_ok(make("b", MIB, &e), e);
	assert_ok(make("g/a", MIB, &e), e);
	assert_err(make("b", MIB, &e), e, ERR_STATE, "machine b: a machine of that name exists");
	assert_err(make("g", MIB, &e), e, ERR_STATE, "a group of that name exists");
	assert_err(make("b/x", MIB, &e), e, ERR_STATE, "'b' is a machine, not a group");
	assert_err(make("../x", MIB, &e), e, ERR_USAGE, "group '..'");
	assert_err(make("a/b/c", MIB, &e), e, ERR_USAGE, "'b/c'");
	assert_ok(machine_names(NULL, &names, &e), e);
	all = strv_join(&names, " ");
	assert_string_equal(all, "b g/a");
	assert_null(machine_open("g/aa", &e));
	assert_string_equal(e->hint, "did you mean 'g/a'?");
	assert_err(-1, e, ERR_NOT_FOUND, "g/aa");
	assert_ok(machine_remove("b", false, &e), e);
	assert_ok(machine_remove("g/a", false, &e), e);
	assert_int_equal(entries("machines"), 0);
	assert_err(machine_remove("b", true, &e), e, ERR_NOT_FOUND, "b");
}

static void failed_creation_leaves_nothing(void **state)
{
	struct error *e = NULL;

	assert_err(make("x", (uint64_t)1 << 52, &e), e, ERR_USAGE, "machine x: disk 0");
	assert_int_equal(entries("machines"), 0);
}

static void dead_creators_are_cleared_away(void **state)
{
	_cleanup_free_ char *left = NULL, *file = NULL;
	struct error *e = NULL;
	struct proc p = PROC_INIT;
	int status;

	/* the pid of a process that is gone */
	assert_ok(proc_spawn(&(struct proc_opts){ .argv = (const char *const[]){ "true", NULL } }, &p, &e), e);
	left = xasprintf("%s/machines/.tmp-%d-y", (const char *)*state, (int)p.pid);
	assert_ok(proc_wait(&p, 10000, &status, &e), e);
	proc_release(&p);
	assert_ok(file_mkdirs(left, 0700, &e), e);
	file = path_join(left, "machine.json");
	assert_ok(file_write(file, "{", 1, 0600, &e), e);
	assert_ok(make("z", MIB, &e), e);
	assert_false(file_exists(left));
	assert_int_equal(entries("machines"), 1);
	assert_ok(machine_remove("z", false, &e), e);
}

static void state_is_what_files_and_processes_say(void **state)
{
	struct error *e = NULL;
	struct proc_id self;

	assert_ok(make("s", MIB, &e), e);
	{
		_cleanup_machine_ struct machine *m = machine_open("s", &e);
		_cleanup_free_ char *run = machine_path(m, "run"), *status = machine_path(m, "run/status");
		_cleanup_free_ char *pid = machine_path(m, "run/qemu.pid"), *helper = machine_path(m, "run/helper.pid");
		_cleanup_free_ char *ready = machine_path(m, "run/ready"), *end = NULL;

		assert_int_equal(machine_state(m), MACHINE_STOPPED);
		assert_null(machine_last_end(m));
		assert_ok(file_mkdirs(run, 0700, &e), e);
		assert_ok(file_writef(status, 0600, &e, "killed by SIGSEGV\n"), e);
		assert_int_equal(machine_state(m), MACHINE_CRASHED);
		end = machine_last_end(m);
		assert_string_equal(end, "killed by SIGSEGV");
		assert_ok(file_writef(status, 0600, &e, "exited with status 0\n"), e);
		assert_int_equal(machine_state(m), MACHINE_STOPPED);
		assert_ok(proc_id_of(getpid(), &self, &e), e);
		assert_ok(proc_id_write(pid, &self, &e), e);
		assert_ok(proc_id_write(helper, &self, &e), e);
		assert_int_equal(machine_state(m), MACHINE_STARTING);
		assert_ok(file_writef(ready, 0600, &e, "0.1\n"), e);
		assert_int_equal(machine_state(m), MACHINE_RUNNING);
		assert_err(machine_remove("s", false, &e), e, ERR_STATE, "it is running");
		/* The same pid, another process: nothing of ours runs. */
		self.start++;
		assert_ok(proc_id_write(pid, &self, &e), e);
		assert_ok(proc_id_write(helper, &self, &e), e);
		assert_int_equal(machine_state(m), MACHINE_STOPPED);
	}
	assert_ok(machine_remove("s", false, &e), e);
	assert_int_equal(entries("machines"), 0);
}

static void two_commands_at_once(void **state)
{
	_cleanup_free_ char *lock = path_data("machines/l/lock"), *pid = xasprintf("process %d", (int)getpid());
	_cleanup_close_ int fd = -1;
	struct error *e = NULL;

	assert_ok(make("l", MIB, &e), e);
	fd = file_lock(lock, true, 0, &e);
	assert_true(fd >= 0);
	assert_err(machine_remove("l", true, &e), e, ERR_STATE, pid);
	close(STEAL_FD(fd));
	assert_ok(machine_remove("l", true, &e), e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_taken_once),
		cmocka_unit_test(failed_creation_leaves_nothing),
		cmocka_unit_test(dead_creators_are_cleared_away),
		cmocka_unit_test(state_is_what_files_and_processes_say),
		cmocka_unit_test(two_commands_at_once),
	};

	return cmocka_run_group_tests(tests, setup, test_dir_teardown);
}
