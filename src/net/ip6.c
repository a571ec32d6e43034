/* SPDX-License-Identifier: Apache-2.0 */
#include "net/ip6.h"
#include "net/filter6.h"
#include "net/nat.h"
#include "net/ping6.h"
#include "net/routing.h"
#include "net/services.h"

#include <string.h>

#define DEPTH_MAX 16
#define ERROR_BYTES 1280 /* RFC 4443, 2.4 (c) */
#define LIFETIME_S 1800
#define DOMAIN_MAX 200
enum { UNREACHABLE = 1, TOO_BIG = 2, TIME_EXCEEDED = 3, ECHO = 128, ECHO_REPLY = 129, RS = 133, RA = 134, NS = 135, NA = 136 };

static const uint8_t link_local[16] = { 0xfe, 0x80 };
static const uint8_t all_nodes[16] = { 0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1 };

void ip6_address(const uint8_t prefix[16], const uint8_t mac[6], uint8_t r[16])
{
	uint8_t p[8];

	memcpy(p, prefix, 8);
	memcpy(r, p, 8);
	memcpy(r + 8, (uint8_t[]){ mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5] }, 8);
}

void ip6_link_local(const struct port *p, uint8_t r[16])
{
	ip6_address(link_local, p->mac, r);
}

static bool own(const struct port *self, const uint8_t a[16])
{
	uint8_t ll[16];

	ip6_link_local(self, ll);
	return !memcmp(a, ll, 16) || (self->has_ip6 && !memcmp(a, self->ip6, 16));
}

void ip6_send(struct port *self, const uint8_t *mac, uint8_t *frame, size_t ip_len)
{
	memmove(frame, mac, 6);
	memcpy(frame + 6, self->mac, 6);
	put16(frame + 12, ETHERTYPE_IPV6);
	self->rx_frames++;
	self->rx_bytes += ETH_BYTES + ip_len;
	zone_input(self->zone, self, frame, ETH_BYTES + ip_len);
}

/* Header in front of a message of n bytes at frame + 54; its sum too. */
static void send_icmp(struct port *self, const uint8_t *mac, const uint8_t *src, const uint8_t *dst, uint8_t *frame, size_t n)
{
	uint8_t *h = frame + ETH_BYTES, *m = h + IP6_BYTES, to[6];

	memcpy(to, mac, 6);
	memset(h, 0, 8);
	h[0] = 0x60;
	put16(h + 4, (uint16_t)n);
	h[6] = IPPROTO_ICMPV6;
	h[7] = m[0] >= RS && m[0] <= NA ? 255 : 64;
	memmove(h + 8, src, 16);
	memmove(h + 24, dst, 16);
	put16(m + 2, 0);
	put16(m + 2, inet_checksum(m, n, pseudo6(h + 8, h + 24, IPPROTO_ICMPV6, n)));
	ip6_send(self, to, frame, IP6_BYTES + n);
}

static void refuse(struct port *self, const uint8_t *mac, const uint8_t *h, size_t n, uint8_t type, uint8_t code, uint32_t extra)
{
	static const uint8_t none[16];
	uint8_t f[ETH_BYTES + ERROR_BYTES], *m = f + ETH_BYTES + IP6_BYTES;
	size_t room = ERROR_BYTES - IP6_BYTES - 8;

	/* Not about errors, to nobody, or about what was sent to many (RFC 4443, 2.4 (e)). */
	if (!self->has_ip6 || h[8] == 0xff || h[24] == 0xff || !memcmp(h + 8, none, 16) || (h[6] == IPPROTO_ICMPV6 && n > IP6_BYTES && h[IP6_BYTES] < 128))
		return;
	if (n > room)
		n = room;
	m[0] = type;
	m[1] = code;
	put32(m + 4, extra);
	memcpy(m + 8, h, n);
	send_icmp(self, mac, self->ip6, h + 8, f, 8 + n);
}

static bool inside(const struct zone *z, const uint8_t dst[16])
{
	return z->v6 && !memcmp(z->prefix6, dst, 8);
}

static bool covers(const struct zone *z, const uint8_t dst[16], int depth);

