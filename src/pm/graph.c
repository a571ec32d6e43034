/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names and dependencies. The graph of needs, binds-to and after has no cycle, and every unit has a number that is greater
 * than those of all it depends on. An edge that does not fit renumbers only the units between its two ends (the online
 * topological ordering of Pearce and Kelly, "A Dynamic Topological Sort Algorithm for Directed Acyclic Graphs", 2006), so
 * that loading a large graph in any order of lines costs little, and a cycle is found at the line that closes it.
 */
#include "base/cleanup.h"
#include "base/mem.h"
#include "pm/core.h"

#include <stdlib.h>
#include <string.h>

uint64_t core_hash(const char *id)
{
	uint64_t h = 14695981039346656037u; /* FNV-1a */

	for (; *id; id++)
		h = (h ^ (uint8_t)*id) * 1099511628211u;
	return h;
}

static uint32_t hash_of(const char *id)
{
	return (uint32_t)core_hash(id);
}

static struct core_slot *slot_of(const struct core *c, const char *id, uint32_t hash)
{
	for (uint32_t i = hash & (c->nslots - 1);; i = (i + 1) & (c->nslots - 1)) {
		struct core_slot *s = &c->slots[i];

		if (!s->at || (s->hash == hash && !strcmp(c->units[s->at - 1]->id, id)))
			return s;
	}
}

struct unit *core_find(const struct core *c, const char *id)
{
	uint32_t at = c->nslots ? slot_of(c, id, hash_of(id))->at : 0;

	return at ? c->units[at - 1] : NULL;
}

struct unit *core_by_hash(const struct core *c, uint64_t hash)
{
	for (uint32_t i = (uint32_t)hash & (c->nslots - 1); c->nslots && c->slots[i].at; i = (i + 1) & (c->nslots - 1)) {
		struct unit *u = c->units[c->slots[i].at - 1];

		if (c->slots[i].hash == (uint32_t)hash && core_hash(u->id) == hash)
			return u;
	}
	return NULL;
}

static void rehash(struct core *c, uint32_t n)
{
	free(c->slots);
	c->nslots = n;
	c->slots = xcalloc(n, sizeof(*c->slots));
	for (uint32_t i = 0; i < c->nunits; i++)
		if (c->units[i])
			*slot_of(c, c->units[i]->id, c->units[i]->hash) = (struct core_slot){ i + 1, c->units[i]->hash };
}

static uint32_t new_index(struct core *c)
{
	if (c->nfree)
		return c->free_index[--c->nfree];
	if ((c->nunits & (c->nunits - 1)) == 0)
		c->units = xreallocarray(c->units, c->nunits ? c->nunits * 2 : 1, sizeof(*c->units));
	return c->nunits++;
}

struct unit *core_name(struct core *c, const char *id)
{
	struct unit *u = core_find(c, id);

	if (u)
		return u;
	if (!c->nslots || (c->used_slots + 1) * 4 > c->nslots * 3)
		rehash(c, c->nslots ? c->nslots * 2 : 64);
	u = xcalloc(1, sizeof(*u));
	u->id = xstrdup(id);
	u->hash = hash_of(id);
	u->index = new_index(c);
	u->order = c->order_next++;
	u->log_fd = -1;
	c->units[u->index] = u;
	*slot_of(c, id, u->hash) = (struct core_slot){ u->index + 1, u->hash };
	c->used_slots++;
	c->count[PM_STOPPED]++;
	return u;
}

void core_forget(struct core *c, struct unit *u)
{
	uint32_t hole = (uint32_t)(slot_of(c, u->id, u->hash) - c->slots), mask = c->nslots - 1;

	/* Closes the hole in the probe sequence. */
	c->slots[hole].at = 0;
	for (uint32_t i = (hole + 1) & mask; c->slots[i].at; i = (i + 1) & mask) {
		uint32_t home = c->slots[i].hash & mask;

		if (((i - home) & mask) >= ((i - hole) & mask)) {
			c->slots[hole] = c->slots[i];
			c->slots[i].at = 0;
			hole = i;
		}
	}
	c->used_slots--;
	c->count[u->state]--;
	if (u->marked) /* the index may be used again at once */
		for (uint32_t i = 0; i < c->nmarks; i++)
			if (c->marks[i] == u->index)
				c->marks[i--] = c->marks[--c->nmarks];
	c->units[u->index] = NULL;
	if (c->nfree == c->cap_free) {
		c->cap_free = c->cap_free ? c->cap_free * 2 : 16;
		c->free_index = xreallocarray(c->free_index, c->cap_free, sizeof(*c->free_index));
	}
	c->free_index[c->nfree++] = u->index;
	params_free(&u->params);
	free(u->deps);
	free(u->rdeps);
	free(u->cause);
	free(u->id);
	free(u);
}

