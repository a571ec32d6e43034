/* SPDX-License-Identifier: Apache-2.0 */
#include "net/routing.h"
#include "net/faults.h"
#include "net/frag.h"

#include <string.h>
#include <sys/mman.h>

#define PING_MAX 1472
#define ROUTE_DEPTH 16

uint64_t net_now(const struct net *n)
{
	return n->faults ? links_now(n->faults->links) : loop_now();
}

uint8_t *net_hop(struct net *n)
{
	/* Mapped, not allocated: only what is written to takes memory. */
	if (!n->hop_space) {
		void *p = mmap(NULL, HOPS_MAX * (size_t)FRAME_MAX_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (p == MAP_FAILED)
			return NULL;
		n->hop_space = p;
	}
	if (n->hops == HOPS_MAX)
		return NULL;
	return n->hop_space + n->hops++ * (size_t)FRAME_MAX_BYTES;
}

void net_hop_end(struct net *n)
{
	n->hops--;
}

static bool covers(const struct zone *z, uint32_t dst, int depth);

/* The router without NAT that leads to dst from this zone inwards. */
static struct port *inwards(const struct zone *z, uint32_t dst, int depth)
{
	for (struct port *p = z->ports; p; p = p->next)
		if (p->kind == PORT_ROUTER && !p->router->nat && covers(p->router->inside, dst, depth + 1))
			return p;
	for (size_t i = 0; i < z->nroutes; i++)
		if ((dst & z->routes[i].mask) == z->routes[i].prefix)
			return zone_by_ip(z, z->routes[i].via);
	return NULL;
}

static bool covers(const struct zone *z, uint32_t dst, int depth)
{
	return (dst & z->mask) == z->prefix || (depth < ROUTE_DEPTH && inwards(z, dst, depth));
}

bool route_covers(const struct zone *z, uint32_t dst)
{
	return covers(z, dst, 0);
}

struct port *route_next(const struct port *self, uint32_t dst)
{
	const struct zone *z = self->zone;
	struct port *to;

	if ((dst & z->mask) == z->prefix)
		to = zone_by_ip(z, dst);
	else
		to = inwards(z, dst, 0);
	if (!to && (dst & z->mask) != z->prefix)
		to = z->gw;
	return to == self ? NULL : to;
}

/* What self makes, to a MAC of its zone; `ip` has room for an Ethernet header in front. */
static void send_ip(struct port *self, const uint8_t *mac, uint8_t *ip, size_t len)
{
	uint8_t *f = ip - ETH_BYTES;
	uint8_t to[6];

	memcpy(to, mac, 6); /* it may be in what is overwritten */
	memcpy(f, to, 6);
	memcpy(f + 6, self->mac, 6);
	put16(f + 12, ETHERTYPE_IPV4);
	self->rx_frames++;
	self->rx_bytes += ETH_BYTES + len;
	zone_input(self->zone, self, f, ETH_BYTES + len);
}

void route_refuse(struct port *self, const uint8_t *mac, const struct ip4 *p, uint8_t type, uint8_t code, uint32_t extra)
{
	uint8_t r[ETH_BYTES + ICMP_ERROR_MAX];
	size_t n = icmp_error(r + ETH_BYTES, self->ip, p, type, code, extra);

	if (n)
		send_ip(self, mac, r + ETH_BYTES, n);
}

bool route_age(struct port *self, const uint8_t *mac, struct ip4 *p)
{
	uint16_t was = get16(p->h + 8);

	if (p->h[8] <= 1) {
		route_refuse(self, mac, p, 11, 0, 0);
		return false;
	}
	p->h[8]--;
	put16(p->h + 10, checksum_change16(get16(p->h + 10), was, get16(p->h + 8)));
	return true;
}

bool route_fits(const struct zone *into, struct port *self, const uint8_t *mac, const struct ip4 *p)
{
	if (p->len <= into->mtu || !(p->frag & IP4_DF))
		return true;
	route_refuse(self, mac, p, 3, 4, into->mtu);
	return false;
}

bool route_whole(struct net *n, struct ip4 *p)
{
	uint8_t *at = p->h;

	if (!(p->frag & (IP4_MF | IP4_OFFSET)))
		return true;
	if (!n->frags)
		n->frags = frags_new();
	if (!n->frags || !frags_add(n->frags, p, net_now(n)))
		return false;
	/* Out of there: another router behind this one may need the room. */
	memcpy(at, p->h, p->len);
	p->h = at;
	return true;
}

void route_send(struct port *self, const struct port *to, struct ip4 *p)
{
	size_t at = 0;
	uint8_t *f;

	if (p->len <= self->zone->mtu) {
		send_ip(self, to->mac, p->h, p->len);
		return;
	}
	f = net_hop(self->zone->net);
	if (!f)
		return;
	while (at < p->len - p->hlen) {
		size_t n = frag_cut(p, self->zone->mtu, &at, f + ETH_BYTES);

		send_ip(self, to->mac, f + ETH_BYTES, n);
	}
	net_hop_end(self->zone->net);
}

void route_answer_ping(struct port *self, const uint8_t *mac, const struct ip4 *p)
{
	uint8_t r[ETH_BYTES + IP4_BYTES + PING_MAX], *m = r + ETH_BYTES + IP4_BYTES;
	size_t n = p->len - p->hlen;

	if (n < ICMP_BYTES || n > PING_MAX || p->h[p->hlen] != 8 || (p->frag & (IP4_MF | IP4_OFFSET)) || inet_checksum(p->h + p->hlen, n, 0))
		return;
	ip4_header(r + ETH_BYTES, IPPROTO_ICMP, p->dst, p->src, n);
	memcpy(m, p->h + p->hlen, n);
	m[0] = 0;
	put16(m + 2, checksum_change16(get16(m + 2), (uint16_t)(0x0800 | m[1]), m[1]));
	send_ip(self, mac, r + ETH_BYTES, IP4_BYTES + n);
}

void route_answer_arp(struct port *self, const uint8_t *f, size_t len)
{
	uint8_t r[ETH_BYTES + 28];

	if (len < sizeof(r) || get16(f + 14) != 1 || get16(f + 16) != ETHERTYPE_IPV4 || f[18] != 6 || f[19] != 4 || get16(f + 20) != 1 ||
		get32(f + 38) != self->ip)
		return;
	memcpy(r, f + 6, 6);
	memcpy(r + 6, self->mac, 6);
	memcpy(r + 12, f + 12, 8);
	put16(r + 20, 2);
	memcpy(r + 22, self->mac, 6);
	put32(r + 28, self->ip);
	memcpy(r + 32, f + 22, 10);
	self->rx_frames++;
	self->rx_bytes += sizeof(r);
	zone_input(self->zone, self, r, sizeof(r));
}