static struct port *inwards(const struct zone *z, const uint8_t dst[16], int depth)
{
	for (struct port *p = z->ports; p; p = p->next)
		if (p->kind == PORT_ROUTER && covers(p->router->inside, dst, depth + 1))
			return p;
	return NULL;
}

static bool covers(const struct zone *z, const uint8_t dst[16], int depth)
{
	return inside(z, dst) || (depth < DEPTH_MAX && inwards(z, dst, depth));
}

/* Who has the address in the zone: by its MAC, as its own, or as guard.c has seen it used. */
static struct port *holder(const struct zone *z, const uint8_t a[16])
{
	for (struct port *p = z->ports; p; p = p->next) {
		if (own(p, a))
			return p;
		for (unsigned i = 0; i < p->nv6; i++)
			if (!memcmp(p->v6[i], a, 16))
				return p;
	}
	return NULL;
}

static struct port *next(const struct port *self, const uint8_t dst[16])
{
	const struct zone *z = self->zone;
	struct port *to = inside(z, dst) ? holder(z, dst) : inwards(z, dst, 0);

	if (!to && !inside(z, dst))
		to = z->gw;
	return to == self ? NULL : to;
}

/* On from self into its zone. false: there is no such way. */
static bool lead(struct port *self, uint8_t *frame, size_t n)
{
	struct port *to = next(self, frame + ETH_BYTES + 24);

	if (to)
		ip6_send(self, to->mac, frame, n);
	return to != NULL;
}

static uint64_t life(const struct router *r, uint8_t proto)
{
	const struct nat_config *c = nat_settings(r->nat);

	return (proto == IPPROTO_TCP ? c->tcp_s : proto == IPPROTO_ICMPV6 ? c->icmp_s : c->udp_s) * 1000000000ull;
}

/* What comes in by a router with a filter: answers, and errors about what went out. */
static bool admitted(const struct router *r, const uint8_t *h, size_t n)
{
	struct flow6 flow;

	if (!r->filter6)
		return true;
	if (h[6] == IPPROTO_ICMPV6 && n >= IP6_BYTES + 8 && h[IP6_BYTES] >= 1 && h[IP6_BYTES] <= 4)
		return filter6_flow(h + IP6_BYTES + 8, n - IP6_BYTES - 8, true, &flow) && filter6_in(r->filter6, &flow, net_now(r->inside->net));
	return filter6_flow(h, n, false, &flow) && filter6_in(r->filter6, &flow, net_now(r->inside->net));
}

/* An address of the group that no router leads to is not looked for in the host's network. */
static bool in_group(const struct net *net, const uint8_t dst[16])
{
	for (const struct zone *z = net->zones; z; z = z->next)
		if (inside(z, dst))
			return true;
	return false;
}

/* To the host's network: only what libslirp can do there. Its other way is what the sender is told of. */
static void lead_out(struct port *self, const uint8_t *mac, uint8_t *h, size_t n)
{
	struct zone *z = self->zone;

	if (n > z->mtu)
		refuse(self, mac, h, n, TOO_BIG, 0, z->mtu);
	else if (in_group(z->net, h + 24))
		refuse(self, mac, h, n, UNREACHABLE, 0, 0);
	else if (ping6_out(z, h, n))
		return;
	else if (!z->outside || !outside_input6(z->outside, h, n))
		refuse(self, mac, h, n, UNREACHABLE, 1, 0);
}

void ip6_from_outside(struct zone *z, const uint8_t *ip, size_t n)
{
	uint8_t *f = n >= IP6_BYTES && n <= FRAME_MAX_BYTES - ETH_BYTES ? net_hop(z->net) : NULL;

	if (!f)
		return;
	memcpy(f + ETH_BYTES, ip, n);
	if (covers(z, f + ETH_BYTES + 24, 0))
		lead(z->gw, f, n);
	net_hop_end(z->net);
}

