/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where commands come in: the FIFO `input` and the socket `socket`. Answers on the socket are lines:
 *
 *	[@TAG ] - TEXT		data
 *	[@TAG ] : ID STATE TEXT	progress: a unit that the command is about has changed
 *	[@TAG ] = STATUS TEXT	the end of the answer; STATUS is the exit status of a client
 *
 * Several commands may be under way on one connection; tags tell their answers apart.
 */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "pm/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define CLIENTS_MAX 256
#define OUT_MAX (16 << 20) /* bytes that a client has not read */

struct client {
	int fd;
	uint32_t index;
	struct buf in, out;
	bool full, gone, relaxed;
	int fds[3];
};
struct waiter {
	struct waiter *next;
	struct reply to;
	enum wait_kind kind;
	uint32_t pending, failed, bits;
	int32_t status; /* WAIT_JOB: wait status of its process */
	char first[200]; /* what failed first */
	uint8_t set[];	 /* bit for each unit that is not there yet */
};

static struct client *clients[CLIENTS_MAX];
static struct waiter *waiters;
static int input_fd = -1, listen_fd = -1;
static struct buf input;
static bool input_skip; /* the rest of a line that was too long */

/* Answers. */

/* Where the text of a line begins in the client's buffer. */
static size_t begin_line(const struct reply *r, char mark)
{
	struct buf *out = &r->client->out;

	if (r->tag[0])
		buf_addf(out, "@%s ", r->tag);
	buf_add(out, (char[]){ mark, ' ' }, 2);
	return out->len;
}

static void end_line(const struct reply *r, size_t at)
{
	struct client *c = r->client;

	for (char *nl = c->out.data + at; (nl = memchr(nl, '\n', c->out.len - (size_t)(nl - c->out.data)));)
		*nl = ' ';
	buf_addc(&c->out, '\n');
	if (c->out.len > OUT_MAX) {
		log_line("a client does not read its answers; dropped");
		c->gone = true;
	}
}

static void send_line(const struct reply *r, char mark, const char *text)
{
	size_t at;

	if (r->client->gone)
		return;
	at = begin_line(r, mark);
	buf_adds(&r->client->out, text);
	end_line(r, at);
}

void reply_data(struct reply *r, const char *fmt, ...)
{
	va_list ap;
	size_t at;

	if (!r->client || r->client->gone)
		return;
	at = begin_line(r, '-');
	va_start(ap, fmt);
	buf_addvf(&r->client->out, fmt, ap);
	va_end(ap);
	end_line(r, at);
}

void reply_text(struct reply *r, const char *text)
{
	if (r->client)
		send_line(r, '-', text);
}

static void end_text(const struct reply *r, int status, const char *text)
{
	_cleanup_free_ char *line = NULL;

	if (!r->client) {
		if (status)
			log_line("input: %.200s: %s", r->line ? r->line : "", text);
		return;
	}
	line = xasprintf("%d %s", status, text);
	send_line(r, '=', line);
}

void reply_end(struct reply *r, int status, const char *fmt, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	end_text(r, status, text);
}

void reply_error(struct reply *r, struct error **err)
{
	_cleanup_free_ char *text = error_text(*err);

	end_text(r, (int)(*err)->cls, text);
	error_clear(err);
}

void reply_relax(struct reply *r)
{
	if (r->client)
		r->client->relaxed = true;
}

bool reply_relaxed(const struct reply *r)
{
	return !r->client || r->client->relaxed;
}

bool reply_take_fds(struct reply *r, int fds[3])
{
	if (!r->client || r->client->fds[2] < 0)
		return false;
	for (int i = 0; i < 3; i++)
		fds[i] = STEAL_FD(r->client->fds[i]);
	return true;
}

/* Waiting. */

enum outcome { NOT_YET, DONE, FAILED };

