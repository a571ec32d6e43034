/* SPDX-License-Identifier: Apache-2.0 */
/* What a link does, on a clock of the test's: statistics with fixed seeds, order, times, replay. */
#include "../test.h"
#include "net/link.h"

#include <math.h>

#define MS 1000000ull
#define MANY 100000

struct seen {
	uint64_t times[2 * MANY + 1000];
	uint32_t numbers[2 * MANY + 1000];
	size_t n, len;
	uint64_t digest;
	struct links *links;
};
static struct seen seen;

static void on_frame(void *owner, uint32_t origin, const uint8_t *frame, size_t len)
{
	struct seen *s = owner;

	assert_true(s->n < ARRAY_SIZE(s->times));
	s->times[s->n] = links_now(s->links);
	memcpy(&s->numbers[s->n++], frame + 14, 4);
	s->len = len;
	for (size_t i = 0; i < len; i++)
		s->digest = (s->digest ^ frame[i]) * 0x100000001b3u;
	s->digest = (s->digest ^ links_now(s->links)) * 0x100000001b3u;
}

static struct link_spec spec(const char *const *pairs)
{
	struct link_spec s = { 0 };
	struct error *e = NULL;

	for (; *pairs; pairs += 2)
		assert_ok(link_spec_set(&s, pairs[0], pairs[1], &e), e);
	assert_ok(link_spec_check(&s, &e), e);
	return s;
}
#define SPEC(...) spec((const char *const[]){ __VA_ARGS__, NULL })

/* n frames of len bytes, one every `gap` ns; all that comes out is in `seen`. */
static struct link_stats run(const struct link_spec *s, uint64_t seed, size_t n, size_t len, uint64_t gap)
{
	struct links *l = links_new(NULL);
	struct link *k = link_new(l, on_frame, &seen);
	struct link_stats st;
	uint8_t frame[2000] = { 0 };

	memset(&seen, 0, sizeof(seen));
	seen.links = l;
	link_set(k, s, seed);
	for (uint32_t i = 0; i < n; i++) {
		memcpy(frame + 14, &i, 4);
		links_enter(l, 1 + i * gap);
		link_input(k, 0, frame, len);
		links_leave(l);
	}
	links_run(l, UINT64_MAX - 1);
	link_stats_of(k, &st);
	assert_int_equal(st.held, 0);
	assert_int_equal(st.in, n);
	assert_int_equal(st.out, seen.n);
	link_free(k);
	links_free(l);
	return st;
}

static void near(double got, double want, double tolerance)
{
	if (!(fabs(got - want) <= tolerance))
		fail_msg("%g is not within %g of %g", got, tolerance, want);
}

static void a_delay_is_exact_and_keeps_order(void **state)
{
	struct link_spec s = SPEC("delay", "80ms");

	run(&s, 1, 1000, 100, 20000);
	assert_int_equal(seen.n, 1000);
	for (uint32_t i = 0; i < 1000; i++) {
		assert_int_equal(seen.numbers[i], i);
		assert_int_equal(seen.times[i], 1 + i * 20000ull + 80 * MS);
	}
}

/* Frames a second apart, so that the order between them takes nothing away from the distribution. */
static void moments(const struct link_spec *s, double *mean, double *deviation, double *top)
{
	double sum = 0, squares = 0;

	run(s, 7, MANY, 64, 1000 * MS);
	assert_int_equal(seen.n, MANY);
	*top = 0;
	for (uint32_t i = 0; i < MANY; i++) {
		double d = ((double)seen.times[i] - 1 - i * 1e9) / 1e6;

		sum += d;
		squares += d * d;
		*top = fmax(*top, d);
		assert_int_equal(seen.numbers[i], i);
	}
	*mean = sum / MANY;
	*deviation = sqrt(squares / MANY - *mean * *mean);
}

static void jitter_has_its_distribution(void **state)
{
	struct link_spec u = SPEC("delay", "50ms", "jitter", "10ms"),
			 n = SPEC("delay", "80ms", "jitter", "10ms", "distribution", "normal"),
			 p = SPEC("delay", "50ms", "jitter", "5ms", "distribution", "pareto"),
			 x = SPEC("delay", "50ms", "jitter", "5ms", "distribution", "exponential");
	double mean, deviation, top;

	moments(&u, &mean, &deviation, &top);
	near(mean, 50, 0.1);
	near(deviation, 10 / sqrt(3), 0.1);
	assert_true(top < 60 && top > 59.9);
	moments(&n, &mean, &deviation, &top);
	near(mean, 80, 0.15);
	near(deviation, 10, 0.15);
	moments(&p, &mean, &deviation, &top);
	near(mean, 55, 0.2);
	assert_true(top > 120); /* the long tail */
	moments(&x, &mean, &deviation, &top);
	near(mean, 55, 0.15);
	near(deviation, 5, 0.15);
}

