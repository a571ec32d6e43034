/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a file from outside is, by its content and never by its name; and whether it would have QEMU open other files, which is
 * refused: who gives away an image could have any file of this computer read through it.
 */
#ifndef CROFT_IMAGE_SNIFF_H
#define CROFT_IMAGE_SNIFF_H

#include "base/error.h"
#include <stdbool.h>
#include <stdint.h>

enum sniff_kind {
	SNIFF_DISK,	  /* format is QEMU's word */
	SNIFF_ISO,	  /* ISO 9660, or one that is a disk as well */
	SNIFF_TAR,	  /* what is in it is for the reader of archives to say */
	SNIFF_COMPRESSED, /* format is gzip, xz, zstd, bzip2 or lz4 */
	SNIFF_SQUASHFS,
	SNIFF_EROFS,
};
struct sniff {
	enum sniff_kind kind;
	const char *format; /* "raw", "qcow2", "vmdk", "vdi", "vpc", "vhdx"; static */
};
/* `what` is for messages. The file's position stays. */
int sniff_fd(int fd, const char *what, struct sniff *ret, struct error **err);
int sniff_file(const char *path, struct sniff *ret, struct error **err);

#endif
