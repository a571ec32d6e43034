/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Folders: a set of two parts, "entries" and "content". The content is the bytes of all files one after the other, in the order of
 * the entries, so that small files share chunks and records. Entries are sorted by path, folders before what is in them.
 */
#ifndef CROFT_STORE_TREE_H
#define CROFT_STORE_TREE_H

#include "base/buf.h"
#include "base/error.h"
#include <stdbool.h>
#include <stdint.h>

#define TREE_INFO "folder" /* what the set says of itself */
#define TREE_ENTRIES_MAX (1u << 30)

/* On disk; path, link and xattrs follow, without NULs. An xattr is two numbers (length of name, of value), name, value. */
struct tree_head {
	uint32_t size; /* with what follows */
	uint32_t mode; /* as of stat(2) on Linux */
	uint32_t uid, gid;
	uint64_t bytes, at; /* of a file: how many, where in the content */
	int64_t mtime;
	uint32_t nsec, major, minor; /* the last two of devices */
	uint32_t hard;		     /* 1: a further name of the file at `link` */
	uint32_t path_len, link_len, xattr_len, reserved;
};
_Static_assert(sizeof(struct tree_head) == 72, "layout on disk");

struct tree_entry {
	struct tree_head h;
	char path[4096], link[4096];
	const char *xattrs; /* h.xattr_len bytes */
};
/*
 * The entry at *pos of the list, and *pos behind it: 1; 0 at the end; -1 for what croft does not write: paths that lead out,
 * lengths that do not fit, files out of order.
 */
int tree_next(const char *p, size_t n, size_t *pos, struct tree_entry *ret, struct error **err);
struct store;
/* The list of a folder in the store, appended; ERR_STATE for what is none. */
int tree_entries(struct store *s, const char *name, struct buf *ret, struct error **err);
void tree_add(struct buf *b, const struct tree_head *h, const char *path, const char *link, const struct buf *xattrs);

#endif
