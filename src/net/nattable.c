/* SPDX-License-Identifier: Apache-2.0 */
#include "net/nattable.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PORTS 65536

int proto_index(uint8_t proto)
{
	return proto == IPPROTO_TCP ? 0 : proto == IPPROTO_UDP ? 1 : proto == IPPROTO_ICMP ? 2 : -1;
}

/* Murmur's finalizer: what a guest chooses (ports, remotes) spreads over all of the table. */
static uint32_t mix(uint64_t a, uint64_t b)
{
	a ^= b * 0x9e3779b97f4a7c15u;
	a ^= a >> 33;
	a *= 0xff51afd7ed558ccdu;
	a ^= a >> 33;
	a *= 0xc4ceb9fe1a85ec53u;
	return (uint32_t)(a ^ a >> 33);
}

static uint32_t mapping_slot(const struct nat *n, int proto, uint32_t ip, uint16_t port, uint32_t remote, uint16_t remote_port)
{
	return mix((uint64_t)ip << 32 | (uint64_t)port << 16 | remote_port, (uint64_t)remote << 8 | (unsigned)proto) & n->hash_mask;
}

static uint32_t flow_slot(const struct nat *n, uint32_t mapping, uint32_t remote, uint16_t remote_port, bool address)
{
	return mix((uint64_t)mapping << 32 | remote, (uint64_t)remote_port << 1 | address) & n->hash_mask;
}

struct nat *nat_new(const struct nat_config *c)
{
	struct nat *n = xcalloc(1, sizeof(*n));
	size_t flows = (size_t)c->max_flows + 1, slots = 1024, at = 0;
	uint8_t *m;

