/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stores one over the other, a user's own and a shared one for example: read from all, written to the first that allows it. They share
 * no chunks: what a store needs is in it, whatever the owner of another removes.
 */
#include "store/internal.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "conf/settings.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

void store_dirs(struct strv *ret)
{
	const char *all = settings_get("stores");

	if (all && *all)
		strv_split(ret, all, ":");
	if (!ret->len)
		strv_take(ret, path_data("store"));
}

static bool is_store(const char *dir)
{
	_cleanup_free_ char *header = path_join(dir, "header.json");

	return file_exists(header);
}

struct store *store_open_writable(const struct strv *dirs, uint32_t chunk_avg, struct error **err)
{
	_cleanup_error_ struct error *first = NULL;

	for (size_t i = 0; i < dirs->len; i++) {
		_cleanup_free_ char *packs = path_join(dirs->v[i], "packs");
		_cleanup_error_ struct error *why = NULL;

		if (is_store(dirs->v[i])) {
			if (access(packs, W_OK) == 0)
				return store_open(dirs->v[i], err);
			error_errno(&why, errno, "store %s: may not be written", dirs->v[i]);
		} else if (store_create(dirs->v[i], chunk_avg, &why) == 0) {
			return store_open(dirs->v[i], err);
		} else if (why->cls == ERR_USAGE || (why->code != EACCES && why->code != EPERM && why->code != EROFS)) {
			error_move(err, &why);
			return NULL;
		}
		if (!first)
			error_move(&first, &why);
	}
	error_move(err, &first);
	return NULL;
}

/* Has it this name, or this object? */
static bool has(struct store *s, const char *name)
{
	_cleanup_error_ struct error *why = NULL;
	_cleanup_free_ char *whole = xstrndup(name, strcspn(name, "/"));
	struct hash h;
	struct found f;

	if (hash_parse(whole, &h))
		return store_find(s, &h, &f);
	/* What is wrong with the name or its file is said by whoever reads it. */
	return name_check("name", whole, &why) == 0 && ref_exists(s, whole);
}

struct store *store_open_with(const struct strv *dirs, const char *name, struct error **err)
{
	_cleanup_store_ struct store *first = NULL;

	for (size_t i = 0; i < dirs->len; i++) {
		_cleanup_store_ struct store *s = NULL;

		if (dirs->len > 1 && !is_store(dirs->v[i]))
			continue;
		s = store_open(dirs->v[i], err);
		if (!s)
			return NULL;
		if (has(s, name))
			return STEAL(s);
		if (!first)
			first = STEAL(s);
	}
	if (first)
		return STEAL(first); /* which says that it is not there */
	return store_open(dirs->v[0], err);
}
