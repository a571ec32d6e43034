/* SPDX-License-Identifier: Apache-2.0 */
/* Giving up packs: what lies in them, and an index of the others. */
#include "store/internal.h"
#include "store/listing.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>

static int by_id(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static bool among(const uint64_t *packs, size_t n, uint64_t id)
{
	return n && bsearch(&id, packs, n, sizeof(id), by_id);
}

static int by_place(const void *a, const void *b)
{
	const struct found *x = a, *y = b;

	if (x->pack != y->pack)
		return x->pack < y->pack ? -1 : 1;
	if (x->off != y->off)
		return x->off < y->off ? -1 : 1;
	return x->inner < y->inner ? -1 : x->inner > y->inner;
}

size_t store_entries_of(struct store *s, const uint64_t *packs, size_t npacks, struct found **ret)
{
	struct found *list = NULL;
	size_t n = 0, cap = 0;

	for (size_t i = 0; npacks && i < s->nix; i++) {
		const struct index *ix = &s->ix[i];

		for (uint64_t k = 0; k < ix->head->count; k++) {
			const struct idx_entry *e = &ix->entries[k];

			if (!among(packs, npacks, ix->packs[e->pack]))
				continue;
			if (n == cap)
				list = xreallocarray(list, cap = cap ? cap * 2 : 256, sizeof(*list));
			list[n++] = (struct found){ ix->packs[e->pack], e->off, e->inner, e->len, i, k };
		}
	}
	if (n)
		qsort(list, n, sizeof(*list), by_place);
	*ret = list;
	return n;
}

/* Which of the packs stay: map[i] is the new number of packs[i], UINT32_MAX for those that go or are there twice. */
static size_t renumber(const uint64_t *packs, size_t np, const uint64_t *gone, size_t ngone, uint32_t *map, uint64_t *kept)
{
	size_t n = 0;

	for (size_t i = 0; i < np; i++) {
		bool twice = false;

		for (size_t k = 0; k < n; k++)
			twice |= kept[k] == packs[i];
		map[i] = UINT32_MAX;
		if (twice || among(gone, ngone, packs[i]))
			continue;
		map[i] = (uint32_t)n;
		kept[n++] = packs[i];
	}
	return n;
}

/* One index of what stays, in place of all. */
static int replace_indexes(struct store *s, const uint64_t *gone, size_t ngone, struct error **err)
{
	_cleanup_free_ struct idx_entry *e = NULL;
	_cleanup_free_ uint64_t *packs = NULL, *kept = NULL;
	_cleanup_free_ uint32_t *map = NULL;
	_cleanup_free_ char *path = NULL;
	size_t n, np, m = 0, nkept;

	store_gather(s, &e, &n, &packs, &np);
	kept = xcalloc(np + 1, sizeof(*kept));
	map = xcalloc(np + 1, sizeof(*map));
	nkept = renumber(packs, np, gone, ngone, map, kept);
	for (size_t i = 0; i < n; i++)
		if (map[e[i].pack] != UINT32_MAX) {
			e[m] = e[i];
			e[m].pack = map[e[i].pack];
			m++;
		}
	if (nkept && store_write_index(s, e, m, kept, nkept, &path, err) < 0)
		return -1;
	for (size_t i = 0; i < s->nix; i++)
		if (file_unlink(s->ix[i].path, err) < 0)
			return -1;
	return 0;
}

static int unlink_pack(struct store *s, uint64_t id, struct error **err)
{
	_cleanup_free_ char *path = pack_path(s->path, id);

	return file_unlink(path, err);
}

/* On a full disk: indexes all of whose packs go, and these packs. Did any? */
static bool make_room(struct store *s, const uint64_t *gone, size_t ngone)
{
	_cleanup_error_ struct error *why = NULL;
	bool some = false;

	for (size_t i = 0; i < s->nix; i++) {
		const struct index *ix = &s->ix[i];
		bool all = true;

		for (uint32_t k = 0; k < ix->head->npacks; k++)
			all &= among(gone, ngone, ix->packs[k]);
		if (!all || file_unlink(ix->path, &why) < 0)
			continue;
		for (uint32_t k = 0; k < ix->head->npacks; k++)
			some |= unlink_pack(s, ix->packs[k], &why) == 0;
	}
	return some;
}

static int drop(struct store *s, const uint64_t *gone, size_t ngone, struct error **err)
{
	if (store_load_held(s, err) < 0)
		return -1;
	for (size_t i = 0; i < s->nix; i++)
		if (!index_check(&s->ix[i])) /* damage is not to be given a new checksum */
			return error_set(err, ERR_FAILED, "%s is damaged; nothing was removed", s->ix[i].path);
	if (replace_indexes(s, gone, ngone, err) < 0) {
		if (((*err)->code != ENOSPC && (*err)->code != EDQUOT) || !make_room(s, gone, ngone))
			return -1;
		error_clear(err);
		if (store_load_held(s, err) < 0 || replace_indexes(s, gone, ngone, err) < 0)
			return -1;
	}
	for (size_t i = 0; i < ngone; i++)
		if (unlink_pack(s, gone[i], err) < 0)
			return -1;
	listing_refresh(s);
	return store_load_held(s, err);
}

int store_drop_packs(struct store *s, const uint64_t *gone, size_t ngone, struct error **err)
{
	_cleanup_close_ int fd = store_lock_index(s, true, err);

	return fd < 0 ? -1 : drop(s, gone, ngone, err);
}
