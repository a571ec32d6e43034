/* SPDX-License-Identifier: Apache-2.0 */
/* What lies in the store as text or lists: names, nodes, lists of files, lists of parts. The first byte chooses. */
#include "scratch.h"
#include "store/internal.h"
#include "store/tree.h"

static void nodes(const uint8_t *p, size_t n)
{
	struct buf b = BUF_INIT;
	struct hash h = { { 0 } };
	struct error *e = NULL;

	buf_add(&b, p, n);
	if (node_check(&h, LEVELS + 1, &b, &e) == 0) {
		const struct node_head *head = (const struct node_head *)b.data;

		if (sizeof(*head) + head->count * sizeof(struct node_entry) != n)
			abort();
	}
	error_clear(&e);
	buf_free(&b);
}

static void files(const uint8_t *p, size_t n)
{
	struct tree_entry *t = malloc(sizeof(*t));
	struct error *e = NULL;
	size_t pos = 0;

	while (tree_next((const char *)p, n, &pos, t, &e) == 1) {
		const char *path = t->path;

		if (*path == '/' || !strncmp(path, "../", 3) || strstr(path, "/../") || strstr(path, "//") || !strcmp(path, ".."))
			abort();
	}
	error_clear(&e);
	free(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct store_ref r;

	if (!n)
		return 0;
	switch (p[0] % 3) {
	case 0:
		if (ref_parse((const char *)p + 1, n - 1, &r) == 0)
			store_ref_free(&r);
		break;
	case 1:
		nodes(p + 1, n - 1);
		break;
	case 2:
		files(p + 1, n - 1);
		break;
	}
	return 0;
}
