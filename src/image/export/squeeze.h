/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compression of a stream on its way into a sink: gzip by all cores (members of 1 MiB, which every reader of gzip takes as one
 * stream), zstd by all cores (libzstd), xz (libarchive). The same bytes in give the same bytes out, whatever the number of cores.
 */
#ifndef CROFT_IMAGE_SQUEEZE_H
#define CROFT_IMAGE_SQUEEZE_H

#include "image/export/sink.h"

struct squeeze;
/* kind: "gz", "zst", "xz", or NULL for none. level: of deflate; 0: 6. to must live as long. */
struct squeeze *squeeze_new(const char *kind, int level, struct sink *to);
int squeeze_write(struct squeeze *q, const void *p, size_t n, struct error **err);
int squeeze_end(struct squeeze *q, struct error **err); /* writes what is left; squeeze_free is still to be called */
void squeeze_free(struct squeeze *q);
static inline void squeeze_freep(struct squeeze **q)
{
	squeeze_free(*q);
}
#define _cleanup_squeeze_ __attribute__((cleanup(squeeze_freep)))

#endif
