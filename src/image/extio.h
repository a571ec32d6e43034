/* SPDX-License-Identifier: Apache-2.0 */
/* An io manager for libext2fs over whatever gives a disk's bytes, with a small cache: tables and folders are read in small pieces. */
#ifndef CROFT_IMAGE_EXTIO_H
#define CROFT_IMAGE_EXTIO_H

#include "base/error.h"

#include <ext2fs/ext2fs.h>
#include <stddef.h>
#include <stdint.h>

#define EXTIO_LINES 256u
struct extio {
	int (*read)(void *arg, void *p, size_t n, uint64_t off, struct error **err);
	void *arg;
	uint64_t size, start; /* of the disk; where the file system begins; bytes */
	struct error *err;    /* the first one of reading, which libext2fs cannot carry; error_move() takes it */
	struct {
		uint64_t at; /* plus one; 0: empty */
		uint32_t len;
		char *data;
	} line[EXTIO_LINES];
};
/* Opens the file system for reading; x stays as long as *fs, and is cleared behind it. `what`: for libext2fs's own messages. */
errcode_t extio_open(struct extio *x, const char *what, int flags, ext2_filsys *fs);
void extio_clear(struct extio *x);

#endif
