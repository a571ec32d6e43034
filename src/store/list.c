/* SPDX-License-Identifier: Apache-2.0 */
/* Objects: a tree of nodes over the chunks. Nodes end where a hash says so, so that a change moves few of them. */
#include "store/internal.h"
#include "base/cleanup.h"
#include "base/mem.h"

#include <stdlib.h>

#define NODE_CUT 1024 /* on average this many entries */
#define NODE_MIN 64

static int put_node(struct list *l, int level, struct hash *ret, struct error **err)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct node_head h = { NODE_MAGIC, (uint32_t)level, l->n[level], 0, l->bytes[level] };

	buf_add(&b, &h, sizeof(h));
	if (h.count)
		buf_add(&b, l->level[level], h.count * sizeof(struct node_entry));
	hash_bytes(b.data, b.len, ret);
	session_chunk(l->w, b.data, b.len);
	l->n[level] = 0;
	l->bytes[level] = 0;
	return 0;
}

static int add(struct list *l, int level, uint64_t len, const struct hash *h, struct error **err)
{
	struct node_entry *e;
	uint32_t cut;

	if (level == LEVELS)
		return error_set(err, ERR_FAILED, "the object is too large for a list of %d levels", LEVELS);
	if (!l->level[level])
		l->level[level] = xcalloc(NODE_MAX, sizeof(*e));
	e = l->level[level] + l->n[level];
	l->bytes[level] += len;
	if (hash_is_hole(h) && l->n[level] && hash_is_hole(&e[-1].hash)) {
		e[-1].len += len;
		return 0;
	}
	*e = (struct node_entry){ len, *h };
	memcpy(&cut, h->b, sizeof(cut));
	if (++l->n[level] == NODE_MAX || (l->n[level] >= NODE_MIN && !hash_is_hole(h) && cut % NODE_CUT == 0)) {
		uint64_t bytes = l->bytes[level];
		struct hash node;

		if (put_node(l, level, &node, err) < 0)
			return -1;
		return add(l, level + 1, bytes, &node, err);
	}
	return 0;
}

int list_add(struct list *l, uint64_t len, const struct hash *h, struct error **err)
{
	return len ? add(l, 0, len, h, err) : 0;
}

int list_finish(struct list *l, struct hash *root, struct error **err)
{
	int level = 0;

	for (;; level++) {
		bool above = false;
		uint64_t bytes;

		for (int i = level + 1; i < LEVELS; i++)
			above |= l->n[i] > 0;
		if (!above && level && l->n[level] == 1) {
			*root = l->level[level][0].hash;
			l->n[level] = 0;
			l->bytes[level] = 0;
			return 0;
		}
		if (!above)
			return put_node(l, level, root, err);
		bytes = l->bytes[level];
		if (l->n[level]) {
			struct hash node;

			if (put_node(l, level, &node, err) < 0 || add(l, level + 1, bytes, &node, err) < 0)
				return -1;
		}
	}
}

void list_free(struct list *l)
{
	for (int i = 0; i < LEVELS; i++)
		free(l->level[i]);
}

int node_check(const struct hash *h, int below, const struct buf *b, struct error **err)
{
	const struct node_head *n = (const struct node_head *)b->data;
	char hex[STORE_HASH * 2 + 1];
	bool set;

	set = b->len >= sizeof(*n) && n->level == LEVELS;
	if (b->len < sizeof(*n) || n->magic != NODE_MAGIC || n->count > NODE_MAX || n->level > LEVELS || (int)n->level >= below ||
		n->kind != (set ? NODE_SET : NODE_LIST) || b->len != sizeof(*n) + n->count * sizeof(struct node_entry)) {
		hash_hex(h, hex);
		error_set(err, ERR_FAILED, "%.16s... is no object", hex);
		return set ? error_hint(err, "it is a set of parts") : -1;
	}
	return 0;
}

int node_read(struct store *s, const struct hash *h, int below, struct buf *b, struct error **err)
{
	return store_chunk(s, h, b, err) < 0 ? -1 : node_check(h, below, b, err);
}

static int walk(struct store *s, const struct hash *h, uint64_t len, int below, walk_fn *fn, void *arg, struct error **err)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	const struct node_head *n;
	const struct node_entry *e;
	int rc;

	if (node_read(s, h, below, &b, err) < 0)
		return -1;
	n = (const struct node_head *)b.data;
	e = (const struct node_entry *)(n + 1);
	rc = fn(arg, h, n->bytes, (int)n->level, err);
	if (rc)
		return rc < 0 ? -1 : 0;
	for (uint32_t i = 0; i < n->count && rc == 0; i++)
		rc = n->level ? walk(s, &e[i].hash, e[i].len, (int)n->level, fn, arg, err)
			      : fn(arg, &e[i].hash, e[i].len, -1, err);
	return rc;
}

int store_walk(struct store *s, const struct hash *root, walk_fn *fn, void *arg, struct error **err)
{
	return walk(s, root, 0, LEVELS + 1, fn, arg, err);
}

int store_object_size(struct store *s, const struct hash *root, uint64_t *size, bool *set, struct error **err)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (node_read(s, root, LEVELS + 1, &b, err) < 0)
		return -1;
	*size = ((const struct node_head *)b.data)->bytes;
	*set = ((const struct node_head *)b.data)->kind == NODE_SET;
	return 0;
}
