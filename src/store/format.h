/* SPDX-License-Identifier: Apache-2.0 */
/* What lies on disk: docs/store-format.md. Little-endian; fields are naturally aligned. */
#ifndef CROFT_STORE_FORMAT_H
#define CROFT_STORE_FORMAT_H

#include <stdint.h>
#include <stddef.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the store's files are little-endian");

#define PACK_MAGIC 0x314b505446524f43ull /* "CROFTPK1" */
#define REC_MAGIC 0x43455243u		 /* "CREC" */
#define IDX_MAGIC 0x3158495446524f43ull	 /* "CROFTIX1" */
#define NODE_MAGIC 0x314e5243u		 /* "CRN1" */

#define PACK_MAX (1ull << 30)	/* a pack that has reached this is sealed */
#define RAW_MAX (4u << 20)	/* uncompressed bytes of one record */
#define REC_CHUNKS_MAX 4096u

struct hash {
	uint8_t b[32];
};

struct pack_head {
	uint64_t magic, id, sum; /* sum of the fields before */
};
enum { REC_ZSTD = 1 };
struct rec_head {
	uint32_t magic, flags, raw, stored, nchunks, reserved;
	uint64_t table_sum, payload_sum, sum; /* the last: of the fields before */
};
struct rec_chunk {
	struct hash hash;
	uint32_t len;
};
struct idx_head {
	uint64_t magic;
	uint32_t bits, npacks; /* fan-out over the first `bits` bits of the hash */
	uint64_t count, size;
	uint64_t sum; /* of the fields before */
};
struct idx_entry {
	struct hash hash;
	uint32_t pack;	/* into the list of packs of this index */
	uint32_t off;	/* of the record in the pack */
	uint32_t inner; /* of the chunk in the uncompressed record */
	uint32_t len;
};
enum { NODE_LIST, NODE_SET };
struct node_head {
	uint32_t magic, level, count, kind;
	uint64_t bytes; /* sum of the lengths of the entries */
};
struct node_entry {
	uint64_t len;
	struct hash hash; /* all zero: a hole, at level 0 only */
};
_Static_assert(sizeof(struct rec_head) == 48 && sizeof(struct rec_chunk) == 36 && sizeof(struct idx_head) == 40 &&
		sizeof(struct idx_entry) == 48 && sizeof(struct node_head) == 24 && sizeof(struct node_entry) == 40,
	"layout on disk");

/*
 * Checksum against damage, not against intent: every step is a bijection of the
 * word that goes in, so one changed word is always seen. Four lanes for speed.
 */
static inline uint64_t sum64(const void *data, size_t n)
{
	const uint64_t k = 0x9e3779b97f4a7c15ull;
	const char *p = data;
	uint64_t lane[4] = { n + 1, n + 2, n + 3, n + 4 }, w, h;

	for (; n >= 32; n -= 32, p += 32)
		for (int i = 0; i < 4; i++) {
			memcpy(&w, p + 8 * i, 8);
			w = (lane[i] ^ w) * k;
			lane[i] = w << 29 | w >> 35;
		}
	for (; n; n -= n < 8 ? n : 8, p += 8) {
		w = 0;
		memcpy(&w, p, n < 8 ? n : 8);
		w = (lane[0] ^ w) * k;
		lane[0] = w << 29 | w >> 35;
	}
	h = lane[0];
	for (int i = 1; i < 4; i++) {
		h = (h ^ lane[i]) * k;
		h = h << 29 | h >> 35;
	}
	return h ^ h >> 32;
}

#endif
