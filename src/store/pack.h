/* SPDX-License-Identifier: Apache-2.0 */
/* Packs: records one after the other; a record is some chunks compressed together. */
#ifndef CROFT_STORE_PACK_H
#define CROFT_STORE_PACK_H

#include "base/buf.h"
#include "base/error.h"
#include "store/format.h"
#include <stdbool.h>
#include <sys/types.h>
#include <zstd.h>

/* A pack being written. Its flock says that the writer lives; whoever gets it may cut the pack back. */
struct pack_out {
	int fd;
	char *path;
	uint64_t id, len, flushed;
	struct idx_entry *entries;
	size_t n, cap;
};
int pack_create(const char *dir, mode_t mode, struct pack_out *p, struct error **err); /* mode: as file_write takes it */
int pack_append(struct pack_out *p, const char *record, size_t len, struct error **err);
void pack_note(struct pack_out *p, const struct rec_chunk *table, uint32_t n, uint32_t off);
void pack_out_release(struct pack_out *p); /* closes; the file stays */
char *pack_path(const char *store, uint64_t id);

/*
 * Head and payload of a record whose table is in its place behind the head already; its length. It is compressed when it pays: at least
 * 1/32 smaller. cap: at least head, table and ZSTD_compressBound(len).
 */
size_t record_make(ZSTD_CCtx *cctx, int level, const uint8_t *raw, uint32_t len, uint32_t nchunks, char *record, size_t cap);

struct block;
/* A record as it was loaded, payload and table in its order; its length. */
size_t record_again(const struct block *b, char *record);

/* A record in memory. Zeroed: empty. */
struct block {
	uint64_t pack;
	uint32_t off, rawlen, nchunks, size; /* size: on disk */
	uint32_t payload, flags;
	bool valid;
	struct rec_chunk *table;
	char *raw;
	char *stored; /* scratch */
	size_t table_cap, raw_cap, stored_cap;
	ZSTD_DCtx *dctx;
};
void block_free(struct block *b);
/* Reads the record at off and checks its table, with `sums` also its compressed bytes. */
int block_load(struct block *b, int fd, const char *path, uint64_t pack, uint32_t off, bool sums, struct error **err);
int block_unpack(struct block *b, const char *path, struct error **err); /* what was loaded; hashes are not checked here */
int block_read(struct block *b, int fd, const char *path, uint64_t pack, uint32_t off, bool sums, struct error **err); /* both */
/* A record that is in memory, checked by its sums and unpacked. path: for errors. */
int block_parse(struct block *b, const char *record, size_t len, const char *path, struct error **err);
/* Length on disk of the record at off, by its head alone. */
int pack_record_len(int fd, const char *path, uint64_t off, uint64_t *ret, struct error **err);
/* Where the next whole head of a record is, from `from` on; 0: nowhere. */
uint64_t pack_next_record(int fd, uint64_t from, uint64_t size);
int pack_check_head(int fd, const char *path, uint64_t id, struct error **err);

#endif
