/* SPDX-License-Identifier: Apache-2.0 */
#include "net/link.h"
#include "base/cleanup.h"
#include "base/mem.h"

#include <math.h>
#include <string.h>
#include <sys/mman.h>

#define ETH_HEADER 14
#define FRAME_MAX_BYTES (65536 + 14 + 4)
#define LATE_NS 50000u /* frames due within this time share one wake-up */
#define TAIL_MAX 50.0  /* of pareto and exponential, in jitters */

const char *const link_event_names[LINK_EVENTS] = {
	[LINK_LOST] = "lost",
	[LINK_DUPLICATED] = "duplicated",
	[LINK_REORDERED] = "reordered",
	[LINK_CORRUPTED] = "corrupted",
	[LINK_QUEUE_FULL] = "queue full",
	[LINK_TOO_BIG] = "too big",
	[LINK_DOWN] = "down",
};

enum { DRAW_LOSS, DRAW_DUPLICATE, DRAW_REORDER, DRAW_CORRUPT, DRAW_JITTER, DRAWS };

/* Before a held frame's bytes. */
struct held {
	uint64_t due;
	uint32_t len, origin;
};

/*
 * Held frames lie in chunks of one pool, the same for all links. Its pages count only once they are used, and the chunk that was
 * given back last is taken first, so memory follows what is really on its way.
 */
#define CHUNK_BYTES ((size_t)72 << 10)
#define CHUNKS 3640u /* 256 MiB */
#define NONE UINT32_MAX
struct chunk {
	uint32_t next, used;
	uint8_t data[CHUNK_BYTES - 8];
};
_Static_assert(sizeof(struct chunk) == CHUNK_BYTES && CHUNK_BYTES - 8 > FRAME_MAX_BYTES + sizeof(struct held) + 8, "a frame fits");

struct pool {
	struct chunk *chunks; /* NULL until a link needs it */
	uint32_t fresh, free, taken;
};
struct queue {
	uint32_t first, last, at; /* at: where the first frame begins in the first chunk */
	uint64_t count;
};

struct link {
	struct links *all;
	link_deliver_fn *deliver;
	void *owner;
	struct link_spec spec;
	struct link_stats stats;
	uint64_t draws[DRAWS];
	bool bad; /* the burst's state */
	uint64_t since, last_due;
	uint64_t rate_free;	/* when the rate has let the last frame go */
	uint64_t *departures;	/* of the last `queue` frames, in a circle */
	uint32_t ndepartures, at_departure;
	struct queue queue;
	size_t heap_at; /* + 1; 0: holds nothing */
	uint64_t number; /* order of making: among equals the older one is first */
};

struct links {
	struct loop_src *timer;
	struct pool pool;
	uint64_t now; /* 0: ask the clock */
	uint64_t armed;
	uint64_t numbers;
	struct link **heap;
	size_t nheap, nlinks, cap;
	link_observe_fn *observe;
	void *observe_arg;
	void (*before)(void), (*after)(void);
};

/* ---- numbers: splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014) ---- */

static uint64_t mix(uint64_t z)
{
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static uint64_t draw(struct link *k, int stream)
{
	return mix(k->draws[stream] += 0x9e3779b97f4a7c15u);
}

/* [0, 1) */
static double draw_unit(struct link *k, int stream)
{
	return (double)(draw(k, stream) >> 11) * 0x1p-53;
}

uint64_t link_seed(uint64_t seed, const char *const *words)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (; *words; words++)
		for (const char *c = *words;; c++) {
			h = (h ^ (uint8_t)*c) * 0x100000001b3u;
			if (!*c)
				break;
		}
	return mix(h ^ mix(seed));
}

/* ---- held frames ---- */

