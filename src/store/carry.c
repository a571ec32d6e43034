/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chunks out of the packs of a store into those of a session (of another store, or what gc moves). A slab is for chunks of one record:
 * its worker reads and unpacks the record, checks each chunk against its hash, and when all of the record is wanted appends it as it
 * is, without compressing it again.
 */
#include "store/internal.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdlib.h>

static bool fits(const struct session *w, const struct slab *b, const struct found *f)
{
	const struct found *last = &b->wanted[b->n - 1].at;

	return b->n < REC_CHUNKS_MAX && last->pack == f->pack && last->off == f->off && b->raw + f->len <= SLAB_DATA + w->s->chunker.max;
}

static int submit(struct session *w, struct error **err)
{
	struct slab *b = w->carried;

	w->carried = NULL;
	return b ? session_submit(w, b, err) : 0;
}

int session_carry(struct session *w, struct store *from, const struct hash *h, const struct found *f, struct error **err)
{
	struct slab *b = w->carried;

	if (b && !fits(w, b, f)) {
		if (submit(w, err) < 0)
			return -1;
		b = NULL;
	}
	if (!b && !(b = w->carried = session_slab(w, err)))
		return -1;
	if (b->n == b->wanted_cap)
		b->wanted = xreallocarray(b->wanted, b->wanted_cap = b->wanted_cap ? b->wanted_cap * 2 : 32, sizeof(*b->wanted));
	b->from = from;
	b->wanted[b->n] = (struct wanted){ *h, *f };
	slab_add(b, 0, f->len, false);
	b->raw = b->n == 1 ? f->len : b->raw + f->len;
	return 0;
}

int session_carry_end(struct session *w, struct error **err)
{
	return submit(w, err) < 0 ? -1 : session_flush_meta(w, err);
}

int carry_load(const struct session *w, struct slab *b, struct block *block, bool *whole)
{
	uint64_t pack = 0;
	uint32_t off = 0;

	*whole = true;
	b->len = 0;
	for (size_t i = 0; i < b->n; i++) {
		struct wanted *x = &b->wanted[i];

		if (store_block(b->from, &x->hash, &x->at, block, &b->err) < 0)
			return -1;
		if (x->at.len > SLAB_DATA + w->s->chunker.max - b->len)
			return error_set(&b->err, ERR_FAILED, "pack %016" PRIx64 ": the chunk at %u+%u is larger than its index says", x->at.pack,
				x->at.off, x->at.inner);
		if (i && (pack != x->at.pack || off != x->at.off))
			*whole = false; /* gc has moved some of them meanwhile */
		pack = x->at.pack;
		off = x->at.off;
		memcpy(b->data + b->len, block->raw + x->at.inner, x->at.len);
		b->items[i].off = (uint32_t)b->len;
		b->items[i].len = x->at.len;
		b->len += x->at.len;
	}
	return 0;
}

int carry_check(struct slab *b)
{
	for (size_t i = 0; i < b->n; i++)
		if (memcmp(&b->items[i].hash, &b->wanted[i].hash, sizeof(struct hash))) {
			const struct found *f = &b->wanted[i].at;

			error_set(&b->err, ERR_FAILED, "pack %016" PRIx64 ": the chunk at %u+%u is damaged", f->pack, f->off, f->inner);
			return error_hint(&b->err, "`croft store verify --store %s` tells what else is", b->from->path);
		}
	return 0;
}
