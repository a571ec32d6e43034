/* SPDX-License-Identifier: Apache-2.0 */
/* Conditions of STARTING: when is a process that was started RUNNING? What cannot notify is asked, ever less often. */
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/file.h"
#include "base/units.h"
#include "pm/machine.h"
#include "pm/watch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum ready_kind { READY_EXEC, READY_ALIVE, READY_PIDFILE, READY_NOTIFY, READY_FD, READY_PORT, READY_COMMAND, READY_PM };

static enum ready_kind kind_of(const struct unit *u, const char **rest)
{
	static const char *const names[] = { "exec", "alive:", "pidfile:", "notify", "fd:", "port:", "command:" };
	const char *v = params_get(&u->params, "ready");

	for (size_t i = 0; v && i < ARRAY_SIZE(names); i++) {
		if (strncmp(v, names[i], strlen(names[i])))
			continue;
		*rest = v + strlen(names[i]);
		return (enum ready_kind)i;
	}
	*rest = "";
	return u->type == UNIT_PM && !v ? READY_PM : READY_EXEC;
}

bool ready_is_exec(const struct unit *u)
{
	const char *rest;

	return kind_of(u, &rest) == READY_EXEC;
}

int ready_open(struct unit *u, int *write_end)
{
	const char *rest;
	struct launch *l;
	int fds[2];

	if (kind_of(u, &rest) != READY_FD)
		return 0;
	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
		return -1;
	l = launch_of(u);
	l->ready_fd = fds[0];
	machine_watch_fd(fds[0], EPOLLIN, SEEN_READY_FD, u->index);
	*write_end = fds[1];
	return atoi(rest);
}

static void event(struct unit *u, const char *reason)
{
	core_event(&machine.core, u, PM_EV_READY, reason);
}

void ready_begin(struct unit *u)
{
	_cleanup_error_ struct error *e = NULL;
	struct launch *l = launch_of(u);
	const char *rest;
	uint64_t ms = 0;

	l->step = STEP_READY;
	l->delay = 5;
	switch (kind_of(u, &rest)) {
	case READY_ALIVE:
		if (parse_duration("ready", rest, &ms, &e) < 0 || ms == 0)
			event(u, "started");
		else
			launch_poll(u, ms > UINT32_MAX ? UINT32_MAX : (uint32_t)ms);
		break;
	case READY_PIDFILE:
	case READY_PORT:
	case READY_COMMAND:
	case READY_PM:
		ready_poll(u);
		break;
	default:
		break; /* they come by themselves */
	}
}

/* Is pid below the watcher? A pid file may be written by anybody; only what we started is taken. */
static bool descends(pid_t pid)
{
	pid_t watcher = getppid();

	for (int depth = 0; depth < 64 && pid > 1; depth++) {
		char path[32], text[512] = "";
		int fd;
		ssize_t n;
		const char *p;

		snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return false;
		n = read(fd, text, sizeof(text) - 1);
		close(fd);
		p = n > 0 ? strrchr(text, ')') : NULL;
		if (!p || sscanf(p, ") %*c %d", &pid) != 1)
			return false;
		if (pid == watcher)
			return true;
	}
	return false;
}

static void poll_pidfile(struct unit *u, const char *path)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	_cleanup_error_ struct error *e = NULL;
	uint64_t start;
	char *end;
	long pid;

	if (file_read(path, 64, &text, &e) < 0)
		return;
	pid = strtol(buf_str(&text), &end, 10);
	if (pid <= 1 || pid > INT32_MAX || end == text.data || !(start = watch_start_of((pid_t)pid)))
		return;
	if (pid == u->pid) {
		event(u, "pid file found");
		return;
	}
	if (!u->launch->forked) /* the first process is still there: it may go on writing */
		return;
	if (!descends((pid_t)pid)) {
		if (u->launch->delay < 100)
			log_unit_note(u, "the pid file names a process that does not come from this unit; not taken");
		return;
	}
	/* The pid may have been used again before we looked at its parents: same start, same process. */
	if (watch_start_of((pid_t)pid) != start)
		return;
	launch_forked(u, (int32_t)pid, start);
	event(u, "pid file found");
}

/* In the own host a connection is there or refused by the time connect returns, though it says EINPROGRESS. */
static bool connected(int fd, int rc)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	socklen_t n = sizeof(int);
	int code = 0;

	if (rc == 0)
		return true;
	return errno == EINPROGRESS && poll(&p, 1, 1) == 1 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &n) == 0 && !code;
}

