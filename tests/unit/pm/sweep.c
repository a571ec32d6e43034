/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kill -9 at every system call. A user defines, starts, loses and stops units; one half of pm, or both at one instant, are killed
 * when they are about to make their n-th call since, for n = 1, 2, ... until they no longer make so many. Each time the user
 * only repeats what was not answered, and in the end: every unit is in the state that was asked for, no process was started
 * twice, none is left when pm has gone. PM_SWEEP_FROM, PM_SWEEP_STEP: from which n on, and each how manyth.
 */
#include "live.h"

#include <sys/file.h>
#include <sys/ptrace.h>

#define STUCK_SECONDS 120

/* Another compiler's pm is the same program, and a sanitizer's is slow: some of the calls will do. */
#if defined(__SANITIZE_ADDRESS__)
#define STEP 29
#elif defined(__clang__)
#define STEP 13
#else
#define STEP 1
#endif

enum victims { MACHINE = 1, WATCHER = 2, BOTH = 3 };

static char self[4096];

/* What a unit's process is: it tells of itself, and of another one of the same unit that lives. */
static int be_unit(const char *dir, const char *name)
{
	char path[4096], line[32];
	int fd;

	snprintf(path, sizeof(path), "%s/%s.lock", dir, name);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0) {
		snprintf(path, sizeof(path), "%s/twice", dir);
		close(open(path, O_WRONLY | O_CREAT, 0600));
	}
	snprintf(path, sizeof(path), "%s/%s.starts", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
	snprintf(line, sizeof(line), "%d\n", (int)getpid());
	if (write(fd, line, strlen(line)) < 0)
		return 1;
	for (;;)
		pause();
}

/* How often a unit's process was started; *last is the last one. */
static int starts_of(const char *dir, const char *name, pid_t *last)
{
	char path[4096], line[32];
	FILE *f;
	int n = 0;

	snprintf(path, sizeof(path), "%s/%s.starts", dir, name);
	f = fopen(path, "r");
	for (*last = 0; f && fgets(line, sizeof(line), f); n++)
		*last = (pid_t)atoi(line);
	if (f)
		fclose(f);
	return n;
}

/* The user: a process of its own, for we are busy with tracing. Its exit status: the line at which it gave up. */

static bool done(const char *home, const char *const *words)
{
	const char *argv[16] = { PM_PROGRAM, words[0], "-q", "--home", home };
	int status, n = 5;
	pid_t pid;

	for (; words[n - 4]; n++)
		argv[n] = words[n - 4];
	pid = fork();
	if (pid == 0) {
		int null = open("/dev/null", O_RDWR);

		dup2(null, 1);
		dup2(null, 2);
		execv(PM_PROGRAM, (char *const *)argv);
		_exit(127);
	}
	return waitpid(pid, &status, 0) == pid && status == 0;
}

static void ask(const struct live *l, int line, const char *const *words)
{
	for (int i = 0; !done(l->home, words); i++, nap(5))
		if (i > 4000)
			_exit(line);
}
#define ASK(...) ask(l, __LINE__, (const char *const[]){ __VA_ARGS__, NULL })

static void await_starts(const struct live *l, const char *name, int n, int line)
{
	pid_t last;

	for (int i = 0; starts_of(l->dir, name, &last) < n; i++, nap(2))
		if (i > 10000)
			_exit(line);
}

static void be_user(const struct live *l)
{
	_cleanup_free_ char *a = xasprintf("run='%s' --unit '%s' a", self, l->dir), *b = xasprintf("run='%s' --unit '%s' b", self, l->dir),
			    *c = xasprintf("run='%s' --unit '%s' c", self, l->dir);
	pid_t pid;

	ASK("unit", "a", a, "restart=on-failure");
	ASK("unit", "b", b, "restart=always", "needs=a");
	ASK("unit", "c", c);
	ASK("start", "b");
	await_starts(l, "b", 1, __LINE__);
	starts_of(l->dir, "b", &pid);
	kill(pid, SIGKILL);
	await_starts(l, "b", 2, __LINE__);
	ASK("start", "c");
	await_starts(l, "c", 1, __LINE__);
	ASK("set-property", "a", "title=the first one");
	ASK("stop", "c");
	_exit(0);
}

