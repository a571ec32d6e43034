/* SPDX-License-Identifier: Apache-2.0 */
#include "base/proc.h"
#include "base/cleanup.h"
#include "base/fault.h"
#include "base/intr.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/strv.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define OUTPUT_MAX (16u << 20)

extern char **environ;

/* All that the child needs, made before the fork: after it only system calls are allowed. */
struct plan {
	const struct proc_opts *o;
	char *path;
	char **env;
	int stdio[3];
	int report; /* our errno goes here when exec fails */
	pid_t parent;
};

static void merge_env(struct strv *env, const char *const *add)
{
	for (char **e = environ; e && *e; e++) {
		size_t n = strcspn(*e, "=");
		bool replaced = false;

		for (const char *const *a = add; a && *a && !replaced; a++)
			replaced = !strncmp(*a, *e, n) && (*a)[n] == '=';
		if (!replaced)
			strv_add(env, *e);
	}
	strv_addv(env, add);
}

static bool kept(const struct proc_opts *o, int fd)
{
	for (size_t i = 0; i < o->nkeep_fds; i++)
		if (o->keep_fds[i] == fd)
			return true;
	return false;
}

static _Noreturn void child_fail(const struct plan *p)
{
	int code = errno;

	if (write(p->report, &code, sizeof(code)) < 0)
		_exit(126);
	_exit(127);
}

static void child_stdio(const struct plan *p)
{
	int fd[3];

	/* Moved above 2 first, so that one dup2 cannot overwrite the source of the next. */
	for (int i = 0; i < 3; i++) {
		fd[i] = p->stdio[i] < 3 ? fcntl(p->stdio[i], F_DUPFD_CLOEXEC, 3) : p->stdio[i];
		if (fd[i] < 0)
			child_fail(p);
	}
	for (int i = 0; i < 3; i++)
		if (dup2(fd[i], i) < 0)
			child_fail(p);
}

static _Noreturn void child(const struct plan *p)
{
	const struct proc_opts *o = p->o;
	sigset_t none;

	for (int s = 1; s < NSIG; s++)
		signal(s, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (o->detach)
		setsid();
	else if (!o->same_group)
		setpgid(0, 0);
	if (o->die_with_us && (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != p->parent))
		_exit(127);
	child_stdio(p);
	/* Marks all as close-on-exec, then takes the mark off those that are kept. */
	syscall(SYS_close_range, 3, ~0U, CLOSE_RANGE_CLOEXEC);
	for (size_t i = 0; i < o->nkeep_fds; i++)
		fcntl(o->keep_fds[i], F_SETFD, 0);
	if (o->cwd && chdir(o->cwd) < 0)
		child_fail(p);
	execve(p->path, (char **)o->argv, p->env);
	child_fail(p);
}

/* Opens what the child gets as stdin, stdout or stderr; *ours is our end of a pipe. */
static int open_stdio(enum proc_stdio kind, int index, int given, int *childs, int *ours, struct error **err)
{
	int ends[2];

	switch (kind) {
	case PROC_INHERIT:
		*childs = fcntl(index, F_DUPFD_CLOEXEC, 3);
		if (*childs >= 0)
			return 0;
		__attribute__((fallthrough)); /* ours is closed */
	case PROC_NULL:
		*childs = open("/dev/null", O_RDWR | O_CLOEXEC);
		break;
	case PROC_FD:
		*childs = fcntl(given, F_DUPFD_CLOEXEC, 3);
		break;
	case PROC_PIPE:
		if (pipe2(ends, O_CLOEXEC) < 0)
			return error_errno(err, errno, "pipe");
		*childs = ends[index ? 1 : 0];
		*ours = ends[index ? 0 : 1];
		return 0;
	}
	return *childs < 0 ? error_errno(err, errno, "cannot open stdio %d of a command", index) : 0;
}

static int fork_child(struct plan *plan, struct proc *p, struct error **err)
{
	_cleanup_close_ int read_end = -1, write_end = -1;
	int ends[2], code = fault(FAULT_FORK);
	ssize_t n;

	if (code)
		return error_errno(err, code, "cannot start %s", plan->o->argv[0]);
	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_errno(err, errno, "pipe");
	read_end = ends[0];
	write_end = ends[1];
	/* A kept fd must not be the report pipe's number by accident: it never is, kept ones are open. */
	plan->report = write_end;
	plan->parent = getpid();
	p->pid = fork();
	if (p->pid < 0) {
		p->pid = 0;
		return error_errno(err, errno, "cannot start %s", plan->o->argv[0]);
	}
	if (p->pid == 0)
		child(plan);
	close(STEAL_FD(write_end));
	while ((n = read(read_end, &code, sizeof(code))) < 0 && errno == EINTR)
		;
	if (n == (ssize_t)sizeof(code)) {
		while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR)
			;
		p->pid = 0;
		return error_errno(err, code, "cannot start %s", plan->path);
	}
	p->pidfd = (int)syscall(SYS_pidfd_open, p->pid, 0);
	return 0;
}

