/* SPDX-License-Identifier: Apache-2.0 */
/* The root of a container's image: its layers, the upper ones hiding what lies below (image-spec, layer.md). */
#ifndef CROFT_IMAGE_CONTAINER_H
#define CROFT_IMAGE_CONTAINER_H

#include "base/error.h"
#include "base/strv.h"

#include <archive.h>
#include <archive_entry.h>

/*
 * Members of an archive with the layers of its first image, the lowest first: a Docker archive (manifest.json) or an OCI layout (index.json).
 * 0: found, 1: it is no such archive.
 */
int container_layers(const char *file, struct strv *ret, struct error **err);
/* Names that manifest.json has for it ("REPOSITORY:TAG"); none is success. */
int container_names(const char *file, struct strv *ret, struct error **err);
/* ar: what the entry's content is read from. */
typedef int container_fn(void *arg, struct archive *ar, struct archive_entry *e, struct error **err);
/* Everything that is to be seen of them, layer by layer from the top. Paths are as in the layers, without "./" in front. */
int container_each(const char *file, const struct strv *layers, container_fn *fn, void *arg, struct error **err);

#endif
