/* SPDX-License-Identifier: Apache-2.0 */
#include "net/services.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "net/ip6.h"
#include "net/routing.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define CONNS 64
#define CONNS_EACH 16 /* of one machine */
#define IDLE_NS 30000000000u
#define IN_MAX (128u << 10)
#define TCP6_MAX 65000
#define VIAS (4 * CONNS)
#define OUT_MAX (256u << 10) /* more is not read before this has been taken */

/* Who asked by IPv6, by what libslirp knows of it: the machine's IPv4 address and the port. */
struct via6 {
	const struct zone *zone;
	uint32_t ip;
	uint16_t port;
	uint8_t from[16], to[16];
};
struct services {
	struct net *net;
	int listener, dir;
	char path[64]; /* of the socket by the open directory: a path of any length fits where libslirp keeps it */
	struct service_conn conns[CONNS];
	struct via6 vias[VIAS];
	size_t next_via;
};

static const struct service *const all[] = { &service_dns, &service_upnp };

static const struct service *find(const struct zone *z, uint16_t port)
{
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (all[i]->port == port && all[i]->offered(z))
			return all[i];
	return NULL;
}

/* NULL: there can't be any here, it is said once. */
static struct services *get(struct net *n)
{
	_cleanup_free_ char *path = path_join(n->dir, "gateway.sock");
	_cleanup_error_ struct error *e = NULL;
	struct services *s = n->services;

	if (s)
		return s->listener < 0 ? NULL : s;
	s = n->services = xcalloc(1, sizeof(*s));
	s->net = n;
	s->dir = open(n->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	s->listener = s->dir < 0 ? -1 : unix_listen(path, CONNS, &e);
	if (s->listener < 0) {
		log_warn("no TCP to gateways: %s", e ? e->msg : strerror(errno));
		return NULL;
	}
	fcntl(s->listener, F_SETFL, O_NONBLOCK);
	snprintf(s->path, sizeof(s->path), "/proc/self/fd/%d/gateway.sock", s->dir);
	return s;
}

void services_end(struct service_conn *c)
{
	if (!c->service)
		return;
	if (c->service->end)
		c->service->end(c);
	loop_remove(c->src);
	close(c->fd);
	buf_free(&c->in);
	buf_free(&c->out);
	*c = (struct service_conn){ .fd = -1 };
}

void services_flush(struct service_conn *c)
{
	while (c->out.len) {
		ssize_t n = send(c->fd, c->out.data, c->out.len, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n <= 0) {
			services_end(c);
			return;
		}
		buf_consume(&c->out, (size_t)n);
	}
	if (!c->out.len && c->closing) {
		services_end(c);
		return;
	}
	loop_fd_events(c->src, (c->out.len ? EPOLLOUT : 0u) | (c->closing || c->out.len > OUT_MAX ? 0u : EPOLLIN));
}

static void on_conn(void *arg, uint32_t events)
{
	struct service_conn *c = arg;
	ssize_t n;

	if (events & EPOLLIN) {
		n = read(c->fd, buf_reserve(&c->in, 4096), 4096);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			return;
		if (n <= 0 || c->in.len + (size_t)n > IN_MAX) {
			services_end(c);
			return;
		}
		c->in.len += (size_t)n;
		c->in.data[c->in.len] = '\0';
		c->until = loop_now() + IDLE_NS;
		c->service->input(c);
	} else if (events & (EPOLLHUP | EPOLLERR)) {
		services_end(c);
		return;
	}
	services_flush(c);
}

static struct service_conn *unused(struct services *s, uint32_t ip, const struct zone *z)
{
	struct service_conn *c = NULL;
	unsigned own = 0;

