/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bundles: some files in one stream that may go through a pipe, checked when it arrives. docs/store-format.md has the layout: content is in
 * the records of packs, each chunk under its hash; each part and the whole end with a hash over all that they hold. Holes and
 * zeros are left out. All cores are used, memory is bounded. Who calls: export and import of machines.
 */
#ifndef CROFT_STORE_BUNDLE_H
#define CROFT_STORE_BUNDLE_H

#include "base/buf.h"
#include "base/error.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define BUNDLE_NAME_MAX 4096
#define BUNDLE_BYTES_MAX (16u << 20) /* of a part that is read into memory */

/* what: the stream, for errors. The fd stays the caller's. progress, or NULL: bytes of content that are done; the caller's thread. */
struct bundle_opts {
	const char *what;
	unsigned threads; /* 0: one for each core */
	void (*progress)(void *arg, uint64_t done);
	void *arg;
};

struct bundle_out;
struct bundle_out *bundle_create(int fd, const struct bundle_opts *o, struct error **err);
/* Names are relative paths; each once. */
int bundle_put_bytes(struct bundle_out *b, const char *name, const void *p, size_t n, struct error **err);
int bundle_put_file(struct bundle_out *b, const char *name, const char *path, struct error **err);
int bundle_finish(struct bundle_out *b, struct error **err);
void bundle_out_free(struct bundle_out *b);
static inline void bundle_out_freep(struct bundle_out **b)
{
	bundle_out_free(*b);
}
#define _cleanup_bundle_out_ __attribute__((cleanup(bundle_out_freep)))

struct bundle_part {
	char name[BUNDLE_NAME_MAX];
	uint64_t size;
	mode_t mode; /* permissions */
};
struct bundle_in;
struct bundle_in *bundle_open(int fd, const struct bundle_opts *o, struct error **err);
/*
 * The next part: 1. 0 at the end, when all was whole and nothing follows. What was got before is to be thrown away when this,
 * or one of the next two, fails. The name stays below the folder where it is put.
 */
int bundle_next(struct bundle_in *b, struct bundle_part *ret, struct error **err);
/* The part's content: one of these after each bundle_next. */
int bundle_get_bytes(struct bundle_in *b, struct buf *ret, struct error **err); /* appended */
int bundle_get_file(struct bundle_in *b, const char *path, struct error **err); /* a new one, on disk when it returns */
int bundle_skip(struct bundle_in *b, struct error **err);			 /* checked all the same */
void bundle_in_free(struct bundle_in *b);
static inline void bundle_in_freep(struct bundle_in **b)
{
	bundle_in_free(*b);
}
#define _cleanup_bundle_in_ __attribute__((cleanup(bundle_in_freep)))

#endif
