/* SPDX-License-Identifier: Apache-2.0 */
#include "store/pack.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

/* Dirty pages are sent to the disk in steps of this size while the rest is still being made, so that little is left for the end. */
#define FLUSH_STEP (1u << 20)
#define SCAN (1u << 20)

char *pack_path(const char *store, uint64_t id)
{
	return xasprintf("%s/packs/%016" PRIx64 ".pack", store, id);
}

/* 1: gc took it for one that was left behind, before it was locked. */
static int create_once(const char *store, mode_t mode, struct pack_out *p, struct error **err)
{
	struct pack_head h = { .magic = PACK_MAGIC };
	_cleanup_free_ char *temp = NULL;

	*p = (struct pack_out){ .fd = -1 };
	if (getrandom(&h.id, sizeof(h.id), 0) != sizeof(h.id))
		return error_errno(err, errno, "cannot get random bytes for the name of a pack");
	h.sum = sum64(&h, offsetof(struct pack_head, sum));
	p->id = h.id;
	p->path = pack_path(store, h.id);
	/* It gets its name when it is locked: else somebody could take it for a dead writer's in between. */
	temp = xasprintf("%s.new", p->path);
	p->fd = file_make(temp, mode);
	if (p->fd < 0)
		return error_errno(err, errno, "%s: cannot make", temp);
	if (flock(p->fd, LOCK_EX) < 0 || rename(temp, p->path) < 0) {
		if (errno == ENOENT)
			return 1;
		error_errno(err, errno, "%s: cannot lock and name", temp);
		unlink(temp);
		return -1;
	}
	p->len = sizeof(h);
	return file_write_all(p->fd, &h, sizeof(h), p->path, err);
}

int pack_create(const char *store, mode_t mode, struct pack_out *p, struct error **err)
{
	int rc;

	while ((rc = create_once(store, mode, p, err)) > 0)
		pack_out_release(p);
	return rc;
}

void pack_note(struct pack_out *p, const struct rec_chunk *table, uint32_t n, uint32_t off)
{
	uint32_t inner = 0;

	if (p->n + n > p->cap) {
		p->cap = (p->n + n) * 2;
		p->entries = xreallocarray(p->entries, p->cap, sizeof(*p->entries));
	}
	for (uint32_t i = 0; i < n; i++) {
		p->entries[p->n++] = (struct idx_entry){ table[i].hash, 0, off, inner, table[i].len };
		inner += table[i].len;
	}
}

int pack_append(struct pack_out *p, const char *record, size_t len, struct error **err)
{
	const struct rec_head *h = (const struct rec_head *)record;

	if (file_write_all(p->fd, record, len, p->path, err) < 0)
		return -1;
	pack_note(p, (const struct rec_chunk *)(h + 1), h->nchunks, (uint32_t)p->len);
	p->len += len;
	if (p->len - p->flushed >= FLUSH_STEP) {
		sync_file_range(p->fd, (off_t)p->flushed, (off_t)(p->len - p->flushed), SYNC_FILE_RANGE_WRITE);
		p->flushed = p->len;
	}
	return 0;
}

void pack_out_release(struct pack_out *p)
{
	cleanup_close(&p->fd);
	free(p->path);
	free(p->entries);
	*p = (struct pack_out){ .fd = -1 };
}

size_t record_make(ZSTD_CCtx *cctx, int level, const uint8_t *raw, uint32_t len, uint32_t nchunks, char *record, size_t cap)
{
	struct rec_head *h = (struct rec_head *)record;
	size_t table_len = nchunks * sizeof(struct rec_chunk), n;
	char *payload = record + sizeof(*h) + table_len;

	n = ZSTD_compressCCtx(cctx, payload, cap - sizeof(*h) - table_len, raw, len, level);
	*h = (struct rec_head){ .magic = REC_MAGIC, .flags = REC_ZSTD, .raw = len, .nchunks = nchunks };
	if (ZSTD_isError(n) || n > len - len / 32) {
		memcpy(payload, raw, len);
		h->flags = 0;
		n = len;
	}
	h->stored = (uint32_t)n;
	h->table_sum = sum64(h + 1, table_len);
	h->payload_sum = sum64(payload, n);
	h->sum = sum64(h, offsetof(struct rec_head, sum));
	return sizeof(*h) + table_len + n;
}

