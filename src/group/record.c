/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses. They are computed from names alone: a zone's 10.X.Y.0/24 from the group's and the zone's, .10 and above from the node's, the
 * next free one when two meet, in the order of sorted names. A zone of more than 240 members gets a larger network, a /23, a /22 and so on.
 * What was computed once is kept in the record, so that a node added later moves nobody.
 */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "conf/settings.h"
#include "internal.h"
#include "machine/identity.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define FIRST 10
#define RESERVED 16 /* of each network: those below FIRST, and six at the end */
#define BITS_MIN 16
#define BITS_MAX 24

static uint32_t zone_mask(const struct group_zone *z)
{
	return 0xffffffffu << (32 - z->bits);
}

static uint32_t usable(unsigned bits)
{
	return (1u << (32 - bits)) - RESERVED;
}

char *group_record_dir(const char *name)
{
	_cleanup_free_ char *sub = path_join("groups", name);

	return path_data(sub);
}

char *group_net_dir(const char *name)
{
	_cleanup_free_ char *dir = group_record_dir(name);

	return path_join(dir, "net");
}

bool group_exists(const char *name)
{
	_cleanup_free_ char *dir = group_record_dir(name), *json = path_join(dir, "group.json");

	return file_exists(json);
}

/* The lock's file goes away with the group: who waited for it may hold one that is no more. */
int group_lock(const char *name, struct error **err)
{
	_cleanup_free_ char *dir = group_record_dir(name), *path = path_join(dir, "lock");

	for (;;) {
		_cleanup_close_ int fd = -1;
		struct stat a, b;

		if (file_mkdirs(dir, 0700, err) < 0)
			return -1;
		fd = file_lock(path, true, 1000, err);
		if (fd < 0)
			return error_wrap(err, "group %s", name);
		if (fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_ino == b.st_ino && a.st_dev == b.st_dev)
			return STEAL_FD(fd);
	}
}

static uint32_t digest(const char *kind, const char *name)
{
	_cleanup_free_ char *text = xasprintf("croft %s %s", kind, name);
	unsigned char h[32];

	identity_digest(text, h);
	return (uint32_t)h[0] << 24 | (uint32_t)h[1] << 16 | (uint32_t)h[2] << 8 | h[3];
}

/* "10.1.2.0/24" to 0x0a010200; bits must be one of those asked for. */
static int parse_prefix(const char *what, const char *text, unsigned min, unsigned max, uint32_t *net, unsigned *bits, struct error **err)
{
	char addr[32], rest;
	struct in_addr a;

	if (sscanf(text, "%31[0-9.]/%u%c", addr, bits, &rest) != 2 || inet_pton(AF_INET, addr, &a) != 1 || *bits < min || *bits > max ||
		(ntohl(a.s_addr) & (0xffffffffu >> *bits)))
		return error_set(err, ERR_USAGE, "%s: '%s' is not a network; write it as 10.1.2.0/%u", what, text, max);
	*net = ntohl(a.s_addr);
	return 0;
}

static char *address_text(uint32_t a)
{
	return xasprintf("%u.%u.%u.%u", a >> 24, a >> 16 & 255, a >> 8 & 255, a & 255);
}

/* The zone whose network has addresses in common with this one; or NULL. */
static const struct group_zone *prefix_taken(const struct group *g, uint32_t net, unsigned bits)
{
	for (size_t i = 0; i < g->nzones; i++) {
		const struct group_zone *z = &g->zones[i];
		uint32_t common = z->net ? 0xffffffffu << (32 - (bits < z->bits ? bits : z->bits)) : 0;

		if (z->net && (z->net & common) == (net & common))
			return z;
	}
	return NULL;
}

static int claim_prefix(struct group *g, struct group_zone *z, uint32_t net, unsigned bits, const struct node *at, struct error **err)
{
	_cleanup_free_ char *plain = address_text(net);
	const struct group_zone *other = prefix_taken(g, net, bits);

	if (other)
		return node_error(at, err, "zone %s: zone %s has the network %s already", z->name, other->name, other->prefix);
	z->net = net;
	z->bits = bits;
	z->prefix = xasprintf("%s/%u", plain, bits);
	z->gateway = address_text(net | 1);
	return 0;
}