	for (size_t i = 0; i < CONNS; i++) {
		if (!s->conns[i].service)
			c = &s->conns[i];
		else
			own += s->conns[i].zone == z && s->conns[i].ip == ip;
	}
	return own < CONNS_EACH ? c : NULL;
}

/* What libslirp has connected with the packet that it was given just now. */
static void take_new(struct services *s, const struct service *v, struct zone *z, uint32_t ip)
{
	int fd;

	while ((fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
		struct service_conn *c = unused(s, ip, z);

		if (!c) {
			close(fd);
			continue;
		}
		*c = (struct service_conn){ .all = s, .service = v, .zone = z, .ip = ip, .fd = fd, .until = loop_now() + IDLE_NS };
		c->src = loop_fd(s->net->loop, fd, EPOLLIN, on_conn, c);
	}
}

/* The destination becomes where libslirp has the service. */
static void readdress(struct ip4 *p, uint32_t to)
{
	uint8_t *sum = p->h + p->hlen + 16;

	put16(p->h + 10, checksum_change32(get16(p->h + 10), p->dst, to));
	put16(sum, checksum_change32(get16(sum), p->dst, to));
	put32(p->h + 16, to);
	p->dst = to;
}

/* Makes libslirp ready for the service at that address of its; false: it can't be. */
static bool ready(struct services *s, struct zone *z, uint32_t at, const struct service *v)
{
	if (!z->outside)
		z->outside = outside_new(z); /* machines don't get out by it: has_outside stays as it is */
	return z->outside && outside_offer(z->outside, at, v->port, s->path) == 0;
}

bool services_input(struct port *from, struct ip4 *p)
{
	struct zone *z = from->zone;
	const struct service *v;
	struct services *s;

	if (p->proto != IPPROTO_TCP || (p->frag & (IP4_MF | IP4_OFFSET)) || p->len - p->hlen < TCP_BYTES || p->src != from->ip)
		return false;
	v = find(z, get16(p->h + p->hlen + 2));
	s = v ? get(z->net) : NULL;
	if (!s)
		return false;
	if (!ready(s, z, outside_service_address(z), v))
		return false;
	readdress(p, outside_service_address(z));
	outside_service_input(z->outside, p->h, p->len);
	take_new(s, v, z, from->ip);
	return true;
}

static struct via6 *via_of(struct services *s, const struct zone *z, uint32_t ip, uint16_t port)
{
	for (size_t i = 0; i < VIAS; i++)
		if (s->vias[i].zone == z && s->vias[i].ip == ip && s->vias[i].port == port)
			return &s->vias[i];
	return NULL;
}

/* A packet of IPv4 in room of its own: the TCP of an IPv6 one, from the machine to where libslirp has the service. */
static void give4(struct zone *z, uint32_t from, const uint8_t *tcp, size_t len)
{
	uint32_t to = outside_service_address6(z);
	uint8_t *p = net_hop(z->net), *t = p ? p + IP4_BYTES : NULL;

	if (!p)
		return;
	ip4_header(p, IPPROTO_TCP, from, to, len);
	memcpy(t, tcp, len);
	put16(t + 16, 0);
	put16(t + 16, inet_checksum(t, len, pseudo4(from, to, IPPROTO_TCP, len)));
	outside_service_input(z->outside, p, IP4_BYTES + len);
	net_hop_end(z->net);
}

bool services_input6(struct port *from, const uint8_t *h, size_t n)
{
	const uint8_t *t = h + IP6_BYTES;
	size_t len = n - IP6_BYTES;
	const struct service *v = from && n >= IP6_BYTES + TCP_BYTES && len <= TCP6_MAX ? find(from->zone, get16(t + 2)) : NULL;
	struct services *s = v == &service_dns ? get(from->zone->net) : NULL;
	struct via6 *via;

	if (!s || !ready(s, from->zone, outside_service_address6(from->zone), v))
		return false;
	if (inet_checksum(t, len, pseudo6(h + 8, h + 24, IPPROTO_TCP, len)))
		return true; /* broken, not to be answered */
	via = via_of(s, from->zone, from->ip, get16(t));
	if (!via) {
		via = &s->vias[s->next_via];
		s->next_via = (s->next_via + 1) % VIAS;
		*via = (struct via6){ .zone = from->zone, .ip = from->ip, .port = get16(t) };
	}
	memcpy(via->from, h + 8, 16);
	memcpy(via->to, h + 24, 16);
	give4(from->zone, from->ip, t, len);
	take_new(s, v, from->zone, from->ip);
	return true;
}

void services_answer6(struct zone *z, const uint8_t *ip, size_t n)
{
	size_t hlen = (size_t)(ip[0] & 15) * 4, len = n - hlen;
	struct services *s = z->net->services;
	const struct via6 *via = s && hlen >= IP4_BYTES && n >= hlen + TCP_BYTES && ip[9] == IPPROTO_TCP && len <= TCP6_MAX
					 ? via_of(s, z, get32(ip + 16), get16(ip + hlen + 2))
					 : NULL;
	uint8_t *h = via ? net_hop(z->net) : NULL, *t = h ? h + IP6_BYTES : NULL;

	if (!h)
		return;
	memset(h, 0, IP6_BYTES);
	h[0] = 0x60;
	put16(h + 4, (uint16_t)len);
	h[6] = IPPROTO_TCP;
	h[7] = 64;
	memcpy(h + 8, via->to, 16);
	memcpy(h + 24, via->from, 16);
	memcpy(t, ip + hlen, len);
	put16(t + 16, 0);
	put16(t + 16, inet_checksum(t, len, pseudo6(h + 8, h + 24, IPPROTO_TCP, len)));
	ip6_from_outside(z, h, IP6_BYTES + len);
	net_hop_end(z->net);
}

void services_tick(struct net *n)
{
	uint64_t now = loop_now();

	for (size_t i = 0; n->services && i < CONNS; i++)
		if (n->services->conns[i].service && n->services->conns[i].until <= now)
			services_end(&n->services->conns[i]);
}

void services_forget_zone(struct net *n, const struct zone *z)
{
	for (size_t i = 0; n->services && i < CONNS; i++)
		if (n->services->conns[i].zone == z)
			services_end(&n->services->conns[i]);
	for (size_t i = 0; n->services && i < VIAS; i++)
		if (n->services->vias[i].zone == z)
			n->services->vias[i] = (struct via6){ 0 };
}

void services_free(struct net *n)
{
	struct services *s = n->services;
	_cleanup_free_ char *path = path_join(n->dir, "gateway.sock");

	if (!s)
		return;
	for (size_t i = 0; i < CONNS; i++)
		services_end(&s->conns[i]);
	if (s->listener >= 0) {
		close(s->listener);
		unlink(path);
	}
	if (s->dir >= 0)
		close(s->dir);
	free(s);
	n->services = NULL;
}