/* Tracing. */

struct trace {
	pid_t pid;  /* 0: dead, or not to be traced */
	bool inside; /* of a system call */
};
static volatile sig_atomic_t stuck;

static void on_alarm(int signo)
{
	stuck = 1;
}

static bool seize(struct trace *t, pid_t pid)
{
	int status;

	if (ptrace(PTRACE_SEIZE, pid, NULL, (void *)PTRACE_O_TRACESYSGOOD) < 0)
		return false;
	*t = (struct trace){ .pid = pid };
	ptrace(PTRACE_INTERRUPT, pid, NULL, NULL);
	return waitpid(pid, &status, __WALL) == pid && WIFSTOPPED(status);
}

/* Its parent, which may be us, takes it away. */
static bool until_gone(pid_t pid)
{
	for (int i = 0; kill(pid, 0) == 0; i++, nap(2)) {
		waitpid(pid, NULL, WNOHANG);
		if (i > 5000)
			return false;
	}
	return true;
}

/* All at one instant: whoever runs is stopped first. */
static void kill_all(struct trace t[2], const struct trace *stopped)
{
	int status;

	for (int i = 0; i < 2; i++)
		if (t[i].pid && &t[i] != stopped && ptrace(PTRACE_INTERRUPT, t[i].pid, NULL, NULL) == 0)
			waitpid(t[i].pid, &status, __WALL);
	for (int i = 0; i < 2; i++)
		if (t[i].pid)
			kill(t[i].pid, SIGKILL);
	for (int i = 0; i < 2; i++)
		if (t[i].pid) {
			while (waitpid(t[i].pid, &status, __WALL) == t[i].pid && WIFSTOPPED(status))
				;
			until_gone(t[i].pid);
			t[i].pid = 0;
		}
}

static void let_go(struct trace t[2])
{
	int status;

	for (int i = 0; i < 2; i++)
		if (t[i].pid && ptrace(PTRACE_INTERRUPT, t[i].pid, NULL, NULL) == 0 && waitpid(t[i].pid, &status, __WALL) == t[i].pid) {
			ptrace(PTRACE_DETACH, t[i].pid, NULL, NULL);
			t[i].pid = 0;
		}
}

/* Until the user has finished. True: the n-th call was made, and its maker killed. */
static bool trace(struct live *l, enum victims v, struct trace t[2], pid_t user, int n)
{
	bool killed = false;
	int calls = 0;

	for (int i = 0; i < 2; i++)
		if (t[i].pid)
			ptrace(PTRACE_SYSCALL, t[i].pid, NULL, NULL);
	for (;;) {
		struct trace *it;
		int status, signo = 0;
		pid_t other, pid = waitpid(-1, &status, __WALL);

		if (stuck || (pid < 0 && errno != EINTR))
			fail_msg("call %d: nothing goes on", n);
		if (pid == user) {
			if (status)
				fail_msg("call %d: the user gave up in line %d", n, WEXITSTATUS(status));
			return killed;
		}
		it = pid == t[0].pid ? &t[0] : pid == t[1].pid ? &t[1] : NULL;
		if (!it || pid <= 0)
			continue;
		if (!WIFSTOPPED(status))
			fail_msg("call %d: process %d of pm has died", n, (int)pid);
		if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
			it->inside = !it->inside;
			calls += it->inside;
		} else if (status >> 16 == 0) {
			signo = WSTOPSIG(status);
		}
		if (calls < n) {
			ptrace(PTRACE_SYSCALL, pid, NULL, (void *)(long)signo);
			continue;
		}
		other = live_machine(l);
		kill_all(t, it);
		killed = true;
		if (v == WATCHER) /* its other half becomes what it was */
			l->watcher = other;
		else
			while (v == MACHINE && live_machine(l) == other)
				nap(1);
		if (v == BOTH)
			live_start(l, NULL, NULL);
	}
}

/*
 * A unit runs when its program was executed; on a busy computer it may say so itself much later, even after units that were
 * started after it. leave_nothing counts once more when all have ended.
 */
