/* SPDX-License-Identifier: Apache-2.0 */
/*
 * List of owned strings, NULL-terminated: `v` can be given to execve as it is.
 * A zeroed struct is an empty list (v is NULL then).
 */
#ifndef CROFT_BASE_STRV_H
#define CROFT_BASE_STRV_H

#include <stdbool.h>
#include <stddef.h>

struct strv {
	char **v;
	size_t len, cap;
};
#define STRV_INIT { NULL, 0, 0 }
#define _cleanup_strv_ __attribute__((cleanup(strv_free)))

void strv_free(struct strv *l);
void strv_add(struct strv *l, const char *s);	    /* copies */
void strv_take(struct strv *l, char *s);	    /* takes ownership */
void strv_addf(struct strv *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void strv_addv(struct strv *l, const char *const *v); /* copies a NULL-terminated vector */
bool strv_has(const struct strv *l, const char *s);
void strv_sort(struct strv *l); /* by strcmp */
/* Splits at any byte of `seps`; empty parts are left out. */
void strv_split(struct strv *l, const char *s, const char *seps);
char *strv_join(const struct strv *l, const char *sep); /* new string */

#endif
