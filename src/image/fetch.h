/* SPDX-License-Identifier: Apache-2.0 */
/* Files over HTTP, HTTPS and file:// (libcurl; honours http_proxy and no_proxy). */
#ifndef CROFT_IMAGE_FETCH_H
#define CROFT_IMAGE_FETCH_H

#include "base/buf.h"
#include "base/error.h"

/* Whole body into b, at most max bytes. label: name on the progress line, or NULL for none. */
int fetch(const char *url, const char *label, size_t max, struct buf *b, struct error **err);
/* Whole body into a file, which appears under its name when it is complete. */
int fetch_file(const char *url, const char *label, const char *path, struct error **err);

#endif
