/* SPDX-License-Identifier: Apache-2.0 */
/* DNS (RFC 1035) for the group's own names; all others are asked from the host's servers. */
#include "net/zone.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define HEADER 12
#define NAME_MAX_BYTES 255
#define TTL 60
enum { TYPE_A = 1, TYPE_PTR = 12, TYPE_AAAA = 28, TYPE_ANY = 255 };
enum { NOERROR = 0, FORMERR = 1, NXDOMAIN = 3, NOTIMP = 4 };

/* The question's name with dots, in lower case; returns where it ends, NULL when it is not well
 * formed. Questions are never compressed: they are the first name of the message (RFC 1035, 4.1.4).
 */
static const uint8_t *read_name(const uint8_t *p, const uint8_t *end, char *name)
{
	size_t at = 0;

	while (p < end && *p) {
		size_t n = *p++;

		if (n > 63 || (size_t)(end - p) < n || at + n + 2 > NAME_MAX_BYTES)
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

static const struct port *by_name(const struct zone *z, const char *name)
{
	for (const struct port *p = z->ports; p; p = p->next)
		for (size_t i = 0; i < p->names.len; i++)
			if (!strcasecmp(p->names.v[i], name))
				return p;
	return NULL;
}

static size_t header(
	uint8_t *out, const uint8_t *msg, size_t question_end, unsigned answers, unsigned rcode)
{
	memcpy(out, msg, question_end);
	out[2] = (uint8_t)(0x84 | (msg[2] & 1)); /* response, authoritative, RD as asked */
	out[3] = (uint8_t)(0x80 | rcode);        /* recursion is available */
	put16(out + 4, question_end > HEADER ? 1 : 0);
	put16(out + 6, (uint16_t)answers);
	put32(out + 8, 0);
	return question_end;
}

/* Resource record for the name of the question. */
static size_t record(uint8_t *o, uint16_t type, const void *data, size_t n)
{
	put16(o, 0xc000 | HEADER);
	put16(o + 2, type);
	put16(o + 4, 1);
	put32(o + 6, TTL);
	put16(o + 10, (uint16_t)n);
	memcpy(o + 12, data, n);
	return n + 12;
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

size_t dns_answer(const struct zone *z, const uint8_t *msg, size_t len, uint8_t *out, size_t cap,
	bool *forward)
{
	char name[NAME_MAX_BYTES + 1];
	const uint8_t *end;
	const struct port *p;
	uint8_t data[NAME_MAX_BYTES + 2];
	uint16_t type;
	uint32_t ip;
	size_t q;

	if (len < HEADER || (msg[2] & 0x80) || cap < 1024)
		return 0; /* an answer, or no message */
	if ((msg[2] >> 3 & 15) != 0)
		return header(out, msg, HEADER, 0, NOTIMP);
	end = get16(msg + 4) == 1 ? read_name(msg + HEADER, msg + len, name) : NULL;
	if (!end || msg + len - end < 4)
		return header(out, msg, HEADER, 0, FORMERR);
	type = get16(end);
	q = (size_t)(end + 4 - msg);
	if (reverse(z, name, &ip)) {
		p = zone_by_ip(z, ip);
		if (ip == z->gateway)
			return header(out, msg, q, type == TYPE_PTR || type == TYPE_ANY, NOERROR) +
			       (type == TYPE_PTR || type == TYPE_ANY
					       ? record(out + q, TYPE_PTR, data,
							 write_name(data, "gateway"))
					       : 0);
		if (!p || !p->names.len)
			return header(out, msg, q, 0, NXDOMAIN);
		if (type != TYPE_PTR && type != TYPE_ANY)
			return header(out, msg, q, 0, NOERROR);
		header(out, msg, q, 1, NOERROR);
		return q + record(out + q, TYPE_PTR, data, write_name(data, p->names.v[0]));
	}
	p = by_name(z, name);
	if (p) {
		if (type != TYPE_A && type != TYPE_ANY)
			return header(
				out, msg, q, 0, NOERROR); /* it is there, but has no such record */
		header(out, msg, q, 1, NOERROR);
		put32(data, p->ip);
		return q + record(out + q, TYPE_A, data, 4);
	}
	/* Names without a dot and those below our domain are nobody else's business. */
	if (ends_with(name, z->domain) || (*name && !strchr(name, '.')))
		return header(out, msg, q, 0, NXDOMAIN);
	*forward = true;
	return 0;
}
