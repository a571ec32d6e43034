/* SPDX-License-Identifier: Apache-2.0 */
/* Events, actions and settling; the theory is in core.h, the table in table.c. */
#include "pm/core.h"
#include "base/cleanup.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An event that a transition raised: handled after it, so that no chain of units is a chain of calls. */
struct core_post {
	uint32_t unit, cause; /* cause: index of a unit, or NO_UNIT */
	uint8_t event;
	uint8_t state; /* in which it was raised: in another one it is stale, but for START */
};

static bool active(const struct unit *u)
{
	return u->state != PM_STOPPED && u->state != PM_FAIL && u->state != PM_STARTING_FAIL;
}

static bool holds_need(const struct unit *u) /* keeps what it needs from stopping */
{
	return u->state == PM_STARTING || u->state == PM_RUNNING || u->state == PM_SCHE_STOP || u->state == PM_STOPPING;
}

static bool ending(const struct unit *u)
{
	return u->state == PM_SCHE_STOP || u->state == PM_STOPPING;
}

static void post(struct core *c, const struct unit *u, enum pm_event ev, const struct unit *cause)
{
	if (c->nposts == c->cap_posts) {
		c->cap_posts = c->cap_posts ? c->cap_posts * 2 : 16;
		c->posts = xreallocarray(c->posts, c->cap_posts, sizeof(*c->posts));
	}
	c->posts[c->nposts++] = (struct core_post){ u->index, cause ? cause->index : NO_UNIT, (uint8_t)ev, u->state };
}

void core_mark(struct core *c, struct unit *u)
{
	if (u->marked)
		return;
	if (c->nmarks == c->cap_marks) {
		c->cap_marks = c->cap_marks ? c->cap_marks * 2 : 16;
		c->marks = xreallocarray(c->marks, c->cap_marks, sizeof(*c->marks));
	}
	u->marked = true;
	c->marks[c->nmarks++] = u->index;
}

static void mark_around(struct core *c, struct unit *u)
{
	struct rivals it = { 0 };

	core_mark(c, u);
	for (uint32_t i = 0; i < u->nrdeps; i++)
		core_mark(c, c->units[DEP_UNIT(u->rdeps[i])]);
	for (uint32_t i = 0; i < u->ndeps; i++)
		core_mark(c, c->units[DEP_UNIT(u->deps[i])]);
	for (struct unit *r; u->type == UNIT_SETUP && (r = graph_rival(c, u, &it));)
		core_mark(c, r);
}

void core_mark_all(struct core *c)
{
	for (uint32_t i = 0; i < c->nunits; i++)
		if (c->units[i])
			core_mark(c, c->units[i]);
}

/* Decides what comes after a failure: another try, or the end. */
static void failed(struct core *c, struct unit *u, enum pm_state from, uint64_t ran)
{
	bool failure = from == PM_STARTING || !u->clean;
	bool again = u->up && !c->closing &&
		(u->restart == RESTART_ALWAYS || (u->restart == RESTART_ON_FAILURE && failure));
	uint64_t delay = u->delay;

	u->pid = 0;
	if (from == PM_RUNNING && ran >= u->reset)
		u->retries = 0;
	if (!again || (u->limit && u->retries >= u->limit)) {
		u->up = false;
		if (!failure)
			post(c, u, PM_EV_TIMEOUT, NULL);
		else
			c->ops->arm(c->ctx, u, u->fail_keep);
		return;
	}
	if (u->retries > 0)
		delay = (uint64_t)u->backoff << (u->retries > 20 ? 20 : u->retries - 1);
	if (delay > u->max_delay && u->retries > 0)
		delay = u->max_delay;
	if (u->retries < UINT16_MAX)
		u->retries++;
	if (delay)
		c->ops->arm(c->ctx, u, (uint32_t)delay);
	else
		post(c, u, PM_EV_TIMEOUT, NULL);
}

static void schedule(struct core *c, struct unit *u)
{
	u->up = true;
	c->ops->arm(c->ctx, u, u->wait_timeout);
	for (uint32_t i = 0; i < u->ndeps; i++) {
		struct unit *d = c->units[DEP_UNIT(u->deps[i])];

		if (DEP_KIND(u->deps[i]) <= DEP_BINDS && d->defined && !d->up)
			post(c, d, PM_EV_START, u);
	}
}

