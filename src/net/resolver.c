/* SPDX-License-Identifier: Apache-2.0 */
/* Questions for others, sent on to the host's name servers (resolv.conf(5)) from one socket, found
 * again by their id. */
#include "net/zone.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#define PENDING 256
#define SERVERS 3
#define PATIENCE_NS 5000000000u
#define PENDING_EACH 32 /* of one machine, so that it leaves room for others */

struct pending {
	struct dns_asker who; /* zone NULL: free */
	uint8_t question[512];
	uint16_t id, sent_id; /* the asker's, and the one that the servers see */
	size_t len;
	uint64_t at;
};

struct resolver {
	struct net *net;
	int fd;
	struct loop_src *src, *timer;
	struct sockaddr_in servers[SERVERS];
	size_t nservers;
	struct pending pending[PENDING];
};

size_t resolver_servers(struct sockaddr_in *ret, size_t max)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_strv_ struct strv lines = STRV_INIT;
	_cleanup_error_ struct error *e = NULL;
	size_t n = 0;

	if (file_read("/etc/resolv.conf", 1 << 16, &b, &e) < 0)
		return 0;
	strv_split(&lines, buf_str(&b), "\n");
	for (size_t i = 0; i < lines.len && n < max; i++) {
		_cleanup_strv_ struct strv w = STRV_INIT;

		strv_split(&w, lines.v[i], " \t");
		ret[n] = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(53) };
		if (w.len >= 2 && !strcmp(w.v[0], "nameserver") && inet_pton(AF_INET, w.v[1], &ret[n].sin_addr) == 1)
			n++;
	}
	return n;
}

static void fail(struct resolver *r, struct pending *p)
{
	uint8_t *m = p->question;

	put16(m, p->id);
	m[2] |= 0x80;
	m[3] = 0x80 | 2; /* SERVFAIL */
	gateway_answer(&p->who, m, p->len);
	p->who.zone = NULL;
}

static void on_timer(void *arg)
{
	struct resolver *r = arg;
	uint64_t now = loop_now();
	bool more = false;

	for (size_t i = 0; i < PENDING; i++) {
		if (!r->pending[i].who.zone)
			continue;
		if (now - r->pending[i].at >= PATIENCE_NS)
			fail(r, &r->pending[i]);
		else
			more = true;
	}
	if (more)
		loop_timer_arm(r->timer, 1000000000u);
}

static bool from_server(const struct resolver *r, const struct sockaddr_in *sa)
{
	for (size_t i = 0; i < r->nservers; i++)
		if (sa->sin_addr.s_addr == r->servers[i].sin_addr.s_addr &&
			sa->sin_port == r->servers[i].sin_port)
			return true;
	return false;
}

static void on_answer(void *arg, uint32_t events)
{
	struct resolver *r = arg;
	struct sockaddr_in sa;
	socklen_t sl = sizeof(sa);
	uint8_t m[1472];
	ssize_t n = recvfrom(r->fd, m, sizeof(m), MSG_DONTWAIT, (struct sockaddr *)&sa, &sl);

	if (n < 12 || !from_server(r, &sa))
		return;
	for (size_t i = 0; i < PENDING; i++) {
		struct pending *p = &r->pending[i];

		if (!p->who.zone || p->sent_id != get16(m))
			continue;
		put16(m, p->id);
		gateway_answer(&p->who, m, (size_t)n);
		p->who.zone = NULL;
		return;
	}
}

struct resolver *resolver_new(struct net *n)
{
	struct resolver *r = xcalloc(1, sizeof(*r));

	r->net = n;
	r->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (r->fd >= 0)
		r->src = loop_fd(n->loop, r->fd, EPOLLIN, on_answer, r);
	r->timer = loop_timer(n->loop, 1, on_timer, r);
	loop_timer_disarm(r->timer);
	return r;
}

void resolver_free(struct resolver *r)
{
	if (!r)
		return;
	loop_remove(r->src);
	loop_remove(r->timer);
	cleanup_close(&r->fd);
	free(r);
}

/* Not to be guessed by one who would answer in the server's place (RFC 5452). */
static uint16_t unused_id(const struct resolver *r)
{
	uint16_t id;

	for (;;) {
		size_t i = 0;

		if (getrandom(&id, sizeof(id), 0) != sizeof(id))
			continue;
		while (i < PENDING && !(r->pending[i].who.zone && r->pending[i].sent_id == id))
			i++;
		if (i == PENDING)
			return id;
	}
}

void resolver_ask(struct resolver *r, const struct dns_asker *who, const uint8_t *msg, size_t len)
{
	struct pending *p = NULL;
	unsigned own = 0;

	for (size_t i = 0; r && i < PENDING; i++) {
		if (!r->pending[i].who.zone)
			p = &r->pending[i];
		else
			own += r->pending[i].who.zone == who->zone && !memcmp(r->pending[i].who.mac, who->mac, 6);
	}
	if (!p || own >= PENDING_EACH || len > sizeof(p->question))
		return; /* the guest asks again */
	p->who = *who;
	memcpy(p->question, msg, len);
	p->id = get16(msg);
	p->len = len;
	p->at = loop_now();
	p->sent_id = unused_id(r);
	r->nservers = resolver_servers(r->servers, SERVERS);
	put16(p->question, p->sent_id);
	if (!r->nservers || r->fd < 0) {
		fail(r, p);
		return;
	}
	for (size_t i = 0; i < r->nservers; i++)
		if (sendto(r->fd, p->question, len, MSG_DONTWAIT, (struct sockaddr *)&r->servers[i],
			    sizeof(r->servers[i])) < 0)
			log_debug("name server: %s", strerror(errno));
	loop_timer_arm(r->timer, 1000000000u);
}

void resolver_forget_zone(struct resolver *r, const struct zone *z)
{
	for (size_t i = 0; r && i < PENDING; i++)
		if (r->pending[i].who.zone == z)
			r->pending[i].who.zone = NULL;
}
