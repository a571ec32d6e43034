/* SPDX-License-Identifier: Apache-2.0 */
#include "../test.h"
#include "guest/proto.h"

static size_t put(uint8_t *out, uint8_t type, uint32_t stream, uint32_t value, const void *p, size_t n)
{
	struct frame f = { .type = type, .channel = 1, .stream = stream, .value = value,
		.length = (uint32_t)n };

	frame_header(out, &f);
	if (n)
		memcpy(out + FRAME_HEADER, p, n);
	return FRAME_HEADER + n;
}

/* Feeds n bytes in pieces of `step`; returns frames seen, -1 on garbage. */
static int feed(struct frame_decoder *d, const uint8_t *p, size_t n, size_t step)
{
	struct frame f;
	int seen = 0, r = 0;

	while (n > 0) {
		size_t room, take;
		uint8_t *at = frame_space(d, &room);

		assert_true(room > 0);
		take = step < n ? step : n;
		if (take > room)
			take = room;
		memcpy(at, p, take);
		frame_filled(d, take);
		p += take;
		n -= take;
		while ((r = frame_next(d, &f)) > 0)
			seen++;
		if (r < 0)
			return -1;
	}
	return seen;
}

static void round_trip(void **state)
{
	uint8_t bytes[64];
	struct frame_decoder d;
	struct frame f;
	size_t n = put(bytes, FRAME_DATA, 0xfffffffe, 0x80000001, "hello", 5), room;

	assert_int_equal(frame_decoder_init(&d, 0), 0);
	memcpy(frame_space(&d, &room), bytes, n);
	frame_filled(&d, n);
	assert_int_equal(frame_next(&d, &f), 1);
	assert_int_equal(f.type, FRAME_DATA);
	assert_int_equal(f.channel, 1);
	assert_int_equal(f.stream, 0xfffffffe);
	assert_int_equal(f.value, 0x80000001);
	assert_int_equal(f.length, 5);
	assert_memory_equal(f.data, "hello", 5);
	assert_int_equal(frame_next(&d, &f), 0);
	frame_decoder_free(&d);
}

/* Every split of three frames gives three frames; every truncation gives only the complete ones. */
static void pieces(void **state)
{
	static uint8_t bytes[3 * FRAME_MAX], big[FRAME_PAYLOAD];
	struct frame_decoder d;
	size_t n = 0, first, second;

	first = n += put(bytes + n, FRAME_HELLO, 0, 1, FRAME_HELLO_TEXT, sizeof(FRAME_HELLO_TEXT) - 1);
	second = n += put(bytes + n, FRAME_EOF, 7, 0, NULL, 0);
	n += put(bytes + n, FRAME_DATA, 7, 0, "0123456789", 10);
	assert_int_equal(frame_decoder_init(&d, 0), 0);
	for (size_t step = 1; step <= n; step++) {
		frame_decoder_reset(&d);
		assert_int_equal(feed(&d, bytes, n, step), 3);
	}
	for (size_t cut = 0; cut < n; cut++) {
		frame_decoder_reset(&d);
		assert_int_equal(feed(&d, bytes, cut, 3), (cut >= first) + (cut >= second));
	}
	/* More than the buffer holds, at odd sizes: the tail moves to the front. */
	n = put(bytes, FRAME_DATA, 1, 0, big, sizeof(big));
	frame_decoder_reset(&d);
	for (int i = 0; i < 20; i++)
		assert_int_equal(feed(&d, bytes, n, 65535), 1);
	frame_decoder_free(&d);
}

static void garbage(void **state)
{
	uint8_t good[FRAME_HEADER], bad[FRAME_HEADER];
	struct frame_decoder d;
	struct frame f;
	size_t room;

	put(good, FRAME_EOF, 1, 0, NULL, 0);
	assert_int_equal(frame_decoder_init(&d, 0), 0);
	/* type 0, unknown type, wrong magic, too long */
	const struct {
		int at;
		uint8_t value;
	} wrong[] = { { 4, 0 }, { 4, FRAME_TYPE_END }, { 4, 255 }, { 6, 0 }, { 7, 0 }, { 3, 1 } };
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		memcpy(bad, good, sizeof(bad));
		bad[wrong[i].at] = wrong[i].value;
		frame_decoder_reset(&d);
		assert_int_equal(feed(&d, bad, sizeof(bad), 1), -1);
		/* and stays failed */
		memcpy(frame_space(&d, &room), good, sizeof(good));
		frame_filled(&d, sizeof(good));
		assert_int_equal(frame_next(&d, &f), -1);
	}
	/* length 65537 */
	memcpy(bad, good, sizeof(bad));
	frame_put32(bad, FRAME_PAYLOAD + 1);
	frame_decoder_reset(&d);
	assert_int_equal(feed(&d, bad, 8, 8), -1);
	/* text, as a getty on the wrong port would send */
	frame_decoder_reset(&d);
	assert_int_equal(feed(&d, (const uint8_t *)"login: root\r\n", 13, 1), -1);
	frame_decoder_free(&d);
}

