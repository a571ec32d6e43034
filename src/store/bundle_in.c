/* SPDX-License-Identifier: Apache-2.0 */
/* The receiving end. The caller's thread reads frames; workers unpack a record, check each chunk's hash, and write. */
#include "store/bundleint.h"
#include "base/cleanup.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/intr.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct in_block {
	int fd;	      /* where to; -1: nowhere */
	char *bytes;  /* or here */
	uint64_t at, size;
	size_t len;
	char record[BUNDLE_RECORD_MAX];
	struct error *err;
	struct rec_chunk table[BUNDLE_CHUNKS];
	uint32_t n, raw;
};
struct bundle_in {
	int fd;
	struct bundle_opts o;
	struct pool *pool;
	struct in_block *blocks;
	size_t depth, used;
	struct bundle_sums sums;
	struct bundle_part part;
	uint64_t end; /* what was got of the part: records are in order and do not overlap */
	uint64_t done;
	bool open; /* a part's content has not been got yet */
};

static int damaged(const struct bundle_in *b, const char *what, struct error **err)
{
	error_set(err, ERR_FAILED, "%s: it is damaged: %s", b->o.what, what);
	return error_hint(err, "nothing of it was kept; have it sent again");
}

/* The same from a worker: which stream it is comes later. */
static int bad(struct in_block *k, const char *what)
{
	return error_set(&k->err, ERR_FAILED, "%s", what);
}

static int write_block(struct in_block *k, const char *raw)
{
	if (k->bytes) {
		memcpy(k->bytes + k->at, raw, k->raw);
		return 0;
	}
	for (size_t done = 0; k->fd >= 0 && done < k->raw;) {
		ssize_t r = pwrite(k->fd, raw + done, k->raw - done, (off_t)(k->at + done));

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return error_errno(&k->err, errno, "cannot write at %" PRIu64, k->at);
		done += (size_t)r;
	}
	return 0;
}

static void run(void *ctx, void *task)
{
	struct in_block *k = task;
	struct block *b = ctx;
	struct blake2b_job jobs[BUNDLE_CHUNKS];
	struct hash is[BUNDLE_CHUNKS];
	_cleanup_error_ struct error *e = NULL;
	uint32_t off = 0;

	if (block_parse(b, k->record, k->len, "record", &e) < 0 || b->nchunks > BUNDLE_CHUNKS || b->rawlen > BUNDLE_BLOCK) {
		bad(k, e ? e->msg : "a record is too large");
		return;
	}
	k->n = b->nchunks;
	k->raw = b->rawlen;
	memcpy(k->table, b->table, k->n * sizeof(*k->table));
	for (uint32_t i = 0; i < k->n; off += k->table[i++].len)
		jobs[i] = (struct blake2b_job){ b->raw + off, k->table[i].len, is[i].b };
	blake2b_many(jobs, k->n);
	for (uint32_t i = 0; i < k->n; i++)
		if (memcmp(&is[i], &k->table[i].hash, sizeof(*is))) {
			bad(k, "a chunk is not what its hash says");
			return;
		}
	if (k->raw > k->size || k->at > k->size - k->raw)
		bad(k, "a record lies behind the end of its part");
	else
		write_block(k, b->raw);
}

static void *ctx_new(void *arg)
{
	return xcalloc(1, sizeof(struct block));
}

static void ctx_free(void *ctx)
{
	block_free(ctx);
	free(ctx);
}

/* n bytes; *end, when given: true when there was nothing any more. */
static int receive(struct bundle_in *b, void *p, size_t n, bool *end, struct error **err)
{
	for (size_t got = 0; got < n;) {
		ssize_t r = read(b->fd, (char *)p + got, n - got);

		if (intr_check(err) < 0)
			return -1;
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return error_errno(err, errno, "%s: cannot read", b->o.what);
		if (r == 0 && got == 0 && end) {
			*end = true;
			return 0;
		}
		if (r == 0)
			return damaged(b, "it ends in the middle", err);
		got += (size_t)r;
	}
	return 0;
}

static int receive_head(struct bundle_in *b, struct bundle_head *h, struct error **err)
{
	if (receive(b, h, sizeof(*h), NULL, err) < 0)
		return -1;
	return h->sum == sum64(h, offsetof(struct bundle_head, sum)) ? 0 : damaged(b, "the head of a frame", err);
}

struct bundle_in *bundle_open(int fd, const struct bundle_opts *o, struct error **err)
{
	struct bundle_in *b = xcalloc(1, sizeof(*b));
	uint64_t magic = 0;

	b->fd = fd;
	b->o = *o;
	b->depth = 2 * pool_threads(o->threads) + 2;
	if (receive(b, &magic, sizeof(magic), NULL, err) < 0 || magic != BUNDLE_MAGIC) {
		error_clear(err);
		error_set(err, ERR_USAGE, "%s: is no croft bundle", o->what);
		error_hint(err, "what `croft vm export` has written is one");
		free(b);
		return NULL;
	}
	b->blocks = xcalloc(b->depth, sizeof(*b->blocks));
	b->pool = pool_new(o->threads, b->depth, &(struct pool_ops){ .ctx_new = ctx_new, .ctx_free = ctx_free, .run = run });
	return b;
}

static int end_of_bundle(struct bundle_in *b, const struct bundle_head *h, struct error **err)
{
	struct hash sum;
	bool end = false;
	char more;

	if (h->len != sizeof(sum) || receive(b, &sum, sizeof(sum), NULL, err) < 0)
		return *err ? -1 : damaged(b, "its end", err);
	if (memcmp(&sum, &b->sums.whole, sizeof(sum)))
		return damaged(b, "the hash of the whole", err);
	if (receive(b, &more, 1, &end, err) < 0)
		return -1;
	return end ? 0 : damaged(b, "something follows its end", err);
}

