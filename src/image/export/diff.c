/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "base/map.h"
#include "base/mem.h"
#include "image/export/compare.h"
#include "image/export/root.h"
#include "image/sha.h"

#include <inttypes.h>
#include <string.h>

#define BLOCK ((size_t)1 << 20)

/* What a path is: what it holds, and what is said of it. */
struct facts {
	char content[SHA_HEX], meta[SHA_HEX];
};

static int add_facts(void *arg, struct root *r, struct archive_entry *e, struct error **err)
{
	struct map *m = arg;
	struct facts *f = xcalloc(1, sizeof(*f));
	struct sha *content = sha_new(), *meta = sha_new();
	_cleanup_free_ char *block = xmalloc(BLOCK), *line = NULL;
	mode_t type = archive_entry_filetype(e);
	const char *name;
	const void *value;
	size_t n;
	ssize_t got = 0;

	line = xasprintf("%o %" PRId64 " %" PRId64 " %" PRId64, (unsigned)archive_entry_perm(e), (int64_t)archive_entry_uid(e),
		(int64_t)archive_entry_gid(e), type == AE_IFREG ? (int64_t)archive_entry_mtime(e) : 0);
	sha_adds(meta, archive_entry_hardlink(e) ? "" : line); /* another name has what the first one has */
	archive_entry_xattr_reset(e);
	while (archive_entry_xattr_next(e, &name, &value, &n) == ARCHIVE_OK) {
		sha_adds(meta, name);
		sha_add(meta, value, n);
	}
	sha_add(content, &type, sizeof(type));
	sha_adds(content, archive_entry_symlink(e));
	sha_adds(content, archive_entry_hardlink(e));
	if (type == AE_IFREG && !archive_entry_hardlink(e))
		while ((got = root_read(r, block, BLOCK, err)) > 0)
			sha_raw(content, block, (size_t)got);
	sha_end(content, f->content);
	sha_end(meta, f->meta);
	m->free_value = free;
	map_set(m, archive_entry_pathname(e), f);
	return got < 0 ? -1 : 0;
}

static int read_facts(const char *what, struct map *m, struct error **err)
{
	_cleanup_origin_ struct origin s = { .fd = -1, .server = PROC_INIT };
	_cleanup_root_ struct root *r = NULL;

	if (origin_open(&s, what, err) < 0)
		return -1;
	r = root_open(&s, err);
	return r ? root_each(r, add_facts, m, err) : -1;
}

int image_diff(const char *a, const char *b, image_diff_fn *fn, void *arg, struct error **err)
{
	_cleanup_map_ struct map ma = { 0 }, mb = { 0 };
	int n = 0;

	if (read_facts(a, &ma, err) < 0 || read_facts(b, &mb, err) < 0)
		return -1;
	MAP_FOR(&ma, it)
	{
		const struct facts *x = it->value, *y = map_get(&mb, it->key);
		char how = !y ? '-' : strcmp(x->content, y->content) ? '*' : strcmp(x->meta, y->meta) ? '~' : 0;

		if (how) {
			fn(arg, how, it->key);
			n++;
		}
	}
	MAP_FOR(&mb, it)
	{
		if (!map_has(&ma, it->key)) {
			fn(arg, '+', it->key);
			n++;
		}
	}
	return n;
}
