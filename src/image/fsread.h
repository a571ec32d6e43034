/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads ext2, ext3 and ext4 file systems of a disk that is no file of the host's: whatever gives its bytes. Nothing is mounted or changed. What
 * lies in the journal only, as after a power cut, is not seen.
 */
#ifndef CROFT_IMAGE_FSREAD_H
#define CROFT_IMAGE_FSREAD_H

#include "base/buf.h"
#include "base/error.h"
#include <stdbool.h>
#include <stdint.h>

struct fsread_disk {
	int (*read)(void *arg, void *p, size_t n, uint64_t off, struct error **err);
	void *arg;
	uint64_t size;
};
/* Where such file systems begin on the disk: at its start, or in its partitions. The caller frees *ret. */
int fsread_find(const struct fsread_disk *d, uint64_t **ret, size_t *n, struct error **err);

struct fsread;
struct fsread *fsread_open(const struct fsread_disk *d, uint64_t start, struct error **err); /* d must stay */
void fsread_close(struct fsread *f); /* NULL allowed */

struct fsread_file {
	const char *path; /* "/etc/hostname" */
	uint32_t ino, mode, uid, gid, ctime;
	uint64_t size;
};
/* Everything but the root folder. fn returns 0 to go on. */
int fsread_walk(struct fsread *f, int (*fn)(void *arg, const struct fsread_file *file), void *arg, struct error **err);
/* Content of a file, or the target of a symbolic link, appended; more than max bytes is an error. */
int fsread_bytes(struct fsread *f, uint32_t ino, size_t max, struct buf *ret, struct error **err);
/* 1: the two have the same content, 0: they differ. */
int fsread_same(struct fsread *a, uint32_t ino_a, struct fsread *b, uint32_t ino_b, struct error **err);

#endif
