/* SPDX-License-Identifier: Apache-2.0 */
#include "net/proxy.h"
#include "base/cleanup.h"
#include "base/intr.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/units.h"
#include "net/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#define BUFFER 65536
#define CLIENTS_MAX 512
#define ASK_MS 10000

/* One direction of a connection: read from one end, not yet taken by the other. */
struct pipe {
	unsigned char b[BUFFER];
	size_t at, len;
	bool eof, closed; /* nothing more comes; that was handed on */
};

struct client {
	struct proxy *proxy;
	int fd[2]; /* the browser's, the machine's (-1: not asked for yet) */
	struct loop_src *src[2];
	struct pipe from[2];
	bool greeted, connecting;
	struct proxy_request request;
	struct client *next, **prev;
};

struct proxy {
	int control, fd;
	struct loop *loop;
	char *zone;
	unsigned port;
	struct map ways; /* "host:port" -> port of 127.0.0.1, as a pointer */
	struct client *clients;
	size_t nclients;
	bool lost;
};

static void client_end(struct client *c)
{
	for (int i = 0; i < 2; i++) {
		loop_remove(c->src[i]);
		cleanup_close(&c->fd[i]);
	}
	*c->prev = c->next;
	if (c->next)
		c->next->prev = c->prev;
	c->proxy->nclients--;
	free(c);
}

/* The port that leads to host:port; 0 with *err. */
static unsigned way(struct proxy *p, const char *host, unsigned port, struct error **err)
{
	_cleanup_free_ char *key = xasprintf("%s:%u", host, port), *text = NULL, *answer = NULL;
	uintptr_t known = (uintptr_t)map_get(&p->ways, key);
	json_t *j;

	if (known)
		return (unsigned)known;
	j = json_pack("{s:s, s:s, s:i, s:s?}", "op", "reach", "to", host, "port", (int)port, "zone", p->zone);
	text = json_dumps(j, JSON_COMPACT);
	json_decref(j);
	answer = text ? net_ask(p->control, text, ASK_MS, err) : NULL;
	if (!answer)
		return text ? 0 : (error_set(err, ERR_USAGE, "'%s' is no name", host), 0u);
	j = json_loads(answer, 0, NULL);
	known = (uintptr_t)json_integer_value(json_object_get(j, "port"));
	json_decref(j);
	map_set(&p->ways, key, (void *)known);
	return (unsigned)known;
}

static void watch(struct client *c)
{
	for (int i = 0; i < 2; i++) {
		const struct pipe *in = &c->from[i], *out = &c->from[!i];
		uint32_t events = 0;

		if (!c->src[i])
			continue;
		if (in->len < BUFFER && !in->eof && !c->connecting)
			events |= EPOLLIN;
		if (i == 1 ? c->connecting || (c->src[1] && out->len) : out->len > 0)
			events |= EPOLLOUT;
		loop_fd_events(c->src[i], events);
	}
}

/* Puts bytes of ours in front of what the browser is sent. */
static void answer(struct client *c, const void *p, size_t n)
{
	struct pipe *to = &c->from[1];

	if (to->len + n > BUFFER)
		return;
	memmove(to->b, to->b + to->at, to->len);
	to->at = 0;
	memcpy(to->b + to->len, p, n);
	to->len += n;
}

static void answer_connected(struct client *c, bool ok)
{
	static const unsigned char done[] = { 5, 0, 0, 1, 0, 0, 0, 0, 0, 0 }, refused[] = { 5, 4, 0, 1, 0, 0, 0, 0, 0, 0 };
	static const char good[] = "HTTP/1.1 200 Connection established\r\n\r\n",
			  bad[] = "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
			  no[] = "HTTP/1.1 405 Method Not Allowed\r\nAllow: CONNECT\r\nConnection: close\r\nContent-Length: 60\r\n\r\n"
				 "croft: only CONNECT is possible here; or use it as SOCKS5.\r\n";

	if (c->request.kind == PROXY_SOCKS)
		answer(c, ok ? done : refused, sizeof(done));
	else if (ok)
		answer(c, good, sizeof(good) - 1);
	else
		answer(c, c->request.acceptable ? bad : no, c->request.acceptable ? sizeof(bad) - 1 : sizeof(no) - 1);
	if (!ok)
		c->from[1].eof = true;
}

