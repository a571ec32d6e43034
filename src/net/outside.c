/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way out: libslirp turns packets into sockets of this process, without privileges. It hears packets that the gateway leads
 * out, and nothing else: its own ARP and NDP are answered here, its DHCP, DNS and TFTP get no question. Machines reach what the host reaches,
 * but not the host's loopback (which slirp takes the gateway's address for: only answers to what comes in by forwards go there), nor addresses that have a meaning on the host's own link alone.
 */
#include "net/ip6.h"
#include "net/peers.h"
#include "net/routing.h"
#include "net/services.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libslirp.h>
#include <string.h>

struct watch {
	struct outside *o;
	int fd;
	uint32_t events, got; /* EPOLL* */
	bool wanted;
	struct loop_src *src;
};

#define SERVICES 4

struct outside {
	struct zone *zone;
	Slirp *slirp;
	struct watch **watches; /* by fd; NULL: not watched */
	size_t nwatches;
	struct peers *peers; /* who has asked machines through forwards */
	struct {
		uint32_t at;
		uint16_t port;
	} services[SERVICES]; /* what libslirp hands to services.c; port 0: none more */
	bool again; /* slirp has something to send and wants a turn for it */
};

/* Who is behind the gateway is known: all slirp's packets go to one place. */
static const uint8_t here[6] = { 0x52, 0x55, 0, 0, 0, 1 };

static void answer_arp(struct outside *o, const uint8_t *f, size_t len)
{
	uint8_t r[ETH_BYTES + 28];

	if (len < sizeof(r) || get16(f + 20) != 1)
		return;
	memcpy(r, f + 6, 6);
	memcpy(r + 6, here, 6);
	memcpy(r + 12, f + 12, 8);
	put16(r + 20, 2);
	memcpy(r + 22, here, 6);
	memcpy(r + 28, f + 38, 4);
	memcpy(r + 32, f + 22, 10);
	slirp_input(o->slirp, r, sizeof(r));
	o->again = true;
}

static void note_peer(struct outside *o, const uint8_t *ip, size_t n)
{
	struct peer p;

	if (peer_of(ip, n, true, &p) && (p.proto == IPPROTO_UDP || peer_begins(ip, n)))
		peers_note(o->peers, &p);
}

bool outside_asked(const struct outside *o, const uint8_t *ip, size_t n)
{
	struct peer p;

	return peer_of(ip, n, false, &p) && peers_know(o->peers, &p);
}

bool outside_answers(const struct outside *o, const struct ip4 *p)
{
	struct peer who;

	if (!peer_of(p->h, p->len, false, &who))
		return false;
	/* All but the first segment of a connection that begins here: slirp knows which there are. */
	return who.proto == IPPROTO_TCP ? !peer_begins(p->h, p->len) : peers_know(o->peers, &who);
}

uint32_t outside_service_address(const struct zone *z)
{
	return z->prefix | ~z->mask;
}

uint32_t outside_service_address6(const struct zone *z)
{
	return z->prefix;
}

/* To the machine it comes from the gateway. */
static void service_answer(struct outside *o, const uint8_t *ip, size_t n)
{
	uint8_t *p = net_hop(o->zone->net), *sum;
	size_t hlen = (size_t)(ip[0] & 15) * 4;
	uint32_t from = outside_service_address(o->zone), to = o->zone->gateway;

	if (!p)
		return;
	if (n <= FRAME_MAX_BYTES && hlen >= IP4_BYTES && n >= hlen + TCP_BYTES && ip[9] == IPPROTO_TCP) {
		memcpy(p, ip, n);
		sum = p + hlen + 16;
		put16(p + 10, checksum_change32(get16(p + 10), from, to));
		put16(sum, checksum_change32(get16(sum), from, to));
		put32(p + 12, to);
		gateway_from_outside(o->zone, p, n);
	}
	net_hop_end(o->zone->net);
}