static void jitter_keeps_the_order(void **state)
{
	struct link_spec s = SPEC("delay", "20ms", "jitter", "20ms");

	run(&s, 3, 5000, 64, 100000);
	for (uint32_t i = 0; i < 5000; i++)
		assert_int_equal(seen.numbers[i], i);
}

static void losses_are_as_many_as_asked(void **state)
{
	struct link_spec s = SPEC("loss", "2%");
	struct link_stats st = run(&s, 5, MANY, 64, 1000);

	near((double)st.events[LINK_LOST] / MANY, 0.02, 0.0015);
	assert_int_equal(seen.n + st.events[LINK_LOST], MANY);
	s = SPEC("loss", "100%");
	st = run(&s, 5, 100, 64, 1000);
	assert_int_equal(seen.n, 0);
}

static void losses_come_in_bursts(void **state)
{
	struct link_spec s = SPEC("loss", "5%", "burst", "8");
	struct link_stats st = run(&s, 5, MANY, 64, 1000);
	size_t runs = 0;
	uint32_t next = 0;

	for (size_t i = 0; i < seen.n; next = seen.numbers[i++] + 1)
		runs += seen.numbers[i] != next;
	near((double)st.events[LINK_LOST] / MANY, 0.05, 0.008);
	near((double)st.events[LINK_LOST] / (double)runs, 8, 0.6);
}

static void duplicates_follow_their_frame(void **state)
{
	struct link_spec s = SPEC("duplicate", "10%", "delay", "1ms");
	struct link_stats st = run(&s, 9, MANY, 64, 1000);

	near((double)st.events[LINK_DUPLICATED] / MANY, 0.1, 0.004);
	assert_int_equal(seen.n, MANY + st.events[LINK_DUPLICATED]);
	for (size_t i = 1; i < seen.n; i++)
		assert_true(seen.numbers[i] - seen.numbers[i - 1] <= 1);
}

static void reordered_frames_overtake(void **state)
{
	struct link_spec s = SPEC("delay", "5ms", "reorder", "10%");
	struct link_stats st = run(&s, 9, MANY, 64, 100000);
	size_t early = 0;

	near((double)st.events[LINK_REORDERED] / MANY, 0.1, 0.004);
	assert_int_equal(seen.n, MANY);
	for (size_t i = 0; i < seen.n; i++)
		early += seen.times[i] - (1 + seen.numbers[i] * 100000ull) < 5 * MS;
	assert_int_equal(early, st.events[LINK_REORDERED]);
}

static size_t flipped;
static void count_bits(void *owner, uint32_t origin, const uint8_t *frame, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		assert_true(i >= 14 || !frame[i]); /* the Ethernet header stays */
		flipped += (size_t)__builtin_popcount(frame[i]);
	}
}

static void corruption_is_one_bit_of_a_copy(void **state)
{
	struct links *l = links_new(NULL);
	struct link *k = link_new(l, count_bits, NULL);
	struct link_spec s = SPEC("corrupt", "100%");
	uint8_t frame[100] = { 0 }, zero[100] = { 0 };

	link_set(k, &s, 4);
	flipped = 0;
	for (int i = 0; i < 1000; i++)
		link_input(k, 0, frame, sizeof(frame));
	assert_int_equal(flipped, 1000);
	assert_memory_equal(frame, zero, sizeof(frame));
	link_free(k);
	links_free(l);
}

static void a_rate_spaces_frames_and_its_queue_drops(void **state)
{
	struct link_spec s = SPEC("rate", "8mbit", "queue", "10");
	struct link_stats st = run(&s, 1, 1000, 1000, 500000); /* 16 mbit come */

	near((double)seen.n, 510, 2);
	assert_int_equal(st.events[LINK_QUEUE_FULL] + seen.n, 1000);
	for (size_t i = 1; i < seen.n; i++)
		assert_int_equal(seen.times[i] - seen.times[i - 1], MS);
	/* Nobody waits longer than for the queue. */
	for (size_t i = 0; i < seen.n; i++)
		assert_true(seen.times[i] - (1 + seen.numbers[i] * 500000ull) <= 10 * MS);
}

