/* SPDX-License-Identifier: Apache-2.0 */
#include "base/progress.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/units.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define REDRAW_NS 100000000u

enum progress_mode progress_mode = PROGRESS_AUTO;

struct progress {
	struct progress *next;
	char *label, *state;
	uint64_t done, total, start;
	int bytes;
};

static struct progress *tasks; /* in order of start */
static unsigned drawn;	       /* lines on the terminal that are ours */
static uint64_t last_draw;

static enum progress_mode mode(void)
{
	if (progress_mode == PROGRESS_AUTO)
		progress_mode = log_level < LOG_INFO ? PROGRESS_NONE : PROGRESS_PLAIN;
	return progress_mode;
}

static int on_terminal(void)
{
	static int known = -1;

	if (known < 0)
		known = progress_mode == PROGRESS_AUTO && log_level >= LOG_INFO && log_colour(STDERR_FILENO);
	return known;
}

static void emit(struct buf *b)
{
	if (b->len && write(STDERR_FILENO, b->data, b->len) < 0)
		return;
}

static void describe(const struct progress *p, struct buf *b)
{
	char a[16], c[16];
	double seconds = (double)(loop_now() - p->start) / 1e9;

	if (p->bytes && p->total) {
		buf_addf(b, "%3u%%  %s of %s", (unsigned)(p->done * 100 / p->total), format_size(p->done, a),
			format_size(p->total, c));
		if (seconds > 0.5 && p->done) {
			double rate = (double)p->done / seconds;

			buf_addf(b, "  %s/s", format_size((uint64_t)rate, a));
			if (p->done < p->total)
				buf_addf(b, "  %.0f s left", (double)(p->total - p->done) / rate);
		}
	} else if (p->bytes && p->done) {
		buf_adds(b, format_size(p->done, a));
	} else if (p->total) {
		buf_addf(b, "%llu of %llu", (unsigned long long)p->done, (unsigned long long)p->total);
	}
	if (p->state)
		buf_addf(b, "%s%s", b->len ? "  " : "", p->state);
}

static void erase(struct buf *b)
{
	if (drawn)
		buf_addf(b, "\033[%uA\033[J", drawn);
	drawn = 0;
}

static void draw(void)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct winsize ws = { 0 };
	size_t width;

	width = ioctl(STDERR_FILENO, TIOCGWINSZ, &ws) == 0 && ws.ws_col ? ws.ws_col : 80;
	erase(&b);
	for (struct progress *p = tasks; p; p = p->next) {
		_cleanup_buf_ struct buf d = BUF_INIT;

		describe(p, &d);
		/* Cut to the width: a line that wraps would spoil the count of lines. */
		buf_addf(&b, "%-20.*s %.*s\n", (int)(width > 30 ? 40 : width), p->label,
			(int)(width > 48 ? width - 48 : 8), buf_str(&d));
		drawn++;
	}
	emit(&b);
	last_draw = loop_now();
}

void progress_hide(void)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	erase(&b);
	emit(&b);
}

static void json_line(const struct progress *p, const char *event, const char *text)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	const char *field[] = { "event", event, "task", p->label, "text", text };

	buf_addc(&b, '{');
	for (size_t i = 0; i < 6; i += 2) {
		if (!field[i + 1])
			continue;
		buf_addf(&b, "\"%s\":\"", field[i]);
		for (const unsigned char *s = (const unsigned char *)field[i + 1]; *s; s++)
			if (*s < 0x20 || *s == '"' || *s == '\\')
				buf_addf(&b, "\\u%04x", *s);
			else
				buf_addc(&b, (char)*s);
		buf_adds(&b, "\",");
	}
	buf_addf(&b, "\"done\":%llu,\"total\":%llu}\n", (unsigned long long)p->done, (unsigned long long)p->total);
	emit(&b);
}

struct progress *progress_start(const char *label, uint64_t total, int bytes)
{
	struct progress *p = xcalloc(1, sizeof(*p)), **end = &tasks;
	int tty = on_terminal();

	p->label = xstrdup(label);
	p->total = total;
	p->bytes = bytes;
	p->start = loop_now();
	while (*end)
		end = &(*end)->next;
	*end = p;
	if (tty)
		draw();
	else if (mode() == PROGRESS_JSON)
		json_line(p, "start", NULL);
	return p;
}

static void changed(struct progress *p, int important)
{
	if (on_terminal()) {
		if (important || loop_now() - last_draw >= REDRAW_NS)
			draw();
	} else if (mode() == PROGRESS_JSON && (important || loop_now() - last_draw >= REDRAW_NS)) {
		json_line(p, "progress", p->state);
		last_draw = loop_now();
	}
}

void progress_update(struct progress *p, uint64_t done)
{
	if (!p)
		return;
	p->done = done;
	changed(p, 0);
}

void progress_state(struct progress *p, const char *fmt, ...)
{
	va_list ap;

	if (!p)
		return;
	free(p->state);
	va_start(ap, fmt);
	p->state = xvasprintf(fmt, ap);
	va_end(ap);
	changed(p, 1);
}

void progress_end(struct progress *p, const char *fmt, ...)
{
	_cleanup_buf_ struct buf b = BUF_INIT, text = BUF_INIT;
	struct progress **at = &tasks;
	va_list ap;

	if (!p)
		return;
	while (*at && *at != p)
		at = &(*at)->next;
	if (*at)
		*at = p->next;
	va_start(ap, fmt);
	buf_addvf(&text, fmt, ap);
	va_end(ap);
	if (on_terminal() || mode() == PROGRESS_PLAIN) {
		erase(&b);
		buf_addf(&b, "%-20s %s\n", p->label, buf_str(&text));
		emit(&b);
		if (on_terminal() && tasks)
			draw();
	} else if (mode() == PROGRESS_JSON) {
		json_line(p, "end", buf_str(&text));
	}
	free(p->label);
	free(p->state);
	free(p);
}
