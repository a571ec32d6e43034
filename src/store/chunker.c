/* SPDX-License-Identifier: Apache-2.0 */
#include "store/chunker.h"

/* splitmix64 (Steele, Lea, Flood 2014): the same table for ever, or chunks would not be found again. */
static uint64_t splitmix(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

void chunker_init(struct chunker *c, uint32_t avg)
{
	uint64_t state = 0x63726f6674; /* "croft" */
	int bits = __builtin_ctz(avg);

	for (int i = 0; i < 256; i++)
		c->gear[i] = splitmix(&state);
	c->min = avg / 4;
	c->avg = avg;
	c->max = avg * 4;
	/* The high bits of the gear hash depend on the most bytes. */
	c->mask_hard = ~0ull << (64 - bits - 1);
	c->mask_easy = ~0ull << (64 - bits + 1);
}

size_t chunker_cut(const struct chunker *c, const uint8_t *p, size_t n)
{
	size_t i = c->min, normal;
	uint64_t h = 0;

	if (n <= c->min)
		return n;
	if (n > c->max)
		n = c->max;
	normal = n < c->avg ? n : c->avg;
	for (; i < normal; i++) {
		h = (h << 1) + c->gear[p[i]];
		if (!(h & c->mask_hard))
			return i + 1;
	}
	for (; i < n; i++) {
		h = (h << 1) + c->gear[p[i]];
		if (!(h & c->mask_easy))
			return i + 1;
	}
	return n;
}
