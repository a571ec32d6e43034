/* SPDX-License-Identifier: Apache-2.0 */
#include "proto.h"

#include <stdlib.h>
#include <string.h>

size_t frame_header(uint8_t out[FRAME_HEADER], const struct frame *f)
{
	frame_put32(out, f->length);
	out[4] = f->type;
	out[5] = f->channel;
	frame_put16(out + 6, FRAME_MAGIC);
	frame_put32(out + 8, f->stream);
	frame_put32(out + 12, f->value);
	return FRAME_HEADER;
}

int frame_decoder_init(struct frame_decoder *d, size_t size)
{
	memset(d, 0, sizeof(*d));
	d->cap = size < FRAME_MAX ? FRAME_MAX : size;
	d->buf = malloc(d->cap);
	return d->buf ? 0 : -1;
}

void frame_decoder_free(struct frame_decoder *d)
{
	free(d->buf);
	memset(d, 0, sizeof(*d));
}

void frame_decoder_reset(struct frame_decoder *d)
{
	d->start = d->end = 0;
	d->hunting = d->failed = false;
}

void frame_hunt(struct frame_decoder *d)
{
	d->hunting = true;
}

uint8_t *frame_space(struct frame_decoder *d, size_t *n)
{
	if (d->start == d->end)
		d->start = d->end = 0;
	/* Moving is rare and short: only when a whole frame might not fit behind what is there. */
	if (d->start > 0 && d->cap - d->start < FRAME_MAX) {
		memmove(d->buf, d->buf + d->start, d->end - d->start);
		d->end -= d->start;
		d->start = 0;
	}
	*n = d->cap - d->end;
	return d->buf + d->end;
}

void frame_filled(struct frame_decoder *d, size_t n)
{
	d->end += n;
}

static bool header_valid(const uint8_t *p)
{
	return frame_get16(p + 6) == FRAME_MAGIC && frame_get32(p) <= FRAME_PAYLOAD && p[4] != 0 &&
	       p[4] < FRAME_TYPE_END;
}

/* 1: a HELLO starts here; 0: may be one, needs more bytes; -1: none. */
static int hello_at(const uint8_t *p, size_t n)
{
	const size_t text = sizeof(FRAME_HELLO_TEXT) - 1;
	uint8_t want[FRAME_HEADER];

	frame_header(want, &(struct frame){ .type = FRAME_HELLO });
	/* type, magic and stream are known; length, channel and value aren't */
	for (size_t i = 4; i < 12 && i < n; i++)
		if (i != 5 && p[i] != want[i])
			return -1;
	if (n < FRAME_HEADER)
		return 0;
	if (!header_valid(p) || frame_get32(p) < text)
		return -1;
	n -= FRAME_HEADER;
	if (memcmp(p + FRAME_HEADER, FRAME_HELLO_TEXT, n < text ? n : text) != 0)
		return -1;
	return n >= text;
}

static bool hunt(struct frame_decoder *d)
{
	while (d->start < d->end) {
		int r = hello_at(d->buf + d->start, d->end - d->start);

		if (r > 0)
			d->hunting = false;
		if (r >= 0)
			return r > 0;
		d->start++;
	}
	return false;
}

int frame_next(struct frame_decoder *d, struct frame *f)
{
	const uint8_t *p;
	size_t n;

	if (d->failed)
		return -1;
	if (d->hunting && !hunt(d))
		return 0;
	p = d->buf + d->start;
	n = d->end - d->start;
	/* The magic is looked at as soon as it is there: garbage shouldn't wait for more garbage. */
	if (n >= 8 && !header_valid(p)) {
		d->failed = true;
		return -1;
	}
	if (n < FRAME_HEADER)
		return 0;
	f->length = frame_get32(p);
	if (n - FRAME_HEADER < f->length)
		return 0;
	f->type = p[4];
	f->channel = p[5];
	f->stream = frame_get32(p + 8);
	f->value = frame_get32(p + 12);
	f->data = p + FRAME_HEADER;
	d->start += FRAME_HEADER + f->length;
	return 1;
}

int frame_item_add(uint8_t *buf, size_t cap, size_t *len, uint8_t key, const void *p, size_t n)
{
	if (*len > cap || n > UINT32_MAX || cap - *len < FRAME_ITEM_HEADER ||
		cap - *len - FRAME_ITEM_HEADER < n)
		return -1;
	buf[*len] = key;
	frame_put32(buf + *len + 1, (uint32_t)n);
	if (n)
		memcpy(buf + *len + FRAME_ITEM_HEADER, p, n);
	*len += FRAME_ITEM_HEADER + n;
	return 0;
}

int frame_item_next(const uint8_t *p, size_t len, size_t *pos, struct frame_item *it)
{
	if (*pos == len)
		return 0;
	if (*pos > len || len - *pos < FRAME_ITEM_HEADER)
		return -1;
	it->key = p[*pos];
	it->length = frame_get32(p + *pos + 1);
	if (len - *pos - FRAME_ITEM_HEADER < it->length)
		return -1;
	it->data = p + *pos + FRAME_ITEM_HEADER;
	*pos += FRAME_ITEM_HEADER + it->length;
	return 1;
}
