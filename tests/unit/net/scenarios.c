/* SPDX-License-Identifier: Apache-2.0 */
/* Scenario files, their playing over a real croft-net, captures and traces. */
#include "fake.h"
#include "base/intr.h"
#include "net/scenario.h"

#include <jansson.h>

static int setup(void **state)
{
	return fake_start(state, ",\"seed\":5");
}

static void events_are_read_in_the_order_of_their_times(void **state)
{
	static const char text[] = "# a test\n"
				   "seed 7\n"
				   "at 20s: heal; at 1.5s: cut a b # not for long\n"
				   "\n"
				   "- at 10s: partition {a,b} {c}\n"
				   "- {at: 12s, do: flap a --every 2s --for 500ms}\n"
				   "- at: 15s\n"
				   "  do: \"link a --delay 80ms --loss=2% --zone lan --clear\"\n"
				   "at 30s: end\n";
	static const struct {
		uint64_t ms;
		const char *request;
	} want[] = {
		{ 0, "{\"op\":\"seed\",\"seed\":7}" },
		{ 1500, "{\"op\":\"cut\",\"sets\":[[\"a\"],[\"b\"]]}" },
		{ 10000, "{\"op\":\"cut\",\"sets\":[[\"a\",\"b\"],[\"c\"]]}" },
		{ 12000, "{\"op\":\"link\",\"node\":\"a\",\"set\":{\"flap\":\"2s/500ms\"}}" },
		{ 15000, "{\"op\":\"link\",\"node\":\"a\",\"zone\":\"lan\",\"clear\":true,\"set\":{\"delay\":\"80ms\",\"loss\":\"2%\"}}" },
		{ 20000, "{\"op\":\"heal\"}" },
		{ 30000, NULL },
	};
	_cleanup_scenario_ struct scenario s = { 0 };
	struct error *e = NULL;

	assert_ok(scenario_parse("x", text, &s, &e), e);
	assert_int_equal(s.n, ARRAY_SIZE(want));
	for (size_t i = 0; i < s.n; i++) {
		assert_int_equal(s.events[i].at_ns / 1000000, want[i].ms);
		if (want[i].request)
			assert_string_equal(s.events[i].request, want[i].request);
		else
			assert_null(s.events[i].request);
	}
	assert_int_equal(s.events[1].line, 3);
}