static void pool_open(struct pool *p)
{
	void *m;

	if (p->chunks)
		return;
	m = mmap(NULL, CHUNKS * CHUNK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (m == MAP_FAILED)
		return; /* what can't be held is dropped and counted */
	p->chunks = m;
	p->free = NONE;
}

static uint32_t pool_take(struct pool *p)
{
	uint32_t i = p->free;

	if (!p->chunks || (i == NONE && p->fresh == CHUNKS))
		return NONE;
	if (i == NONE)
		i = p->fresh++;
	else
		p->free = p->chunks[i].next;
	p->chunks[i].next = NONE;
	p->chunks[i].used = 0;
	p->taken++;
	return i;
}

static void pool_give(struct pool *p, uint32_t i)
{
	p->chunks[i].next = p->free;
	p->free = i;
	p->taken--;
}

/* After a burst its pages go back to the system. */
static void pool_rest(struct pool *p)
{
	if (p->taken || p->fresh < 64)
		return;
	madvise(p->chunks, p->fresh * CHUNK_BYTES, MADV_DONTNEED);
	p->fresh = 0;
	p->free = NONE;
}

static size_t held_bytes(size_t len)
{
	return sizeof(struct held) + ((len + 7) & ~(size_t)7);
}

static bool queue_push(struct pool *p, struct queue *q, const struct held *head, const uint8_t *frame)
{
	size_t need = held_bytes(head->len);
	struct chunk *c = q->last == NONE ? NULL : &p->chunks[q->last];

	if (!c || c->used + need > sizeof(c->data)) {
		uint32_t i = head->len <= FRAME_MAX_BYTES ? pool_take(p) : NONE;

		if (i == NONE)
			return false;
		if (c)
			c->next = i;
		else {
			q->first = i;
			q->at = 0;
		}
		q->last = i;
		c = &p->chunks[i];
	}
	memcpy(c->data + c->used, head, sizeof(*head));
	memcpy(c->data + c->used + sizeof(*head), frame, head->len);
	c->used += (uint32_t)need;
	q->count++;
	return true;
}

static const struct held *queue_first(const struct link *k)
{
	return (const struct held *)(k->all->pool.chunks[k->queue.first].data + k->queue.at);
}

static void queue_pop(struct link *k)
{
	struct pool *p = &k->all->pool;
	struct queue *q = &k->queue;
	uint32_t first = q->first;

	q->at += (uint32_t)held_bytes(queue_first(k)->len);
	q->count--;
	if (q->at < p->chunks[first].used)
		return;
	q->first = p->chunks[first].next;
	q->at = 0;
	if (q->first == NONE)
		q->last = NONE;
	pool_give(p, first);
}

/* ---- heap ---- */

static bool before(const struct link *a, const struct link *b)
{
	uint64_t x = queue_first(a)->due, y = queue_first(b)->due;

	return x != y ? x < y : a->number < b->number;
}

static void heap_put(struct links *l, size_t i, struct link *k)
{
	l->heap[i] = k;
	k->heap_at = i + 1;
}

static void heap_up(struct links *l, size_t i)
{
	struct link *k = l->heap[i];

	for (; i && before(k, l->heap[(i - 1) / 2]); i = (i - 1) / 2)
		heap_put(l, i, l->heap[(i - 1) / 2]);
	heap_put(l, i, k);
}

static void heap_down(struct links *l, size_t i)
{
	struct link *k = l->heap[i];

	for (;;) {
		size_t c = 2 * i + 1;

		if (c + 1 < l->nheap && before(l->heap[c + 1], l->heap[c]))
			c++;
		if (c >= l->nheap || !before(l->heap[c], k))
			break;
		heap_put(l, i, l->heap[c]);
		i = c;
	}
	heap_put(l, i, k);
}

static void heap_remove(struct links *l, struct link *k)
{
	size_t i = k->heap_at - 1;
	struct link *last = l->heap[--l->nheap];

	k->heap_at = 0;
	if (last == k)
		return;
	heap_put(l, i, last);
	heap_up(l, i);
	heap_down(l, last->heap_at - 1);
}

/* ---- all of them ---- */

uint64_t links_now(const struct links *l)
{
	return l->now ? l->now : loop_now();
}

uint64_t links_next(const struct links *l)
{
	return l->nheap ? queue_first(l->heap[0])->due : UINT64_MAX;
}

static void arm(struct links *l, uint64_t at)
{
	uint64_t now = loop_now();

	l->armed = at;
	if (l->timer)
		loop_timer_arm(l->timer, at > now ? at - now : 1);
}

static void release_first(struct links *l)
{
	struct link *k = l->heap[0];
	const struct held *h = queue_first(k);

	l->now = h->due;
	k->stats.out++;
	k->deliver(k->owner, h->origin, (const uint8_t *)(h + 1), h->len);
	/* Only now: what it caused may have been put behind it. */
	queue_pop(k);
	if (k->queue.count)
		heap_down(l, k->heap_at - 1);
	else
		heap_remove(l, k);
}

void links_run(struct links *l, uint64_t now)
{
	uint64_t was = l->now;

	while (links_next(l) <= now)
		release_first(l);
	l->now = was;
}

void links_enter(struct links *l, uint64_t now)
{
	if (!now)
		now = loop_now();
	links_run(l, now);
	l->now = now;
}

void links_leave(struct links *l)
{
	l->now = 0;
}

static void on_timer(void *arg)
{
	struct links *l = arg;
	uint64_t now = loop_now(), next;

	l->armed = UINT64_MAX;
	if (l->before)
		l->before();
	links_run(l, now);
	if (l->after)
		l->after();
	next = links_next(l);
	if (next != UINT64_MAX)
		arm(l, next > now + LATE_NS ? next : now + LATE_NS);
	else
		pool_rest(&l->pool);
}

struct links *links_new(struct loop *loop)
{
	struct links *l = xcalloc(1, sizeof(*l));

	l->armed = UINT64_MAX;
	if (loop) {
		l->timer = loop_timer(loop, 1, on_timer, l);
		loop_timer_disarm(l->timer);
	}
	return l;
}

void links_free(struct links *l)
{
	if (!l)
		return;
	loop_remove(l->timer);
	if (l->pool.chunks)
		munmap(l->pool.chunks, CHUNKS * CHUNK_BYTES);
	free(l->heap);
	free(l);
}

void links_observe(struct links *l, link_observe_fn *fn, void *arg)
{
	l->observe = fn;
	l->observe_arg = arg;
}

void links_around(struct links *l, void (*begin)(void), void (*end)(void))
{
	l->before = begin;
	l->after = end;
}

/* ---- one ---- */

struct link *link_new(struct links *l, link_deliver_fn *deliver, void *owner)
{
	struct link *k = xcalloc(1, sizeof(*k));

	k->all = l;
	k->deliver = deliver;
	k->owner = owner;
	k->number = l->numbers++;
	k->queue.first = k->queue.last = NONE;
	if (++l->nlinks > l->cap) {
		l->cap = l->cap ? 2 * l->cap : 16;
		l->heap = xreallocarray(l->heap, l->cap, sizeof(*l->heap));
	}
	return k;
}

void link_free(struct link *k)
{
	if (!k)
		return;
	if (k->heap_at)
		heap_remove(k->all, k);
	k->all->nlinks--;
	while (k->queue.count)
		queue_pop(k);
	free(k->departures);
	free(k);
}

void link_owner(struct link *k, void *owner)
{
	k->owner = owner;
}

void link_set(struct link *k, const struct link_spec *spec, uint64_t seed)
{
	uint32_t queue = spec->rate_bps ? (spec->queue ? spec->queue : LINK_QUEUE) : 0;

	for (int i = 0; i < DRAWS; i++)
		k->draws[i] = mix(seed + (uint64_t)i);
	k->bad = false;
	k->spec = *spec;
	k->since = links_now(k->all);
	if (queue != k->ndepartures) {
		free(k->departures);
		k->departures = queue ? xcalloc(queue, sizeof(*k->departures)) : NULL;
		k->ndepartures = queue;
		k->at_departure = 0;
	}
	if (spec->delay_ns || spec->jitter_ns || spec->rate_bps)
		pool_open(&k->all->pool);
}

const struct link_spec *link_spec_of(const struct link *k)
{
	return &k->spec;
}

void link_stats_of(const struct link *k, struct link_stats *ret)
{
	*ret = k->stats;
	ret->held = k->queue.count;
}

bool link_is_down(const struct link *k, uint64_t now)
{
	if (k->spec.down)
		return true;
	/* Each round begins with the time up. */
	return k->spec.flap_every_ns &&
	       (now - k->since) % k->spec.flap_every_ns >= k->spec.flap_every_ns - k->spec.flap_for_ns;
}

void link_flush(struct link *k)
{
	if (k->heap_at)
		heap_remove(k->all, k);
	while (k->queue.count) {
		const struct held *h = queue_first(k);

		k->stats.out++;
		k->deliver(k->owner, h->origin, (const uint8_t *)(h + 1), h->len);
		queue_pop(k);
	}
	k->last_due = 0;
}

static void event(struct link *k, enum link_event what, const uint8_t *frame, size_t len)
{
	k->stats.events[what]++;
	if (k->all->observe)
		k->all->observe(k->all->observe_arg, k, k->owner, what, frame, len);
}

static bool chance(struct link *k, int stream, double p)
{
	return p > 0 && draw_unit(k, stream) < p;
}

/* Gilbert's model: the mean run of lost frames is `burst`, and as many frames are lost as `loss` says. */
static bool lose(struct link *k)
{
	double loss = k->spec.loss, leave;

	if (loss <= 0)
		return false;
	if (k->spec.burst <= 1)
		return chance(k, DRAW_LOSS, loss);
	leave = 1 / k->spec.burst;
	k->bad = draw_unit(k, DRAW_LOSS) < (k->bad ? 1 - leave : leave * loss / (1 - loss));
	return k->bad;
}

static double jitter(struct link *k)
{
	double j = (double)k->spec.jitter_ns, u = draw_unit(k, DRAW_JITTER), v;

	switch (k->spec.distribution) {
	case JITTER_NORMAL: /* Box and Muller; 1 - u is never 0 */
		v = draw_unit(k, DRAW_JITTER);
		return j * sqrt(-2 * log(1 - u)) * cos(2 * M_PI * v);
	case JITTER_PARETO: /* shape 3, moved so that it begins at 0, mean `jitter` */
		return j * fmin(2 * (pow(1 - u, -1.0 / 3) - 1), TAIL_MAX);
	case JITTER_EXPONENTIAL:
		return j * fmin(-log(1 - u), TAIL_MAX);
	case JITTER_UNIFORM:
		break;
	}
	return j * (2 * u - 1);
}

/* When the frame has left through the rate; false: its queue is full. */
static bool pass_rate(struct link *k, uint64_t now, size_t len, uint64_t *left)
{
	uint64_t start = k->rate_free > now ? k->rate_free : now;

	*left = now;
	if (!k->spec.rate_bps)
		return true;
	if (k->departures[k->at_departure] > now)
		return false;
	*left = start + (uint64_t)((double)len * 8e9 / (double)k->spec.rate_bps + 0.5);
	k->departures[k->at_departure] = k->rate_free = *left;
	k->at_departure = (k->at_departure + 1) % k->ndepartures;
	return true;
}

static void hold(struct link *k, uint64_t due, uint32_t origin, const uint8_t *frame, size_t len)
{
	struct links *l = k->all;

	if (!queue_push(&l->pool, &k->queue, &(struct held){ due, (uint32_t)len, origin }, frame)) {
		event(k, LINK_QUEUE_FULL, frame, len);
		return;
	}
	k->last_due = due;
	if (!k->heap_at) {
		heap_put(l, l->nheap, k);
		heap_up(l, l->nheap++);
	}
	if (due < l->armed)
		arm(l, due);
}

/* Rate, delay, order. */
static void travel(struct link *k, uint32_t origin, const uint8_t *frame, size_t len)
{
	const struct link_spec *s = &k->spec;
	uint64_t now = links_now(k->all), due;
	double delay = (double)s->delay_ns;

	if (chance(k, DRAW_REORDER, s->reorder)) {
		event(k, LINK_REORDERED, frame, len);
		k->stats.out++;
		k->deliver(k->owner, origin, frame, len);
		return;
	}
	if (!pass_rate(k, now, len, &due)) {
		event(k, LINK_QUEUE_FULL, frame, len);
		return;
	}
	if (s->jitter_ns)
		delay = fmax(0, delay + jitter(k));
	due += (uint64_t)delay;
	if (due < k->last_due)
		due = k->last_due;
	if (due > now || k->queue.count) {
		hold(k, due, origin, frame, len);
		return;
	}
	k->stats.out++;
	k->deliver(k->owner, origin, frame, len);
}

static void multiply(struct link *k, uint32_t origin, const uint8_t *frame, size_t len)
{
	bool twice = chance(k, DRAW_DUPLICATE, k->spec.duplicate);

	if (twice)
		event(k, LINK_DUPLICATED, frame, len);
	travel(k, origin, frame, len);
	if (twice)
		travel(k, origin, frame, len);
}

/* One bit behind the Ethernet header, in a copy: others may be given the same frame. */
static void corrupt(struct link *k, uint32_t origin, const uint8_t *frame, size_t len)
{
	uint64_t bit = draw(k, DRAW_CORRUPT) % ((len - ETH_HEADER) * 8);
	uint8_t copy[FRAME_MAX_BYTES];

	memcpy(copy, frame, len);
	copy[ETH_HEADER + bit / 8] ^= (uint8_t)(1 << bit % 8);
	event(k, LINK_CORRUPTED, copy, len);
	multiply(k, origin, copy, len);
}

void link_input(struct link *k, uint32_t origin, const uint8_t *frame, size_t len)
{
	const struct link_spec *s = &k->spec;

	k->stats.in++;
	if (link_is_down(k, links_now(k->all))) {
		event(k, LINK_DOWN, frame, len);
		return;
	}
	if (s->mtu && len > s->mtu + ETH_HEADER) {
		event(k, LINK_TOO_BIG, frame, len);
		return;
	}
	if (lose(k)) {
		event(k, LINK_LOST, frame, len);
		return;
	}
	if (len > ETH_HEADER && len <= FRAME_MAX_BYTES && chance(k, DRAW_CORRUPT, s->corrupt))
		corrupt(k, origin, frame, len);
	else
		multiply(k, origin, frame, len);
}
