/* SPDX-License-Identifier: Apache-2.0 */
/* The layout of bundles, for both ends: docs/store-format.md. */
#ifndef CROFT_STORE_BUNDLEINT_H
#define CROFT_STORE_BUNDLEINT_H

#include "store/bundle.h"
#include "store/internal.h"

#define BUNDLE_MAGIC 0x314e4254464f5243ull /* "CROFTBN1" */
#define BUNDLE_BLOCK (1u << 20)		   /* bytes of content in a record */
#define BUNDLE_CHUNK (64u << 10)
#define BUNDLE_CHUNKS (BUNDLE_BLOCK / BUNDLE_CHUNK)
#define BUNDLE_RECORD_MAX (BUNDLE_BLOCK + 4096u)

enum bundle_type {
	BUNDLE_PART = 1, /* at: size of the part; aux: its mode; then its name */
	BUNDLE_DATA,	 /* at: where in the part; then a record */
	BUNDLE_PART_END, /* then the hash of the part */
	BUNDLE_END,	 /* then the hash of the whole */
};
struct bundle_head {
	uint32_t type, aux;
	uint64_t at, len; /* bytes behind the head */
	uint64_t sum;	  /* of the fields before */
};
_Static_assert(sizeof(struct bundle_head) == 32, "layout on disk");

/* The hash of a part so far, and of the whole so far: each is hashed together with what comes next. */
struct bundle_sums {
	struct hash part, whole;
};
static inline void bundle_chain(struct hash *h, const void *p, size_t n)
{
	uint8_t b[sizeof(*h) + BUNDLE_NAME_MAX + sizeof(struct bundle_head)];

	memcpy(b, h, sizeof(*h));
	memcpy(b + sizeof(*h), p, n);
	hash_bytes(b, sizeof(*h) + n, h);
}
/* A record's part in it: where it lies and the hashes of its chunks, so that what is compressed makes no difference. */
static inline void bundle_chain_record(struct hash *h, uint64_t at, const struct rec_chunk *table, uint32_t n)
{
	bundle_chain(h, &at, sizeof(at));
	bundle_chain(h, table, n * sizeof(*table));
}
/* A relative path that stays below the folder where it is put. */
bool bundle_name_ok(const char *name);

#endif
