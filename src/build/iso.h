/* SPDX-License-Identifier: Apache-2.0 */
/* The medium that a template installs from: found or fetched, and checked. */
#ifndef CROFT_BUILD_ISO_H
#define CROFT_BUILD_ISO_H

#include "build/build.h"

/* Its path in *path (new), what identifies its content into the hash. */
int iso_get(struct build *b, char **path, struct sha *s, struct error **err);
/* "sha256:HEX", HEX, "none": *type NULL for none; static. "file:..." is resolved by iso_get only. ERR_USAGE otherwise. */
int iso_checksum_parse(const char *text, const char **type, const char **hex, struct error **err);
/* The line of a list as sha256sum, or BSD's tools, write it that names the file; the hex, new, or NULL. */
char *iso_checksum_find(const char *list, const char *name);

#endif