static void launch(struct core *c, struct unit *u)
{
	char why[160] = "";

	u->forced = u->clean = false;
	c->ops->arm(c->ctx, u, u->start_timeout);
	switch (c->ops->launch(c->ctx, u, why)) {
	case 0:
		break;
	case 1:
		core_event(c, u, PM_EV_READY, "nothing to wait for");
		break;
	default:
		core_event(c, u, PM_EV_UNREADY, why);
	}
}

static void force(struct core *c, struct unit *u)
{
	if (!c->ops->force(c->ctx, u)) {
		post(c, u, u->state == PM_STARTING ? PM_EV_UNREADY : PM_EV_SYNC, NULL);
		return;
	}
	c->ops->changed(c->ctx, u, u->state, u->forced ? "still there after SIGKILL" : "time-out: SIGKILL");
	u->forced = true;
	c->ops->arm(c->ctx, u, 10000);
}

static void act(struct core *c, struct unit *u, enum core_action a, enum pm_state from, uint64_t ran)
{
	bool up = u->up;

	switch (a) {
	case ACT_SCHEDULE:
		schedule(c, u);
		break;
	case ACT_LAUNCH:
		launch(c, u);
		break;
	case ACT_RAN:
	case ACT_NONE:
		c->ops->arm(c->ctx, u, 0);
		break;
	case ACT_FAIL:
		failed(c, u, from, ran);
		break;
	case ACT_END:
		u->up = false;
		c->ops->arm(c->ctx, u, 0);
		break;
	case ACT_END_AND_RETURN:
		u->up = true;
		c->ops->arm(c->ctx, u, 0);
		break;
	case ACT_END_FOR_NOW:
		c->ops->arm(c->ctx, u, 0);
		break;
	case ACT_HALT:
		u->forced = false;
		c->ops->arm(c->ctx, u, u->stop_timeout);
		if (!c->ops->halt(c->ctx, u))
			post(c, u, PM_EV_SYNC, NULL);
		break;
	case ACT_FORCE:
		force(c, u);
		break;
	case ACT_STOPPED:
		c->ops->arm(c->ctx, u, 0);
		u->pid = 0;
		break;
	case ACT_GIVE_UP:
		u->up = false;
		c->ops->arm(c->ctx, u, 0);
		break;
	case ACT_UP:
		u->up = true;
		break;
	case ACT_DOWN:
		u->up = false;
		break;
	case ACT_RELOAD:
		c->ops->reload(c->ctx, u);
		break;
	case ACT_LOST:
		u->pid = 0;
		break;
	case ACT_NACTIONS:
		break;
	}
	/* A goal that changed in the same state is recorded too: it must survive us. */
	if (from == u->state && up != u->up)
		c->ops->changed(c->ctx, u, from, u->up ? "shall be up" : "shall be down");
}

/* The goal that the new state is recorded with: actions that set it do so before `changed` is told. */
static void goal_first(struct unit *u, enum core_action a)
{
	if (a == ACT_SCHEDULE || a == ACT_END_AND_RETURN || a == ACT_UP)
		u->up = true;
	else if (a == ACT_END || a == ACT_GIVE_UP || a == ACT_DOWN)
		u->up = false;
}

bool core_event(struct core *c, struct unit *u, enum pm_event ev, const char *reason)
{
	struct core_cell cell = core_table[u->state][ev];
	enum pm_state from = u->state;
	uint64_t now, ran;
	char text[200];

	if (!cell.known)
		return false;
	if (cell.to == from) {
		act(c, u, cell.action, from, 0);
		mark_around(c, u);
		return true;
	}
	now = c->ops->now(c->ctx);
	ran = now - u->since;
	c->count[from]--;
	c->count[cell.to]++;
	u->state = cell.to;
	u->since = now;
	mark_around(c, u);
	if (cell.action == ACT_FAIL) { /* decides the goal and the number of tries, which are recorded with the state */
		if (from == PM_STARTING && u->forced && ev == PM_EV_GONE) {
			snprintf(text, sizeof(text), "time-out, then %s", reason);
			reason = text;
		}
		act(c, u, cell.action, from, ran);
		c->ops->changed(c->ctx, u, from, reason);
		return true;
	}
	goal_first(u, cell.action);
	c->ops->changed(c->ctx, u, from, reason);
	act(c, u, cell.action, from, ran);
	return true;
}

