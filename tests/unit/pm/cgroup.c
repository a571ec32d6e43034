/* SPDX-License-Identifier: Apache-2.0 */
/* In a group of our own below the system's cgroup v2 tree; skipped where there is none that we may write. */
#include "../test.h"

#include "pm/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

static char base[256];

/* Where cgroup2 is mounted; a fresh group there. */
static int setup(void **state)
{
	FILE *f = fopen("/proc/self/mounts", "re");
	char line[1024], where[200];

	base[0] = '\0';
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%*s %199s cgroup2 ", where) == 1 && strstr(line, " cgroup2 ")) {
			snprintf(base, sizeof(base), "%s/croft-test-%d", where, (int)getpid());
			if (mkdir(base, 0755) < 0)
				base[0] = '\0';
			break;
		}
	if (f)
		fclose(f);
	return 0;
}

static int teardown(void **state)
{
	return base[0] ? rmdir(base) : 0;
}

static void a_group_a_unit(void **state)
{
	static const char unit[] = "web/ä 1";
	struct isolate_cgroup none = { 0 };
	char why[ISOLATE_WHY];
	struct cgroup c;
	int fd, status;
	pid_t pid;

	if (!base[0])
		skip_test("no cgroup v2 tree that may be written");
	cgroup_open_at(&c, base, 0);
	assert_true(c.dir >= 0);
	assert_int_equal(cgroup_kill(&c, unit), -1);
	assert_int_equal(errno, ENOENT);
	fd = cgroup_unit(&c, unit, &none, why);
	if (fd < 0)
		fail_msg("%s", why);
	assert_int_equal(cgroup_populated(&c, unit), 0);
	pid = fork();
	if (pid == 0) {
		if (write(fd, "0", 1) != 1 || fork() < 0)
			_exit(1);
		signal(SIGTERM, SIG_IGN);
		for (;;)
			pause();
	}
	while (!cgroup_populated(&c, unit))
		usleep(1000);
	assert_int_equal(cgroup_remove(&c, unit), -1);
	assert_int_equal(errno, EBUSY);
	assert_int_equal(cgroup_kill(&c, unit), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WTERMSIG(status), SIGKILL);
	while (cgroup_populated(&c, unit)) /* its child is init's to reap */
		usleep(1000);
	assert_int_equal(cgroup_remove(&c, unit), 0);
	assert_int_equal(cgroup_remove(&c, unit), 0);
	close(fd);
	cgroup_close(&c);
}

static void limits_are_set_or_refused(void **state)
{
	struct isolate_cgroup l = { .pids_max = "10", .wanted = true };
	char why[ISOLATE_WHY], path[600], text[16] = "";
	struct cgroup c;
	int fd, f;

	if (!base[0])
		skip_test("no cgroup v2 tree that may be written");
	cgroup_open_at(&c, base, 0);
	fd = cgroup_unit(&c, "u", &l, why);
	if (c.controllers >> CGROUP_PIDS & 1) {
		assert_true(fd >= 0);
		snprintf(path, sizeof(path), "%s/pm-u/pids.max", base);
		f = open(path, O_RDONLY | O_CLOEXEC);
		assert_true(read(f, text, sizeof(text) - 1) > 0);
		assert_string_equal(text, "10\n");
		close(f);
	} else {
		assert_int_equal(fd, -1);
		assert_non_null(strstr(why, "pids-max: the pids controller is not available"));
		snprintf(path, sizeof(path), "%s/pm-u", base);
		assert_int_equal(access(path, F_OK), -1); /* nothing is left behind */
		l.optional = true;
		fd = cgroup_unit(&c, "u", &l, why);
		assert_true(fd >= 0);
		assert_non_null(strstr(why, "left out"));
	}
	close(fd);
	assert_int_equal(cgroup_remove(&c, "u"), 0);
	cgroup_close(&c);
}

static void without_a_tree(void **state)
{
	struct isolate_cgroup l = { .memory_max = "1000000", .wanted = true };
	char why[ISOLATE_WHY];
	struct cgroup c;

	cgroup_open_at(&c, "/no/such/tree", 0);
	assert_int_equal(c.dir, -1);
	assert_int_equal(cgroup_unit(&c, "u", &l, why), -1);
	assert_non_null(strstr(why, "/no/such/tree: No such file"));
	l.wanted = false;
	assert_int_equal(cgroup_unit(&c, "u", &l, why), -1);
	assert_string_equal(why, "");
	assert_int_equal(cgroup_remove(&c, "u"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_group_a_unit, setup, teardown),
		cmocka_unit_test_setup_teardown(limits_are_set_or_refused, setup, teardown),
		cmocka_unit_test(without_a_tree),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
