/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What exports, checks and comparisons read: an image of the store or a file. Its disk's content as a guest would see it, and
 * where it has any: raw files directly, all other formats through qemu-nbd.
 */
#ifndef CROFT_IMAGE_ORIGIN_H
#define CROFT_IMAGE_ORIGIN_H

#include "base/error.h"
#include "base/proc.h"
#include "image/export/sniff.h"
#include "image/image.h"
#include "qemu/nbd.h"
#include <stdbool.h>
#include <stdint.h>

struct origin {
	char *what;	    /* as given, for messages */
	char *name;	    /* of the image; of the file without folder and suffix */
	struct image *img;  /* from the store, else NULL */
	char *file;	    /* absolute path of the disk or archive; NULL when the image has none */
	struct sniff sniff; /* of that file */
	uint64_t size;	    /* of the disk, bytes; 0 until it is opened */
	/* private */
	int fd;
	struct nbd *nbd;
	struct proc server;
	char *dir;
	struct nbd_extent *extents;
	size_t nextents;
};
#define _cleanup_origin_ __attribute__((cleanup(origin_close)))
/* A name of the store goes before a file in this folder ("./NAME" is always the file). */
int origin_open(struct origin *s, const char *what, struct error **err);
void origin_close(struct origin *s);
/* A folder that is an OCI image layout, which is read as an archive of it. */
bool origin_is_layout(const char *path);
/* Makes the disk's content readable; ERR_USAGE when there is none. May be called again. */
int origin_disk(struct origin *s, struct error **err);
int origin_read(struct origin *s, void *p, size_t n, uint64_t off, struct error **err);
/*
 * Pieces of the disk, `piece` bytes each but for the last, that may hold other things than zeros: sets *off, at which the search
 * begins, and *len. False at the end.
 */
bool origin_next(const struct origin *s, size_t piece, uint64_t *off, size_t *len);
/* Bytes in such pieces: what progress counts. */
uint64_t origin_data(const struct origin *s, size_t piece);
/* "debian" of "/x/debian.tar.gz": for names inside what is made. New string. */
char *origin_stem(const char *file);

#endif