static enum outcome outcome(const struct unit *u, enum wait_kind k)
{
	bool down = u->state == PM_STOPPED || u->state == PM_FAIL || u->state == PM_STARTING_FAIL;

	switch (k) {
	case WAIT_UP:
		if (u->state == PM_RUNNING)
			return DONE;
		/* A goal that went down: given up, or somebody said stop. */
		return u->up ? NOT_YET : FAILED;
	case WAIT_DOWN:
		return down && !u->up ? DONE : NOT_YET;
	case WAIT_END:
	case WAIT_JOB:
		if (!down || u->up || (u->state == PM_FAIL && u->clean)) /* a good end goes on to STOPPED at once */
			return NOT_YET;
		return u->state == PM_STOPPED ? DONE : FAILED;
	case WAIT_RELOAD:
		return u->state == PM_RUNNING ? NOT_YET : FAILED;
	}
	return DONE;
}

static void waiter_finish(struct waiter *w)
{
	if (w->kind == WAIT_JOB && w->status != WIRE_LOST) /* as a shell has it */
		end_text(&w->to, WIFEXITED(w->status) ? WEXITSTATUS(w->status) : 128 + WTERMSIG(w->status),
			launch_status_text(w->status));
	else if (!w->failed)
		end_text(&w->to, 0, "done");
	else
		end_text(&w->to, 1, w->first);
}

/* One unit has got there, or cannot. */
static void settle_unit(struct waiter *w, struct unit *u, enum outcome o, const char *reason)
{
	w->set[u->index / 8] &= (uint8_t) ~(1 << u->index % 8);
	w->pending--;
	w->status = u->status;
	if (w->kind == WAIT_JOB && (u->state == PM_STARTING_FAIL || !u->job)) /* its status alone does not say that it never ran */
		reply_data(&w->to, "%s", reason);
	if (o == FAILED && !w->failed++)
		snprintf(w->first, sizeof(w->first), "%.80s: %s: %.90s", u->id, pm_state_name(u->state), reason);
}

static bool waits_for(const struct waiter *w, const struct unit *u)
{
	return u->index < w->bits && w->set[u->index / 8] & 1 << u->index % 8;
}

static void sweep(void)
{
	for (struct waiter **at = &waiters, *w; (w = *at);) {
		if (w->pending && !w->to.client->gone) {
			at = &w->next;
			continue;
		}
		if (!w->pending)
			waiter_finish(w);
		*at = w->next;
		free(w);
	}
}

void server_changed(struct unit *u, enum pm_state from, const char *reason)
{
	if (!u->watched)
		return;
	for (struct waiter *w = waiters; w; w = w->next) {
		_cleanup_free_ char *text = NULL;
		enum outcome o;

		if (!waits_for(w, u))
			continue;
		text = xasprintf("%s %s %s", u->id, pm_state_name(u->state), reason);
		send_line(&w->to, ':', text);
		o = outcome(u, w->kind);
		if (o != NOT_YET)
			settle_unit(w, u, o, reason);
	}
}

void server_reloaded(struct unit *u, const char *failure)
{
	if (failure)
		log_line("%s: %s", u->id, failure);
	for (struct waiter *w = waiters; w; w = w->next)
		if (w->kind == WAIT_RELOAD && waits_for(w, u))
			settle_unit(w, u, failure ? FAILED : DONE, failure ? failure : "");
}

/* Why it is in its state, as it was recorded. */
static const char *last_reason(const struct unit *u, struct buf *line)
{
	const char *tab;

	home_flush();
	tab = home_last(u->id, line) ? strrchr(line->data, '\t') : NULL;
	return tab && tab[1] ? tab + 1 : "did not come up; `pm log` tells more";
}

