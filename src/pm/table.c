/* SPDX-License-Identifier: Apache-2.0 */
/* The state machine as data; core.c holds the actions. A cell that is not here: the event means nothing in that state. */
#include "pm/core.h"

#include <string.h>

#define NAME_STATE(n) [PM_##n] = #n,
#define NAME_EVENT(n) [PM_EV_##n] = #n,
static const char *const state_names[PM_NSTATES] = { PM_STATES(NAME_STATE) };
static const char *const event_names[PM_NEVENTS] = { PM_EVENTS(NAME_EVENT) };

#define GO(state, act) { 1, PM_##state, ACT_##act }
const struct core_cell core_table[PM_NSTATES][PM_NEVENTS] = {
	[PM_STOPPED] = {
		[PM_EV_START] = GO(SCHE_START, SCHEDULE),
		[PM_EV_RESTART] = GO(SCHE_START, SCHEDULE),
		[PM_EV_STOP] = GO(STOPPED, DOWN),
	},
	[PM_SCHE_START] = {
		[PM_EV_START] = GO(SCHE_START, UP),
		[PM_EV_RESTART] = GO(SCHE_START, UP),
		[PM_EV_STOP] = GO(STOPPED, GIVE_UP),
		[PM_EV_DEPS_OK] = GO(STARTING, LAUNCH),
		[PM_EV_DEP_FAIL] = GO(STOPPED, GIVE_UP),
		[PM_EV_TIMEOUT] = GO(STOPPED, GIVE_UP),
	},
	[PM_STARTING] = {
		[PM_EV_START] = GO(STARTING, UP),
		[PM_EV_STOP] = GO(SCHE_STOP, END),
		[PM_EV_RESTART] = GO(SCHE_STOP, END_AND_RETURN),
		[PM_EV_NEED_LOST] = GO(SCHE_STOP, END_FOR_NOW),
		[PM_EV_READY] = GO(RUNNING, RAN),
		[PM_EV_UNREADY] = GO(STARTING_FAIL, FAIL),
		[PM_EV_GONE] = GO(STARTING_FAIL, FAIL),
		[PM_EV_TIMEOUT] = GO(STARTING, FORCE), /* killed first: a fail state has no process */
	},
	[PM_RUNNING] = {
		[PM_EV_START] = GO(RUNNING, UP),
		[PM_EV_STOP] = GO(SCHE_STOP, END),
		[PM_EV_RESTART] = GO(SCHE_STOP, END_AND_RETURN),
		[PM_EV_NEED_LOST] = GO(SCHE_STOP, END_FOR_NOW),
		[PM_EV_RELOAD] = GO(RUNNING, RELOAD),
		[PM_EV_GONE] = GO(FAIL, FAIL),
	},
	[PM_STARTING_FAIL] = {
		[PM_EV_START] = GO(STOPPED, UP),
		[PM_EV_RESTART] = GO(STOPPED, UP),
		[PM_EV_STOP] = GO(STOPPED, GIVE_UP),
		[PM_EV_RESET] = GO(STOPPED, NONE),
		[PM_EV_TIMEOUT] = GO(STOPPED, NONE),
	},
	[PM_SCHE_STOP] = {
		[PM_EV_START] = GO(SCHE_STOP, UP),
		[PM_EV_RESTART] = GO(SCHE_STOP, UP),
		[PM_EV_STOP] = GO(SCHE_STOP, END),
		[PM_EV_GONE] = GO(SCHE_STOP, LOST),
		[PM_EV_DEPS_QUIT] = GO(STOPPING, HALT),
	},
	[PM_STOPPING] = {
		[PM_EV_START] = GO(STOPPING, UP),
		[PM_EV_RESTART] = GO(STOPPING, UP),
		[PM_EV_STOP] = GO(STOPPING, DOWN),
		[PM_EV_TIMEOUT] = GO(STOPPING, FORCE),
		[PM_EV_SYNC] = GO(STOPPED, STOPPED),
		[PM_EV_GONE] = GO(STOPPED, STOPPED),
	},
	[PM_FAIL] = {
		[PM_EV_START] = GO(STOPPED, UP),
		[PM_EV_RESTART] = GO(STOPPED, UP),
		[PM_EV_STOP] = GO(STOPPED, GIVE_UP),
		[PM_EV_RESET] = GO(STOPPED, NONE),
		[PM_EV_TIMEOUT] = GO(STOPPED, NONE),
	},
};
_Static_assert(PM_NSTATES == 8, "a new state needs its row");
_Static_assert(PM_NEVENTS == 14, "a new event needs its cells");

const char *pm_state_name(enum pm_state s)
{
	return s < PM_NSTATES ? state_names[s] : "?";
}

int pm_state_parse(const char *name)
{
	for (int i = 0; i < PM_NSTATES; i++)
		if (!strcmp(state_names[i], name))
			return i;
	return -1;
}

const char *pm_event_name(enum pm_event e)
{
	return e < PM_NEVENTS ? event_names[e] : "?";
}