static void run_posts(struct core *c)
{
	while (c->first_post < c->nposts) {
		struct core_post p = c->posts[c->first_post++];
		struct unit *u = c->units[p.unit];
		const char *text = "";
		char reason[PM_ID_MAX + 32];

		if (!u || (p.event != PM_EV_START && u->state != p.state))
			continue;
		if (p.event == PM_EV_START) {
			if (u->up || c->closing)
				continue;
			snprintf(reason, sizeof(reason), "needed by %s", c->units[p.cause]->id);
			text = reason;
		} else if (p.event == PM_EV_TIMEOUT) {
			text = u->up ? "tried again at once" : "ended by itself";
		} else if (p.event == PM_EV_UNREADY) {
			text = "not ready in time";
		} else if (p.event == PM_EV_SYNC) {
			text = "nothing left";
		}
		core_event(c, u, p.event, text);
	}
	c->nposts = c->first_post = 0;
}

enum verdict { GO_ON, WAIT, NEVER };

/* What a dependency means for the start of u; why is set unless GO_ON. */
static enum verdict start_verdict(const struct unit *d, enum dep_kind k, char why[160])
{
	const char *state = pm_state_name(d->state);
	int room = 100;

	if (k == DEP_AFTER) {
		if (!(d->state == PM_SCHE_START || d->state == PM_STARTING || ending(d) || (d->state == PM_STOPPED && d->up)))
			return GO_ON;
		snprintf(why, 160, "after %.*s (%s)", room, d->id, state);
		return WAIT;
	}
	if (k == DEP_CONFLICTS) {
		if (!active(d))
			return GO_ON;
		snprintf(why, 160, "conflicts with %.*s (%s)", room, d->id, state);
		return d->up ? NEVER : WAIT;
	}
	if (!d->defined) {
		snprintf(why, 160, "needs %.*s, which does not exist", room, d->id);
		return NEVER;
	}
	if (d->state == PM_RUNNING)
		return GO_ON;
	snprintf(why, 160, "needs %.*s (%s)", room, d->id, state);
	return d->up ? WAIT : NEVER;
}

/* The worst of both, and why. */
static enum verdict worse(enum verdict all, char why[160], const struct unit *d, enum dep_kind k)
{
	char one[160];
	enum verdict v = start_verdict(d, k, one);

	if (v <= all)
		return all;
	memcpy(why, one, sizeof(one));
	return v;
}

static enum verdict may_start(const struct core *c, const struct unit *u, char why[160])
{
	enum verdict all = GO_ON;
	struct rivals it = { 0 };

	why[0] = '\0';
	for (uint32_t i = 0; i < u->ndeps; i++)
		if (DEP_KIND(u->deps[i]) != DEP_CONFLICTS)
			all = worse(all, why, c->units[DEP_UNIT(u->deps[i])], DEP_KIND(u->deps[i]));
	for (const struct unit *r; (r = graph_rival(c, u, &it));)
		all = worse(all, why, r, DEP_CONFLICTS);
	return all;
}

/* A dependent that u must wait for before it stops. */
static const struct unit *held_by(const struct core *c, const struct unit *u)
{
	for (uint32_t i = 0; i < u->nrdeps; i++) {
		const struct unit *r = c->units[DEP_UNIT(u->rdeps[i])];
		enum dep_kind k = DEP_KIND(u->rdeps[i]);

		if ((k <= DEP_BINDS && holds_need(r)) || (k == DEP_AFTER && ending(r)))
			return r;
	}
	return NULL;
}

/* A unit that runs: does something it needs leave on purpose, or something it is bound to in any way? */
static void settle_running(struct core *c, struct unit *u)
{
	char why[160];

	for (uint32_t i = 0; i < u->ndeps; i++) {
		const struct unit *d = c->units[DEP_UNIT(u->deps[i])];
		enum dep_kind k = DEP_KIND(u->deps[i]);

		if (k <= DEP_BINDS && ending(d)) {
			snprintf(why, sizeof(why), "needs %.100s, which is to %s", d->id, d->up ? "restart" : "stop");
			core_event(c, u, d->up ? PM_EV_NEED_LOST : PM_EV_STOP, why);
			return;
		}
		if (k == DEP_BINDS && d->state != PM_RUNNING) {
			snprintf(why, sizeof(why), "bound to %.100s (%s)", d->id, pm_state_name(d->state));
			core_event(c, u, PM_EV_NEED_LOST, why);
			return;
		}
	}
}

