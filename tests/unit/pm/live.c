/* SPDX-License-Identifier: Apache-2.0 */
/* Real processes: what a user sees. */
#include "live.h"

static void start_list_stop(void **state)
{
	_cleanup_buf_ struct buf out = BUF_INIT;
	struct live l;

	live_new(&l);
	live_start(&l, NULL, NULL);
	assert_int_equal(PM(&l, "unit", "db", "run=sleep 1000"), 0);
	assert_int_equal(PM(&l, "unit", "web", "run=sh -c 'echo ready; exec sleep 1000'", "needs=db"), 0);
	assert_int_equal(PM(&l, "start", "web", "-q"), 0);
	assert_true(live_pid(&l, "db") > 0 && kill(live_pid(&l, "db"), 0) == 0);
	live_until(&l, "web", "state", "RUNNING");
	PM_OUT(&l, &out, "cat", "web");
	assert_string_equal(buf_str(&out), "run=sh -c 'echo ready; exec sleep 1000'\nneeds=db\n");
	assert_int_equal(PM_OUT(&l, &out, "list-dependencies", "web"), 0);
	assert_string_equal(buf_str(&out), "web\n  needs db (RUNNING)\n");
	assert_int_equal(PM(&l, "status", "web"), 0);
	do
		PM_OUT(&l, &out, "log", "web");
	while (!strstr(buf_str(&out), "Z ready\n"));
	assert_int_equal(PM(&l, "stop", "db", "-q"), 0); /* takes web along */
	live_until(&l, "web", "state", "STOPPED");
	live_until(&l, "db", "state", "STOPPED");
	assert_int_equal(PM(&l, "remove", "web", "-q"), 0);
	assert_int_equal(PM(&l, "status", "web"), 3);
	live_end(&l);
}

static void statuses(void **state)
{
	struct live l;

	live_new(&l);
	assert_int_equal(PM(&l, "start", "x"), 4); /* no pm */
	live_start(&l, NULL, NULL);
	assert_int_equal(PM(&l, "start", "x"), 3);
	assert_int_equal(PM(&l, "strat", "x"), 2);
	assert_int_equal(PM(&l, "unit", "x", "nonsense=1"), 2);
	assert_int_equal(PM(&l, "unit", "x", "run=sleep 1000", "needs=x"), 2);
	assert_int_equal(PM(&l, "unit", "x", "run=sh -c 'exit 3'", "ready=alive:1s"), 0);
	assert_int_equal(PM(&l, "start", "x", "-q"), 1);
	live_until(&l, "x", "state", "STARTING_FAIL");
	assert_int_equal(PM(&l, "reset-failed", "x"), 0);
	live_until(&l, "x", "state", "STOPPED");
	assert_int_equal(PM(&l, "unit", "slow", "run=sleep 1000", "ready=alive:100s"), 0);
	assert_int_equal(PM(&l, "start", "slow", "-q", "--timeout", "100ms"), 124);
	assert_int_equal(PM(&l, "remove", "slow"), 4);
	assert_int_equal(PM(&l, "reload", "slow"), 4);
	assert_int_equal(PM(&l, "unit", "none", "run=/no/such/program"), 0);
	assert_int_equal(PM(&l, "start", "none", "-q"), 1);
	assert_int_equal(PM(&l, "invoke", "--", "sh", "-c", "exit 7"), 7);
	live_end(&l);
}

static void second_pm_is_refused(void **state)
{
	struct live l;

	live_new(&l);
	live_start(&l, NULL, NULL);
	assert_int_equal(PM(&l, "main", "--home", l.home), 4);
	live_end(&l);
}

