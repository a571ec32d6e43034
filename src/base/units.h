/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers as people write them: sizes, durations, counts; and how they are printed. */
#ifndef CROFT_BASE_UNITS_H
#define CROFT_BASE_UNITS_H

#include "error.h"
#include <stddef.h>
#include <stdint.h>

/*
 * "512M", "1.5G", "10GB", "4096". K M G T P (and KiB ...) are powers of 1024, KB ..
 * powers of 1000, plain numbers bytes; upper or lower case. `what` names the parameter
 * in the message, which tells empty, negative, trailing garbage and too big apart.
 */
int parse_size(const char *what, const char *s, uint64_t *ret, struct error **err);
/* "10s", "250ms", "2m", "1h", "1.5s"; a plain number is seconds. Result in ms. */
int parse_duration(const char *what, const char *s, uint64_t *ret_ms, struct error **err);
int parse_u64(const char *what, const char *s, uint64_t min, uint64_t max, uint64_t *ret,
	struct error **err);
/* "1.5 GiB"; buf of at least 16 bytes; returns it. */
char *format_size(uint64_t n, char buf[16]);
/* Among n names the one nearest to s by edit distance, when near enough to be meant; else NULL. */
const char *nearest_name(const char *s, const char *const *names, size_t n);

#endif