size_t record_again(const struct block *b, char *record)
{
	struct rec_head *h = (struct rec_head *)record;
	size_t table_len = b->nchunks * sizeof(struct rec_chunk);
	char *payload = record + sizeof(*h) + table_len;

	memcpy(record + sizeof(*h), b->table, table_len);
	memcpy(payload, b->stored + table_len, b->payload);
	*h = (struct rec_head){ .magic = REC_MAGIC, .flags = b->flags, .raw = b->rawlen, .stored = b->payload, .nchunks = b->nchunks };
	h->table_sum = sum64(h + 1, table_len);
	h->payload_sum = sum64(payload, b->payload);
	h->sum = sum64(h, offsetof(struct rec_head, sum));
	return sizeof(*h) + table_len + b->payload;
}

void block_free(struct block *b)
{
	free(b->table);
	free(b->raw);
	free(b->stored);
	ZSTD_freeDCtx(b->dctx);
	*b = (struct block){ 0 };
}

static int read_at(int fd, void *p, size_t n, uint64_t off, const char *path, struct error **err)
{
	for (size_t got = 0; got < n;) {
		ssize_t r = pread(fd, (char *)p + got, n - got, (off_t)(off + got));

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return error_errno(err, errno, "%s: cannot read at %" PRIu64, path, off);
		if (r == 0)
			return error_set(err, ERR_FAILED, "%s: ends inside of the record at %" PRIu64, path, off);
		got += (size_t)r;
	}
	return 0;
}

static void *grow(void *p, size_t *cap, size_t n)
{
	if (n <= *cap)
		return p;
	free(p);
	*cap = n;
	return xmalloc(n);
}

static bool head_ok(const struct rec_head *h)
{
	return h->magic == REC_MAGIC && h->sum == sum64(h, offsetof(struct rec_head, sum)) && h->raw <= RAW_MAX &&
		h->stored <= RAW_MAX && h->nchunks && h->nchunks <= REC_CHUNKS_MAX &&
		((h->flags & REC_ZSTD) || h->stored == h->raw);
}

static int damaged(const char *path, uint32_t off, const char *what, struct error **err)
{
	return error_set(err, ERR_FAILED, "%s: damaged at %u: %s", path, off, what);
}

int block_unpack(struct block *b, const char *path, struct error **err)
{
	const char *payload = b->stored + b->nchunks * sizeof(struct rec_chunk);
	size_t n;

	b->raw = grow(b->raw, &b->raw_cap, b->rawlen + 1ul);
	if (!(b->flags & REC_ZSTD)) {
		memcpy(b->raw, payload, b->rawlen);
		b->valid = true;
		return 0;
	}
	if (!b->dctx)
		b->dctx = ZSTD_createDCtx();
	n = ZSTD_decompressDCtx(b->dctx, b->raw, b->rawlen, payload, b->payload);
	b->valid = !ZSTD_isError(n) && n == b->rawlen;
	return b->valid ? 0 : damaged(path, b->off, "it does not unpack", err);
}

static int read_head(int fd, const char *path, uint64_t off, struct rec_head *h, struct error **err)
{
	if (off > UINT32_MAX)
		return error_set(err, ERR_FAILED, "%s: is larger than a pack can be", path);
	if (read_at(fd, h, sizeof(*h), off, path, err) < 0)
		return -1;
	return head_ok(h) ? 0 : damaged(path, (uint32_t)off, "no record starts here", err);
}

