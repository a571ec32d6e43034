/* SPDX-License-Identifier: Apache-2.0 */
/* A file from outside made into a disk of the store: unpacked, taken out of an OVA, converted, as its content asks for. */
#ifndef CROFT_IMAGE_INTAKE_H
#define CROFT_IMAGE_INTAKE_H

#include "base/error.h"
#include "image/image.h"

/* Puts disk.raw, disk.qcow2 or disk.iso into dir; sets disk, format, disk_size, and firmware when the file tells it. */
int intake(const char *file, const char *dir, struct image *img, struct error **err);

#endif
