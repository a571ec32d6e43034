/* SPDX-License-Identifier: Apache-2.0 */
/* Processes that somebody else started, and the pm that comes and goes with them. */
#include "live.h"

#include <sys/file.h>

static pid_t stranger(void)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		execlp("sleep", "sleep", "1000", NULL);
		_exit(127);
	}
	return pid;
}

static char *number(uint64_t n)
{
	return xasprintf("%llu", (unsigned long long)n);
}

static int adopt(struct live *l, const char *id, pid_t pid, uint64_t later)
{
	_cleanup_free_ char *p = number((uint64_t)pid), *start = NULL;
	struct error *e = NULL;
	struct proc_id who;

	assert_ok(proc_id_of(pid, &who, &e), e);
	start = number(who.start + later);
	return PM(l, "adopt", "--begin", id, p, start, "run=sleep 1000", "restart=on-failure");
}

static void watcher_of(struct live *l)
{
	_cleanup_free_ char *path = xasprintf("%s/pm.pid", l->home);
	struct error *e = NULL;
	struct proc_id id;

	assert_ok(proc_id_read(path, &id, &e), e);
	assert_true(proc_id_alive(&id));
	l->watcher = id.pid;
}

static void until_no_home(struct live *l)
{
	for (int i = 0; file_exists(l->home); i++, nap(10))
		if (i > 2000)
			fail_msg("an idle pm leaves its home");
}

static void it_begins_and_ends_with_its_units(void **state)
{
	struct live l;
	pid_t a, b, m, now;

	live_new(&l);
	a = stranger();
	b = stranger();
	assert_int_equal(adopt(&l, "a", a, 1), 3); /* another process had that number */
	assert_int_equal(adopt(&l, "a", a, 0), 0);
	assert_int_equal(adopt(&l, "a", a, 0), 0);
	assert_int_equal(adopt(&l, "b/ü", b, 0), 0);
	watcher_of(&l);
	assert_int_equal(live_pid(&l, "a"), a);
	kill(a, SIGKILL);
	assert_int_equal(waitpid(a, NULL, 0), a);
	live_until(&l, "a", "state", "RUNNING");
	now = live_pid(&l, "a");
	assert_true(now > 0 && now != a);
	/* The stranger ends like any unit; its end is not known to be good, nor is it asked for. */
	assert_int_equal(PM(&l, "stop", "b/ü", "-q"), 0);
	assert_int_equal(waitpid(b, NULL, 0), b);
	/* Both halves die: the next one takes the process back. */
	m = live_machine(&l);
	kill(m, SIGSTOP);
	kill(l.watcher, SIGKILL);
	kill(m, SIGKILL);
	live_wait_gone(m);
	b = stranger();
	assert_int_equal(adopt(&l, "b", b, 0), 0);
	watcher_of(&l);
	assert_int_equal(live_pid(&l, "a"), now);
	assert_int_equal(PM(&l, "stop", "a", "b", "-q"), 0);
	assert_int_equal(waitpid(b, NULL, 0), b);
	until_no_home(&l);
	live_wait_gone(l.watcher);
	l.watcher = 0;
	live_end(&l);
}

/* As long as somebody is about to hand something over, also when the last unit has gone; then at once. */
static void it_stays_for_a_hand_over(void **state)
{
	struct live l;
	pid_t a;
	int fd;

	live_new(&l);
	a = stranger();
	assert_int_equal(adopt(&l, "a", a, 0), 0);
	watcher_of(&l);
	fd = open(l.home, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(flock(fd, LOCK_SH), 0);
	assert_int_equal(PM(&l, "stop", "a", "-q"), 0);
	assert_int_equal(waitpid(a, NULL, 0), a);
	nap(300);
	assert_int_equal(PM(&l, "jobs", "-q"), 0);
	close(fd);
	until_no_home(&l);
	live_wait_gone(l.watcher);
	l.watcher = 0;
	live_end(&l);
}

/* Each time the last unit goes the next one comes: to this pm or to the next, but always to one that stays. */
static void none_is_lost_between_two_pms(void **state)
{
	struct live l;
	pid_t last, next;

	live_new(&l);
	last = stranger();
	assert_int_equal(adopt(&l, "u0", last, 0), 0);
	for (int i = 1; i <= 40; i++) {
		_cleanup_free_ char *was = xasprintf("u%d", i - 1), *now = xasprintf("u%d", i);
		pid_t stopper = fork();

		if (stopper == 0)
			_exit(PM(&l, "stop", was, "-q"));
		next = stranger();
		nap(i % 8 * 3);
		assert_int_equal(adopt(&l, now, next, 0), 0);
		assert_int_equal(waitpid(stopper, NULL, 0), stopper);
		assert_int_equal(waitpid(last, NULL, 0), last);
		assert_int_equal(live_pid(&l, now), next);
		last = next;
	}
	watcher_of(&l);
	assert_int_equal(PM(&l, "stop", "u40", "-q"), 0);
	assert_int_equal(waitpid(last, NULL, 0), last);
	until_no_home(&l);
	live_wait_gone(l.watcher);
	l.watcher = 0;
	live_end(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_begins_and_ends_with_its_units),
		cmocka_unit_test(it_stays_for_a_hand_over),
		cmocka_unit_test(none_is_lost_between_two_pms),
	};

	return cmocka_run_group_tests_name("pm/adopt", tests, NULL, NULL);
}
