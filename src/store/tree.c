/* SPDX-License-Identifier: Apache-2.0 */
#include "store/tree.h"
#include "store/internal.h"
#include "base/cleanup.h"
#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

void tree_add(struct buf *b, const struct tree_head *h, const char *path, const char *link, const struct buf *xattrs)
{
	struct tree_head out = *h;

	out.path_len = (uint32_t)strlen(path);
	out.link_len = link ? (uint32_t)strlen(link) : 0;
	out.xattr_len = (uint32_t)xattrs->len;
	out.size = (uint32_t)(sizeof(out) + out.path_len + out.link_len + out.xattr_len);
	buf_add(b, &out, sizeof(out));
	buf_add(b, path, out.path_len);
	if (out.link_len)
		buf_add(b, link, out.link_len);
	if (out.xattr_len)
		buf_add(b, xattrs->data, out.xattr_len);
}

/* Relative, and no part of it is empty, "." or "..": it leads nowhere but down. */
static bool path_ok(const char *path, size_t len)
{
	size_t start = 0;

	if (!len || memchr(path, 0, len))
		return false;
	if (len == 1 && *path == '.')
		return true; /* the folder itself */
	for (size_t i = 0; i <= len; i++) {
		if (i < len && path[i] != '/')
			continue;
		if (i == start || i - start > 255 || (path[start] == '.' && (i - start == 1 || (i - start == 2 && path[start + 1] == '.'))))
			return false;
		start = i + 1;
	}
	return true;
}

static bool xattrs_ok(const char *p, size_t n)
{
	while (n) {
		uint32_t len[2];

		if (n < sizeof(len))
			return false;
		memcpy(len, p, sizeof(len));
		if (!len[0] || len[0] > 255 || len[1] > 65536 || n - sizeof(len) < (size_t)len[0] + len[1] ||
			memchr(p + sizeof(len), 0, len[0]))
			return false;
		p += sizeof(len) + len[0] + len[1];
		n -= sizeof(len) + len[0] + len[1];
	}
	return true;
}

static bool head_ok(const struct tree_head *h)
{
	bool link = S_ISLNK(h->mode) || h->hard;

	return (S_ISREG(h->mode) || S_ISDIR(h->mode) || S_ISLNK(h->mode) || S_ISCHR(h->mode) || S_ISBLK(h->mode) ||
		       S_ISFIFO(h->mode)) &&
		h->hard <= 1 && !(h->hard && (S_ISDIR(h->mode) || S_ISLNK(h->mode))) && h->nsec < 1000000000 && link == (h->link_len > 0) &&
		(S_ISREG(h->mode) && !h->hard ? h->at <= INT64_MAX && h->bytes <= INT64_MAX - h->at : !h->bytes);
}

int tree_next(const char *p, size_t n, size_t *pos, struct tree_entry *ret, struct error **err)
{
	struct tree_head *h = &ret->h;
	const char *at = p + *pos;
	uint64_t tail;

	if (*pos == n)
		return 0;
	if (n - *pos < sizeof(*h))
		goto bad;
	memcpy(h, at, sizeof(*h));
	tail = (uint64_t)h->path_len + h->link_len + h->xattr_len;
	if (h->size > n - *pos || h->size != sizeof(*h) + tail || h->path_len >= sizeof(ret->path) ||
		h->link_len >= sizeof(ret->link) || !head_ok(h))
		goto bad;
	at += sizeof(*h);
	memcpy(ret->path, at, h->path_len);
	ret->path[h->path_len] = '\0';
	memcpy(ret->link, at + h->path_len, h->link_len);
	ret->link[h->link_len] = '\0';
	ret->xattrs = at + h->path_len + h->link_len;
	if (!path_ok(ret->path, h->path_len) || memchr(ret->link, 0, h->link_len) || (h->hard && !path_ok(ret->link, h->link_len)) ||
		!xattrs_ok(ret->xattrs, h->xattr_len))
		goto bad;
	*pos += h->size;
	return 1;
bad:
	return error_set(err, ERR_FAILED, "the list of files is not what croft writes (at byte %zu)", *pos);
}

int tree_entries(struct store *s, const char *name, struct buf *ret, struct error **err)
{
	_cleanup_free_ char *part = xasprintf("%s/entries", name);
	_cleanup_store_set_ struct store_set set = { 0 };

	if (store_parts(s, name, &set, err) < 0)
		return -1;
	if (!set.info || strcmp(set.info, TREE_INFO) || set.n != 2)
		return error_set(err, ERR_STATE, "%s: is a set of parts, not a folder", name);
	return store_get_bytes(s, part, TREE_ENTRIES_MAX, ret, err);
}

int store_tree_list(struct store *s, const char *name, int (*fn)(void *arg, const struct store_file *f), void *arg,
	struct error **err)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_free_ struct tree_entry *e = xmalloc(sizeof(*e));
	size_t pos = 0;
	int rc = tree_entries(s, name, &b, err);

	while (rc == 0 && (rc = tree_next(b.data, b.len, &pos, e, err)) == 1)
		rc = fn(arg, &(struct store_file){ e->path, e->h.link_len ? e->link : NULL, e->h.mode, e->h.uid, e->h.gid, e->h.hard,
			e->h.bytes, e->h.mtime });
	return rc < 0 ? -1 : 0;
}

bool store_is_tree(struct store *s, const char *name)
{
	_cleanup_error_ struct error *why = NULL;
	_cleanup_store_set_ struct store_set set = { 0 };

	return store_parts(s, name, &set, &why) == 0 && set.info && !strcmp(set.info, TREE_INFO);
}
