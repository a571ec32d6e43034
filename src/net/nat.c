/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of a packet: RFC 4787 (UDP), RFC 5382 (TCP), RFC 5508 (ICMP). */
#include "net/nattable.h"
#include "net/zone.h"

#include <string.h>

enum { ECHO_REPLY = 0, UNREACHABLE = 3, QUENCH = 4, ECHO = 8, TIME_EXCEEDED = 11, PARAMETER = 12, STAMP = 13, STAMP_REPLY = 14 };
enum { FIN = 1, SYN = 2, RST = 4 };
/* State of a TCP flow: what has been seen from which side. */
enum { SEEN_OUT = 1, SEEN_IN = 2, FIN_OUT = 4, FIN_IN = 8, ENDED = 16 };

const char *const nat_result_names[NAT_RESULTS] = { "ok", "no mapping", "filtered", "table full", "no port", "broken", "unsupported" };

void nat_config_init(struct nat_config *c)
{
	*c = (struct nat_config){ .mapping = NAT_INDEPENDENT, .filtering = NAT_ADDRESS_PORT, .hairpin = true, .preserve = true,
		.port_min = 1024, .port_max = 65535, .max_flows = 131072, .max_host_flows = 65536, .udp_s = 300, .tcp_s = 7440,
		.transitory_s = 240, .icmp_s = 60 };
}

const struct nat_config *nat_settings(const struct nat *n)
{
	return &n->c;
}

void nat_stats(const struct nat *n, struct nat_stats *r)
{
	*r = (struct nat_stats){ .mappings = n->live_mappings, .flows = n->live_flows, .statics = n->live_statics, .opened = n->opened,
		.expired = n->expired };
	memcpy(r->results, n->results, sizeof(r->results));
}

static void expire_statics(struct nat *n, uint64_t now)
{
	n->statics_end = UINT64_MAX;
	for (uint32_t port = 1, left = n->live_statics; left && port < 65536; port++)
		for (int proto = 0; proto < 2; proto++) {
			uint32_t i = n->by_port[proto][port];

			if (!i || !n->mappings[i].fixed)
				continue;
			left--;
			if (n->mappings[i].ends && n->mappings[i].ends <= now)
				nat_unmap(n, proto ? IPPROTO_UDP : IPPROTO_TCP, n->mappings[i].ip, n->mappings[i].port);
			else if (n->mappings[i].ends && n->mappings[i].ends < n->statics_end)
				n->statics_end = n->mappings[i].ends;
		}
}

/* All that is over by then: what a packet finds depends on its time, not on when somebody last cleaned up. */
void nat_expire(struct nat *n, uint64_t now)
{
	for (int c = 0; c < CLASSES; c++)
		while (n->lists[c].first && n->flows[n->lists[c].first].ends <= now) {
			flow_drop(n, n->lists[c].first);
			n->expired++;
		}
	if (n->statics_end <= now)
		expire_statics(n, now);
}

void nat_reset(struct nat *n)
{
	for (int c = 0; c < CLASSES; c++)
		while (n->lists[c].first)
			flow_drop(n, n->lists[c].first);
	for (int proto = 0; proto < 2; proto++)
		for (uint32_t port = 1; port < 65536; port++)
			if (n->mappings[n->by_port[proto][port]].ends)
				nat_unmap(n, proto ? IPPROTO_UDP : IPPROTO_TCP, n->mappings[n->by_port[proto][port]].ip,
					n->mappings[n->by_port[proto][port]].port);
}

/*
 * Where a packet's ports are: source and destination for TCP and UDP, the id of a question for ICMP (both). sum: the checksum that
 * covers them and, unless it is ICMP's, the addresses; NULL: it has none.
 */
struct ports {
	int proto;
	uint8_t *src, *dst, *sum;
	bool pseudo;
};

