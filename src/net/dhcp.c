/* SPDX-License-Identifier: Apache-2.0 */
/* DHCP (RFC 2131, options: RFC 2132, 3442): the address of a machine is fixed, so an answer depends on
 * the question alone. */
#include "net/zone.h"

#include <stdio.h>
#include <string.h>

#define FIXED 236 /* up to the cookie */
#define COOKIE 0x63825363u
enum { DISCOVER = 1, OFFER, REQUEST, DECLINE, ACK, NAK, RELEASE, INFORM };
enum {
	OPT_MASK = 1,
	OPT_ROUTER = 3,
	OPT_DNS = 6,
	OPT_HOSTNAME = 12,
	OPT_DOMAIN = 15,
	OPT_MTU = 26,
	OPT_NTP = 42,
	OPT_REQUESTED = 50,
	OPT_LEASE = 51,
	OPT_OVERLOAD = 52,
	OPT_TYPE = 53,
	OPT_SERVER = 54,
	OPT_BOOT_SERVER = 66,
	OPT_BOOT_FILE = 67,
	OPT_ROUTES = 121,
	OPT_SEARCH_END = 255
};

struct question {
	uint8_t type;
	uint32_t requested, server;
};

static bool parse_options(const uint8_t *p, size_t n, struct question *q)
{
	while (n && *p != 255) {
		size_t len;

		if (*p == 0) {
			p++;
			n--;
			continue;
		}
		if (n < 2 || (size_t)p[1] + 2 > n)
			return false;
		len = p[1];
		if (*p == OPT_TYPE && len == 1)
			q->type = p[2];
		else if (*p == OPT_REQUESTED && len == 4)
			q->requested = get32(p + 2);
		else if (*p == OPT_SERVER && len == 4)
			q->server = get32(p + 2);
		p += len + 2;
		n -= len + 2;
	}
	return q->type != 0;
}

static void option(uint8_t **o, uint8_t code, const void *p, size_t n)
{
	*(*o)++ = code;
	*(*o)++ = (uint8_t)n;
	memcpy(*o, p, n);
	*o += n;
}

static void option32(uint8_t **o, uint8_t code, uint32_t v)
{
	uint8_t b[4];

	put32(b, v);
	option(o, code, b, 4);
}

static void addresses(uint8_t **o, uint8_t code, const uint32_t *ip, size_t n)
{
	uint8_t b[4 * DHCP_LIST_MAX];

	for (size_t i = 0; i < n; i++)
		put32(b + 4 * i, ip[i]);
	if (n)
		option(o, code, b, 4 * n);
}

static uint8_t *classless(uint8_t *b, uint32_t prefix, uint32_t mask, uint32_t via)
{
	unsigned bits = (unsigned)__builtin_popcount(mask), bytes = (bits + 7) / 8;
	uint8_t all[4];

	put32(all, prefix);
	*b++ = (uint8_t)bits;
	memcpy(b, all, bytes);
	put32(b + bytes, via);
	return b + bytes + 4;
}

/* Whoever takes these looks at no router option: the way out is among them (RFC 3442). */
static void routes(const struct zone *z, uint8_t **o)
{
	uint8_t b[9 * (DHCP_LIST_MAX + 1)], *at = b;

	for (size_t i = 0; i < z->nroutes && i < DHCP_LIST_MAX; i++)
		at = classless(at, z->routes[i].prefix, z->routes[i].mask, z->routes[i].via);
	if (at == b)
		return;
	at = classless(at, 0, 0, z->gateway);
	option(o, OPT_ROUTES, b, (size_t)(at - b));
}