/* slirp asks where a machine is: behind the gateway, as all are. */
static void answer_solicitation(struct outside *o, const uint8_t *h, const uint8_t *target)
{
	uint8_t r[ETH_BYTES + IP6_BYTES + 32] = { 0 }, *a = r + ETH_BYTES + IP6_BYTES;

	memcpy(r, o->zone->gateway_mac, 6);
	memcpy(r + 6, here, 6);
	put16(r + 12, ETHERTYPE_IPV6);
	r[ETH_BYTES] = 0x60;
	put16(r + ETH_BYTES + 4, 32);
	r[ETH_BYTES + 6] = IPPROTO_ICMPV6;
	r[ETH_BYTES + 7] = 255;
	memcpy(r + ETH_BYTES + 8, target, 16);
	memcpy(r + ETH_BYTES + 24, h + 8, 16);
	a[0] = 136;
	a[4] = 0x60; /* solicited, override */
	memcpy(a + 8, target, 16);
	a[24] = 2;
	a[25] = 1;
	memcpy(a + 26, here, 6);
	put16(a + 2, inet_checksum(a, 32, pseudo6(r + ETH_BYTES + 8, r + ETH_BYTES + 24, IPPROTO_ICMPV6, 32)));
	slirp_input(o->slirp, r, sizeof(r));
	o->again = true;
}

/* Its own advertisements and the like stay here; packets and errors about them go on. */
static void from_slirp6(struct outside *o, const uint8_t *f, size_t n)
{
	const uint8_t *h = f + ETH_BYTES, *m = h + IP6_BYTES;

	n -= ETH_BYTES;
	if (h[6] == IPPROTO_ICMPV6 && n >= IP6_BYTES + 24 && m[0] == 135)
		answer_solicitation(o, h, m + 8);
	else if (h[24] != 0xff && (h[6] == IPPROTO_TCP || h[6] == IPPROTO_UDP || (h[6] == IPPROTO_ICMPV6 && n > IP6_BYTES && m[0] <= 4))) {
		note_peer(o, h, n);
		ip6_from_outside(o->zone, h, n);
	}
}

static ssize_t send_packet(const void *p, size_t n, void *arg)
{
	struct outside *o = arg;
	const uint8_t *f = p;

	if (n >= ETH_BYTES && get16(f + 12) == ETHERTYPE_ARP)
		answer_arp(o, f, n);
	if (n >= ETH_BYTES + IP6_BYTES && get16(f + 12) == ETHERTYPE_IPV6)
		from_slirp6(o, f, n);
	if (n < ETH_BYTES + IP4_BYTES || get16(f + 12) != ETHERTYPE_IPV4)
		return (ssize_t)n;
	if (get32(f + ETH_BYTES + 12) == outside_service_address(o->zone)) {
		service_answer(o, f + ETH_BYTES, n - ETH_BYTES);
		return (ssize_t)n;
	}
	if (get32(f + ETH_BYTES + 12) == outside_service_address6(o->zone)) {
		services_answer6(o->zone, f + ETH_BYTES, n - ETH_BYTES);
		return (ssize_t)n;
	}
	/* Answers to what went out need no such note. */
	if (get32(f + ETH_BYTES + 12) == o->zone->gateway || !o->zone->has_outside)
		note_peer(o, f + ETH_BYTES, n - ETH_BYTES);
	gateway_from_outside(o->zone, f + ETH_BYTES, n - ETH_BYTES);
	return (ssize_t)n;
}

static void guest_error(const char *msg, void *arg)
{
	log_debug("outside: %s", msg);
}

static int64_t clock_ns(void *arg)
{
	return (int64_t)loop_now();
}

/* slirp's timers: what it gave, and ours. */
struct timer {
	SlirpTimerCb fn;
	void *fn_arg;
	struct loop_src *src;
};

static void on_timer(void *arg)
{
	struct timer *t = arg;

	t->fn(t->fn_arg);
}