/* The transport header at t, n bytes of it; `whole` unless it is what an error quotes. */
static enum nat_result find_ports(uint8_t proto, uint8_t *t, size_t n, bool whole, struct ports *r)
{
	r->proto = proto_index(proto);
	if (r->proto < 0)
		return NAT_UNSUPPORTED;
	if (n < 8 || (whole && proto == IPPROTO_TCP && (n < TCP_BYTES || (size_t)(t[12] >> 4) * 4 < TCP_BYTES || (size_t)(t[12] >> 4) * 4 > n)))
		return NAT_BROKEN;
	if (proto == IPPROTO_ICMP) {
		if (t[0] != ECHO && t[0] != ECHO_REPLY && t[0] != STAMP && t[0] != STAMP_REPLY)
			return NAT_UNSUPPORTED;
		r->src = r->dst = t + 4;
		r->sum = t + 2;
		r->pseudo = false;
		return NAT_OK;
	}
	r->src = t;
	r->dst = t + 2;
	r->pseudo = true;
	r->sum = proto == IPPROTO_UDP ? t + 6 : n >= 18 ? t + 16 : NULL;
	if (proto == IPPROTO_UDP && !get16(t + 6))
		r->sum = NULL; /* the sender made none (RFC 768) */
	return NAT_OK;
}

static void fix16(uint8_t *sum, uint16_t from, uint16_t to)
{
	if (sum)
		put16(sum, checksum_change16(get16(sum), from, to));
}

static void fix32(uint8_t *sum, uint32_t from, uint32_t to)
{
	if (sum)
		put16(sum, checksum_change32(get16(sum), from, to));
}

/* Address and port of one side become others, in header h; all sums follow. outer: the ICMP error's that quotes it, or NULL. */
static void rewrite(uint8_t *h, uint8_t *address, uint8_t *port, const struct ports *l, uint32_t ip, uint16_t number, uint8_t *outer)
{
	uint32_t was_ip = get32(address);
	uint16_t was = get16(port), h_sum = get16(h + 10), l_sum = l->sum ? get16(l->sum) : 0;

	put32(address, ip);
	put16(port, number);
	fix32(h + 10, was_ip, ip);
	fix16(l->sum, was, number);
	if (l->pseudo)
		fix32(l->sum, was_ip, ip);
	if (l->sum && l->pseudo && l->proto == 1 && !get16(l->sum))
		put16(l->sum, 0xffff); /* 0 would be none */
	fix32(outer, was_ip, ip);
	fix16(outer, was, number);
	fix16(outer, h_sum, get16(h + 10));
	if (l->sum)
		fix16(outer, l_sum, get16(l->sum));
}

/* The outer packet's own address. */
static void readdress(struct ip4 *p, bool source, uint32_t ip)
{
	uint8_t *a = p->h + (source ? 12 : 16);

	fix32(p->h + 10, get32(a), ip);
	put32(a, ip);
	*(source ? &p->src : &p->dst) = ip;
}

static enum nat_class class_of(const struct ports *l, uint8_t state)
{
	if (l->proto != 0)
		return l->proto == 1 ? CLASS_UDP : CLASS_ICMP;
	return (state & ENDED) || (state & (SEEN_OUT | SEEN_IN)) != (SEEN_OUT | SEEN_IN) ? CLASS_TRANSITORY : CLASS_TCP;
}

/* A packet of the flow goes by: its state and its time. */
static void passes(struct nat *n, uint32_t i, const struct ports *l, bool out, uint64_t now)
{
	struct flow *f = &n->flows[i];

	if (l->proto == 0) {
		uint8_t flags = l->src[13];

		/* Both sides anew: ports are used again. */
		if (out && (flags & SYN) && (f->state & ENDED))
			f->state = 0;
		f->state |= out ? SEEN_OUT : SEEN_IN;
		if (flags & FIN)
			f->state |= out ? FIN_OUT : FIN_IN;
		if ((flags & RST) || (f->state & (FIN_OUT | FIN_IN)) == (FIN_OUT | FIN_IN))
			f->state |= ENDED;
	}
	if (out || f->cls != CLASS_UNANSWERED)
		if (out || l->proto != 1 || n->c.refresh_in)
			flow_touch(n, i, class_of(l, f->state), now);
}

