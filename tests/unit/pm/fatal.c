/* SPDX-License-Identifier: Apache-2.0 */
/* kill -9 of either half or of both: no orphan, no unit lost, nothing started twice. */
#include "live.h"

/* Each start of a unit leaves its pid here. */
static void define(struct live *l, const char *id, const char *more)
{
	_cleanup_free_ char *run = xasprintf("run=sh -c 'echo $$ >>\"%s/%s.starts\"; exec sleep 1000'", l->dir, id);

	assert_int_equal(PM(l, "unit", id, run, more ? more : "restart=on-failure"), 0);
	assert_int_equal(PM(l, "start", id, "-q"), 0);
}

static int starts(struct live *l, const char *id)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_free_ char *name = xasprintf("%s.starts", id);
	int n = 0;

	live_file(l, name, &b);
	for (size_t i = 0; i < b.len; i++)
		n += b.data[i] == '\n';
	return n;
}

static void until_starts(struct live *l, const char *id, int n)
{
	for (int i = 0; starts(l, id) != n; i++, nap(5))
		if (i > 4000)
			fail_msg("%s: %d starts, not %d", id, starts(l, id), n);
}

static void until_new_machine(struct live *l, pid_t old)
{
	pid_t now;

	while ((now = live_machine(l)) == old)
		nap(5);
	while (PM(l, "jobs", "-q") != 0)
		nap(5);
}

static void machine_killed(void **state)
{
	_cleanup_buf_ struct buf out = BUF_INIT;
	struct live l;
	pid_t m, a, b;

	live_new(&l);
	live_start(&l, NULL, NULL);
	define(&l, "a", NULL);
	define(&l, "b", "restart=never");
	until_starts(&l, "a", 1);
	until_starts(&l, "b", 1);
	a = live_pid(&l, "a");
	b = live_pid(&l, "b");
	m = live_machine(&l);
	/* b dies while nobody is there. */
	kill(m, SIGSTOP);
	kill(b, SIGUSR1);
	nap(20);
	kill(m, SIGKILL);
	until_new_machine(&l, m);
	assert_int_equal(live_pid(&l, "a"), a);
	live_until(&l, "b", "state", "FAIL");
	PM_OUT(&l, &out, "status", "b");
	assert_non_null(strstr(out.data, "signal USR1"));
	assert_int_equal(starts(&l, "a"), 1);
	assert_int_equal(starts(&l, "b"), 1);
	/* And it is supervised as before. */
	kill(a, SIGKILL);
	until_starts(&l, "a", 2);
	live_end(&l);
}

static void watcher_killed(void **state)
{
	struct live l;
	pid_t m, a;

	live_new(&l);
	live_start(&l, NULL, NULL);
	define(&l, "a", NULL);
	until_starts(&l, "a", 1);
	a = live_pid(&l, "a");
	m = live_machine(&l);
	kill(l.watcher, SIGKILL);
	waitpid(l.watcher, NULL, 0);
	l.watcher = m; /* it takes its place */
	live_machine(&l);
	while (PM(&l, "jobs", "-q") != 0)
		nap(5);
	assert_int_equal(live_pid(&l, "a"), a);
	kill(a, SIGKILL);
	until_starts(&l, "a", 2); /* its end was seen though it is no child */
	live_end(&l);
}

static void both_killed(void **state)
{
	struct live l;
	pid_t m, a;

	live_new(&l);
	live_start(&l, NULL, NULL);
	define(&l, "a", NULL);
	define(&l, "b", NULL);
	until_starts(&l, "a", 1);
	until_starts(&l, "b", 1);
	a = live_pid(&l, "a");
	m = live_machine(&l);
	kill(m, SIGSTOP);
	kill(l.watcher, SIGKILL);
	kill(m, SIGKILL);
	waitpid(l.watcher, NULL, 0);
	live_wait_gone(m);
	assert_int_equal(kill(a, 0), 0);
	live_start(&l, NULL, NULL);
	live_until(&l, "a", "state", "RUNNING");
	assert_int_equal(live_pid(&l, "a"), a);
	assert_int_equal(starts(&l, "a"), 1);
	assert_int_equal(starts(&l, "b"), 1);
	assert_int_equal(PM(&l, "stop", "a", "-q"), 0);
	live_wait_gone(a);
	live_end(&l);
}

/* A number that another process has by now is not our process. */
static void pid_reused(void **state)
{
	_cleanup_free_ char *path = NULL, *job = NULL;
	struct error *e = NULL;
	struct proc_id id;
	struct live l;
	pid_t m, a, other;

	live_new(&l);
	live_start(&l, NULL, NULL);
	define(&l, "a", NULL);
	until_starts(&l, "a", 1);
	a = live_pid(&l, "a");
	job = live_field(&l, "a", "job");
	m = live_machine(&l);
	kill(m, SIGSTOP);
	kill(l.watcher, SIGKILL);
	kill(m, SIGKILL);
	waitpid(l.watcher, NULL, 0);
	kill(a, SIGKILL);
	live_wait_gone(a);
	other = fork();
	if (other == 0) {
		pause();
		_exit(0);
	}
	assert_ok(proc_id_of(other, &id, &e), e);
	id.start--;
	path = xasprintf("%s/jobs/%s/pid", l.home, job);
	assert_ok(proc_id_write(path, &id, &e), e);
	live_start(&l, NULL, NULL);
	until_starts(&l, "a", 2);
	assert_int_equal(PM(&l, "stop", "a", "-q"), 0);
	assert_int_equal(kill(other, 0), 0);
	kill(other, SIGKILL);
	waitpid(other, NULL, 0);
	live_end(&l);
}

