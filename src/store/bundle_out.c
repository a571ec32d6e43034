/* SPDX-License-Identifier: Apache-2.0 */
/* The sending end. Workers read, hash and compress a block at a time; the caller's thread writes them in order. */
#include "store/bundleint.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/intr.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define LEVEL 2

struct out_block {
	int fd;
	const uint8_t *bytes; /* instead of fd */
	uint64_t at;
	uint32_t len;
	size_t record_len; /* 0: all zeros */
	struct error *err;
	uint8_t *raw;
	char *record;
};
struct bundle_out {
	int fd;
	struct bundle_opts o;
	struct pool *pool;
	struct out_block *blocks;
	size_t depth, used;
	struct bundle_sums sums;
	uint64_t done;
};

bool bundle_name_ok(const char *name)
{
	size_t n = strlen(name);

	if (!n || n >= BUNDLE_NAME_MAX || *name == '/')
		return false;
	for (const char *p = name; p; p = strchr(p, '/') ? strchr(p, '/') + 1 : NULL) {
		size_t len = strcspn(p, "/");

		if (!len || (len == 1 && *p == '.') || (len == 2 && p[0] == '.' && p[1] == '.'))
			return false;
	}
	return true;
}

static int read_block(struct out_block *k)
{
	for (size_t got = 0; got < k->len;) {
		ssize_t r = pread(k->fd, k->raw + got, k->len - got, (off_t)(k->at + got));

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return error_errno(&k->err, errno, "cannot read at %" PRIu64, k->at + got);
		if (r == 0)
			return error_set(&k->err, ERR_FAILED, "became shorter while it was read");
		got += (size_t)r;
	}
	return 0;
}

static void run(void *ctx, void *task)
{
	struct out_block *k = task;
	struct rec_chunk *table = (struct rec_chunk *)(k->record + sizeof(struct rec_head));
	struct blake2b_job jobs[BUNDLE_CHUNKS];
	struct hash hashes[BUNDLE_CHUNKS];
	uint32_t n = 0;

	k->record_len = 0;
	if (k->bytes)
		memcpy(k->raw, k->bytes, k->len);
	else if (read_block(k) < 0)
		return;
	if (!k->raw[0] && !memcmp(k->raw, k->raw + 1, k->len - 1))
		return;
	for (uint32_t off = 0; off < k->len; off += BUNDLE_CHUNK, n++) {
		jobs[n] = (struct blake2b_job){ k->raw + off, k->len - off < BUNDLE_CHUNK ? k->len - off : BUNDLE_CHUNK, hashes[n].b };
		table[n].len = (uint32_t)jobs[n].len;
	}
	blake2b_many(jobs, n);
	for (uint32_t i = 0; i < n; i++)
		table[i].hash = hashes[i];
	k->record_len = record_make(ctx, LEVEL, k->raw, k->len, n, k->record, BUNDLE_RECORD_MAX * 2);
}

static void *ctx_new(void *arg)
{
	return ZSTD_createCCtx();
}

static void ctx_free(void *ctx)
{
	ZSTD_freeCCtx(ctx);
}

static int send_frame(struct bundle_out *b, enum bundle_type type, uint32_t aux, uint64_t at, const void *p, size_t len, struct error **err)
{
	struct bundle_head h = { .type = type, .aux = aux, .at = at, .len = len };

	h.sum = sum64(&h, offsetof(struct bundle_head, sum));
	if (file_write_all(b->fd, &h, sizeof(h), b->o.what, err) < 0)
		return -1;
	return len ? file_write_all(b->fd, p, len, b->o.what, err) : 0;
}

struct bundle_out *bundle_create(int fd, const struct bundle_opts *o, struct error **err)
{
	static const uint64_t magic = BUNDLE_MAGIC;
	struct bundle_out *b;

	if (file_write_all(fd, &magic, sizeof(magic), o->what, err) < 0)
		return NULL;
	b = xcalloc(1, sizeof(*b));
	b->fd = fd;
	b->o = *o;
	b->depth = 2 * pool_threads(o->threads) + 2;
	b->blocks = xcalloc(b->depth, sizeof(*b->blocks));
	for (size_t i = 0; i < b->depth; i++) {
		b->blocks[i].raw = xmalloc(BUNDLE_BLOCK);
		b->blocks[i].record = xmalloc(BUNDLE_RECORD_MAX * 2);
	}
	b->pool = pool_new(o->threads, b->depth, &(struct pool_ops){ .ctx_new = ctx_new, .ctx_free = ctx_free, .run = run });
	return b;
}

static int reap(struct bundle_out *b, struct error **err)
{
	struct out_block *k = pool_reap(b->pool);

	if (k->err)
		return error_move(err, &k->err);
	b->done += k->len;
	if (b->o.progress)
		b->o.progress(b->o.arg, b->done);
	if (!k->record_len)
		return 0;
	bundle_chain_record(&b->sums.part, k->at, (struct rec_chunk *)(k->record + sizeof(struct rec_head)),
		((struct rec_head *)k->record)->nchunks);
	return send_frame(b, BUNDLE_DATA, 0, k->at, k->record, k->record_len, err);
}