	while (slots < flows)
		slots *= 2;
	n->c = *c;
	n->hash_mask = (uint32_t)slots - 1;
	/* An entry that says "this address" may come with every flow. */
	n->nflows = (uint32_t)(c->filtering == NAT_ADDRESS ? 2 * flows : flows);
	n->nmappings = (uint32_t)flows + STATICS_MAX;
	n->memory_bytes = n->nmappings * sizeof(struct mapping) + n->nflows * sizeof(struct flow) + 2 * slots * 4 + PROTOS * PORTS * 4;
	m = mmap(NULL, n->memory_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (m == MAP_FAILED) {
		free(n);
		return NULL;
	}
	n->memory = m;
	n->mappings = (struct mapping *)(m + at);
	at += n->nmappings * sizeof(struct mapping);
	n->flows = (struct flow *)(m + at);
	at += n->nflows * sizeof(struct flow);
	n->mapping_hash = (uint32_t *)(m + at);
	n->flow_hash = n->mapping_hash + slots;
	for (int i = 0; i < PROTOS; i++)
		n->by_port[i] = n->flow_hash + slots + (size_t)i * PORTS;
	n->free_mapping = n->free_flow = 1;
	return n;
}

void nat_free(struct nat *n)
{
	if (!n)
		return;
	munmap(n->memory, n->memory_bytes);
	free(n);
}

/*
 * Unused entries are a list; what was never used is after its last: `next` of a never used one is 0, which stands for the one behind
 * it. So no entry is touched, and takes memory, before it is needed.
 */
static uint32_t take_mapping(struct nat *n)
{
	uint32_t i = n->free_mapping;

	if (i >= n->nmappings)
		return 0;
	n->free_mapping = n->mappings[i].next ? n->mappings[i].next : i + 1;
	return i;
}

static uint32_t take_flow(struct nat *n)
{
	uint32_t i = n->free_flow;

	if (i >= n->nflows)
		return 0;
	n->free_flow = n->flows[i].next ? n->flows[i].next : i + 1;
	return i;
}

uint32_t mapping_find(const struct nat *n, int proto, uint32_t ip, uint16_t port, uint32_t remote, uint16_t remote_port)
{
	uint32_t i = n->mapping_hash[mapping_slot(n, proto, ip, port, remote, remote_port)];

	for (; i; i = n->mappings[i].next) {
		const struct mapping *m = &n->mappings[i];

		if (m->ip == ip && m->port == port && m->proto == proto && m->remote == remote && m->remote_port == remote_port)
			return i;
	}
	return 0;
}

uint32_t mapping_by_port(const struct nat *n, int proto, uint16_t ext)
{
	return n->by_port[proto][ext];
}

/* The host's place in the list of shares, or HOSTS_MAX. */
static uint32_t host_of(struct nat *n, uint32_t ip)
{
	uint32_t at = mix(ip, 0) % HOSTS_MAX;

	for (uint32_t i = 0; i < HOSTS_MAX; i++, at = (at + 1) % HOSTS_MAX) {
		if (!n->hosts[at].ip)
			n->hosts[at].ip = ip;
		if (n->hosts[at].ip == ip)
			return at;
	}
	return HOSTS_MAX;
}

/* A free outside port, 0 when there is none. Where the search begins depends on who asks alone. */
static uint16_t choose_port(const struct nat *n, int proto, uint32_t ip, uint16_t port, uint32_t remote, uint16_t remote_port)
{
	uint32_t range = (uint32_t)n->c.port_max - n->c.port_min + 1, at;

	if (n->c.preserve && port >= n->c.port_min && port <= n->c.port_max && !n->by_port[proto][port])
		return port;
	at = mix((uint64_t)ip << 32 | remote, (uint64_t)port << 24 | (uint64_t)remote_port << 8 | (unsigned)proto) % range;
	for (uint32_t i = 0; i < range; i++, at = at + 1 == range ? 0 : at + 1)
		if (!n->by_port[proto][n->c.port_min + at])
			return (uint16_t)(n->c.port_min + at);
	return 0;
}

static uint32_t mapping_put(struct nat *n, const struct mapping *what)
{
	uint32_t i = take_mapping(n), *slot;

	if (!i)
		return 0;
	slot = &n->mapping_hash[mapping_slot(n, what->proto, what->ip, what->port, what->remote, what->remote_port)];
	n->mappings[i] = *what;
	n->mappings[i].next = *slot;
	*slot = i;
	n->by_port[what->proto][what->ext] = i;
	n->live_mappings++;
	return i;
}

uint32_t mapping_add(struct nat *n, int proto, uint32_t ip, uint16_t port, uint32_t remote, uint16_t remote_port, enum nat_result *why)
{
	struct mapping m = { .ip = ip, .port = port, .remote = remote, .remote_port = remote_port, .proto = (uint8_t)proto };
	uint32_t i;

	m.host = host_of(n, ip);
	if (m.host == HOSTS_MAX || n->hosts[m.host].flows >= n->c.max_host_flows || n->live_flows >= n->c.max_flows) {
		*why = NAT_LIMIT;
		return 0;
	}
	m.ext = choose_port(n, proto, ip, port, remote, remote_port);
	if (!m.ext) {
		*why = NAT_NO_PORT;
		return 0;
	}
	i = mapping_put(n, &m);
	if (!i)
		*why = NAT_LIMIT;
	return i;
}

uint32_t mapping_restore(struct nat *n, int proto, uint32_t ip, uint16_t port, uint32_t remote, uint16_t remote_port, uint16_t ext)
{
	struct mapping m = { .ip = ip, .port = port, .remote = remote, .remote_port = remote_port, .proto = (uint8_t)proto, .ext = ext };

	m.host = host_of(n, ip);
	if (!ext || n->by_port[proto][ext] || m.host == HOSTS_MAX || n->live_flows >= n->c.max_flows)
		return 0;
	return mapping_put(n, &m);
}

void mapping_ends(struct nat *n, uint32_t mapping, uint64_t ends)
{
	n->mappings[mapping].ends = ends;
	if (ends && ends < n->statics_end)
		n->statics_end = ends;
}

int mapping_fix(struct nat *n, int proto, uint16_t ext, uint32_t ip, uint16_t port, uint64_t ends)
{
	struct mapping m = { .ip = ip, .port = port, .proto = (uint8_t)proto, .ext = ext, .fixed = true };
	uint32_t i;

	m.host = host_of(n, ip);
	if (n->by_port[proto][ext] || mapping_find(n, proto, ip, port, 0, 0) || n->live_statics >= STATICS_MAX || m.host == HOSTS_MAX ||
		(ends && n->hosts[m.host].statics >= HOST_STATICS_MAX) || !(i = mapping_put(n, &m)))
		return -1;
	mapping_ends(n, i, ends);
	n->live_statics++;
	n->hosts[m.host].statics++;
	return 0;
}

void mapping_drop(struct nat *n, uint32_t i)
{
	struct mapping *m = &n->mappings[i];
	uint32_t *at = &n->mapping_hash[mapping_slot(n, m->proto, m->ip, m->port, m->remote, m->remote_port)];

	while (*at != i)
		at = &n->mappings[*at].next;
	*at = m->next;
	n->by_port[m->proto][m->ext] = 0;
	if (m->fixed) {
		n->live_statics--;
		n->hosts[m->host].statics--;
	}
	n->live_mappings--;
	m->next = n->free_mapping;
	n->free_mapping = i;
}

static uint32_t find(const struct nat *n, uint32_t mapping, uint32_t remote, uint16_t remote_port, bool address)
{
	uint32_t i = n->flow_hash[flow_slot(n, mapping, remote, remote_port, address)];

	for (; i; i = n->flows[i].next) {
		const struct flow *f = &n->flows[i];

		if (f->mapping == mapping && f->remote == remote && f->remote_port == remote_port && f->address == address)
			return i;
	}
	return 0;
}

uint32_t flow_find(const struct nat *n, uint32_t mapping, uint32_t remote, uint16_t remote_port)
{
	return find(n, mapping, remote, remote_port, false);
}

bool flow_with_address(const struct nat *n, uint32_t mapping, uint32_t remote)
{
	return find(n, mapping, remote, 0, true) != 0;
}

static uint32_t put(struct nat *n, uint32_t mapping, uint32_t remote, uint16_t remote_port, bool address)
{
	uint32_t i = take_flow(n), *slot;

	if (!i)
		return 0;
	slot = &n->flow_hash[flow_slot(n, mapping, remote, remote_port, address)];
	n->flows[i] = (struct flow){ .mapping = mapping, .remote = remote, .remote_port = remote_port, .address = address, .next = *slot };
	*slot = i;
	return i;
}

static void take_out(struct nat *n, uint32_t i)
{
	struct flow *f = &n->flows[i];
	uint32_t *at = &n->flow_hash[flow_slot(n, f->mapping, f->remote, f->remote_port, f->address)];

	while (*at != i)
		at = &n->flows[*at].next;
	*at = f->next;
	f->next = n->free_flow;
	n->free_flow = i;
}

static void unlist(struct nat *n, uint32_t i)
{
	struct flow *f = &n->flows[i];
	struct nat_list *l = &n->lists[f->cls];

	*(f->before ? &n->flows[f->before].after : &l->first) = f->after;
	*(f->after ? &n->flows[f->after].before : &l->last) = f->before;
}

uint64_t class_ns(const struct nat *n, enum nat_class cls)
{
	const unsigned s[CLASSES] = { n->c.udp_s, n->c.transitory_s, n->c.tcp_s, n->c.icmp_s, UNANSWERED_S };

	return s[cls] * 1000000000ull;
}

static void list(struct nat *n, uint32_t i, enum nat_class cls, uint64_t now)
{
	struct flow *f = &n->flows[i];
	struct nat_list *l = &n->lists[cls];

	f->cls = (uint8_t)cls;
	f->ends = now + class_ns(n, cls);
	f->before = l->last;
	f->after = 0;
	*(l->last ? &n->flows[l->last].after : &l->first) = i;
	l->last = i;
}

void flow_touch(struct nat *n, uint32_t i, enum nat_class cls, uint64_t now)
{
	unlist(n, i);
	list(n, i, cls, now);
}

uint32_t flow_add(struct nat *n, uint32_t mapping, uint32_t remote, uint16_t remote_port, enum nat_class cls, uint64_t now,
	enum nat_result *why)
{
	struct mapping *m = &n->mappings[mapping];
	uint32_t host = m->host, i = 0, a = 0;

