/* SPDX-License-Identifier: Apache-2.0 */
#include "store/internal.h"
#include "store/listing.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/intr.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEADER_MAX 4096
#define MERGE_AT 16

char *store_sub(const struct store *s, const char *sub)
{
	return path_join(s->path, sub);
}

int store_create(const char *path, uint32_t avg, struct error **err)
{
	_cleanup_free_ char *header = path_join(path, "header.json");

	avg = avg ? avg : STORE_CHUNK_AVG;
	if (avg < 4096 || avg > 256u << 10 || (avg & (avg - 1)))
		return error_set(err, ERR_USAGE, "store %s: chunk size %u is no power of two between 4K and 256K", path, avg);
	if (file_exists(header))
		return error_set(err, ERR_STATE, "store %s: exists already", path);
	if (store_make_dirs(path, err) < 0)
		return -1;
	return file_writef(header, store_file_mode(path), err, "{\"croft-store\": 1, \"hash\": \"blake2b-256\", \"chunk\": %u}\n", avg);
}

static int read_header(struct store *s, struct error **err)
{
	_cleanup_free_ char *path = store_sub(s, "header.json");
	_cleanup_buf_ struct buf b = BUF_INIT;
	json_error_t je;
	json_t *j;
	int version = 0, avg = 0, rc = 0;
	const char *hash = "";

	if (access(path, F_OK) < 0) {
		if (errno != ENOENT && errno != ENOTDIR)
			return error_errno(err, errno, "%s", s->path);
		error_set(err, ERR_NOT_FOUND, "%s: no store is here", s->path);
		return error_hint(err, "`croft store put` makes one");
	}
	if (file_read(path, HEADER_MAX, &b, err) < 0)
		return -1;
	j = json_loadb(b.data, b.len, 0, &je);
	if (!j || json_unpack(j, "{s:i, s:s, s:i}", "croft-store", &version, "hash", &hash, "chunk", &avg) < 0)
		rc = error_set(err, ERR_FAILED, "%s: not the header of a store", path);
	else if (version != 1 || strcmp(hash, "blake2b-256") || avg < 4096 || avg > 256 << 10 || (avg & (avg - 1)))
		rc = error_set(err, ERR_FAILED, "%s: version %d with hash %s and chunks of %d: this croft knows version 1 with blake2b-256", path,
			version, hash, avg);
	else
		chunker_init(&s->chunker, (uint32_t)avg);
	json_decref(j);
	return rc;
}

struct store *store_open(const char *path, struct error **err)
{
	_cleanup_store_ struct store *s = xcalloc(1, sizeof(*s));

	s->path = path_absolute(path);
	pthread_mutex_init(&s->lock, NULL);
	pthread_mutex_init(&s->reload, NULL);
	if (read_header(s, err) < 0 || store_load(s, err) < 0)
		return NULL;
	return STEAL(s);
}

static void drop_indexes(struct store *s)
{
	for (size_t i = 0; i < s->nix; i++)
		index_close(&s->ix[i]);
	free(s->ix);
	s->ix = NULL;
	s->nix = 0;
	for (size_t i = 0; i < s->nfds; i++)
		close(s->fds[i].fd);
	s->nfds = 0;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	drop_indexes(s);
	block_free(&s->node);
	pthread_mutex_destroy(&s->lock);
	pthread_mutex_destroy(&s->reload);
	free(s->condemned);
	free(s->path);
	free(s);
}

int store_stage_index(struct store *s, const struct idx_entry *e, size_t n, const uint64_t *packs, size_t npacks,
	char **path, char **temp, struct error **err)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	uint64_t id;

	if (getrandom(&id, sizeof(id), 0) != sizeof(id))
		return error_errno(err, errno, "cannot get random bytes for the name of an index");
	*path = xasprintf("%s/index/%016" PRIx64 ".idx", s->path, id);
	index_build(e, n, packs, npacks, &b);
	return file_stage(*path, b.data, b.len, store_file_mode(s->path), temp, err);
}

