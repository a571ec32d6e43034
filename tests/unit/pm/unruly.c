/* SPDX-License-Identifier: Apache-2.0 */
/* Units that do not behave: what forks away for ever, what leaves zombies, what detaches twice. */
#include "live.h"

#include <dirent.h>

/* Processes whose command line holds `what`; zombies have none. */
static int running(const char *what)
{
	DIR *d = opendir("/proc");
	struct dirent *e;
	int n = 0;

	assert_non_null(d);
	while ((e = readdir(d))) {
		char path[300], text[4096];
		ssize_t got;
		int fd;

		if (atoi(e->d_name) <= 0 || atoi(e->d_name) == getpid())
			continue;
		snprintf(path, sizeof(path), "/proc/%s/cmdline", e->d_name);
		fd = open(path, O_RDONLY);
		got = fd < 0 ? -1 : read(fd, text, sizeof(text));
		if (fd >= 0)
			close(fd);
		n += got > 0 && memmem(text, (size_t)got, what, strlen(what)) != NULL;
	}
	closedir(d);
	return n;
}

static int zombies_of(pid_t parent)
{
	char path[64], text[65536], *at = text;
	int n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)parent, (int)parent);
	f = fopen(path, "r");
	if (!f || !fgets(text, sizeof(text), f))
		*text = '\0';
	if (f)
		fclose(f);
	for (char *end; *at; at = end) {
		long pid = strtol(at, &end, 10);
		char stat[512] = "", *state;

		if (end == at)
			break;
		snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
		f = fopen(path, "r");
		if (f && fgets(stat, sizeof(stat), f) && (state = strrchr(stat, ')')))
			n += state[2] == 'Z';
		if (f)
			fclose(f);
	}
	return n;
}

static void script(struct live *l, const char *name, const char *text)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", l->dir, name);
	struct error *e = NULL;

	assert_ok(file_write(path, text, strlen(text), 0755, &e), e);
}

/* Each process starts two others in sessions of their own, as long as there are fewer than eighty, and ends: no pid stays. */
static void a_fork_bomb_ends_with_pm(void **state)
{
	_cleanup_free_ char *run = NULL, *mark = NULL;
	struct live l;

	live_new(&l);
	live_start(&l, NULL, NULL);
	mark = xasprintf("%s/bomb", l.dir);
	script(&l, "bomb",
		"#!/bin/sh\n[ -e \"$0.go\" ] || exit\nsetsid \"$0\" & \n"
		"[ \"$(ls /proc | grep -c '^[0-9]')\" -lt \"$(cat \"$0.go\")\" ] && setsid \"$0\" &\nexit 0\n");
	run = xasprintf("run=sh -c 'echo $(($(ls /proc | grep -c ^[0-9]) + 80)) >\"%s.go\"; \"%s\"; exec sleep 1000'", mark, mark);
	assert_int_equal(PM(&l, "unit", "bomb", run), 0);
	assert_int_equal(PM(&l, "unit", "good", "run=sleep 1000"), 0);
	assert_int_equal(PM(&l, "start", "bomb", "good", "-q"), 0);
	for (int i = 0; running(mark) < 20; i++, nap(10))
		if (i > 3000)
			fail_msg("it does not spread");
	/* pm goes on working, and its end is the end of all of them. */
	assert_int_equal(PM(&l, "restart", "good", "-q"), 0);
	assert_int_equal(PM(&l, "shutdown", "-q"), 0);
	live_wait_gone(l.watcher);
	assert_int_equal(running(mark), 0);
	l.watcher = 0;
	live_end(&l);
}

static void orphans_leave_no_zombies(void **state)
{
	struct live l;

	live_new(&l);
	live_start(&l, NULL, NULL);
	assert_int_equal(PM(&l, "unit", "z", "run=sh -c 'for i in $(seq 200); do (setsid true &); done; exec sleep 1000'"), 0);
	assert_int_equal(PM(&l, "start", "z", "-q"), 0);
	for (int i = 0;; i++, nap(10)) {
		_cleanup_free_ char *s = live_field(&l, "z", "state");

		if (i >= 20 && zombies_of(l.watcher) == 0 && !strcmp(s, "RUNNING"))
			break;
		if (i > 3000)
			fail_msg("%d zombies stay", zombies_of(l.watcher));
	}
	live_end(&l);
}

/* A daemon of the old kind: the second fork's process is the unit's from then on. */
static void a_daemon_that_forks_twice(void **state)
{
	_cleanup_free_ char *run = NULL, *ready = NULL;
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct live l;
	pid_t first;

	live_new(&l);
	live_start(&l, NULL, NULL);
	script(&l, "daemon", "#!/bin/sh\ncd \"$(dirname \"$0\")\"\nrm -f pid\n(setsid sh -c 'echo $$ >pid.new; mv pid.new pid; exec sleep 1000' &)\nexit 0\n");
	run = xasprintf("run='%s/daemon'", l.dir);
	ready = xasprintf("ready=pidfile:%s/pid", l.dir);
	assert_int_equal(PM(&l, "unit", "d", run, ready, "restart=always"), 0);
	assert_int_equal(PM(&l, "start", "d", "-q", "--timeout", "30s"), 0);
	live_file(&l, "pid", &b);
	first = atoi(buf_str(&b));
	assert_int_equal(live_pid(&l, "d"), first);
	kill(first, SIGKILL);
	for (int i = 0; live_pid(&l, "d") == first || live_pid(&l, "d") <= 0; i++, nap(10))
		if (i > 1000)
			fail_msg("the daemon's end is not seen");
	live_until(&l, "d", "state", "RUNNING");
	buf_clear(&b);
	live_file(&l, "pid", &b);
	first = atoi(buf_str(&b));
	assert_int_equal(live_pid(&l, "d"), first);
	assert_int_equal(PM(&l, "stop", "d", "-q"), 0);
	live_wait_gone(first);
	live_end(&l);
}

/* It ignores what it is told, and so do its children. */
static void one_that_does_not_hear(void **state)
{
	_cleanup_free_ char *run = NULL, *mark = NULL;
	struct live l;

	live_new(&l);
	live_start(&l, NULL, NULL);
	mark = xasprintf("%s/deaf", l.dir);
	script(&l, "deaf", "#!/bin/sh\ntrap '' TERM HUP INT\n[ \"$1\" ] || \"$0\" child &\nwhile :; do sleep 0.05; done\n");
	run = xasprintf("run='%s'", mark);
	assert_int_equal(PM(&l, "unit", "d", run, "stop-timeout=100ms"), 0);
	assert_int_equal(PM(&l, "start", "d", "-q"), 0);
	for (int i = 0; running(mark) < 2; i++, nap(10))
		if (i > 1000)
			fail_msg("it has no child");
	assert_int_equal(PM(&l, "stop", "d", "-q"), 0);
	for (int i = 0; running(mark); i++, nap(5))
		if (i > 400)
			fail_msg("they are left");
	live_end(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_fork_bomb_ends_with_pm),
		cmocka_unit_test(orphans_leave_no_zombies),
		cmocka_unit_test(a_daemon_that_forks_twice),
		cmocka_unit_test(one_that_does_not_hear),
	};

	return cmocka_run_group_tests_name("pm/unruly", tests, NULL, NULL);
}
