/* SPDX-License-Identifier: Apache-2.0 */
/* Playing a scenario: a session of the network process, which goes back to the faults of its begin when the connection ends early. */
#include "base/cleanup.h"
#include "base/intr.h"
#include "base/loop.h"
#include "base/mem.h"
#include "net/net.h"
#include "net/scenario.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#define ASK_MS 10000

/* Until `end` (loop_now), a signal, or the network's end. */
static int wait_until(int fd, uint64_t end, struct error **err)
{
	for (;;) {
		uint64_t now = loop_now();
		struct pollfd p = { .fd = fd, .events = POLLIN };
		struct timespec t;

		if (intr_check(err) < 0)
			return -1;
		if (now >= end)
			return 0;
		t.tv_sec = (time_t)((end - now) / 1000000000u);
		t.tv_nsec = (long)((end - now) % 1000000000u);
		if (ppoll(&p, 1, &t, NULL) > 0)
			return error_set(err, ERR_FAILED, "the group's network has ended");
	}
}

static int ask(int fd, const char *request, struct error **err)
{
	_cleanup_free_ char *answer = net_ask(fd, request, ASK_MS, err);

	return answer ? 0 : -1;
}

/* Would each of them work? */
static int check(int fd, const struct scenario *s, struct error **err)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct scenario_event *e = &s->events[i];
		_cleanup_free_ char *dry = e->request ? xasprintf("{\"dry\":true,%s", e->request + 1) : NULL;

		if (dry && ask(fd, dry, err) < 0)
			return error_wrap(err, "line %d: %s", e->line, e->text);
	}
	return 0;
}

int scenario_play(const char *dir, const struct scenario *s, int64_t seed, void (*say)(void *arg, uint64_t at_ns, const char *text),
	void *arg, struct error **err)
{
	_cleanup_close_ int fd = net_open(dir, "{\"op\":\"session\"}", ASK_MS, err);
	_cleanup_free_ char *seeding = seed >= 0 ? xasprintf("{\"op\":\"seed\",\"seed\":%lld}", (long long)seed) : NULL;
	uint64_t start;

	if (fd < 0 || check(fd, s, err) < 0 || (seeding && ask(fd, seeding, err) < 0))
		return -1;
	start = loop_now();
	for (size_t i = 0; i < s->n; i++) {
		const struct scenario_event *e = &s->events[i];

		if (wait_until(fd, start + e->at_ns, err) < 0)
			return -1;
		if (!e->request) {
			say(arg, loop_now() - start, "end: back to what was before");
			return 0;
		}
		if (ask(fd, e->request, err) < 0)
			return error_wrap(err, "line %d: %s", e->line, e->text);
		say(arg, loop_now() - start, e->text);
	}
	return ask(fd, "{\"op\":\"done\"}", err);
}
