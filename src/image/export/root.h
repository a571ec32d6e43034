/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of an image's root, one after the other: of an ext4 in its disk, read in process without mounting; else of its
 * initramfs; or of a tar, or of the layers of a container's image. Parents come before children, and in a disk all is in the order of names, so that the same files give
 * the same sequence.
 */
#ifndef CROFT_IMAGE_ROOT_H
#define CROFT_IMAGE_ROOT_H

#include "image/export/origin.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdbool.h>
#include <sys/types.h>

struct root;
/* s must live as long. ERR_NOT_FOUND when there is no root that can be read. */
struct root *root_open(struct origin *s, struct error **err);
void root_close(struct root *r);
static inline void root_closep(struct root **r)
{
	root_close(*r);
}
#define _cleanup_root_ __attribute__((cleanup(root_closep)))
/* The entry's path has no "./" or "/" in front. Its content is read with root_read. -1 with error ends the run. */
typedef int root_fn(void *arg, struct root *r, struct archive_entry *e, struct error **err);
int root_each(struct root *r, root_fn *fn, void *arg, struct error **err);
/* Content of the entry that fn was called with; 0 at its end. */
ssize_t root_read(struct root *r, void *p, size_t n, struct error **err);
/* "ext4 at 66 MiB", "initramfs", "tar", "container's image". */
const char *root_kind(const struct root *r);

/* What a copy of a root that is to live elsewhere does not have; root_filter. */
struct root_filter {
	bool as_is;		    /* keep all */
	bool boot;		    /* keep what is below /boot */
	const struct strv *without; /* paths, with or without "/" in front; may be NULL */
};
enum root_verdict { ROOT_KEEP, ROOT_DROP, ROOT_EMPTY };
/*
 * Dropped: devices, sockets, what lies in /dev /proc /sys /run /tmp, lost+found, ssh host keys, the random seed; machine-id is kept
 * empty, so that the system makes its own.
 */
enum root_verdict root_filter(const struct root_filter *f, struct archive_entry *e);

/* Writes the root as a tar (pax where ustar does not do): write is called with its bytes. *newest: time of the newest file, may be NULL. */
typedef int root_write_fn(void *arg, const void *p, size_t n, struct error **err);
int root_tar(struct root *r, const struct root_filter *f, root_write_fn *write, void *arg, time_t *newest, struct error **err);

/* ext4 at an offset of the origin's disk; NULL without error when there is none with a root in it. */
struct extfs;
struct extfs *extfs_open(struct origin *s, uint64_t offset, struct error **err);
void extfs_close(struct extfs *x);
int extfs_each(struct extfs *x, struct root *r, root_fn *fn, void *arg, struct error **err);
ssize_t extfs_read(struct extfs *x, void *p, size_t n, struct error **err);
bool extfs_has(struct extfs *x, const char *path);

/* Where file systems may be: partitions (libfdisk), or the whole disk. */
struct parts {
	struct part {
		uint64_t start, size; /* bytes */
		unsigned number;      /* 0: the whole disk */
		char *type, *name;    /* may be NULL */
	} *v;
	size_t len;
	char *label; /* gpt, dos, or NULL */
};
int parts_read(struct origin *s, struct parts *ret, struct error **err);
void parts_free(struct parts *p);
#define _cleanup_parts_ __attribute__((cleanup(parts_free)))

#endif
