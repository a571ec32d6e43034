/* SPDX-License-Identifier: Apache-2.0 */
/* Workers unpack and check windows of the object; the owner's thread writes them in order. */
#include "store/internal.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define WINDOW (2u << 20)      /* bytes of a window, at most */
#define WINDOW_SOFT (512u << 10) /* from here on it ends where another record begins */
#define BLOCKS 4	       /* unpacked records that a worker keeps */

struct part {
	struct hash hash;
	struct found f;
	uint32_t at, len;
	bool same; /* the target has it */
};
struct window {
	uint64_t off; /* in the object */
	uint8_t *data;
	size_t len;
	struct part *parts;
	size_t n, cap;
	struct error *err;
};
struct get {
	struct store *s;
	const struct store_get_opts *o;
	struct pool *pool;
	struct window *cur, **idle;
	size_t nidle, depth;
	uint64_t off; /* of what the walk comes to next */
	int fd;
	const char *path;
	bool pipe;
};
struct reader {
	struct get *g;
	struct block blocks[BLOCKS];
	unsigned next;
};

static void *reader_new(void *arg)
{
	struct reader *r = xcalloc(1, sizeof(*r));

	r->g = arg;
	return r;
}

static void reader_free(void *ctx)
{
	struct reader *r = ctx;

	for (int i = 0; i < BLOCKS; i++)
		block_free(&r->blocks[i]);
	free(r);
}

static bool target_has(struct reader *r, struct window *w, struct part *p)
{
	uint8_t *at = w->data + p->at;
	struct hash is;

	if (pread(r->g->fd, at, p->len, (off_t)(w->off + p->at)) != (ssize_t)p->len)
		return false;
	hash_bytes(at, p->len, &is);
	return !memcmp(&is, &p->hash, sizeof(is));
}

static int fetch(struct reader *r, struct window *w, struct part *p)
{
	struct block *b = NULL;
	struct hash is;

	for (int i = 0; i < BLOCKS && !b; i++)
		if (r->blocks[i].valid && r->blocks[i].pack == p->f.pack && r->blocks[i].off == p->f.off)
			b = &r->blocks[i];
	if (!b)
		b = &r->blocks[r->next++ % BLOCKS];
	if (store_block(r->g->s, &p->hash, &p->f, b, &w->err) < 0)
		return -1;
	if (p->f.len == p->len)
		hash_bytes(b->raw + p->f.inner, p->len, &is);
	if (p->f.len != p->len || memcmp(&is, &p->hash, sizeof(is))) {
		error_set(&w->err, ERR_FAILED, "pack %016" PRIx64 ": the chunk at %u+%u is damaged", p->f.pack, p->f.off, p->f.inner);
		return error_hint(&w->err, "`croft store verify` tells what else is");
	}
	memcpy(w->data + p->at, b->raw + p->f.inner, p->len);
	return 0;
}

static void run(void *ctx, void *task)
{
	struct reader *r = ctx;
	struct window *w = task;

	for (size_t i = 0; i < w->n; i++) {
		struct part *p = &w->parts[i];

		p->same = r->g->o->update && target_has(r, w, p);
		if (!p->same && fetch(r, w, p) < 0)
			return;
	}
}

static void window_free(struct window *w)
{
	if (!w)
		return;
	error_clear(&w->err);
	free(w->data);
	free(w->parts);
	free(w);
}

static int write_at(struct get *g, const uint8_t *p, size_t n, uint64_t off, struct error **err)
{
	if (!g->pipe && lseek(g->fd, (off_t)off, SEEK_SET) < 0)
		return error_errno(err, errno, "%s: cannot go to %" PRIu64, g->path, off);
	return file_write_all(g->fd, p, n, g->path, err);
}

static int reap(struct get *g, struct error **err)
{
	struct window *w = pool_reap(g->pool);
	int rc = w->err ? error_move(err, &w->err) : 0;
	size_t i = 0;

	while (rc == 0 && i < w->n) { /* neighbours that are to be written go in one call */
		size_t k = i;

		while (k < w->n && !w->parts[k].same)
			k++;
		if (k > i) {
			struct part *a = &w->parts[i], *z = &w->parts[k - 1];

			rc = write_at(g, w->data + a->at, z->at + z->len - a->at, w->off + a->at, err);
		}
		i = k + 1;
	}
	if (rc == 0 && g->o->progress)
		g->o->progress(g->o->arg, w->off + w->len);
	w->n = w->len = 0;
	g->idle[g->nidle++] = w;
	return rc;
}

static int submit(struct get *g, struct error **err)
{
	if (!g->cur)
		return 0;
	while (pool_pending(g->pool) >= g->depth)
		if (reap(g, err) < 0)
			return -1;
	pool_submit(g->pool, STEAL(g->cur));
	return 0;
}

static int drain(struct get *g, struct error **err)
{
	while (pool_pending(g->pool))
		if (reap(g, err) < 0)
			return -1;
	return 0;
}

