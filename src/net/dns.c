/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DNS (RFC 1035, 2181, EDNS: RFC 6891) for the group's own names: its machines and what the group's file adds (records.h). All others
 * are asked from the host's servers.
 */
#include "base/log.h"
#include "net/records.h"
#include "net/zone.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define HEADER 12
#define TTL 60
#define ALIASES_MAX 8 /* a CNAME that leads to a CNAME ... */
#define UDP_PLAIN 512
#define UDP_LEAST_EDNS 512
#define UDP_OURS 1232
#define OPT_BYTES 11
enum { NOERROR = 0, FORMERR = 1, NXDOMAIN = 3, NOTIMP = 4 };

struct answer {
	const uint8_t *msg;
	uint8_t *out;
	size_t len, cap; /* cap: room; what is longer is cut and marked so */
	size_t question; /* where it ends */
	unsigned count;
	bool edns, cut;
};

/* The question's name with dots, in lower case; returns where it ends, NULL when it is not well
 * formed. Questions are never compressed: they are the first name of the message (RFC 1035, 4.1.4).
 */
static const uint8_t *read_name(const uint8_t *p, const uint8_t *end, char *name)
{
	size_t at = 0;

	while (p < end && *p) {
		size_t n = *p++;

		if (n > 63 || (size_t)(end - p) < n || at + n + 2 > DNS_NAME_MAX)
			return NULL;
		if (at)
			name[at++] = '.';
		for (size_t i = 0; i < n; i++) {
			if (!p[i] || p[i] == '.')
				return NULL; /* none of our names, and would be mistaken for one */
			name[at++] = (char)tolower(p[i]);
		}
		p += n;
	}
	name[at] = '\0';
	return p < end ? p + 1 : NULL;
}

static bool ends_with(const char *name, const char *domain)
{
	size_t n = strlen(name), d = strlen(domain);

	return n >= d && !strcasecmp(name + n - d, domain) && (n == d || name[n - d - 1] == '.');
}

static const struct port *named_in(const struct zone *z, const char *name)
{
	for (const struct port *p = z->ports; p; p = p->next)
		for (size_t i = 0; i < p->names.len; i++)
			if (!strcasecmp(p->names.v[i], name))
				return p;
	return NULL;
}

/* The asker's own zone first: a machine may be in several. */
static const struct port *by_name(const struct zone *z, const char *name)
{
	const struct port *p = named_in(z, name);

	for (const struct zone *o = z->net ? z->net->zones : NULL; o && !p; o = o->next)
		p = o != z ? named_in(o, name) : NULL;
	return p;
}

static bool leads_to(const struct zone *z, const struct zone *to)
{
	for (; z; z = z->router ? z->router->to : NULL)
		if (z == to)
			return true;
	return false;
}

/* The address at which those of zone `asker` reach the port: behind NAT that of the router. */
static uint32_t address_for(const struct port *p, const struct zone *asker)
{
	uint32_t ip = p->ip;

	for (const struct zone *z = p->zone; z->router && !leads_to(asker, z); z = z->router->to)
		if (z->router->nat)
			ip = z->router->outer->ip;
	return ip;
}

bool dns_address(const struct zone *z, const char *name, uint32_t *ret)
{
	for (int i = 0; i < ALIASES_MAX; i++) {
		const struct port *p = by_name(z, name);
		const struct record *r = p ? NULL : records_find(&z->net->records, name, NULL);

		if (p) {
			*ret = address_for(p, z);
			return true;
		}
		for (; r && r->type != DNS_A && r->type != DNS_CNAME;)
			r = records_find(&z->net->records, name, r);
		if (!r)
			return false;
		if (r->type == DNS_A) {
			*ret = get32(r->data);
			return true;
		}
		name = r->target;
	}
	return false;
}

