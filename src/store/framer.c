/* SPDX-License-Identifier: Apache-2.0 */
#include "store/framer.h"
#include "store/internal.h"
#include "base/mem.h"

#include <stdlib.h>

struct framer {
	struct store *s;
	bool put;
	struct pool *pool;
	size_t depth;
};
struct packer {
	struct framer *f;
	struct block block;
	struct buf one, chunks;
};

static void *packer_new(void *arg)
{
	struct packer *k = xcalloc(1, sizeof(*k));

	k->f = arg;
	return k;
}

static void packer_free(void *ctx)
{
	struct packer *k = ctx;

	block_free(&k->block);
	buf_free(&k->one);
	buf_free(&k->chunks);
	free(k);
}

/* The table comes first; its entry for a chunk. */
static void note(const struct packer *k, struct frame *x, uint32_t i, uint32_t len)
{
	if (k->f->put)
		buf_add(&x->body, &(struct rec_chunk){ x->hashes[i], len }, sizeof(struct rec_chunk));
	else
		buf_add(&x->body, &len, sizeof(len));
}

static void run(void *ctx, void *task)
{
	struct packer *k = ctx;
	struct frame *x = task;

	buf_clear(&k->chunks);
	for (uint32_t i = 0; i < x->n; i++) {
		struct error *why = NULL;
		uint32_t len = WIRE_LACKS;

		/* A damaged one is as good as none for who asked; nor does a frame hold more than its limit. */
		if (k->chunks.len < WIRE_MAX / 2 && store_chunk_in(k->f->s, &x->hashes[i], &k->block, &k->one, &why) == 0) {
			len = (uint32_t)k->one.len;
			buf_add(&k->chunks, k->one.data, k->one.len);
		} else if (k->f->put) {
			x->err = why;
			return;
		}
		error_clear(&why);
		note(k, x, i, len);
	}
	x->bytes = k->chunks.len;
	wire_pack(&x->body, &k->chunks, WIRE_FAR, &x->err);
}

struct framer *framer_new(struct store *s, bool put)
{
	struct framer *f = xcalloc(1, sizeof(*f));
	unsigned n = pool_threads(0);
	struct pool_ops ops = { packer_new, packer_free, run, f };

	f->s = s;
	f->put = put;
	f->depth = n * 2 + 2;
	f->pool = pool_new(n, f->depth, &ops);
	return f;
}

bool framer_full(const struct framer *f)
{
	return pool_pending(f->pool) >= f->depth;
}

size_t framer_pending(const struct framer *f)
{
	return pool_pending(f->pool);
}

void framer_add(struct framer *f, const struct hash *list, uint32_t n)
{
	struct frame *x = xcalloc(1, sizeof(*x));

	x->hashes = xcalloc(n + 1, sizeof(*x->hashes));
	memcpy(x->hashes, list, n * sizeof(*list));
	x->n = n;
	pool_submit(f->pool, x);
}

struct frame *framer_next(struct framer *f)
{
	return pool_reap(f->pool);
}

void frame_free(struct frame *x)
{
	if (!x)
		return;
	error_clear(&x->err);
	buf_free(&x->body);
	free(x->hashes);
	free(x);
}

void framer_free(struct framer *f)
{
	if (!f)
		return;
	for (struct frame *x; (x = framer_next(f));)
		frame_free(x);
	pool_free(f->pool);
	free(f);
}
