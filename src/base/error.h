/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors. The function that meets a failure makes the error with the noun in
 * it; callers may put context in front; only main prints. A function that can
 * fail returns -1 (or NULL) and sets *err; the last parameter is always
 * `struct error **err`, never NULL, and *err is NULL on entry.
 *
 *	if (file_read(path, 1 << 20, &b, err) < 0)
 *		return error_wrap(err, "machine %s", name);
 *
 * Printed: "croft: machine sn: /x/machine.json: permission denied; HINT".
 */
#ifndef CROFT_BASE_ERROR_H
#define CROFT_BASE_ERROR_H

#include <stdarg.h>

/* The exit statuses of every croft command; part of its interface. */
enum error_class {
	ERR_FAILED = 1,	  /* it was tried and did not work */
	ERR_USAGE = 2,	  /* wrong use: option, argument, document */
	ERR_NOT_FOUND = 3,/* no such machine, image, group, file */
	ERR_SOME = 3,	  /* of several members some failed, each was told; others did not */
	ERR_STATE = 4,	  /* refused because of state: running, exists, in use */
	ERR_TIMEOUT = 124,
	ERR_INTR = 130,	  /* SIGINT or SIGTERM */
};

struct error {
	enum error_class cls;
	int code;  /* errno where there is one, else 0 */
	char *msg; /* context chain, "outer: inner: why" */
	char *hint;/* what to do, or NULL */
};
#define _cleanup_error_ __attribute__((cleanup(error_clear)))

/* All of these return -1, so that `return error_set(...)` reads well. */
int error_set(struct error **err, enum error_class cls, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* "MESSAGE: strerror(code)"; the class follows from the errno (ENOENT: not found, ETIMEDOUT ...). */
int error_errno(struct error **err, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Puts "CONTEXT: " in front. */
int error_wrap(struct error **err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Sets what to do about it (replaces an older hint only when there is none). */
int error_hint(struct error **err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Moves `from` to *err when *err is still empty, frees it otherwise. */
int error_move(struct error **err, struct error **from);
void error_clear(struct error **err); /* frees, sets NULL; also the cleanup function */
/* "MESSAGE; HINT" as a new string. */
char *error_text(const struct error *e);

#endif
