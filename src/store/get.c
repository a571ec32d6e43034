/* SPDX-License-Identifier: Apache-2.0 */
/* Workers unpack and check windows of the object; the owner's thread writes them in order. */
#include "store/internal.h"
#include "base/cleanup.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdlib.h>

#define WINDOW (2u << 20)      /* bytes of a window, at most */
#define WINDOW_SOFT (512u << 10) /* from here on it ends where another record begins */
#define BLOCKS 4	       /* unpacked records that a worker keeps; half with many workers: memory */
#define MANY 8

struct part {
	struct hash hash;
	struct found f;
	uint32_t at, len;    /* in the window */
	uint32_t skip, take; /* what of the chunk is asked for */
	bool same;	     /* the target has it */
};
struct window {
	uint64_t off; /* in the object */
	uint8_t *data;
	size_t len;
	struct part *parts;
	struct hash *is;
	struct blake2b_job *jobs;
	size_t n, cap;
	struct error *err;
};
struct get {
	struct store *s;
	const struct store_get_opts *o;
	struct pool *pool;
	struct window *cur, **idle;
	size_t nidle, depth;
	const struct store_sink *sink;
	uint64_t start, end; /* of what is asked for */
	unsigned threads;
};
struct reader {
	struct get *g;
	struct block blocks[BLOCKS];
	unsigned next;
};

static void *reader_new(void *arg)
{
	struct reader *r = xcalloc(1, sizeof(*r));

	r->g = arg;
	return r;
}

static void reader_free(void *ctx)
{
	struct reader *r = ctx;

	for (int i = 0; i < BLOCKS; i++)
		block_free(&r->blocks[i]);
	free(r);
}

/* The hashes of those parts that are not the same in the target, into w->is. */
static void hash_parts(struct window *w)
{
	size_t n = 0;

	for (size_t i = 0; i < w->n; i++)
		if (!w->parts[i].same)
			w->jobs[n++] = (struct blake2b_job){ w->data + w->parts[i].at, w->parts[i].len, w->is[i].b };
	blake2b_many(w->jobs, n);
}

/* Which chunks does the target have? */
static void compare(struct reader *r, struct window *w)
{
	const struct store_sink *sink = r->g->sink;

	for (size_t i = 0; i < w->n; i++) {
		struct part *p = &w->parts[i];
		struct error *why = NULL;

		/* The hash tells of the whole. What cannot be read is written. */
		if (p->take != p->len || sink->read(sink->arg, w->data + p->at, p->len, w->off + p->at, &why) < 0)
			memset(w->data + p->at, 0, p->len);
		error_clear(&why);
	}
	hash_parts(w);
	for (size_t i = 0; i < w->n; i++)
		w->parts[i].same = w->parts[i].take == w->parts[i].len && !memcmp(&w->is[i], &w->parts[i].hash, sizeof(w->is[i]));
}

static int fetch(struct reader *r, struct window *w, struct part *p)
{
	unsigned n = r->g->threads > MANY ? BLOCKS / 2 : BLOCKS;
	struct block *b = NULL;

	for (unsigned i = 0; i < n && !b; i++)
		if (r->blocks[i].valid && r->blocks[i].pack == p->f.pack && r->blocks[i].off == p->f.off)
			b = &r->blocks[i];
	if (!b)
		b = &r->blocks[r->next++ % n];
	if (store_block(r->g->s, &p->hash, &p->f, b, &w->err) < 0)
		return -1;
	memcpy(w->data + p->at, b->raw + p->f.inner, p->len < p->f.len ? p->len : p->f.len);
	return 0;
}

static void run(void *ctx, void *task)
{
	struct reader *r = ctx;
	struct window *w = task;

	if (r->g->sink->read)
		compare(r, w);
	for (size_t i = 0; i < w->n; i++)
		if (!w->parts[i].same && fetch(r, w, &w->parts[i]) < 0)
			return;
	hash_parts(w);
	for (size_t i = 0; i < w->n; i++) {
		const struct part *p = &w->parts[i];

		if (p->same || (p->f.len == p->len && !memcmp(&w->is[i], &p->hash, sizeof(p->hash))))
			continue;
		error_set(&w->err, ERR_FAILED, "pack %016" PRIx64 ": the chunk at %u+%u is damaged", p->f.pack, p->f.off, p->f.inner);
		error_hint(&w->err, "`croft store verify` tells what else is");
		return;
	}
}

static void window_free(struct window *w)
{
	if (!w)
		return;
	error_clear(&w->err);
	free(w->data);
	free(w->parts);
	free(w->is);
	free(w->jobs);
	free(w);
}

