/* SPDX-License-Identifier: Apache-2.0 */
/* An index: where each chunk of some packs lies, sorted by hash, read through mmap. */
#ifndef CROFT_STORE_INDEX_H
#define CROFT_STORE_INDEX_H

#include "base/buf.h"
#include "base/error.h"
#include "store/format.h"
#include <stdbool.h>

struct index {
	char *path; /* NULL: only in memory */
	void *map;
	size_t size;
	bool mapped;
	const struct idx_head *head;
	const uint64_t *packs;
	const uint32_t *fan;
	const struct idx_entry *entries;
};
/* The bytes of an index over these entries (any order); frees nothing. */
void index_build(const struct idx_entry *e, size_t n, const uint64_t *packs, size_t npacks, struct buf *out);
/* Maps a file; checks its frame (torn or foreign: an error), not each byte: see index_check. */
int index_open(const char *path, struct index *ix, struct error **err);
void index_adopt(struct buf *b, struct index *ix); /* takes the buffer; of index_build */
void index_close(struct index *ix);
bool index_check(const struct index *ix); /* every byte is as it was written */
const struct idx_entry *index_find(const struct index *ix, const struct hash *h); /* NULL when absent */

#endif
