/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mark what names lead to, then: packs with little of it are written anew without
 * the rest, an index over all that stays replaces the others, the old packs go.
 * In this order a kill at any point loses nothing: at worst some space waits for the next gc. Others write meanwhile: gate.c.
 */
#include "store/internal.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define KEEP_PERCENT 70 /* a pack with at least this much that is alive stays as it is */

struct refs {
	struct store_ref *v;
	size_t n;
};
struct gc {
	struct store *s;
	struct session w;
	struct refs refs; /* the names when it was marked */
	uint8_t **bits; /* by index and entry */
	size_t nbits;
	struct pack_use {
		uint64_t id, all, live;
	} *packs;
	size_t npacks;
	struct store_gc_result *ret;
};

static int mark(void *arg, const struct hash *h, uint64_t len, int level, struct error **err)
{
	struct gc *g = arg;
	struct found f;
	uint8_t *byte, bit;

	if (level < 0 && hash_is_hole(h))
		return 0;
	if (!store_find(g->s, h, &f))
		return error_set(err, ERR_FAILED, "a chunk that it needs is in no pack; `croft store verify` tells more");
	byte = &g->bits[f.ix][f.pos / 8];
	bit = (uint8_t)(1u << (f.pos % 8));
	if (*byte & bit)
		return 1;
	*byte |= bit;
	return 0;
}

/* A walk's callback sees 1 as "skip below"; for chunks it means nothing more. */
static int mark_entry(void *arg, const struct hash *h, uint64_t len, int level, struct error **err)
{
	int rc = mark(arg, h, len, level, err);

	return level < 0 && rc > 0 ? 0 : rc;
}

static void refs_free(struct refs *r)
{
	for (size_t i = 0; i < r->n; i++)
		store_ref_free(&r->v[i]);
	free(r->v);
	*r = (struct refs){ 0 };
}

static int mark_all(struct gc *g, struct error **err)
{
	for (size_t i = 0; i < g->refs.n; i++) {
		struct hash root;

		if (hash_parse(g->refs.v[i].object, &root) && store_walk(g->s, &root, mark_entry, g, err) < 0)
			return error_wrap(err, "gc: '%s'", g->refs.v[i].name);
	}
	return 0;
}