static int put_out(struct get *g, const uint8_t *p, size_t n, uint64_t off, struct error **err)
{
	return g->sink->write(g->sink->arg, p, n, off, err);
}

static int reap(struct get *g, struct error **err)
{
	struct window *w = pool_reap(g->pool);
	int rc = w->err ? error_move(err, &w->err) : 0;
	size_t i = 0;

	while (rc == 0 && i < w->n) { /* neighbours that are to be written go in one call */
		size_t k = i;

		while (k < w->n && !w->parts[k].same)
			k++;
		if (k > i) {
			const struct part *a = &w->parts[i], *z = &w->parts[k - 1];
			uint32_t from = a->at + a->skip, to = z->at + z->skip + z->take;

			rc = put_out(g, w->data + from, to - from, w->off + from, err);
		}
		i = k + 1;
	}
	if (rc == 0 && g->o->progress)
		g->o->progress(g->o->arg, w->off + w->len - g->start);
	w->n = w->len = 0;
	g->idle[g->nidle++] = w;
	return rc;
}

static int submit(struct get *g, struct error **err)
{
	if (!g->cur)
		return 0;
	while (pool_pending(g->pool) >= g->depth)
		if (reap(g, err) < 0)
			return -1;
	pool_submit(g->pool, STEAL(g->cur));
	return 0;
}

static int drain(struct get *g, struct error **err)
{
	while (pool_pending(g->pool))
		if (reap(g, err) < 0)
			return -1;
	return 0;
}

static int hole(struct get *g, uint64_t off, uint64_t len, struct error **err)
{
	if (!g->sink->zero)
		return submit(g, err);
	if (submit(g, err) < 0 || drain(g, err) < 0)
		return -1;
	return g->sink->zero(g->sink->arg, len, off, err);
}

static struct window *new_window(struct get *g, struct error **err)
{
	struct window *w;

	if (!g->nidle && pool_pending(g->pool) >= g->depth && reap(g, err) < 0)
		return NULL;
	w = g->nidle ? g->idle[--g->nidle] : xcalloc(1, sizeof(*w));
	if (!w->data)
		w->data = xmalloc(WINDOW);
	return w;
}

static bool full(const struct window *w, const struct part *p)
{
	const struct part *last = &w->parts[w->n - 1];

	return w->len + p->len > WINDOW ||
		(w->len >= WINDOW_SOFT && (last->f.off != p->f.off || last->f.pack != p->f.pack));
}

static int chunk(struct get *g, uint64_t off, const struct node_entry *e, struct error **err)
{
	uint64_t from = off < g->start ? g->start - off : 0, to = e->len < g->end - off ? e->len : g->end - off;
	struct part p = { .hash = e->hash, .len = (uint32_t)e->len, .skip = (uint32_t)from, .take = (uint32_t)(to - from) };
	struct window *w;

	if (e->len > RAW_MAX / 4)
		return error_set(err, ERR_FAILED, "a chunk of %" PRIu64 " bytes: the object is damaged", e->len);
	if (!store_find(g->s, &e->hash, &p.f) && store_find_again(g->s, &e->hash, &p.f, err) < 0)
		return -1;
	if (g->cur && full(g->cur, &p) && submit(g, err) < 0)
		return -1;
	if (!g->cur) {
		g->cur = new_window(g, err);
		if (!g->cur)
			return -1;
		g->cur->off = off;
	}
	w = g->cur;
	if (w->n == w->cap) {
		w->cap = w->cap ? w->cap * 2 : 64;
		w->parts = xreallocarray(w->parts, w->cap, sizeof(*w->parts));
		w->is = xreallocarray(w->is, w->cap, sizeof(*w->is));
		w->jobs = xreallocarray(w->jobs, w->cap, sizeof(*w->jobs));
	}
	p.at = (uint32_t)w->len;
	w->parts[w->n++] = p;
	w->len += e->len;
	return 0;
}

static int get_all(struct get *g, const struct hash *root, struct error **err)
{
	_cleanup_cursor_ struct cursor c = { 0 };
	struct node_entry e;
	uint64_t off;
	int rc = cursor_open(&c, g->s, root, g->start, err);

	while (rc == 0 && g->start < g->end && (rc = cursor_next(&c, &e, &off, err)) == 1 && off < g->end) {
		uint64_t from = off < g->start ? g->start : off, to = off + e.len < g->end ? off + e.len : g->end;

		rc = hash_is_hole(&e.hash) ? hole(g, from, to - from, err) : chunk(g, off, &e, err);
	}
	return rc < 0 || submit(g, err) < 0 ? -1 : drain(g, err);
}

