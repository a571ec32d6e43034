/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gateway's own address: answers ARP and ping where there is no outside that does, DHCP and DNS
 * always.
 */
#include "net/zone.h"

#include <string.h>

#define ETH 14
#define IP 20
#define UDP 8
#define UDP_MAX 1472 /* what fits into one Ethernet frame; longer answers are cut by their makers  \
		      */

/* RFC 1071 */
uint16_t inet_checksum(const void *p, size_t n, uint32_t sum)
{
	const uint8_t *b = p;

	for (; n > 1; n -= 2, b += 2)
		sum += get16(b);
	if (n)
		sum += (uint32_t)b[0] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void ip_header(
	const struct zone *z, uint8_t *ip, uint8_t protocol, uint32_t to, size_t payload)
{
	memset(ip, 0, IP);
	ip[0] = 0x45;
	put16(ip + 2, (uint16_t)(IP + payload));
	ip[8] = 64;
	ip[9] = protocol;
	put32(ip + 12, z->gateway);
	put32(ip + 16, to);
	put16(ip + 10, inet_checksum(ip, IP, 0));
}

void gateway_send_udp(struct zone *z, const uint8_t mac[6], uint32_t to, uint16_t src_port,
	uint16_t dst_port, const uint8_t *payload, size_t len)
{
	uint8_t f[ETH + IP + UDP + UDP_MAX], *udp = f + ETH + IP;
	uint32_t pseudo;

	if (len > UDP_MAX)
		return;
	memcpy(f, mac, 6);
	memcpy(f + 6, z->gateway_mac, 6);
	put16(f + 12, 0x0800);
	ip_header(z, f + ETH, IPPROTO_UDP, to, UDP + len);
	put16(udp, src_port);
	put16(udp + 2, dst_port);
	put16(udp + 4, (uint16_t)(UDP + len));
	put16(udp + 6, 0);
	memcpy(udp + UDP, payload, len);
	pseudo = (z->gateway >> 16) + (z->gateway & 0xffff) + (to >> 16) + (to & 0xffff) +
		 IPPROTO_UDP + (uint32_t)(UDP + len);
	put16(udp + 6, inet_checksum(udp, UDP + len, pseudo));
	if (!get16(udp + 6))
		put16(udp + 6, 0xffff);
	zone_output(z, f, ETH + IP + UDP + len);
}

static bool answer_arp(struct zone *z, const uint8_t *f, size_t len)
{
	uint8_t r[ETH + 28];

	if (len < sizeof(r) || get16(f + 20) != 1 || get32(f + 38) != z->gateway)
		return false;
	memcpy(r, f + 6, 6);
	memcpy(r + 6, z->gateway_mac, 6);
	memcpy(r + 12, f + 12, 8);
	put16(r + 20, 2);
	memcpy(r + 22, z->gateway_mac, 6);
	put32(r + 28, z->gateway);
	memcpy(r + 32, f + 22, 10);
	zone_output(z, r, sizeof(r));
	return true;
}

static bool answer_ping(
	struct zone *z, const struct port *from, const uint8_t *f, size_t len, size_t ihl)
{
	uint8_t r[ETH + IP + UDP_MAX];
	size_t total = get16(f + ETH + 2), n = total - ihl;

	if (n < 8 || n > UDP_MAX || f[ETH + ihl] != 8)
		return false;
	memcpy(r, from->mac, 6);
	memcpy(r + 6, z->gateway_mac, 6);
	put16(r + 12, 0x0800);
	ip_header(z, r + ETH, IPPROTO_ICMP, get32(f + ETH + 12), n);
	memcpy(r + ETH + IP, f + ETH + ihl, n);
	r[ETH + IP] = 0;
	put16(r + ETH + IP + 2, 0);
	put16(r + ETH + IP + 2, inet_checksum(r + ETH + IP, n, 0));
	zone_output(z, r, ETH + IP + n);
	return true;
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

bool gateway_input(struct zone *z, struct port *from, const uint8_t *f, size_t len)
{
	const uint8_t *ip = f + ETH, *udp;
	size_t ihl, total, udp_len;
	bool to_us;

	if (get16(f + 12) == 0x0806)
		return !z->outside && answer_arp(z, f, len);
	if (get16(f + 12) != 0x0800 || len < ETH + IP || ip[0] >> 4 != 4)
		return false;
	ihl = (size_t)(ip[0] & 15) * 4;
	total = get16(ip + 2);
	/* Fragments are never DHCP or DNS questions. */
	if (ihl < IP || total < ihl || total > len - ETH || (get16(ip + 6) & 0x3fff))
		return false;
	to_us = get32(ip + 16) == z->gateway;
	if (ip[9] == IPPROTO_ICMP && to_us)
		return answer_ping(z, from, f, len, ihl);
	if (ip[9] != IPPROTO_UDP || total < ihl + UDP)
		return false;
	udp = ip + ihl;
	udp_len = get16(udp + 4);
	if (udp_len < UDP || udp_len > total - ihl)
		return false;
	if (get16(udp + 2) == 67 && (to_us || get32(ip + 16) == 0xffffffff)) {
		on_dhcp(z, from, udp + UDP, udp_len - UDP);
		return true;
	}
	if (get16(udp + 2) == 53 && to_us) {
		on_dns(z, from, get32(ip + 12), get16(udp), udp + UDP, udp_len - UDP);
		return true;
	}
	return false;
}
