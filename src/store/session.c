/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way of bytes into a pack: the owner's thread fills slabs, workers hash,
 * look up and compress a slab at a time while it is in their cache, the owner's
 * thread writes the records in the order of the input.
 */
#include "store/internal.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define LEVEL_DEFAULT 2 /* with records of 1 MiB about what zstd -3 makes of the whole, for less time */

struct worker {
	struct session *w;
	ZSTD_CCtx *cctx;
	uint8_t *gather;
	uint8_t *data; /* of the slab that it fills itself: always the same memory, which stays in the cache */
	struct blake2b_job *jobs;
	size_t njobs;
	struct block block; /* of another store, or of what gc moves */
};

static uint64_t hash_word(const struct hash *h)
{
	uint64_t v;

	memcpy(&v, h->b + 8, 8);
	return v;
}

static void claims_grow(struct session *w)
{
	size_t old = w->claims_cap;
	struct hash *was = w->claims;

	w->claims_cap = old ? old * 2 : 4096;
	w->claims = xcalloc(w->claims_cap, sizeof(*w->claims));
	for (size_t i = 0; i < old; i++)
		if (!hash_is_hole(&was[i])) {
			size_t at = hash_word(&was[i]) & (w->claims_cap - 1);

			while (!hash_is_hole(&w->claims[at]))
				at = (at + 1) & (w->claims_cap - 1);
			w->claims[at] = was[i];
		}
	free(was);
}

static bool index_has(struct store *s, const struct hash *h)
{
	for (size_t i = s->nix; i--;) {
		const struct idx_entry *e = index_find(&s->ix[i], h);

		if (e && !store_is_condemned(s, s->ix[i].packs[e->pack]))
			return true;
	}
	return false;
}

/* True for the one who shall store this chunk. */
static bool claim(struct session *w, const struct hash *h)
{
	size_t at;
	bool mine = true;

	pthread_mutex_lock(&w->s->lock);
	if (index_has(w->s, h))
		mine = false;
	if (mine) {
		if (w->nclaims * 2 >= w->claims_cap)
			claims_grow(w);
		at = hash_word(h) & (w->claims_cap - 1);
		while (!hash_is_hole(&w->claims[at]) && mine) {
			mine = memcmp(&w->claims[at], h, sizeof(*h)) != 0;
			at = (at + 1) & (w->claims_cap - 1);
		}
		if (mine) {
			w->claims[at] = *h;
			w->nclaims++;
		}
	}
	pthread_mutex_unlock(&w->s->lock);
	return mine;
}

static size_t slab_room(const struct session *w)
{
	return w->room + w->s->chunker.max;
}

/* Memory that is written again and again: few faults, and one entry of the TLB for much of it. */
static void *large_pages(size_t n)
{
	const size_t page = 2u << 20;
	void *p;

	n = (n + page - 1) / page * page;
	if (posix_memalign(&p, page, n))
		return xmalloc(n);
	madvise(p, n, MADV_HUGEPAGE);
	return p;
}

static void *worker_new(void *arg)
{
	struct worker *k = xcalloc(1, sizeof(*k));

	k->w = arg;
	k->cctx = ZSTD_createCCtx();
	k->gather = xmalloc(slab_room(k->w));
	return k;
}

static void worker_free(void *ctx)
{
	struct worker *k = ctx;

	ZSTD_freeCCtx(k->cctx);
	block_free(&k->block);
	free(k->gather);
	free(k->data);
	free(k->jobs);
	free(k);
}

/* Hashes what has no hash yet, side by side. */
static void hash_items(struct worker *k, struct slab *b)
{
	size_t n = 0;

	if (k->njobs < b->n) {
		free(k->jobs);
		k->jobs = xcalloc(k->njobs = b->n, sizeof(*k->jobs));
	}
	for (size_t i = 0; i < b->n; i++)
		if (!b->items[i].hole && !b->items[i].hashed && !b->items[i].known)
			k->jobs[n++] = (struct blake2b_job){ b->data + b->items[i].off, b->items[i].len, b->items[i].hash.b };
	blake2b_many(k->jobs, n);
}

