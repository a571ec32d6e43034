/* SPDX-License-Identifier: Apache-2.0 */
/* Compression of whole blocks (libdeflate): twice as fast as zlib at the same size. */
#ifndef CROFT_IMAGE_DEFLATE_H
#define CROFT_IMAGE_DEFLATE_H

#include <stddef.h>

#define DEFLATE_LEVEL 6

struct deflate;
struct deflate *deflate_new(int level); /* 1 to 12 */
void deflate_free(struct deflate *d);
/* Bytes that n take at most, whatever they are, as zlib or gzip. */
size_t deflate_bound(size_t n);
/* room at least deflate_bound(n). Returns the size of the zlib stream (RFC 1950). */
size_t deflate_zlib(struct deflate *d, const void *p, size_t n, void *out, size_t room);
/* A whole gzip member (RFC 1952) without name and time. */
size_t deflate_gzip(struct deflate *d, const void *p, size_t n, void *out, size_t room);

#endif