int proc_spawn(const struct proc_opts *o, struct proc *p, struct error **err)
{
	_cleanup_strv_ struct strv env = STRV_INIT;
	_cleanup_free_ char *path = path_find_program(o->argv[0]);
	struct plan plan = { .o = o, .path = path, .stdio = { -1, -1, -1 } };
	int rc = -1;

	*p = (struct proc)PROC_INIT;
	p->detach = o->detach;
	p->own_group = o->detach || !o->same_group;
	if (!path) {
		error_set(err, ERR_NOT_FOUND, "%s: no such program in PATH", o->argv[0]);
		return -1;
	}
	merge_env(&env, o->env);
	plan.env = env.v ? env.v : (char *[]){ NULL };
	if (open_stdio(o->in, 0, o->in_fd, &plan.stdio[0], &p->in, err) == 0 &&
		open_stdio(o->out, 1, o->out_fd, &plan.stdio[1], &p->out, err) == 0 &&
		open_stdio(o->err, 2, o->err_fd, &plan.stdio[2], &p->err, err) == 0)
		rc = fork_child(&plan, p, err);
	for (int i = 0; i < 3; i++)
		if (plan.stdio[i] >= 0 && !kept(o, plan.stdio[i]))
			close(plan.stdio[i]);
	if (rc < 0)
		proc_release(p);
	return rc;
}

int proc_wait(struct proc *p, int timeout_ms, int *status, struct error **err)
{
	uint64_t end = loop_now() + (uint64_t)(timeout_ms > 0 ? timeout_ms : 0) * 1000000;

	for (;;) {
		uint64_t now = loop_now();
		int left = timeout_ms < 0 ? -1 : now >= end ? 0 : (int)((end - now + 999999) / 1000000);
		struct pollfd f = { .fd = p->pidfd, .events = POLLIN };
		int n = poll(&f, 1, left);

		if (n < 0 && errno == EINTR) {
			if (intr_check(err) < 0)
				return -1;
			continue;
		}
		if (n == 0)
			return error_set(err, ERR_TIMEOUT, "process %d still runs after %d ms", (int)p->pid, timeout_ms);
		break;
	}
	while (waitpid(p->pid, status, 0) < 0)
		if (errno != EINTR)
			return error_errno(err, errno, "process %d: cannot wait", (int)p->pid);
	p->pid = 0;
	return 0;
}

