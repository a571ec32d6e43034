/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A zone's gateway: answers ARP, ping, DHCP and DNS at its address and leads on what is for elsewhere.
 */
#include "net/ip.h"
#include "net/zone.h"

#include <string.h>
#include <sys/mman.h>

#define UDP_MAX 1472 /* what fits into one Ethernet frame; longer answers are cut by their makers */

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
	zone_input(z, z->gw, f, ETH_BYTES + IP4_BYTES + UDP_BYTES + len);
}

static void answer_arp(struct zone *z, const uint8_t *f, size_t len)
{
	uint8_t r[ETH_BYTES + 28];

	if (len < sizeof(r) || get16(f + 14) != 1 || get16(f + 16) != ETHERTYPE_IPV4 || f[18] != 6 || f[19] != 4 ||
		get16(f + 20) != 1 || get32(f + 38) != z->gateway)
		return;
	frame_header(z, r, f + 6, ETHERTYPE_ARP);
	memcpy(r + 14, f + 14, 6);
	put16(r + 20, 2);
	memcpy(r + 22, z->gateway_mac, 6);
	put32(r + 28, z->gateway);
	memcpy(r + 32, f + 22, 10);
	zone_input(z, z->gw, r, sizeof(r));
}

/* An IPv4 packet that is made by the gateway, to where a frame came from. */
static void reply(struct zone *z, const uint8_t *to, uint8_t *r, size_t len)
{
	frame_header(z, r, to, ETHERTYPE_IPV4);
	zone_input(z, z->gw, r, ETH_BYTES + len);
}

static void answer_ping(struct zone *z, const uint8_t *from, const struct ip4 *p)
{
	uint8_t r[ETH_BYTES + IP4_BYTES + UDP_MAX], *m = r + ETH_BYTES + IP4_BYTES;
	size_t n = p->len - p->hlen;

	if (n < ICMP_BYTES || n > UDP_MAX || p->h[p->hlen] != 8 || (p->frag & (IP4_MF | IP4_OFFSET)) || inet_checksum(p->h + p->hlen, n, 0))
		return;
	ip4_header(r + ETH_BYTES, IPPROTO_ICMP, z->gateway, p->src, n);
	memcpy(m, p->h + p->hlen, n);
	m[0] = 0;
	put16(m + 2, checksum_change16(get16(m + 2), 0x0800 | m[1], m[1]));
	reply(z, from, r, IP4_BYTES + n);
}

static void refuse(struct zone *z, const uint8_t *from, const struct ip4 *p, uint8_t type, uint8_t code, uint32_t extra)
{
	uint8_t r[ETH_BYTES + ICMP_ERROR_MAX];
	size_t n = icmp_error(r + ETH_BYTES, z->gateway, p, type, code, extra);

	if (n)
		reply(z, from, r, n);
}

static void on_dhcp(struct zone *z, struct port *from, const uint8_t *msg, size_t len)
{
	static const uint8_t all[6] = { 255, 255, 255, 255, 255, 255 };
	uint8_t out[UDP_MAX];
	bool broadcast = false;
	size_t n = dhcp_answer(from, msg, len, out, sizeof(out), &broadcast);

	if (n)
		gateway_send_udp(z, broadcast ? all : from->mac, broadcast ? 0xffffffff : from->ip,
			67, 68, out, n);
}

static void on_dns(struct zone *z, struct port *from, uint32_t ip, uint16_t port,
	const uint8_t *msg, size_t len)
{
	uint8_t out[UDP_MAX];
	bool forward = false;
	size_t n = dns_answer(z, msg, len, out, sizeof(out), &forward);

	if (n)
		gateway_send_udp(z, from->mac, ip, 53, port, out, n);
	else if (forward)
		resolver_ask(z->net->resolver, z, from->mac, ip, port, msg, len);
}

/* true when it was a question for DHCP or DNS. Those are never fragments. */
static bool asked(struct zone *z, struct port *from, const struct ip4 *p)
{
	const uint8_t *udp = p->h + p->hlen;
	size_t n = p->len - p->hlen, udp_len;

	if (p->proto != IPPROTO_UDP || (p->frag & (IP4_MF | IP4_OFFSET)) || n < UDP_BYTES)
		return false;
	udp_len = get16(udp + 4);
	if (udp_len < UDP_BYTES || udp_len > n || (get16(udp + 2) != 67 && get16(udp + 2) != 53))
		return false;
	if (get16(udp + 6) && inet_checksum(udp, udp_len, pseudo4(p->src, p->dst, IPPROTO_UDP, udp_len)))
		return true;
	if (get16(udp + 2) == 67)
		on_dhcp(z, from, udp + UDP_BYTES, udp_len - UDP_BYTES);
	else if (p->dst == z->gateway)
		on_dns(z, from, p->src, get16(udp), udp + UDP_BYTES, udp_len - UDP_BYTES);
	return true;
}

/* To the gateway's own address. Answers to what comes in by a forward go to it too: slirp's hosts have it. */
static void to_gateway(struct zone *z, struct port *from, const struct ip4 *p)
{
	if (asked(z, from, p))
		return;
	if (p->proto == IPPROTO_ICMP)
		answer_ping(z, from->mac, p);
	else if (z->outside && (p->proto == IPPROTO_TCP || p->proto == IPPROTO_UDP))
		outside_input(z->outside, p->h, p->len);
	else
		refuse(z, from->mac, p, 3, p->proto == IPPROTO_TCP || p->proto == IPPROTO_UDP ? 3 : 2, 0);
}

/* A hop less to live, with the checksum (RFC 1141). */
static void age(uint8_t *h)
{
	uint16_t was = get16(h + 8);

	h[8]--;
	put16(h + 10, checksum_change16(get16(h + 10), was, get16(h + 8)));
}

static void lead_on(struct zone *z, struct port *from, const struct ip4 *p)
{
	if (p->h[8] <= 1) {
		refuse(z, from->mac, p, 11, 0, 0);
		return;
	}
	if (!z->outside || (p->dst & z->mask) == z->prefix) {
		refuse(z, from->mac, p, 3, z->outside ? 1 : 0, 0);
		return;
	}
	age(p->h);
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
		answer_arp(z, f, len);
		return;
	}
	if (get16(f + 12) != ETHERTYPE_IPV4)
		return;
	h = net_hop(z->net);
	if (!h)
		return;
	memcpy(h, f, len);
	if (ip4_parse(h + ETH_BYTES, len - ETH_BYTES, &p)) {
		if (f[0] & 1) {
			if (p.dst == 0xffffffff || p.dst == (z->prefix | ~z->mask))
				asked(z, from, &p);
		} else if (p.dst == z->gateway) {
			to_gateway(z, from, &p);
		} else if (p.dst == 0xffffffff) {
			asked(z, from, &p);
		} else {
			lead_on(z, from, &p);
		}
	}
	net_hop_end(z->net);
}

void gateway_from_outside(struct zone *z, const uint8_t *ip, size_t len)
{
	struct port *to = len >= IP4_BYTES ? zone_by_ip(z, get32(ip + 16)) : NULL;
	uint8_t *f = to ? net_hop(z->net) : NULL;

	if (!f)
		return;
	if (len <= FRAME_MAX_BYTES - ETH_BYTES) {
		frame_header(z, f, to->mac, ETHERTYPE_IPV4);
		memcpy(f + ETH_BYTES, ip, len);
		zone_input(z, z->gw, f, ETH_BYTES + len);
	}
	net_hop_end(z->net);
}
