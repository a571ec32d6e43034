/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What has been done with an app on a node. The node keeps it itself, in /var/lib/croft/apps/APP, so that it goes back with the node's
 * snapshots: a line "installed KEY", where KEY is of what install was run from, and "started BOOT-ID", which counts in that boot only.
 */
#ifndef CROFT_GROUP_APP_STATE_H
#define CROFT_GROUP_APP_STATE_H

#include "group/app.h"

struct app_state {
	bool known; /* the node has answered */
	bool installed, fresh, started; /* fresh: from what the file says now */
	int check;  /* status of the app's check; -1: it has none, or was not asked */
	struct strv units; /* "UNIT STATE" as pm has it */
	char *said; /* last line of a check that failed, or why the node did not answer */
};
struct app_states {
	struct app_state *v; /* as app_set.v */
	size_t n;
};
#define _cleanup_app_states_ __attribute__((cleanup(app_states_clear)))
void app_states_clear(struct app_states *s);
/* Asks the nodes that run, all at the same time; those that do not answer are not known. With `check` apps that were started are looked at. */
int app_states_ask(const struct app_set *set, bool check, struct app_states *ret, struct error **err);

/* On a node, by a worker. */
enum app_mark { APP_INSTALLED, APP_STARTED, APP_STOPPED, APP_UNINSTALLED };
/* A real computer may be a node of several groups: ERR_STATE when the app that it has is another group's. */
int app_is_ours(const struct app *a, struct agent *agent, struct error **err);
int app_mark(const struct app *a, enum app_mark what, struct agent *agent, struct error **err);

#endif
