/* SPDX-License-Identifier: Apache-2.0 */
#include "build/ui.h"
#include "build/gotime.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_BYTES 65536

enum tone { SAY, MESSAGE, ERROR };
static const char *const tones[] = { "say", "message", "error" };

/* Hidden texts out, then the form of machine-readable lines when `escape`. New. */
static char *clean(const struct ui *u, const char *text, bool escape)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	while (*text) {
		size_t i = 0;

		while (u->hidden && i < u->hidden->len && strncmp(text, u->hidden->v[i], strlen(u->hidden->v[i])))
			i++;
		if (u->hidden && i < u->hidden->len) {
			buf_adds(&b, "<sensitive>");
			text += strlen(u->hidden->v[i]);
			continue;
		}
		if (escape && *text == ',')
			buf_adds(&b, "%!(PACKER_COMMA)");
		else if (escape && *text == '\n')
			buf_adds(&b, "\\n");
		else if (escape && *text == '\r')
			buf_adds(&b, "\\r");
		else
			buf_addc(&b, *text);
		text++;
	}
	buf_str(&b);
	return buf_steal(&b);
}

void ui_fact(const struct ui *u, const char *target, const char *category, const char *const *fields)
{
	if (!u->machine_readable)
		return;
	printf("%" PRId64 ",%s,%s", (int64_t)time(NULL), target ? target : "", category);
	for (; *fields; fields++) {
		_cleanup_free_ char *text = clean(u, *fields, true);

		printf(",%s", text);
	}
	printf("\n");
	fflush(stdout);
}

static void line(const struct ui *u, const char *target, enum tone tone, const char *text, size_t n)
{
	_cleanup_free_ char *one = xstrndup(text, n), *shown = clean(u, one, false), *now = NULL;
	const char *colour = tone == ERROR ? "\033[1;31m" : tone == SAY ? "\033[1;32m" : "";

	if (u->timestamps)
		now = go_time_format(time(NULL), 0, "2006-01-02T15:04:05Z: ");
	fprintf(tone == ERROR ? stderr : stdout, "%s%s%s%s%s%s%s\n", u->colour ? colour : "", tone == MESSAGE ? "    " : "==> ", now ? now : "", target ? target : "",
		target ? ": " : "", shown, u->colour && *colour ? "\033[0m" : "");
}

static void put(const struct ui *u, const char *target, enum tone tone, const char *text)
{
	if (u->machine_readable) {
		_cleanup_free_ char *full = xasprintf("%s%s%s%s", tone == MESSAGE ? "    " : "==> ", target ? target : "", target ? ": " : "", text);

		ui_fact(u, "", "ui", (const char *const[]){ tones[tone], full, NULL });
		return;
	}
	do {
		size_t n = strcspn(text, "\n");

		line(u, target, tone, text, n);
		text += n;
	} while (*text++ == '\n' && *text);
	fflush(stdout);
}

static void putv(const struct ui *u, const char *target, enum tone tone, const char *fmt, va_list ap)
{
	_cleanup_free_ char *text = xvasprintf(fmt, ap);

	put(u, target, tone, text);
}

void ui_say(const struct ui *u, const char *target, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	putv(u, target, SAY, fmt, ap);
	va_end(ap);
}

void ui_message(const struct ui *u, const char *target, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	putv(u, target, MESSAGE, fmt, ap);
	va_end(ap);
}

void ui_error(const struct ui *u, const char *target, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	putv(u, target, ERROR, fmt, ap);
	va_end(ap);
}

static void flush_line(struct ui_stream *s)
{
	while (s->len && s->rest[s->len - 1] == '\r')
		s->len--;
	s->rest[s->len] = '\0';
	put(s->u, s->target, s->error ? ERROR : MESSAGE, s->rest);
	s->len = 0;
}

void ui_stream(struct ui_stream *s, const void *p, size_t n)
{
	const char *c = p;

	if (!s->rest)
		s->rest = xmalloc(LINE_MAX_BYTES + 1);
	for (size_t i = 0; i < n; i++) {
		if (c[i] == '\n' || s->len == LINE_MAX_BYTES)
			flush_line(s);
		if (c[i] != '\n' && c[i])
			s->rest[s->len++] = c[i];
	}
}

void ui_stream_end(struct ui_stream *s)
{
	if (s->len)
		flush_line(s);
	free(STEAL(s->rest));
}

bool ui_ask(const struct ui *u, const char *target, char *answer, const char *fmt, ...)
{
	char in[64] = "";
	va_list ap;

	va_start(ap, fmt);
	putv(u, target, SAY, fmt, ap);
	va_end(ap);
	*answer = '\0';
	if (!isatty(0))
		return false;
	if (read(0, in, sizeof in - 1) > 0 && in[0] != '\n')
		*answer = in[0];
	return true;
}
