/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records of packs: any bytes; and the same behind sums that are right, so that what lies behind them is reached. The first byte
 * chooses.
 */
#include "scratch.h"
#include "store/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static struct block b;
	struct error *e = NULL;
	struct rec_head h;
	uint8_t *copy;
	char path[64];
	uint64_t len;
	int fd;

	if (n < 1 + sizeof(h))
		return 0;
	copy = malloc(n - 1);
	memcpy(copy, p + 1, n - 1);
	if (p[0] & 1) {
		size_t table, rest = n - 1 - sizeof(h);

		memcpy(&h, copy, sizeof(h));
		h.magic = REC_MAGIC;
		table = (size_t)h.nchunks * sizeof(struct rec_chunk);
		if (table <= rest) {
			h.table_sum = sum64(copy + sizeof(h), table);
			if (h.stored <= rest - table)
				h.payload_sum = sum64(copy + sizeof(h) + table, h.stored);
		}
		h.sum = sum64(&h, offsetof(struct rec_head, sum));
		memcpy(copy, &h, sizeof(h));
	}
	fd = scratch(copy, n - 1, path);
	if (block_read(&b, fd, path, 1, 0, true, &e) == 0 && b.size > n - 1)
		abort();
	error_clear(&e);
	if (pack_record_len(fd, path, 0, &len, &e) == 0 && !len)
		abort();
	error_clear(&e);
	if (pack_next_record(fd, 1, n - 1) >= n)
		abort();
	free(copy);
	return 0;
}
