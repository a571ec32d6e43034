/* SPDX-License-Identifier: Apache-2.0 */
/* What a gateway answers by UDP over IPv6: DHCPv6 and DNS. */
#include "net/ip.h"
#include "net/ip6.h"

#include <string.h>

#define DHCP6_SERVER 547
#define DHCP6_CLIENT 546
#define UDP6_MAX 1452

void gateway_send_udp6(struct zone *z, const uint8_t mac[6], const uint8_t from[16], const uint8_t to[16], uint16_t src_port, uint16_t dst_port,
	const uint8_t *payload, size_t len)
{
	uint8_t f[ETH_BYTES + IP6_BYTES + UDP_BYTES + UDP6_MAX] = { 0 }, *h = f + ETH_BYTES, *udp = h + IP6_BYTES;
	uint16_t sum;

	if (len > UDP6_MAX)
		return;
	h[0] = 0x60;
	put16(h + 4, (uint16_t)(UDP_BYTES + len));
	h[6] = IPPROTO_UDP;
	h[7] = 64;
	memcpy(h + 8, from, 16);
	memcpy(h + 24, to, 16);
	put16(udp, src_port);
	put16(udp + 2, dst_port);
	put16(udp + 4, (uint16_t)(UDP_BYTES + len));
	memcpy(udp + UDP_BYTES, payload, len);
	sum = inet_checksum(udp, UDP_BYTES + len, pseudo6(from, to, IPPROTO_UDP, UDP_BYTES + len));
	put16(udp + 6, sum ? sum : 0xffff);
	ip6_send(z->gw, mac, f, IP6_BYTES + UDP_BYTES + len);
}

static void on_dhcp6(struct port *from, const uint8_t *h, const uint8_t *msg, size_t len)
{
	struct zone *z = from->zone;
	uint8_t out[UDP6_MAX], self[16];
	size_t n = dhcp6_answer(from, msg, len, out, sizeof(out));

	ip6_link_local(z->gw, self);
	if (n)
		gateway_send_udp6(z, from->mac, self, h + 8, DHCP6_SERVER, DHCP6_CLIENT, out, n);
}

static void on_dns6(struct port *from, const uint8_t *h, uint16_t port, const uint8_t *msg, size_t len)
{
	struct dns_asker who = { .zone = from->zone, .port = port, .v6 = true };
	bool forward = false;
	uint8_t out[1472];
	size_t n = dns_answer(from->zone, msg, len, out, sizeof(out), &forward);

	memcpy(who.mac, from->mac, 6);
	memcpy(who.ip6, h + 8, 16);
	memcpy(who.self6, h + 24, 16);
	if (from->zone->net->log_names && (n || forward))
		dns_log(from, msg, len, out, n);
	if (n)
		gateway_answer(&who, out, n);
	else if (forward)
		resolver_ask(from->zone->net->resolver, &who, msg, len);
}

bool gateway6_udp(struct port *gw, const uint8_t *mac, const uint8_t *h, size_t n)
{
	const uint8_t *udp = h + IP6_BYTES;
	struct port *from = zone_by_mac(gw->zone, mac);
	uint16_t port;
	size_t len;

	if (!from || n < IP6_BYTES + UDP_BYTES)
		return true;
	len = get16(udp + 4);
	if (len < UDP_BYTES || len > n - IP6_BYTES || !get16(udp + 6) || inet_checksum(udp, len, pseudo6(h + 8, h + 24, IPPROTO_UDP, len)))
		return true; /* broken, not to be answered */
	port = get16(udp + 2);
	if (port == DHCP6_SERVER && get16(udp) == DHCP6_CLIENT)
		on_dhcp6(from, h, udp + UDP_BYTES, len - UDP_BYTES);
	else if (port == 53 && h[24] != 0xff)
		on_dns6(from, h, get16(udp), udp + UDP_BYTES, len - UDP_BYTES);
	return port == DHCP6_SERVER || port == 53;
}
