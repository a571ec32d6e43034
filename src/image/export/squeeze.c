/* SPDX-License-Identifier: Apache-2.0 */
#include "image/export/squeeze.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "image/export/deflate.h"
#include "store/pool.h"

#include <archive.h>
#include <archive_entry.h>
#include <string.h>
#include <zstd.h>

#define MEMBER ((size_t)1 << 20)
#define ZSTD_LEVEL 6

struct member {
	size_t in, out;
	uint8_t *raw, *packed;
};

struct squeeze {
	struct sink *to;
	int level;
	/* gz */
	struct pool *pool;
	struct member *members;
	size_t n, next;
	struct member *open; /* that is being filled */
	/* zst */
	ZSTD_CCtx *zstd;
	char *room;
	size_t cap;
	/* xz */
	struct archive *ar;
	struct archive_entry *entry;
	struct error **err; /* of the call that runs */
};

/* ---- gzip ---- */

static void *new_context(void *arg)
{
	return deflate_new(*(int *)arg);
}

static void free_context(void *ctx)
{
	deflate_free(ctx);
}

static void compress_member(void *ctx, void *task)
{
	struct member *m = task;

	m->out = deflate_gzip(ctx, m->raw, m->in, m->packed, deflate_bound(MEMBER));
}

static void open_gzip(struct squeeze *q)
{
	struct pool_ops ops = { new_context, free_context, compress_member, &q->level };

	q->n = pool_threads(0) * 2 + 2;
	q->members = xcalloc(q->n, sizeof(*q->members));
	for (size_t i = 0; i < q->n; i++) {
		q->members[i].raw = xmalloc(MEMBER);
		q->members[i].packed = xmalloc(deflate_bound(MEMBER));
	}
	q->pool = pool_new(0, q->n, &ops);
}

static int put_member(struct squeeze *q, struct error **err)
{
	struct member *m = pool_reap(q->pool);

	return sink_write(q->to, m->packed, m->out, err);
}

static int write_gzip(struct squeeze *q, const uint8_t *p, size_t n, struct error **err)
{
	while (n) {
		size_t part;

		if (!q->open) {
			if (pool_pending(q->pool) == q->n && put_member(q, err) < 0)
				return -1;
			q->open = &q->members[q->next++ % q->n];
			q->open->in = 0;
		}
		part = MEMBER - q->open->in < n ? MEMBER - q->open->in : n;
		memcpy(q->open->raw + q->open->in, p, part);
		q->open->in += part;
		p += part;
		n -= part;
		if (q->open->in == MEMBER)
			pool_submit(q->pool, STEAL(q->open));
	}
	return 0;
}

static int end_gzip(struct squeeze *q, struct error **err)
{
	/* Nothing at all is one empty member. */
	if (!q->next) {
		q->open = &q->members[q->next++];
		q->open->in = 0;
	}
	if (q->open) {
		if (pool_pending(q->pool) == q->n && put_member(q, err) < 0)
			return -1;
		pool_submit(q->pool, STEAL(q->open));
	}
	while (pool_pending(q->pool))
		if (put_member(q, err) < 0)
			return -1;
	return 0;
}

/* ---- zstd ---- */

static int write_zstd(struct squeeze *q, const void *p, size_t n, ZSTD_EndDirective how, struct error **err)
{
	ZSTD_inBuffer in = { p, n, 0 };
	size_t left;

	do {
		ZSTD_outBuffer out = { q->room, q->cap, 0 };

		left = ZSTD_compressStream2(q->zstd, &out, &in, how);
		if (ZSTD_isError(left))
			return error_set(err, ERR_FAILED, "%s: zstd: %s", q->to->what, ZSTD_getErrorName(left));
		if (sink_write(q->to, q->room, out.pos, err) < 0)
			return -1;
	} while (how == ZSTD_e_end ? left > 0 : in.pos < in.size);
	return 0;
}

