/* SPDX-License-Identifier: Apache-2.0 */
#include "base/blake2b.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "words are loaded as they lie in memory");

#define BLOCK 128
/* A check of each word of each round would take compilers minutes, and shows nothing: no index depends on data. */
#define PLAIN __attribute__((no_sanitize("address", "undefined")))

static const uint64_t blake2b_iv[8] = {
	0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
	0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179,
};

/* Checks of every word in unrolled rounds take the compilers many minutes. */
#define UNCHECKED __attribute__((no_sanitize("address", "undefined")))

#define NAME many_1
#define LANES 1
#define TARGET UNCHECKED
#include "base/blake2b_lanes.h"

#ifdef __x86_64__
#define NAME many_4
#define LANES 4
#define TARGET UNCHECKED __attribute__((target("avx2")))
#include "base/blake2b_lanes.h"

#define NAME many_8
#define LANES 8
#define TARGET UNCHECKED __attribute__((target("avx512f,avx512vl")))
#include "base/blake2b_lanes.h"
#endif

typedef void many_fn(const struct blake2b_job *jobs, size_t n);

/* From slow to fast; those that this processor has come first. */
static many_fn *const ways[] = {
	many_1,
#ifdef __x86_64__
	many_4,
	many_8,
#endif
};

size_t blake2b_ways(void)
{
#ifdef __x86_64__
	if (!__builtin_cpu_supports("avx2"))
		return 1;
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") ? 3 : 2;
#else
	return 1;
#endif
}

void blake2b_many_by(size_t way, const struct blake2b_job *jobs, size_t n)
{
	ways[way](jobs, n);
}

static int by_len(const void *a, const void *b)
{
	const struct blake2b_job *x = a, *y = b;

	return x->len < y->len ? 1 : x->len > y->len ? -1 : 0;
}

/* The longest first, so that the lanes end at about the same time. */
void blake2b_many(struct blake2b_job *jobs, size_t n)
{
	if (n > 2)
		qsort(jobs, n, sizeof(*jobs), by_len);
	ways[n > 1 ? blake2b_ways() - 1 : 0](jobs, n);
}

void blake2b(const void *data, size_t len, uint8_t ret[BLAKE2B_LEN])
{
	many_1(&(struct blake2b_job){ data, len, ret }, 1);
}
