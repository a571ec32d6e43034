/* SPDX-License-Identifier: Apache-2.0 */
/* Floppies and CDs with a template's files: mtools and xorriso make them. */
#ifndef CROFT_BUILD_MEDIA_H
#define CROFT_BUILD_MEDIA_H

#include "build/build.h"

/* Does the template want one? */
bool media_wants_floppy(const struct conf *c);
bool media_wants_cd(const struct conf *c);
/* What goes onto them, into the hash. */
int media_hash(const struct conf *c, struct sha *s, struct error **err);
/* Makes the image at path; replaced when it is there. */
int media_make_floppy(const struct conf *c, const char *path, struct error **err);
int media_make_cd(const struct conf *c, const char *path, struct error **err);

#endif
