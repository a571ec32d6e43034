/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DHCPv6 (RFC 8415). Machines make their addresses themselves (SLAAC) and are told by the router's advertisement to ask for the rest
 * alone; who asks for an address is given that very one. Nothing is remembered: an answer depends on the question.
 */
#include "net/zone.h"

#include <string.h>

enum { SOLICIT = 1, ADVERTISE, REQUEST, CONFIRM, RENEW, REBIND, REPLY, RELEASE, DECLINE, RECONFIGURE, INFORMATION };
enum { OPT_CLIENT = 1, OPT_SERVER = 2, OPT_IA_NA = 3, OPT_ADDRESS = 5, OPT_STATUS = 13, OPT_RAPID = 14, OPT_DNS = 23, OPT_DOMAINS = 24 };
enum { SUCCESS = 0, NO_ADDRESS = 2, NOT_ON_LINK = 4 };
#define DUID_MAX 130 /* RFC 8415, 11.1 */
#define DUID_OURS 10
#define IAS_MAX 4
#define PREFERRED_S 86400
#define VALID_S 172800

struct question {
	uint8_t type;
	const uint8_t *client, *server;
	size_t nclient, nserver, nias;
	struct {
		uint32_t id;
		const uint8_t *options;
		size_t n;
	} ias[IAS_MAX];
	bool rapid;
};
struct answer {
	uint8_t *at, *end;
	bool full;
};

static bool parse(const uint8_t *m, size_t len, struct question *q)
{
	const uint8_t *o = m + 4;
	size_t left = len < 4 ? 0 : len - 4;

	if (len < 4)
		return false;
	*q = (struct question){ .type = m[0] };
	while (left) {
		size_t n;

		if (left < 4 || get16(o + 2) > left - 4)
			return false;
		n = get16(o + 2);
		switch (get16(o)) {
		case OPT_CLIENT:
			q->client = o + 4;
			q->nclient = n;
			break;
		case OPT_SERVER:
			q->server = o + 4;
			q->nserver = n;
			break;
		case OPT_RAPID:
			q->rapid = true;
			break;
		case OPT_IA_NA:
			if (n < 12)
				return false;
			if (q->nias == IAS_MAX)
				break;
			q->ias[q->nias].id = get32(o + 4);
			q->ias[q->nias].options = o + 4 + 12;
			q->ias[q->nias++].n = n - 12;
			break;
		}
		o += 4 + n;
		left -= 4 + n;
	}
	return q->nclient <= DUID_MAX;
}

/* Room for an option of n bytes; NULL: there is none, and the answer comes to nothing. */
static uint8_t *option(struct answer *a, uint16_t code, size_t n)
{
	uint8_t *at = a->at + 4;

	if ((size_t)(a->end - a->at) < n + 4) {
		a->full = true;
		return NULL;
	}
	put16(a->at, code);
	put16(a->at + 2, (uint16_t)n);
	a->at += n + 4;
	return at;
}

static void copy_option(struct answer *a, uint16_t code, const void *p, size_t n)
{
	uint8_t *o = option(a, code, n);

	if (o)
		memcpy(o, p, n);
}

static void status(struct answer *a, uint16_t code)
{
	uint8_t *o = option(a, OPT_STATUS, 2);

	if (o)
		put16(o, code);
}

static void duid(const struct zone *z, uint8_t ret[DUID_OURS])
{
	put16(ret, 3); /* DUID-LL */
	put16(ret + 2, 1);
	memcpy(ret + 4, z->gateway_mac, 6);
}

