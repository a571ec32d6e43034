/* SPDX-License-Identifier: Apache-2.0 */
/* The frame decoder: any bytes in any pieces. First byte: hunting or not, and the size of the pieces. */
#include "guest/proto.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void read_items(const struct frame *f)
{
	struct frame_item it;
	size_t pos = 0;
	volatile uint8_t sum = 0;

	while (frame_item_next(f->data, f->length, &pos, &it) > 0)
		for (uint32_t i = 0; i < it.length; i++)
			sum = (uint8_t)(sum + it.data[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct frame_decoder d;
	struct frame f;
	size_t step = n ? 1 + (p[0] >> 1) : 1;

	if (frame_decoder_init(&d, 0) < 0)
		abort();
	if (n && (p[0] & 1))
		frame_hunt(&d);
	while (n > 0) {
		size_t room, take = step < n ? step : n;
		uint8_t *at = frame_space(&d, &room);
		int r;

		if (room == 0)
			abort();
		if (take > room)
			take = room;
		memcpy(at, p, take);
		frame_filled(&d, take);
		p += take;
		n -= take;
		while ((r = frame_next(&d, &f)) > 0)
			read_items(&f);
		if (r < 0)
			break;
	}
	frame_decoder_free(&d);
	return 0;
}
