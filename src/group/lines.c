/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#define LINES_KEPT 8
#define LINE_MAX_BYTES 4096

static void end_line(struct lines *l)
{
	if (l->kept.len == LINES_KEPT) {
		free(l->kept.v[0]);
		memmove(l->kept.v, l->kept.v + 1, l->kept.len * sizeof(*l->kept.v));
		l->kept.len--;
	}
	strv_add(&l->kept, buf_str(&l->line));
	if (l->w)
		worker_line(l->w, buf_str(&l->line), l->line.len);
	buf_clear(&l->line);
}

void lines_take(void *arg, int stream, const void *p, size_t n)
{
	struct lines *l = arg;
	const char *s = p;

	for (size_t i = 0; i < n; i++) {
		if (s[i] == '\n' || l->line.len >= LINE_MAX_BYTES)
			end_line(l);
		if (s[i] != '\n' && s[i] != '\r' && s[i])
			buf_addc(&l->line, s[i]);
	}
}

void lines_end(struct lines *l)
{
	if (l->line.len)
		end_line(l);
}

void lines_free(struct lines *l)
{
	buf_free(&l->line);
	strv_free(&l->kept);
}
