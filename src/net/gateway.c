/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A zone's gateway: answers ARP, ping, DHCP and DNS at its address and leads on what is for elsewhere.
 */
#include "net/forwards.h"
#include "net/ip6.h"
#include "net/pcp.h"
#include "net/routing.h"
#include "net/services.h"
#include "net/upnp.h"

#include <string.h>
#include <time.h>

#define UDP_MAX 1472 /* what fits into one Ethernet frame; longer answers are cut by their makers */

static void frame_header(const struct zone *z, uint8_t *f, const uint8_t to[6], uint16_t type)
{
	memcpy(f, to, 6);
	memcpy(f + 6, z->gateway_mac, 6);
	put16(f + 12, type);
}

void gateway_send_udp(struct zone *z, const uint8_t mac[6], uint32_t to, uint16_t src_port,
	uint16_t dst_port, const uint8_t *payload, size_t len)
{
	uint8_t f[ETH_BYTES + IP4_BYTES + UDP_BYTES + UDP_MAX], *udp = f + ETH_BYTES + IP4_BYTES;
	uint16_t sum;

	if (len > UDP_MAX)
		return;
	frame_header(z, f, mac, ETHERTYPE_IPV4);
	ip4_header(f + ETH_BYTES, IPPROTO_UDP, z->gateway, to, UDP_BYTES + len);
	put16(udp, src_port);
	put16(udp + 2, dst_port);
	put16(udp + 4, (uint16_t)(UDP_BYTES + len));
	put16(udp + 6, 0);
	memcpy(udp + UDP_BYTES, payload, len);
	sum = inet_checksum(udp, UDP_BYTES + len, pseudo4(z->gateway, to, IPPROTO_UDP, UDP_BYTES + len));
	put16(udp + 6, sum ? sum : 0xffff);
	z->gw->rx_frames++;
	z->gw->rx_bytes += ETH_BYTES + IP4_BYTES + UDP_BYTES + len;
	zone_input(z, z->gw, f, ETH_BYTES + IP4_BYTES + UDP_BYTES + len);
}

static void on_dhcp(struct zone *z, struct port *from, const uint8_t *msg, size_t len)
{
	static const uint8_t all[6] = { 255, 255, 255, 255, 255, 255 };
	uint8_t out[UDP_MAX];
	bool broadcast = false;
	size_t n = dhcp_answer(from, msg, len, out, sizeof(out), &broadcast);

	if (n && dhcp_leases(out, n))
		from->leased = time(NULL);
	if (n)
		gateway_send_udp(z, broadcast ? all : from->mac, broadcast ? 0xffffffff : from->ip,
			67, 68, out, n);
}

void gateway_answer(const struct dns_asker *who, const uint8_t *msg, size_t len)
{
	if (who->v6)
		gateway_send_udp6(who->zone, who->mac, who->self6, who->ip6, 53, who->port, msg, len);
	else
		gateway_send_udp(who->zone, who->mac, who->ip, 53, who->port, msg, len);
}

static void on_dns(struct zone *z, struct port *from, uint32_t ip, uint16_t port,
	const uint8_t *msg, size_t len)
{
	struct dns_asker who = { .zone = z, .ip = ip, .port = port };
	uint8_t out[UDP_MAX];
	bool forward = false;
	size_t n = dns_answer(z, msg, len, out, sizeof(out), &forward);

	memcpy(who.mac, from->mac, 6);
	if (z->net->log_names && (n || forward))
		dns_log(from, msg, len, out, n);
	if (n)
		gateway_answer(&who, out, n);
	else if (forward)
		resolver_ask(z->net->resolver, &who, msg, len);
}

static void on_pcp(struct zone *z, struct port *from, uint32_t ip, uint16_t port, const uint8_t *msg, size_t len)
{
	uint8_t out[PCP_MAX];
	size_t n = ip == from->ip ? pcp_answer(from, msg, len, out) : 0;

	if (n)
		gateway_send_udp(z, from->mac, ip, PCP_PORT, port, out, n);
}

/* true when it was a question for DHCP, DNS or PCP. Those are never fragments. */
static bool asked(struct zone *z, struct port *from, const struct ip4 *p)
{
	const uint8_t *udp = p->h + p->hlen;
	size_t n = p->len - p->hlen, udp_len;

	if (p->proto != IPPROTO_UDP || (p->frag & (IP4_MF | IP4_OFFSET)) || n < UDP_BYTES)
		return false;
	udp_len = get16(udp + 4);
	if (udp_len < UDP_BYTES || udp_len > n || (get16(udp + 2) != 67 && get16(udp + 2) != 53 && (get16(udp + 2) != PCP_PORT || !z->router || !z->router->pcp)))
		return false;
	if (get16(udp + 6) && inet_checksum(udp, udp_len, pseudo4(p->src, p->dst, IPPROTO_UDP, udp_len)))
		return true;
	if (get16(udp + 2) == 67)
		on_dhcp(z, from, udp + UDP_BYTES, udp_len - UDP_BYTES);
	else if (p->dst == z->gateway && get16(udp + 2) == PCP_PORT)
		on_pcp(z, from, p->src, get16(udp), udp + UDP_BYTES, udp_len - UDP_BYTES);
	else if (p->dst == z->gateway)
		on_dns(z, from, p->src, get16(udp), udp + UDP_BYTES, udp_len - UDP_BYTES);
	return true;
}