static void *timer_new(SlirpTimerCb fn, void *fn_arg, void *arg)
{
	struct outside *o = arg;
	struct timer *t = xcalloc(1, sizeof(*t));

	t->fn = fn;
	t->fn_arg = fn_arg;
	t->src = loop_timer(o->zone->net->loop, 1, on_timer, t);
	loop_timer_disarm(t->src);
	return t;
}

static void timer_free(void *timer, void *arg)
{
	struct timer *t = timer;

	loop_remove(t->src);
	free(t);
}

static void timer_mod(void *timer, int64_t expire_ms, void *arg)
{
	struct timer *t = timer;
	int64_t now_ms = (int64_t)(loop_now() / 1000000);

	loop_timer_arm(t->src, expire_ms > now_ms ? (uint64_t)(expire_ms - now_ms) * 1000000 : 1);
}

static void drop_watch(struct outside *o, int fd)
{
	struct watch *w = o->watches[fd];

	loop_remove(w->src);
	o->watches[fd] = NULL;
	free(w);
}

/* Said by slirp around its own closing of fds: what epoll still knows of them must go first. */
static void unregister_fd(int fd, void *arg)
{
	struct outside *o = arg;

	if (fd >= 0 && (size_t)fd < o->nwatches && o->watches[fd])
		drop_watch(o, fd);
}

static void register_fd(int fd, void *arg)
{
}

static void notify(void *arg)
{
}

static const SlirpCb callbacks = {
	.send_packet = send_packet,
	.guest_error = guest_error,
	.clock_get_ns = clock_ns,
	.timer_new = timer_new,
	.timer_free = timer_free,
	.timer_mod = timer_mod,
	.register_poll_fd = register_fd,
	.unregister_poll_fd = unregister_fd,
	.notify = notify,
};

struct outside *outside_new(struct zone *z)
{
	struct outside *o = xcalloc(1, sizeof(*o));
	SlirpConfig c = { .version = 3,
		.in_enabled = true,
		.disable_dns = true,
		.if_mtu = 1500,
		.if_mru = 1500 };

	o->zone = z;
	c.vnetwork.s_addr = htonl(z->prefix);
	c.vnetmask.s_addr = htonl(z->mask);
	c.vhost.s_addr = htonl(z->gateway);
	c.vnameserver.s_addr = htonl(z->gateway);
	c.vdhcp_start.s_addr = htonl(z->prefix + 2);
	if (z->v6) {
		c.in6_enabled = true;
		memcpy(&c.vprefix_addr6, z->prefix6, 16);
		c.vprefix_len = 64;
		memcpy(&c.vhost6, z->gw->ip6, 16);
		memcpy(&c.vnameserver6, z->prefix6, 16);
		c.vnameserver6.s6_addr[15] = 3; /* nothing gets there, see outside_may_leave6 */
	}
	o->peers = peers_new();
	o->slirp = o->peers ? slirp_new(&c, &callbacks, o) : NULL;
	if (!o->slirp) {
		peers_free(o->peers);
		free(o);
		return NULL;
	}
	return o;
}

void outside_free(struct outside *o)
{
	if (!o)
		return;
	slirp_cleanup(o->slirp);
	for (size_t i = 0; i < o->nwatches; i++)
		if (o->watches[i])
			drop_watch(o, (int)i);
	free(o->watches);
	peers_free(o->peers);
	free(o);
}

/*
 * 0/8 and 127/8 are the host itself (Linux connects 0.0.0.0 to loopback), 169.254/16 its link, where clouds keep credentials
 * (RFC 3927), the rest are groups and everybody.
 */
static bool may_leave(const struct zone *z, uint32_t to)
{
	if ((to & z->mask) == z->prefix)
		return to == z->gateway;
	return to >> 24 != 0 && to >> 24 != 127 && to >> 16 != 0xa9fe && to >> 28 < 14;
}

