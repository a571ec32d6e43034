/* SPDX-License-Identifier: Apache-2.0 */
#include "base/strv.h"
#include "base/buf.h"
#include "base/mem.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void strv_free(struct strv *l)
{
	for (size_t i = 0; i < l->len; i++)
		free(l->v[i]);
	free(l->v);
	*l = (struct strv)STRV_INIT;
}

void strv_take(struct strv *l, char *s)
{
	if (l->len + 2 > l->cap) {
		l->cap = l->cap ? l->cap * 2 : 8;
		l->v = xreallocarray(l->v, l->cap, sizeof(*l->v));
	}
	l->v[l->len++] = s;
	l->v[l->len] = NULL;
}

void strv_add(struct strv *l, const char *s)
{
	strv_take(l, xstrdup(s));
}

void strv_addf(struct strv *l, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	strv_take(l, xvasprintf(fmt, ap));
	va_end(ap);
}

void strv_addv(struct strv *l, const char *const *v)
{
	for (; v && *v; v++)
		strv_add(l, *v);
}

bool strv_has(const struct strv *l, const char *s)
{
	for (size_t i = 0; i < l->len; i++)
		if (!strcmp(l->v[i], s))
			return true;
	return false;
}

static int by_strcmp(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void strv_sort(struct strv *l)
{
	if (l->len)
		qsort(l->v, l->len, sizeof(*l->v), by_strcmp);
}

void strv_split(struct strv *l, const char *s, const char *seps)
{
	while (*s) {
		size_t n;

		s += strspn(s, seps);
		n = strcspn(s, seps);
		if (n)
			strv_take(l, xstrndup(s, n));
		s += n;
	}
}

char *strv_join(const struct strv *l, const char *sep)
{
	struct buf b = BUF_INIT;

	for (size_t i = 0; i < l->len; i++) {
		if (i)
			buf_adds(&b, sep);
		buf_adds(&b, l->v[i]);
	}
	return buf_steal(&b);
}
