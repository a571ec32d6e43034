/* SPDX-License-Identifier: Apache-2.0 */
/* Content-defined cuts: FastCDC (Xia et al., USENIX ATC 2016), normalised gear hash. */
#ifndef CROFT_STORE_CHUNKER_H
#define CROFT_STORE_CHUNKER_H

#include <stddef.h>
#include <stdint.h>

struct chunker {
	uint64_t gear[256];
	uint64_t mask_hard, mask_easy; /* before and after the average */
	uint32_t min, avg, max;
};
/* avg: a power of two; min is a quarter of it, max four times. */
void chunker_init(struct chunker *c, uint32_t avg);
/* Length of the first chunk of these n bytes; n when they hold no cut (n at most max). */
size_t chunker_cut(const struct chunker *c, const uint8_t *p, size_t n);

#endif
