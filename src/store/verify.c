/* SPDX-License-Identifier: Apache-2.0 */
#include "store/internal.h"
#include "base/cleanup.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* A pack is one task. */
struct pack_job {
	uint64_t id, records, bytes, bad;
	uint64_t *bad_at;
	struct buf said; /* lines */
};
struct verify {
	struct store *s;
	void (*say)(void *arg, const char *line);
	void *arg;
	struct store_verify_result *ret;
	struct pack_job *jobs;
	size_t n;
};
struct checker {
	struct verify *v;
	struct block b;
};

static void *checker_new(void *arg)
{
	struct checker *c = xcalloc(1, sizeof(*c));

	c->v = arg;
	return c;
}

static void checker_free(void *ctx)
{
	struct checker *c = ctx;

	block_free(&c->b);
	free(c);
}

static void note(struct pack_job *j, uint64_t off, const char *msg)
{
	j->bad_at = xreallocarray(j->bad_at, j->bad + 1, sizeof(*j->bad_at));
	j->bad_at[j->bad++] = off;
	buf_addf(&j->said, "%s\n", msg);
}

static void check_hashes(struct checker *c, struct pack_job *j, const char *path)
{
	uint32_t inner = 0;
	struct hash is;

	for (uint32_t i = 0; i < c->b.nchunks; i++) {
		hash_bytes(c->b.raw + inner, c->b.table[i].len, &is);
		if (memcmp(&is, &c->b.table[i].hash, sizeof(is))) {
			_cleanup_free_ char *msg = xasprintf("%s: damaged at %u: chunk %u has another hash", path, c->b.off, i);

			note(j, c->b.off, msg);
			return;
		}
		inner += c->b.table[i].len;
	}
}

static int by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Where the index says that records of this pack begin: a damaged one hides none behind it. */
static size_t starts(struct verify *v, uint64_t id, uint64_t **ret)
{
	size_t n = 0, cap = 0, m = 0;

	*ret = NULL;
	for (size_t i = 0; i < v->s->nix; i++) {
		const struct index *ix = &v->s->ix[i];

		for (uint64_t k = 0; k < ix->head->count; k++) {
			if (ix->entries[k].pack >= ix->head->npacks || ix->packs[ix->entries[k].pack] != id)
				continue;
			if (n == cap)
				*ret = xreallocarray(*ret, cap = cap ? cap * 2 : 256, sizeof(**ret));
			(*ret)[n++] = ix->entries[k].off;
		}
	}
	if (n)
		qsort(*ret, n, sizeof(**ret), by_number);
	for (size_t i = 0; i < n; i++)
		if (!m || (*ret)[m - 1] != (*ret)[i])
			(*ret)[m++] = (*ret)[i];
	return m;
}

static void run(void *ctx, void *task)
{
	struct checker *c = ctx;
	struct pack_job *j = task;
	_cleanup_free_ char *path = pack_path(c->v->s->path, j->id);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	_cleanup_error_ struct error *why = NULL;
	_cleanup_free_ uint64_t *at = NULL;
	uint64_t off = sizeof(struct pack_head);
	size_t n, next = 0;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0) {
		if (errno != ENOENT)
			note(j, 0, path);
		return;
	}
	n = starts(c->v, j->id, &at);
	if (!n)
		return; /* of a writer that is at work */
	if (pack_check_head(fd, path, j->id, &why) < 0)
		note(j, 0, why->msg);
	while (off < (uint64_t)st.st_size) {
		error_clear(&why);
		if (block_read(&c->b, fd, path, j->id, (uint32_t)off, true, &why) == 0) {
			check_hashes(c, j, path);
			j->records++;
			j->bytes += c->b.size;
			off += c->b.size;
			continue;
		}
		note(j, off, why->msg);
		while (next < n && at[next] <= off)
			next++;
		if (next == n)
			return;
		off = at[next];
	}
	if (n && at[n - 1] >= (uint64_t)st.st_size)
		note(j, at[n - 1], "the pack is shorter than its index says");
}

static bool is_bad(const struct verify *v, const struct found *f)
{
	for (size_t i = 0; i < v->n; i++)
		for (uint64_t k = 0; v->jobs[i].id == f->pack && k < v->jobs[i].bad; k++)
			if (v->jobs[i].bad_at[k] == f->off)
				return true;
	return false;
}