/* Every way in which a process can say that it is ready. */
static void readiness(void **state)
{
	_cleanup_free_ char *file = NULL, *run = NULL, *command = NULL, *pidfile = NULL, *daemon = NULL;
	struct live l;
	pid_t pid;

	live_new(&l);
	live_start(&l, NULL, NULL);
	file = xasprintf("%s/flag", l.dir);
	run = xasprintf("run=sh -c 'sleep 0.1; : >\"%s\"; exec sleep 1000'", file);
	command = xasprintf("ready=command:test -e '%s'", file);
	assert_int_equal(PM(&l, "unit", "command", run, command), 0);
	assert_int_equal(PM(&l, "start", "command", "-q"), 0);
	assert_int_equal(access(file, F_OK), 0);
	assert_int_equal(PM(&l, "unit", "fd", "run=sh -c 'sleep 0.1; echo >&5; exec sleep 1000'", "ready=fd:5"), 0);
	assert_int_equal(PM(&l, "start", "fd", "-q"), 0);
	assert_int_equal(PM(&l, "unit", "mute", "run=sleep 1000", "ready=fd:5", "start-timeout=200ms"), 0);
	assert_int_equal(PM(&l, "start", "mute", "-q"), 1);
	live_until(&l, "mute", "state", "STARTING_FAIL");
	assert_int_equal(live_pid(&l, "mute"), 0);
	/* A daemon of the old kind: forks, leaves its session, writes its pid. */
	pidfile = xasprintf("ready=pidfile:%s/pid", l.dir);
	daemon = xasprintf("run=sh -c 'setsid sh -c \"sleep 0.1; echo \\$\\$ >\\\"%s/pid\\\"; exec sleep 1000\" & exit 0'", l.dir);
	assert_int_equal(PM(&l, "unit", "daemon", daemon, pidfile), 0);
	assert_int_equal(PM(&l, "start", "daemon", "-q"), 0);
	pid = live_pid(&l, "daemon");
	assert_true(pid > 0 && kill(pid, 0) == 0);
	assert_int_equal(PM(&l, "stop", "daemon", "-q"), 0);
	assert_int_equal(kill(pid, 0), -1);
	/* Its end is seen too. */
	assert_int_equal(PM(&l, "start", "daemon", "-q"), 0);
	kill(live_pid(&l, "daemon"), SIGKILL);
	live_until(&l, "daemon", "state", "FAIL");
	live_end(&l);
}

static void terms_and_groups(void **state)
{
	struct live l;
	_cleanup_buf_ struct buf out = BUF_INIT;
	pid_t pid, child;
	_cleanup_free_ char *run = NULL;

	live_new(&l);
	live_start(&l, NULL, NULL);
	/* Ignores SIGTERM: killed after its time. */
	assert_int_equal(PM(&l, "unit", "deaf", "run=sh -c 'trap \"\" TERM; while :; do sleep 1; done'", "stop-timeout=200ms"), 0);
	assert_int_equal(PM(&l, "start", "deaf", "-q"), 0);
	pid = live_pid(&l, "deaf");
	nap(100);
	assert_int_equal(PM(&l, "stop", "deaf", "-q"), 0);
	assert_int_equal(kill(pid, 0), -1);
	/* What is left of a group when its first process dies is killed. */
	run = xasprintf("run=sh -c 'sleep 1000 & echo $! >\"%s/child\"; wait'", l.dir);
	assert_int_equal(PM(&l, "unit", "group", run), 0);
	assert_int_equal(PM(&l, "start", "group", "-q"), 0);
	while (!live_file(&l, "child", &out))
		nap(5);
	child = atoi(out.data);
	kill(live_pid(&l, "group"), SIGKILL);
	live_until(&l, "group", "state", "FAIL");
	live_wait_gone(child);
	live_end(&l);
}

/* Lines through the FIFO; a wrong one changes nothing and is told in pm's log. */
static void input_fifo(void **state)
{
	_cleanup_buf_ struct buf out = BUF_INIT;
	_cleanup_free_ char *path = NULL;
	const char lines[] = "unit a run=\"sleep 1000\"\nunit b run='unclosed\nstart nobody\nunit a restart=sometimes\nstart a\n";
	struct live l;
	int fd;

	live_new(&l);
	live_start(&l, NULL, NULL);
	path = xasprintf("%s/input", l.home);
	fd = open(path, O_WRONLY);
	assert_int_equal(write(fd, lines, strlen(lines)), strlen(lines));
	close(fd);
	live_until(&l, "a", "state", "RUNNING");
	live_until(&l, "b", "state", "");
	PM_OUT(&l, &out, "cat", "a");
	assert_string_equal(out.data, "run=sleep 1000\n");
	PM_OUT(&l, &out, "log");
	assert_non_null(strstr(out.data, "no closing '"));
	assert_non_null(strstr(out.data, "nobody: no such unit"));
	assert_non_null(strstr(out.data, "'sometimes' is not a value"));
	live_end(&l);
}

