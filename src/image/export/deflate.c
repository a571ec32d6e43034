/* SPDX-License-Identifier: Apache-2.0 */
#include "image/export/deflate.h"

#include <libdeflate.h>
#include <stdlib.h>

/* A gzip member is twelve bytes longer than a zlib stream. */
#define GZIP_MORE 16

struct deflate *deflate_new(int level)
{
	struct libdeflate_compressor *c = libdeflate_alloc_compressor(level);

	if (!c)
		abort(); /* only for want of memory, or a level that the caller has not checked */
	return (struct deflate *)c;
}

void deflate_free(struct deflate *d)
{
	libdeflate_free_compressor((struct libdeflate_compressor *)d);
}

size_t deflate_bound(size_t n)
{
	return libdeflate_zlib_compress_bound(NULL, n) + GZIP_MORE;
}

size_t deflate_zlib(struct deflate *d, const void *p, size_t n, void *out, size_t room)
{
	return libdeflate_zlib_compress((struct libdeflate_compressor *)d, p, n, out, room);
}

size_t deflate_gzip(struct deflate *d, const void *p, size_t n, void *out, size_t room)
{
	return libdeflate_gzip_compress((struct libdeflate_compressor *)d, p, n, out, room);
}