/* By the mapping's rule: what of the remote is part of the key. */
static uint32_t lookup(const struct nat *n, int proto, uint32_t ip, uint16_t port, uint32_t remote, uint16_t remote_port)
{
	uint32_t fixed = mapping_find(n, proto, ip, port, 0, 0);

	if (fixed || n->c.mapping == NAT_INDEPENDENT)
		return fixed;
	return mapping_find(n, proto, ip, port, remote, n->c.mapping == NAT_ADDRESS_PORT ? remote_port : 0);
}

static enum nat_result out_error(struct nat *n, struct ip4 *p);

static enum nat_result go_out(struct nat *n, struct ip4 *p, uint64_t now)
{
	enum nat_result r = NAT_OK;
	struct ports l;
	uint32_t m, f;
	uint16_t to;

	if (p->frag & (IP4_MF | IP4_OFFSET))
		return NAT_BROKEN;
	if (p->proto == IPPROTO_ICMP && p->len - p->hlen >= 8 && (p->h[p->hlen] == UNREACHABLE || p->h[p->hlen] == QUENCH ||
			p->h[p->hlen] == TIME_EXCEEDED || p->h[p->hlen] == PARAMETER))
		return out_error(n, p);
	r = find_ports(p->proto, p->h + p->hlen, p->len - p->hlen, true, &l);
	if (r != NAT_OK)
		return r;
	to = l.proto == 2 ? 0 : get16(l.dst);
	m = lookup(n, l.proto, p->src, get16(l.src), p->dst, to);
	if (!m)
		m = mapping_add(n, l.proto, p->src, get16(l.src), n->c.mapping == NAT_INDEPENDENT ? 0 : p->dst,
			n->c.mapping == NAT_ADDRESS_PORT ? to : 0, &r);
	if (!m)
		return r;
	f = flow_find(n, m, p->dst, to);
	if (!f)
		f = flow_add(n, m, p->dst, to, class_of(&l, 0), now, &r);
	if (!f) {
		if (!n->mappings[m].flows && !n->mappings[m].fixed)
			mapping_drop(n, m);
		return r;
	}
	passes(n, f, &l, true, now);
	rewrite(p->h, p->h + 12, l.src, &l, n->c.external, n->mappings[m].ext, NULL);
	p->src = n->c.external;
	return NAT_OK;
}

static enum nat_result in_error(struct nat *n, struct ip4 *p);

/* May this remote send to the mapping? */
static bool admitted(const struct nat *n, uint32_t m, uint32_t remote)
{
	if (n->mappings[m].fixed || n->c.filtering == NAT_INDEPENDENT)
		return true;
	return n->c.filtering == NAT_ADDRESS && flow_with_address(n, m, remote);
}

static enum nat_result go_in(struct nat *n, struct ip4 *p, uint64_t now)
{
	enum nat_result r = NAT_OK;
	struct ports l;
	uint32_t m, f;
	uint16_t from;

	if (p->frag & (IP4_MF | IP4_OFFSET))
		return NAT_BROKEN;
	if (p->proto == IPPROTO_ICMP && p->len - p->hlen >= 8 && (p->h[p->hlen] == UNREACHABLE || p->h[p->hlen] == QUENCH ||
			p->h[p->hlen] == TIME_EXCEEDED || p->h[p->hlen] == PARAMETER))
		return in_error(n, p);
	r = find_ports(p->proto, p->h + p->hlen, p->len - p->hlen, true, &l);
	if (r != NAT_OK)
		return r;
	/* A question by ICMP is the router's own. */
	if (l.proto == 2 && p->h[p->hlen] != ECHO_REPLY && p->h[p->hlen] != STAMP_REPLY)
		return NAT_NO_MAPPING;
	m = mapping_by_port(n, l.proto, get16(l.dst));
	if (!m)
		return NAT_NO_MAPPING;
	from = l.proto == 2 ? 0 : get16(l.src);
	f = flow_find(n, m, p->src, from);
	if (!f && !admitted(n, m, p->src))
		return NAT_FILTERED;
	if (!f)
		f = flow_add(n, m, p->src, from, CLASS_UNANSWERED, now, &r);
	if (!f)
		return r;
	passes(n, f, &l, false, now);
	rewrite(p->h, p->h + 16, l.dst, &l, n->mappings[m].ip, n->mappings[m].port, NULL);
	p->dst = n->mappings[m].ip;
	return NAT_OK;
}

