/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decisions: units, their dependencies and the state machine. No process, file, clock or socket here: effects go out
 * through struct core_ops, so that tests and the model drive the same code.
 *
 * Two layers. A *transition* is a cell of the table (table.c): state x event -> state + action. *Settling* looks at every
 * unit whose neighbours changed and raises the events that follow from states alone (DEPS_OK, DEP_FAIL, NEED_LOST, DEPS_QUIT,
 * START of a stopped unit that shall be up). Settling depends on nothing but states and goals, so a pm that was killed and
 * reads them back goes on by itself.
 *
 * Beside its state each unit has a goal, up or down. `start` sets it up for the unit and all it needs, `stop` down for
 * the unit and all that need it. A unit that fails keeps its goal as long as its restart policy has tries left; giving up sets
 * the goal down. STOPPED with goal up starts again by itself: so do restart, start during STOPPING, and the return of a unit
 * whose need was away.
 *
 *	needs		all are started first; DEP_FAIL when one has goal down or does not exist. A commanded stop or restart of one
 *			takes this unit along, in order. If one merely fails this unit stays.
 *	binds-to	needs, and if one fails this unit stops too, and returns with it
 *	after		order only
 *	conflicts	(both ways) start is refused while the other has goal up or is not yet stopped
 *
 * A root takes many installs but one set-up of a name at a time: set-up units of the same name and root conflict with one
 * another. Each has an edge to their *slot*, which is never defined and has a name that no unit can have ("set-up of web in /").
 */
#ifndef CROFT_PM_CORE_H
#define CROFT_PM_CORE_H

#include "base/buf.h"
#include "base/error.h"
#include "pm/param.h"
#include "pm/pm.h"

enum dep_kind { DEP_NEEDS, DEP_BINDS, DEP_AFTER, DEP_CONFLICTS, DEP_NKINDS };
#define DEP_KIND(e) ((enum dep_kind)((e) >> 28))
#define DEP_UNIT(e) ((e) & 0x0fffffffu)
#define NO_UNIT UINT32_MAX

enum unit_type { UNIT_RUN, UNIT_ONESHOT, UNIT_MOUNT, UNIT_ROOT, UNIT_INSTALL, UNIT_SETUP, UNIT_NETWORK, UNIT_VOLUME,
	UNIT_TIMER, UNIT_SOCKET, UNIT_PM, UNIT_NTYPES };
enum restart_policy { RESTART_NEVER, RESTART_ON_FAILURE, RESTART_ALWAYS };
extern const char *const unit_type_names[UNIT_NTYPES];

struct unit {
	char *id;
	struct params params;
	uint32_t *deps, *rdeps; /* kind << 28 | index; what it depends on, what depends on it */
	uint32_t ndeps, nrdeps;
	uint32_t index, hash;
	uint32_t order; /* everything it depends on (but conflicts) has a smaller one */
	uint32_t job;	/* number of the last job; 0: never started */
	int32_t pid;	/* of the main process; 0: none; -1: asked for, not known yet */
	uint32_t timer; /* place in the owner's timer heap + 1, or 0; the owner's */
	uint64_t since; /* ms, monotonic: when the present state was entered */
	/* from the parameters */
	uint32_t start_timeout, stop_timeout, wait_timeout, fail_keep; /* ms; 0: none */
	uint32_t delay, backoff, max_delay, reset; /* ms */
	uint16_t limit;
	uint8_t type, restart;
	uint8_t kinds; /* for core_define: bits of enum dep_kind */
	/* state */
	uint8_t state;
	bool defined : 1; /* else only named by others */
	bool up : 1;	  /* goal */
	bool clean : 1;	  /* the process ended with a status that is no failure */
	bool marked : 1;  /* is on the list to settle */
	bool seen : 1;	  /* for walks of the graph */
	bool forced : 1;  /* SIGKILL was sent in this state */
	bool watched : 1; /* a client follows it; the owner's */
	bool slot : 1;	  /* no unit: one of its dependents at a time may be up */
	uint16_t retries; /* restarts in a row */
	/* the owner's (launch.c, log.c) */
	struct launch *launch; /* what is under way, or NULL */
	int32_t status; /* wait status of the last main process */
	char *cause; /* why it is being started, until the job says so */
	int32_t log_fd;
	uint16_t state_lines;
	uint8_t log_flags;
};

struct core;
/* All may be called from inside of core_event and core_settle; they must not call those two. */
struct core_ops {
	/* STARTING was entered. 0: READY, UNREADY or GONE come later as events; 1: ready already; -1: failed, why is set. */
	int (*launch)(void *ctx, struct unit *u, char why[160]);
	/* STOPPING was entered: make it quit. False: there is nothing to wait for. */
	bool (*halt)(void *ctx, struct unit *u);
	/* SIGKILL to what there is of it. False: there is nothing. */
	bool (*force)(void *ctx, struct unit *u);
	void (*reload)(void *ctx, struct unit *u);
	/* TIMEOUT after ms, in place of an older one; 0: no longer. */
	void (*arm)(void *ctx, struct unit *u, uint32_t ms);
	/* The transition has happened. */
	void (*changed)(void *ctx, struct unit *u, enum pm_state from, const char *reason);
	uint64_t (*now)(void *ctx); /* ms, monotonic */
};