/* The machine's address in the first, nothing in others. */
static void addresses(const struct port *p, const struct question *q, struct answer *a)
{
	for (size_t i = 0; i < q->nias; i++) {
		uint8_t *o = option(a, OPT_IA_NA, i ? 12 + 6 : 12 + 28);

		if (!o)
			return;
		put32(o, q->ias[i].id);
		put32(o + 4, i ? 0 : PREFERRED_S / 2);
		put32(o + 8, i ? 0 : PREFERRED_S / 10 * 8);
		put16(o + 12, i ? OPT_STATUS : OPT_ADDRESS);
		put16(o + 14, i ? 2 : 24);
		if (i) {
			put16(o + 16, NO_ADDRESS);
			continue;
		}
		memcpy(o + 16, p->ip6, 16);
		put32(o + 32, PREFERRED_S);
		put32(o + 36, VALID_S);
	}
}

/* Whether what the client has is of this link (RFC 8415, 18.3.3). */
static bool on_link(const struct port *p, const struct question *q)
{
	for (size_t i = 0; i < q->nias; i++)
		for (const uint8_t *o = q->ias[i].options, *end = o + q->ias[i].n; end - o >= 4;) {
			size_t n = get16(o + 2);

			if ((size_t)(end - o) - 4 < n)
				break;
			if (get16(o) == OPT_ADDRESS && n >= 16 && memcmp(o + 4, p->zone->prefix6, 8))
				return false;
			o += 4 + n;
		}
	return true;
}

static void name(const char *domain, struct answer *a)
{
	uint8_t *o = option(a, OPT_DOMAINS, strlen(domain) + 2);

	while (o && *domain) {
		size_t n = strcspn(domain, ".");

		*o++ = (uint8_t)(n > 63 ? 63 : n);
		memcpy(o, domain, n);
		o += n;
		domain += n + (domain[n] == '.');
	}
	if (o)
		*o = 0;
}

static void settings(const struct zone *z, struct answer *a)
{
	const char *domain = z->dhcp.domain ? z->dhcp.domain : z->domain;

	/* Name servers that were set are of IPv4: they come by DHCP there. */
	if (!z->dhcp.ndns)
		copy_option(a, OPT_DNS, z->gw->ip6, 16);
	if (*domain && strlen(domain) < 200)
		name(domain, a);
}

/* What kind of answer there is; 0: none. */
static uint8_t decide(const struct question *q, const uint8_t *ours)
{
	bool to_us = q->nserver == DUID_OURS && !memcmp(q->server, ours, DUID_OURS);

	switch (q->type) {
	case SOLICIT:
		return q->nclient && !q->nserver ? (q->rapid ? REPLY : ADVERTISE) : 0;
	case CONFIRM:
	case REBIND:
		return q->nclient && !q->nserver ? REPLY : 0;
	case REQUEST:
	case RENEW:
	case RELEASE:
	case DECLINE:
		return q->nclient && to_us ? REPLY : 0;
	case INFORMATION:
		return !q->nserver || to_us ? REPLY : 0;
	default:
		return 0;
	}
}

size_t dhcp6_answer(const struct port *p, const uint8_t *msg, size_t len, uint8_t *out, size_t cap)
{
	struct answer a = { .at = out + 4, .end = out + cap };
	uint8_t ours[DUID_OURS];
	struct question q;

	if (!p->has_ip6 || cap < 4 || !parse(msg, len, &q))
		return 0;
	duid(p->zone, ours);
	out[0] = decide(&q, ours);
	if (!out[0])
		return 0;
	memcpy(out + 1, msg + 1, 3); /* transaction */
	if (q.nclient)
		copy_option(&a, OPT_CLIENT, q.client, q.nclient);
	copy_option(&a, OPT_SERVER, ours, DUID_OURS);
	if (q.type == SOLICIT && q.rapid)
		option(&a, OPT_RAPID, 0);
	if (q.type == CONFIRM)
		status(&a, on_link(p, &q) ? SUCCESS : NOT_ON_LINK);
	else if (q.type == RELEASE || q.type == DECLINE)
		status(&a, SUCCESS);
	else
		addresses(p, &q, &a);
	settings(p->zone, &a);
	return a.full ? 0 : (size_t)(a.at - out);
}