void proc_release(struct proc *p)
{
	if (p->pid > 0 && !p->detach) {
		kill(p->own_group ? -p->pid : p->pid, SIGKILL);
		while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	cleanup_close(&p->pidfd);
	cleanup_close(&p->in);
	cleanup_close(&p->out);
	cleanup_close(&p->err);
	*p = (struct proc)PROC_INIT;
}

const char *proc_status_text(int status)
{
	static __thread char text[64];

	if (WIFEXITED(status))
		snprintf(text, sizeof(text), "exited with status %d", WEXITSTATUS(status));
	else if (WIFSIGNALED(status))
		snprintf(text, sizeof(text), "killed by SIG%s%s", sigabbrev_np(WTERMSIG(status)),
			WCOREDUMP(status) ? " (core dumped)" : "");
	else
		snprintf(text, sizeof(text), "wait status 0x%x", (unsigned)status);
	return text;
}

/* Reads what is there; at the end of the stream closes and forgets the fd. */
static int drain(int *fd, struct buf *b, const char *what, struct error **err)
{
	ssize_t n = read(*fd, buf_reserve(b, 65536), 65536);

	if (n > 0) {
		b->len += (size_t)n;
		b->data[b->len] = '\0';
		if (b->len > OUTPUT_MAX)
			return error_set(err, ERR_FAILED, "%s printed more than %u MiB", what, OUTPUT_MAX >> 20);
	} else if (n == 0 || (errno != EINTR && errno != EAGAIN)) {
		close(*fd);
		*fd = -1;
	}
	return 0;
}

/* Last lines of what a failed command said, for the error. */
static const char *last_lines(struct buf *b)
{
	const char *s;
	int lines = 0;

	while (b->len && strchr("\n\r ", b->data[b->len - 1]))
		b->data[--b->len] = '\0';
	for (s = buf_str(b) + b->len; s > b->data; s--)
		if (s[-1] == '\n' && ++lines == 5)
			break;
	return s;
}

static int collect(struct proc *p, const char *what, uint64_t end, struct buf *out, struct buf *errout,
	struct error **err)
{
	while (p->out >= 0 || p->err >= 0) {
		struct pollfd f[2] = { { .fd = p->out, .events = POLLIN }, { .fd = p->err, .events = POLLIN } };
		uint64_t now = loop_now();
		int n;

		if (end && now >= end)
			return error_set(err, ERR_TIMEOUT, "%s has not ended in time", what);
		n = poll(f, 2, end ? (int)((end - now + 999999) / 1000000) : -1);
		if (n < 0 && errno != EINTR)
			return error_errno(err, errno, "poll");
		if (n < 0 && intr_check(err) < 0)
			return -1;
		if (n > 0 && f[0].revents && drain(&p->out, out, what, err) < 0)
			return -1;
		if (n > 0 && f[1].revents && drain(&p->err, errout, what, err) < 0)
			return -1;
	}
	return 0;
}

int proc_run(const char *const *argv, int timeout_ms, struct buf *out, struct buf *errout, struct error **err)
{
	_cleanup_proc_ struct proc p = PROC_INIT;
	_cleanup_buf_ struct buf own = BUF_INIT;
	struct proc_opts o = { .argv = argv, .out = out ? PROC_PIPE : PROC_NULL, .err = PROC_PIPE };
	uint64_t end = timeout_ms >= 0 ? loop_now() + (uint64_t)timeout_ms * 1000000 + 1 : 0;
	int status, left = -1;

	if (!errout)
		errout = &own;
	if (proc_spawn(&o, &p, err) < 0 || collect(&p, argv[0], end, out, errout, err) < 0)
		return -1;
	if (end)
		left = loop_now() >= end ? 0 : (int)((end - loop_now()) / 1000000) + 1;
	if (proc_wait(&p, left, &status, err) < 0)
		return error_wrap(err, "%s", argv[0]);
	if (status) {
		const char *said = last_lines(errout);

		return error_set(err, ERR_FAILED, "%s %s%s%s", argv[0], proc_status_text(status), *said ? ": " : "", said);
	}
	return 0;
}

int proc_output(const char *const *argv, const char *const *env, const char *cwd, int timeout_ms, int *status, struct buf *out,
	struct error **err)
{
	_cleanup_proc_ struct proc p = PROC_INIT;
	struct proc_opts o = { .argv = argv, .env = env, .cwd = cwd, .out = PROC_PIPE, .err = PROC_PIPE, .die_with_us = true };
	uint64_t end = timeout_ms >= 0 ? loop_now() + (uint64_t)timeout_ms * 1000000 + 1 : 0;
	int wait_status, left = -1;

	if (proc_spawn(&o, &p, err) < 0 || collect(&p, argv[0], end, out, out, err) < 0)
		return -1;
	if (end)
		left = loop_now() >= end ? 0 : (int)((end - loop_now()) / 1000000) + 1;
	if (proc_wait(&p, left, &wait_status, err) < 0)
		return error_wrap(err, "%s", argv[0]);
	*status = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
	return 0;
}
