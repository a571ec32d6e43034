/* SPDX-License-Identifier: Apache-2.0 */
/* What the last build of a machine wrote: result.json in its folder of the cache. */
#ifndef CROFT_BUILD_RECORD_H
#define CROFT_BUILD_RECORD_H

#include "base/error.h"
#include "base/strv.h"
#include <stdbool.h>

/* Notes that these files, as they are now, came out under the key. */
int record_write(const char *path, const char *key, const char *out, const struct strv *files, struct error **err);
/* The files of that key, all as they were written, and in the same output folder; appended. False: something differs. */
bool record_holds(const char *path, const char *key, const char *out, struct strv *files);
/* Did an earlier build write what stands in this folder, and is all of it still as it was? */
bool record_owns(const char *path, const char *out);

#endif