	/* Whoever is outside may fill half of a machine's share. */
	if (n->live_flows < n->c.max_flows &&
		n->hosts[host].flows < (cls == CLASS_UNANSWERED ? n->c.max_host_flows / 2 : n->c.max_host_flows))
		i = put(n, mapping, remote, remote_port, false);
	if (i && n->c.filtering == NAT_ADDRESS) {
		a = find(n, mapping, remote, 0, true);
		if (!a)
			a = put(n, mapping, remote, 0, true);
		if (a)
			n->flows[a].count++;
	}
	if (!i) {
		*why = NAT_LIMIT;
		return 0;
	}
	list(n, i, cls, now);
	m->flows++;
	n->hosts[host].flows++;
	n->live_flows++;
	n->opened++;
	return i;
}

void flow_drop(struct nat *n, uint32_t i)
{
	struct flow *f = &n->flows[i];
	uint32_t mapping = f->mapping;
	struct mapping *m = &n->mappings[mapping];
	uint32_t a = n->c.filtering == NAT_ADDRESS ? find(n, mapping, f->remote, 0, true) : 0;

	if (a && --n->flows[a].count == 0)
		take_out(n, a);
	unlist(n, i);
	take_out(n, i);
	n->hosts[m->host].flows--;
	n->live_flows--;
	if (--m->flows == 0 && !m->fixed)
		mapping_drop(n, mapping);
}
