/* SPDX-License-Identifier: Apache-2.0 */
#include "link.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define BLOCK 32768
#define HELD (256 * 1024) /* no more is taken from a channel while its client has so much to read */
#define ALIVE_MS 15000	  /* between two signs of life on a silent connection */
#define CLIENTS_MAX 64

struct client {
	int fd;
	ssh_channel ch;
	struct buf in, out; /* from the client, to the client */
	bool over, served; /* served: it has got something from over there */
};
struct server {
	struct ssh_client *c;
	const struct link_serving *how;
	struct client v[CLIENTS_MAX];
	size_t n;
	bool had; /* a client that was served and has gone; others may have given up while there was no connection */
	int sigfd;
	ssh_event event; /* by which libssh takes what is for no channel: requests to the connection, its end */
};

static void client_end(struct client *x)
{
	if (x->ch) {
		ssh_channel_close(x->ch);
		ssh_channel_free(x->ch);
	}
	close(x->fd);
	buf_free(&x->in);
	buf_free(&x->out);
}

static void accept_one(struct server *s)
{
	_cleanup_close_ int fd = accept4(s->how->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	_cleanup_free_ char *line = xasprintf("sh -c '%s --stdio%s'", s->how->command, s->how->machine ? " --machine" : "");
	ssh_channel ch;

	if (fd < 0 || s->n == CLIENTS_MAX)
		return;
	ch = ssh_channel_new(s->c->session);
	if (ssh_channel_open_session(ch) != SSH_OK || ssh_channel_request_exec(ch, line) != SSH_OK) {
		/* Servers allow so many at once only (MaxSessions of sshd). */
		log_warn("%s: no further channel: %s", s->c->host, ssh_get_error(s->c->session));
		ssh_channel_free(ch);
		return;
	}
	s->v[s->n++] = (struct client){ .fd = STEAL_FD(fd), .ch = ch };
}

/* What the guest program sent, to the client as far as it takes it. True: something moved. */
static bool to_client(struct client *x)
{
	char block[BLOCK];
	bool moved = false;
	int n;

	while (x->out.len < HELD && (n = ssh_channel_read_nonblocking(x->ch, block, sizeof(block), 0)) > 0) {
		buf_add(&x->out, block, (size_t)n);
		moved = true;
	}
	/* Its errors are ours to say: they are few, and of the way there. */
	while ((n = ssh_channel_read_nonblocking(x->ch, block, sizeof(block), 1)) > 0)
		log_warn("%.*s", n, block);
	while (x->out.len) {
		ssize_t r = send(x->fd, x->out.data, x->out.len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0 && errno == EAGAIN)
			break;
		if (r < 0) {
			x->over = true;
			break;
		}
		buf_consume(&x->out, (size_t)r);
		x->served = moved = true;
	}
	if (!x->out.len && (ssh_channel_is_eof(x->ch) || ssh_channel_is_closed(x->ch)))
		x->over = true;
	return moved;
}

/* As much as the server has room for: a write of more would block us. */
static bool from_client(struct client *x)
{
	uint32_t room = ssh_channel_window_size(x->ch);
	bool moved = false;

	if (!x->in.len) {
		ssize_t r = recv(x->fd, buf_reserve(&x->in, BLOCK), BLOCK, MSG_DONTWAIT);

		if (r == 0 || (r < 0 && errno != EAGAIN && errno != EINTR)) {
			x->over = true;
			return false;
		}
		x->in.len += r > 0 ? (size_t)r : 0;
	}
	if (x->in.len && room) {
		uint32_t n = x->in.len < room ? (uint32_t)x->in.len : room;
		int r = ssh_channel_write(x->ch, x->in.data, n);

		if (r < 0)
			x->over = true;
		else if (r > 0)
			buf_consume(&x->in, (size_t)r);
		moved = r > 0;
	}
	return moved;
}

static void pump(struct server *s)
{
	bool moved = true;

	while (moved) {
		moved = false;
		for (size_t i = 0; i < s->n; i++) {
			struct client *x = &s->v[i];

			moved |= to_client(x);
			if (!x->over)
				moved |= from_client(x);
		}
	}
	for (size_t i = 0; i < s->n;) {
		if (!s->v[i].over) {
			i++;
			continue;
		}
		s->had |= s->v[i].served;
		client_end(&s->v[i]);
		s->v[i] = s->v[--s->n];
	}
}

static int wait_turn(struct server *s, struct pollfd *p, struct error **err)
{
	size_t n = 4;
	int flags = ssh_get_poll_flags(s->c->session), r;

	p[0] = (struct pollfd){ .fd = s->sigfd, .events = POLLIN };
	p[1] = (struct pollfd){ .fd = s->n < CLIENTS_MAX ? s->how->listener : -1, .events = POLLIN };
	p[2] = (struct pollfd){ .fd = ssh_get_fd(s->c->session), .events = (short)(POLLIN | (flags & SSH_WRITE_PENDING ? POLLOUT : 0)) };
	p[3] = (struct pollfd){ .fd = s->how->end, .events = POLLIN };
	for (size_t i = 0; i < s->n; i++)
		p[n++] = (struct pollfd){ .fd = s->v[i].fd, .events = (short)((s->v[i].in.len ? 0 : POLLIN) | (s->v[i].out.len ? POLLOUT : 0)) };
	r = poll(p, n, ALIVE_MS);
	if (r < 0 && errno != EINTR)
		return error_errno(err, errno, "poll");
	if (r == 0)
		ssh_send_ignore(s->c->session, "croft"); /* TCP tells when nobody takes it */
	return r;
}

int link_serve(struct ssh_client *c, const struct link_serving *how, struct error **err)
{
	struct server s = { .c = c, .how = how, .sigfd = -1 };
	struct pollfd p[4 + CLIENTS_MAX];
	sigset_t set;
	int rc = 1;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	s.sigfd = signalfd(-1, &set, SFD_CLOEXEC);
	s.event = ssh_event_new();
	ssh_event_add_session(s.event, c->session);
	while (rc > 0) {
		pump(&s);
		if (!ssh_is_connected(c->session) || ssh_get_status(c->session) & (SSH_CLOSED | SSH_CLOSED_ERROR))
			rc = error_set(err, ERR_STATE, "the connection ended: %s", ssh_get_error(c->session));
		else if (how->once && s.had && !s.n)
			rc = 0;
		else if (wait_turn(&s, p, err) < 0)
			rc = -1;
		else if (p[0].revents || p[3].revents)
			rc = 0;
		else if (p[1].revents & POLLIN)
			accept_one(&s);
		else if (p[2].revents)
			ssh_event_dopoll(s.event, 0);
	}
	while (s.n)
		client_end(&s.v[--s.n]);
	ssh_event_remove_session(s.event, c->session);
	ssh_event_free(s.event);
	close(s.sigfd);
	return rc;
}