static void random_bytes(void **state)
{
	uint8_t bytes[512];
	struct frame_decoder d;

	assert_int_equal(frame_decoder_init(&d, 0), 0);
	srandom(42);
	for (int i = 0; i < 20000; i++) {
		for (size_t k = 0; k < sizeof(bytes); k++)
			bytes[k] = (uint8_t)random();
		/* half of them nearly valid */
		if (i & 1)
			put(bytes, (uint8_t)(random() % 13), 1, 0, NULL, 0);
		frame_decoder_reset(&d);
		if (i & 2)
			frame_hunt(&d);
		feed(&d, bytes, sizeof(bytes), 1 + (size_t)random() % 300);
	}
	frame_decoder_free(&d);
}

static void hunting(void **state)
{
	static uint8_t bytes[3 * FRAME_MAX];
	struct frame_decoder d;
	size_t n = 0;

	/* the rest of a big frame, a HELLO without its text, then the real one */
	memset(bytes, 0xc7, 5000);
	n = 5000;
	n += put(bytes + n, FRAME_HELLO, 0, 1, "no", 2);
	n += put(bytes + n, FRAME_DATA, 3, 0, "xyz", 3);
	n += put(bytes + n, FRAME_HELLO, 0, 1, FRAME_HELLO_TEXT, sizeof(FRAME_HELLO_TEXT) - 1);
	n += put(bytes + n, FRAME_EOF, 1, 0, NULL, 0);
	assert_int_equal(frame_decoder_init(&d, 0), 0);
	for (size_t step = 1; step < 64; step++) {
		frame_decoder_reset(&d);
		frame_hunt(&d);
		assert_int_equal(feed(&d, bytes, n, step), 2);
		assert_false(d.hunting);
	}
	/* afterwards garbage is garbage again */
	assert_int_equal(feed(&d, bytes, 5000, 100), -1);
	frame_decoder_free(&d);
}

static void items(void **state)
{
	uint8_t b[32];
	struct frame_item it;
	size_t n = 0, pos = 0;

	assert_int_equal(frame_item_add(b, sizeof(b), &n, FRAME_K_ARG, "echo", 4), 0);
	assert_int_equal(frame_item_add(b, sizeof(b), &n, FRAME_K_ARG, "", 0), 0);
	assert_int_equal(n, 14);
	assert_int_equal(frame_item_add(b, sizeof(b), &n, FRAME_K_ENV, b, 14), -1);
	assert_int_equal(n, 14);
	assert_int_equal(frame_item_next(b, n, &pos, &it), 1);
	assert_int_equal(it.key, FRAME_K_ARG);
	assert_memory_equal(it.data, "echo", 4);
	assert_int_equal(frame_item_next(b, n, &pos, &it), 1);
	assert_int_equal(it.length, 0);
	assert_int_equal(frame_item_next(b, n, &pos, &it), 0);
	for (size_t cut = 1; cut < 14; cut++) {
		if (cut == 9)
			continue; /* exactly one item */
		pos = 0;
		if (cut > 9)
			assert_int_equal(frame_item_next(b, cut, &pos, &it), 1);
		assert_int_equal(frame_item_next(b, cut, &pos, &it), -1);
	}
	frame_put32(b + 1, UINT32_MAX);
	pos = 0;
	assert_int_equal(frame_item_next(b, n, &pos, &it), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(round_trip), cmocka_unit_test(pieces),
		cmocka_unit_test(garbage), cmocka_unit_test(random_bytes), cmocka_unit_test(hunting),
		cmocka_unit_test(items) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
