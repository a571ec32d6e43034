/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An ext4 file system inside a file, at an offset, made and filled without privileges and without mounting (libext2fs).
 * Times are those that are given, so that the same calls give the same bytes. Paths have no leading slash and no link
 * on their way.
 */
#ifndef CROFT_IMAGE_EXT4_H
#define CROFT_IMAGE_EXT4_H

#include "base/error.h"
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

/* Makes an empty one of `size` bytes at `offset` of the file (mke2fs). uuid is its UUID and its hash seed. */
int ext4_make(const char *file, uint64_t offset, uint64_t size, const char *label, const char *uuid, time_t now, struct error **err);

struct ext4;
struct ext4 *ext4_open(const char *file, uint64_t offset, time_t now, struct error **err);
/* Writes what is still in memory; frees in any case. */
int ext4_close(struct ext4 *e, struct error **err);

struct ext4_meta {
	mode_t mode; /* permission bits; the type comes from the call */
	uid_t uid;
	gid_t gid;
	time_t mtime;
};
/* Folders on the way that are not there yet are made, root's and 0755. An existing folder gets the meta data. */
int ext4_dir(struct ext4 *e, const char *path, const struct ext4_meta *m, struct error **err);
/* Called for the content until it gives 0; at most n bytes into p; -1 with error. */
typedef ssize_t ext4_read_fn(void *arg, void *p, size_t n, struct error **err);
int ext4_file(struct ext4 *e, const char *path, const struct ext4_meta *m, ext4_read_fn *read, void *arg, struct error **err);
int ext4_bytes(struct ext4 *e, const char *path, const struct ext4_meta *m, const void *p, size_t n, struct error **err);
int ext4_symlink(struct ext4 *e, const char *path, const struct ext4_meta *m, const char *target, struct error **err);
/* One more name of an existing file. */
int ext4_hardlink(struct ext4 *e, const char *path, const char *target, struct error **err);
/* An extended attribute of what is there, name with its prefix ("security.capability"). */
int ext4_xattr(struct ext4 *e, const char *path, const char *name, const void *value, size_t n, struct error **err);

#endif