/* What the file says, else what the record says; the first zone's has places of its own in older ones. */
static int given_prefix(struct group *g, size_t i, const struct node *record, struct error **err)
{
	struct group_zone *z = &g->zones[i];
	static const char *const known[] = { "prefix", NULL };
	const struct node *at = node_get(z->at, "prefix"), *kept = node_get(node_get(record, "zones"), z->name);
	struct node *n = NULL;
	unsigned bits = BITS_MAX;
	uint32_t net = 0;

	if (node_map(doc_root(g->doc), "network", &n, err) < 0 || (n && node_known(n, "network", known, err) < 0))
		return -1;
	if (!i && !at)
		at = node_get(n, "prefix");
	if (at && parse_prefix("prefix", at->text ? at->text : "", BITS_MIN, BITS_MAX, &net, &bits, err) < 0)
		return error_wrap(err, "%s:%d:%d", doc_name(g->doc), at->line, at->col);
	if (!kept && !i && !node_get(record, "zones"))
		kept = node_get(record, "prefix");
	if (kept && parse_prefix(doc_name(record->doc), kept->text ? kept->text : "", BITS_MIN, BITS_MAX, &net, &bits, err) < 0)
		return -1;
	return at || kept ? claim_prefix(g, z, net, bits, kept ? kept : at, err) : 0;
}

/* Machines and routers in the zone. */
static size_t members(const struct group *g, const struct group_zone *z)
{
	size_t n = 0;

	for (size_t i = 0; i < g->nnodes; i++)
		for (size_t k = 0; k < g->nodes[i].nnics; k++)
			n += &g->zones[g->nodes[i].nics[k].zone] == z;
	for (size_t i = 0; i < g->nzones; i++)
		n += g->zones[i].to && !strcmp(g->zones[i].to, z->name);
	return n;
}

/* The first zone's comes from the group's name alone, as it was before there were others. */
static int computed_prefix(struct group *g, struct group_zone *z, struct error **err)
{
	_cleanup_free_ char *name = z == g->zones ? xstrdup(g->name) : xasprintf("%s/%s", g->name, z->name);
	uint32_t base, mask, net, size;
	unsigned whole, bits = BITS_MAX;
	size_t n = members(g, z);

	if (parse_prefix("setting net.prefix", settings_get("net.prefix"), 8, 16, &base, &whole, err) < 0)
		return -1;
	mask = 0xffffffffu >> whole;
	while (bits > BITS_MIN && n > usable(bits))
		bits--;
	size = 1u << (32 - bits);
	net = base | (digest("prefix", name) & mask & ~(size - 1));
	for (uint32_t left = (mask + 1) / size; left && prefix_taken(g, net, bits); left--)
		net = base | ((net + size) & mask);
	return claim_prefix(g, z, net, bits, NULL, err);
}

/* In the order of names, so that the order in the file is no matter. */
static int choose_prefixes(struct group *g, const struct node *record, struct error **err)
{
	_cleanup_strv_ struct strv names = STRV_INIT;

	for (size_t i = 0; i < g->nzones; i++)
		if (given_prefix(g, i, record, err) < 0)
			return -1;
	if (!g->zones[0].net && computed_prefix(g, g->zones, err) < 0)
		return -1;
	for (size_t i = 0; i < g->nzones; i++)
		strv_add(&names, g->zones[i].name);
	strv_sort(&names);
	for (size_t k = 0; k < names.len; k++)
		for (size_t i = 0; i < g->nzones; i++)
			if (!g->zones[i].net && !strcmp(g->zones[i].name, names.v[k]) && computed_prefix(g, &g->zones[i], err) < 0)
				return -1;
	for (size_t i = 0; i < g->nzones; i++)
		if (g->zones[i].v6 && !g->zones[i].prefix6) {
			_cleanup_free_ char *name = xasprintf("%s/%s", g->name, g->zones[i].name);
			uint32_t a = digest("prefix6", g->name), b = digest("prefix6", name);

			/* A unique local network (RFC 4193) with 40 bits of the group's name. */
			g->zones[i].prefix6 = xasprintf("fd%02x:%x:%x:%x::/64", a >> 24, a >> 8 & 0xffff, (a & 255) << 8 | b >> 24, b & 0xffff);
		}
	return 0;
}

/* Whoever needs an address: NICs, and routers of zones in the zones that they lead to. */
struct seat {
	size_t zone;
	char **address;
	char *key;		 /* in the record: NODE, NODE/1, ..., zone:ZONE */
	const struct node *given; /* the file's */
	bool gone;
};
struct seats {
	struct group *g;
	struct seat *v;
	size_t n;
};