static void restarts(void **state)
{
	struct live l;
	pid_t first;
	char now[16];

	live_new(&l);
	live_start(&l, NULL, NULL);
	assert_int_equal(PM(&l, "unit", "a", "run=sleep 1000", "restart=on-failure"), 0);
	assert_int_equal(PM(&l, "start", "a", "-q"), 0);
	first = live_pid(&l, "a");
	kill(first, SIGKILL);
	live_until(&l, "a", "restarts", "1");
	live_until(&l, "a", "state", "RUNNING");
	snprintf(now, sizeof(now), "%d", (int)live_pid(&l, "a"));
	assert_true(atoi(now) != first);
	assert_int_equal(PM(&l, "unit", "bad", "run=false", "restart=always", "restart-backoff=10ms", "restart-limit=3"), 0);
	PM(&l, "start", "bad", "-q");
	live_until(&l, "bad", "goal", "down");
	live_until(&l, "bad", "restarts", "3");
	live_end(&l);
}

static void resources_and_timers(void **state)
{
	_cleanup_free_ char *start = NULL, *stop = NULL, *check = NULL, *tick = NULL, *file = NULL;
	_cleanup_buf_ struct buf out = BUF_INIT;
	struct live l;

	live_new(&l);
	live_start(&l, NULL, NULL);
	file = xasprintf("%s/thing", l.dir);
	start = xasprintf("start=touch '%s'", file);
	stop = xasprintf("stop=rm '%s'", file);
	check = xasprintf("check=test -e '%s'", file);
	assert_int_equal(PM(&l, "unit", "thing", "type=volume", start, stop, check, "check-every=50ms"), 0);
	assert_int_equal(PM(&l, "start", "thing", "-q"), 0);
	assert_int_equal(access(file, F_OK), 0);
	assert_int_equal(PM(&l, "stop", "thing", "-q"), 0);
	assert_int_equal(access(file, F_OK), -1);
	assert_int_equal(PM(&l, "start", "thing", "-q"), 0);
	unlink(file); /* somebody else takes it away: seen by its check */
	live_until(&l, "thing", "state", "FAIL");
	tick = xasprintf("run=sh -c 'echo x >>\"%s/ticks\"'", l.dir);
	assert_int_equal(PM(&l, "unit", "work", tick), 0);
	assert_int_equal(PM(&l, "unit", "clock", "type=timer", "every=30ms", "unit=work"), 0);
	assert_int_equal(PM(&l, "start", "clock", "-q"), 0);
	while (live_file(&l, "ticks", &out) < 6)
		nap(10);
	live_end(&l);
}

/* A unit's output: bounded, rotated, never in anybody's way. */
static void logs(void **state)
{
	_cleanup_buf_ struct buf out = BUF_INIT;
	_cleanup_free_ char *log = NULL;
	struct stat st;
	struct live l;

	live_new(&l);
	live_start(&l, NULL, NULL);
	assert_int_equal(PM(&l, "unit", "loud", "run=sh -c 'seq 1 100000; echo end >&2'", "log-size=64K"), 0);
	assert_int_equal(PM(&l, "start", "loud", "-q"), 0);
	assert_int_equal(PM(&l, "wait", "loud", "-q"), 0);
	do
		PM_OUT(&l, &out, "log", "loud", "-n", "1");
	while (!strstr(buf_str(&out), "Z end\n"));
	log = xasprintf("%s/units/loud/log", l.home);
	assert_int_equal(stat(log, &st), 0);
	assert_true(st.st_size <= 65536);
	assert_int_equal(PM_OUT(&l, &out, "log", "loud", "-n", "2"), 0);
	assert_non_null(strstr(out.data, "Z 100000\n"));
	live_end(&l);
}

