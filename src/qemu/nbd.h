/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Client of QEMU's NBD exports on a unix socket (the NBD protocol, github.com/NetworkBlockDevice/nbd doc/proto.md; QEMU docs/interop/nbd.txt): the
 * content of a disk as its guest sees it, where it has data, and what changed since a bitmap was begun. One request at a time;
 * may be used by several threads.
 */
#ifndef CROFT_QEMU_NBD_H
#define CROFT_QEMU_NBD_H

#include "base/error.h"
#include "base/proc.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct nbd;
/* bitmap: its name, or NULL. ERR_NOT_FOUND when the export, or the bitmap, is not there. */
struct nbd *nbd_connect(const char *sock, const char *export, const char *bitmap, struct error **err);
void nbd_close(struct nbd *n); /* NULL allowed */
static inline void nbd_closep(struct nbd **n)
{
	nbd_close(*n);
}
#define _cleanup_nbd_ __attribute__((cleanup(nbd_closep)))
uint64_t nbd_size(const struct nbd *n);
int nbd_read(struct nbd *n, void *p, size_t len, uint64_t off, struct error **err);
int nbd_write(struct nbd *n, const void *p, size_t len, uint64_t off, struct error **err);
int nbd_zero(struct nbd *n, uint64_t len, uint64_t off, struct error **err);
int nbd_flush(struct nbd *n, struct error **err);

struct nbd_extent {
	uint64_t start, len;
	bool zero;  /* reads as zeros */
	bool dirty; /* changed since the bitmap was begun; true without a bitmap */
};
/* All of the disk, in order, without gaps; neighbours differ. The caller frees *ret. */
int nbd_extents(struct nbd *n, struct nbd_extent **ret, size_t *len, struct error **err);

/* A qemu-nbd of our own that serves one disk under the export's name "disk"; it ends with *server. */
struct nbd_serve {
	const char *dir, *sock; /* folder for its socket, and the socket's name; it is gone when the call returns */
	const char *disk;	/* absolute path; or, without a format, in the words of --image-opts */
	const char *format;
	bool rw;
	const char *bitmap; /* or NULL */
	const char *snapshot; /* "snapshot.name=NAME": as the disk was then; or NULL */
};
struct nbd *nbd_serve(const struct nbd_serve *s, struct proc *server, struct error **err);

#endif
