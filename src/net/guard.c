/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a machine may send. Its MAC and IPv4 address are fixed by the group; an IPv6 address is that of
 * who used it first (RFC 6620) unless it is made of somebody's MAC. Nobody but the gateway offers
 * addresses or routes. VLAN tags hide nothing. A port that is trusted (it is a router or a server of
 * such things itself) is let do all of it.
 */
#include "net/guard.h"
#include "net/ip.h"

#include <string.h>

#define ARP_BYTES 28
#define HEADERS_MAX 8
#define TAGS_MAX 2
enum { NDP_RS = 133, NDP_RA, NDP_NS, NDP_NA, NDP_REDIRECT };

void guard_forget(struct port *p)
{
	p->nv6 = p->v6_next = 0;
}

static bool arp_allowed(const struct port *p, const uint8_t *a, size_t len)
{
	uint32_t ip;

	/* Ethernet and IPv4 only: other lengths would put the addresses elsewhere. */
	if (len < ARP_BYTES || get16(a) != 1 || get16(a + 2) != ETHERTYPE_IPV4 || a[4] != 6 || a[5] != 4)
		return false;
	ip = get32(a + 14);
	/* 0.0.0.0 asks whether an address is free (RFC 5227). */
	return !memcmp(a + 8, p->mac, 6) && (ip == p->ip || (!ip && get16(a + 6) == 1));
}

static bool ipv4_allowed(const struct port *p, const uint8_t *h, size_t len)
{
	size_t hlen, total;
	uint32_t src;
	bool first;

	if (len < IP4_BYTES || h[0] >> 4 != 4)
		return false;
	hlen = (size_t)(h[0] & 15) * 4;
	total = get16(h + 2);
	if (hlen < IP4_BYTES || total < hlen || total > len)
		return false;
	src = get32(h + 12);
	first = !(get16(h + 6) & 0x1fff);
	if (h[9] == IPPROTO_UDP && first) {
		if (total - hlen < 4)
			return false;
		if (get16(h + hlen) == 67 && get16(h + hlen + 2) == 68)
			return false;
		if (!src)
			return get32(h + 16) == 0xffffffff && !(get16(h + 6) & 0x2000) && get16(h + hlen) == 68 &&
			       get16(h + hlen + 2) == 67;
	}
	return src == p->ip;
}

/* The MAC that an interface identifier was made of (RFC 4291, appendix A). */
static bool mac_of(const uint8_t a[16], uint8_t mac[6])
{
	if (a[11] != 0xff || a[12] != 0xfe)
		return false;
	memcpy(mac, (uint8_t[]){ a[8] ^ 2, a[9], a[10], a[13], a[14], a[15] }, 6);
	return true;
}

static bool bound(const struct port *p, const uint8_t a[16])
{
	for (unsigned i = 0; i < p->nv6; i++)
		if (!memcmp(p->v6[i], a, 16))
			return true;
	return false;
}

/* Is this address the port's own, or nobody's yet (then it becomes its own)? */
static bool claim(struct port *p, const uint8_t a[16])
{
	uint8_t mac[6];

	if (mac_of(a, mac)) {
		if (!memcmp(mac, p->mac, 6))
			return true;
		if (zone_by_mac(p->zone, mac))
			return false;
	}
	if (bound(p, a))
		return true;
	for (const struct port *q = p->zone->ports; q; q = q->next)
		if (q != p && (bound(q, a) || (q->has_ip6 && !memcmp(q->ip6, a, 16))))
			return false;
	/* Temporary addresses come and go: the oldest makes room. */
	memcpy(p->v6[p->v6_next], a, 16);
	p->v6_next = (p->v6_next + 1) % PORT_V6_MAX;
	if (p->nv6 < PORT_V6_MAX)
		p->nv6++;
	return true;
}

