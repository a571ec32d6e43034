/* SPDX-License-Identifier: Apache-2.0 */
/*
 * BLAKE2b with 32 bytes of result and no key (RFC 7693). Ours, since a library would cost every start of croft its loading,
 * and since no library hashes several messages side by side in the lanes of a vector register, which is several times as fast.
 */
#ifndef CROFT_BASE_BLAKE2B_H
#define CROFT_BASE_BLAKE2B_H

#include <stddef.h>
#include <stdint.h>

#define BLAKE2B_LEN 32

struct blake2b_job {
	const void *data;
	size_t len;
	uint8_t *ret; /* BLAKE2B_LEN bytes */
};
/* Hashes each on its own; the more and the longer they are, the better the lanes are used. Puts the jobs in another order. */
void blake2b_many(struct blake2b_job *jobs, size_t n);
void blake2b(const void *data, size_t len, uint8_t ret[BLAKE2B_LEN]);
/* For tests: the ways that this processor has; blake2b_many takes the last of them. */
size_t blake2b_ways(void);
void blake2b_many_by(size_t way, const struct blake2b_job *jobs, size_t n);

#endif