/* The chunks that the store does not have, in one piece; where that is. */
static const uint8_t *pick_fresh(struct worker *k, struct slab *b, struct rec_chunk *table)
{
	const uint8_t *first = NULL, *end = NULL;
	bool together = true;

	for (size_t i = 0; i < b->n; i++) {
		struct slab_item *it = &b->items[i];
		const uint8_t *p = b->data + it->off;

		if (it->hole || it->known || !claim(k->w, &it->hash))
			continue;
		if (first && together && p != end) {
			memcpy(k->gather, first, b->raw); /* the first gap: from here on into one piece */
			together = false;
		}
		if (!first)
			first = p;
		if (!together)
			memcpy(k->gather + b->raw, p, it->len);
		end = p + it->len;
		table[b->fresh++] = (struct rec_chunk){ it->hash, (uint32_t)it->len };
		b->raw += (uint32_t)it->len;
	}
	return together ? first : k->gather;
}

static int read_segments(struct slab *b)
{
	for (size_t i = 0; i < b->nsegs && b->fd >= 0; i++) {
		const struct segment *s = &b->segs[i];

		for (size_t got = 0; s->kind == SEG_DATA && got < s->len;) {
			ssize_t r = pread(b->fd, b->data + s->off + got, (size_t)s->len - got, (off_t)(s->src + got));

			if (r < 0 && errno == EINTR)
				continue;
			if (r < 0)
				return error_errno(&b->err, errno, "cannot read at %" PRIu64, s->start + got);
			if (r == 0) {
				error_set(&b->err, ERR_FAILED, "what is put became shorter while it was read");
				return error_hint(&b->err, "stop what writes to it, then try again");
			}
			got += (size_t)r;
		}
	}
	return 0;
}

static void run_slab(struct worker *k, struct slab *b)
{
	const uint8_t *raw;
	bool whole = false;
	size_t need;

	if (b->nsegs) {
		if (read_segments(b) < 0)
			return;
		itemise_segments(&k->w->s->chunker, b);
	}
	if (b->from && carry_load(k->w, b, &k->block, &whole) < 0)
		return;
	need = sizeof(struct rec_head) + b->n * sizeof(struct rec_chunk) + ZSTD_compressBound(b->len);
	if (b->record_cap < need) {
		free(b->record);
		b->record = xmalloc(b->record_cap = need);
	}
	hash_items(k, b);
	if (b->from && carry_check(b) < 0)
		return;
	raw = pick_fresh(k, b, (struct rec_chunk *)(b->record + sizeof(struct rec_head)));
	if (whole && b->fresh == k->block.nchunks && b->raw == k->block.rawlen)
		b->record_len = record_again(&k->block, b->record);
	else if (b->fresh)
		b->record_len = record_make(k->cctx, k->w->level, raw, b->raw, b->fresh, b->record, b->record_cap);
}

static void run(void *ctx, void *task)
{
	struct worker *k = ctx;
	struct slab *b = task;
	uint8_t *owners = b->data;

	b->fresh = b->raw = 0;
	b->record_len = 0;
	if (b->from || (b->nsegs && b->fd >= 0)) {
		if (!k->data)
			k->data = large_pages(slab_room(k->w));
		b->data = k->data;
	}
	run_slab(k, b);
	b->data = owners;
}

static int begin(struct session *w, struct store *s, unsigned threads, int level, struct error **err)
{
	struct pool_ops ops = { worker_new, worker_free, run, w };
	unsigned n = pool_threads(threads);

	w->s = s;
	w->level = level ? level : LEVEL_DEFAULT;
	w->pack.fd = -1;
	w->depth = n * 2 + 2;
	w->room = n <= ALONG_WORKERS ? RAW_MAX - s->chunker.max : SLAB_DATA;
	w->free_slabs = xcalloc(w->depth + 2, sizeof(*w->free_slabs));
	if (store_load(s, err) < 0)
		return -1;
	w->pool = pool_new(n, w->depth, &ops);
	return 0;
}

int session_begin(struct session *w, struct store *s, unsigned threads, int level, struct error **err)
{
	*w = (struct session){ .lock = -1, .s = s, .pack.fd = -1 };
	w->lock = gate_enter(s, err);
	if (w->lock < 0)
		return -1;
	return begin(w, s, threads, level, err);
}

