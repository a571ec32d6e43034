/* SPDX-License-Identifier: Apache-2.0 */
/* The header of qcow2 files (QEMU's docs/interop/qcow2.txt), because starting qemu-img takes longer than most of what croft does. */
#ifndef CROFT_BASE_QCOW2_H
#define CROFT_BASE_QCOW2_H

#include "error.h"
#include <stdbool.h>
#include <stdint.h>

#define QCOW2_MAGIC "QFI\xfb"

/* As on disk: all numbers are big endian. */
struct qcow2_header {
	uint32_t magic, version;
	uint64_t backing; /* where the backing file's name is; 0: none */
	uint32_t backing_len, cluster_bits;
	uint64_t size; /* bytes that the guest sees */
	uint32_t crypt, l1_size;
	uint64_t l1_offset, refcounts;
	uint32_t refcount_clusters, snapshots;
	uint64_t snapshots_offset;
	/* version 3 */
	uint64_t incompatible, compatible, autoclear;
} __attribute__((packed));
_Static_assert(sizeof(struct qcow2_header) == 96, "layout on disk");

/* Reads it from a file's begin; version 2 leaves the last three 0. False: no qcow2, or not readable. */
bool qcow2_read_header(int fd, struct qcow2_header *h);
/* Whether it begins as one; the rest may be broken. False too for what is not there. */
bool qcow2_is(const char *path);
bool qcow2_is_fd(int fd);
/* Size that the guest sees; 0: no qcow2. */
uint64_t qcow2_size(const char *path);

/*
 * Makes path an empty qcow2 of size bytes (rounded up to sectors), over backing when that isn't NULL: what `qemu-img create` makes of
 * it, and flushed. backing: an absolute path; format: its format. A file that is there is replaced in place. ERR_USAGE: too large.
 */
int qcow2_create(const char *path, const char *backing, const char *format, uint64_t size, struct error **err);

#endif