/* Host must be a number: a static program has no resolver. */
static bool port_answers(const char *where)
{
	struct sockaddr_in a4 = { .sin_family = AF_INET };
	struct sockaddr_in6 a6 = { .sin6_family = AF_INET6 };
	const char *colon = strrchr(where, ':');
	_cleanup_close_ int fd = -1;
	char host[64] = "127.0.0.1";
	uint16_t port = htons((uint16_t)atoi(colon ? colon + 1 : where));

	if (colon && colon - where < (long)sizeof(host)) {
		bool bracket = where[0] == '[';

		snprintf(host, sizeof(host), "%.*s", (int)(colon - where) - 2 * bracket, where + bracket);
	}
	a4.sin_port = a6.sin6_port = port;
	if (inet_pton(AF_INET, host, &a4.sin_addr) == 1) {
		fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		return fd >= 0 && connected(fd, connect(fd, (struct sockaddr *)&a4, sizeof(a4)));
	}
	if (inet_pton(AF_INET6, host, &a6.sin6_addr) == 1) {
		fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		return fd >= 0 && connected(fd, connect(fd, (struct sockaddr *)&a6, sizeof(a6)));
	}
	return false;
}

static void poll_port(struct unit *u, const char *where)
{
	if (port_answers(where))
		event(u, "the port answers");
}

/* A sub-pm takes commands: its socket answers. */
static void poll_pm(struct unit *u)
{
	const char *root = params_get(&u->params, "root"), *home = params_get(&u->params, "home");
	_cleanup_error_ struct error *e = NULL;
	_cleanup_buf_ struct buf path = BUF_INIT;
	_cleanup_close_ int fd = -1;

	buf_addf(&path, "%s%s/socket", root ? root : "", home);
	fd = unix_connect(path.data, &e);
	if (fd >= 0)
		event(u, "it takes commands");
}

void ready_poll(struct unit *u)
{
	struct launch *l = launch_of(u);
	const char *rest;
	char why[160];

	switch (kind_of(u, &rest)) {
	case READY_ALIVE:
		if (u->pid > 0)
			event(u, "still alive");
		return;
	case READY_PIDFILE:
		poll_pidfile(u, rest);
		break;
	case READY_PORT:
		poll_port(u, rest);
		break;
	case READY_PM:
		poll_pm(u);
		break;
	case READY_COMMAND:
		if (!l->aux_running && launch_command(u, ROLE_READY, "ready", why) < 0)
			log_line("%s: ready: %s", u->id, why);
		break;
	default:
		return;
	}
	if (u->state != PM_STARTING)
		return;
	l = launch_of(u);
	launch_poll(u, l->delay);
	if (l->delay < 500)
		l->delay += l->delay / 4 + 1;
}

void ready_fd(struct unit *u)
{
	struct launch *l = u->launch;
	char text[256];
	ssize_t n = read(l->ready_fd, text, sizeof(text));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0 && memchr(text, '\n', (size_t)n)) {
		event(u, "it said so");
		return;
	}
	if (n <= 0) { /* closed without a word: the time-out or its end decides */
		machine_unwatch_fd(l->ready_fd);
		close(l->ready_fd);
		l->ready_fd = -1;
	}
}

/* The unit that a process belongs to: its main process, or the leader of its session. */
static struct unit *unit_of(pid_t pid)
{
	pid_t sid = getsid(pid);

	for (uint32_t i = 0; i < machine.core.nunits; i++) {
		struct unit *u = machine.core.units[i];

		if (u && u->pid > 0 && (u->pid == pid || u->pid == sid))
			return u;
	}
	return NULL;
}

/* Messages as sd_notify(3) sends them; of interest is READY=1. */
void ready_notify(void)
{
	char text[4096];
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(struct ucred))];
	} control;

	for (int i = 0; i < 64; i++) {
		struct iovec iov = { text, sizeof(text) - 1 };
		struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
			.msg_controllen = sizeof(control) };
		ssize_t n = recvmsg(machine.notify_fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
		struct cmsghdr *cm = n >= 0 ? CMSG_FIRSTHDR(&msg) : NULL;
		struct ucred cred = { 0 };
		const char *rest;
		struct unit *u;

		if (n < 0)
			return;
		text[n] = '\0';
		if (cm && cm->cmsg_type == SCM_CREDENTIALS)
			memcpy(&cred, CMSG_DATA(cm), sizeof(cred));
		u = cred.pid > 0 ? unit_of(cred.pid) : NULL;
		if (!u || kind_of(u, &rest) != READY_NOTIFY)
			continue;
		for (char *line = text, *next; line; line = next) {
			next = strchr(line, '\n');
			if (next)
				*next++ = '\0';
			if (!strcmp(line, "READY=1"))
				event(u, "it said so");
		}
		core_settle(&machine.core);
	}
}

void ready_end(struct unit *u)
{
	struct launch *l = u->launch;

	if (!l)
		return;
	if (l->ready_fd >= 0) {
		machine_unwatch_fd(l->ready_fd);
		close(l->ready_fd);
		l->ready_fd = -1;
	}
	if (u->state == PM_RUNNING)
		l->step = STEP_NONE;
}
