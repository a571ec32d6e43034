/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"
#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct error *make(struct error **err, enum error_class cls, int code)
{
	error_clear(err);
	*err = xcalloc(1, sizeof(**err));
	(*err)->cls = cls;
	(*err)->code = code;
	return *err;
}

int error_set(struct error **err, enum error_class cls, const char *fmt, ...)
{
	va_list ap;
	char *msg;

	/* Formatted first: an argument may be text of the error that is replaced. */
	va_start(ap, fmt);
	msg = xvasprintf(fmt, ap);
	va_end(ap);
	make(err, cls, 0)->msg = msg;
	return -1;
}

static enum error_class class_of(int code)
{
	switch (code) {
	case ENOENT:
		return ERR_NOT_FOUND;
	case ETIMEDOUT:
		return ERR_TIMEOUT;
	case EEXIST:
	case EBUSY:
	case EADDRINUSE:
		return ERR_STATE;
	default:
		return ERR_FAILED;
	}
}

int error_errno(struct error **err, int code, const char *fmt, ...)
{
	char *what;
	struct error *e;
	va_list ap;

	va_start(ap, fmt);
	what = xvasprintf(fmt, ap);
	va_end(ap);
	e = make(err, class_of(code), code);
	e->msg = xasprintf("%s: %s", what, strerror(code));
	free(what);
	if (code == ENOSPC)
		error_hint(err, "make room on that file system and try again; nothing was changed");
	return -1;
}

int error_wrap(struct error **err, const char *fmt, ...)
{
	va_list ap;
	char *front, *msg;

	if (!*err)
		return -1;
	va_start(ap, fmt);
	front = xvasprintf(fmt, ap);
	va_end(ap);
	msg = xasprintf("%s: %s", front, (*err)->msg);
	free(front);
	free((*err)->msg);
	(*err)->msg = msg;
	return -1;
}

int error_hint(struct error **err, const char *fmt, ...)
{
	va_list ap;

	if (!*err || (*err)->hint)
		return -1;
	va_start(ap, fmt);
	(*err)->hint = xvasprintf(fmt, ap);
	va_end(ap);
	return -1;
}

int error_move(struct error **err, struct error **from)
{
	if (*err)
		error_clear(from);
	else
		*err = *from;
	*from = NULL;
	return -1;
}

void error_clear(struct error **err)
{
	if (!*err)
		return;
	free((*err)->msg);
	free((*err)->hint);
	free(*err);
	*err = NULL;
}

char *error_text(const struct error *e)
{
	return e->hint ? xasprintf("%s; %s", e->msg, e->hint) : xstrdup(e->msg);
}