static void expect_starts(struct live *l, const char *name, int n, int call, bool alive)
{
	pid_t last;
	int got = starts_of(l->dir, name, &last);

	for (int i = 0; got < n && i < 6000; i++, nap(5))
		got = starts_of(l->dir, name, &last);
	if (got != n)
		fail_msg("call %d: %s was started %d times, not %d", call, name, got, n);
	if (alive ? kill(last, 0) < 0 : !until_gone(last))
		fail_msg("call %d: the process of %s is %s", call, name, alive ? "gone" : "left");
}

static void leave_nothing(struct live *l, int call)
{
	static const struct {
		const char *name;
		int starts;
	} units[] = { { "a", 1 }, { "b", 2 }, { "c", 1 } };
	_cleanup_free_ char *twice = xasprintf("%s/twice", l->dir);

	if (file_exists(twice))
		fail_msg("call %d: two processes of one unit at a time", call);
	PM(l, "shutdown", "-q");
	live_wait_gone(l->watcher);
	l->watcher = 0;
	for (int i = 0; i < 3; i++) {
		pid_t last;
		int n = starts_of(l->dir, units[i].name, &last);

		if (n != units[i].starts)
			fail_msg("call %d: %s was started %d times in the end, not %d", call, units[i].name, n, units[i].starts);
		if (!until_gone(last))
			fail_msg("call %d: a process of %s is left of %d", call, units[i].name, n);
	}
	live_end(l);
}

/* True: there was such a call. */
static bool one(enum victims v, int n)
{
	_cleanup_buf_ struct buf out = BUF_INIT;
	struct trace t[2] = { 0 };
	struct live l;
	bool killed;
	pid_t user;

	live_new(&l);
	live_start(&l, NULL, NULL);
	assert_true(!(v & MACHINE) || seize(&t[0], live_machine(&l)));
	assert_true(!(v & WATCHER) || seize(&t[1], l.watcher));
	user = fork();
	if (user == 0)
		be_user(&l);
	stuck = 0;
	alarm(STUCK_SECONDS);
	killed = trace(&l, v, t, user, n);
	let_go(t);
	live_machine(&l); /* the next one may only be on its way */
	while (PM(&l, "jobs", "-q") != 0)
		nap(5);
	live_until(&l, "a", "state", "RUNNING");
	live_until(&l, "b", "state", "RUNNING");
	live_until(&l, "c", "state", "STOPPED");
	expect_starts(&l, "a", 1, n, true);
	expect_starts(&l, "b", 2, n, true);
	expect_starts(&l, "c", 1, n, false);
	assert_int_equal(PM_OUT(&l, &out, "cat", "a", "title"), 0);
	assert_string_equal(buf_str(&out), "title=the first one\n");
	leave_nothing(&l, n);
	alarm(0);
	return killed;
}

static bool can_trace(void)
{
	struct trace t;
	pid_t pid = fork();
	bool can;

	if (pid == 0)
		for (;;)
			pause();
	can = seize(&t, pid);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, __WALL);
	return can;
}

static int asked(const char *name, int fallback)
{
	const char *v = getenv(name);

	return v && atoi(v) > 0 ? atoi(v) : fallback;
}

static void sweep(enum victims v)
{
	int step = asked("PM_SWEEP_STEP", STEP), n = asked("PM_SWEEP_FROM", 1);

	if (!can_trace())
		skip_test("processes cannot be traced");
	sigaction(SIGALRM, &(struct sigaction){ .sa_handler = on_alarm }, NULL);
	while (one(v, n))
		n += step;
	print_message("killed at each of %d system calls\n", n - 1);
	assert_true(n > 20);
}

static void the_machine(void **state)
{
	sweep(MACHINE);
}

static void the_watcher(void **state)
{
	sweep(WATCHER);
}

static void both(void **state)
{
	sweep(BOTH);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_machine),
		cmocka_unit_test(the_watcher),
		cmocka_unit_test(both),
	};

	if (argc == 4 && !strcmp(argv[1], "--unit"))
		return be_unit(argv[2], argv[3]);
	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		return 1;
	return cmocka_run_group_tests_name("pm/sweep", tests, NULL, NULL);
}
