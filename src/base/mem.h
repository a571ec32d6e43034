/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allocation that cannot fail: out of memory prints one line and aborts, so no
 * caller carries an error path that nobody can test. Sizes that come from
 * outside are bounded by the parser that reads them, before they get here.
 */
#ifndef CROFT_BASE_MEM_H
#define CROFT_BASE_MEM_H

#include <stdarg.h>
#include <stddef.h>

void *xmalloc(size_t n);
void *xcalloc(size_t n, size_t size); /* zeroed; checks n * size for overflow */
void *xrealloc(void *p, size_t n);
void *xreallocarray(void *p, size_t n, size_t size);
char *xstrdup(const char *s);		  /* NULL gives NULL */
char *xstrndup(const char *s, size_t n);  /* at most n bytes, NUL-terminated */
void *xmemdup(const void *p, size_t n);
/* printf into a new string that the caller frees. */
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
char *xvasprintf(const char *fmt, va_list ap) __attribute__((format(printf, 1, 0)));

#endif
