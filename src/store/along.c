/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Putting along an earlier version of the same object. What is known not to have changed is taken from its list without being read.
 * Of the rest, the workers try whether the chunks are what they were, which needs no looking for cuts and no order. Where
 * that fails too often, cutting goes on without guesses for a while.
 */
#include "store/internal.h"
#include "base/mem.h"

#include <stdlib.h>

#define SEGS_MAX 2048
#define TRY_AFTER (32u << 20) /* bytes without guesses after wrong ones */
#define ENOUGH (4u << 20)     /* guessed bytes that allow a judgement */

struct along {
	struct put *p;
	struct cursor c;
	struct slab *b; /* being filled */
	uint64_t plain; /* [plain, plain_end): to be cut without guesses, not yet done */
	uint64_t plain_end;
	uint64_t no_guess; /* up to here none are made */
};

static int flush(struct along *a, struct error **err)
{
	struct slab *b = a->b;

	a->b = NULL;
	return b && session_submit(a->p->w, b, err) < 0 ? -1 : 0;
}

static int flush_plain(struct along *a, struct error **err)
{
	uint64_t from = a->plain, to = a->plain_end;

	a->plain = a->plain_end = 0;
	if (from == to)
		return 0;
	return flush(a, err) < 0 ? -1 : put_pump(a->p, from, to, err);
}

/* A slab with room for so many bytes more. */
static struct slab *room(struct along *a, size_t n, struct error **err)
{
	if (flush_plain(a, err) < 0)
		return NULL;
	if (a->b && (a->b->nsegs >= SEGS_MAX || a->b->nguesses >= SEGS_MAX || a->b->len >= a->p->w->room) && flush(a, err) < 0)
		return NULL;
	if (!a->b) {
		a->b = session_slab(a->p->w, err);
		if (!a->b)
			return NULL;
		a->b->listed = true;
		a->b->fd = a->p->src.fd;
	}
	return a->b;
}

static struct segment *new_segment(struct slab *b, int kind, uint64_t start, uint64_t len)
{
	if (b->nsegs == b->segs_cap)
		b->segs = xreallocarray(b->segs, b->segs_cap = b->segs_cap ? b->segs_cap * 2 : 32, sizeof(*b->segs));
	b->segs[b->nsegs] = (struct segment){ .kind = kind, .off = (uint32_t)b->len, .start = start, .len = len };
	return &b->segs[b->nsegs++];
}

static int add_hole(struct along *a, uint64_t start, uint64_t len, struct error **err)
{
	struct slab *b = room(a, 0, err);

	if (!b)
		return -1;
	if (b->nsegs && b->segs[b->nsegs - 1].kind == SEG_HOLE)
		b->segs[b->nsegs - 1].len += len;
	else
		new_segment(b, SEG_HOLE, start, len);
	return 0;
}

static int add_known(struct along *a, uint64_t start, const struct node_entry *e, struct error **err)
{
	struct slab *b = room(a, 0, err);

	if (!b)
		return -1;
	new_segment(b, SEG_KNOWN, start, e->len)->hash = e->hash;
	return 0;
}

static int add_data(struct along *a, uint64_t start, uint64_t len, uint64_t src, struct error **err)
{
	struct slab *b = room(a, (size_t)len, err);
	struct segment *last;

	if (!b)
		return -1;
	if (b->fd < 0) {
		session_slab_data(a->p->w, b);
		if (source_read_at(&a->p->src, b->data + b->len, (size_t)len, start, err) < 0)
			return -1;
	}
	last = b->nsegs ? &b->segs[b->nsegs - 1] : NULL;
	if (last && last->kind == SEG_DATA && last->start + last->len == start && last->src + last->len == src)
		last->len += len;
	else
		new_segment(b, SEG_DATA, start, len)->src = src;
	b->len += len;
	return 0;
}

/* Where an earlier chunk was: its data with a guess, unless there is a hole now. */
static int add_guess(struct along *a, uint64_t start, const struct node_entry *e, struct error **err)
{
	uint64_t done = 0, len, src;

	while (done < e->len) {
		bool data = source_at(&a->p->src, start + done, e->len - done, &len, &src);

		if ((data ? add_data(a, start + done, len, src, err) : add_hole(a, start + done, len, err)) < 0)
			return -1;
		if (data && len == e->len) {
			struct slab *b = a->b;

			if (b->nguesses == b->guesses_cap)
				b->guesses = xreallocarray(b->guesses, b->guesses_cap = b->guesses_cap ? b->guesses_cap * 2 : 32,
					sizeof(*b->guesses));
			b->guesses[b->nguesses++] = (struct guess){ (uint32_t)(b->len - len), (uint32_t)len, e->hash, false };
		}
		done += len;
	}
	return 0;
}

static void add_plain(struct along *a, uint64_t start, uint64_t len)
{
	if (a->plain == a->plain_end)
		a->plain = start;
	a->plain_end = start + len;
}

/* Are the guesses of late mostly wrong? */
static bool guesses_fail(struct put *p)
{
	bool fail = p->guessed >= ENOUGH && p->right < p->guessed / 2;

	if (p->guessed >= ENOUGH)
		p->guessed = p->right = 0;
	return fail;
}

static int along_entry(struct along *a, uint64_t off, const struct node_entry *e, bool trust, struct error **err)
{
	struct source *src = &a->p->src;
	bool is_hole = hash_is_hole(&e->hash), whole = off + e->len <= src->size;
	uint64_t len = whole ? e->len : src->size - off;

	if (trust && !source_changed(src, off, len)) {
		if (is_hole)
			return add_hole(a, off, len, err);
		/* The base may be an object that no name leads to, of which gc has taken parts: then it is read. */
		if (whole && store_has(a->p->w->s, &e->hash))
			return add_known(a, off, e, err);
	}
	if (guesses_fail(a->p))
		a->no_guess = off + TRY_AFTER;
	if (is_hole || !whole || off < a->no_guess || e->len > a->p->w->s->chunker.max) {
		add_plain(a, off, len);
		return 0;
	}
	return add_guess(a, off, e, err);
}

/* What lies behind the end of the base. */
static int behind(struct along *a, uint64_t off, bool trust, struct error **err)
{
	struct source *src = &a->p->src;

	for (size_t i = 0; trust && i < src->nchanged; i++) {
		uint64_t start = src->changed[i].start, end = start + src->changed[i].len;

		start = start < off ? off : start;
		if (end <= start)
			continue;
		if (start > off && add_hole(a, off, start - off, err) < 0)
			return -1;
		add_plain(a, start, end - start);
		off = end;
	}
	if (off >= src->size)
		return 0;
	if (trust)
		return add_hole(a, off, src->size - off, err);
	add_plain(a, off, src->size - off);
	return 0;
}

int put_along(struct put *p, const struct hash *base, bool trust, struct error **err)
{
	struct along a = { .p = p };
	struct node_entry e;
	uint64_t off = 0, end = 0;
	int rc = cursor_open(&a.c, p->w->s, base, 0, err);

	while (rc == 0 && end < p->src.size && (rc = cursor_next(&a.c, &e, &off, err)) == 1) {
		rc = along_entry(&a, off, &e, trust, err);
		end = off + e.len;
		if (p->o->progress)
			p->o->progress(p->o->arg, p->before + end);
	}
	if (rc == 0)
		rc = behind(&a, end, trust, err);
	if (rc == 0)
		rc = flush_plain(&a, err);
	if (rc == 0)
		rc = flush(&a, err);
	if (a.b) /* after an error */
		session_give_back(p->w, a.b);
	cursor_close(&a.c);
	return rc;
}
