/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images: what machines boot from, DATA/images/NAME/ with image.json and the files it names. Never
 * modified once made: a new one is built beside it and renamed over. Machines' disks are qcow2
 * overlays of `disk`.
 */
#ifndef CROFT_IMAGE_IMAGE_H
#define CROFT_IMAGE_IMAGE_H

#include "base/error.h"
#include "base/strv.h"
#include <stdbool.h>
#include <stdint.h>

struct image {
	char *name, *dir;
	char *arch; /* x86_64 */
	char *os;   /* "tiny", "debian 12", or "" */
	char *kernel, *initrd,
		*cmdline;    /* direct kernel boot; absolute paths; NULL when it boots by itself */
	char *disk, *format; /* absolute path and qcow2 | raw | iso; NULL when it has none */
	uint64_t disk_size;  /* virtual, bytes */
	uint64_t memory;     /* bytes below which a machine with it cannot start; 0: not known */
	char *firmware;      /* bios, uefi, any */
	bool cloud_init;     /* it asks cloud-init's data source NoCloud */
	bool agent;          /* carries croft's guest program */
	char *sha256;        /* over the files, hex */
	char *source;        /* where it came from, for people */
	char *created;       /* ISO 8601, UTC */
	char *index;	     /* SHA-256 of the package index that it was made from last, or NULL */
};
struct image *image_open(const char *name,
	struct error **err); /* ERR_NOT_FOUND with the nearest name and how to make it */
void image_free(struct image *i);
static inline void image_freep(struct image **i)
{
	image_free(*i);
}
#define _cleanup_image_ __attribute__((cleanup(image_freep)))
int image_names(struct strv *ret, struct error **err);
/* Refused (ERR_STATE) while a machine's disk is an overlay of it, with the machines' names. */
int image_remove(const char *name, bool force, struct error **err);
/* raw, qcow2 or ISO file: probed, checked, copied sparsely (reflinked where possible), hashed. */
/* arch: NULL takes the host's. */
int image_import(const char *file, const char *name, const char *arch, bool force, struct error **err);

/*
 * Images that come whole from elsewhere. begin: a folder for the image's files; *lock, -1 at first, is held for all images that come together.
 * check: image.json in it names no file outside; gives its disk (or NULL) and format (new strings), and takes the name in. Then adopt
 * puts it in its place, where nothing is yet, or abort removes it.
 */
char *image_adopt_begin(const char *name, int *lock, struct error **err);
int image_adopt_check(const char *dir, const char *name, char **disk, char **format, struct error **err);
int image_adopt(const char *dir, const char *name, struct error **err);
void image_adopt_abort(const char *dir);

struct image_tiny_opts {
	const char *name;    /* default "tiny" */
	const char *arch;    /* default the host's */
	const char *mirror;  /* default: settings, else the host's apt sources, else Debian's */
	const char *release; /* default bookworm */
	bool offline;
	bool force; /* make it again though the inputs are the same */
	bool pm;    /* pm becomes process 1, with the guest program as a unit */
};
/*
 * The small guest. Nothing to do when an image from the same inputs exists (*made = false): croft's own files, and where the
 * mirror can be asked, the kernel of its signed index.
 */
int image_make_tiny(const struct image_tiny_opts *o, bool *made, struct error **err);

/* The same with the tools that repair and install machines, all in memory; its default name is "rescue". */
int image_make_rescue(const struct image_tiny_opts *o, bool *made, struct error **err);

struct image_debian_opts {
	const char *name;	     /* default "debian" */
	const char *mirror;	     /* as for tiny */
	const char *release;	     /* default bookworm */
	const struct strv *packages; /* in addition; may be NULL */
	uint64_t size;		     /* of the disk, bytes; 0: 4 GiB */
	bool cloud_init;
	bool offline;
	bool force;
};
/* A Debian disk that boots by BIOS and UEFI. *made as for tiny. */
int image_make_debian(const struct image_debian_opts *o, bool *made, struct error **err);

#endif
