/* SPDX-License-Identifier: Apache-2.0 */
/* What is packed, into a file of its own; holes are made where there are zeros. */
#ifndef CROFT_IMAGE_UNPACK_H
#define CROFT_IMAGE_UNPACK_H

#include "base/error.h"
#include <stdbool.h>

/* gzip, xz, zstd, bzip2 or lz4; the check sums inside are checked, and what is cut off is an error. */
int unpack_stream(const char *file, const char *to, struct error **err);
/* The disk of an OVA, checked against its manifest, or of a Vagrant box. *uefi: does the description ask for it? */
int unpack_ova(const char *file, const char *to, bool *uefi, struct error **err);
/* All members against the manifest; *checked counts them. */
int ova_verify(const char *file, unsigned *checked, struct error **err);

#endif
