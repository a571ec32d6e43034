/* SPDX-License-Identifier: Apache-2.0 */
/* Extended attributes in the streams of guest/tree.h: those of users, capabilities, access control lists. libc only. */
#ifndef CROFT_GUEST_TREEATTR_H
#define CROFT_GUEST_TREEATTR_H

#include <stdbool.h>
#include <stddef.h>

#define TREE_ATTRS_MAX 256  /* of one file */
#define TREE_ATTR_MAX 65536 /* XATTR_SIZE_MAX of Linux */

struct tree_attr {
	char *name;
	unsigned char *value;
	size_t len;
};
struct tree_attrs {
	struct tree_attr *v;
	size_t n;
};
bool tree_attr_travels(const char *name);
/* Those of an open file or folder that travel, in the order of names, behind what is there. -1: no memory, or too many. */
int tree_attrs_read(int fd, struct tree_attrs *ret);
int tree_attrs_add(struct tree_attrs *a, const char *name, const void *value, size_t len);
/*
 * user_only: leaves out those that give rights. Those of users are left out too where the file system has none, and what only root may
 * set where we are not. -1 with errno.
 */
int tree_attrs_write(int fd, const struct tree_attrs *a, bool user_only);
void tree_attrs_clear(struct tree_attrs *a);
/* Whether anything at or below it has one; depth 0. */
bool tree_attrs_any(int dirfd, const char *name, int depth);

#endif
