/* SPDX-License-Identifier: Apache-2.0 */
/* Frames with chunks for the other end of a copy, read, checked and compressed by all cores, in the order in which they were asked for. */
#ifndef CROFT_STORE_FRAMER_H
#define CROFT_STORE_FRAMER_H

#include "store/wire.h"

struct store;
struct framer;
struct frame {
	struct hash *hashes;
	uint32_t n;
	uint64_t bytes;	  /* of the chunks */
	struct buf body;  /* what goes behind the head of the frame */
	struct error *err;
};
/* put: frames for WIRE_PUT, in which every chunk must be there; else for WIRE_CHUNKS, where one that is not there is WIRE_LACKS. */
struct framer *framer_new(struct store *s, bool put);
bool framer_full(const struct framer *f);
size_t framer_pending(const struct framer *f);
void framer_add(struct framer *f, const struct hash *list, uint32_t n); /* not when it is full */
/* The oldest, waited for; NULL when none is pending. The caller gives it back. */
struct frame *framer_next(struct framer *f);
void frame_free(struct frame *x);
void framer_free(struct framer *f); /* NULL is allowed */

#endif