int store_write_index(struct store *s, const struct idx_entry *e, size_t n, const uint64_t *packs, size_t npacks,
	char **path, struct error **err)
{
	_cleanup_free_ char *temp = NULL;

	if (store_stage_index(s, e, n, packs, npacks, path, &temp, err) < 0)
		return -1;
	if (file_rename(temp, *path, err) == 0)
		return 0;
	unlink(temp);
	return -1;
}

static void add_index(struct store *s, const struct index *ix)
{
	pthread_mutex_lock(&s->lock);
	s->ix = xreallocarray(s->ix, s->nix + 1, sizeof(*s->ix));
	s->ix[s->nix++] = *ix;
	pthread_mutex_unlock(&s->lock);
}

int store_add_index(struct store *s, const char *path, struct error **err)
{
	struct index ix;

	if (index_open(path, &ix, err) < 0)
		return -1;
	add_index(s, &ix);
	return 0;
}

static int by_id(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static int list_packs(struct store *s, uint64_t **ids, size_t *n, struct error **err)
{
	_cleanup_free_ char *dir = store_sub(s, "packs");
	_cleanup_closedir_ DIR *d = opendir(dir);
	size_t cap = 0;

	if (!d)
		return error_errno(err, errno, "%s", dir);
	for (struct dirent *e; (e = readdir(d));) {
		char *end;
		uint64_t id = strtoull(e->d_name, &end, 16);

		if (strlen(e->d_name) != 21 || strcmp(end, ".pack"))
			continue;
		if (*n == cap)
			*ids = xreallocarray(*ids, cap = cap ? cap * 2 : 64, sizeof(**ids));
		(*ids)[(*n)++] = id;
	}
	if (*n)
		qsort(*ids, *n, sizeof(**ids), by_id);
	return 0;
}

/* An index of which a pack is gone is of no use: it would promise what cannot be read. */
static bool packs_there(struct store *s, const struct index *ix, const uint64_t *ids, size_t n)
{
	for (uint32_t i = 0; i < ix->head->npacks; i++) {
		_cleanup_free_ char *p = NULL;

		if (n && bsearch(&ix->packs[i], ids, n, sizeof(*ids), by_id))
			continue;
		p = pack_path(s->path, ix->packs[i]);
		if (!file_exists(p)) /* else it is newer than our list */
			return false;
	}
	return true;
}

/* Opens all indexes; counts those that are damaged. With repair these are removed, and said. */
static int open_indexes(struct store *s, const uint64_t *ids, size_t n, bool repair, size_t *bad, struct error **err)
{
	_cleanup_free_ char *dir = store_sub(s, "index");
	_cleanup_closedir_ DIR *d = opendir(dir);

	if (!d)
		return error_errno(err, errno, "%s", dir);
	for (struct dirent *e; (e = readdir(d));) {
		_cleanup_free_ char *path = path_join(dir, e->d_name);
		_cleanup_error_ struct error *why = NULL;
		size_t len = strlen(e->d_name);
		struct index ix;

		if (len != 20 || strcmp(e->d_name + 16, ".idx"))
			continue;
		if (index_open(path, &ix, &why) == 0 && packs_there(s, &ix, ids, n)) {
			add_index(s, &ix);
			continue;
		}
		if (why && why->code && why->code != ENOENT)
			return error_move(err, &why);
		index_close(&ix);
		(*bad)++;
		if (repair) {
			log_warn("%s: torn, damaged or of packs that are gone; made anew from the packs", path);
			if (file_unlink(path, err) < 0)
				return -1;
		}
	}
	return 0;
}

/* Takes up the whole records of a dead writer's pack, and cuts off what is behind the last of them. */
static int recover_pack(struct store *s, int fd, uint64_t id, const char *path, struct error **err)
{
	struct pack_out p = { .fd = -1, .id = id, .path = xstrdup(path), .len = sizeof(struct pack_head) };
	struct block b = { 0 };
	struct error *why = NULL;
	struct stat st;
	_cleanup_free_ char *index = NULL;
	int rc = 0;

	if (fstat(fd, &st) < 0)
		rc = error_errno(err, errno, "%s", path);
	if (rc == 0 && pack_check_head(fd, path, id, &why) == 0)
		for (uint64_t at = p.len; at && at < (uint64_t)st.st_size;) {
			error_clear(&why);
			if (block_read(&b, fd, path, id, (uint32_t)at, true, &why) == 0) {
				pack_note(&p, b.table, b.nchunks, (uint32_t)at);
				p.len = at += b.size;
			} else { /* of a sealed pack whose index is gone, a record in the middle may be damaged */
				at = pack_next_record(fd, at + 1, (uint64_t)st.st_size);
			}
		}
	error_clear(&why);
	if (rc == 0 && p.n == 0) {
		log_warn("%s: holds no whole record (a writer was killed); removed", path);
		rc = file_unlink(path, err);
	} else if (rc == 0) {
		if ((uint64_t)st.st_size > p.len) {
			log_warn("%s: its end is torn (a writer was killed); cut back from %" PRIu64 " to %" PRIu64 " bytes", path,
				(uint64_t)st.st_size, p.len);
			if (ftruncate(fd, (off_t)p.len) < 0)
				rc = error_errno(err, errno, "%s: cannot cut back", path);
		}
		if (rc == 0 && (rc = file_fsync(fd, path, err)) == 0 &&
			(rc = store_write_index(s, p.entries, p.n, &id, 1, &index, err)) == 0)
			rc = store_add_index(s, index, err);
	}
	block_free(&b);
	pack_out_release(&p);
	return rc;
}

static bool covered(const struct store *s, uint64_t id)
{
	for (size_t i = 0; i < s->nix; i++)
		for (uint32_t k = 0; k < s->ix[i].head->npacks; k++)
			if (s->ix[i].packs[k] == id)
				return true;
	return false;
}

/* A pack without an index: of a writer that lives (its lock says so), or left behind. */
static int look_after(struct store *s, uint64_t id, bool repair, size_t *left, struct error **err)
{
	_cleanup_free_ char *path = pack_path(s->path, id);
	_cleanup_close_ int fd = open(path, (repair ? O_RDWR : O_RDONLY) | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT || errno == EACCES || errno == EROFS ? 0 : error_errno(err, errno, "%s", path);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return 0;
	(*left)++;
	return repair ? recover_pack(s, fd, id, path, err) : 0;
}

static int load_once(struct store *s, bool repair, size_t *bad, struct error **err)
{
	_cleanup_free_ uint64_t *ids = NULL, *lone = NULL;
	size_t n = 0, nlone = 0;

	pthread_mutex_lock(&s->lock);
	drop_indexes(s);
	pthread_mutex_unlock(&s->lock);
	if (list_packs(s, &ids, &n, err) < 0 || open_indexes(s, ids, n, repair, bad, err) < 0)
		return -1;
	lone = xcalloc(n + 1, sizeof(*lone));
	for (size_t i = 0; i < n; i++)
		if (!covered(s, ids[i]))
			lone[nlone++] = ids[i];
	for (size_t i = 0; i < nlone; i++)
		if (look_after(s, lone[i], repair, bad, err) < 0)
			return -1;
	return 0;
}

int store_lock_index(struct store *s, bool wait, struct error **err)
{
	_cleanup_free_ char *path = store_sub(s, "index/.lock");
	_cleanup_close_ int fd = store_open_lock(path, s->path, err);

	if (fd < 0)
		return -1;
	while (flock(fd, LOCK_EX | (wait ? 0 : LOCK_NB)) < 0) {
		if (errno == EINTR && intr_check(err) < 0)
			return error_wrap(err, "%s: waiting for the lock", path);
		if (errno == EWOULDBLOCK)
			return error_set(err, ERR_STATE, "%s: somebody has it", path);
		if (errno != EINTR)
			return error_errno(err, errno, "%s: cannot lock", path);
	}
	return STEAL_FD(fd);
}

int store_load_held(struct store *s, struct error **err)
{
	size_t bad = 0;

	return load_once(s, true, &bad, err);
}

int store_load(struct store *s, struct error **err)
{
	_cleanup_error_ struct error *why = NULL;
	_cleanup_close_ int fd = -1;
	size_t bad = 0;

	if (load_once(s, false, &bad, err) < 0)
		return -1;
	if (!bad)
		return 0;
	/*
	 * One repairs at a time. What looked torn only because somebody replaced indexes, or was between its index and the end, is seen
	 * as such the second time. A reader without rights cannot mend: it uses what is whole.
	 */
	fd = store_lock_index(s, true, &why);
	if (fd < 0 || faccessat(AT_FDCWD, s->path, W_OK, AT_EACCESS) < 0)
		return 0;
	return store_load_held(s, err);
}

bool store_find(struct store *s, const struct hash *h, struct found *ret)
{
	bool ok = false, last = false;

	pthread_mutex_lock(&s->lock);
	for (size_t i = s->nix; i-- && !last;) {
		const struct idx_entry *e = index_find(&s->ix[i], h);

		if (!e)
			continue;
		last = !store_is_condemned(s, s->ix[i].packs[e->pack]); /* these stay */
		if (last || !ok)
			*ret = (struct found){ s->ix[i].packs[e->pack], e->off, e->inner, e->len, i, (size_t)(e - s->ix[i].entries) };
		ok = true;
	}
	pthread_mutex_unlock(&s->lock);
	return ok;
}

bool store_has(struct store *s, const struct hash *h)
{
	struct found f;
	bool ok = store_find(s, h, &f);

	if (!ok || !s->ncondemned)
		return ok;
	pthread_mutex_lock(&s->lock);
	ok = !store_is_condemned(s, f.pack);
	pthread_mutex_unlock(&s->lock);
	return ok;
}

void hash_hex(const struct hash *h, char out[STORE_HASH * 2 + 1])
{
	for (int i = 0; i < STORE_HASH; i++)
		snprintf(out + 2 * i, 3, "%02x", h->b[i]);
}

bool hash_parse(const char *hex, struct hash *ret)
{
	if (strlen(hex) != STORE_HASH * 2 || strspn(hex, "0123456789abcdef") != STORE_HASH * 2)
		return false;
	for (int i = 0; i < STORE_HASH; i++) {
		char two[3] = { hex[2 * i], hex[2 * i + 1], 0 };

		ret->b[i] = (uint8_t)strtoul(two, NULL, 16);
	}
	return true;
}

/* An fd of the pack that stays valid: a duplicate, so that a reload may close the kept one. */
static int pack_fd(struct store *s, uint64_t id, struct error **err)
{
	_cleanup_free_ char *path = NULL;
	int fd = -1;

	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < s->nfds && fd < 0; i++)
		if (s->fds[i].id == id)
			fd = fcntl(s->fds[i].fd, F_DUPFD_CLOEXEC, 3);
	if (fd < 0) {
		path = pack_path(s->path, id);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			error_errno(err, errno, "%s", path);
		else if (s->nfds < FDS_MAX) {
			int keep = fcntl(fd, F_DUPFD_CLOEXEC, 3);

			if (keep >= 0)
				s->fds[s->nfds++] = (struct pack_fd){ id, keep };
		}
	}
	pthread_mutex_unlock(&s->lock);
	return fd;
}

static int missing(const struct hash *h, struct error **err)
{
	char hex[STORE_HASH * 2 + 1];

	hash_hex(h, hex);
	error_set(err, ERR_FAILED, "chunk %.16s... is in no pack of the store", hex);
	return error_hint(err, "`croft store verify` tells what is damaged");
}

int store_find_again(struct store *s, const struct hash *h, struct found *f, struct error **err)
{
	int rc;

	pthread_mutex_lock(&s->reload);
	rc = store_load(s, err);
	if (rc == 0 && !store_find(s, h, f))
		rc = missing(h, err);
	pthread_mutex_unlock(&s->reload);
	return rc;
}

int store_block(struct store *s, const struct hash *h, struct found *f, struct block *b, struct error **err)
{
	for (int attempt = 0;; attempt++) {
		_cleanup_free_ char *path = NULL;
		_cleanup_close_ int fd = -1;
		struct error *why = NULL;

		if (b->valid && b->pack == f->pack && b->off == f->off)
			break;
		fd = pack_fd(s, f->pack, &why);
		if (fd >= 0) {
			path = pack_path(s->path, f->pack);
			if (block_read(b, fd, path, f->pack, f->off, false, err) < 0)
				return -1;
			break;
		}
		if (why->code != ENOENT || attempt == 3)
			return error_move(err, &why);
		error_clear(&why); /* gc has moved it: the indexes of now say where to */
		if (store_find_again(s, h, f, err) < 0)
			return -1;
	}
	if ((uint64_t)f->inner + f->len > b->rawlen)
		return missing(h, err);
	return 0;
}

int store_chunk(struct store *s, const struct hash *h, struct buf *out, struct error **err)
{
	return store_chunk_in(s, h, &s->node, out, err);
}

int store_chunk_in(struct store *s, const struct hash *h, struct block *b, struct buf *out, struct error **err)
{
	struct found f;
	struct hash is;

	if (!store_find(s, h, &f) && store_find_again(s, h, &f, err) < 0)
		return -1;
	if (store_block(s, h, &f, b, err) < 0)
		return -1;
	hash_bytes(b->raw + f.inner, f.len, &is);
	if (memcmp(&is, h, sizeof(is))) {
		char hex[STORE_HASH * 2 + 1];

		hash_hex(h, hex);
		return error_set(err, ERR_FAILED, "chunk %.16s...: its bytes in pack %016" PRIx64 " at %u are damaged", hex, f.pack, f.off);
	}
	buf_clear(out);
	buf_add(out, b->raw + f.inner, f.len);
	return 0;
}

void store_gather(struct store *s, struct idx_entry **e, size_t *n, uint64_t **packs, size_t *npacks)
{
	size_t all = 0, np = 0;

	for (size_t i = 0; i < s->nix; i++) {
		all += s->ix[i].head->count;
		np += s->ix[i].head->npacks;
	}
	*e = xreallocarray(NULL, all + 1, sizeof(**e));
	*packs = xreallocarray(NULL, np + 1, sizeof(**packs));
	*n = *npacks = 0;
	for (size_t i = 0; i < s->nix; i++) {
		const struct index *ix = &s->ix[i];

		memcpy(*packs + *npacks, ix->packs, ix->head->npacks * sizeof(**packs));
		for (uint64_t k = 0; k < ix->head->count; k++) {
			(*e)[*n] = ix->entries[k];
			(*e)[(*n)++].pack += (uint32_t)*npacks;
		}
		*npacks += ix->head->npacks;
	}
}

void store_merge_indexes(struct store *s)
{
	_cleanup_error_ struct error *why = NULL;
	_cleanup_free_ char *path = NULL;
	_cleanup_free_ struct idx_entry *e = NULL;
	_cleanup_free_ uint64_t *packs = NULL;
	_cleanup_close_ int fd = -1;
	size_t n, np, bad = 0;

	if (s->nix < MERGE_AT || (fd = store_lock_index(s, false, &why)) < 0)
		return;
	if (load_once(s, false, &bad, &why) < 0 || bad || s->nix < MERGE_AT)
		return;
	for (size_t i = 0; i < s->nix; i++)
		if (!index_check(&s->ix[i]))
			return; /* damage is not to be given a new checksum */
	store_gather(s, &e, &n, &packs, &np);
	if (store_write_index(s, e, n, packs, np, &path, &why) < 0)
		return;
	for (size_t i = 0; i < s->nix; i++)
		file_unlink(s->ix[i].path, &why);
	error_clear(&why);
	load_once(s, false, &bad, &why);
	listing_refresh(s);
}
