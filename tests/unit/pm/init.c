/* SPDX-License-Identifier: Apache-2.0 */
/* Process 1: the kernel's command line, and the real thing in a pid namespace of its own, where reboot(2) ends only that. */
#include "../test.h"

#include "base/proc.h"
#include "pm/init/init.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>

static void command_lines(void **state)
{
	struct init_config c = { .stop_timeout = 90 };

	init_cmdline("console=ttyS0 pm.home=/data/pm quiet pm.init-stream=\"!cat /x y\" pm.stop-timeout=5 pm.shell\n", &c);
	assert_string_equal(c.home, "/data/pm");
	assert_string_equal(c.stream, "!cat /x y");
	assert_int_equal(c.stop_timeout, 5);
	assert_true(c.shell);
	c = (struct init_config){ .stop_timeout = 90 };
	init_cmdline("pm.shellx xpm.shell pm.home=relative pm.init-stream=/etc/x pm.stop-timeout=1x pm.hom", &c);
	assert_string_equal(c.home, "");
	assert_string_equal(c.stream, "/etc/x");
	assert_int_equal(c.stop_timeout, 90);
	assert_false(c.shell);
	init_cmdline("", &c);
}

static void signals(void **state)
{
	assert_int_equal(init_signal_means(SIGINT), INIT_REBOOT);
	assert_int_equal(init_signal_means(SIGPWR), INIT_POWEROFF);
	assert_int_equal(init_signal_means(SIGUSR1), INIT_HALT);
	assert_int_equal(init_signal_means(INIT_RTMIN + 6), INIT_KEXEC);
	assert_int_equal(init_signal_means(SIGHUP), INIT_NONE);
}

/* What a machine says until it has ended. */
struct machine {
	struct proc p;
	struct buf said;
	pid_t init; /* seen from here */
};

/* unshare's child is process 1 of its namespaces. */
static pid_t child_of(pid_t pid)
{
	char path[64], text[32] = "";
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
		text[0] = '\0';
	if (fd >= 0)
		close(fd);
	return atoi(text);
}

static void read_until(struct machine *m, const char *want)
{
	while (!strstr(buf_str(&m->said), want)) {
		ssize_t n = read(m->p.out, buf_reserve(&m->said, 1024), 1024);

		if (n <= 0)
			fail_msg("it ended without '%s': %s", want, m->said.data);
		m->said.len += (size_t)n;
		m->said.data[m->said.len] = '\0';
	}
}

/* script: what is done before in its mount namespace; false: this system has no user namespaces. */
static bool boot(struct machine *m, const char *script)
{
	_cleanup_free_ char *text = xasprintf("mount -t tmpfs t /run && mount -t proc proc /proc && %s exec " PM_PROGRAM
		" init --prepared", script);
	const char *argv[] = { "unshare", "-Urpmf", "--kill-child", "sh", "-c", text, NULL };
	struct proc_opts o = { .argv = argv, .out = PROC_PIPE, .err = PROC_PIPE };
	struct error *err = NULL;
	int status;

	*m = (struct machine){ .p = PROC_INIT };
	assert_ok(proc_run((const char *[]){ "sh", "-c", "unshare -Urpmf mount -t tmpfs t /run || echo no", NULL }, 20000, &m->said,
			NULL, &err), err);
	if (m->said.len)
		return false;
	assert_ok(proc_spawn(&o, &m->p, &err), err);
	close(m->p.out); /* messages are on stderr */
	m->p.out = STEAL_FD(m->p.err);
	while (!(m->init = child_of(m->p.pid))) {
		assert_int_equal(proc_wait(&m->p, 1, &status, &err), -1);
		error_clear(&err);
	}
	return true;
}

/* A command inside; its status. */
static int inside(struct machine *m, const char *command)
{
	char pid[16];
	const char *argv[] = { "nsenter", "--preserve-credentials", "-U", "-m", "-p", "-t", pid, "sh", "-c", command, NULL };
	struct error *err = NULL;
	int r;

	snprintf(pid, sizeof(pid), "%d", (int)m->init);
	r = proc_run(argv, 30000, NULL, NULL, &err);
	if (r < 0)
		print_message("%s: %s\n", command, err->msg);
	error_clear(&err);
	return r;
}

static void ended(struct machine *m)
{
	struct error *err = NULL;
	int status;
	char c;

	while (read(m->p.out, &c, 1) > 0)
		;
	assert_ok(proc_wait(&m->p, 30000, &status, &err), err);
	proc_release(&m->p);
	buf_free(&m->said);
}

static void until(struct machine *m, const char *command)
{
	for (int i = 0; i < 500 && inside(m, command) < 0; i++)
		usleep(20000);
	if (inside(m, command) < 0)
		fail_msg("never true: %s", command);
}

#define IN PM_PROGRAM " --home /run/pm "
static void units_live_and_end_with_it(void **state)
{
	struct machine m;

	if (!boot(&m, "mount -t tmpfs -o ro,size=4k t /var/opt &&"))
		skip_test("needs root and namespaces");
	read_until(&m, "home /var/opt/pm cannot be used"); /* read-only: it says so, and goes on */
	until(&m, "test -S /run/pm/socket");
	assert_int_equal(inside(&m, IN "unit s run='sleep 1000' && " IN "start s && " IN "list | grep -q 's.*RUNNING'"), 0);
	/* Both of pm's processes are killed: process 1 starts it again, and the unit has not noticed. */
	assert_int_equal(inside(&m, IN "jobs >/run/before && pkill -9 -x pm"), 0);
	read_until(&m, "it is started again");
	until(&m, IN "jobs >/run/after && cmp /run/before /run/after");
	/* An orphan is reaped. */
	assert_int_equal(inside(&m, "sh -c 'sleep 0.05 & exec true'; sleep 0.3; ! grep -s '^State:.Z' /proc/[0-9]*/status"), 0);
	assert_int_equal(inside(&m, IN "unit t run='sh -c \"trap \\\"echo >/run/told\\\" TERM; sleep 1000 & wait\"' && " IN "start t"), 0);
	/* What asks for the end may be ended before it can say that it was heard. */
	inside(&m, PM_PROGRAM " power off");
	read_until(&m, "power off: stopping the units");
	ended(&m);
}

static void nothing_works(void **state)
{
	struct machine m;

	if (!boot(&m, "mount -t tmpfs -o ro t /var/opt && mount -o remount,ro t /run &&"))
		skip_test("needs root and namespaces");
	read_until(&m, "/run/pm cannot be used either");
	read_until(&m, "pm.shell on the kernel's command line");
	assert_int_equal(kill(m.init, 0), 0); /* stays */
	assert_int_equal(kill(m.init, SIGINT), 0);
	read_until(&m, "reboot: ");
	ended(&m);
}

static void only_as_process_1(void **state)
{
	struct error *err = NULL;

	assert_err(proc_run((const char *[]){ PM_PROGRAM, "init", NULL }, 10000, NULL, NULL, &err), err, ERR_FAILED, "for process 1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(command_lines),
		cmocka_unit_test(signals),
		cmocka_unit_test(only_as_process_1),
		cmocka_unit_test(units_live_and_end_with_it),
		cmocka_unit_test(nothing_works),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