static size_t write_name(uint8_t *o, const char *name)
{
	uint8_t *start = o;

	while (*name) {
		size_t n = strcspn(name, ".");

		*o++ = (uint8_t)(n > 63 ? 63 : n);
		memcpy(o, name, n > 63 ? 63 : n);
		o += n > 63 ? 63 : n;
		name += n + (name[n] == '.');
	}
	*o++ = 0;
	return (size_t)(o - start);
}

/* One record; owner NULL: the question's name. `target` stands behind the data. */
static void add(struct answer *a, const char *owner, uint16_t type, const void *data, size_t n, const char *target)
{
	uint8_t head[DNS_NAME_MAX + 2 + 10], name[DNS_NAME_MAX + 2];
	size_t h = 2, t = target ? write_name(name, target) : 0;

	if (owner)
		h = write_name(head, owner);
	else
		put16(head, 0xc000 | HEADER);
	put16(head + h, type);
	put16(head + h + 2, 1);
	put32(head + h + 4, TTL);
	put16(head + h + 8, (uint16_t)(n + t));
	h += 10;
	if (a->len + h + n + t > a->cap) {
		a->cut = true;
		return;
	}
	memcpy(a->out + a->len, head, h);
	if (n)
		memcpy(a->out + a->len + h, data, n);
	memcpy(a->out + a->len + h + n, name, t);
	a->len += h + n + t;
	a->count++;
}

static bool wants(uint16_t type, uint16_t record)
{
	return type == record || type == DNS_ANY;
}

static void add_port(struct answer *a, const struct zone *z, const struct port *p, const char *owner, uint16_t type)
{
	uint8_t ip[4];

	put32(ip, address_for(p, z));
	if (wants(type, DNS_A))
		add(a, owner, DNS_A, ip, 4, NULL);
	if (wants(type, DNS_AAAA) && p->has_ip6)
		add(a, owner, DNS_AAAA, p->ip6, 16, NULL);
}

/* True when the name is one of ours. An alias brings what it stands for with it. */
static bool add_name(struct answer *a, const struct zone *z, const char *name, uint16_t type)
{
	const char *owner = NULL;

	for (int i = 0; i < ALIASES_MAX; i++) {
		const struct port *p = by_name(z, name);
		const struct record *r = p || !z->net ? NULL : records_find(&z->net->records, name, NULL);

		if (p)
			add_port(a, z, p, owner, type);
		if (!p && !r)
			return owner; /* an alias for somebody else's name: the asker asks for that */
		if (!r || r->type != DNS_CNAME || wants(type, DNS_CNAME)) {
			for (; r; r = records_find(&z->net->records, name, r))
				if (wants(type, r->type))
					add(a, owner, r->type, r->data, r->len, r->target);
			return true;
		}
		add(a, owner, DNS_CNAME, NULL, 0, r->target);
		name = owner = r->target;
	}
	return true;
}

/* "4.3.2.10.in-addr.arpa" inside of the zone's prefix. */
static bool reverse(const struct zone *z, const char *name, uint32_t *ip)
{
	unsigned a, b, c, d;
	int end = 0;

	if (sscanf(name, "%3u.%3u.%3u.%3u.in-addr.arpa%n", &a, &b, &c, &d, &end) != 4 || !end ||
		name[end] || a > 255 || b > 255 || c > 255 || d > 255)
		return false;
	*ip = d << 24 | c << 16 | b << 8 | a;
	return (*ip & z->mask) == z->prefix;
}

static unsigned add_reverse(struct answer *a, const struct zone *z, uint32_t ip, uint16_t type)
{
	const struct port *p = zone_by_ip(z, ip);
	const char *name = ip == z->gateway ? "gateway" : p && p->names.len ? p->names.v[0] : NULL;

	if (!name)
		return NXDOMAIN;
	if (wants(type, DNS_PTR))
		add(a, NULL, DNS_PTR, NULL, 0, name);
	return NOERROR;
}

