/* SPDX-License-Identifier: Apache-2.0 */
/* Link settings as JSON, and frames over such a link: what comes out was put in, and all of it comes out. */
#include "net/link.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static uint64_t out;

static void count(void *owner, uint32_t origin, const uint8_t *frame, size_t len)
{
	volatile uint8_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum = (uint8_t)(sum + frame[i]);
	out++;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct links *l;
	struct link *k;
	struct link_spec s = { 0 };
	struct link_stats st;
	struct error *e = NULL;
	uint64_t now = 1;

	if (n < 16)
		return 0;
	s.delay_ns = p[0] * 1000000ull;
	s.jitter_ns = p[1] * 100000ull;
	s.distribution = p[2] & 3;
	s.loss = p[3] / 255.0;
	s.burst = p[4] > 200 ? p[4] - 199 : 0;
	s.duplicate = p[5] / 255.0;
	s.reorder = p[6] / 255.0;
	s.corrupt = p[7] / 255.0;
	s.rate_bps = p[8] * 100000ull;
	s.queue = p[9];
	s.mtu = p[10] ? 68 + p[10] * 8u : 0;
	if (link_spec_check(&s, &e) < 0) {
		error_clear(&e);
		return 0;
	}
	l = links_new(NULL);
	k = link_new(l, count, NULL);
	out = 0;
	link_set(k, &s, p[11]);
	for (size_t i = 16; i < n; i++) {
		size_t len = (size_t)p[i] * 12 % (n + 1);
		uint8_t *frame = xmemdup(p, len);

		links_enter(l, now += p[i] * 10000ull);
		link_input(k, 0, frame, len);
		links_leave(l);
		free(frame);
	}
	links_run(l, UINT64_MAX - 1);
	link_stats_of(k, &st);
	if (st.held || st.out != out ||
		out != st.in + st.events[LINK_DUPLICATED] - st.events[LINK_LOST] - st.events[LINK_TOO_BIG] - st.events[LINK_QUEUE_FULL])
		abort();
	link_free(k);
	links_free(l);
	return 0;
}
