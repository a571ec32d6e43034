/* SPDX-License-Identifier: Apache-2.0 */
/* What waits for the port: one buffer of whole frames, filled in place so that payload is not copied. */
#include "guest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

size_t out_waiting(const struct guest *g)
{
	return g->out_end - g->out_start;
}

/* Room for n bytes behind what is there. */
static uint8_t *out_room(struct guest *g, size_t n)
{
	if (g->out_start == g->out_end)
		g->out_start = g->out_end = 0;
	if (g->out_cap - g->out_end < n && g->out_start > 0) {
		memmove(g->out, g->out + g->out_start, out_waiting(g));
		g->out_end -= g->out_start;
		g->out_start = 0;
	}
	if (g->out_cap - g->out_end < n) {
		size_t cap = 2 * g->out_cap + n;
		uint8_t *more = realloc(g->out, cap);

		if (!more)
			return NULL;
		g->out = more;
		g->out_cap = cap;
	}
	return g->out + g->out_end;
}

int out_frame(struct guest *g, const struct frame *f)
{
	uint8_t *p;

	if (!g->connected)
		return 0;
	p = out_room(g, FRAME_HEADER + f->length);
	if (!p)
		return -1;
	frame_header(p, f);
	if (f->length)
		memcpy(p + FRAME_HEADER, f->data, f->length);
	g->out_end += FRAME_HEADER + f->length;
	return 0;
}

int out_bytes(struct guest *g, const uint8_t *data, size_t n)
{
	uint8_t *p = out_room(g, n);

	if (!p)
		return -1;
	memcpy(p, data, n);
	g->out_end += n;
	return 0;
}

uint8_t *out_begin(struct guest *g, struct stream *s, size_t *n)
{
	uint8_t *p;

	if (!g->connected || s->over || s->credit == 0 || out_waiting(g) >= OUT_BUSY)
		return NULL;
	p = out_room(g, FRAME_MAX);
	if (!p)
		return NULL;
	*n = s->credit < FRAME_PAYLOAD ? (size_t)s->credit : FRAME_PAYLOAD;
	return p + FRAME_HEADER;
}

void out_end(struct guest *g, struct stream *s, uint8_t channel, size_t n)
{
	struct frame f = {
		.type = FRAME_DATA, .channel = channel, .stream = s->id, .length = (uint32_t)n
	};

	frame_header(g->out + g->out_end, &f);
	g->out_end += FRAME_HEADER + n;
	s->credit -= n;
}

int out_flush(struct guest *g)
{
	while (g->out_start < g->out_end) {
		ssize_t r = write(g->port, g->out + g->out_start, out_waiting(g));

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return errno == EAGAIN ? 0 : -1;
		g->out_start += (size_t)r;
	}
	return 0;
}

void out_drop(struct guest *g)
{
	g->out_start = g->out_end = 0;
}
