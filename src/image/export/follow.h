/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the files of layers lie in the end: a layer's "lib/x" whose folder a layer below has made a link to "usr/lib" is "usr/lib/x", as engines
 * that put layers one upon the other make it; a layer's own folder "lib" takes the link's place. Layers are told from the lowest up.
 */
#ifndef CROFT_IMAGE_FOLLOW_H
#define CROFT_IMAGE_FOLLOW_H

#include "base/map.h"

struct follow {
	struct map links;  /* as of now: path -> target, char * */
	struct map *moved; /* for each layer: path as it has it -> path in the end, char *; those that differ alone */
	struct map *heirs; /* for each layer: target of hard links -> the first of them, both in the end, char * */
	size_t layers;
};
void follow_init(struct follow *f, size_t layers);
void follow_clear(struct follow *f);
/* link: target of a symbolic link; hard: of a hard link, a path as the layer has it; both may be NULL. */
void follow_entry(struct follow *f, size_t layer, const char *path, const char *link, const char *hard);
/* What lies below a path is gone, and itself. */
void follow_gone(struct follow *f, const char *path, bool itself);
/* Of a path that was told, or of a hard link's target; it belongs to f, or is the path itself. */
const char *follow_path(const struct follow *f, size_t layer, const char *path);
/* The first hard link to a file of the layer, or NULL: what has its content when the file itself is hidden. Paths in the end. */
const char *follow_heir(const struct follow *f, size_t layer, const char *path);

#endif
