/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From bytes to items: runs of zeros are holes, what is between them is cut into chunks. Where an earlier version of the object
 * tells how it was cut, that is tried first: hashing is several times as fast as looking for cuts.
 */
#include "store/internal.h"
#include "base/mem.h"

#include <stdlib.h>

#define PAGE 4096u
#define ZERO_RUN (16u << 10) /* zeros of at least this are a hole */

static bool page_is_zero(const uint8_t *p)
{
	uint64_t first;

	memcpy(&first, p, 8);
	return !first && !memcmp(p, p + 8, PAGE - 8);
}

/* The first run of zero pages in [from, len) that counts as a hole; `base` is where p[0] lies in the object. */
static bool find_zeros(const uint8_t *p, size_t from, size_t len, uint64_t base, bool after_hole, size_t *zs, size_t *ze)
{
	size_t i = from + (size_t)(-(base + from) & (PAGE - 1)), start;

	for (; i + PAGE <= len; i += PAGE) {
		if (!page_is_zero(p + i))
			continue;
		start = i;
		while (i + PAGE <= len && page_is_zero(p + i))
			i += PAGE;
		if (i - start >= ZERO_RUN || (after_hole && start == from)) {
			*zs = start;
			*ze = i;
			return true;
		}
		if (i + PAGE > len)
			return false;
	}
	return false;
}

/* Cuts [pos, end) into chunks; unless `last` it stops where the next cut may depend on what follows. */
static size_t cut(const struct chunker *c, struct slab *b, size_t pos, size_t end, bool last)
{
	/* Zeros at the end may become a hole together with what follows; no chunk may reach into them. */
	while (pos < end && (last || end - pos >= c->max + ZERO_RUN)) {
		size_t n = chunker_cut(c, b->data + pos, end - pos);

		slab_add(b, (uint32_t)pos, n, false);
		pos += n;
	}
	return pos;
}

size_t itemise(const struct chunker *c, struct slab *b, uint64_t base, bool *after_hole, bool last)
{
	size_t pos = 0, zs, ze;

	while (find_zeros(b->data, pos, b->len, base, *after_hole, &zs, &ze)) {
		cut(c, b, pos, zs, true);
		slab_add(b, 0, ze - zs, true);
		pos = ze;
		*after_hole = true;
	}
	if (pos < b->len)
		*after_hole = false;
	return cut(c, b, pos, b->len, last);
}

/* As cut, with guesses; *g is the next of them. */
static void cut_guided(const struct chunker *c, struct slab *b, size_t pos, size_t end, size_t *g)
{
	while (pos < end) {
		const struct guess *q;
		size_t n;

		while (*g < b->nguesses && b->guesses[*g].off < pos)
			(*g)++;
		q = *g < b->nguesses && b->guesses[*g].off == pos ? &b->guesses[*g] : NULL;
		if (q && q->right && q->len <= end - pos) {
			slab_add(b, (uint32_t)pos, q->len, false);
			b->items[b->n - 1].hash = q->hash;
			b->items[b->n - 1].hashed = true;
			b->right += q->len;
			pos += q->len;
			continue;
		}
		n = chunker_cut(c, b->data + pos, end - pos);
		slab_add(b, (uint32_t)pos, n, false);
		if (q && q->len == n) { /* changed in the middle: it ends where it did */
			b->items[b->n - 1].hash = q->hash;
			b->items[b->n - 1].hashed = true;
		}
		pos += n;
	}
}

static void check_guesses(struct slab *b)
{
	struct blake2b_job *jobs = xcalloc(b->nguesses + 1, sizeof(*jobs));
	struct hash *is = xcalloc(b->nguesses + 1, sizeof(*is));

	for (size_t i = 0; i < b->nguesses; i++)
		jobs[i] = (struct blake2b_job){ b->data + b->guesses[i].off, b->guesses[i].len, is[i].b };
	blake2b_many(jobs, b->nguesses);
	for (size_t i = 0; i < b->nguesses; i++) {
		b->guesses[i].right = !memcmp(&is[i], &b->guesses[i].hash, sizeof(*is));
		b->guesses[i].hash = is[i];
	}
	free(jobs);
	free(is);
}

void itemise_segments(const struct chunker *c, struct slab *b)
{
	size_t g = 0;

	check_guesses(b);
	for (size_t i = 0; i < b->nsegs; i++) {
		const struct segment *s = &b->segs[i];
		size_t pos = s->off, end = s->off + (size_t)s->len, zs, ze;
		bool after_hole = i && b->segs[i - 1].kind == SEG_HOLE;

		if (s->kind != SEG_DATA) {
			slab_add(b, 0, s->len, s->kind == SEG_HOLE);
			b->items[b->n - 1].hash = s->hash;
			b->items[b->n - 1].known = s->kind == SEG_KNOWN;
			continue;
		}
		while (find_zeros(b->data, pos, end, s->start - s->off, after_hole, &zs, &ze)) {
			cut_guided(c, b, pos, zs, &g);
			slab_add(b, 0, ze - zs, true);
			pos = ze;
			after_hole = true;
		}
		cut_guided(c, b, pos, end, &g);
	}
}
