/* SPDX-License-Identifier: Apache-2.0 */
#include "net/faults.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/capture.h"

#include <stdio.h>
#include <string.h>

const char *const fault_directions[2] = { [FAULT_OUT] = "out", [FAULT_IN] = "in" };

static void on_event(void *arg, const struct link *k, void *owner, enum link_event what, const uint8_t *frame, size_t len)
{
	struct net *n = arg;
	struct port *p = owner;
	enum capture_way way = k == p->links[FAULT_OUT] ? CAPTURE_FROM : CAPTURE_TO;
	char comment[64];

	if (!n->captures)
		return;
	snprintf(comment, sizeof(comment), "%s by the link (%s)", link_event_names[what], fault_directions[way == CAPTURE_TO]);
	capture_frame(n, p, way, frame, len, comment);
}

struct faults *faults_new(struct net *n)
{
	struct faults *f = xcalloc(1, sizeof(*f));

	f->net = n;
	f->links = links_new(n->loop);
	links_observe(f->links, on_event, n);
	links_around(f->links, ports_hold, ports_write);
	return f;
}

void faults_free(struct faults *f)
{
	if (!f)
		return;
	for (size_t i = 0; i < f->n; i++) {
		free(f->all[i].node);
		free(f->all[i].zone);
	}
	free(f->all);
	free(f->cuts);
	strv_free(&f->nodes);
	links_free(f->links);
	free(f);
}

struct fault_link *faults_find(struct faults *f, const char *node, const char *zone)
{
	for (size_t i = 0; i < f->n; i++)
		if (!strcmp(f->all[i].node, node) && !strcmp(f->all[i].zone, zone))
			return &f->all[i];
	return NULL;
}

const struct port *faults_port(const struct faults *f, const struct fault_link *l)
{
	for (const struct zone *z = f->net->zones; z; z = z->next)
		for (const struct port *p = strcmp(z->name, l->zone) ? NULL : z->ports; p; p = p->next)
			if (!strcmp(p->node, l->node))
				return p;
	return NULL;
}

static struct fault_link *find_or_add(struct faults *f, const char *node, const char *zone)
{
	struct fault_link *l = faults_find(f, node, zone);

	if (l)
		return l;
	f->all = xreallocarray(f->all, f->n + 1, sizeof(*f->all));
	f->all[f->n] = (struct fault_link){ .node = xstrdup(node), .zone = xstrdup(zone) };
	return &f->all[f->n++];
}

uint32_t faults_node_id(struct faults *f, const char *node)
{
	for (size_t i = 0; i < f->nodes.len; i++)
		if (!strcmp(f->nodes.v[i], node))
			return (uint32_t)i + 1;
	if (f->nodes.len >= FAULT_NODES)
		return 0;
	strv_add(&f->nodes, node);
	return (uint32_t)f->nodes.len;
}

static void set_bit(struct faults *f, uint32_t at, uint32_t bit, bool on)
{
	uint64_t mask = (uint64_t)1 << bit % 64;

	f->cuts[at][bit / 64] = on ? f->cuts[at][bit / 64] | mask : f->cuts[at][bit / 64] & ~mask;
}

void faults_set_cut(struct faults *f, uint32_t a, uint32_t b, bool cut)
{
	size_t need = (a > b ? a : b) + 1u;

	if (!a || !b || a == b || (!cut && need > f->ncuts))
		return;
	if (need > f->ncuts) {
		f->cuts = xreallocarray(f->cuts, need, sizeof(*f->cuts));
		memset(f->cuts + f->ncuts, 0, (need - f->ncuts) * sizeof(*f->cuts));
		f->ncuts = need;
	}
	set_bit(f, a, b, cut);
	set_bit(f, b, a, cut);
}

bool faults_is_cut(const struct faults *f, uint32_t a, uint32_t b)
{
	return a < f->ncuts && (f->cuts[a][b / 64] >> b % 64 & 1);
}

static bool any_bit(const uint64_t *row)
{
	for (size_t i = 0; i <= FAULT_NODES / 64; i++)
		if (row[i])
			return true;
	return false;
}

/* ---- onto the ports ---- */

static void out_of_link(void *owner, uint32_t origin, const uint8_t *frame, size_t len)
{
	struct port *p = owner;
	uint32_t was = p->zone->net->origin;

	p->zone->net->origin = origin;
	zone_forward(p->zone, p, frame, len);
	p->zone->net->origin = was;
}

static void into_port(void *owner, uint32_t origin, const uint8_t *frame, size_t len)
{
	port_write(owner, frame, len);
}