/* Link-layer addresses in options of NDP (RFC 4861, 4.6) are the sender's. */
static bool options_allowed(const struct port *p, const uint8_t *o, size_t len)
{
	while (len) {
		size_t n;

		if (len < 8 || !o[1] || (size_t)o[1] * 8 > len)
			return false;
		n = (size_t)o[1] * 8;
		if ((o[0] == 1 || o[0] == 2) && (n != 8 || memcmp(o + 2, p->mac, 6)))
			return false;
		o += n;
		len -= n;
	}
	return true;
}

static bool icmp6_allowed(struct port *p, const uint8_t *h, const uint8_t *m, size_t len, bool fragment)
{
	static const uint8_t none[16];

	if (len < 4 || m[0] == NDP_RA || m[0] == NDP_REDIRECT)
		return false;
	if (m[0] < NDP_RS || m[0] > NDP_REDIRECT)
		return true;
	if (fragment) /* RFC 6980 */
		return false;
	if (m[0] == NDP_RS)
		return len >= 8 && options_allowed(p, m + 8, len - 8);
	if (len < 24 || (m[8] & 0xff) == 0xff)
		return false;
	/* Asking for an address without having one: is it free? The owner answers. */
	if (m[0] == NDP_NS && !memcmp(h + 8, none, 16))
		return true;
	return (m[0] == NDP_NS || claim(p, m + 8)) && options_allowed(p, m + 24, len - 24);
}

/* Extension headers (RFC 8200, 4) are walked, so that nothing hides behind them. */
static bool ipv6_payload_allowed(struct port *p, const uint8_t *h, size_t len)
{
	const uint8_t *at = h + IP6_BYTES;
	size_t left = len - IP6_BYTES, n;
	uint8_t next = h[6];
	bool fragment = false;

	for (int i = 0; i < HEADERS_MAX; i++) {
		switch (next) {
		case IPPROTO_ICMPV6:
			return icmp6_allowed(p, h, at, left, fragment);
		case IPPROTO_UDP:
			return left >= 4 && !(get16(at) == 547 && get16(at + 2) == 546);
		case IPPROTO_FRAGMENT:
			if (left < 8)
				return false;
			if (get16(at + 2) & 0xfff8)
				return true; /* what follows is of a first one that was looked at */
			fragment = true;
			n = 8;
			break;
		case IPPROTO_HOPOPTS:
		case IPPROTO_ROUTING:
		case IPPROTO_DSTOPTS:
			n = left >= 8 ? ((size_t)at[1] + 1) * 8 : 0;
			break;
		default:
			return true;
		}
		if (!n || n > left)
			return false;
		next = at[0];
		at += n;
		left -= n;
	}
	return false;
}

static bool ipv6_allowed(struct port *p, const uint8_t *h, size_t len)
{
	static const uint8_t none[16];
	size_t payload;

	if (len < IP6_BYTES || h[0] >> 4 != 6)
		return false;
	payload = get16(h + 4);
	if (payload > len - IP6_BYTES || h[8] == 0xff)
		return false;
	if (!memcmp(h + 8, none, 16)) {
		if (h[24] != 0xff)
			return false;
	} else if (!claim(p, h + 8)) {
		return false;
	}
	return ipv6_payload_allowed(p, h, IP6_BYTES + payload);
}

bool guard_allows(struct port *p, const uint8_t *f, size_t len)
{
	size_t at = 12;

	if (len < ETH_BYTES)
		return false;
	if (p->trusted)
		return true;
	if (memcmp(f + 6, p->mac, 6))
		return false;
	for (int tags = 0; get16(f + at) == 0x8100 || get16(f + at) == 0x88a8 || get16(f + at) == 0x9100; at += 4)
		if (++tags > TAGS_MAX || len < at + 6)
			return false;
	f += at + 2;
	len -= at + 2;
	switch (get16(f - 2)) {
	case ETHERTYPE_ARP:
		return arp_allowed(p, f, len);
	case ETHERTYPE_IPV4:
		return ipv4_allowed(p, f, len);
	case ETHERTYPE_IPV6:
		return ipv6_allowed(p, f, len);
	case ETHERTYPE_RARP:
		return false;
	default:
		return true;
	}
}