static void input(struct outside *o, const uint8_t *ip, size_t len)
{
	uint8_t *f = net_hop(o->zone->net);

	if (!f)
		return;
	memcpy(f, o->zone->gateway_mac, 6);
	memcpy(f + 6, here, 6);
	put16(f + 12, ETHERTYPE_IPV4);
	memcpy(f + ETH_BYTES, ip, len);
	slirp_input(o->slirp, f, (int)(ETH_BYTES + len));
	net_hop_end(o->zone->net);
}

void outside_input(struct outside *o, const uint8_t *ip, size_t len)
{
	if (may_leave(o->zone, get32(ip + 16)))
		input(o, ip, len);
}

void outside_service_input(struct outside *o, const uint8_t *ip, size_t len)
{
	input(o, ip, len);
}

/*
 * Not the host itself: ::1, addresses that are IPv4's (::ffff:127.0.0.1) or have none of their own, what slirp takes for the host's
 * loopback (all of the zone's prefix); not the host's links, nor groups.
 */
bool outside_may_leave6(const struct zone *z, const uint8_t to[16])
{
	return to[0] != 0 && to[0] != 0xff && !(to[0] == 0xfe && (to[1] & 0x80)) && memcmp(to, z->prefix6, 8);
}

bool outside_input6(struct outside *o, const uint8_t *ip, size_t len)
{
	uint8_t *f;

	if ((ip[6] != IPPROTO_TCP && ip[6] != IPPROTO_UDP) || len < IP6_BYTES + UDP_BYTES ||
		(!outside_may_leave6(o->zone, ip + 24) && !outside_asked(o, ip, len)))
		return false;
	f = net_hop(o->zone->net);
	if (!f)
		return true;
	memcpy(f, o->zone->gateway_mac, 6);
	memcpy(f + 6, here, 6);
	put16(f + 12, ETHERTYPE_IPV6);
	memcpy(f + ETH_BYTES, ip, len);
	slirp_input(o->slirp, f, (int)(ETH_BYTES + len));
	net_hop_end(o->zone->net);
	return true;
}

int outside_offer(struct outside *o, uint32_t address, uint16_t port, const char *socket)
{
	struct in_addr at = { htonl(address) };

	for (size_t i = 0; i < SERVICES; i++) {
		if (o->services[i].port == port && o->services[i].at == address)
			return 0;
		if (o->services[i].port)
			continue;
		if (slirp_add_unix(o->slirp, socket, &at, port) < 0)
			return -1;
		o->services[i].at = address;
		o->services[i].port = port;
		return 0;
	}
	return -1;
}

int outside_forward(struct outside *o, bool udp, uint32_t host_ip, uint16_t host_port, uint32_t ip,
	uint16_t port, struct error **err)
{
	struct in_addr host = { htonl(host_ip) }, guest = { htonl(ip) };
	char text[INET_ADDRSTRLEN];

	if (slirp_add_hostfwd(o->slirp, udp, host, host_port, guest, port) == 0)
		return 0;
	inet_ntop(AF_INET, &host, text, sizeof(text));
	error_errno(err, errno ? errno : EADDRINUSE, "forward %s:%u on the host", text, host_port);
	return error_hint(
		err, "another program listens there: see ss -ltnp, or choose another port");
}

static struct sockaddr_in6 address6(const uint8_t ip[16], uint16_t port)
{
	struct sockaddr_in6 a = { .sin6_family = AF_INET6, .sin6_port = htons(port) };

	memcpy(&a.sin6_addr, ip, 16);
	return a;
}

int outside_forward6(struct outside *o, bool udp, const uint8_t host[16], uint16_t host_port, const uint8_t ip[16], uint16_t port,
	struct error **err)
{
	struct sockaddr_in6 h = address6(host, host_port), g = address6(ip, port);
	char text[INET6_ADDRSTRLEN];