void reply_wait(struct reply *r, enum wait_kind kind, struct unit *const *units, size_t n)
{
	uint32_t bits = machine.core.nunits;
	struct waiter *w;

	if (!r->client)
		return;
	w = xcalloc(1, sizeof(*w) + bits / 8 + 1);
	w->to = *r;
	w->kind = kind;
	w->bits = bits;
	for (size_t i = 0; i < n; i++) {
		struct unit *u = units[i];

		if (waits_for(w, u))
			continue;
		w->set[u->index / 8] |= (uint8_t)(1 << u->index % 8);
		w->pending++;
		u->watched = true;
	}
	for (size_t i = 0; i < n && kind != WAIT_RELOAD; i++) {
		enum outcome o = outcome(units[i], kind);
		_cleanup_buf_ struct buf line = BUF_INIT;
		char why[160];

		if (!waits_for(w, units[i]) || o == NOT_YET)
			continue;
		core_waits_for(&machine.core, units[i], why);
		settle_unit(w, units[i], o, why[0] ? why : o == FAILED || kind == WAIT_JOB ? last_reason(units[i], &line) : "");
	}
	w->next = waiters;
	waiters = w;
}

/* Lines. */

static void one_line(struct client *c, const char *line, size_t n)
{
	struct reply r = { .client = c };
	_cleanup_free_ char *text = xstrndup(line, n);

	r.line = text;
	command_line(&r, line, n);
	core_settle(&machine.core);
}

/* Executes the complete lines of b and takes them out. */
static void whole_lines(struct client *c, struct buf *b, bool *skip)
{
	char *at = b->data, *end = b->data + b->len, *nl;

	while (at < end && (nl = memchr(at, '\n', (size_t)(end - at)))) {
		if (*skip)
			*skip = false;
		else
			one_line(c, at, (size_t)(nl - at));
		at = nl + 1;
	}
	buf_consume(b, (size_t)(at - b->data));
	if (b->len > PM_LINE_MAX) {
		struct reply r = { .client = c, .line = "(too long)" };

		reply_end(&r, ERR_USAGE, "a line has at most %d bytes; this one is left out", PM_LINE_MAX);
		buf_clear(b);
		*skip = true;
	}
	if (!b->len && b->cap > 8192)
		buf_free(b);
}

static void read_input(void)
{
	/* Some at a time: units and clients are waiting too. */
	ssize_t n = read(input_fd, buf_reserve(&input, 16384), 16384);

	if (n <= 0)
		return;
	input.len += (size_t)n;
	whole_lines(NULL, &input, &input_skip);
}

static void client_free(struct client *c)
{
	for (struct waiter **at = &waiters, *w; (w = *at);) {
		if (w->to.client != c) {
			at = &w->next;
			continue;
		}
		*at = w->next;
		free(w);
	}
	machine_unwatch_fd(c->fd);
	close(c->fd);
	for (int i = 0; i < 3; i++)
		if (c->fds[i] >= 0)
			close(c->fds[i]);
	buf_free(&c->in);
	buf_free(&c->out);
	clients[c->index] = NULL;
	free(c);
}

static void accept_client(void)
{
	int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct client *c;
	uint32_t i = 0;

	if (fd < 0)
		return;
	while (i < CLIENTS_MAX && clients[i])
		i++;
	if (i == CLIENTS_MAX || machine_watch_fd(fd, EPOLLIN, SEEN_CLIENT, i) < 0) {
		close(fd);
		return;
	}
	c = xcalloc(1, sizeof(*c));
	*c = (struct client){ .fd = fd, .index = i, .fds = { -1, -1, -1 } };
	clients[i] = c;
}

