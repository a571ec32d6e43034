/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Growable byte buffer. `data` always has a NUL after `len` bytes, so a buffer
 * that holds text is a C string. A zeroed struct is an empty buffer.
 */
#ifndef CROFT_BASE_BUF_H
#define CROFT_BASE_BUF_H

#include <stdarg.h>
#include <stddef.h>

struct buf {
	char *data; /* never NULL after the first call of any buf_* function */
	size_t len, cap;
};
#define BUF_INIT { NULL, 0, 0 }
#define _cleanup_buf_ __attribute__((cleanup(buf_free)))

void buf_free(struct buf *b);				  /* and makes it empty again */
void buf_clear(struct buf *b);				  /* len = 0, keeps the memory */
char *buf_reserve(struct buf *b, size_t n);		  /* room for n more bytes; where they go */
void buf_add(struct buf *b, const void *p, size_t n);
void buf_adds(struct buf *b, const char *s);
void buf_addc(struct buf *b, char c);
void buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_addvf(struct buf *b, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
void buf_consume(struct buf *b, size_t n);		  /* drops the first n bytes */
char *buf_steal(struct buf *b);				  /* the string; the buffer is empty again */
const char *buf_str(struct buf *b);			  /* "" when empty, never NULL */

#endif