static void add_seat(struct seats *s, size_t zone, char **address, char *key, const struct node *given)
{
	s->v = xreallocarray(s->v, s->n + 1, sizeof(*s->v));
	s->v[s->n++] = (struct seat){ zone, address, key, given, false };
}

static void list_seats(struct seats *s)
{
	struct group *g = s->g;

	for (size_t i = 0; i < g->nnodes; i++)
		for (size_t k = 0; k < g->nodes[i].nnics; k++) {
			struct group_nic *c = &g->nodes[i].nics[k];

			add_seat(s, c->zone, &c->address, k ? xasprintf("%s/%zu", g->nodes[i].name, k) : xstrdup(g->nodes[i].name),
				c->at ? node_get(c->at, "ip") : NULL);
			s->v[s->n - 1].gone = g->nodes[i].gone;
		}
	for (size_t i = 0; i < g->nzones; i++)
		for (size_t k = 0; k < g->nzones; k++)
			if (g->zones[i].to && !strcmp(g->zones[i].to, g->zones[k].name)) {
				const struct node *r = node_get(g->zones[i].at, "router");

				add_seat(s, k, &g->zones[i].router, xasprintf("zone:%s", g->zones[i].name),
					r && r->type == NODE_MAP ? node_get(r, "ip") : NULL);
			}
}

static void seats_free(struct seats *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->v[i].key);
	free(s->v);
}

static const struct seat *holder(const struct seats *s, const struct seat *not, const char *text)
{
	for (size_t i = 0; i < s->n; i++)
		if (&s->v[i] != not && s->v[i].zone == not->zone && *s->v[i].address && !strcmp(*s->v[i].address, text))
			return &s->v[i];
	return NULL;
}

/* Takes the address, or fails at `at` when it is taken. */
static int claim(struct seats *s, struct seat *seat, uint32_t a, const struct node *at, struct error **err)
{
	const struct group_zone *z = &s->g->zones[seat->zone];
	_cleanup_free_ char *text = address_text(a);
	const struct seat *other = holder(s, seat, text);

	if ((a & zone_mask(z)) != z->net || (a & ~zone_mask(z)) < 2 || !(~a & ~zone_mask(z)))
		return node_error(at, err, "%s: %s is not in the group's network %s, or not free for nodes there (its first two and its last are not)",
			seat->key, text, z->prefix);
	if (other)
		return node_error(at, err, "%s: %s has the address %s already", seat->key, other->key, text);
	*seat->address = STEAL(text);
	return 0;
}

static int claim_given(struct seats *s, const struct node *record, struct error **err)
{
	for (size_t i = 0; i < s->n; i++) {
		struct seat *seat = &s->v[i];
		const struct node *at = record ? node_get(record, seat->key) : seat->given;
		struct in_addr a;

		if (!at || *seat->address)
			continue;
		if (!at->text || inet_pton(AF_INET, at->text, &a) != 1)
			return node_error(at, err, "ip: '%s' is not an IPv4 address", at->text ? at->text : node_type_name(at->type));
		/* It has moved to another zone since; or the file gives another node the address of one that is gone. */
		if (record && ((ntohl(a.s_addr) & zone_mask(&s->g->zones[seat->zone])) != s->g->zones[seat->zone].net || (seat->gone && holder(s, seat, at->text))))
			continue;
		if (claim(s, seat, ntohl(a.s_addr), at, err) < 0)
			return -1;
	}
	return 0;
}

static int by_key(const void *a, const void *b)
{
	const struct seat *x = *(struct seat *const *)a, *y = *(struct seat *const *)b;
	bool rx = !strncmp(x->key, "zone:", 5), ry = !strncmp(y->key, "zone:", 5);

	return rx != ry ? rx - ry : strcmp(x->key, y->key);
}

/* Which places of each zone's network are taken; as many maps as zones, the caller's. */
static bool **taken_places(const struct seats *s)
{
	bool **taken = xcalloc(s->g->nzones + 1, sizeof(*taken));
	struct in_addr a;

	for (size_t i = 0; i < s->g->nzones; i++)
		taken[i] = xcalloc(1u << (32 - s->g->zones[i].bits), sizeof(bool));
	for (size_t i = 0; i < s->n; i++)
		if (*s->v[i].address && inet_pton(AF_INET, *s->v[i].address, &a) == 1)
			taken[s->v[i].zone][ntohl(a.s_addr) & ~zone_mask(&s->g->zones[s->v[i].zone])] = true;
	return taken;
}

