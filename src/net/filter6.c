/* SPDX-License-Identifier: Apache-2.0 */
#include "net/filter6.h"
#include "base/mem.h"
#include "net/ip.h"
#include "net/zone.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define SETS 4096
#define WAYS 8

struct entry {
	struct flow6 flow;
	uint64_t ends; /* 0: free */
};
struct filter6 {
	struct entry (*sets)[WAYS];
};

struct filter6 *filter6_new(void)
{
	void *m = mmap(NULL, SETS * sizeof(struct entry[WAYS]), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct filter6 *f;

	if (m == MAP_FAILED)
		return NULL;
	f = xcalloc(1, sizeof(*f));
	f->sets = m;
	return f;
}

void filter6_free(struct filter6 *f)
{
	if (!f)
		return;
	munmap(f->sets, SETS * sizeof(struct entry[WAYS]));
	free(f);
}

static bool same(const struct flow6 *a, const struct flow6 *b)
{
	return a->proto == b->proto && a->port == b->port && a->outside_port == b->outside_port && !memcmp(a->inside, b->inside, 16) &&
	       !memcmp(a->outside, b->outside, 16);
}

static struct entry *set_of(const struct filter6 *f, const struct flow6 *w)
{
	uint64_t h = w->proto, part;

	for (int i = 0; i < 16; i += 8) {
		memcpy(&part, w->inside + i, 8);
		h = (h ^ part) * 0x9e3779b97f4a7c15u;
		memcpy(&part, w->outside + i, 8);
		h = ((h ^ h >> 29) ^ part) * 0xff51afd7ed558ccdu;
	}
	h = (h ^ ((uint64_t)w->port << 16 | w->outside_port)) * 0xc4ceb9fe1a85ec53u;
	return f->sets[(h ^ h >> 31) % SETS];
}

/* Of a full set: the entry of the host that has most there, which ends first. */
static struct entry *victim(struct entry *s)
{
	struct entry *best = s;
	int most = 0;

	for (int i = 0; i < WAYS; i++) {
		int n = 0;

		for (int k = 0; k < WAYS; k++)
			n += !memcmp(s[i].flow.inside, s[k].flow.inside, 16);
		if (n > most || (n == most && s[i].ends < best->ends)) {
			most = n;
			best = &s[i];
		}
	}
	return best;
}

void filter6_out(struct filter6 *f, const struct flow6 *w, uint64_t now, uint64_t ns)
{
	struct entry *s = set_of(f, w), *at = NULL;

	for (int i = 0; i < WAYS; i++)
		if (s[i].ends > now && same(&s[i].flow, w)) {
			s[i].ends = now + ns;
			return;
		} else if (s[i].ends <= now) {
			at = &s[i];
		}
	if (!at)
		at = victim(s);
	at->flow = *w;
	at->ends = now + ns;
}

bool filter6_in(const struct filter6 *f, const struct flow6 *w, uint64_t now)
{
	const struct entry *s = set_of(f, w);

	for (int i = 0; i < WAYS; i++)
		if (s[i].ends > now && same(&s[i].flow, w))
			return true;
	return false;
}

void filter6_each(const struct filter6 *f, uint64_t now, void (*fn)(void *arg, const struct flow6 *flow, uint64_t left_ns), void *arg)
{
	for (int s = 0; s < SETS; s++)
		for (int i = 0; i < WAYS; i++)
			if (f->sets[s][i].ends > now)
				fn(arg, &f->sets[s][i].flow, f->sets[s][i].ends - now);
}

bool filter6_flow(const uint8_t *h, size_t n, bool outwards, struct flow6 *r)
{
	const uint8_t *t = h + IP6_BYTES;
	size_t left;
	uint16_t src, dst;

	if (n < IP6_BYTES + 8 || h[0] >> 4 != 6)
		return false;
	left = n - IP6_BYTES;
	memset(r, 0, sizeof(*r));
	r->proto = h[6];
	/* Fragments belong to their addresses' flow without ports. */
	if (r->proto == IPPROTO_FRAGMENT && left >= 8) {
		src = dst = 0;
	} else if (r->proto == IPPROTO_TCP || r->proto == IPPROTO_UDP) {
		src = get16(t);
		dst = get16(t + 2);
	} else if (r->proto == IPPROTO_ICMPV6 && (t[0] == 128 || t[0] == 129)) {
		src = dst = get16(t + 4);
	} else {
		return false;
	}
	memcpy(r->inside, h + (outwards ? 8 : 24), 16);
	memcpy(r->outside, h + (outwards ? 24 : 8), 16);
	r->port = outwards ? src : dst;
	r->outside_port = r->proto == IPPROTO_ICMPV6 ? 0 : outwards ? dst : src;
	return true;
}