/* The hash stands here too: a unit is looked at only when it is likely the one. */
struct core_slot {
	uint32_t at, hash; /* index + 1, 0: free */
};

struct core {
	const struct core_ops *ops;
	void *ctx;
	struct unit **units; /* by index; NULL where one was removed */
	uint32_t nunits, live; /* length of units; how many are defined */
	struct core_slot *slots; /* hash table */
	uint32_t nslots, used_slots;
	uint32_t *free_index, nfree, cap_free;
	uint32_t *marks, nmarks, cap_marks; /* to settle */
	struct core_post *posts; /* events raised by transitions, in order */
	uint32_t nposts, first_post, cap_posts;
	uint32_t order_next;
	uint32_t count[PM_NSTATES];
	bool closing; /* no START any more */
	bool loading; /* see core_load */
};

void core_init(struct core *c, const struct core_ops *ops, void *ctx);
void core_free(struct core *c);

struct unit *core_find(const struct core *c, const char *id); /* also units that are only named; NULL */
uint64_t core_hash(const char *id); /* by which the watcher knows a unit */
struct unit *core_by_hash(const struct core *c, uint64_t hash);
/* Name as it may be: 1 to PM_ID_MAX bytes, none of them a control character or blank. */
int core_check_id(const char *id, struct error **err);
/*
 * Defines or redefines a unit; ps is taken over (and empty after) when it is right. On an error nothing has changed:
 * a wrong value, or a cycle, which is printed ("a -> b -> a"). A running unit takes most keys at its next start.
 */
struct unit *core_define(struct core *c, const char *id, struct params *ps, struct error **err);
/*
 * Many definitions at once: between these two no order is kept and no cycle seen, which costs most; then all are put in order.
 * False: there is a cycle, and the core is of no use any more but for core_free.
 */
void core_load(struct core *c);
bool core_loaded(struct core *c);
/* ERR_STATE unless it is STOPPED or in a fail state. */
int core_remove(struct core *c, struct unit *u, struct error **err);

/* A command to a unit. ERR_STATE with the reason when it is refused (conflict, reload of a stopped one). */
int core_command(struct core *c, struct unit *u, enum pm_event ev, const char *reason, struct error **err);
/* An event from outside. Ignored where the table has no cell for it: then false. */
bool core_event(struct core *c, struct unit *u, enum pm_event ev, const char *reason);
/* Draws all conclusions. Call after each batch of events. */
void core_settle(struct core *c);
/* Sets what was read from disk: no action, no record. */
void core_restore(struct core *c, struct unit *u, enum pm_state s, bool up, uint32_t retries);
void core_mark(struct core *c, struct unit *u); /* to be looked at by core_settle */
void core_mark_all(struct core *c);
/* Why it waits in SCHE_START or SCHE_STOP: "needs db (STARTING)"; "" when it does not. */
void core_waits_for(const struct core *c, const struct unit *u, char ret[160]);
/* Whether a unit that is in a fail state will be tried again. */
bool core_retries(const struct unit *u);

/* graph.c: for core.c and unit.c. Edges are kept on both sides, and the order right. */
int graph_add(struct core *c, struct unit *u, enum dep_kind k, struct unit *on, struct error **err); /* refuses cycles */
void graph_remove(struct core *c, struct unit *u, enum dep_kind k, struct unit *on);
/* Iterates over all that conflict with u, from a zeroed `it`; NULL: that was the last. */
struct rivals {
	uint32_t side, at, in;
};
struct unit *graph_rival(const struct core *c, const struct unit *u, struct rivals *it);
struct unit *core_name(struct core *c, const char *id); /* finds it or makes one that is only named */
void core_forget(struct core *c, struct unit *u);	  /* frees a unit that nobody names */
/* unit.c: sets the fields that come from the parameters. */
int unit_configure(struct unit *u, const struct params *ps, struct error **err);

/* table.c */
enum core_action { ACT_NONE, ACT_SCHEDULE, ACT_LAUNCH, ACT_RAN, ACT_FAIL, ACT_END, ACT_END_AND_RETURN,
	ACT_END_FOR_NOW, ACT_HALT, ACT_FORCE, ACT_STOPPED, ACT_GIVE_UP, ACT_UP, ACT_DOWN, ACT_RELOAD, ACT_LOST, ACT_NACTIONS };
struct core_cell {
	uint8_t known;	/* the table has this cell */
	uint8_t to;	/* enum pm_state; the same state: no transition is recorded */
	uint8_t action; /* enum core_action */
};
extern const struct core_cell core_table[PM_NSTATES][PM_NEVENTS];

#endif
