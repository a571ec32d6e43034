/* SPDX-License-Identifier: Apache-2.0 */
/* The chunks and holes of an object one after the other, without holding more of its list than a node of each level. */
#include "store/internal.h"

int cursor_open(struct cursor *c, struct store *s, const struct hash *root, uint64_t start, struct error **err)
{
	*c = (struct cursor){ .s = s, .start = start };
	if (node_read(s, root, LEVELS, &c->at[0].b, err) < 0)
		return -1;
	c->depth = 1;
	return 0;
}

int cursor_next(struct cursor *c, struct node_entry *e, uint64_t *off, struct error **err)
{
	while (c->depth) {
		const struct node_head *n = (const struct node_head *)c->at[c->depth - 1].b.data;
		const struct node_entry *list = (const struct node_entry *)(n + 1);

		if (c->at[c->depth - 1].next == n->count) {
			c->depth--;
			continue;
		}
		*e = list[c->at[c->depth - 1].next++];
		if (c->off + e->len <= c->start) { /* seeking: not below this one */
			c->off += e->len;
			continue;
		}
		if (n->level == 0) {
			*off = c->off;
			c->off += e->len;
			return 1;
		}
		if (node_read(c->s, &e->hash, (int)n->level, &c->at[c->depth].b, err) < 0)
			return -1;
		c->at[c->depth++].next = 0;
	}
	return 0;
}

void cursor_close(struct cursor *c)
{
	for (int i = 0; i < LEVELS; i++)
		buf_free(&c->at[i].b);
	c->depth = 0;
}