int session_begin_locked(struct session *w, struct store *s, unsigned threads, struct error **err)
{
	struct pool_ops ops = { worker_new, worker_free, run, w };

	*w = (struct session){ .lock = -1, .s = s, .pack.fd = -1, .level = LEVEL_DEFAULT };
	w->depth = pool_threads(threads) * 2 + 2;
	w->room = SLAB_DATA;
	w->free_slabs = xcalloc(w->depth + 2, sizeof(*w->free_slabs));
	w->pool = pool_new(threads, w->depth, &ops);
	return 0;
}

static struct slab *slab_new(void)
{
	struct slab *b = xcalloc(1, sizeof(*b));

	b->fd = -1;
	return b;
}

void session_slab_data(const struct session *w, struct slab *b)
{
	if (!b->data)
		b->data = xmalloc(slab_room(w));
}

static void slab_free(struct slab *b)
{
	if (!b)
		return;
	error_clear(&b->err);
	free(b->segs);
	free(b->guesses);
	free(b->wanted);
	free(b->data);
	free(b->items);
	free(b->record);
	free(b);
}

void session_give_back(struct session *w, struct slab *b)
{
	b->len = b->n = b->nsegs = b->nguesses = 0;
	b->right = 0;
	b->fd = -1;
	b->from = NULL;
	b->listed = false;
	if (w->nfree < w->depth + 2)
		w->free_slabs[w->nfree++] = b;
	else
		slab_free(b);
}

static int write_record(struct session *w, struct slab *b, struct error **err)
{
	if (!b->fresh)
		return 0;
	if (w->pack.fd < 0 && pack_create(w->s->path, store_file_mode(w->s->path), &w->pack, err) < 0)
		return -1;
	if (pack_append(&w->pack, b->record, b->record_len, err) < 0)
		return -1;
	w->fresh += b->raw;
	w->fresh_chunks += b->fresh;
	w->stored += b->record_len;
	return 0;
}

/* Takes the oldest slab: its record to the pack, its items to whoever makes the list. */
static int reap(struct session *w, struct error **err)
{
	struct slab *b = pool_reap(w->pool);
	int rc = b->err ? error_move(err, &b->err) : write_record(w, b, err);

	if (b->listed && rc == 0)
		rc = w->listed(w->arg, b, err);
	session_give_back(w, b);
	return rc;
}

struct slab *session_slab(struct session *w, struct error **err)
{
	if (w->nfree == 0 && pool_pending(w->pool) >= w->depth && reap(w, err) < 0)
		return NULL;
	if (w->nfree)
		return w->free_slabs[--w->nfree];
	return slab_new();
}

void slab_add(struct slab *b, uint32_t off, uint64_t len, bool hole)
{
	if (b->n == b->cap) {
		b->cap = b->cap ? b->cap * 2 : 32;
		b->items = xreallocarray(b->items, b->cap, sizeof(*b->items));
	}
	b->items[b->n++] = (struct slab_item){ .len = len, .off = off, .hole = hole };
}

static int submit_one(struct session *w, struct slab *b, struct error **err)
{
	int rc = 0;

	while (rc == 0 && pool_pending(w->pool) >= w->depth)
		rc = reap(w, err);
	if (rc == 0 && w->pack.len >= PACK_MAX) {
		rc = session_drain(w, err);
		if (rc == 0)
			rc = session_seal(w, err);
	}
	if (rc < 0)
		slab_free(b);
	else
		pool_submit(w->pool, b);
	return rc;
}

/*
 * Nodes come up while a slab's items are being listed. They wait in metaq until
 * then: submitting there could reap the next slab in the middle of this one.
 */
static int submit_waiting(struct session *w, struct error **err)
{
	while (w->nmetaq) {
		struct slab *b = w->metaq[0];

		memmove(w->metaq, w->metaq + 1, --w->nmetaq * sizeof(struct slab *));
		if (submit_one(w, b, err) < 0)
			return -1;
	}
	return 0;
}

int session_submit(struct session *w, struct slab *b, struct error **err)
{
	return submit_one(w, b, err) < 0 ? -1 : submit_waiting(w, err);
}

static void meta_full(struct session *w)
{
	if (!w->meta)
		return;
	w->metaq = xreallocarray(w->metaq, w->nmetaq + 1, sizeof(struct slab *));
	w->metaq[w->nmetaq++] = STEAL(w->meta);
}

