/* SPDX-License-Identifier: Apache-2.0 */
/* The table of streams, and what is the same for all kinds of them. */
#include "guest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void (*const openers[])(struct guest *, struct stream *) = {
	[FRAME_EXEC] = exec_open,
	[FRAME_PUSH] = push_open,
	[FRAME_PULL] = pull_open,
	[FRAME_FACTS] = facts_open,
	[FRAME_NET] = net_open,
	[FRAME_POWER] = power_open,
	[FRAME_CLOCK] = clock_open,
	[FRAME_FREEZE] = freeze_open,
};

struct stream *stream_find(struct guest *g, uint32_t id)
{
	for (struct stream *s = g->streams; s; s = s->next)
		if (s->id == id && !s->over)
			return s;
	return NULL;
}

static void refuse(struct guest *g, uint32_t id, int code, const char *text)
{
	out_frame(g, &(struct frame){ .type = FRAME_ERROR,
			     .stream = id,
			     .value = (uint32_t)code,
			     .length = (uint32_t)strlen(text),
			     .data = (const uint8_t *)text });
}

void stream_error(struct guest *g, struct stream *s, int code, const char *text)
{
	if (s->over)
		return;
	refuse(g, s->id, code, text);
	s->over = true;
}

void stream_exit(struct guest *g, struct stream *s, uint32_t status)
{
	if (s->over)
		return;
	out_frame(g, &(struct frame){ .type = FRAME_EXIT, .stream = s->id, .value = status });
	s->over = true;
}

void stream_credit(struct guest *g, struct stream *s, size_t n)
{
	if (n == 0 || s->over)
		return;
	s->window += n;
	out_frame(
		g, &(struct frame){ .type = FRAME_CREDIT, .stream = s->id, .value = (uint32_t)n });
}

bool stream_item(const struct stream *s, size_t *pos, uint8_t key, struct frame_item *it)
{
	while (frame_item_next(s->items, s->nitems, pos, it) > 0)
		if (it->key == key)
			return true;
	return false;
}

bool stream_has(const struct stream *s, uint8_t key)
{
	struct frame_item it;
	size_t pos = 0;

	return stream_item(s, &pos, key, &it);
}

char *stream_string(const struct stream *s, uint8_t key)
{
	struct frame_item it;
	size_t pos = 0;

	return stream_item(s, &pos, key, &it) ? strndup((const char *)it.data, it.length) : NULL;
}

static bool items_valid(const struct stream *s)
{
	struct frame_item it;
	size_t pos = 0;
	int r;

	while ((r = frame_item_next(s->items, s->nitems, &pos, &it)) > 0)
		/* All values are strings but the numbers; a NUL would cut them short silently. */
		if (it.key != FRAME_K_SIZE && it.key != FRAME_K_MODE && it.length &&
			memchr(it.data, 0, it.length))
			return false;
	return r == 0;
}

static struct stream *stream_new(struct guest *g, uint32_t id, uint32_t kind)
{
	struct stream *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->id = id;
	s->kind = kind;
	s->credit = s->window = FRAME_WINDOW;
	s->next = g->streams;
	g->streams = s;
	g->nstreams++;
	return s;
}

void stream_open(struct guest *g, const struct frame *f)
{
	struct stream *s = stream_find(g, f->stream);
	uint8_t *more;

	if (s && !s->opening) {
		stream_error(g, s, EPROTO, "stream opened twice");
		return;
	}
	if (!s && g->nstreams >= STREAMS_MAX) {
		refuse(g, f->stream, EAGAIN, "too many streams");
		return;
	}
	if (!s)
		s = stream_new(g, f->stream, f->value);
	if (!s) {
		refuse(g, f->stream, ENOMEM, "out of memory");
		return;
	}
	if (s->nitems + f->length > FRAME_OPEN_MAX) {
		stream_error(g, s, E2BIG, "argument list too long");
		return;
	}
	more = realloc(s->items, s->nitems + f->length + 1);
	if (!more) {
		stream_error(g, s, ENOMEM, "out of memory");
		return;
	}
	s->items = more;
	if (f->length)
		memcpy(s->items + s->nitems, f->data, f->length);
	s->nitems += f->length;
	s->opening = f->channel == 1;
	if (s->opening)
		return;
	if (s->kind >= sizeof(openers) / sizeof(openers[0]) || !openers[s->kind])
		stream_error(g, s, EOPNOTSUPP, "this guest program doesn't know that request");
	else if (!items_valid(s))
		stream_error(g, s, EPROTO, "malformed request");
	else
		openers[s->kind](g, s);
}

void stream_end_all(struct guest *g)
{
	for (struct stream *s = g->streams; s; s = s->next)
		s->over = true;
	stream_collect(g);
}

void stream_collect(struct guest *g)
{
	struct stream **at = &g->streams;

	while (*at) {
		struct stream *s = *at;

		if (!s->over) {
			at = &s->next;
			continue;
		}
		*at = s->next;
		g->nstreams--;
		if (s->ops && s->ops->destroy)
			s->ops->destroy(s);
		free(s->items);
		free(s);
	}
}

void stream_child(struct guest *g, pid_t pid, int status)
{
	for (struct stream *s = g->streams; s; s = s->next)
		if (s->ops && s->ops->child)
			s->ops->child(g, s, pid, status);
}
