/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One image in the formats of other tools. What is made is whole or absent, and the same image gives the same bytes where the
 * format has no random identity that its tools insist on (docs/exports.md).
 */
#ifndef CROFT_IMAGE_EXPORT_H
#define CROFT_IMAGE_EXPORT_H

#include "base/error.h"
#include "base/strv.h"
#include <stdbool.h>
#include <stdint.h>

struct image_export_opts {
	const char *format;   /* NULL: by the suffix of the output's name */
	const char *compress; /* gz, xz, zst, none; NULL: by the suffix, else the format's own way */
	int level;	      /* of deflate, 1 to 12; 0: 6 */
	const char *name;     /* of the machine or of the container's image, "REPOSITORY[:TAG]"; NULL: that of the image */
	bool force, dry_run;
	/* OVA */
	unsigned cpus;	      /* 0: 2 */
	uint64_t memory;      /* bytes; 0: 1 GiB */
	const char *bus;      /* sata (NULL), scsi, ide */
	const char *firmware; /* bios, uefi; NULL: as the image wants */
	const char *manifest; /* sha256 (NULL), sha1, none */
	/* roots */
	const struct strv *without; /* paths that are left out, with all below; may be NULL */
	bool as_is;		    /* nothing is left out, no identity taken away */
	/* OCI */
	const struct strv *env, *cmd; /* "A=b"; may be NULL */
	const struct strv *changes;   /* lines of a Dockerfile (changes.h); may be NULL */
};
/* what: an image's name or a file. out: a file, or "-". */
int image_export(const char *what, const char *out, const struct image_export_opts *o, struct error **err);
/* The names that a container's image archive, as image_export writes it, has besides or instead: "REPOSITORY:TAG"; replaced whole. */
int image_retag(const char *file, const struct strv *names, bool add, struct error **err);
/* The names of all formats, "raw|qcow2|...". */
#define IMAGE_EXPORT_FORMATS "raw|qcow2|vmdk|vdi|vhd|vhdx|ova|oci|tar|squashfs|erofs|iso|netboot"

#endif