static int visit(void *arg, const struct hash *h, uint64_t len, int level, struct error **err)
{
	struct verify *v = arg;
	struct found f;

	if (level < 0 && hash_is_hole(h))
		return 0;
	if (!store_find(v->s, h, &f) && store_find_again(v->s, h, &f, err) < 0)
		return -1;
	return is_bad(v, &f) ? error_set(err, ERR_FAILED, "part of it is damaged") : 0;
}

static int check_names(struct verify *v, struct error **err)
{
	_cleanup_free_ char *dir = store_sub(v->s, "refs");
	_cleanup_closedir_ DIR *d = opendir(dir);

	if (!d)
		return error_errno(err, errno, "%s", dir);
	for (struct dirent *e; (e = readdir(d));) {
		_cleanup_error_ struct error *why = NULL;
		struct hash root;

		if (e->d_name[0] == '.')
			continue;
		if (store_resolve(v->s, e->d_name, &root, &why) < 0 || store_walk(v->s, &root, visit, v, &why) < 0) {
			_cleanup_free_ char *line = xasprintf("name '%s': %s", e->d_name, why->msg);

			v->ret->bad_names++;
			v->say(v->arg, line);
		}
	}
	return 0;
}

static void check_indexes(struct verify *v)
{
	for (size_t i = 0; i < v->s->nix; i++)
		if (!index_check(&v->s->ix[i])) {
			_cleanup_free_ char *line = xasprintf("%s: damaged; remove it and croft makes it anew from the packs",
				v->s->ix[i].path);

			v->ret->bad++;
			v->say(v->arg, line);
		}
}

static void take(struct verify *v, struct pack_job *j)
{
	v->ret->records += j->records;
	v->ret->bytes += j->bytes;
	v->ret->bad += j->bad;
	for (char *line = j->said.data, *end; line && (end = strchr(line, '\n')); line = end + 1) {
		*end = '\0';
		v->say(v->arg, line);
	}
	buf_free(&j->said);
}

int store_verify(struct store *s, unsigned threads, void (*say)(void *arg, const char *line), void *arg,
	struct store_verify_result *ret, struct error **err)
{
	struct verify v = { s, say, arg, ret, NULL, 0 };
	struct pool_ops ops = { checker_new, checker_free, run, &v };
	struct pool *pool;
	int rc;

	*ret = (struct store_verify_result){ 0 };
	if (store_load(s, false, err) < 0)
		return -1;
	check_indexes(&v);
	for (size_t i = 0; i < s->nix; i++)
		v.n += s->ix[i].head->npacks;
	v.jobs = xcalloc(v.n + 1, sizeof(*v.jobs));
	v.n = 0;
	for (size_t i = 0; i < s->nix; i++)
		for (uint32_t k = 0; k < s->ix[i].head->npacks; k++)
			v.jobs[v.n++].id = s->ix[i].packs[k];
	pool = pool_new(threads, v.n + 1, &ops);
	for (size_t i = 0; i < v.n; i++)
		pool_submit(pool, &v.jobs[i]);
	for (struct pack_job *j; (j = pool_reap(pool));)
		take(&v, j);
	pool_free(pool);
	rc = check_names(&v, err);
	for (size_t i = 0; i < v.n; i++)
		free(v.jobs[i].bad_at);
	free(v.jobs);
	return rc;
}

int store_stats(struct store *s, struct store_stats *ret, struct error **err)
{
	struct store_ref *refs;
	size_t n;

	*ret = (struct store_stats){ .indexes = s->nix };
	for (size_t i = 0; i < s->nix; i++) {
		const struct index *ix = &s->ix[i];

		ret->chunks += ix->head->count;
		ret->packs += ix->head->npacks;
		ret->stored += ix->size;
		for (uint64_t k = 0; k < ix->head->count; k++)
			ret->raw += ix->entries[k].len;
		for (uint32_t k = 0; k < ix->head->npacks; k++) {
			_cleanup_free_ char *path = pack_path(s->path, ix->packs[k]);
			struct stat st;

			if (stat(path, &st) == 0)
				ret->stored += (uint64_t)st.st_size;
		}
	}
	if (store_list(s, &refs, &n, err) < 0)
		return -1;
	ret->names = n;
	for (size_t i = 0; i < n; i++) {
		ret->named += refs[i].size;
		store_ref_free(&refs[i]);
	}
	free(refs);
	return 0;
}