	if (slirp_add_hostxfwd(o->slirp, (struct sockaddr *)&h, sizeof(h), (struct sockaddr *)&g, sizeof(g),
		    SLIRP_HOSTFWD_V6ONLY | (udp ? SLIRP_HOSTFWD_UDP : 0)) == 0)
		return 0;
	inet_ntop(AF_INET6, host, text, sizeof(text));
	error_errno(err, errno ? errno : EADDRINUSE, "forward [%s]:%u on the host", text, host_port);
	return error_hint(err, "another program listens there: see ss -ltnp, or choose another port");
}

void outside_unforward6(struct outside *o, bool udp, const uint8_t host[16], uint16_t host_port)
{
	struct sockaddr_in6 h = address6(host, host_port);

	slirp_remove_hostxfwd(o->slirp, (struct sockaddr *)&h, sizeof(h), SLIRP_HOSTFWD_V6ONLY | (udp ? SLIRP_HOSTFWD_UDP : 0));
}

void outside_unforward(struct outside *o, bool udp, uint32_t host_ip, uint16_t host_port)
{
	slirp_remove_hostfwd(o->slirp, udp, (struct in_addr){ htonl(host_ip) }, host_port);
}

static void on_watch(void *arg, uint32_t events)
{
	struct watch *w = arg;

	w->got |= events;
}

static int add_poll(int fd, int events, void *arg)
{
	uint32_t ev = (events & SLIRP_POLL_IN ? EPOLLIN : 0u) |
		      (events & SLIRP_POLL_OUT ? EPOLLOUT : 0u) |
		      (events & SLIRP_POLL_PRI ? EPOLLPRI : 0u);
	struct outside *o = arg;
	struct watch *w;

	if (fd < 0)
		return -1;
	if ((size_t)fd >= o->nwatches) {
		size_t n = (size_t)fd + 64;

		o->watches = xreallocarray(o->watches, n, sizeof(*o->watches));
		memset(o->watches + o->nwatches, 0, (n - o->nwatches) * sizeof(*o->watches));
		o->nwatches = n;
	}
	w = o->watches[fd];
	if (!w) {
		w = o->watches[fd] = xcalloc(1, sizeof(struct watch));
		*w = (struct watch){ .o = o, .fd = fd, .events = ev };
		w->src = loop_fd(o->zone->net->loop, fd, ev, on_watch, w);
	} else if (w->events != ev) {
		w->events = ev;
		loop_fd_events(w->src, ev);
	}
	w->wanted = true;
	return fd;
}

static int get_revents(int index, void *arg)
{
	struct outside *o = arg;
	struct watch *w = index >= 0 && (size_t)index < o->nwatches ? o->watches[index] : NULL;
	uint32_t got = w ? w->got : 0;

	return (got & EPOLLIN ? SLIRP_POLL_IN : 0) | (got & EPOLLOUT ? SLIRP_POLL_OUT : 0) |
	       (got & EPOLLPRI ? SLIRP_POLL_PRI : 0) | (got & EPOLLERR ? SLIRP_POLL_ERR : 0) |
	       (got & EPOLLHUP ? SLIRP_POLL_HUP : 0);
}

int outside_prepare(struct outside *o)
{
	uint32_t timeout = UINT32_MAX;

	for (size_t i = 0; i < o->nwatches; i++)
		if (o->watches[i]) {
			o->watches[i]->wanted = false;
			o->watches[i]->got = 0;
		}
	slirp_pollfds_fill(o->slirp, &timeout, add_poll, o);
	for (size_t i = 0; i < o->nwatches; i++)
		if (o->watches[i] && !o->watches[i]->wanted)
			drop_watch(o, (int)i);
	if (o->again) {
		o->again = false;
		return 0;
	}
	return timeout > INT32_MAX ? -1 : (int)timeout;
}

void outside_dispatch(struct outside *o)
{
	slirp_pollfds_poll(o->slirp, 0, get_revents, o);
}