static void kill_on_fatal(void **state)
{
	struct live l;
	pid_t m, a;
	int status;

	live_new(&l);
	live_start(&l, "--on-fatal", "kill");
	define(&l, "a", NULL);
	until_starts(&l, "a", 1);
	a = live_pid(&l, "a");
	m = live_machine(&l);
	kill(m, SIGKILL);
	assert_int_equal(waitpid(l.watcher, &status, 0), l.watcher);
	assert_int_equal(WEXITSTATUS(status), 1);
	live_wait_gone(a);
	l.watcher = 0;
	live_end(&l);
}

static void watcher_killed_in_kill_mode(void **state)
{
	struct live l;
	pid_t m, a;

	live_new(&l);
	live_start(&l, "--on-fatal", "kill");
	define(&l, "a", NULL);
	until_starts(&l, "a", 1);
	a = live_pid(&l, "a");
	m = live_machine(&l);
	kill(l.watcher, SIGKILL);
	waitpid(l.watcher, NULL, 0);
	live_wait_gone(a);
	live_wait_gone(m);
	l.watcher = 0;
	live_end(&l);
}

/* The end takes everything along, also what has left its session and forked twice. */
static void nothing_escapes(void **state)
{
	_cleanup_buf_ struct buf out = BUF_INIT;
	_cleanup_free_ char *run = NULL;
	struct live l;
	pid_t stray;

	live_new(&l);
	live_start(&l, NULL, NULL);
	run = xasprintf("run=sh -c 'setsid sh -c \"setsid sleep 1000 & echo \\$! >\\\"%s/stray\\\"\"; exec sleep 1000'", l.dir);
	assert_int_equal(PM(&l, "unit", "a", run), 0);
	assert_int_equal(PM(&l, "start", "a", "-q"), 0);
	while (!live_file(&l, "stray", &out))
		nap(5);
	stray = atoi(out.data);
	kill(l.watcher, SIGTERM);
	live_wait_gone(l.watcher);
	live_wait_gone(stray);
	l.watcher = 0;
	live_end(&l);
}

static void upgrade_in_place(void **state)
{
	struct live l;
	pid_t m, a;

	live_new(&l);
	live_start(&l, NULL, NULL);
	define(&l, "a", NULL);
	until_starts(&l, "a", 1);
	a = live_pid(&l, "a");
	m = live_machine(&l);
	assert_int_equal(PM(&l, "upgrade", "-q"), 0);
	until_new_machine(&l, m);
	assert_int_equal(live_pid(&l, "a"), a);
	assert_int_equal(starts(&l, "a"), 1);
	kill(a, SIGKILL);
	until_starts(&l, "a", 2);
	assert_int_equal(PM(&l, "main", "--home", l.home), 4); /* the lock is still held */
	live_end(&l);
}

/* Killed again and again while units come and go. */
static void killed_at_any_time(void **state)
{
	struct live l;

	live_new(&l);
	live_start(&l, NULL, NULL);
	for (int i = 0; i < 8; i++) {
		char id[8];

		snprintf(id, sizeof(id), "u%d", i);
		define(&l, id, "restart=always");
	}
	for (int round = 0; round < 12; round++) {
		pid_t m = live_machine(&l), victim = live_pid(&l, round % 2 ? "u1" : "u2");

		if (round % 3 == 2) { /* more than three crashes of the machine in a minute are the end of all */
			kill(m, SIGSTOP);
			kill(l.watcher, SIGKILL);
			kill(m, SIGKILL);
			waitpid(l.watcher, NULL, 0);
			live_wait_gone(m);
			live_start(&l, NULL, NULL);
		} else {
			if (victim > 0)
				kill(victim, SIGKILL);
			nap(round);
			kill(m, SIGKILL);
			until_new_machine(&l, m);
		}
	}
	for (int i = 0; i < 8; i++) {
		char id[8], name[24];
		int alive = 0;

		snprintf(id, sizeof(id), "u%d", i);
		live_until(&l, id, "state", "RUNNING");
		snprintf(name, sizeof(name), "%s.starts", id);
		/* RUNNING is the program; its first line may come later. */
		for (int k = 0; k < 400 && alive != 1; k++, nap(5)) {
			_cleanup_buf_ struct buf b = BUF_INIT;

			alive = 0;
			live_file(&l, name, &b);
			for (char *line = strtok(b.data, "\n"); line; line = strtok(NULL, "\n"))
				alive += kill(atoi(line), 0) == 0;
		}
		assert_int_equal(alive, 1);
	}
	live_end(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(machine_killed),
		cmocka_unit_test(watcher_killed),
		cmocka_unit_test(both_killed),
		cmocka_unit_test(pid_reused),
		cmocka_unit_test(kill_on_fatal),
		cmocka_unit_test(watcher_killed_in_kill_mode),
		cmocka_unit_test(nothing_escapes),
		cmocka_unit_test(upgrade_in_place),
		cmocka_unit_test(killed_at_any_time),
	};

	return cmocka_run_group_tests_name("pm/fatal", tests, NULL, NULL);
}
