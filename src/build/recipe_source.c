/* SPDX-License-Identifier: Apache-2.0 */
/* Sources of a recipe: fetched once, kept under their checksum. */
#include "build/recipe.h"
#include "image/apt.h"
#include "image/fetch.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"

#include <string.h>

#define LOCK_MS 3600000

const char *recipe_checksum(const struct recipe_step *s)
{
	return val_str(s->source, "sha256");
}

/*
 * Its own addresses, then its path below each of the recipe's mirrors, which may be folders. A recipe without mirrors takes the sources of
 * Debian's packages from where this host takes its packages.
 */
static void addresses(const struct recipe *r, const struct recipe_step *s, struct strv *ret)
{
	const struct val *url = val_get(s->source, "url");
	const char *file = val_str(s->source, "file"), *path = val_str(s->source, "path");
	_cleanup_free_ char *standard = xasprintf("%s.tar.xz", s->id);
	_cleanup_strv_ struct strv mirrors = STRV_INIT;

	for (size_t i = 0; url && i < url->len; i++)
		if (url->items[i]->text)
			strv_add(ret, url->items[i]->text);
	if (url && url->text)
		strv_add(ret, url->text);
	for (size_t i = 0; i < r->mirrors.len; i++)
		strv_add(&mirrors, r->mirrors.v[i]);
	if (!mirrors.len && path)
		apt_pools(r->mirror, r->release, &mirrors);
	for (size_t i = 0; i < mirrors.len; i++)
		strv_addf(ret, "%s/%s%s%s", mirrors.v[i], path ? path : "", path ? "/" : "", file ? file : standard);
}

/* A path is one beside the recipe. */
static char *absolute(const struct recipe *r, const char *address)
{
	_cleanup_free_ char *path = NULL;

	if (strstr(address, "://"))
		return xstrdup(address);
	path = *address == '/' ? xstrdup(address) : path_join(r->dir, address);
	return xasprintf("file://%s", path);
}

static int try_one(const char *url, const char *label, const char *want, const char *to, struct error **err)
{
	_cleanup_free_ char *temp = xasprintf("%s.new", to);
	char got[SHA_HEX];

	if (fetch_file(url, label, temp, err) < 0)
		return -1;
	if (sha_file(temp, got, err) == 0 && strcmp(got, want))
		error_set(err, ERR_FAILED, "%s: has sha256 %s, not %s", url, got, want);
	if (*err || file_rename(temp, to, err) < 0) {
		unlink(temp);
		return -1;
	}
	return 0;
}

static int fetch_any(const struct recipe *r, const struct recipe_step *s, const struct ui *ui, const char *to, struct error **err)
{
	_cleanup_strv_ struct strv from = STRV_INIT;

	addresses(r, s, &from);
	for (size_t i = 0; i < from.len; i++) {
		_cleanup_free_ char *url = absolute(r, from.v[i]);

		error_clear(err);
		if (try_one(url, s->id, recipe_checksum(s), to, err) == 0)
			return 0;
		if ((*err)->cls == ERR_INTR)
			return -1;
		if (i + 1 < from.len)
			ui_message(ui, r->name, "%s; trying the next", (*err)->msg);
	}
	if (!from.len)
		return val_error(s->source, err, "%s: has no url and no path, and the recipe no mirrors", s->id);
	return error_hint(err, "%zu addresses were tried; the file may also be put there as %s", from.len, to);
}

char *recipe_fetch(const struct recipe *r, const struct recipe_step *s, const struct ui *ui, struct error **err)
{
	_cleanup_free_ char *dir = path_cache("sources"), *to = path_join(dir, recipe_checksum(s)), *lock = xasprintf("%s.lock", to);
	_cleanup_close_ int fd = -1;
	char got[SHA_HEX];

	if (file_mkdirs(dir, 0755, err) < 0 || (fd = file_lock(lock, true, LOCK_MS, err)) < 0)
		return NULL;
	if (file_exists(to)) {
		if (sha_file(to, got, err) < 0)
			return NULL;
		if (!strcmp(got, recipe_checksum(s)))
			return STEAL(to);
		ui_message(ui, r->name, "%s: the kept file is damaged; it is fetched again", s->id);
		if (file_unlink(to, err) < 0)
			return NULL;
	}
	return fetch_any(r, s, ui, to, err) == 0 ? STEAL(to) : NULL;
}