static void lead_on(struct port *self, const uint8_t *mac, uint8_t *frame, size_t n)
{
	uint8_t *h = frame + ETH_BYTES;
	struct router *r = self->kind == PORT_GATEWAY ? self->zone->router : self->router;
	bool out = self->kind == PORT_GATEWAY && !covers(self->zone, h + 24, 0);
	struct port *from = self->kind == PORT_ROUTER ? r->inside->gw : out && r ? r->outer : self;
	struct flow6 flow;

	/* Addresses of a link stay on it. */
	if ((h[8] == 0xfe && (h[9] & 0xc0) == 0x80) || (h[24] == 0xfe && (h[25] & 0xc0) == 0x80))
		return;
	if (h[7] <= 1) {
		refuse(self, mac, h, n, TIME_EXCEEDED, 0, 0);
		return;
	}
	/* To who came in by a forward: nobody else knows of it. */
	if (out && self->zone->outside && outside_asked(self->zone->outside, h, n)) {
		h[7]--;
		outside_input6(self->zone->outside, h, n);
		return;
	}
	if (out && !r && self->zone->has_outside) {
		h[7]--;
		lead_out(self, mac, h, n);
		return;
	}
	if ((out && (!r || !r->to->v6)) || (self->kind == PORT_ROUTER && !covers(r->inside, h + 24, 0))) {
		refuse(self, mac, h, n, UNREACHABLE, 0, 0);
		return;
	}
	if (n > from->zone->mtu) {
		refuse(self, mac, h, n, TOO_BIG, 0, from->zone->mtu);
		return;
	}
	if (self->kind == PORT_ROUTER && !admitted(r, h, n)) {
		r->dropped++;
		refuse(self, mac, h, n, UNREACHABLE, 1, 0);
		return;
	}
	if (out && r->filter6 && filter6_flow(h, n, true, &flow))
		filter6_out(r->filter6, &flow, net_now(r->inside->net), life(r, flow.proto));
	h[7]--;
	if (!lead(from, frame, n)) {
		h[7]++;
		refuse(self, mac, h, n, UNREACHABLE, 3, 0);
	}
}

static void answer_solicitation(struct port *self, const uint8_t *mac, const uint8_t *h, const uint8_t *m, size_t n)
{
	static const uint8_t none[16];
	uint8_t f[ETH_BYTES + IP6_BYTES + 32] = { 0 }, *a = f + ETH_BYTES + IP6_BYTES;
	bool asker = memcmp(h + 8, none, 16);

	if (n < 24 || h[7] != 255 || !own(self, m + 8))
		return;
	a[0] = NA;
	a[4] = (uint8_t)(0x80 | (asker ? 0x40 : 0) | 0x20); /* router, solicited, override */
	memcpy(a + 8, m + 8, 16);
	a[24] = 2;
	a[25] = 1;
	memcpy(a + 26, self->mac, 6);
	send_icmp(self, asker ? mac : (const uint8_t[]){ 0x33, 0x33, 0, 0, 0, 1 }, m + 8, asker ? h + 8 : all_nodes, f, 32);
}

/* Whether there is anything beyond the zone. */
static bool leads_on(const struct zone *z)
{
	bool way = z->has_outside || (z->router && z->router->to->v6);

	for (const struct port *p = z->ports; p && !way; p = p->next)
		way = p->kind == PORT_ROUTER && p->router->inside->v6;
	return way;
}

/* Name server and search domain (RFC 8106), for as long as the router is one. Returns where they end. */
static uint8_t *advertise_names(const struct zone *z, uint8_t *o)
{
	const char *domain = z->dhcp.domain ? z->dhcp.domain : z->domain;
	size_t len = strlen(domain), n = (len + 2 + 7) / 8 * 8;
	uint8_t *at = o;

	if (!z->dhcp.ndns) {
		at[0] = 25;
		at[1] = 3;
		put32(at + 4, LIFETIME_S);
		memcpy(at + 8, z->gw->ip6, 16);
		at += 24;
	}
	if (!len || len > DOMAIN_MAX)
		return at;
	at[0] = 31;
	at[1] = (uint8_t)(1 + n / 8);
	put32(at + 4, LIFETIME_S);
	at += 8;
	for (uint8_t *label = at; *domain; label += *label + 1) {
		*label = (uint8_t)strcspn(domain, ".");
		memcpy(label + 1, domain, *label);
		domain += *label + (domain[*label] == '.');
	}
	return at + n;
}