int bundle_next(struct bundle_in *b, struct bundle_part *ret, struct error **err)
{
	struct bundle_head h, plain;

	if (b->open && bundle_skip(b, err) < 0)
		return -1;
	if (receive_head(b, &h, err) < 0)
		return -1;
	if (h.type == BUNDLE_END)
		return end_of_bundle(b, &h, err);
	if (h.type != BUNDLE_PART || h.len >= BUNDLE_NAME_MAX || h.at > INT64_MAX)
		return damaged(b, "another frame than expected", err);
	b->part = (struct bundle_part){ .size = h.at, .mode = h.aux & 0777 };
	if (receive(b, b->part.name, h.len, NULL, err) < 0)
		return -1;
	if (strlen(b->part.name) != h.len || !bundle_name_ok(b->part.name))
		return damaged(b, "the name of a part", err);
	plain = h;
	plain.sum = 0;
	b->sums.part = (struct hash){ 0 };
	bundle_chain(&b->sums.part, &plain, sizeof(plain));
	bundle_chain(&b->sums.part, b->part.name, h.len);
	b->end = 0;
	b->open = true;
	*ret = b->part;
	return 1;
}

static int reap(struct bundle_in *b, struct error **err)
{
	struct in_block *k = pool_reap(b->pool);

	if (k->err) {
		error_move(err, &k->err);
		error_wrap(err, "%s: %s", b->o.what, b->part.name);
		return (*err)->code ? -1 : error_hint(err, "it is damaged: nothing of it was kept; have it sent again");
	}
	if (k->at < b->end)
		return damaged(b, "records out of order", err);
	b->end = k->at + k->raw;
	b->done += k->raw;
	if (b->o.progress)
		b->o.progress(b->o.arg, b->done);
	bundle_chain_record(&b->sums.part, k->at, k->table, k->n);
	return 0;
}

static int take_record(struct bundle_in *b, const struct bundle_head *h, int fd, char *bytes, struct error **err)
{
	struct in_block *k;
	int f;

	if (h->len > BUNDLE_RECORD_MAX)
		return damaged(b, "a record is too large", err);
	if (fd >= 0 && (f = fault(FAULT_WRITE))) /* for the write of the worker, that tests can count on the order */
		return error_errno(err, f, "%s: cannot write at %" PRIu64, b->part.name, h->at);
	if (pool_pending(b->pool) == b->depth && reap(b, err) < 0)
		return -1;
	k = &b->blocks[b->used++ % b->depth];
	k->fd = fd;
	k->bytes = bytes;
	k->at = h->at;
	k->size = b->part.size;
	k->len = h->len;
	if (receive(b, k->record, h->len, NULL, err) < 0)
		return -1;
	pool_submit(b->pool, k);
	return 0;
}

static int end_of_part(struct bundle_in *b, const struct bundle_head *h, struct error **err)
{
	struct hash sum;

	if (h->type != BUNDLE_PART_END || h->len != sizeof(sum))
		return damaged(b, "another frame than expected", err);
	if (receive(b, &sum, sizeof(sum), NULL, err) < 0)
		return -1;
	while (pool_pending(b->pool))
		if (reap(b, err) < 0)
			return -1;
	if (memcmp(&sum, &b->sums.part, sizeof(sum)))
		return damaged(b, "the hash of a part", err);
	bundle_chain(&b->sums.whole, &sum, sizeof(sum));
	b->open = false;
	return 0;
}

static int get(struct bundle_in *b, int fd, char *bytes, struct error **err)
{
	struct bundle_head h;
	int rc;

	do
		rc = receive_head(b, &h, err);
	while (rc == 0 && h.type == BUNDLE_DATA && (rc = take_record(b, &h, fd, bytes, err)) == 0);
	if (rc == 0)
		rc = end_of_part(b, &h, err);
	while (pool_pending(b->pool)) { /* after an error: nobody writes to fd any more */
		struct in_block *k = pool_reap(b->pool);

		error_clear(&k->err);
	}
	return rc;
}

int bundle_get_bytes(struct bundle_in *b, struct buf *ret, struct error **err)
{
	size_t n = (size_t)b->part.size;
	char *p;

	if (b->part.size > BUNDLE_BYTES_MAX)
		return damaged(b, "a small part is large", err);
	p = buf_reserve(ret, n + 1);
	memset(p, 0, n + 1);
	if (get(b, -1, p, err) < 0)
		return -1;
	ret->len += n;
	return 0;
}

int bundle_get_file(struct bundle_in *b, const char *path, struct error **err)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return error_errno(err, errno, "%s", path);
	if (ftruncate(fd, (off_t)b->part.size) < 0)
		return error_errno(err, errno, "%s: cannot make it %" PRIu64 " bytes long", path, b->part.size);
	if (get(b, fd, NULL, err) < 0)
		return -1;
	if (fchmod(fd, b->part.mode) < 0)
		return error_errno(err, errno, "%s", path);
	return file_fsync(fd, path, err);
}

int bundle_skip(struct bundle_in *b, struct error **err)
{
	return get(b, -1, NULL, err);
}

void bundle_in_free(struct bundle_in *b)
{
	if (!b)
		return;
	pool_free(b->pool);
	for (size_t i = 0; i < b->depth; i++)
		error_clear(&b->blocks[i].err);
	free(b->blocks);
	free(b);
}