static int reap_all(struct bundle_out *b, struct error **err)
{
	int rc = 0;

	while (pool_pending(b->pool)) {
		_cleanup_error_ struct error *e = NULL;

		if (reap(b, &e) < 0 && rc == 0)
			rc = error_move(err, &e);
	}
	return rc;
}

/* [at, end) of a file or of memory. */
static int put_range(struct bundle_out *b, int fd, const uint8_t *bytes, uint64_t at, uint64_t end, struct error **err)
{
	while (at < end) {
		struct out_block *k;

		if (intr_check(err) < 0 || (pool_pending(b->pool) == b->depth && reap(b, err) < 0))
			return -1;
		k = &b->blocks[b->used++ % b->depth];
		k->fd = fd;
		k->bytes = bytes ? bytes + at : NULL;
		k->at = at;
		/* Blocks begin at multiples of their size, whatever the holes are. */
		k->len = BUNDLE_BLOCK - (uint32_t)(at % BUNDLE_BLOCK);
		if (k->len > end - at)
			k->len = (uint32_t)(end - at);
		at += k->len;
		pool_submit(b->pool, k);
	}
	return 0;
}

static int begin_part(struct bundle_out *b, const char *name, uint64_t size, mode_t mode, struct error **err)
{
	struct bundle_head h = { .type = BUNDLE_PART, .aux = mode & 0777, .at = size, .len = strlen(name) };

	if (!bundle_name_ok(name))
		return error_set(err, ERR_USAGE, "%s: not a name of a part of a bundle", name);
	b->sums.part = (struct hash){ 0 };
	bundle_chain(&b->sums.part, &h, sizeof(h));
	bundle_chain(&b->sums.part, name, strlen(name));
	return send_frame(b, BUNDLE_PART, h.aux, size, name, strlen(name), err);
}

static int end_part(struct bundle_out *b, struct error **err)
{
	if (reap_all(b, err) < 0)
		return -1;
	bundle_chain(&b->sums.whole, &b->sums.part, sizeof(b->sums.part));
	return send_frame(b, BUNDLE_PART_END, 0, 0, &b->sums.part, sizeof(b->sums.part), err);
}

int bundle_put_bytes(struct bundle_out *b, const char *name, const void *p, size_t n, struct error **err)
{
	if (begin_part(b, name, n, 0600, err) < 0)
		return -1;
	if (put_range(b, -1, p, 0, n, err) < 0) {
		_cleanup_error_ struct error *e = NULL;

		reap_all(b, &e); /* nobody reads from p any more */
		return -1;
	}
	return end_part(b, err);
}

static int put_extents(struct bundle_out *b, int fd, uint64_t size, struct error **err)
{
	uint64_t at = 0;

	while (at < size) {
		off_t data = lseek(fd, (off_t)at, SEEK_DATA), hole;

		if (data < 0 && errno == ENXIO)
			return 0; /* a hole up to the end */
		if (data < 0)
			return put_range(b, fd, NULL, at, size, err); /* not known here: all is data */
		hole = lseek(fd, data, SEEK_HOLE);
		if (hole < 0)
			return error_errno(err, errno, "cannot look for holes");
		at = (uint64_t)hole < size ? (uint64_t)hole : size;
		if (put_range(b, fd, NULL, (uint64_t)data, at, err) < 0)
			return -1;
	}
	return 0;
}

int bundle_put_file(struct bundle_out *b, const char *name, const char *path, struct error **err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return error_errno(err, errno, "%s", path);
	if (!S_ISREG(st.st_mode))
		return error_set(err, ERR_STATE, "%s: is not a file", path);
	if (begin_part(b, name, (uint64_t)st.st_size, st.st_mode, err) < 0)
		return -1;
	if (put_extents(b, fd, (uint64_t)st.st_size, err) < 0) {
		_cleanup_error_ struct error *e = NULL;

		reap_all(b, &e); /* nobody reads from fd any more */
		return error_wrap(err, "%s", path);
	}
	return end_part(b, err) < 0 ? error_wrap(err, "%s", path) : 0;
}

int bundle_finish(struct bundle_out *b, struct error **err)
{
	return send_frame(b, BUNDLE_END, 0, 0, &b->sums.whole, sizeof(b->sums.whole), err);
}

void bundle_out_free(struct bundle_out *b)
{
	if (!b)
		return;
	pool_free(b->pool);
	for (size_t i = 0; i < b->depth; i++) {
		error_clear(&b->blocks[i].err);
		free(b->blocks[i].raw);
		free(b->blocks[i].record);
	}
	free(b->blocks);
	free(b);
}