static int get_object(struct store *s, const struct hash *root, uint64_t start, uint64_t end, const struct store_sink *sink,
	const struct store_get_opts *o, struct error **err)
{
	struct get g = { .s = s, .o = o, .sink = sink, .start = start, .end = end };
	struct pool_ops ops = { reader_new, reader_free, run, &g };
	int rc;

	g.threads = pool_threads(o->threads);
	g.depth = g.threads + 4;
	g.idle = xcalloc(g.depth + 4, sizeof(*g.idle));
	g.pool = pool_new(o->threads, g.depth, &ops);
	rc = get_all(&g, root, err);
	for (struct window *w; (w = pool_reap(g.pool));)
		window_free(w);
	pool_free(g.pool);
	window_free(g.cur);
	while (g.nidle)
		window_free(g.idle[--g.nidle]);
	free(g.idle);
	return rc;
}

/* Root and size of what is one piece. */
static int find_object(struct store *s, const char *name, struct hash *root, uint64_t *size, struct error **err)
{
	_cleanup_store_set_ struct store_set set = { 0 };
	bool is_set;

	if (store_resolve(s, name, root, err) < 0 || store_object_size(s, root, size, &is_set, err) < 0)
		return -1;
	if (!is_set)
		return 0;
	if (set_read(s, name, root, &set, err) < 0)
		return -1;
	error_set(err, ERR_STATE, "%s: is a set of %zu parts, not one piece", name, set.n);
	return set.n ? error_hint(err, "take one of them: %s/%s", name, set.parts[0].name) : -1;
}

int store_size(struct store *s, const char *name, uint64_t *ret, struct error **err)
{
	struct hash root;

	return find_object(s, name, &root, ret, err);
}

int store_get_range(struct store *s, const char *name, uint64_t start, uint64_t len, const struct store_sink *sink,
	const struct store_get_opts *o, struct error **err)
{
	struct hash root;
	uint64_t size;

	if (find_object(s, name, &root, &size, err) < 0)
		return error_wrap(err, "get %s", name);
	if (start > size)
		return error_set(err, ERR_USAGE, "get %s: %" PRIu64 " is behind its end at %" PRIu64, name, start, size);
	if (get_object(s, &root, start, len < size - start ? start + len : size, sink, o, err) < 0)
		return error_wrap(err, "get %s", name);
	return 0;
}

int object_bytes(struct store *s, const struct hash *root, size_t max, struct buf *ret, struct error **err)
{
	_cleanup_cursor_ struct cursor c = { 0 };
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct node_entry e;
	uint64_t off;
	int rc = cursor_open(&c, s, root, 0, err);

	while (rc == 0 && (rc = cursor_next(&c, &e, &off, err)) == 1) {
		if (off + e.len > max)
			return error_set(err, ERR_FAILED, "is larger than %zu bytes", max);
		rc = 0;
		if (hash_is_hole(&e.hash)) {
			memset(buf_reserve(ret, e.len), 0, e.len);
			ret->len += e.len;
			buf_add(ret, "", 0);
		} else if ((rc = store_chunk(s, &e.hash, &b, err)) == 0) {
			buf_add(ret, b.data, b.len);
		}
	}
	return rc;
}

int store_get_bytes(struct store *s, const char *name, size_t max, struct buf *ret, struct error **err)
{
	struct hash root;
	uint64_t size;

	if (find_object(s, name, &root, &size, err) < 0 || object_bytes(s, &root, max, ret, err) < 0)
		return error_wrap(err, "get %s", name);
	return 0;
}

int store_get(struct store *s, const char *name, const char *path, const struct store_get_opts *o, struct error **err)
{
	struct target t = { .fd = -1, .update = o->update };
	struct store_sink sink;
	struct hash root;
	uint64_t size;
	int rc;

	if (o->update && !strcmp(path, "-"))
		return error_set(err, ERR_USAGE, "get %s: standard output cannot be updated", name);
	if (find_object(s, name, &root, &size, err) < 0 || target_open(&t, path, size, err) < 0)
		return error_wrap(err, "get %s", name);
	sink = target_sink(&t);
	rc = get_object(s, &root, 0, size, &sink, o, err);
	if (target_close(&t, rc == 0, o->sync, rc == 0 ? err : NULL) < 0)
		rc = -1;
	return rc < 0 ? error_wrap(err, "get %s", name) : 0;
}
