/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packs are walked from record to record by their heads; workers check stretches of records. A stretch ends after STRETCH bytes,
 * so one large pack keeps all of them busy. When a head is damaged the index says where the next record begins.
 */
#include "store/internal.h"
#include "base/cleanup.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define STRETCH (8u << 20)

struct stretch {
	uint64_t pack;
	char *path;
	int fd;
	uint64_t *at; /* where records begin */
	size_t n;
	uint64_t bytes;
	struct bad_record *bad;
	size_t nbad;
	struct strv said;
};
struct verify {
	struct store *s;
	const struct store_verify_opts *o;
	struct store_verify_result *ret;
	struct pool *pool;
	size_t depth;
	struct bad_record *bad;
	size_t nbad;
};
struct checker {
	struct verify *v;
	struct block b;
	struct hash *is;
	struct blake2b_job *jobs;
	size_t cap;
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
	free(c->is);
	free(c->jobs);
	free(c);
}

static void add_bad(struct bad_record **list, size_t *n, uint64_t pack, uint64_t off)
{
	*list = xreallocarray(*list, *n + 1, sizeof(**list));
	(*list)[(*n)++] = (struct bad_record){ pack, off };
}

static void check_hashes(struct checker *c, struct stretch *j)
{
	uint32_t inner = 0, n = c->b.nchunks;

	if (c->cap < n) {
		c->cap = n;
		c->is = xreallocarray(c->is, n, sizeof(*c->is));
		c->jobs = xreallocarray(c->jobs, n, sizeof(*c->jobs));
	}
	for (uint32_t i = 0; i < n; i++) {
		c->jobs[i] = (struct blake2b_job){ c->b.raw + inner, c->b.table[i].len, c->is[i].b };
		inner += c->b.table[i].len;
	}
	blake2b_many(c->jobs, n);
	for (uint32_t i = 0; i < n; i++)
		if (memcmp(&c->is[i], &c->b.table[i].hash, sizeof(*c->is))) {
			add_bad(&j->bad, &j->nbad, j->pack, c->b.off);
			strv_addf(&j->said, "%s: damaged at %u: chunk %u has another hash", j->path, c->b.off, i);
			return;
		}
}

static void run(void *ctx, void *task)
{
	struct checker *c = ctx;
	struct stretch *j = task;
	_cleanup_error_ struct error *why = NULL;

	for (size_t i = 0; i < j->n; i++) {
		error_clear(&why);
		if (block_load(&c->b, j->fd, j->path, j->pack, (uint32_t)j->at[i], true, &why) < 0 ||
			(c->v->o->deep && block_unpack(&c->b, j->path, &why) < 0)) {
			add_bad(&j->bad, &j->nbad, j->pack, j->at[i]);
			strv_add(&j->said, why->msg);
			continue;
		}
		j->bytes += c->b.size;
		if (c->v->o->deep)
			check_hashes(c, j);
	}
}

static void reap(struct verify *v)
{
	struct stretch *j = pool_reap(v->pool);

	v->ret->records += j->n;
	v->ret->bytes += j->bytes;
	v->ret->bad += j->nbad;
	for (size_t i = 0; i < j->nbad; i++)
		add_bad(&v->bad, &v->nbad, j->bad[i].pack, j->bad[i].off);
	for (size_t i = 0; i < j->said.len; i++)
		v->o->say(v->o->arg, j->said.v[i]);
	if (v->o->progress)
		v->o->progress(v->o->arg, v->ret->bytes);
	strv_free(&j->said);
	free(j->bad);
	free(j->at);
	free(j->path);
	close(j->fd);
	free(j);
}

static int submit(struct verify *v, const char *path, uint64_t pack, int fd, uint64_t *at, size_t n)
{
	struct stretch *j = xcalloc(1, sizeof(*j));

	*j = (struct stretch){ .pack = pack, .path = xstrdup(path), .at = at, .n = n, .said = STRV_INIT };
	j->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	while (pool_pending(v->pool) >= v->depth)
		reap(v);
	pool_submit(v->pool, j);
	return 0;
}

static int by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Where the index says that records of this pack begin: a damaged one hides none behind it. */
static size_t starts(struct verify *v, uint64_t id, uint64_t **ret)
{
	size_t n = 0, cap = 0;

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
	return n;
}

/* The first start behind off; 0 when there is none. */
static uint64_t next_start(const uint64_t *at, size_t n, uint64_t off)
{
	for (size_t i = 0; i < n; i++)
		if (at[i] > off)
			return at[i];
	return 0;
}

static void say_bad(struct verify *v, uint64_t pack, uint64_t off, const char *line)
{
	add_bad(&v->bad, &v->nbad, pack, off);
	v->ret->bad++;
	v->o->say(v->o->arg, line);
}

