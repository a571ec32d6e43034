/* SPDX-License-Identifier: Apache-2.0 */
#include "store/internal.h"
#include "base/cleanup.h"
#include "base/mem.h"

#include <stdlib.h>
#include <time.h>

#define PAGE 4096u
#define ZERO_RUN (16u << 10) /* zeros of at least this are a hole */

struct put {
	struct session w;
	struct source src;
	struct list list;
	const struct store_put_opts *o;
	struct store_put_result *ret;
	bool after_hole;
};

static bool page_is_zero(const uint8_t *p)
{
	uint64_t first;

	memcpy(&first, p, 8);
	return !first && !memcmp(p, p + 8, PAGE - 8);
}

/* The first run of zero pages in [from, len) that counts as a hole; `base` is where p[0] lies in the disk. */
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

static void add_hole(struct put *p, struct slab *b, uint64_t len)
{
	slab_add(b, 0, len, true);
	p->ret->holes += len;
}

/* Cuts [pos, end) into chunks; unless `last` it stops where the next cut may depend on what follows. */
static size_t cut(struct put *p, struct slab *b, size_t pos, size_t end, bool last)
{
	const struct chunker *c = &p->w.s->chunker;

	while (pos < end && (last || end - pos >= c->max)) {
		size_t n = chunker_cut(c, b->data + pos, end - pos);

		slab_add(b, (uint32_t)pos, n, false);
		p->ret->chunks++;
		pos += n;
	}
	return pos;
}

/* Items of a filled slab; returns where the rest starts that goes into the next one. */
static size_t itemise(struct put *p, struct slab *b, uint64_t base, bool last)
{
	size_t pos = 0, zs, ze;

	while (find_zeros(b->data, pos, b->len, base, p->after_hole, &zs, &ze)) {
		cut(p, b, pos, zs, true);
		add_hole(p, b, ze - zs);
		pos = ze;
		p->after_hole = true;
	}
	if (pos < b->len)
		p->after_hole = false;
	return cut(p, b, pos, b->len, last);
}

/* Reads the source to its end, a slab at a time. */
static int pump(struct put *p, struct error **err)
{
	uint8_t *carry = xmalloc(SLAB_DATA + p->w.s->chunker.max);
	size_t ncarry = 0, cap = SLAB_DATA + p->w.s->chunker.max, n, rest;
	uint64_t hole = 0, base = 0;
	bool end = false;
	int rc = 0;

	while (rc == 0 && !end) {
		struct slab *b = session_slab(&p->w, err);

		if (!b) {
			rc = -1;
			break;
		}
		b->listed = true;
		memcpy(b->data, carry, ncarry);
		b->len = ncarry;
		do {
			rc = source_read(&p->src, b->data + b->len, cap - b->len, &n, &hole, err);
			b->len += n;
		} while (rc == 0 && n && b->len < cap);
		end = rc == 0 && !n && !hole;
		rest = itemise(p, b, base, hole || end);
		base += rest + hole;
		ncarry = b->len - rest;
		memcpy(carry, b->data + rest, ncarry);
		if (hole) {
			add_hole(p, b, hole);
			p->after_hole = true;
			hole = 0;
		}
		if (session_submit(&p->w, b, err) < 0)
			rc = -1;
		if (p->o->progress)
			p->o->progress(p->o->arg, base);
	}
	p->ret->size = base;
	free(carry);
	return rc;
}

static int listed(void *arg, const struct slab_item *it, struct error **err)
{
	struct put *p = arg;

	return list_add(&p->list, it->len, &it->hash, err);
}

static int put_all(struct put *p, const char *name, struct error **err)
{
	struct store_ref r = { .name = (char *)name, .message = (char *)p->o->message, .time = time(NULL) };
	struct hash root;

	if (pump(p, err) < 0 || session_drain(&p->w, err) < 0 || list_finish(&p->list, &root, err) < 0 ||
		session_flush_meta(&p->w, err) < 0 || session_drain(&p->w, err) < 0 || session_seal(&p->w, err) < 0)
		return -1;
	hash_hex(&root, p->ret->object);
	p->ret->fresh = p->w.fresh;
	p->ret->stored = p->w.stored;
	memcpy(r.object, p->ret->object, sizeof(r.object));
	r.size = p->ret->size;
	r.stored = p->ret->stored;
	if (ref_write(p->w.s, &r, p->o->replace, err) < 0)
		return -1;
	store_merge_indexes(p->w.s);
	return 0;
}

int store_put(struct store *s, const char *name, const char *path, const struct store_put_opts *o,
	struct store_put_result *ret, struct error **err)
{
	struct put p = { .o = o, .ret = ret, .src.fd = -1 };
	int rc = -1;

	*ret = (struct store_put_result){ 0 };
	if (ref_check_new(s, name, o->replace, err) < 0)
		return -1;
	if (source_open(path, &p.src, err) == 0 && session_begin(&p.w, s, o->threads, o->level, err) == 0) {
		p.w.item = listed;
		p.w.arg = &p;
		p.list.w = &p.w;
		rc = put_all(&p, name, err);
	}
	if (p.w.s)
		session_end(&p.w);
	list_free(&p.list);
	source_close(&p.src);
	return rc < 0 ? error_wrap(err, "put %s", name) : 0;
}