static void long_frames_and_a_link_that_is_down(void **state)
{
	struct link_spec m = SPEC("mtu", "1000"), d = SPEC("down", "true"), f = SPEC("flap", "2s/500ms");
	struct link_stats st = run(&m, 1, 10, 1014, 1000);

	assert_int_equal(seen.n, 10);
	st = run(&m, 1, 10, 1015, 1000);
	assert_int_equal(st.events[LINK_TOO_BIG], 10);
	st = run(&d, 1, 10, 100, 1000);
	assert_int_equal(st.events[LINK_DOWN], 10);
	/* The link was set a moment before the first frame. */
	{
		struct links *l = links_new(NULL);
		struct link *k = link_new(l, on_frame, &seen);
		uint8_t frame[60] = { 0 };

		memset(&seen, 0, sizeof(seen));
		seen.links = l;
		links_enter(l, 1);
		link_set(k, &f, 1);
		for (int i = 0; i < 80; i++) { /* every 100 ms, in the middle */
			links_enter(l, 1 + 50 * MS + (uint64_t)i * 100 * MS);
			link_input(k, 0, frame, sizeof(frame));
			assert_int_equal(link_is_down(k, links_now(l)), i % 20 >= 15);
		}
		assert_int_equal(seen.n, 60);
		link_free(k);
		links_free(l);
	}
}

static void the_same_seed_gives_the_same_bytes(void **state)
{
	struct link_spec s = SPEC("delay", "3ms", "jitter", "2ms", "distribution", "normal", "loss", "3%", "burst", "4", "duplicate", "2%",
		"reorder", "3%", "corrupt", "4%", "rate", "40mbit", "queue", "20");
	uint64_t first;
	size_t n;

	run(&s, 42, 20000, 900, 170000);
	first = seen.digest;
	n = seen.n;
	run(&s, 42, 20000, 900, 170000);
	assert_int_equal(seen.n, n);
	assert_true(seen.digest == first);
	run(&s, 43, 20000, 900, 170000);
	assert_true(seen.digest != first);
}

/* One fault's numbers don't depend on which others there are. */
static void faults_draw_apart(void **state)
{
	struct link_spec alone = SPEC("loss", "10%"), both = SPEC("loss", "10%", "delay", "1ms", "jitter", "1ms", "corrupt", "50%");
	struct link_stats a = run(&alone, 11, 5000, 64, 1000), b;
	static uint32_t kept[5000];
	size_t n = seen.n;

	memcpy(kept, seen.numbers, n * sizeof(*kept));
	b = run(&both, 11, 5000, 1500, 1000);
	assert_int_equal(a.events[LINK_LOST], b.events[LINK_LOST]);
	assert_int_equal(seen.n, n);
}

static void settings_may_change_while_frames_are_held(void **state)
{
	struct links *l = links_new(NULL);
	struct link *k = link_new(l, on_frame, &seen);
	struct link_spec slow = SPEC("delay", "100ms"), slower = SPEC("delay", "900ms", "rate", "900mbit"), fast = SPEC("delay", "1ms");
	uint8_t frame[1500] = { 0 };
	uint32_t i = 0;

	memset(&seen, 0, sizeof(seen));
	seen.links = l;
	for (int round = 0; round < 3; round++) {
		links_enter(l, 1 + (uint64_t)round * MS);
		link_set(k, round == 0 ? &slow : round == 1 ? &slower : &fast, 1);
		for (int n = 0; n < 500; n++, i++) {
			memcpy(frame + 14, &i, 4);
			link_input(k, 0, frame, sizeof(frame));
		}
		links_leave(l);
	}
	links_run(l, UINT64_MAX - 1);
	assert_int_equal(seen.n, 1500);
	for (i = 0; i < 1500; i++)
		assert_int_equal(seen.numbers[i], i);
	link_free(k);
	links_free(l);
}