/* Cuts the pack into stretches, from head to head. */
static void walk_pack(struct verify *v, uint64_t id, const char *path, int fd, uint64_t size)
{
	_cleanup_free_ uint64_t *known = NULL;
	uint64_t off = sizeof(struct pack_head), begin = off, *at = NULL;
	size_t n = 0, cap = 0, nknown = 0;

	while (off && off < size) {
		_cleanup_error_ struct error *why = NULL;
		uint64_t len = 0;

		if (pack_record_len(fd, path, off, &len, &why) == 0) {
			if (n == cap)
				at = xreallocarray(at, cap = cap ? cap * 2 : 32, sizeof(*at));
			at[n++] = off;
			off += len;
		} else {
			say_bad(v, id, off, why->msg);
			if (!known)
				nknown = starts(v, id, &known);
			off = next_start(known, nknown, off);
		}
		if (n && (off - begin >= STRETCH || off >= size || !off)) {
			submit(v, path, id, fd, STEAL(at), n);
			n = cap = 0;
			begin = off;
		}
	}
	if (n)
		submit(v, path, id, fd, at, n);
}

/* last: where the last record is that an index knows of. */
static void check_pack(struct verify *v, uint64_t id, uint32_t last)
{
	_cleanup_free_ char *path = pack_path(v->s->path, id);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	_cleanup_error_ struct error *why = NULL;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0) {
		if (errno != ENOENT) /* else gc has moved what was in it */
			say_bad(v, id, 0, path);
		return;
	}
	posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	if (pack_check_head(fd, path, id, &why) < 0)
		say_bad(v, id, 0, why->msg);
	walk_pack(v, id, path, fd, (uint64_t)st.st_size);
	if (last >= (uint64_t)st.st_size) {
		_cleanup_free_ char *line = xasprintf("%s: is shorter than its index says", path);

		say_bad(v, id, last, line);
	}
}

static void check_packs(struct verify *v, const struct index *ix)
{
	_cleanup_free_ uint32_t *last = xcalloc(ix->head->npacks + 1ul, sizeof(*last));

	for (uint64_t k = 0; k < ix->head->count; k++) {
		const struct idx_entry *e = &ix->entries[k];

		if (e->pack < ix->head->npacks && e->off > last[e->pack])
			last[e->pack] = e->off;
	}
	for (uint32_t k = 0; k < ix->head->npacks; k++)
		check_pack(v, ix->packs[k], last[k]);
}

static int by_place(const void *a, const void *b)
{
	const struct bad_record *x = a, *y = b;

	if (x->pack != y->pack)
		return x->pack < y->pack ? -1 : 1;
	return x->off < y->off ? -1 : x->off > y->off;
}

static int visit(void *arg, const struct hash *h, uint64_t len, int level, struct error **err)
{
	struct verify *v = arg;
	struct found f;

	if (level < 0 && hash_is_hole(h))
		return 0;
	if (!store_find(v->s, h, &f) && store_find_again(v->s, h, &f, err) < 0)
		return -1;
	if (v->nbad && bsearch(&(struct bad_record){ f.pack, f.off }, v->bad, v->nbad, sizeof(*v->bad), by_place))
		return error_set(err, ERR_FAILED, "part of it is damaged");
	return 0;
}

static int check_names(struct verify *v, struct error **err)
{
	_cleanup_strv_ struct strv names = STRV_INIT;

	if (ref_names(v->s, &names, err) < 0)
		return -1;
	for (size_t i = 0; i < names.len; i++) {
		_cleanup_error_ struct error *why = NULL;
		struct hash root;

		if (store_resolve(v->s, names.v[i], &root, &why) < 0 || store_walk(v->s, &root, visit, v, &why) < 0) {
			_cleanup_free_ char *line = xasprintf("name '%s': %s", names.v[i], why->msg);

			if (why->cls == ERR_NOT_FOUND && !ref_exists(v->s, names.v[i]))
				continue; /* removed meanwhile */
			v->ret->bad_names++;
			v->o->say(v->o->arg, line);
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
			v->o->say(v->o->arg, line);
		}
}

int verify_all(struct store *s, const struct store_verify_opts *o, struct bad_record **bad, size_t *nbad,
	struct store_verify_result *ret, struct error **err)
{
	struct verify v = { .s = s, .o = o, .ret = ret, .depth = pool_threads(o->threads) * 2 + 2 };
	struct pool_ops ops = { checker_new, checker_free, run, &v };
	int rc;

	*ret = (struct store_verify_result){ 0 };
	if (store_load(s, err) < 0)
		return -1;
	check_indexes(&v);
	v.pool = pool_new(o->threads, v.depth, &ops);
	for (size_t i = 0; i < s->nix; i++)
		check_packs(&v, &s->ix[i]);
	while (pool_pending(v.pool))
		reap(&v);
	pool_free(v.pool);
	if (v.nbad)
		qsort(v.bad, v.nbad, sizeof(*v.bad), by_place);
	rc = check_names(&v, err);
	*bad = v.bad;
	*nbad = v.nbad;
	return rc;
}

int store_verify(struct store *s, const struct store_verify_opts *o, struct store_verify_result *ret, struct error **err)
{
	_cleanup_free_ struct bad_record *bad = NULL;
	size_t nbad = 0;

	if (verify_all(s, o, &bad, &nbad, ret, err) < 0)
		return -1;
	return o->repair_from && (ret->bad || ret->bad_names) ? store_repair(s, o, bad, nbad, ret, err) : 0;
}
