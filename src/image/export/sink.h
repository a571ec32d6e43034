/* SPDX-License-Identifier: Apache-2.0 */
/* Where bytes go one after the other: a file or pipe; counted, and hashed when wanted. */
#ifndef CROFT_IMAGE_SINK_H
#define CROFT_IMAGE_SINK_H

#include "base/error.h"
#include "image/sha.h"
#include <stddef.h>
#include <stdint.h>

struct sink {
	int fd;
	const char *what; /* for messages */
	uint64_t pos;	  /* bytes written */
	struct sha *sha;  /* or NULL */
};
int sink_write(struct sink *k, const void *p, size_t n, struct error **err);
/* Zeros up to the next multiple of `unit`. */
int sink_pad(struct sink *k, size_t unit, struct error **err);

#endif