static void activation(void **state)
{
	_cleanup_free_ char *path = NULL, *listen_key = NULL;
	struct live l;
	struct error *e = NULL;
	int fd;

	live_new(&l);
	live_start(&l, NULL, NULL);
	path = xasprintf("%s/s", l.dir);
	listen_key = xasprintf("listen=%s", path);
	assert_int_equal(PM(&l, "unit", "server", "run=sh -c 'test \"$LISTEN_FDS\" = 1 && test \"$LISTEN_PID\" = $$ && test -S /dev/fd/3 && exec sleep 1000'"), 0);
	assert_int_equal(PM(&l, "unit", "door", "type=socket", listen_key, "unit=server"), 0);
	assert_int_equal(PM(&l, "start", "door", "-q"), 0);
	live_until(&l, "server", "state", "STOPPED");
	fd = unix_connect(path, &e);
	assert_true(fd >= 0);
	live_until(&l, "server", "state", "RUNNING");
	nap(50);
	live_until(&l, "server", "state", "RUNNING");
	close(fd);
	live_end(&l);
}

/* A pm in a pm: addressed through it, ended with it. */
static void sub_pm(void **state)
{
	_cleanup_buf_ struct buf out = BUF_INIT;
	_cleanup_free_ char *home = NULL, *below = NULL;
	bool root = geteuid() == 0;
	struct live l, sub;
	pid_t pid;

	live_new(&l);
	live_start(&l, NULL, NULL);
	home = xasprintf("home=%s/sub", l.dir);
	if (root) {
		assert_int_equal(PM(&l, "unit", "u", "type=pm", "kind=user", home), 2); /* which user? */
		assert_int_equal(PM(&l, "unit", "pm1", "type=pm", "kind=root", home), 0);
	} else {
		assert_int_equal(PM(&l, "unit", "r", "type=pm", "kind=root", home), 4); /* R never follows U */
		assert_int_equal(PM(&l, "unit", "pm1", "type=pm", "kind=user", home), 0);
	}
	assert_int_equal(PM(&l, "unit", "x", "type=pm", "kind=chroot", home), 2);
	assert_int_equal(PM(&l, "start", "pm1", "-q"), 0);
	below = xasprintf("%s/sub", l.dir);
	sub = (struct live){ .dir = l.dir, .home = below };
	assert_int_equal(PM(&sub, "unit", "web", "run=sleep 1000"), 0);
	assert_int_equal(PM(&l, "start", "pm1.web", "-q"), 0);
	pid = live_pid(&sub, "web");
	assert_true(pid > 0);
	assert_int_equal(PM(&l, "status", "pm1.web"), 0);
	assert_int_equal(PM(&l, "status", "pm1.nobody"), 3);
	assert_int_equal(PM_OUT(&l, &out, "tree"), 0);
	assert_string_equal(buf_str(&out), "pm1 RUNNING\n  web RUNNING\n");
	assert_int_equal(PM(&l, "stop", "pm1", "-q"), 0);
	assert_int_equal(kill(pid, 0), -1);
	live_end(&l);
}

/* What could not be started has not ended well, and says why. */
static void what_does_not_start(void **state)
{
	_cleanup_buf_ struct buf out = BUF_INIT;
	struct live l;

	live_new(&l);
	live_start(&l, NULL, NULL);
	assert_int_equal(PM(&l, "invoke", "--", "no such program"), 127);
	assert_int_equal(PM(&l, "invoke", "--", "/no/such/program"), 127);
	assert_int_equal(PM(&l, "invoke", "needs=nobody", "--", "true"), 127);
	assert_int_equal(PM(&l, "unit", "z", "run=no-such-program"), 0);
	assert_int_equal(PM(&l, "start", "z"), 1);
	assert_int_equal(PM_OUT(&l, &out, "status", "z"), 1);
	assert_non_null(strstr(buf_str(&out), "no-such-program: not found in "));
	live_end(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(start_list_stop),
		cmocka_unit_test(statuses),
		cmocka_unit_test(second_pm_is_refused),
		cmocka_unit_test(readiness),
		cmocka_unit_test(terms_and_groups),
		cmocka_unit_test(input_fifo),
		cmocka_unit_test(restarts),
		cmocka_unit_test(resources_and_timers),
		cmocka_unit_test(logs),
		cmocka_unit_test(activation),
		cmocka_unit_test(sub_pm),
		cmocka_unit_test(what_does_not_start),
	};

	return cmocka_run_group_tests_name("pm/live", tests, NULL, NULL);
}