static void push(uint32_t **list, uint32_t *n, uint32_t value)
{
	if ((*n & (*n - 1)) == 0)
		*list = xreallocarray(*list, *n ? *n * 2 : 1, sizeof(**list));
	(*list)[(*n)++] = value;
}

static void drop(uint32_t *list, uint32_t *n, uint32_t value)
{
	for (uint32_t i = 0; i < *n; i++) {
		if (list[i] != value)
			continue;
		/* The last one moves: no order is promised. The room stays, for push counts on powers of two. */
		list[i] = list[--*n];
		return;
	}
}

struct walk {
	uint32_t *found, n;
};

/*
 * All that is reached from `from` over dependents (up) or dependencies, with a number between low and high. False when
 * `stop` is reached. Found units keep their `seen` flag until the caller takes it away.
 */
static bool reach(struct core *c, struct unit *from, bool up, uint32_t low, uint32_t high, const struct unit *stop, struct walk *w)
{
	push(&w->found, &w->n, from->index);
	from->seen = true;
	for (uint32_t next = 0; next < w->n; next++) {
		struct unit *u = c->units[w->found[next]];
		const uint32_t *list = up ? u->rdeps : u->deps;
		uint32_t n = up ? u->nrdeps : u->ndeps;

		for (uint32_t i = 0; i < n; i++) {
			struct unit *v = c->units[DEP_UNIT(list[i])];

			if (DEP_KIND(list[i]) == DEP_CONFLICTS || v->seen || v->order < low || v->order > high)
				continue;
			if (v == stop)
				return false;
			v->seen = true;
			push(&w->found, &w->n, v->index);
		}
	}
	return true;
}

static void unsee(struct core *c, struct walk *w)
{
	for (uint32_t i = 0; i < w->n; i++)
		c->units[w->found[i]]->seen = false;
}

/* By Shell's method: these are many small ones, for which the library's has too much to do. */
static void sort(uint64_t *v, uint32_t n)
{
	uint32_t gap = 1;

	while (gap < n / 3)
		gap = gap * 3 + 1;
	for (; gap; gap /= 3)
		for (uint32_t i = gap; i < n; i++) {
			uint64_t x = v[i];
			uint32_t at = i;

			for (; at >= gap && v[at - gap] > x; at -= gap)
				v[at] = v[at - gap];
			v[at] = x;
		}
}

/* Gives the numbers of both sides out anew: what is below gets the smaller ones, each side keeps its own order. */
static void renumber(struct core *c, const struct walk *below, const struct walk *above)
{
	const struct walk *sides[2] = { below, above };
	uint32_t n = below->n + above->n, first = 0, i = 0, j = below->n;
	_cleanup_free_ uint64_t *pairs = xcalloc(n, sizeof(*pairs)); /* old number << 32 | unit */
	_cleanup_free_ uint32_t *numbers = xcalloc(n, sizeof(*numbers));

	for (int s = 0; s < 2; first += sides[s++]->n) {
		for (uint32_t k = 0; k < sides[s]->n; k++)
			pairs[first + k] = (uint64_t)c->units[sides[s]->found[k]]->order << 32 | sides[s]->found[k];
		sort(pairs + first, sides[s]->n);
	}
	for (uint32_t k = 0; k < n; k++)
		numbers[k] = (uint32_t)(pairs[j == n || (i < below->n && pairs[i] < pairs[j]) ? i++ : j++] >> 32);
	for (uint32_t k = 0; k < n; k++)
		c->units[(uint32_t)pairs[k]]->order = numbers[k];
}