static void on_machine(void *arg, uint32_t events);

static void connect_to(struct client *c)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	_cleanup_error_ struct error *e = NULL;
	unsigned port = c->request.acceptable ? way(c->proxy, c->request.host, c->request.port, &e) : 0;

	if (port) {
		a.sin_port = htons((uint16_t)port);
		c->fd[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	}
	if (!port || c->fd[1] < 0 || (connect(c->fd[1], (struct sockaddr *)&a, sizeof(a)) < 0 && errno != EINPROGRESS)) {
		log_info("%s:%u: %s", c->request.host, c->request.port, e ? e->msg : c->request.acceptable ? strerror(errno) : "not possible");
		answer_connected(c, false);
		return;
	}
	log_debug("%s:%u by 127.0.0.1:%u", c->request.host, c->request.port, port);
	c->connecting = true;
	c->src[1] = loop_fd(c->proxy->loop, c->fd[1], EPOLLOUT, on_machine, c);
}

/* Goes on with what the browser asks for; false: it is no proxy's client. */
static bool negotiate(struct client *c)
{
	struct pipe *in = &c->from[0];
	int used;

	while (c->fd[1] < 0 && !c->from[1].eof && (used = proxy_parse(in->b + in->at, in->len, c->greeted, &c->request)) != 0) {
		if (used < 0)
			return false;
		in->at += (size_t)used;
		in->len -= (size_t)used;
		if (c->request.kind == PROXY_GREETING) {
			c->greeted = true;
			answer(c, c->request.acceptable ? "\x05\x00" : "\x05\xff", 2);
			c->from[1].eof = !c->request.acceptable;
		} else {
			connect_to(c);
		}
	}
	return true;
}

/* false: the connection is over. */
static bool fill(struct client *c, int i)
{
	struct pipe *p = &c->from[i];
	ssize_t n;

	memmove(p->b, p->b + p->at, p->len);
	p->at = 0;
	if (p->len == BUFFER)
		return true;
	n = read(c->fd[i], p->b + p->len, BUFFER - p->len);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (n == 0)
		p->eof = true;
	p->len += (size_t)n;
	return true;
}

static bool drain(struct client *c, int to)
{
	struct pipe *p = &c->from[!to];

	while (p->len && c->fd[to] >= 0 && !(to == 1 && c->connecting)) {
		ssize_t n = send(c->fd[to], p->b + p->at, p->len, MSG_NOSIGNAL);

		if (n < 0 && errno != EINTR)
			return errno == EAGAIN;
		p->at += n > 0 ? (size_t)n : 0;
		p->len -= n > 0 ? (size_t)n : 0;
	}
	if (p->eof && !p->len && !p->closed && c->fd[to] >= 0 && !(to == 1 && c->connecting)) {
		shutdown(c->fd[to], SHUT_WR);
		p->closed = true;
	}
	return true;
}

static void go_on(struct client *c, bool ok)
{
	ok = ok && drain(c, 1) && drain(c, 0);
	/* Both ways are over, or it was refused and told so. */
	if (!ok || (c->from[1].closed && (c->from[0].closed || c->fd[1] < 0)) || (c->from[0].eof && c->fd[1] < 0))
		client_end(c);
	else
		watch(c);
}

static void on_browser(void *arg, uint32_t events)
{
	struct client *c = arg;
	bool ok = true;

	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		ok = fill(c, 0);
	if (ok && c->fd[1] < 0)
		ok = negotiate(c);
	go_on(c, ok);
}