static int by_id(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static struct pack_use *use_of(struct gc *g, uint64_t id)
{
	return bsearch(&id, g->packs, g->npacks, sizeof(*g->packs), by_id);
}

static bool is_live(const struct gc *g, size_t ix, uint64_t pos)
{
	return g->bits[ix][pos / 8] >> (pos % 8) & 1;
}

static void count_use(struct gc *g)
{
	size_t n = 0;

	g->ret->chunks = g->ret->live = 0;
	for (size_t i = 0; i < g->s->nix; i++)
		for (uint32_t k = 0; k < g->s->ix[i].head->npacks; k++) {
			g->packs = xreallocarray(g->packs, n + 1, sizeof(*g->packs));
			g->packs[n++] = (struct pack_use){ .id = g->s->ix[i].packs[k] };
		}
	if (n)
		qsort(g->packs, n, sizeof(*g->packs), by_id);
	for (size_t i = 0; i < n; i++) /* one that two indexes hold counts once */
		if (!g->npacks || g->packs[g->npacks - 1].id != g->packs[i].id)
			g->packs[g->npacks++] = g->packs[i];
	for (size_t i = 0; i < g->s->nix; i++) {
		const struct index *ix = &g->s->ix[i];

		for (uint64_t k = 0; k < ix->head->count; k++) {
			struct pack_use *u = use_of(g, ix->packs[ix->entries[k].pack]);

			u->all += ix->entries[k].len;
			u->live += is_live(g, i, k) ? ix->entries[k].len : 0;
			g->ret->chunks++;
			g->ret->live += is_live(g, i, k);
		}
	}
}

static bool stays(const struct pack_use *u)
{
	return u->live && u->live >= u->all / 100 * KEEP_PERCENT;
}

/* The packs that go, sorted. */
static size_t leaving(const struct gc *g, uint64_t **ret)
{
	size_t n = 0;

	*ret = xcalloc(g->npacks + 1, sizeof(**ret));
	for (size_t i = 0; i < g->npacks; i++)
		if (!stays(&g->packs[i]))
			(*ret)[n++] = g->packs[i].id;
	return n;
}

/* The live chunks of packs that go, into new packs; in their old order, each record unpacked once. */
static int move_live(struct gc *g, const uint64_t *packs, size_t npacks, struct error **err)
{
	_cleanup_free_ struct found *list = NULL;
	size_t n = store_entries_of(g->s, packs, npacks, &list);

	for (size_t i = 0; i < n; i++) {
		struct hash h = g->s->ix[list[i].ix].entries[list[i].pos].hash;

		if (!is_live(g, list[i].ix, list[i].pos))
			continue;
		if (session_carry(&g->w, g->s, &h, &list[i], err) < 0)
			return -1;
	}
	if (session_carry_end(&g->w, err) < 0 || session_drain(&g->w, err) < 0)
		return -1;
	return session_seal(&g->w, err);
}

/* Packs that died before they had their name: nobody holds their lock. */
static int drop_unnamed(struct store *s, struct error **err)
{
	_cleanup_free_ char *dir = store_sub(s, "packs");
	_cleanup_closedir_ DIR *d = opendir(dir);

	for (struct dirent *e; d && (e = readdir(d));) {
		_cleanup_free_ char *path = path_join(dir, e->d_name);
		_cleanup_close_ int fd = -1;
		size_t n = strlen(e->d_name);

		if (n <= 4 || strcmp(e->d_name + n - 4, ".new") || (fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
			continue;
		if (flock(fd, LOCK_EX | LOCK_NB) == 0 && file_unlink(path, err) < 0)
			return -1;
	}
	return 0;
}

static void clear(struct gc *g)
{
	for (size_t i = 0; i < g->nbits; i++)
		free(g->bits[i]);
	free(STEAL(g->bits));
	free(STEAL(g->packs));
	g->nbits = g->npacks = 0;
}

/* What the names of now lead to. Their chunks are in indexes that are there before them, so these are read after the names. */
static int look(struct gc *g, struct error **err)
{
	clear(g);
	refs_free(&g->refs);
	if (store_list(g->s, &g->refs.v, &g->refs.n, err) < 0 || store_load(g->s, err) < 0)
		return -1;
	for (size_t i = 0; i < g->s->nix; i++)
		if (!index_check(&g->s->ix[i])) {
			error_set(err, ERR_FAILED, "gc: %s is damaged; nothing was removed", g->s->ix[i].path);
			return error_hint(err, "remove this file: croft makes it anew from the packs");
		}
	g->nbits = g->s->nix;
	g->bits = xcalloc(g->nbits + 1, sizeof(*g->bits));
	for (size_t i = 0; i < g->nbits; i++)
		g->bits[i] = xcalloc(g->s->ix[i].head->count / 8 + 1, 1);
	if (mark_all(g, err) < 0)
		return -1;
	count_use(g);
	return 0;
}

/* Have names come or changed since we looked? */
static int names_changed(struct gc *g, struct error **err)
{
	struct refs now = { 0 };
	bool same;

	if (store_list(g->s, &now.v, &now.n, err) < 0)
		return -1;
	same = now.n == g->refs.n;
	for (size_t i = 0; same && i < now.n; i++)
		same = !strcmp(now.v[i].name, g->refs.v[i].name) && !strcmp(now.v[i].object, g->refs.v[i].object);
	refs_free(&now);
	return !same;
}

static int sweep(struct gc *g, int gate, struct error **err)
{
	_cleanup_free_ uint64_t *packs = NULL;
	size_t n = leaving(g, &packs);
	int changed;

	if (!n)
		return g->s->nix > 1 ? store_drop_packs(g->s, NULL, 0, err) : 0;
	if (gate_condemn(gate, g->s, packs, n, err) < 0 || (changed = names_changed(g, err)) < 0 || (changed && look(g, err) < 0))
		return -1;
	/* Whatever the names of now need of these packs is moved; names of later need nothing of them. */
	if (session_begin_locked(&g->w, g->s, 0, err) < 0 || move_live(g, packs, n, err) < 0)
		return -1;
	return store_drop_packs(g->s, packs, n, err);
}

static int collect(struct gc *g, int gate, struct error **err)
{
	_cleanup_error_ struct error *why = NULL;
	struct store_stats st;
	int rc;

	if (drop_unnamed(g->s, err) < 0 || look(g, err) < 0 || store_stats(g->s, &st, err) < 0)
		return -1;
	g->ret->before = st.stored;
	rc = sweep(g, gate, err);
	if (g->w.s)
		session_end(&g->w);
	if (gate_pardon(g->s, &why) < 0 && rc == 0)
		return error_move(err, &why);
	if (rc < 0 || store_stats(g->s, &st, err) < 0)
		return -1;
	g->ret->after = st.stored;
	return 0;
}

int store_gc(struct store *s, struct store_gc_result *ret, struct error **err)
{
	_cleanup_close_ int gate = gate_remover(s, err);
	struct gc g = { .s = s, .ret = ret, .w = { .lock = -1, .pack.fd = -1 } };
	int rc;

	*ret = (struct store_gc_result){ 0 };
	if (gate < 0)
		return -1;
	rc = collect(&g, gate, err);
	clear(&g);
	refs_free(&g.refs);
	return rc;
}
