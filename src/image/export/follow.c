/* SPDX-License-Identifier: Apache-2.0 */
#include "image/export/follow.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/strv.h"

#include <string.h>

#define LINKS_MAX 40 /* as the kernel follows */

void follow_init(struct follow *f, size_t layers)
{
	*f = (struct follow){ .links.free_value = free, .moved = xcalloc(layers, sizeof(*f->moved)),
		.heirs = xcalloc(layers, sizeof(*f->heirs)), .layers = layers };
	for (size_t i = 0; i < layers; i++)
		f->moved[i].free_value = f->heirs[i].free_value = free;
}

void follow_clear(struct follow *f)
{
	map_free(&f->links);
	for (size_t i = 0; i < f->layers; i++) {
		map_free(&f->moved[i]);
		map_free(&f->heirs[i]);
	}
	free(f->moved);
	free(f->heirs);
	*f = (struct follow){ 0 };
}

/* One component more; ".." ends at the root. */
static void step(struct buf *at, const char *name)
{
	if (!strcmp(name, ".") || !*name)
		return;
	if (strcmp(name, "..")) {
		buf_addf(at, "%s%s", at->len ? "/" : "", name);
		return;
	}
	while (at->len && at->data[at->len - 1] != '/')
		at->len--;
	if (at->len)
		at->len--;
}

/* A folder's path with all links on its way followed, `depth` of them before. */
static void resolve(const struct follow *f, struct buf *at, const char *path, int depth)
{
	_cleanup_strv_ struct strv names = STRV_INIT;

	if (*path == '/')
		at->len = 0;
	strv_split(&names, path, "/");
	for (size_t i = 0; i < names.len; i++) {
		size_t before = at->len;
		const char *target;

		step(at, names.v[i]);
		target = at->len && depth < LINKS_MAX ? map_get(&f->links, buf_str(at)) : NULL;
		if (!target)
			continue;
		at->len = before;
		resolve(f, at, target, ++depth);
	}
}

static char *in_the_end(const struct follow *f, const char *path)
{
	const char *slash = strrchr(path, '/');
	_cleanup_free_ char *dir = slash ? xstrndup(path, (size_t)(slash - path)) : xstrdup("");
	_cleanup_buf_ struct buf b = BUF_INIT;

	resolve(f, &b, dir, 0);
	step(&b, slash ? slash + 1 : path);
	return xstrdup(buf_str(&b));
}

static char *note(struct follow *f, size_t layer, const char *path)
{
	char *real = in_the_end(f, path);

	if (strcmp(real, path))
		map_set(&f->moved[layer], path, xstrdup(real));
	return real;
}

void follow_entry(struct follow *f, size_t layer, const char *path, const char *link, const char *hard)
{
	_cleanup_free_ char *to = hard ? note(f, layer, hard) : NULL, *real = note(f, layer, path);

	if (to && !map_has(&f->heirs[layer], to))
		map_set(&f->heirs[layer], to, xstrdup(real));
	if (link)
		map_set(&f->links, real, xstrdup(link));
	else if (map_has(&f->links, real))
		map_remove(&f->links, real);
}

void follow_gone(struct follow *f, const char *path, bool itself)
{
	_cleanup_free_ char *real = in_the_end(f, path);
	size_t n = strlen(real);

	for (size_t i = f->links.len; i-- > 0;) {
		const char *key = f->links.items[i].key;

		if (!strncmp(key, real, n) && ((itself && !key[n]) || key[n] == '/'))
			map_remove(&f->links, key);
	}
}

const char *follow_path(const struct follow *f, size_t layer, const char *path)
{
	const char *real = map_get(&f->moved[layer], path);

	return real ? real : path;
}

const char *follow_heir(const struct follow *f, size_t layer, const char *path)
{
	return map_get(&f->heirs[layer], path);
}
