/* SPDX-License-Identifier: Apache-2.0 */
/* Files for the guest while it installs itself: a small HTTP server on a thread of its own. */
#ifndef CROFT_BUILD_HTTP_H
#define CROFT_BUILD_HTTP_H

#include "base/error.h"
#include "build/val.h"

struct http;
/*
 * dir: a folder with listings and index.html; or content: a map of "/path" to text. The first free port from min to max on address.
 * Nothing outside dir is served. ERR_STATE: all ports are taken.
 */
struct http *http_start(const char *dir, const struct val *content, const char *address, unsigned min, unsigned max, struct error **err);
unsigned http_port(const struct http *h);
void http_stop(struct http *h); /* NULL allowed */

#endif