static void what_is_no_scenario_is_refused_with_its_line(void **state)
{
	static const char *const cases[][2] = {
		{ "", "x:1: it holds no event" },
		{ "heal", "x:1: 'heal' is not an event" },
		{ "at 1s: heal\nat 1: heal", "x:2: delay: '1' is not a time" },
		{ "at 1s: explode", "x:1: 'explode' is none of cut" },
		{ "at 1s: cut a", "x:1: cut: two nodes" },
		{ "at 1s: link a --dealy 1ms", "x:1: link has no option --dealy" },
		{ "at 1s: link a --delay", "x:1: --delay needs a value" },
		{ "at 1s: link a --delay fast", "x:1: delay: 'fast'" },
		{ "at 1s: flap a --every 1s", "x:1: flap" },
		{ "- at: 1s\n- at: 2s", "x:2: 'at: 2s' stands where" },
		{ "- at: 1s", "x:1: the last event has no" },
		{ "at 1s: seed x", "x:1: seed" },
		{ "at 1s:", "x:1: nothing to do" },
		{ "{do: heal}", "x:1: '{do: heal}' is not {at" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct scenario s = { 0 };
		struct error *e = NULL;

		if (scenario_parse("x", cases[i][0], &s, &e) == 0)
			fail_msg("taken: %s", cases[i][0]);
		if (strncmp(e->msg, cases[i][1], strlen(cases[i][1])) != 0)
			fail_msg("%s: %s", cases[i][0], e->msg);
		error_clear(&e);
	}
}

struct said {
	struct strv texts;
	uint64_t last;
	int stop_after;
};
static void say(void *arg, uint64_t at_ns, const char *text)
{
	struct said *s = arg;

	assert_true(at_ns >= s->last);
	s->last = at_ns;
	strv_add(&s->texts, text);
	if (s->stop_after && (int)s->texts.len == s->stop_after)
		intr_signal = SIGINT;
}

static int play(const char *text, struct said *said, struct error **err)
{
	_cleanup_scenario_ struct scenario s = { 0 };

	*said = (struct said){ .stop_after = said->stop_after };
	return scenario_parse("x", text, &s, err) < 0 ? -1 : scenario_play(fake_dir, &s, 11, say, said, err);
}

static void a_scenario_happens_and_stays(void **state)
{
	_cleanup_free_ char *after = NULL;
	struct said said = { 0 };
	struct error *e = NULL;

	assert_ok(play("at 10ms: cut n0 n1; at 30ms: link n2 --delay 3ms; at 60ms: heal", &said, &e), e);
	assert_int_equal(said.texts.len, 3);
	assert_string_equal(said.texts.v[2], "heal");
	assert_true(said.last >= 60000000);
	after = fake_ask("{\"op\":\"faults\"}");
	assert_non_null(strstr(after, "\"seed\":11"));
	assert_non_null(strstr(after, "\"delay\":\"3ms\""));
	assert_non_null(strstr(after, "\"cuts\":[]"));
	fake_do("{\"op\":\"heal\",\"links\":true}");
	strv_free(&said.texts);
}

/* The process notices the end of a session after we have. */
static void wait_for_faults(const char *want)
{
	_cleanup_free_ char *now = NULL;

	for (int i = 0; i < 1000; i++) {
		free(now);
		now = fake_ask("{\"op\":\"faults\"}");
		if (!strcmp(now, want))
			return;
		usleep(10000);
	}
	assert_string_equal(now, want);
}

static void breaking_off_takes_all_of_it_back(void **state)
{
	_cleanup_free_ char *before = NULL;
	struct said said = { .stop_after = 2 };
	struct error *e = NULL;

	fake_do("{\"op\":\"link\",\"node\":\"n0\",\"set\":{\"loss\":\"1%\"}}");
	before = fake_ask("{\"op\":\"faults\"}");
	assert_int_equal(play("at 0: partition n0,n1 n2; at 5ms: link n0 --clear; at 1h: heal", &said, &e), -1);
	assert_int_equal(e->cls, ERR_INTR);
	error_clear(&e);
	intr_signal = 0;
	wait_for_faults(before);
	strv_free(&said.texts);
	said.stop_after = 0;
	assert_ok(play("at 0: cut n0 n1; at 1ms: end", &said, &e), e);
	wait_for_faults(before);
	strv_free(&said.texts);
	fake_do("{\"op\":\"heal\",\"links\":true}");
}

static void a_wrong_event_keeps_all_from_happening(void **state)
{
	_cleanup_free_ char *before = fake_ask("{\"op\":\"faults\"}"), *after = NULL;
	struct said said = { 0 };
	struct error *e = NULL;

	assert_int_equal(play("at 0: cut n0 n1\nat 1h: cut n0 n7", &said, &e), -1);
	assert_non_null(strstr(e->msg, "line 2: cut n0 n7: group g has no node 'n7'"));
	assert_int_equal(said.texts.len, 0);
	error_clear(&e);
	after = fake_ask("{\"op\":\"faults\"}");
	assert_string_equal(before, after);
}

/* ---- capture ---- */

struct pcapng {
	uint8_t b[1 << 16];
	size_t n;
	unsigned interfaces, packets, comments;
	char last_comment[256];
};

static void options(struct pcapng *p, const uint8_t *o, const uint8_t *end)
{
	while (o + 4 <= end) {
		uint16_t code, len;

		memcpy(&code, o, 2);
		memcpy(&len, o + 2, 2);
		if (!code)
			return;
		assert_true(o + 4 + len <= end);
		if (code == 1) {
			p->comments++;
			snprintf(p->last_comment, sizeof(p->last_comment), "%.*s", (int)len, (const char *)o + 4);
		}
		o += 4 + len + (-len & 3);
	}
}

/* Goes over whole blocks: lengths at both ends agree, padding is a multiple of four. */
static void walk(struct pcapng *p)
{
	size_t at = 0;

	p->interfaces = p->packets = p->comments = 0;
	while (p->n - at >= 12) {
		uint32_t type, len, again, caplen;

		memcpy(&type, p->b + at, 4);
		memcpy(&len, p->b + at + 4, 4);
		assert_true(len >= 12 && len % 4 == 0);
		if (p->n - at < len)
			break;
		memcpy(&again, p->b + at + len - 4, 4);
		assert_int_equal(len, again);
		assert_true(at || type == 0x0a0d0d0a);
		if (type == 1)
			p->interfaces++;
		if (type == 6) {
			memcpy(&caplen, p->b + at + 20, 4);
			p->packets++;
			options(p, p->b + at + 28 + ((caplen + 3) & ~3u), p->b + at + len - 4);
		}
		at += len;
	}
}

static void read_capture(int fd, struct pcapng *p, unsigned packets)
{
	for (walk(p); p->packets < packets; walk(p)) {
		struct pollfd f = { .fd = fd, .events = POLLIN };
		ssize_t n;

		assert_int_equal(poll(&f, 1, 20000), 1);
		n = read(fd, p->b + p->n, sizeof(p->b) - p->n);
		assert_true(n > 0);
		p->n += (size_t)n;
	}
}

static void captures_hold_frames_and_what_happened_to_them(void **state)
{
	static struct pcapng p;
	struct error *e = NULL;
	int fd = net_open(fake_dir, "{\"op\":\"capture\"}", 20000, &e);

	assert_true(fd >= 0);
	fake_plain(0, 1, 1);
	assert_int_equal(fake_number(1), 1);
	read_capture(fd, &p, 2);
	assert_int_equal(p.interfaces, 4); /* and the gateway's */
	assert_int_equal(p.comments, 0);
	fake_do("{\"op\":\"link\",\"node\":\"n1\",\"direction\":\"in\",\"set\":{\"loss\":\"100%\"}}");
	fake_plain(0, 1, 2);
	read_capture(fd, &p, 4);
	assert_string_equal(p.last_comment, "lost by the link (in)");
	assert_int_equal(p.comments, 2); /* and what was set */
	fake_do("{\"op\":\"heal\",\"links\":true}");
	fake_do("{\"op\":\"cut\",\"sets\":[[\"n0\"],[\"n1\"]]}");
	fake_plain(0, 1, 3);
	read_capture(fd, &p, 6);
	assert_string_equal(p.last_comment, "dropped: cut off from each other");
	fake_do("{\"op\":\"heal\"}");
	close(fd);
	fake_plain(0, 1, 4);
	assert_int_equal(fake_number(1), 4);
	assert_int_equal(net_open(fake_dir, "{\"op\":\"capture\",\"node\":\"nobody\"}", 20000, &e), -1);
	assert_int_equal(e->cls, ERR_NOT_FOUND);
	error_clear(&e);
}

/* Nobody reads it: forwarding goes on, memory does not grow. */
static void a_capture_that_nobody_reads_stops_nothing(void **state)
{
	struct error *e = NULL;
	int fd = net_open(fake_dir, "{\"op\":\"capture\"}", 20000, &e);
	uint8_t f[1500] = { 0 };

	assert_true(fd >= 0);
	memcpy(f, fakes[1].mac, 6);
	memcpy(f + 6, fakes[0].mac, 6);
	put16(f + 12, 0x88b5);
	for (uint32_t i = 0; i < 5000; i++) {
		put32(f + 14, i);
		fake_send(0, f, sizeof(f));
		assert_int_equal(fake_number(1), i);
	}
	close(fd);
}

static void traces_say_where_a_packet_ends(void **state)
{
	_cleanup_free_ char *plain = fake_ask("{\"op\":\"trace\",\"from\":\"n0\",\"to\":\"n1\"}"), *cut = NULL, *down = NULL, *out = NULL,
			    *none = NULL;

	assert_non_null(strstr(plain, "\"end\":\"arrives\""));
	fake_do("{\"op\":\"cut\",\"sets\":[[\"n0\"],[\"n1\"]]}");
	cut = fake_ask("{\"op\":\"trace\",\"from\":\"n0\",\"to\":\"10.1.2.11\"}");
	assert_non_null(strstr(cut, "\"end\":\"dropped: cut\""));
	fake_do("{\"op\":\"heal\"}");
	fake_do("{\"op\":\"link\",\"node\":\"n0\",\"direction\":\"out\",\"set\":{\"down\":true}}");
	down = fake_ask("{\"op\":\"trace\",\"from\":\"n0\",\"to\":\"n1\"}");
	assert_non_null(strstr(down, "\"end\":\"dropped: the link is down\""));
	fake_do("{\"op\":\"heal\"}");
	out = fake_ask("{\"op\":\"trace\",\"from\":\"n0\",\"to\":\"1.1.1.1\"}");
	assert_non_null(strstr(out, "\"end\":\"leaves by the host's network\""));
	none = fake_ask("{\"op\":\"trace\",\"from\":\"n0\",\"to\":\"10.1.2.99\"}");
	assert_non_null(strstr(none, "\"end\":\"dropped: nobody in the zone has that address\""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(events_are_read_in_the_order_of_their_times),
		cmocka_unit_test(what_is_no_scenario_is_refused_with_its_line),
		cmocka_unit_test(a_scenario_happens_and_stays),
		cmocka_unit_test(breaking_off_takes_all_of_it_back),
		cmocka_unit_test(a_wrong_event_keeps_all_from_happening),
		cmocka_unit_test(captures_hold_frames_and_what_happened_to_them),
		cmocka_unit_test(a_capture_that_nobody_reads_stops_nothing),
		cmocka_unit_test(traces_say_where_a_packet_ends),
	};

	return cmocka_run_group_tests(tests, setup, fake_end);
}