static void on_machine(void *arg, uint32_t events)
{
	struct client *c = arg;
	socklen_t n = sizeof(int);
	int failure = 0;
	bool ok = true;

	if (c->connecting) {
		getsockopt(c->fd[1], SOL_SOCKET, SO_ERROR, &failure, &n);
		c->connecting = false;
		answer_connected(c, !failure);
		if (failure) { /* the network was told anew what it is: ask for the way again next time */
			map_free(&c->proxy->ways);
			loop_remove(STEAL(c->src[1]));
			close(STEAL_FD(c->fd[1]));
		}
	} else if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
		ok = fill(c, 1);
	}
	go_on(c, ok);
}

static void on_connect(void *arg, uint32_t events)
{
	struct proxy *p = arg;
	int fd = accept4(p->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct client *c;

	if (fd < 0)
		return;
	if (p->nclients >= CLIENTS_MAX) {
		close(fd);
		return;
	}
	c = xcalloc(1, sizeof(*c));
	c->proxy = p;
	c->fd[0] = fd;
	c->fd[1] = -1;
	c->src[0] = loop_fd(p->loop, fd, EPOLLIN, on_browser, c);
	c->next = p->clients;
	c->prev = &p->clients;
	if (c->next)
		c->next->prev = &c->next;
	p->clients = c;
	p->nclients++;
}

static void on_control(void *arg, uint32_t events)
{
	struct proxy *p = arg;

	p->lost = true; /* answers are read by net_ask: what comes here is its end */
}

static int listen_on(struct proxy *p, const char *where, struct error **err)
{
	const char *colon = strrchr(where, ':');
	_cleanup_free_ char *host = colon ? xstrndup(where, (size_t)(colon - where)) : NULL;
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t n = sizeof(a);
	uint64_t port;
	int on = 1;

	if (!host || inet_pton(AF_INET, host, &a.sin_addr) != 1)
		return error_set(err, ERR_USAGE, "--listen: '%s' is not ADDRESS:PORT, as 127.0.0.1:1080", where);
	if (parse_u64("--listen", colon + 1, 0, 65535, &port, err) < 0)
		return -1;
	a.sin_port = htons((uint16_t)port);
	p->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	setsockopt(p->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (p->fd < 0 || bind(p->fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(p->fd, 64) < 0 ||
		getsockname(p->fd, (struct sockaddr *)&a, &n) < 0) {
		error_errno(err, errno, "proxy: %s", where);
		return error_hint(err, "another program listens there: see ss -ltnp, or choose another port with --listen");
	}
	p->port = ntohs(a.sin_port);
	return 0;
}

struct proxy *proxy_new(const char *dir, const char *listen, const char *zone, struct error **err)
{
	struct proxy *p = xcalloc(1, sizeof(*p));

	p->fd = -1;
	p->zone = xstrdup(zone);
	p->loop = loop_new();
	p->control = net_open(dir, "{\"op\":\"status\"}", ASK_MS, err);
	if (p->control < 0 || listen_on(p, listen, err) < 0) {
		proxy_free(p);
		return NULL;
	}
	loop_fd(p->loop, p->fd, EPOLLIN, on_connect, p);
	loop_fd(p->loop, p->control, EPOLLIN, on_control, p);
	return p;
}

unsigned proxy_port(const struct proxy *p)
{
	return p->port;
}

int proxy_run(struct proxy *p, struct error **err)
{
	while (!intr_signal && !p->lost)
		loop_once(p->loop, 1000);
	return intr_signal ? 0 : error_set(err, ERR_FAILED, "the group's network has ended");
}

void proxy_free(struct proxy *p)
{
	if (!p)
		return;
	while (p->clients)
		client_end(p->clients);
	loop_free(p->loop);
	map_free(&p->ways);
	cleanup_close(&p->fd);
	cleanup_close(&p->control);
	free(p->zone);
	free(p);
}
