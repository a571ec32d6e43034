/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Port maps on request: NAT-PMP (RFC 6886) and PCP's MAP (RFC 6887), at the gateway's UDP port 5351 where the router's "pcp" is on.
 * A machine maps its own ports alone, for at most a day at a time; how many it may have is nattable.h's.
 */
#include "net/pcp.h"
#include "net/nat.h"
#include "net/zone.h"

#include <string.h>

#define LIFE_MAX 86400
enum { PMP_ADDRESS = 0, PMP_UDP = 1, PMP_TCP = 2 };
enum { PMP_OK = 0, PMP_VERSION = 1, PMP_RESOURCES = 4, PMP_OPCODE = 5 };
enum { PCP_ANNOUNCE = 0, PCP_MAP = 1 };
enum { PCP_OK = 0, PCP_VERSION = 1, PCP_MALFORMED = 3, PCP_OPCODE = 4, PCP_OPTION = 5, PCP_RESOURCES = 8, PCP_PROTOCOL = 9, PCP_ADDRESS = 12 };

static uint32_t epoch(void)
{
	return (uint32_t)(loop_now() / 1000000000);
}

/* Makes, prolongs or (life 0) ends a map of a port of ip's. Returns the outside port, 0: it can't be. */
static uint16_t map(struct nat *n, uint8_t proto, uint32_t ip, uint16_t port, uint16_t wish, uint32_t *life)
{
	uint64_t now = loop_now();

	if (!*life) {
		nat_unmap_asked(n, proto, ip, port);
		return wish ? wish : port;
	}
	if (*life > LIFE_MAX)
		*life = LIFE_MAX;
	return nat_map_any(n, proto, wish, ip, port, *life, now);
}

static size_t pmp(struct nat *n, uint32_t ip, const uint8_t *m, size_t len, uint8_t *out)
{
	uint32_t life;
	uint16_t port;

	out[0] = 0;
	out[1] = (uint8_t)(0x80 | m[1]);
	put16(out + 2, PMP_OK);
	put32(out + 4, epoch());
	if (m[1] == PMP_ADDRESS) {
		put32(out + 8, nat_settings(n)->external);
		return 12;
	}
	if ((m[1] != PMP_UDP && m[1] != PMP_TCP) || len < 12) {
		put16(out + 2, PMP_OPCODE);
		return 8;
	}
	life = get32(m + 8);
	port = map(n, m[1] == PMP_UDP ? IPPROTO_UDP : IPPROTO_TCP, ip, get16(m + 4), get16(m + 6), &life);
	put16(out + 2, port ? PMP_OK : PMP_RESOURCES);
	put16(out + 8, get16(m + 4));
	put16(out + 10, life ? port : 0);
	put32(out + 12, port ? life : 0);
	return 16;
}

/* The address as PCP writes it: IPv4 inside of IPv6 (RFC 6887, 5). */
static bool is_v4(const uint8_t a[16], uint32_t ip)
{
	static const uint8_t prefix[12] = { [10] = 0xff, [11] = 0xff };

	return !memcmp(a, prefix, 12) && get32(a + 12) == ip;
}

static uint8_t pcp_map(struct nat *n, uint32_t ip, const uint8_t *m, size_t len, uint8_t *out, uint32_t *life)
{
	const uint8_t *o = m + 24;
	uint16_t port;

	if (len < 60)
		return PCP_MALFORMED;
	if (o[12] != IPPROTO_TCP && o[12] != IPPROTO_UDP)
		return PCP_PROTOCOL; /* 0, all of them, too */
	/* Options below 128 must be understood: there are none here. */
	if (len > 60 && !(m[60] & 0x80))
		return PCP_OPTION;
	if (!get16(o + 16))
		return PCP_MALFORMED;
	port = map(n, o[12], ip, get16(o + 16), get16(o + 18), life);
	if (!port)
		return PCP_RESOURCES;
	put16(out + 24 + 18, port);
	memset(out + 24 + 20, 0, 16);
	out[24 + 30] = out[24 + 31] = 0xff;
	put32(out + 24 + 32, nat_settings(n)->external);
	return PCP_OK;
}

static size_t pcp(struct nat *n, uint32_t ip, const uint8_t *m, size_t len, uint8_t *out)
{
	size_t size = len > 60 ? 60 : len & ~(size_t)3;
	uint32_t life = 0;
	uint8_t code;

	if (len < 24)
		return 0;
	memcpy(out, m, size);
	life = get32(m + 4);
	if (!is_v4(m + 8, ip))
		code = PCP_ADDRESS; /* a NAT in between, or another's ports */
	else if ((m[1] & 0x7f) == PCP_ANNOUNCE)
		code = PCP_OK;
	else if ((m[1] & 0x7f) == PCP_MAP)
		code = pcp_map(n, ip, m, len, out, &life);
	else
		code = PCP_OPCODE;
	out[0] = 2;
	out[1] = m[1] | 0x80;
	out[2] = 0;
	out[3] = code;
	put32(out + 4, code ? 1800 : life); /* how long an error holds */
	put32(out + 8, epoch());
	memset(out + 12, 0, 12);
	return size;
}

size_t pcp_answer(const struct port *p, const uint8_t *m, size_t len, uint8_t *out)
{
	const struct router *r = p->zone->router;

	if (!r || !r->nat || !r->pcp || len < 2 || len > 1100 || (m[1] & 0x80))
		return 0;
	if (m[0] == 0)
		return pmp(r->nat, p->ip, m, len, out);
	if (m[0] == 2)
		return pcp(r->nat, p->ip, m, len, out);
	/* Which version there is (RFC 6887, 9). */
	memset(out, 0, 24);
	out[0] = 2;
	out[1] = m[1] | 0x80;
	out[3] = PCP_VERSION;
	put32(out + 4, 1800);
	put32(out + 8, epoch());
	return 24;
}