static void settings(const struct port *p, uint8_t **o)
{
	const struct zone *z = p->zone;
	const struct dhcp_settings *s = &z->dhcp;
	const char *domain = s->domain ? s->domain : z->domain;
	size_t n = strlen(p->node), d = strlen(domain);
	uint8_t mtu[2];

	option32(o, OPT_MASK, z->mask);
	option32(o, OPT_ROUTER, z->gateway);
	addresses(o, OPT_DNS, s->ndns ? s->dns : &z->gateway, s->ndns ? s->ndns : 1);
	addresses(o, OPT_NTP, s->ntp, s->nntp);
	routes(z, o);
	if (n && n < 64)
		option(o, OPT_HOSTNAME, p->node, n);
	if (d && d < 200)
		option(o, OPT_DOMAIN, domain, d);
	put16(mtu, (uint16_t)z->mtu);
	if (z->mtu && z->mtu != 1500)
		option(o, OPT_MTU, mtu, 2);
	if (s->boot_file && strlen(s->boot_file) < 128) {
		char server[16];
		uint32_t ip = s->boot_server ? s->boot_server : z->gateway;

		snprintf(server, sizeof(server), "%u.%u.%u.%u", ip >> 24, ip >> 16 & 255, ip >> 8 & 255, ip & 255);
		option(o, OPT_BOOT_FILE, s->boot_file, strlen(s->boot_file));
		option(o, OPT_BOOT_SERVER, server, strlen(server));
	}
}

/* OFFER, ACK, NAK or nothing (0). */
static uint8_t decide(const struct port *p, const struct question *q, uint32_t ciaddr)
{
	uint32_t wants = q->requested ? q->requested : ciaddr;

	switch (q->type) {
	case DISCOVER:
		return OFFER;
	case REQUEST:
		if (q->server && q->server != p->zone->gateway)
			return 0; /* it chose another server; there is none, but that is its
				     business */
		return wants == p->ip ? ACK : NAK;
	case INFORM:
		return ACK;
	default:
		return 0; /* RELEASE and DECLINE change nothing: the address stays the machine's */
	}
}

size_t dhcp_answer(const struct port *p, const uint8_t *m, size_t len, uint8_t *out, size_t cap,
	bool *broadcast)
{
	struct question q = { 0 };
	uint8_t *o, type;
	uint32_t ciaddr;

	if (len < FIXED + 4 || cap < 576 || m[0] != 1 || m[1] != 1 || m[2] != 6 ||
		get32(m + FIXED) != COOKIE || memcmp(m + 28, p->mac, 6) ||
		!parse_options(m + FIXED + 4, len - FIXED - 4, &q))
		return 0;
	ciaddr = get32(m + 12);
	type = decide(p, &q, ciaddr);
	if (!type)
		return 0;
	memset(out, 0, FIXED);
	out[0] = 2;
	out[1] = 1;
	out[2] = 6;
	memcpy(out + 4, m + 4, 4);    /* xid */
	memcpy(out + 10, m + 10, 2);  /* flags */
	memcpy(out + 28, m + 28, 16); /* chaddr */
	if (q.type == INFORM)
		put32(out + 12, ciaddr);
	else if (type != NAK)
		put32(out + 16, p->ip);
	put32(out + 20, p->zone->dhcp.boot_server ? p->zone->dhcp.boot_server : p->zone->gateway);
	if (p->zone->dhcp.boot_file && type != NAK)
		strncpy((char *)out + 108, p->zone->dhcp.boot_file, 127);
	put32(out + FIXED, COOKIE);
	o = out + FIXED + 4;
	option(&o, OPT_TYPE, &type, 1);
	option32(&o, OPT_SERVER, p->zone->gateway);
	if (type != NAK) {
		if (q.type != INFORM)
			option32(&o, OPT_LEASE, 0xffffffff); /* for ever: RFC 2131, 3.3 */
		settings(p, &o);
	}
	*o++ = 255;
	while (o - out < 300) /* what BOOTP clients expect at least */
		*o++ = 0;
	/* RFC 2131, 4.1: a NAK and whoever asked for it by the flag get a broadcast. */
	*broadcast = type == NAK || (!ciaddr && (m[10] & 0x80));
	return (size_t)(o - out);
}

bool dhcp_leases(const uint8_t *answer, size_t len)
{
	/* The type comes first, see dhcp_answer; an address is given by an ACK, but not to whoever has one and asked for the rest. */
	return len > FIXED + 6 && answer[FIXED + 4] == OPT_TYPE && answer[FIXED + 6] == ACK && get32(answer + 16);
}