/*
 * An error quotes the packet that it is about (RFC 5508, 4): it goes where that came from, and the quoted header becomes what its
 * sender wrote. `h` is the quoted header, l its ports.
 */
static enum nat_result quoted(struct ip4 *p, uint8_t **h, struct ports *l)
{
	uint8_t *e = p->h + p->hlen, *q = e + ICMP_BYTES;
	size_t n = p->len - p->hlen, hlen;

	if (n < ICMP_BYTES + IP4_BYTES + 8 || inet_checksum(e, n, 0) || q[0] >> 4 != 4)
		return NAT_BROKEN;
	hlen = (size_t)(q[0] & 15) * 4;
	if (hlen < IP4_BYTES || n < ICMP_BYTES + hlen + 8 || inet_checksum(q, hlen, 0) || (get16(q + 6) & IP4_OFFSET))
		return NAT_BROKEN;
	*h = q;
	return find_ports(q[9], q + hlen, n - ICMP_BYTES - hlen, false, l);
}

static enum nat_result in_error(struct nat *n, struct ip4 *p)
{
	struct ports l;
	uint8_t *q;
	uint32_t m;
	enum nat_result r = quoted(p, &q, &l);

	if (r != NAT_OK)
		return r;
	m = get32(q + 12) == n->c.external ? mapping_by_port(n, l.proto, get16(l.src)) : 0;
	if (!m)
		return NAT_NO_MAPPING;
	if (!flow_find(n, m, get32(q + 16), l.proto == 2 ? 0 : get16(l.dst)))
		return NAT_FILTERED;
	rewrite(q, q + 12, l.src, &l, n->mappings[m].ip, n->mappings[m].port, p->h + p->hlen + 2);
	readdress(p, false, n->mappings[m].ip);
	return NAT_OK;
}

static enum nat_result out_error(struct nat *n, struct ip4 *p)
{
	struct ports l;
	uint8_t *q;
	uint32_t m;
	uint16_t from;
	enum nat_result r = quoted(p, &q, &l);

	if (r != NAT_OK)
		return r;
	from = l.proto == 2 ? 0 : get16(l.src);
	m = lookup(n, l.proto, get32(q + 16), get16(l.dst), get32(q + 12), from);
	if (!m || !flow_find(n, m, get32(q + 12), from))
		return NAT_FILTERED;
	rewrite(q, q + 16, l.dst, &l, n->c.external, n->mappings[m].ext, p->h + p->hlen + 2);
	readdress(p, true, n->c.external);
	return NAT_OK;
}

enum nat_result nat_out(struct nat *n, struct ip4 *p, uint64_t now)
{
	enum nat_result r;

	nat_expire(n, now);
	r = go_out(n, p, now);
	n->results[r]++;
	return r;
}

enum nat_result nat_in(struct nat *n, struct ip4 *p, uint64_t now)
{
	enum nat_result r;

	nat_expire(n, now);
	r = go_in(n, p, now);
	n->results[r]++;
	return r;
}

/* Ends what has only come about; a port map stays. */
static void clear(struct nat *n, int proto, uint32_t m)
{
	uint16_t ext = n->mappings[m].ext;

	if (!m || n->mappings[m].fixed)
		return;
	for (uint32_t f = 1; f < n->nflows && n->by_port[proto][ext] == m; f++)
		if (n->flows[f].mapping == m && !n->flows[f].address && flow_find(n, m, n->flows[f].remote, n->flows[f].remote_port) == f)
			flow_drop(n, f);
}

