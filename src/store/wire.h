/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two stores over a pair of pipes (ssh). The client asks, the server answers in order; WIRE_PUT alone has no answer, so that chunks
 * flow without waiting: what went wrong with it is the answer to the next question. docs/store-format.md has the table.
 */
#ifndef CROFT_STORE_WIRE_H
#define CROFT_STORE_WIRE_H

#include "base/buf.h"
#include "base/error.h"
#include "store/format.h"
#include <stdbool.h>

#define WIRE_VERSION 1
#define WIRE_MAX (16u << 20)   /* bytes of a frame behind its head */
#define WIRE_HASHES 4096u      /* in one frame */
#define WIRE_BATCH (1u << 20)  /* uncompressed bytes of chunks in one frame, about */
#define WIRE_LACKS UINT32_MAX  /* as the length of a chunk: the server does not have it */

enum wire_type {
	WIRE_HELLO = 1, /* n: version; flag write; path of the store, empty: the default */
	WIRE_OK,	/* answer; to HELLO with the largest chunk as n */
	WIRE_ERROR,	/* answer; n: class; text, NUL, hint */
	WIRE_LIST,	/* answered by WIRE_OK with JSON */
	WIRE_HAVE,	/* n hashes; answered by WIRE_OK with a byte each, 1: it is there */
	WIRE_GET,	/* n hashes; answered by WIRE_CHUNKS */
	WIRE_CHUNKS,	/* n lengths of chunks, then zstd of the chunks one after the other */
	WIRE_PUT,	/* n of (hash, length), then zstd */
	WIRE_REF,	/* JSON; a name for an object that is there in full; n: may replace */
};
struct wire_head {
	uint32_t type, n;
	uint64_t len;
};
struct wire {
	int in, out;
	const char *what; /* for errors: the other side */
};
int wire_send(const struct wire *w, enum wire_type type, uint32_t n, const void *p, size_t len, struct error **err);
/* At the end of the input: type 0 when `end` allows it, or else an error. */
int wire_recv(const struct wire *w, bool end, struct wire_head *h, struct buf *b, struct error **err);
/* An answer of this type; a WIRE_ERROR becomes the error. */
int wire_answer(const struct wire *w, enum wire_type type, struct wire_head *h, struct buf *b, struct error **err);

enum { WIRE_NEAR = -5, WIRE_FAR = 1 }; /* zstd's levels: for a pipe on this computer; for a line */
/* Chunks behind a table, compressed. */
int wire_pack(struct buf *frame, const struct buf *chunks, int level, struct error **err);
/* The chunks behind `table` bytes of the frame, exactly `want` of them, into out (replaced). */
int wire_unpack(const struct wire *w, const struct buf *frame, size_t table, uint64_t want, struct buf *out, struct error **err);
int wire_bad(const struct wire *w, const char *what, struct error **err);

#endif