/* Several links with frames due at different times, over and over through the ring's end. */
static void many_links_share_one_clock(void **state)
{
	struct links *l = links_new(NULL);
	struct link *k[40];
	uint8_t frame[1500] = { 0 };
	uint32_t n = 0;

	memset(&seen, 0, sizeof(seen));
	seen.links = l;
	for (int i = 0; i < 40; i++) {
		_cleanup_free_ char *delay = xasprintf("%dms", 1 + i * 7 % 40);
		struct link_spec s = SPEC("delay", delay);

		k[i] = link_new(l, on_frame, &seen);
		link_set(k[i], &s, (uint64_t)i);
	}
	for (uint64_t t = 1; t < 2000 * MS; t += 500000, n += 40)
		for (int i = 0; i < 40; i++) {
			links_enter(l, t);
			link_input(k[i], 0, frame, 600 + (size_t)i);
		}
	links_run(l, UINT64_MAX - 1);
	assert_int_equal(seen.n, n);
	for (size_t i = 1; i < seen.n; i++)
		assert_true(seen.times[i] >= seen.times[i - 1]);
	for (int i = 0; i < 40; i++)
		link_free(k[i]);
	links_free(l);
}

static void words_are_read_and_written(void **state)
{
	static const char *const good[][3] = { { "delay", "80ms", "80ms" }, { "delay", "1.5s", "1.5s" }, { "delay", "250us", "250us" },
		{ "jitter", "0.5ms", "500us" }, { "loss", "2%", "2%" }, { "loss", "0.125%", "0.125%" }, { "rate", "10mbit", "10mbit" },
		{ "rate", "1.5gbit", "1.5gbit" }, { "rate", "56kbit", "56kbit" }, { "rate", "1MBps", "8mbit" }, { "queue", "50", "50" },
		{ "mtu", "1400", "1400" }, { "flap", "2s/500ms", "2s/500ms" }, { "down", "true", "true" } };
	static const char *const bad[][2] = { { "delay", "80" }, { "delay", "-1ms" }, { "delay", "80 parsecs" }, { "delay", "" },
		{ "delay", "nan" }, { "delay", "1e3ms" }, { "delay", "2h" }, { "loss", "101%" }, { "loss", "2" }, { "loss", "0x1%" },
		{ "rate", "fast" }, { "rate", "2tbit" }, { "queue", "-1" }, { "mtu", "70000" }, { "burst", "0.5" }, { "flap", "2s" },
		{ "flap", "1s/1s" }, { "down", "maybe" }, { "distribution", "gauss" }, { "dealy", "1ms" } };

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		struct link_spec s = { 0 }, again = { 0 };
		_cleanup_free_ char *want = xasprintf("{\"%s\":\"%s\"}", good[i][0], good[i][2]);
		_cleanup_buf_ struct buf b = BUF_INIT;
		struct error *e = NULL;

		assert_ok(link_spec_set(&s, good[i][0], good[i][1], &e), e);
		link_spec_json(&s, &b);
		assert_string_equal(b.data, want);
		assert_ok(link_spec_set(&again, good[i][0], good[i][2], &e), e);
		assert_true(link_spec_same(&s, &again));
		assert_ok(link_spec_set(&s, good[i][0], "none", &e), e);
		assert_true(link_spec_perfect(&s));
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct link_spec s = { 0 };
		struct error *e = NULL;

		if (link_spec_set(&s, bad[i][0], bad[i][1], &e) == 0 && link_spec_check(&s, &e) == 0)
			fail_msg("%s: '%s' was taken", bad[i][0], bad[i][1]);
		assert_int_equal(e->cls, ERR_USAGE);
		error_clear(&e);
	}
}

static void settings_that_do_not_go_together(void **state)
{
	struct link_spec s = { .reorder = 0.1 }, b = { .loss = 0.9, .burst = 2 };
	struct error *e = NULL;

	assert_int_equal(link_spec_check(&s, &e), -1);
	error_clear(&e);
	assert_int_equal(link_spec_check(&b, &e), -1);
	error_clear(&e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_delay_is_exact_and_keeps_order),
		cmocka_unit_test(jitter_has_its_distribution),
		cmocka_unit_test(jitter_keeps_the_order),
		cmocka_unit_test(losses_are_as_many_as_asked),
		cmocka_unit_test(losses_come_in_bursts),
		cmocka_unit_test(duplicates_follow_their_frame),
		cmocka_unit_test(reordered_frames_overtake),
		cmocka_unit_test(corruption_is_one_bit_of_a_copy),
		cmocka_unit_test(a_rate_spaces_frames_and_its_queue_drops),
		cmocka_unit_test(long_frames_and_a_link_that_is_down),
		cmocka_unit_test(the_same_seed_gives_the_same_bytes),
		cmocka_unit_test(faults_draw_apart),
		cmocka_unit_test(settings_may_change_while_frames_are_held),
		cmocka_unit_test(many_links_share_one_clock),
		cmocka_unit_test(words_are_read_and_written),
		cmocka_unit_test(settings_that_do_not_go_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