int nat_map(struct nat *n, uint8_t proto, uint16_t port, uint32_t ip, uint16_t ip_port, unsigned life_s, uint64_t now)
{
	int i = proto_index(proto);

	if (i < 0 || i == 2 || !port || !ip_port)
		return -1;
	/* The map wins over what has only come about, at either end. */
	clear(n, i, n->by_port[i][port]);
	clear(n, i, mapping_find(n, i, ip, ip_port, 0, 0));
	return mapping_fix(n, i, port, ip, ip_port, life_s ? now + life_s * 1000000000ull : 0);
}

uint16_t nat_map_any(struct nat *n, uint8_t proto, uint16_t wish, uint32_t ip, uint16_t ip_port, unsigned life_s, uint64_t now)
{
	int i = proto_index(proto);
	uint64_t ends = life_s ? now + life_s * 1000000000ull : 0;
	uint32_t has, range = (uint32_t)n->c.port_max - n->c.port_min + 1, at;

	if (i < 0 || i == 2 || !ip_port)
		return 0;
	has = mapping_find(n, i, ip, ip_port, 0, 0);
	if (has && n->mappings[has].fixed) {
		if (n->mappings[has].ends && n->mappings[has].ends < ends)
			mapping_ends(n, has, ends);
		return n->mappings[has].ext;
	}
	if (has) {
		/* What it has used until now is what it keeps. */
		if (n->live_statics >= STATICS_MAX || n->hosts[n->mappings[has].host].statics >= HOST_STATICS_MAX)
			return 0;
		n->mappings[has].fixed = true;
		mapping_ends(n, has, ends);
		n->live_statics++;
		n->hosts[n->mappings[has].host].statics++;
		return n->mappings[has].ext;
	}
	at = (wish >= n->c.port_min && wish <= n->c.port_max ? wish : ip_port >= n->c.port_min ? ip_port : n->c.port_min) - n->c.port_min;
	for (uint32_t k = 0; k < range; k++, at = (at + 1) % range)
		if (!n->by_port[i][n->c.port_min + at])
			return mapping_fix(n, i, (uint16_t)(n->c.port_min + at), ip, ip_port, ends) == 0 ? (uint16_t)(n->c.port_min + at) : 0;
	return 0;
}

int nat_unmap(struct nat *n, uint8_t proto, uint32_t ip, uint16_t ip_port)
{
	int p = proto_index(proto);
	uint32_t i = p < 0 ? 0 : mapping_find(n, p, ip, ip_port, 0, 0);

	if (!i || !n->mappings[i].fixed)
		return -1;
	/* Without flows it goes at once, else with the last of them. */
	n->mappings[i].fixed = false;
	n->mappings[i].ends = 0;
	n->live_statics--;
	n->hosts[n->mappings[i].host].statics--;
	if (!n->mappings[i].flows)
		mapping_drop(n, i);
	return 0;
}

int nat_unmap_asked(struct nat *n, uint8_t proto, uint32_t ip, uint16_t ip_port)
{
	int p = proto_index(proto);
	uint32_t i = p < 0 ? 0 : mapping_find(n, p, ip, ip_port, 0, 0);

	return i && n->mappings[i].ends ? nat_unmap(n, proto, ip, ip_port) : -1;
}

static bool fixed_at(const struct nat *n, int proto, uint32_t ext, struct nat_static *ret)
{
	const struct mapping *m = &n->mappings[n->by_port[proto][ext]];

	if (!n->by_port[proto][ext] || !m->fixed)
		return false;
	*ret = (struct nat_static){ .proto = proto ? IPPROTO_UDP : IPPROTO_TCP, .ip = m->ip, .port = m->port, .ext = m->ext, .ends = m->ends };
	return true;
}

bool nat_static_of(const struct nat *n, uint8_t proto, uint16_t ext, struct nat_static *ret)
{
	int i = proto_index(proto);

	return i >= 0 && i < 2 && fixed_at(n, i, ext, ret);
}

bool nat_static_at(const struct nat *n, size_t index, struct nat_static *ret)
{
	for (int proto = 0; proto < 2 && index < n->live_statics; proto++)
		for (uint32_t port = 1; port < 65536; port++)
			if (fixed_at(n, proto, port, ret) && index-- == 0)
				return true;
	return false;
}