/* To the gateway's own address. Answers to what comes in by a forward go to it too: slirp's hosts have it. */
static void to_gateway(struct zone *z, struct port *from, struct ip4 *p)
{
	bool reverse;

	if (!route_whole(z->net, p) || asked(z, from, p) || services_input(from, p))
		return;
	reverse = forward_out(from, p);
	if (reverse && !z->outside)
		z->outside = outside_new(z);
	if (p->proto == IPPROTO_ICMP)
		route_answer_ping(z->gw, from->mac, p);
	else if (z->outside && (reverse || outside_answers(z->outside, p)))
		outside_input(z->outside, p->h, p->len);
	else
		route_refuse(z->gw, from->mac, p, 3, p->proto == IPPROTO_TCP || p->proto == IPPROTO_UDP ? 3 : 2, 0);
}

/* An address of the group that no router leads to is not looked for in the host's network, where it may be somebody else's. */
static bool elsewhere_in_group(const struct zone *z, uint32_t dst)
{
	for (const struct zone *y = z->net->zones; y; y = y->next)
		if ((dst & y->mask) == y->prefix)
			return true;
	return false;
}

static void lead_on(struct zone *z, struct port *from, struct ip4 *p)
{
	struct port *to = route_next(z->gw, p->dst);

	if (!to && !z->has_outside && z->outside && route_whole(z->net, p) &&
		(z->router ? outside_asked(z->outside, p->h, p->len) : outside_answers(z->outside, p))) {
		outside_input(z->outside, p->h, p->len);
		return;
	}
	if (!to && ((p->dst & z->mask) == z->prefix || (!z->router && (!z->has_outside || elsewhere_in_group(z, p->dst))))) {
		route_refuse(z->gw, from->mac, p, 3, (p->dst & z->mask) == z->prefix, 0);
		return;
	}
	if (!route_age(z->gw, from->mac, p))
		return;
	if (to && route_fits(z, z->gw, from->mac, p))
		route_send(z->gw, to, p);
	else if (!to && z->router)
		router_out(z->router, from->mac, p);
	else if (!to && route_whole(z->net, p)) /* libslirp itself would put any number of fragments together */
		outside_input(z->outside, p->h, p->len);
}

void gateway_deliver(struct port *gw, const uint8_t *f, size_t len)
{
	struct zone *z = gw->zone;
	struct port *from = zone_by_mac(z, f + 6);
	struct ip4 p;
	uint8_t *h;

	if (!from)
		return;
	if (get16(f + 12) == ETHERTYPE_ARP) {
		route_answer_arp(gw, f, len);
		return;
	}
	if (get16(f + 12) == ETHERTYPE_IPV6)
		ip6_deliver(gw, f, len);
	if (get16(f + 12) != ETHERTYPE_IPV4)
		return;
	h = net_hop(z->net);
	if (!h)
		return;
	memcpy(h, f, len);
	if (ip4_parse(h + ETH_BYTES, len - ETH_BYTES, &p)) {
		if (p.dst == 0xffffffff || p.dst == (z->prefix | ~z->mask))
			asked(z, from, &p);
		else if (p.dst == z->gateway)
			to_gateway(z, from, &p);
		else if (p.dst == SSDP_GROUP)
			upnp_search(from, &p);
		else if (!(f[0] & 1) && p.dst >> 28 < 14)
			lead_on(z, from, &p);
	}
	net_hop_end(z->net);
}

void gateway_from_outside(struct zone *z, const uint8_t *ip, size_t len)
{
	uint8_t *f = net_hop(z->net);
	struct port *to;
	struct ip4 p;

	if (!f)
		return;
	if (len <= FRAME_MAX_BYTES - ETH_BYTES) {
		memcpy(f + ETH_BYTES, ip, len);
		to = ip4_parse(f + ETH_BYTES, len, &p) ? route_next(z->gw, p.dst) : NULL;
		if (to) {
			forward_back(to, &p);
			route_send(z->gw, to, &p);
		}
	}
	net_hop_end(z->net);
}
