/* SPDX-License-Identifier: Apache-2.0 */
/* A router between two zones: the gateway of the inner one, and an address in the outer one. */
#include "base/mem.h"
#include "net/filter6.h"
#include "net/igd.h"
#include "net/ip6.h"
#include "net/nat.h"
#include "net/routing.h"

#include <stdlib.h>
#include <string.h>

/* Whether a translation has come about; what has not is counted. */
static bool translated(struct router *r, enum nat_result result)
{
	if (result == NAT_OK)
		return true;
	r->dropped++;
	return false;
}

static void hairpin(struct router *r, struct ip4 *p)
{
	uint64_t now = net_now(r->inside->net);
	struct port *to;

	if (!nat_settings(r->nat)->hairpin || !translated(r, nat_out(r->nat, p, now)) || !translated(r, nat_in(r->nat, p, now)))
		return;
	to = route_next(r->inside->gw, p->dst);
	if (to)
		route_send(r->inside->gw, to, p);
}

void router_out(struct router *r, const uint8_t *mac, struct ip4 *p)
{
	struct port *gw = r->inside->gw, *to;

	if (r->nat && !route_whole(r->inside->net, p))
		return;
	if (p->dst == r->outer->ip) {
		if (p->proto == IPPROTO_ICMP && p->len > p->hlen && p->h[p->hlen] == 8)
			route_answer_ping(gw, mac, p);
		else if (r->nat)
			hairpin(r, p);
		else
			route_refuse(gw, mac, p, 3, 3, 0);
		return;
	}
	to = route_next(r->outer, p->dst);
	if (!to) {
		route_refuse(gw, mac, p, 3, 1, 0);
		return;
	}
	if (!route_fits(r->to, gw, mac, p))
		return;
	if (!r->nat || translated(r, nat_out(r->nat, p, net_now(r->inside->net))))
		route_send(r->outer, to, p);
}

/* From the outer zone to what is inside. */
static void router_in(struct router *r, const uint8_t *mac, struct ip4 *p)
{
	struct port *gw = r->inside->gw, *to;
	enum nat_result result = NAT_OK;

	if (r->nat) {
		/* Before it is translated, for errors quote what their reader has sent. */
		if (!route_age(r->outer, mac, p) || !route_fits(r->inside, r->outer, mac, p))
			return;
		result = nat_in(r->nat, p, net_now(r->inside->net));
		if (!translated(r, result))
			return;
	}
	if (p->dst == gw->ip) {
		route_answer_ping(r->outer, mac, p);
		return;
	}
	to = route_next(gw, p->dst);
	if (!to || to == gw) {
		if (!r->nat)
			route_refuse(r->outer, mac, p, 3, 1, 0);
		return;
	}
	if (!r->nat && (!route_age(r->outer, mac, p) || !route_fits(r->inside, r->outer, mac, p)))
		return;
	route_send(gw, to, p);
}

/* To the router's own address, and not for anybody inside. */
static void to_router(struct router *r, const uint8_t *mac, struct ip4 *p)
{
	if (p->proto == IPPROTO_ICMP && p->len > p->hlen && p->h[p->hlen] == 8)
		route_answer_ping(r->outer, mac, p);
	else if (r->nat)
		router_in(r, mac, p);
	else
		route_refuse(r->outer, mac, p, 3, p->proto == IPPROTO_TCP || p->proto == IPPROTO_UDP ? 3 : 2, 0);
}

void router_deliver(struct port *outer, const uint8_t *f, size_t len)
{
	struct router *r = outer->router;
	struct ip4 p;
	uint8_t *h, mac[6];

	if (get16(f + 12) == ETHERTYPE_ARP) {
		route_answer_arp(outer, f, len);
		return;
	}
	if (get16(f + 12) == ETHERTYPE_IPV6)
		ip6_deliver(outer, f, len);
	if (get16(f + 12) != ETHERTYPE_IPV4 || (f[0] & 1))
		return;
	h = net_hop(outer->zone->net);
	if (!h)
		return;
	memcpy(h, f, len);
	memcpy(mac, f + 6, 6);
	if (ip4_parse(h + ETH_BYTES, len - ETH_BYTES, &p)) {
		if (p.dst == outer->ip) {
			if (route_whole(outer->zone->net, &p))
				to_router(r, mac, &p);
		} else if (!r->nat && route_covers(r->inside, p.dst)) {
			router_in(r, mac, &p);
		}
	}
	net_hop_end(outer->zone->net);
}

void router_free(struct router *r)
{
	if (!r)
		return;
	nat_free(r->nat);
	filter6_free(r->filter6);
	igd_free(r);
	free(r);
}
