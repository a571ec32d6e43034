/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The switch. Each port's MAC and address are fixed by the group, so there is nothing to learn and
 * no table that a guest could fill: a frame with another sender's address is dropped and counted.
 */
#include "net/zone.h"

#include <string.h>

#define ETH_HEADER 14
#define ETH_MIN_PAYLOAD 20
#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_ARP 0x0806

struct port *zone_by_mac(const struct zone *z, const uint8_t mac[6])
{
	for (struct port *p = z->ports; p; p = p->next)
		if (!memcmp(p->mac, mac, 6))
			return p;
	return NULL;
}

struct port *zone_by_ip(const struct zone *z, uint32_t ip)
{
	for (struct port *p = z->ports; p; p = p->next)
		if (p->ip == ip)
			return p;
	return NULL;
}

/* Does the sender claim to be somebody else? 0.0.0.0 is nobody yet (DHCP, ARP probe: RFC 5227). */
static bool spoofed(const struct port *p, const uint8_t *f, size_t len)
{
	uint32_t ip;

	if (memcmp(f + 6, p->mac, 6))
		return true;
	if (get16(f + 12) == ETHERTYPE_ARP) {
		if (len < ETH_HEADER + 28)
			return true;
		ip = get32(f + ETH_HEADER + 14);
		return memcmp(f + ETH_HEADER + 8, p->mac, 6) || (ip && ip != p->ip);
	}
	if (get16(f + 12) == ETHERTYPE_IPV4) {
		if (len < ETH_HEADER + ETH_MIN_PAYLOAD)
			return true;
		ip = get32(f + ETH_HEADER + 12);
		return ip && ip != p->ip;
	}
	return false;
}

static void flood(struct zone *z, const struct port *from, const uint8_t *f, size_t len)
{
	for (struct port *p = z->ports; p; p = p->next)
		if (p != from)
			port_send(p, f, len);
}

/* slirp hears what is for the gateway; of broadcasts only the question for its own address. */
static bool for_outside(const struct zone *z, const uint8_t *f, size_t len)
{
	if (!memcmp(f, z->gateway_mac, 6))
		return true;
	return get16(f + 12) == ETHERTYPE_ARP && len >= ETH_HEADER + 28 &&
	       get32(f + ETH_HEADER + 24) == z->gateway;
}

void zone_input(struct zone *z, struct port *from, uint8_t *f, size_t len)
{
	if (len < ETH_HEADER)
		return;
	if (spoofed(from, f, len)) {
		from->spoofed++;
		return;
	}
	if (gateway_input(z, from, f, len))
		return;
	if (f[0] & 1) {
		flood(z, from, f, len);
	} else {
		struct port *to = zone_by_mac(z, f);

		if (to && to != from)
			port_send(to, f, len);
	}
	if (z->outside && for_outside(z, f, len))
		outside_input(z->outside, f, len);
}

void zone_output(struct zone *z, const uint8_t *f, size_t len)
{
	struct port *to;

	if (len < ETH_HEADER)
		return;
	to = f[0] & 1 ? NULL : zone_by_mac(z, f);
	if (to)
		port_send(to, f, len);
	else if (f[0] & 1)
		flood(z, NULL, f, len);
}
