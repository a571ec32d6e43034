/* SPDX-License-Identifier: Apache-2.0 */
/* What export and import share. */
#ifndef CROFT_MACHINE_BUNDLEINT_H
#define CROFT_MACHINE_BUNDLEINT_H

#include "machine/bundle.h"
#include "snapint.h"
#include "store/bundle.h"

#include <jansson.h>

#define BUNDLE_FORMAT 1
#define BUNDLE_ABOUT "croft.json"
#define BUNDLE_MACHINE "machine/"
#define BUNDLE_IMAGE "image/"
#define BUNDLE_OUTSIDE "outside-"

/* A file outside of the machine's folder that its definition names. */
struct bundle_outside {
	char **field; /* in the definition: the path */
	char key[32]; /* "disk-3", "kernel" */
	bool qcow2;
};
/* All of them, at most 4 more than there are disks; the caller frees the array. */
struct bundle_outside *bundle_outside_of(struct machine_def *d, size_t *n);
/* What `file` (of the format qcow2) refers to besides itself, or NULL (new); an error when it can't be asked or keeps its data elsewhere. */
int bundle_backing(const char *file, char **ret, struct error **err);

#endif