static void settle_one(struct core *c, struct unit *u)
{
	char why[160];

	switch (u->state) {
	case PM_STOPPED:
		if (!u->up || c->closing || !u->defined)
			break;
		if (u->retries)
			snprintf(why, sizeof(why), "restart %u", u->retries);
		else
			snprintf(why, sizeof(why), "shall be up");
		core_event(c, u, PM_EV_START, why);
		break;
	case PM_SCHE_START:
		switch (may_start(c, u, why)) {
		case GO_ON:
			core_event(c, u, PM_EV_DEPS_OK, "all it needs runs");
			break;
		case NEVER:
			core_event(c, u, PM_EV_DEP_FAIL, why);
			break;
		case WAIT:
			break;
		}
		break;
	case PM_STARTING:
	case PM_RUNNING:
		settle_running(c, u);
		break;
	case PM_SCHE_STOP:
		if (!held_by(c, u))
			core_event(c, u, PM_EV_DEPS_QUIT, "no dependent left");
		break;
	default:
		break;
	}
}

void core_settle(struct core *c)
{
	run_posts(c);
	while (c->nmarks) {
		/* One generation: marks made meanwhile come in the next, after their posts. */
		uint32_t n = c->nmarks;

		for (uint32_t i = 0; i < n; i++) {
			struct unit *u = c->units[c->marks[i]];

			if (!u)
				continue;
			u->marked = false;
			settle_one(c, u);
		}
		memmove(c->marks, c->marks + n, (c->nmarks - n) * sizeof(*c->marks));
		c->nmarks -= n;
		run_posts(c);
	}
	if (c->cap_marks > 1024) { /* a burst is over: its memory goes back */
		free(STEAL(c->marks));
		c->cap_marks = 0;
	}
	if (c->cap_posts > 1024) {
		free(STEAL(c->posts));
		c->cap_posts = 0;
	}
}

void core_waits_for(const struct core *c, const struct unit *u, char ret[160])
{
	const struct unit *r;

	ret[0] = '\0';
	if (u->state == PM_SCHE_START)
		may_start(c, u, ret);
	else if (u->state == PM_SCHE_STOP && (r = held_by(c, u)))
		snprintf(ret, 160, "%.100s (%s) must quit first", r->id, pm_state_name(r->state));
}

bool core_retries(const struct unit *u)
{
	return (u->state == PM_FAIL || u->state == PM_STARTING_FAIL) && u->up;
}

static int refuse_conflict(struct core *c, const struct unit *u, struct error **err)
{
	struct rivals it = { 0 };

	for (const struct unit *r; (r = graph_rival(c, u, &it));) {
		if (r->up) {
			error_set(err, ERR_STATE, "%s: conflicts with %s, which is %s", u->id, r->id, pm_state_name(r->state));
			return error_hint(err, "stop it first: pm stop %s", r->id);
		}
	}
	return 0;
}

int core_command(struct core *c, struct unit *u, enum pm_event ev, const char *reason, struct error **err)
{
	if (!u->defined)
		return error_set(err, ERR_NOT_FOUND, "%s: no such unit", u->id);
	if (ev == PM_EV_START || ev == PM_EV_RESTART) {
		if (c->closing)
			return error_set(err, ERR_STATE, "%s: not started: pm is shutting down", u->id);
		if (refuse_conflict(c, u, err) < 0)
			return -1;
	}
	if (ev == PM_EV_RELOAD && u->state != PM_RUNNING)
		return error_set(err, ERR_STATE, "%s: cannot reload: it is %s", u->id, pm_state_name(u->state));
	if (ev == PM_EV_START || ev == PM_EV_RESTART || ev == PM_EV_RESET)
		u->retries = 0;
	core_event(c, u, ev, reason);
	return 0;
}

void core_restore(struct core *c, struct unit *u, enum pm_state s, bool up, uint32_t retries)
{
	c->count[u->state]--;
	c->count[s]++;
	u->state = (uint8_t)s;
	u->up = up;
	u->retries = retries > UINT16_MAX ? UINT16_MAX : (uint16_t)retries;
	u->since = c->ops->now(c->ctx);
	core_mark(c, u);
}

void core_init(struct core *c, const struct core_ops *ops, void *ctx)
{
	*c = (struct core){ .ops = ops, .ctx = ctx };
}

void core_free(struct core *c)
{
	for (uint32_t i = 0; i < c->nunits; i++) {
		struct unit *u = c->units[i];

		if (!u)
			continue;
		params_free(&u->params);
		free(u->deps);
		free(u->rdeps);
		free(u->cause);
		free(u->id);
		free(u);
	}
	free(c->units);
	free(c->slots);
	free(c->free_index);
	free(c->marks);
	free(c->posts);
	*c = (struct core){ 0 };
}
