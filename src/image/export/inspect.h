/* SPDX-License-Identifier: Apache-2.0 */
/* What is in a file or in an image of the store, found by its content. */
#ifndef CROFT_IMAGE_INSPECT_H
#define CROFT_IMAGE_INSPECT_H

#include "base/error.h"

/*
 * A JSON object as text, new: what, kind, format, file_bytes; of disks size, data, table, partitions with their file systems; of those with a root that
 * can be read root, os, hostname, kernels, packages, files; of containers' images tags, layers. Nothing is mounted or started.
 */
char *image_inspect(const char *what, struct error **err);

#endif