/* u shall depend on v, but v already depends on u: says over what. */
static int tell_cycle(struct core *c, const struct unit *u, const struct unit *v, struct error **err)
{
	_cleanup_free_ uint32_t *parent = xcalloc(c->nunits, sizeof(*parent));
	_cleanup_free_ uint32_t *queue = xcalloc(c->nunits, sizeof(*queue));
	_cleanup_buf_ struct buf b = BUF_INIT;
	uint32_t n = 0, at;
	int shown = 0;

	/* Breadth first from u up to v over dependents: the shortest cycle. */
	queue[n++] = u->index;
	parent[u->index] = u->index + 1;
	for (uint32_t next = 0; next < n && !parent[v->index]; next++) {
		const struct unit *x = c->units[queue[next]];

		for (uint32_t i = 0; i < x->nrdeps; i++) {
			uint32_t y = DEP_UNIT(x->rdeps[i]);

			if (DEP_KIND(x->rdeps[i]) == DEP_CONFLICTS || parent[y])
				continue;
			parent[y] = x->index + 1;
			queue[n++] = y;
		}
	}
	buf_addf(&b, "%s", u->id);
	for (at = v->index; at != u->index && shown < 20; at = parent[at] - 1, shown++)
		buf_addf(&b, " -> %s", c->units[at]->id);
	buf_addf(&b, "%s -> %s", at != u->index ? " -> ..." : "", u->id);
	return error_set(err, ERR_USAGE, "%s: this would be a cycle of dependencies: %s", u->id, b.data);
}

int graph_add(struct core *c, struct unit *u, enum dep_kind k, struct unit *on, struct error **err)
{
	uint32_t kind = (uint32_t)k << 28;

	if (u == on)
		return error_set(err, ERR_USAGE, "%s: names itself as a dependency: %s -> %s", u->id, u->id, u->id);
	if (k != DEP_CONFLICTS && on->order > u->order && !c->loading) {
		struct walk above = { NULL, 0 }, below = { NULL, 0 };
		bool free_of_cycle = reach(c, u, true, u->order, on->order, on, &above);

		unsee(c, &above);
		if (free_of_cycle) {
			reach(c, on, false, u->order, on->order, NULL, &below);
			unsee(c, &below);
			renumber(c, &below, &above);
		}
		free(above.found);
		free(below.found);
		if (!free_of_cycle)
			return tell_cycle(c, u, on, err);
	}
	push(&u->deps, &u->ndeps, kind | on->index);
	push(&on->rdeps, &on->nrdeps, kind | u->index);
	return 0;
}

struct unit *graph_rival(const struct core *c, const struct unit *u, struct rivals *it)
{
	for (; it->side < 2; it->side++, it->at = 0) {
		const uint32_t *list = it->side ? u->rdeps : u->deps;
		uint32_t n = it->side ? u->nrdeps : u->ndeps;

		for (; it->at < n; it->at++, it->in = 0) {
			struct unit *d = c->units[DEP_UNIT(list[it->at])];

			if (DEP_KIND(list[it->at]) != DEP_CONFLICTS)
				continue;
			if (!d->slot) {
				it->at++;
				return d;
			}
			while (it->in < d->nrdeps) {
				struct unit *r = c->units[DEP_UNIT(d->rdeps[it->in++])];

				if (r != u)
					return r;
			}
		}
	}
	return NULL;
}

void core_load(struct core *c)
{
	c->loading = true;
}

/* By Kahn's method: a unit gets its number when all it depends on have theirs. */
bool core_loaded(struct core *c)
{
	_cleanup_free_ uint32_t *missing = xcalloc(c->nunits + 1, sizeof(*missing));
	_cleanup_free_ uint32_t *queue = xcalloc(c->nunits + 1, sizeof(*queue));
	uint32_t n = 0, named = 0;

	c->loading = false;
	for (uint32_t i = 0; i < c->nunits; i++) {
		const struct unit *u = c->units[i];

		if (!u)
			continue;
		named++;
		for (uint32_t k = 0; k < u->ndeps; k++)
			missing[i] += DEP_KIND(u->deps[k]) != DEP_CONFLICTS;
		if (!missing[i])
			queue[n++] = i;
	}
	for (uint32_t next = 0; next < n; next++) {
		struct unit *u = c->units[queue[next]];

		u->order = next;
		for (uint32_t k = 0; k < u->nrdeps; k++)
			if (DEP_KIND(u->rdeps[k]) != DEP_CONFLICTS && !--missing[DEP_UNIT(u->rdeps[k])])
				queue[n++] = DEP_UNIT(u->rdeps[k]);
	}
	c->order_next = n;
	return n == named;
}

void graph_remove(struct core *c, struct unit *u, enum dep_kind k, struct unit *on)
{
	uint32_t kind = (uint32_t)k << 28;

	drop(u->deps, &u->ndeps, kind | on->index);
	drop(on->rdeps, &on->nrdeps, kind | u->index);
	if (!on->defined && !on->nrdeps)
		core_forget(c, on);
}