/* What the asker takes: behind the question an OPT record says so (RFC 6891, 6.1.2). */
static void read_edns(struct answer *a, size_t len)
{
	const uint8_t *p = a->msg + a->question;
	size_t size;

	if (get16(a->msg + 6) || get16(a->msg + 8) || !get16(a->msg + 10) || len - a->question < OPT_BYTES || p[0] || get16(p + 1) != DNS_OPT)
		return;
	a->edns = true;
	size = get16(p + 3);
	if (a->cap == UDP_PLAIN) /* over TCP there is no such limit */
		a->cap = (size < UDP_LEAST_EDNS ? UDP_LEAST_EDNS : size > UDP_OURS ? UDP_OURS : size) - OPT_BYTES;
}

static size_t finish(struct answer *a, unsigned rcode)
{
	uint8_t *o = a->out;

	memcpy(o, a->msg, a->question);
	if (a->cut) {
		a->len = a->question;
		a->count = 0;
	}
	o[2] = (uint8_t)(0x84 | (a->cut ? 2 : 0) | (a->msg[2] & 1)); /* response, authoritative, cut, RD as asked */
	o[3] = (uint8_t)(0x80 | rcode);				    /* recursion is available */
	put16(o + 4, a->question > HEADER ? 1 : 0);
	put16(o + 6, (uint16_t)a->count);
	put32(o + 8, 0);
	if (a->edns) {
		memset(o + a->len, 0, OPT_BYTES);
		put16(o + a->len + 1, DNS_OPT);
		put16(o + a->len + 3, UDP_OURS);
		put16(o + 10, 1);
		a->len += OPT_BYTES;
	}
	return a->len;
}

size_t dns_answer(const struct zone *z, const uint8_t *msg, size_t len, uint8_t *out, size_t cap,
	bool *forward)
{
	struct answer a = { .msg = msg, .out = out, .cap = cap > 1472 ? cap - OPT_BYTES : UDP_PLAIN, .question = HEADER, .len = HEADER };
	char name[DNS_NAME_MAX + 1];
	const uint8_t *end;
	uint16_t type;
	uint32_t ip;

	if (len < HEADER || (msg[2] & 0x80) || cap < 1472)
		return 0; /* an answer, or no message */
	if ((msg[2] >> 3 & 15) != 0)
		return finish(&a, NOTIMP);
	end = get16(msg + 4) == 1 ? read_name(msg + HEADER, msg + len, name) : NULL;
	if (!end || msg + len - end < 4)
		return finish(&a, FORMERR);
	type = get16(end);
	a.question = a.len = (size_t)(end + 4 - msg);
	read_edns(&a, len);
	if (reverse(z, name, &ip))
		return finish(&a, add_reverse(&a, z, ip, type));
	if (add_name(&a, z, name, type))
		return finish(&a, NOERROR);
	/* Names without a dot and those below our domain are nobody else's business. */
	if (ends_with(name, z->domain) || (*name && !strchr(name, '.')))
		return finish(&a, NXDOMAIN);
	*forward = true;
	return 0;
}

void dns_log(const struct port *asker, const uint8_t *msg, size_t len, const uint8_t *answer, size_t answer_len)
{
	char name[DNS_NAME_MAX + 1];
	const uint8_t *end = len >= HEADER ? read_name(msg + HEADER, msg + len, name) : NULL;

	if (!end || msg + len - end < 2)
		return;
	/* The name comes from a guest and goes to people's terminals. */
	for (char *c = name; *c; c++)
		if (!isgraph((unsigned char)*c))
			*c = '?';
	if (answer_len < HEADER)
		log_info("dns %s: %s type %u: asked from the host's servers", asker->node, name, get16(end));
	else
		log_info("dns %s: %s type %u: %s, %u records", asker->node, name, get16(end),
			(answer[3] & 15) == NXDOMAIN ? "no such name" :
			(answer[3] & 15)	     ? "not understood" :
						       "answered",
			get16(answer + 6));
}