static void take_fds(struct client *c, struct msghdr *msg)
{
	for (struct cmsghdr *cm = CMSG_FIRSTHDR(msg); cm; cm = CMSG_NXTHDR(msg, cm)) {
		size_t n = (cm->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		int fds[3];

		if (cm->cmsg_level != SOL_SOCKET || cm->cmsg_type != SCM_RIGHTS || n > 3)
			continue;
		memcpy(fds, CMSG_DATA(cm), n * sizeof(int));
		for (size_t i = 0; i < n; i++) {
			if (c->fds[i] >= 0)
				close(c->fds[i]);
			c->fds[i] = fds[i];
		}
	}
}

static void read_client(struct client *c)
{
	struct iovec iov = { buf_reserve(&c->in, 16384), 16384 };
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(3 * sizeof(int))];
	} control;
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(c->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	bool skip = false;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		c->gone = true;
		return;
	}
	take_fds(c, &msg);
	c->in.len += (size_t)n;
	whole_lines(c, &c->in, &skip);
	if (skip)
		c->gone = true;
}

void server_event(enum seen kind, uint32_t index, uint32_t events)
{
	struct client *c = kind == SEEN_CLIENT && index < CLIENTS_MAX ? clients[index] : NULL;

	if (kind == SEEN_INPUT)
		read_input();
	else if (kind == SEEN_LISTEN)
		accept_client();
	else if (c && events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		read_client(c);
}

static void flush_client(struct client *c)
{
	while (c->out.len && !c->gone) {
		ssize_t n = send(c->fd, c->out.data, c->out.len, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n > 0) {
			buf_consume(&c->out, (size_t)n);
		} else if (errno == EAGAIN) {
			if (!c->full)
				machine_watch_fd(c->fd, EPOLLIN | EPOLLOUT, SEEN_CLIENT, c->index);
			c->full = true;
			return;
		} else if (errno != EINTR) {
			c->gone = true;
		}
	}
	if (c->full) {
		machine_watch_fd(c->fd, EPOLLIN, SEEN_CLIENT, c->index);
		c->full = false;
	}
	buf_free(&c->out);
}

void server_flush(void)
{
	if (waiters)
		sweep();
	for (uint32_t i = 0; i < CLIENTS_MAX; i++) {
		if (clients[i] && clients[i]->out.len)
			flush_client(clients[i]);
		if (clients[i] && clients[i]->gone)
			client_free(clients[i]);
	}
}

bool server_has_clients(void)
{
	for (uint32_t i = 0; i < CLIENTS_MAX; i++)
		if (clients[i])
			return true;
	return false;
}

static int open_notify(struct error **err)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX, .sun_path = "notify" };
	int one = 1, fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	unlink("notify");
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)) < 0 ||
		chmod("notify", 0666) < 0) {
		int code = errno;

		if (fd >= 0)
			close(fd);
		return error_errno(err, code, "%s/notify", machine.home);
	}
	machine.notify_fd = fd;
	return machine_watch_fd(fd, EPOLLIN, SEEN_NOTIFY, 0);
}

/* The system's pm is found by others under this name too; where it cannot be, nobody needs it. */
static void link_pipe(void)
{
	if (strcmp(machine.home, "/var/opt/pm") != 0)
		return;
	mkdir("/var/pm", 0755);
	if (symlink("/var/opt/pm/input", "/var/pm/default.pipe") < 0 && errno != EEXIST)
		log_line("/var/pm/default.pipe: %s", strerror(errno));
}

int server_open(struct error **err)
{
	struct stat st;

	if (lstat("input", &st) == 0 && !S_ISFIFO(st.st_mode))
		unlink("input");
	if (mkfifo("input", 0600) < 0 && errno != EEXIST)
		return error_errno(err, errno, "%s/input", machine.home);
	/* Open for writing too: the last writer that leaves is no end. */
	input_fd = open("input", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (input_fd < 0 || machine_watch_fd(input_fd, EPOLLIN, SEEN_INPUT, 0) < 0)
		return error_errno(err, errno, "%s/input", machine.home);
	link_pipe();
	listen_fd = unix_listen("socket", 64, err);
	if (listen_fd < 0)
		return -1;
	fcntl(listen_fd, F_SETFL, O_NONBLOCK);
	machine_watch_fd(listen_fd, EPOLLIN, SEEN_LISTEN, 0);
	return open_notify(err);
}
