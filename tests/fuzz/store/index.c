/* SPDX-License-Identifier: Apache-2.0 */
/* Indexes: any bytes behind a head whose sum is right; then look-ups. */
#include "scratch.h"
#include "store/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct error *e = NULL;
	struct index ix;
	uint8_t *copy = malloc(n + 1);
	char path[64];

	memcpy(copy, p, n);
	if (n >= sizeof(struct idx_head)) {
		struct idx_head h;

		memcpy(&h, copy, sizeof(h));
		h.magic = IDX_MAGIC;
		h.size = n;
		h.sum = sum64(&h, offsetof(struct idx_head, sum));
		memcpy(copy, &h, sizeof(h));
	}
	scratch(copy, n, path);
	if (index_open(path, &ix, &e) == 0) {
		struct hash h = { { 0 } };

		index_check(&ix);
		for (int i = 0; i < 256; i++) {
			const struct idx_entry *at;

			memset(&h, i, sizeof(h));
			at = index_find(&ix, &h);
			if (at && at->pack >= ix.head->npacks)
				abort();
		}
		for (size_t at = 0; at + sizeof(h) <= n; at += 48) {
			memcpy(&h, copy + at, sizeof(h));
			index_find(&ix, &h);
		}
		index_close(&ix);
	}
	error_clear(&e);
	free(copy);
	return 0;
}
