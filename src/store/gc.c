/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mark what names lead to, then: packs with little of it are written anew without
 * the rest, an index over all that stays replaces the others, the old packs go.
 * In this order a kill at any point loses nothing: at worst some space waits for the next gc.
 */
#include "store/internal.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"

#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>

#define KEEP_PERCENT 70 /* a pack with at least this much that is alive stays as it is */

struct gc {
	struct store *s;
	struct session w;
	uint8_t **bits; /* by index and entry */
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

static int mark_all(struct gc *g, struct error **err)
{
	struct store_ref *refs;
	size_t n;
	int rc = 0;

	if (store_list(g->s, &refs, &n, err) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		struct hash root;

		if (rc == 0 && hash_parse(refs[i].object, &root) && store_walk(g->s, &root, mark_entry, g, err) < 0)
			rc = error_wrap(err, "gc: '%s'", refs[i].name);
		store_ref_free(&refs[i]);
	}
	free(refs);
	return rc;
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
	_cleanup_buf_ struct buf b = BUF_INIT;
	size_t n = store_entries_of(g->s, packs, npacks, &list);

	for (size_t i = 0; i < n; i++) {
		struct hash h = g->s->ix[list[i].ix].entries[list[i].pos].hash;

		if (!is_live(g, list[i].ix, list[i].pos))
			continue;
		if (store_chunk(g->s, &h, &b, err) < 0)
			return -1;
		session_chunk(&g->w, b.data, b.len);
		if (g->w.nmetaq > 1 && session_flush_meta(&g->w, err) < 0)
			return -1;
	}
	if (session_flush_meta(&g->w, err) < 0 || session_drain(&g->w, err) < 0)
		return -1;
	return session_seal(&g->w, err);
}

static int sweep(struct gc *g, struct error **err)
{
	_cleanup_free_ uint64_t *packs = NULL;
	struct store_stats st;
	size_t n;

	if (store_stats(g->s, &st, err) < 0)
		return -1;
	g->ret->before = st.stored;
	n = leaving(g, &packs);
	if (session_begin_locked(&g->w, g->s, 0, err) < 0 || move_live(g, packs, n, err) < 0 ||
		store_drop_packs(g->s, packs, n, err) < 0)
		return -1;
	if (store_stats(g->s, &st, err) < 0)
		return -1;
	g->ret->after = st.stored;
	return 0;
}

/* Packs that died before they had their name: with the exclusive lock there is no writer. */
static int drop_unnamed(struct store *s, struct error **err)
{
	_cleanup_free_ char *dir = store_sub(s, "packs");
	_cleanup_closedir_ DIR *d = opendir(dir);

	for (struct dirent *e; d && (e = readdir(d));) {
		_cleanup_free_ char *path = path_join(dir, e->d_name);
		size_t n = strlen(e->d_name);

		if (n > 4 && !strcmp(e->d_name + n - 4, ".new") && file_unlink(path, err) < 0)
			return -1;
	}
	return 0;
}

int store_gc(struct store *s, struct store_gc_result *ret, struct error **err)
{
	_cleanup_free_ char *path = store_sub(s, ".lock");
	_cleanup_close_ int lock = file_lock(path, true, -1, err);
	struct gc g = { .s = s, .ret = ret, .w = { .lock = -1, .pack.fd = -1 } };
	size_t nbits;
	int rc;

	*ret = (struct store_gc_result){ 0 };
	if (lock < 0 || drop_unnamed(s, err) < 0 || store_load(s, true, err) < 0)
		return -1;
	for (size_t i = 0; i < s->nix; i++)
		if (!index_check(&s->ix[i])) {
			error_set(err, ERR_FAILED, "gc: %s is damaged; nothing was removed", s->ix[i].path);
			return error_hint(err, "remove this file: croft makes it anew from the packs");
		}
	nbits = s->nix;
	g.bits = xcalloc(nbits + 1, sizeof(*g.bits));
	for (size_t i = 0; i < nbits; i++)
		g.bits[i] = xcalloc(s->ix[i].head->count / 8 + 1, 1);
	rc = mark_all(&g, err);
	if (rc == 0) {
		count_use(&g);
		rc = sweep(&g, err);
	}
	if (g.w.s)
		session_end(&g.w);
	for (size_t i = 0; i < nbits; i++)
		free(g.bits[i]);
	free(g.bits);
	free(g.packs);
	return rc;
}
