/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Links that are not perfect. A `struct link` is one direction of one cable: frames go in, and come out of `deliver` later,
 * damaged, twice or not at all, as its link_spec says. A port without a spec has no link at all, so its frames pay nothing.
 *
 * Frames keep their order but for those that `reorder` lets overtake, so what a link holds is a queue whose due times never
 * fall. All links that hold frames are in one heap by the due time of their first; one timer is armed for the root. Frames are
 * held in a pool that is mapped when the first link needs it; nothing allocates after link_set.
 *
 * Same seed, same frames at the same times: same faults. So each kind of fault draws from its own stream of numbers (a
 * change of one leaves the others as they are), and a frame that comes out of one link enters the next at the time at which
 * it was due, not at which the timer happened to fire. links_enter says at which time frames come from outside, and first
 * brings out all that is due before; with it a recorded run can be replayed exactly.
 */
#ifndef CROFT_NET_LINK_H
#define CROFT_NET_LINK_H

#include "base/loop.h"
#include "net/linkspec.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct links;
struct link;

enum link_event { LINK_LOST, LINK_DUPLICATED, LINK_REORDERED, LINK_CORRUPTED, LINK_QUEUE_FULL, LINK_TOO_BIG, LINK_DOWN, LINK_EVENTS };
extern const char *const link_event_names[LINK_EVENTS]; /* "lost", "duplicated", ... */

struct link_stats {
	uint64_t in, out; /* frames */
	uint64_t events[LINK_EVENTS];
	uint64_t held; /* now */
};

/* `origin` is what was given to link_input. */
typedef void link_deliver_fn(void *owner, uint32_t origin, const uint8_t *frame, size_t len);
/* Told of each fault while it happens; the frame as it is by then. */
typedef void link_observe_fn(void *arg, const struct link *k, void *owner, enum link_event what, const uint8_t *frame, size_t len);

/* loop NULL: no timer, the caller calls links_run. */
struct links *links_new(struct loop *loop);
void links_free(struct links *l);
void links_observe(struct links *l, link_observe_fn *fn, void *arg);
/* Called around what the timer brings out. */
void links_around(struct links *l, void (*begin)(void), void (*end)(void));
/* ns. The clock, or the time of the frame that is on its way. */
uint64_t links_now(const struct links *l);
/* Frames come from outside now (ns; 0: now): what was due before goes first. */
void links_enter(struct links *l, uint64_t now);
void links_leave(struct links *l);
/* Brings out what is due until `now`. */
void links_run(struct links *l, uint64_t now);
/* When the next frame is due; UINT64_MAX: none. */
uint64_t links_next(const struct links *l);

struct link *link_new(struct links *l, link_deliver_fn *deliver, void *owner);
void link_free(struct link *k); /* what it holds is lost; NULL is allowed */
/* From now on like this; its streams of numbers begin anew from the seed. What it holds comes out as it was going to. */
void link_set(struct link *k, const struct link_spec *spec, uint64_t seed);
const struct link_spec *link_spec_of(const struct link *k);
void link_stats_of(const struct link *k, struct link_stats *ret);
void link_input(struct link *k, uint32_t origin, const uint8_t *frame, size_t len);
/* All that is held comes out now. */
void link_flush(struct link *k);
/* Its owner moved in memory. */
void link_owner(struct link *k, void *owner);
/* Is it down at this time (set down, or flapping)? */
bool link_is_down(const struct link *k, uint64_t now);

/* A seed for one thing out of the seed of all: FNV-1a of the words, mixed. */
uint64_t link_seed(uint64_t seed, const char *const *words);

#endif
