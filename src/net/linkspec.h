/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a link does to the frames that pass it in one direction, and how people write that. The same words in the
 * group file, on the command line, in scenario files, in net.json and on the control socket: "delay": "80ms".
 */
#ifndef CROFT_NET_LINKSPEC_H
#define CROFT_NET_LINKSPEC_H

#include "base/buf.h"
#include "base/error.h"
#include <stdbool.h>
#include <stdint.h>

enum jitter_kind { JITTER_UNIFORM, JITTER_NORMAL, JITTER_PARETO, JITTER_EXPONENTIAL };

/* All zero: a perfect link. Probabilities are 0 to 1. */
struct link_spec {
	uint64_t delay_ns, jitter_ns;
	enum jitter_kind distribution;
	double loss;
	double burst; /* mean length of a run of lost frames (Gilbert); 0: each frame is lost for itself */
	double duplicate, reorder, corrupt;
	uint64_t rate_bps; /* 0: no limit */
	uint32_t queue;	   /* frames that wait for the rate; 0: LINK_QUEUE */
	uint32_t mtu;	   /* of IP packets; longer ones are dropped; 0: any */
	bool down;
	uint64_t flap_every_ns, flap_for_ns; /* down for the last `for` of every `every` */
};
#define LINK_QUEUE 1000

/* Names of what can be set, NULL-terminated: "delay", "jitter", ... */
extern const char *const link_keys[];
/* Sets one of them; ERR_USAGE names key, value and what is wrong. "0" or "none" takes it back. */
int link_spec_set(struct link_spec *s, const char *key, const char *value, struct error **err);
/* What no single value can tell: ERR_USAGE. */
int link_spec_check(const struct link_spec *s, struct error **err);
bool link_spec_perfect(const struct link_spec *s);
bool link_spec_same(const struct link_spec *a, const struct link_spec *b);
/* Appends {"delay":"80ms",...} with what is set; link_spec_set reads each value back to the same. */
void link_spec_json(const struct link_spec *s, struct buf *b);
/* Appends "delay 80ms, loss 2%"; nothing when perfect. */
void link_spec_text(const struct link_spec *s, struct buf *b);

#endif
