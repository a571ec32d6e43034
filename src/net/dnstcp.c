/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DNS over TCP (RFC 7766) at the gateway: each message behind its length. The group's own names are answered at once; another's
 * question goes to the host's servers by TCP, one at a time of each connection, and the next server when one does not answer.
 */
#include "net/services.h"
#include "base/mem.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define DNS_PORT 53
#define ANSWER_MAX 65535
#define SERVERS_MAX 3
#define PATIENCE_NS 5000000000u

struct upstream {
	struct service_conn *conn;
	int fd; /* -1: nothing is asked */
	struct loop_src *src, *timer;
	struct sockaddr_in servers[SERVERS_MAX];
	size_t nservers, server;
	struct buf question, answer; /* each with its length in front */
	size_t sent;
};

static void next_question(struct service_conn *c);

static bool offered(const struct zone *z)
{
	return true;
}

static void reply(struct service_conn *c, const uint8_t *m, size_t n)
{
	uint8_t len[2];

	put16(len, (uint16_t)n);
	buf_add(&c->out, len, 2);
	buf_add(&c->out, m, n);
}

static void hang_up(struct upstream *u)
{
	loop_remove(u->src);
	u->src = NULL;
	if (u->fd >= 0)
		close(u->fd);
	u->fd = -1;
	u->sent = 0;
	buf_clear(&u->answer);
	loop_timer_disarm(u->timer);
}

/* The question is answered, or can't be. */
static void done(struct upstream *u, bool good)
{
	struct service_conn *c = u->conn;

	if (good) {
		reply(c, (uint8_t *)u->answer.data + 2, u->answer.len - 2);
	} else {
		uint8_t *m = (uint8_t *)u->question.data + 2;

		m[2] |= 0x80;
		m[3] = 0x80 | 2; /* SERVFAIL */
		reply(c, m, u->question.len - 2);
	}
	hang_up(u);
	buf_clear(&u->question);
}

static void on_upstream(void *arg, uint32_t events);

/* Begins to ask the server, or one behind it; false: there is none, and that is the answer. */
static bool try_server(struct upstream *u)
{
	for (; u->server < u->nservers; u->server++) {
		const struct sockaddr_in *sa = &u->servers[u->server];

		u->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (u->fd < 0)
			continue;
		if (connect(u->fd, (const struct sockaddr *)sa, sizeof(*sa)) == 0 || errno == EINPROGRESS) {
			u->src = loop_fd(u->conn->zone->net->loop, u->fd, EPOLLOUT, on_upstream, u);
			loop_timer_arm(u->timer, PATIENCE_NS);
			return true;
		}
		close(u->fd);
		u->fd = -1;
	}
	done(u, false);
	return false;
}

static void go_on(struct service_conn *c)
{
	next_question(c);
	services_flush(c);
}

static void failed(struct upstream *u)
{
	hang_up(u);
	u->server++;
	if (!try_server(u))
		go_on(u->conn);
}

static void on_patience(void *arg)
{
	failed(arg);
}

static void on_upstream(void *arg, uint32_t events)
{
	struct upstream *u = arg;
	ssize_t n;

	if (u->sent < u->question.len) {
		n = send(u->fd, u->question.data + u->sent, u->question.len - u->sent, MSG_NOSIGNAL);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n < 0) {
			failed(u);
			return;
		}
		u->sent += (size_t)n;
		if (u->sent == u->question.len)
			loop_fd_events(u->src, EPOLLIN);
		return;
	}
	n = read(u->fd, buf_reserve(&u->answer, 4096), 4096);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		failed(u);
		return;
	}
	u->answer.len += (size_t)n;
	if (u->answer.len < 2 || u->answer.len < 2u + get16((uint8_t *)u->answer.data))
		return;
	u->answer.len = 2u + get16((uint8_t *)u->answer.data);
	/* It is an answer, and to this question. */
	if (u->answer.len < 14 || memcmp(u->answer.data + 2, u->question.data + 2, 2) || !(u->answer.data[4] & 0x80)) {
		failed(u);
		return;
	}
	done(u, true);
	go_on(u->conn);
}

static void ask(struct service_conn *c, const uint8_t *m, size_t n)
{
	struct upstream *u = c->data;
	uint8_t len[2];

	if (!u) {
		u = c->data = xcalloc(1, sizeof(*u));
		u->conn = c;
		u->fd = -1;
		u->timer = loop_timer(c->zone->net->loop, PATIENCE_NS, on_patience, u);
		loop_timer_disarm(u->timer);
	}
	put16(len, (uint16_t)n);
	buf_add(&u->question, len, 2);
	buf_add(&u->question, m, n);
	u->nservers = resolver_servers(u->servers, SERVERS_MAX);
	u->server = 0;
	try_server(u);
}

static bool waits(const struct service_conn *c)
{
	const struct upstream *u = c->data;

	return u && u->question.len;
}

static void answer(struct service_conn *c, const uint8_t *m, size_t n)
{
	static uint8_t out[ANSWER_MAX];
	const struct port *asker = zone_by_ip(c->zone, c->ip);
	bool forward = false;
	size_t len = dns_answer(c->zone, m, n, out, sizeof(out), &forward);

	if (asker && c->zone->net->log_names && (len || forward))
		dns_log(asker, m, n, out, len);
	if (len)
		reply(c, out, len);
	else if (forward)
		ask(c, m, n);
}

/* All whole messages, up to one whose answer is to be waited for. */
static void next_question(struct service_conn *c)
{
	static uint8_t m[ANSWER_MAX];

	while (!waits(c) && c->in.len >= 2) {
		size_t n = get16((uint8_t *)c->in.data);

		if (n < 12) {
			c->closing = true; /* not a message */
			return;
		}
		if (c->in.len < 2 + n)
			return;
		memcpy(m, c->in.data + 2, n);
		buf_consume(&c->in, 2 + n);
		answer(c, m, n);
	}
}

static void end(struct service_conn *c)
{
	struct upstream *u = c->data;

	if (!u)
		return;
	hang_up(u);
	loop_remove(u->timer);
	buf_free(&u->question);
	buf_free(&u->answer);
	free(u);
}

const struct service service_dns = { .port = DNS_PORT, .offered = offered, .input = next_question, .end = end };