static void open_zstd(struct squeeze *q)
{
	unsigned threads = pool_threads(0);

	q->zstd = ZSTD_createCCtx();
	ZSTD_CCtx_setParameter(q->zstd, ZSTD_c_compressionLevel, ZSTD_LEVEL);
	ZSTD_CCtx_setParameter(q->zstd, ZSTD_c_checksumFlag, 1);
	/* One worker at least: without any the blocks would be other ones. */
	ZSTD_CCtx_setParameter(q->zstd, ZSTD_c_nbWorkers, (int)(threads ? threads : 1));
	q->cap = ZSTD_CStreamOutSize();
	q->room = xmalloc(q->cap);
}

/* ---- xz ---- */

static la_ssize_t archive_out(struct archive *a, void *arg, const void *p, size_t n)
{
	struct squeeze *q = arg;

	return sink_write(q->to, p, n, q->err) < 0 ? -1 : (la_ssize_t)n;
}

static void open_xz(struct squeeze *q)
{
	q->ar = archive_write_new();
	archive_write_add_filter_xz(q->ar);
	archive_write_set_filter_option(q->ar, "xz", "threads", "0");
	archive_write_set_format_raw(q->ar);
	archive_write_set_bytes_per_block(q->ar, 0);
	q->entry = archive_entry_new();
	archive_entry_set_filetype(q->entry, AE_IFREG);
}

static int xz_failed(struct squeeze *q, struct error **err)
{
	return *err ? -1 : error_set(err, ERR_FAILED, "%s: xz: %s", q->to->what, archive_error_string(q->ar));
}

static int write_xz(struct squeeze *q, const void *p, size_t n, struct error **err)
{
	q->err = err;
	if (q->entry) {
		int rc = archive_write_open(q->ar, q, NULL, archive_out, NULL);

		if (rc == ARCHIVE_OK)
			rc = archive_write_header(q->ar, q->entry);
		archive_entry_free(STEAL(q->entry));
		if (rc != ARCHIVE_OK)
			return xz_failed(q, err);
	}
	return n && archive_write_data(q->ar, p, n) != (la_ssize_t)n ? xz_failed(q, err) : 0;
}

static int end_xz(struct squeeze *q, struct error **err)
{
	if (write_xz(q, "", 0, err) < 0)
		return -1;
	return archive_write_close(q->ar) == ARCHIVE_OK ? 0 : xz_failed(q, err);
}

/* ---- all ---- */

struct squeeze *squeeze_new(const char *kind, int level, struct sink *to)
{
	struct squeeze *q = xcalloc(1, sizeof(*q));

	q->to = to;
	q->level = level ? level : DEFLATE_LEVEL;
	if (!kind)
		return q;
	if (!strcmp(kind, "gz"))
		open_gzip(q);
	else if (!strcmp(kind, "zst"))
		open_zstd(q);
	else
		open_xz(q);
	return q;
}

int squeeze_write(struct squeeze *q, const void *p, size_t n, struct error **err)
{
	if (q->pool)
		return write_gzip(q, p, n, err);
	if (q->zstd)
		return write_zstd(q, p, n, ZSTD_e_continue, err);
	return q->ar ? write_xz(q, p, n, err) : sink_write(q->to, p, n, err);
}

int squeeze_end(struct squeeze *q, struct error **err)
{
	if (q->pool)
		return end_gzip(q, err);
	if (q->zstd)
		return write_zstd(q, NULL, 0, ZSTD_e_end, err);
	return q->ar ? end_xz(q, err) : 0;
}

void squeeze_free(struct squeeze *q)
{
	if (!q)
		return;
	pool_free(q->pool);
	for (size_t i = 0; q->members && i < q->n; i++) {
		free(q->members[i].raw);
		free(q->members[i].packed);
	}
	free(q->members);
	ZSTD_freeCCtx(q->zstd);
	free(q->room);
	if (q->entry)
		archive_entry_free(q->entry);
	if (q->ar) {
		struct error *late = NULL;

		q->err = &late;
		archive_write_free(q->ar);
		error_clear(&late);
	}
	free(q);
}
