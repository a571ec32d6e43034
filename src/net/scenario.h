/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scenarios: what happens to a network at which time. A line (or a part of one between `;`) an event:
 *
 *	seed 7
 *	at 10s: partition sn,alice bob
 *	at 20s: heal			# a comment
 *	at 25s: link sn --delay 80ms --loss 2%
 *
 * or the same as a YAML list: "- at 10s: heal", "- {at: 10s, do: heal}". Events are the commands of `croft net GROUP`: cut, partition,
 * heal, link, flap, seed, and `end`, which heals as Ctrl-C does.
 */
#ifndef CROFT_NET_SCENARIO_H
#define CROFT_NET_SCENARIO_H

#include "base/error.h"
#include "base/strv.h"
#include <stddef.h>
#include <stdint.h>

struct scenario_event {
	uint64_t at_ns;
	char *text;    /* as written */
	char *request; /* for the control socket; NULL: end */
	int line;
};
struct scenario {
	struct scenario_event *events; /* in the order of their times */
	size_t n;
};

/* `name` stands for the file in messages, which have its line. */
int scenario_parse(const char *name, const char *text, struct scenario *ret, struct error **err);
void scenario_free(struct scenario *s);
#define _cleanup_scenario_ __attribute__((cleanup(scenario_free)))
/* A command's words as a request of the control socket; new. *ret is NULL for `end`. */
int scenario_request(const struct strv *words, char **ret, struct error **err);

/*
 * Plays it over the network in `dir`, from now on. Every event is checked before the first happens. `say` is told of each as it
 * happens. A signal (base/intr.h) or an error takes back what was done, also when this process is killed.
 */
int scenario_play(const char *dir, const struct scenario *s, int64_t seed, void (*say)(void *arg, uint64_t at_ns, const char *text),
	void *arg, struct error **err);

#endif