/* Routers come last: one more of them moves no node. */
static void claim_rest(struct seats *s)
{
	struct seat **order = xcalloc(s->n + 1, sizeof(struct seat *));
	bool **taken = taken_places(s);

	for (size_t i = 0; i < s->n; i++)
		order[i] = &s->v[i];
	qsort(order, s->n, sizeof(struct seat *), by_key);
	for (size_t i = 0; i < s->n; i++) {
		const struct group_zone *z = &s->g->zones[order[i]->zone];
		uint32_t room = usable(z->bits), k = digest("address", order[i]->key) % room;

		if (*order[i]->address)
			continue;
		while (taken[order[i]->zone][FIRST + k])
			k = (k + 1) % room;
		taken[order[i]->zone][FIRST + k] = true;
		*order[i]->address = address_text(z->net | (FIRST + k));
	}
	for (size_t i = 0; i < s->g->nzones; i++)
		free(taken[i]);
	free(taken);
	free(order);
}

/* So that there is a free address for each. */
static int check_room(const struct seats *s, struct error **err)
{
	for (size_t i = 0; i < s->g->nzones; i++) {
		const struct group_zone *z = &s->g->zones[i];
		size_t n = members(s->g, z);

		if (n <= usable(z->bits))
			continue;
		error_set(err, ERR_USAGE, "group %s: zone %s: %zu machines and routers; its network %s has addresses for %u", s->g->name, z->name, n,
			z->prefix, (unsigned)usable(z->bits));
		if (z->bits == BITS_MIN)
			return error_hint(err, "no network of a zone is larger; several zones with routers in between hold more");
		return error_hint(err, "a group keeps the networks that it was made with: `croft group %s clean_vms`, then `up`, gives it one that is large "
				       "enough, unless its file names a smaller prefix", s->g->name);
	}
	return 0;
}

int group_addresses(struct group *g, struct error **err)
{
	const struct node *record = g->recorded ? doc_root(g->recorded) : NULL;
	struct seats s = { .g = g };
	struct node *kept = NULL;
	int rc = -1;

	if (choose_prefixes(g, record, err) < 0 || node_map(record, "addresses", &kept, err) < 0)
		return -1;
	list_seats(&s);
	if (check_room(&s, err) == 0 && claim_given(&s, NULL, err) == 0 && (!kept || claim_given(&s, kept, err) == 0)) {
		claim_rest(&s);
		rc = 0;
	}
	seats_free(&s);
	g->prefix = g->zones[0].prefix;
	g->gateway = g->zones[0].gateway;
	for (size_t i = 0; i < g->nnodes; i++)
		g->nodes[i].address = g->nodes[i].host ? g->nodes[i].host_address : g->nodes[i].nics[0].address;
	return rc;
}

int group_write_record(const struct group *g, struct error **err)
{
	struct seats s = { .g = (struct group *)g }; /* which is only read */
	_cleanup_free_ char *path = path_join(g->record, "group.json");
	_cleanup_buf_ struct buf b = BUF_INIT;

	buf_adds(&b, "{\"name\":");
	json_quote(&b, g->name);
	if (strcmp(g->inside, g->name)) {
		buf_adds(&b, ",\"inside\":");
		json_quote(&b, g->inside);
	}
	buf_adds(&b, ",\"file\":");
	json_quote(&b, g->file);
	buf_adds(&b, ",\"prefix\":");
	json_quote(&b, g->prefix);
	buf_adds(&b, ",\"zones\":{");
	for (size_t i = 0; i < g->nzones; i++)
		buf_addf(&b, "%s\"%s\":\"%s\"", i ? "," : "", g->zones[i].name, g->zones[i].prefix);
	buf_adds(&b, "},\"addresses\":{");
	list_seats(&s);
	for (size_t i = 0; i < s.n; i++)
		buf_addf(&b, "%s\"%s\":\"%s\"", i ? "," : "", s.v[i].key, *s.v[i].address);
	seats_free(&s);
	buf_adds(&b, "}}\n");
	return file_write(path, b.data, b.len, 0600, err);
}
