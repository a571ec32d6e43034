/* SPDX-License-Identifier: Apache-2.0 */
/* Is an image what it was; what differs between two. */
#ifndef CROFT_IMAGE_COMPARE_H
#define CROFT_IMAGE_COMPARE_H

#include "base/error.h"

/*
 * An image of the store: its files against their hash, and the structure of its disk. A file: the structure of a disk, the manifest of an
 * OVA, the digests of a container's image, the check sums of what is compressed. *what: what was checked, new string.
 */
int image_verify(const char *name, char **what, struct error **err);

/* How a path differs: '+' only in b, '-' only in a, '*' in content, '~' in owner, mode, time or attributes alone. */
typedef void image_diff_fn(void *arg, char how, const char *path);
/* The files of two roots. Returns how many paths differ; -1 with error. */
int image_diff(const char *a, const char *b, image_diff_fn *fn, void *arg, struct error **err);

#endif