int session_flush_meta(struct session *w, struct error **err)
{
	meta_full(w);
	return submit_waiting(w, err);
}

void session_chunk(struct session *w, const void *p, size_t n)
{
	if (w->meta && (w->meta->len + n > SLAB_DATA || w->meta->n >= REC_CHUNKS_MAX - 1))
		meta_full(w);
	if (!w->meta)
		w->meta = slab_new();
	session_slab_data(w, w->meta);
	memcpy(w->meta->data + w->meta->len, p, n);
	slab_add(w->meta, (uint32_t)w->meta->len, n, false);
	w->meta->len += n;
}

int session_drain(struct session *w, struct error **err)
{
	while (pool_pending(w->pool))
		if (reap(w, err) < 0)
			return -1;
	return 0;
}

/* A pack and its name on disk, beside what else has to be written. */
struct sync {
	pthread_t thread;
	struct session *w;
	int dirfd;
	const char *dir;
	int rc;
	struct error *err;
};

static void *sync_pack(void *arg)
{
	struct sync *y = arg;

	y->rc = file_fsync(y->w->pack.fd, y->w->pack.path, &y->err);
	if (y->rc == 0)
		y->rc = file_fsync(y->dirfd, y->dir, &y->err);
	return NULL;
}

/* The pack and then its index are on disk: an index that came first could name what a power cut has taken. */
static int seal(struct session *w, int dirfd, const char *dir, char **path, struct error **err)
{
	struct sync y = { .w = w, .dirfd = dirfd, .dir = dir };
	_cleanup_free_ char *temp = NULL;
	bool beside = pthread_create(&y.thread, NULL, sync_pack, &y) == 0;
	int rc = store_stage_index(w->s, w->pack.entries, w->pack.n, &w->pack.id, 1, path, &temp, err);

	if (beside)
		pthread_join(y.thread, NULL);
	else
		sync_pack(&y);
	if (rc == 0 && y.rc < 0)
		rc = error_move(err, &y.err);
	error_clear(&y.err);
	if (rc == 0 && file_rename(temp, *path, err) == 0)
		return 0;
	if (temp)
		unlink(temp);
	return -1;
}

int session_seal(struct session *w, struct error **err)
{
	_cleanup_free_ char *path = NULL, *dir = store_sub(w->s, "packs/.");
	_cleanup_close_ int dirfd = -1;

	if (w->pack.fd < 0)
		return 0;
	dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dirfd < 0)
		return error_errno(err, errno, "%s", dir);
	if (seal(w, dirfd, dir, &path, err) < 0)
		return -1;
	w->sealed = xreallocarray(w->sealed, w->nsealed + 1, sizeof(*w->sealed));
	w->sealed[w->nsealed++] = w->pack.id;
	pack_out_release(&w->pack);
	pthread_mutex_lock(&w->s->lock);
	free(STEAL(w->claims));
	w->nclaims = w->claims_cap = 0;
	pthread_mutex_unlock(&w->s->lock);
	return store_add_index(w->s, path, err);
}

/* After an error: what was written whole stays usable, so that a second attempt goes on from here. */
static void keep_whole(struct session *w)
{
	_cleanup_error_ struct error *err = NULL;

	if (!w->pack.n)
		unlink(w->pack.path);
	else if (ftruncate(w->pack.fd, (off_t)w->pack.len) == 0)
		session_seal(w, &err);
	pack_out_release(&w->pack);
}

void session_end(struct session *w)
{
	for (struct slab *b; w->pool && (b = pool_reap(w->pool));)
		slab_free(b);
	pool_free(w->pool);
	if (w->pack.fd >= 0)
		keep_whole(w);
	slab_free(w->meta);
	slab_free(w->carried);
	for (size_t i = 0; i < w->nmetaq; i++)
		slab_free(w->metaq[i]);
	free(w->metaq);
	for (size_t i = 0; i < w->nfree; i++)
		slab_free(w->free_slabs[i]);
	free(w->free_slabs);
	free(w->claims);
	free(w->sealed);
	cleanup_close(&w->lock);
	*w = (struct session){ .lock = -1, .pack.fd = -1 };
}
