/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk around a root that has none: a tar, or a container's image. The root becomes an ext4 in the
 * third partition; a root that holds GRUB's first stages (rootdisk.c) boots by BIOS and UEFI.
 */
#ifndef CROFT_IMAGE_ROOTDISK_H
#define CROFT_IMAGE_ROOTDISK_H

#include "image/export/origin.h"

/* Is it a tar with a root in it, or a container's image? Nothing else is an error here. */
bool rootdisk_wanted(struct origin *from);
/*
 * Makes the raw file, which must not be there. size: of the disk, bytes; 0: what the root needs and
 * half as much again. *boots: with boot loaders.
 */
int rootdisk_make(struct origin *from, const char *raw, uint64_t size, bool *boots,
	struct error **err);

#endif