static int hole(struct get *g, uint64_t len, struct error **err)
{
	static const uint8_t zeros[65536];
	off_t data;

	if (submit(g, err) < 0)
		return -1;
	if (g->pipe) {
		if (drain(g, err) < 0)
			return -1;
		for (uint64_t n; len; len -= n) {
			n = len < sizeof(zeros) ? len : sizeof(zeros);
			if (file_write_all(g->fd, zeros, n, g->path, err) < 0)
				return -1;
		}
		return 0;
	}
	if (!g->o->update)
		return 0; /* ftruncate has made it */
	data = lseek(g->fd, (off_t)g->off, SEEK_DATA);
	if (data < 0 || (uint64_t)data >= g->off + len)
		return 0;
	if (fallocate(g->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)g->off, (off_t)len) == 0)
		return 0;
	for (uint64_t n, at = g->off; len; len -= n, at += n) {
		n = len < sizeof(zeros) ? len : sizeof(zeros);
		if (write_at(g, zeros, n, at, err) < 0)
			return -1;
	}
	return 0;
}

static int visit(void *arg, const struct hash *h, uint64_t len, int level, struct error **err)
{
	struct get *g = arg;
	struct part p = { .hash = *h, .len = (uint32_t)len };
	struct window *w = g->cur;

	if (level >= 0)
		return 0;
	if (hash_is_hole(h)) {
		if (hole(g, len, err) < 0)
			return -1;
		g->off += len;
		return 0;
	}
	if (len > RAW_MAX / 4)
		return error_set(err, ERR_FAILED, "a chunk of %" PRIu64 " bytes: the object is damaged", len);
	if (!store_find(g->s, h, &p.f) && store_find_again(g->s, h, &p.f, err) < 0)
		return -1;
	if (w && (w->len + len > WINDOW ||
			(w->len >= WINDOW_SOFT && (w->parts[w->n - 1].f.off != p.f.off || w->parts[w->n - 1].f.pack != p.f.pack)))) {
		if (submit(g, err) < 0)
			return -1;
		w = NULL;
	}
	if (!w) {
		if (!g->nidle && pool_pending(g->pool) >= g->depth && reap(g, err) < 0)
			return -1;
		w = g->cur = g->nidle ? g->idle[--g->nidle] : xcalloc(1, sizeof(*w));
		if (!w->data)
			w->data = xmalloc(WINDOW);
		w->off = g->off;
	}
	if (w->n == w->cap)
		w->parts = xreallocarray(w->parts, w->cap = w->cap ? w->cap * 2 : 64, sizeof(p));
	p.at = (uint32_t)w->len;
	w->parts[w->n++] = p;
	w->len += len;
	g->off += len;
	return 0;
}

static int get_all(struct get *g, const struct hash *root, uint64_t size, struct error **err)
{
	if (!g->pipe && ftruncate(g->fd, (off_t)size) < 0) {
		struct stat st;

		if (fstat(g->fd, &st) < 0 || !S_ISBLK(st.st_mode))
			return error_errno(err, errno, "%s: cannot set the size", g->path);
	}
	if (store_walk(g->s, root, visit, g, err) < 0 || submit(g, err) < 0 || drain(g, err) < 0)
		return -1;
	return g->pipe || !g->o->sync ? 0 : file_fsync(g->fd, g->path, err);
}

static int open_target(struct get *g, const char *path, struct error **err)
{
	g->path = path;
	if (!strcmp(path, "-")) {
		g->path = "standard output";
		g->pipe = true;
		g->fd = fcntl(1, F_DUPFD_CLOEXEC, 3);
	} else {
		g->fd = open(path, O_RDWR | O_CLOEXEC | (g->o->update ? 0 : O_CREAT | O_EXCL), 0644);
	}
	if (g->fd >= 0)
		return 0;
	error_errno(err, errno, "%s", g->path);
	return (*err)->code == EEXIST ? error_hint(err, "another path, or --update to write what differs") : -1;
}

int store_get(struct store *s, const char *name, const char *path, const struct store_get_opts *o, struct error **err)
{
	struct get g = { .s = s, .o = o, .fd = -1 };
	struct pool_ops ops = { reader_new, reader_free, run, &g };
	struct hash root;
	uint64_t size;
	int rc;

	if (o->update && !strcmp(path, "-"))
		return error_set(err, ERR_USAGE, "get %s: standard output cannot be updated", name);
	if (store_resolve(s, name, &root, err) < 0)
		return error_wrap(err, "get %s", name);
	if (store_object_size(s, &root, &size, err) < 0 || open_target(&g, path, err) < 0)
		return error_wrap(err, "get %s", name);
	g.depth = pool_threads(o->threads) * 2 + 2;
	g.idle = xcalloc(g.depth + 4, sizeof(*g.idle));
	g.pool = pool_new(o->threads, g.depth, &ops);
	rc = get_all(&g, &root, size, err);
	for (struct window *w; (w = pool_reap(g.pool));)
		window_free(w);
	pool_free(g.pool);
	window_free(g.cur);
	while (g.nidle)
		window_free(g.idle[--g.nidle]);
	free(g.idle);
	close(g.fd);
	if (rc < 0 && !g.pipe && !o->update)
		unlink(path);
	return rc < 0 ? error_wrap(err, "get %s", name) : 0;
}
