/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The serial console: one connection to QEMU, a bounded log, many clients. The log file is also the scrollback, so
 * no copy of it is held in memory. A client that does not read loses its connection, never the others' time.
 */
#include "helper.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define LOG_MAX (1u << 20) /* then console.log becomes console.log.1 */
#define SCROLLBACK 65536
#define CLIENTS_MAX 16
#define CLIENT_QUEUE_MAX (256u * 1024)
#define INPUT_QUEUE_MAX (64u * 1024) /* to the guest; more is not read from clients for a while */

struct console_client {
	struct console *console;
	struct loop_src *src;
	int fd;
	struct outq out;
};
struct console {
	struct loop *loop;
	char *log, *old_log, *sock;
	int log_fd, qemu_fd, listen_fd;
	uint64_t log_size;
	struct loop_src *qemu_src, *listen_src;
	struct outq input;
	struct console_client *clients[CLIENTS_MAX];
};

static void client_free(struct console_client *cl)
{
	struct console *c = cl->console;

	for (size_t i = 0; i < CLIENTS_MAX; i++)
		if (c->clients[i] == cl)
			c->clients[i] = NULL;
	loop_remove(cl->src);
	close(cl->fd);
	outq_free(&cl->out);
	free(cl);
}

static void client_send(struct console_client *cl, const void *p, size_t n)
{
	if (outq_len(&cl->out) + n > CLIENT_QUEUE_MAX || outq_send(&cl->out, cl->fd, p, n, NULL, 0) < 0) {
		client_free(cl);
		return;
	}
	loop_fd_events(cl->src, EPOLLIN | (outq_len(&cl->out) ? EPOLLOUT : 0u));
}

static void log_open(struct console *c)
{
	struct stat st;

	c->log_fd = open(c->log, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (c->log_fd < 0)
		log_warn("%s: %s", c->log, strerror(errno));
	c->log_size = c->log_fd >= 0 && fstat(c->log_fd, &st) == 0 ? (uint64_t)st.st_size : 0;
}

/* The log is a convenience: a full disk loses lines of it, not the machine. */
static void log_add(struct console *c, const void *p, size_t n)
{
	ssize_t w;

	if (c->log_size + n > LOG_MAX) {
		cleanup_close(&c->log_fd);
		rename(c->log, c->old_log);
		log_open(c);
	}
	if (c->log_fd < 0)
		return;
	w = write(c->log_fd, p, n);
	if (w > 0)
		c->log_size += (uint64_t)w;
}

static bool console_read(struct console *c)
{
	char b[8192];
	ssize_t n = read(c->qemu_fd, b, sizeof(b));

	if (n < 0)
		return errno == EINTR;
	if (n == 0)
		return false;
	log_add(c, b, (size_t)n);
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		if (c->clients[i])
			client_send(c->clients[i], b, (size_t)n);
	return true;
}

/* Input is held back at its source while the guest does not take it. */
static void input_updated(struct console *c)
{
	bool full = outq_len(&c->input) >= INPUT_QUEUE_MAX;

	if (c->qemu_src)
		loop_fd_events(c->qemu_src, EPOLLIN | (outq_len(&c->input) ? EPOLLOUT : 0u));
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		if (c->clients[i])
			loop_fd_events(c->clients[i]->src,
				(full ? 0u : EPOLLIN) | (outq_len(&c->clients[i]->out) ? EPOLLOUT : 0u));
}

static void qemu_gone(struct console *c)
{
	loop_remove(STEAL(c->qemu_src));
	close(STEAL_FD(c->qemu_fd));
	outq_free(&c->input);
	input_updated(c);
}

static void on_qemu(void *arg, uint32_t events)
{
	struct console *c = arg;

	if ((events & EPOLLOUT) && outq_flush(&c->input, c->qemu_fd) == 0)
		input_updated(c);
	if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && !console_read(c) && errno != EAGAIN)
		qemu_gone(c);
}

static void on_client(void *arg, uint32_t events)
{
	struct console_client *cl = arg;
	struct console *c = cl->console;
	char b[4096];
	ssize_t n;

	if (events & EPOLLOUT) {
		if (outq_flush(&cl->out, cl->fd) < 0) {
			client_free(cl);
			return;
		}
		input_updated(c);
	}
	if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		return;
	n = read(cl->fd, b, sizeof(b));
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
		client_free(cl);
		return;
	}
	if (n > 0 && c->qemu_fd >= 0) {
		outq_send(&c->input, c->qemu_fd, b, (size_t)n, NULL, 0);
		input_updated(c);
	}
}

static void send_tail(struct console_client *cl, const char *path, size_t want)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	_cleanup_free_ char *b = NULL;
	struct stat st;
	off_t at;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) < 0 || !want)
		return;
	at = st.st_size > (off_t)want ? st.st_size - (off_t)want : 0;
	b = xmalloc(want);
	n = pread(fd, b, want, at);
	if (n > 0)
		client_send(cl, b, (size_t)n);
}

static void on_connect(void *arg, uint32_t events)
{
	struct console *c = arg;
	struct console_client *cl;
	int fd = helper_accept(c->listen_fd);
	size_t i = 0;

	if (fd < 0)
		return;
	while (i < CLIENTS_MAX && c->clients[i])
		i++;
	if (i == CLIENTS_MAX) {
		close(fd);
		return;
	}
	cl = xcalloc(1, sizeof(*cl));
	cl->console = c;
	cl->fd = fd;
	cl->src = loop_fd(c->loop, fd, EPOLLIN, on_client, cl);
	c->clients[i] = cl;
	if (c->log_size < SCROLLBACK)
		send_tail(cl, c->old_log, SCROLLBACK - c->log_size);
	if (c->clients[i])
		send_tail(cl, c->log, SCROLLBACK);
}

struct console *console_new(struct loop *l, const char *dir, bool adopted, struct error **err)
{
	_cleanup_free_ char *qemu = path_join(dir, "run/qemu-console.sock");
	struct console *c = xcalloc(1, sizeof(*c));

	*c = (struct console){ .loop = l, .log_fd = -1, .qemu_fd = -1, .listen_fd = -1 };
	c->log = path_join(dir, "log/console.log");
	c->old_log = path_join(dir, "log/console.log.1");
	c->sock = path_join(dir, "run/console.sock");
	/* Each run has its own log, so that nobody takes an older panic for a new one. */
	if (!adopted)
		rename(c->log, c->old_log);
	log_open(c);
	c->qemu_fd = helper_connect(qemu, err);
	if (c->qemu_fd >= 0)
		c->listen_fd = unix_listen(c->sock, 8, err);
	if (c->listen_fd < 0) {
		console_free(c);
		return NULL;
	}
	fcntl(c->listen_fd, F_SETFL, O_NONBLOCK);
	c->qemu_src = loop_fd(l, c->qemu_fd, EPOLLIN, on_qemu, c);
	c->listen_src = loop_fd(l, c->listen_fd, EPOLLIN, on_connect, c);
	return c;
}

void console_free(struct console *c)
{
	if (!c)
		return;
	while (c->qemu_fd >= 0 && console_read(c))
		;
	loop_remove(c->qemu_src);
	loop_remove(c->listen_src);
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		if (c->clients[i])
			client_free(c->clients[i]);
	cleanup_close(&c->qemu_fd);
	cleanup_close(&c->listen_fd);
	cleanup_close(&c->log_fd);
	outq_free(&c->input);
	free(c->log);
	free(c->old_log);
	free(c->sock);
	free(c);
}