static void apply_direction(struct faults *f, struct port *p, const struct fault_link *l, int dir)
{
	const char *words[] = { l->node, l->zone, fault_directions[dir], NULL };
	const struct link_spec *spec = &l->now[dir];
	struct link **at = &p->links[dir];

	if (link_spec_perfect(spec) || p->tap) { /* of a tap: kernelshape.c */
		if (*at)
			link_flush(*at);
		link_free(*at);
		*at = NULL;
		return;
	}
	if (*at && link_spec_same(link_spec_of(*at), spec))
		return;
	if (!*at)
		*at = link_new(f->links, dir == FAULT_OUT ? out_of_link : into_port, p);
	link_set(*at, spec, link_seed(f->seed, words));
}

void faults_apply(struct faults *f)
{
	for (struct zone *z = f->net->zones; z; z = z->next)
		for (struct port *p = z->ports; p; p = p->next) {
			struct fault_link *l = faults_find(f, p->node, z->name);

			p->id = faults_node_id(f, p->node);
			for (int dir = 0; l && dir < 2; dir++)
				apply_direction(f, p, l, dir);
			p->cut = p->id < f->ncuts && any_bit(f->cuts[p->id]) ? f->cuts[p->id] : NULL;
			port_mark(p);
		}
}

void faults_port_gone(struct port *p)
{
	for (int dir = 0; dir < 2; dir++) {
		link_free(p->links[dir]);
		p->links[dir] = NULL;
	}
}

void faults_reseed(struct faults *f, uint64_t seed)
{
	f->seed = seed;
	for (struct zone *z = f->net->zones; z; z = z->next)
		for (struct port *p = z->ports; p; p = p->next)
			for (int dir = 0; dir < 2; dir++)
				if (p->links[dir]) {
					const char *words[] = { p->node, z->name, fault_directions[dir], NULL };
					struct link_spec s = *link_spec_of(p->links[dir]);

					link_set(p->links[dir], &s, link_seed(seed, words));
				}
}

/* ---- net.json ---- */

/* What the file says of a port: its zone by name wins over all of the node's. */
static int read_base(const json_t *list, const struct fault_link *l, struct link_spec spec[2], struct error **err)
{
	const json_t *best = NULL;
	json_t *j;
	size_t i;

	json_array_foreach(list, i, j)
	{
		const char *node = json_string_value(json_object_get(j, "node"));
		const char *zone = json_string_value(json_object_get(j, "zone"));

		if (!node || strcmp(node, l->node) || (zone && strcmp(zone, l->zone)))
			continue;
		if (!best || zone)
			best = j;
	}
	for (int dir = 0; dir < 2; dir++) {
		spec[dir] = (struct link_spec){ 0 };
		if (best && faults_read_spec(json_object_get(best, fault_directions[dir]), &spec[dir], err) < 0)
			return error_wrap(err, "net.json: link of %s", l->node);
	}
	return 0;
}

static int take_base(struct faults *f, struct fault_link *l, const json_t *list, struct error **err)
{
	struct link_spec spec[2];

	if (read_base(list, l, spec, err) < 0)
		return -1;
	for (int dir = 0; dir < 2; dir++) {
		/* What was changed by hand stays until the file says something new. */
		if (!link_spec_same(&spec[dir], &l->base[dir]))
			l->now[dir] = spec[dir];
		l->base[dir] = spec[dir];
	}
	return 0;
}

int faults_load(struct faults *f, const json_t *root, struct error **err)
{
	const json_t *list = json_object_get(root, "links");
	const char *seed_of[] = { f->net->group, NULL };
	const json_t *seed = json_object_get(root, "seed");
	uint64_t base_seed = json_is_integer(seed) ? (uint64_t)json_integer_value(seed) : link_seed(0, seed_of) >> 33;

	if (!f->loaded || base_seed != f->base_seed)
		f->seed = base_seed;
	f->base_seed = base_seed;
	for (size_t i = 0; i < f->n; i++)
		f->all[i].there = false;
	for (struct zone *z = f->net->zones; z; z = z->next)
		for (struct port *p = z->ports; p; p = p->next)
			find_or_add(f, p->node, z->name)->there = true;
	for (size_t i = 0; i < f->n; i++)
		if (take_base(f, &f->all[i], list, err) < 0)
			return -1;
	if (!f->loaded) {
		_cleanup_error_ struct error *e = NULL;

		f->loaded = true;
		if (faults_restore(f, NULL, &e) < 0)
			log_warn("faults of the last run are not restored: %s", e->msg);
	}
	faults_apply(f);
	return 0;
}
