/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An initramfs: files gathered by path, written as a cpio archive (newc,
 * Documentation/driver-api/early-userspace/ buffer-format.rst) compressed with zstd. Same files,
 * same bytes: sorted, no times, own inode numbers.
 */
#ifndef CROFT_IMAGE_INITRAMFS_H
#define CROFT_IMAGE_INITRAMFS_H

#include "base/buf.h"
#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct initramfs;
struct initramfs *initramfs_new(void);
void initramfs_free(struct initramfs *i);
/* All of these replace what was there under that path, and copy what they are given. Paths without
 * leading slash. */
void initramfs_file(struct initramfs *i, const char *path, const void *data, size_t n, mode_t perm);
void initramfs_link(struct initramfs *i, const char *path, const char *target);
void initramfs_dir(struct initramfs *i, const char *path, mode_t perm, uid_t owner);
/* Character device node. */
void initramfs_node(
	struct initramfs *i, const char *path, mode_t perm, unsigned major, unsigned minor);
/* Is there a file, link or node? */
bool initramfs_has_file(struct initramfs *i, const char *path);
bool initramfs_has(struct initramfs *i, const char *path);
/* Content of a file, or NULL. */
const struct buf *initramfs_get(struct initramfs *i, const char *path);
/* Each file and link in the order of paths, without folders; what the function gives, when it is not 0, ends it. */
typedef int initramfs_fn(void *arg, const char *path, mode_t perm, const char *link, const struct buf *data, struct error **err);
int initramfs_each(struct initramfs *i, initramfs_fn *fn, void *arg, struct error **err);
/* A folder of the host with all below it; modes kept, owner root. */
int initramfs_tree(struct initramfs *i, const char *dir, const char *prefix, struct error **err);
/* The archive into out; folders on the way to each file are made. */
int initramfs_write(struct initramfs *i, struct buf *out, struct error **err);

#endif