/* b->stored holds table and payload of the record with this head. */
static int take_loaded(struct block *b, const struct rec_head *h, const char *path, bool sums, struct error **err)
{
	size_t table_len = h->nchunks * sizeof(struct rec_chunk);
	uint64_t sum = 0;

	b->table = grow(b->table, &b->table_cap, table_len);
	if (sum64(b->stored, table_len) != h->table_sum)
		return damaged(path, b->off, "the table of chunks", err);
	if (sums && sum64(b->stored + table_len, h->stored) != h->payload_sum)
		return damaged(path, b->off, "the compressed bytes", err);
	memcpy(b->table, b->stored, table_len);
	for (uint32_t i = 0; i < h->nchunks; i++)
		sum += b->table[i].len;
	if (sum != h->raw)
		return damaged(path, b->off, "the lengths of the chunks", err);
	b->rawlen = h->raw;
	b->payload = h->stored;
	b->flags = h->flags;
	b->nchunks = h->nchunks;
	b->size = (uint32_t)(sizeof(*h) + table_len + h->stored);
	return 0;
}

int block_load(struct block *b, int fd, const char *path, uint64_t pack, uint32_t off, bool sums, struct error **err)
{
	struct rec_head h;
	size_t len;

	b->valid = false;
	b->pack = pack;
	b->off = off;
	if (read_head(fd, path, off, &h, err) < 0)
		return -1;
	len = h.nchunks * sizeof(struct rec_chunk) + h.stored;
	b->stored = grow(b->stored, &b->stored_cap, len);
	if (read_at(fd, b->stored, len, off + sizeof(h), path, err) < 0)
		return -1;
	return take_loaded(b, &h, path, sums, err);
}

int block_read(struct block *b, int fd, const char *path, uint64_t pack, uint32_t off, bool sums, struct error **err)
{
	return block_load(b, fd, path, pack, off, sums, err) < 0 ? -1 : block_unpack(b, path, err);
}

static uint64_t record_len(const struct rec_head *h)
{
	return sizeof(*h) + h->nchunks * sizeof(struct rec_chunk) + h->stored;
}

int block_parse(struct block *b, const char *record, size_t len, const char *path, struct error **err)
{
	struct rec_head h;

	b->valid = false;
	b->pack = 0;
	b->off = 0;
	if (len < sizeof(h))
		return damaged(path, 0, "no record starts here", err);
	memcpy(&h, record, sizeof(h));
	if (!head_ok(&h) || record_len(&h) != len)
		return damaged(path, 0, "no record starts here", err);
	b->stored = grow(b->stored, &b->stored_cap, len - sizeof(h));
	memcpy(b->stored, record + sizeof(h), len - sizeof(h));
	return take_loaded(b, &h, path, true, err) < 0 ? -1 : block_unpack(b, path, err);
}

int pack_record_len(int fd, const char *path, uint64_t off, uint64_t *ret, struct error **err)
{
	struct rec_head h;

	if (read_head(fd, path, off, &h, err) < 0)
		return -1;
	*ret = record_len(&h);
	return 0;
}

uint64_t pack_next_record(int fd, uint64_t from, uint64_t size)
{
	static const uint32_t magic = REC_MAGIC;
	_cleanup_free_ char *p = xmalloc(SCAN);

	while (from + sizeof(struct rec_head) <= size) {
		ssize_t n = pread(fd, p, SCAN, (off_t)from);
		const char *at = p;

		if (n < (ssize_t)sizeof(struct rec_head))
			return 0;
		while ((at = memmem(at, (size_t)(p + n - at), &magic, sizeof(magic)))) {
			struct rec_head h;

			if (pread(fd, &h, sizeof(h), (off_t)(from + (size_t)(at - p))) == sizeof(h) && head_ok(&h))
				return from + (size_t)(at - p);
			at++;
		}
		from += (size_t)n - sizeof(magic) + 1;
	}
	return 0;
}

int pack_check_head(int fd, const char *path, uint64_t id, struct error **err)
{
	struct pack_head h;

	if (read_at(fd, &h, sizeof(h), 0, path, err) < 0)
		return -1;
	if (h.magic != PACK_MAGIC || h.id != id || h.sum != sum64(&h, offsetof(struct pack_head, sum)))
		return damaged(path, 0, "the head of the pack", err);
	return 0;
}