void ip6_advertise(struct zone *z, const uint8_t *mac)
{
	uint8_t f[ETH_BYTES + IP6_BYTES + 64 + 24 + 8 + DOMAIN_MAX + 16] = { 0 }, *m = f + ETH_BYTES + IP6_BYTES, ll[16];

	m[0] = RA;
	m[4] = 64;
	m[5] = 0x40; /* addresses are made, the rest is known by DHCPv6 too */
	/* No default router where there is nothing beyond the zone: nobody shall wait for it. */
	put16(m + 6, leads_on(z) ? LIFETIME_S : 0);
	m[16] = 1; /* its MAC */
	m[17] = 1;
	memcpy(m + 18, z->gw->mac, 6);
	m[24] = 5; /* MTU */
	m[25] = 1;
	put32(m + 28, z->mtu);
	m[32] = 3; /* the prefix: on the link, and to make addresses of */
	m[33] = 4;
	m[34] = 64;
	m[35] = 0xc0;
	put32(m + 36, 86400);
	put32(m + 40, 14400);
	memcpy(m + 48, z->prefix6, 16);
	ip6_link_local(z->gw, ll);
	send_icmp(z->gw, mac ? mac : (const uint8_t[]){ 0x33, 0x33, 0, 0, 0, 1 }, ll, all_nodes, f, (size_t)(advertise_names(z, m + 64) - m));
}

static void to_self(struct port *self, const uint8_t *mac, uint8_t *frame, size_t n)
{
	uint8_t *h = frame + ETH_BYTES, *m = h + IP6_BYTES;

	if (h[6] == IPPROTO_UDP && self->kind == PORT_GATEWAY && gateway6_udp(self, mac, h, n))
		return;
	if (h[6] == IPPROTO_TCP && self->kind == PORT_GATEWAY && h[24] != 0xff && services_input6(zone_by_mac(self->zone, mac), h, n))
		return;
	/* This computer's loopback is the gateway to machines. */
	if (self->kind == PORT_GATEWAY && self->zone->outside && outside_asked(self->zone->outside, h, n)) {
		outside_input6(self->zone->outside, h, n);
		return;
	}
	if ((h[6] == IPPROTO_UDP || h[6] == IPPROTO_TCP) && h[24] != 0xff)
		refuse(self, mac, h, n, UNREACHABLE, 4, 0);
	if (h[6] != IPPROTO_ICMPV6 || n < IP6_BYTES + 8 || inet_checksum(m, n - IP6_BYTES, pseudo6(h + 8, h + 24, IPPROTO_ICMPV6, n - IP6_BYTES)))
		return;
	if (m[0] == NS) {
		answer_solicitation(self, mac, h, m, n - IP6_BYTES);
	} else if (m[0] == RS && self->kind == PORT_GATEWAY && h[7] == 255) {
		ip6_advertise(self->zone, mac);
	} else if (m[0] == ECHO && h[24] != 0xff) {
		uint8_t src[16], dst[16];

		memcpy(src, h + 24, 16);
		memcpy(dst, h + 8, 16);
		m[0] = ECHO_REPLY;
		send_icmp(self, mac, src, dst, frame, n - IP6_BYTES);
	}
}

void ip6_deliver(struct port *self, const uint8_t *f, size_t len)
{
	uint8_t *frame, mac[6];
	size_t n;

	if (!self->zone->v6 || len < ETH_BYTES + IP6_BYTES || f[ETH_BYTES] >> 4 != 6)
		return;
	n = IP6_BYTES + (size_t)get16(f + ETH_BYTES + 4);
	frame = n <= len - ETH_BYTES ? net_hop(self->zone->net) : NULL;
	if (!frame)
		return;
	memcpy(frame, f, ETH_BYTES + n);
	memcpy(mac, f + 6, 6);
	if (f[ETH_BYTES + 24] == 0xff || own(self, f + ETH_BYTES + 24))
		to_self(self, mac, frame, n);
	else if (!(f[0] & 1))
		lead_on(self, mac, frame, n);
	net_hop_end(self->zone->net);
}
