/* SPDX-License-Identifier: Apache-2.0 */
/* Defining, redefining and removing units. */
#include "base/cleanup.h"
#include "base/mem.h"
#include "pm/core.h"
#include "pm/stream.h"

#include <stdlib.h>
#include <string.h>

const char *const unit_type_names[UNIT_NTYPES] = {
	[UNIT_RUN] = "run", [UNIT_ONESHOT] = "oneshot", [UNIT_MOUNT] = "mount", [UNIT_ROOT] = "root", [UNIT_INSTALL] = "install",
	[UNIT_SETUP] = "setup", [UNIT_NETWORK] = "network", [UNIT_VOLUME] = "volume", [UNIT_TIMER] = "timer",
	[UNIT_SOCKET] = "socket", [UNIT_PM] = "pm",
};
static const char *const dep_keys[DEP_NKINDS] = {
	[DEP_NEEDS] = "needs", [DEP_BINDS] = "binds-to", [DEP_AFTER] = "after", [DEP_CONFLICTS] = "conflicts",
};

int core_check_id(const char *id, struct error **err)
{
	size_t n = strlen(id);

	if (!n)
		return error_set(err, ERR_USAGE, "the name of a unit is empty");
	if (n > PM_ID_MAX)
		return error_set(err, ERR_USAGE, "'%.40s...': the name of a unit has at most %d bytes", id, PM_ID_MAX);
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)id[i] <= ' ' || id[i] == 0x7f)
			return error_set(err, ERR_USAGE, "'%s': the name of a unit holds no blanks and control characters", id);
	if (id[0] == '-' || id[0] == '@')
		return error_set(err, ERR_USAGE, "'%s': the name of a unit does not begin with '%c'", id, id[0]);
	return 0;
}

static int must_have(const struct params *ps, const char *type, const char *key, struct error **err)
{
	if (params_get(ps, key))
		return 0;
	return error_set(err, ERR_USAGE, "a unit of type %s needs the key '%s'", type, key);
}

/* Another pm below this one; what its kind promises must be there. Whether we may start it is launch_may_hold's. */
static int check_pm(const struct params *ps, struct error **err)
{
	const char *kind = params_get(ps, "kind"), *home = params_get(ps, "home");

	if (must_have(ps, "pm", "kind", err) < 0 || must_have(ps, "pm", "home", err) < 0)
		return -1;
	if (home[0] != '/')
		return error_set(err, ERR_USAGE, "home: '%s' does not begin with /", home);
	if (!strcmp(kind, "chroot") && !params_get(ps, "root"))
		return error_set(err, ERR_USAGE, "kind: a chroot pm needs the key 'root'");
	if (!strcmp(kind, "jail") && !params_get(ps, "namespaces"))
		return error_set(err, ERR_USAGE, "kind: a jail pm needs the key 'namespaces'");
	return 0;
}

/* Which keys the type asks for. */
static int check_type(const struct params *ps, enum unit_type t, struct error **err)
{
	const char *type = unit_type_names[t];

	switch (t) {
	case UNIT_RUN:
		return must_have(ps, type, "run", err);
	case UNIT_MOUNT:
		return params_get(ps, "mount") ? 0 : must_have(ps, type, "start", err);
	case UNIT_TIMER:
		return must_have(ps, type, "every", err) < 0 ? -1 : must_have(ps, type, "unit", err);
	case UNIT_SOCKET:
		return must_have(ps, type, "listen", err) < 0 ? -1 : must_have(ps, type, "unit", err);
	case UNIT_PM:
		return check_pm(ps, err);
	default:
		return must_have(ps, type, "start", err);
	}
}

/* One pass over the keys: pm does this for ten thousand units when it begins. */
static int set_field(struct unit *u, uint32_t *limit, const char *key, const char *value, struct error **err)
{
	const struct {
		const char *key;
		uint32_t *ms;
	} times[] = {
		{ "start-timeout", &u->start_timeout }, { "stop-timeout", &u->stop_timeout }, { "wait-timeout", &u->wait_timeout },
		{ "fail-keep", &u->fail_keep }, { "restart-delay", &u->delay }, { "restart-backoff", &u->backoff },
		{ "restart-max-delay", &u->max_delay }, { "restart-reset", &u->reset },
	};

	if (!strcmp(key, "type")) {
		for (uint8_t t = 0; t < UNIT_NTYPES; t++)
			if (!strcmp(value, unit_type_names[t]))
				u->type = t;
	} else if (!strcmp(key, "restart")) {
		u->restart = value[0] == 'n' ? RESTART_NEVER : value[0] == 'a' ? RESTART_ALWAYS : RESTART_ON_FAILURE;
	} else if (!strcmp(key, "restart-limit")) {
		return param_u32(key, value, limit, err);
	} else {
		for (size_t i = 0; i < ARRAY_SIZE(times); i++)
			if (!strcmp(key, times[i].key))
				return param_ms(key, value, times[i].ms, err);
	}
	return 0;
}

int unit_configure(struct unit *u, const struct params *ps, struct error **err)
{
	const char *key, *value;
	uint32_t limit = 0;

	u->type = UNIT_RUN;
	u->restart = RESTART_NEVER;
	u->start_timeout = 90000;
	u->stop_timeout = u->reset = 10000;
	u->wait_timeout = u->fail_keep = u->delay = 0;
	u->backoff = 100;
	u->max_delay = 30000;
	for (uint32_t pos = 0; params_next(ps, &pos, &key, &value);)
		if (set_field(u, &limit, key, value, err) < 0)
			return -1;
	u->limit = limit > UINT16_MAX ? UINT16_MAX : (uint16_t)limit;
	return check_type(ps, u->type, err);
}

/* One edge. Bits in `kinds` of the other unit: the edge was there and is not yet wanted (low), it is wanted (high). */
static int add_edge(struct core *c, struct unit *u, enum dep_kind k, struct unit *on, struct error **err)
{
	if (on->kinds & 1 << k) { /* is there and stays */
		on->kinds &= (uint8_t) ~(1 << k);
	} else if (!(on->kinds & 16 << k) && graph_add(c, u, k, on, err) < 0) {
		if (!on->defined && !on->nrdeps && on != u)
			core_forget(c, on);
		return -1;
	}
	on->kinds |= (uint8_t)(16 << k);
	return 0;
}

static int add_edges(struct core *c, struct unit *u, const struct params *ps, enum dep_kind k, struct error **err)
{
	_cleanup_strv_ struct strv ids = STRV_INIT;

	if (params_words(ps, dep_keys[k], &ids, err) < 0)
		return -1;
	for (size_t i = 0; i < ids.len; i++) {
		if (core_check_id(ids.v[i], err) < 0)
			return error_wrap(err, "%s", dep_keys[k]);
		if (add_edge(c, u, k, core_name(c, ids.v[i]), err) < 0)
			return -1;
	}
	return 0;
}

/*
 * Units are named SOFTWARE[-VERSION]!setup@[CONFIG@]ROOT by custom. What is set up where: by `name` and `root`, else by that.
 * With a configuration path of its own a second one is no rival.
 */
static int add_slot(struct core *c, struct unit *u, const struct params *ps, struct error **err)
{
	const char *name = params_get(ps, "name"), *root = params_get(ps, "root"), *at = strchr(u->id, '@');
	size_t n = strcspn(u->id, "!@");
	_cleanup_buf_ struct buf slot = BUF_INIT;
	struct unit *s;

	for (size_t i = n; !name && i-- > 1;) {
		const char *version = u->id + i + 1;

		if (u->id[i] == '-' && i + 1 < n && strchr("0123456789", version[*version == 'v']))
			n = i;
	}
	buf_addf(&slot, "set-up of %.*s in ", name ? (int)strlen(name) : (int)n, name ? name : u->id);
	buf_addf(&slot, "%s%s%s", at ? at + 1 : "", at && root ? ", " : "", root ? root : at ? "" : "/");
	s = core_name(c, slot.data);
	s->slot = true;
	return add_edge(c, u, DEP_CONFLICTS, s, err);
}

/* Takes away the edges from number `first` on: all of them, or those that are no longer wanted. */
static void remove_edges(struct core *c, struct unit *u, uint32_t first, bool all)
{
	for (uint32_t i = u->ndeps; i-- > first;) {
		uint32_t e = u->deps[i];
		struct unit *on = c->units[DEP_UNIT(e)];

		if (!all && !(on->kinds & 1 << DEP_KIND(e)))
			continue;
		on->kinds &= (uint8_t) ~(17 << DEP_KIND(e));
		graph_remove(c, u, DEP_KIND(e), on);
	}
}

static int set_edges(struct core *c, struct unit *u, enum unit_type type, const struct params *ps, struct error **err)
{
	uint32_t before = u->ndeps;
	int rc = 0;

	for (uint32_t i = 0; i < before; i++)
		c->units[DEP_UNIT(u->deps[i])]->kinds |= (uint8_t)(1 << DEP_KIND(u->deps[i]));
	for (int k = 0; k < DEP_NKINDS && rc == 0; k++)
		rc = add_edges(c, u, ps, (enum dep_kind)k, err);
	if (rc == 0 && type == UNIT_SETUP)
		rc = add_slot(c, u, ps, err);
	remove_edges(c, u, rc < 0 ? before : 0, rc < 0);
	for (uint32_t i = 0; i < u->ndeps; i++)
		c->units[DEP_UNIT(u->deps[i])]->kinds = 0;
	return rc;
}

/* What unit_configure has set. */
static void take_fields(struct unit *u, const struct unit *from)
{
	u->type = from->type;
	u->restart = from->restart;
	u->limit = from->limit;
	u->start_timeout = from->start_timeout;
	u->stop_timeout = from->stop_timeout;
	u->wait_timeout = from->wait_timeout;
	u->fail_keep = from->fail_keep;
	u->delay = from->delay;
	u->backoff = from->backoff;
	u->max_delay = from->max_delay;
	u->reset = from->reset;
}

struct unit *core_define(struct core *c, const char *id, struct params *ps, struct error **err)
{
	struct unit tmp = { 0 }, *u;
	bool was;

	if (core_check_id(id, err) < 0)
		return NULL;
	if (unit_configure(&tmp, ps, err) < 0) {
		error_wrap(err, "%s", id);
		return NULL;
	}
	u = core_name(c, id);
	if (u->defined && tmp.type != u->type && u->state != PM_STOPPED) {
		error_set(err, ERR_STATE, "%s: its type cannot change while it is %s", id, pm_state_name(u->state));
		return NULL;
	}
	was = u->defined;
	u->defined = true; /* an edge to ourselves is told as such, not forgotten */
	if (set_edges(c, u, (enum unit_type)tmp.type, ps, err) < 0) {
		u->defined = was;
		if (!was && !u->nrdeps)
			core_forget(c, u);
		return NULL;
	}
	take_fields(u, &tmp);
	params_free(&u->params);
	u->params.p = xrealloc(STEAL(ps->p), ps->n ? ps->n : 1);
	u->params.n = ps->n;
	ps->n = 0;
	if (!was)
		c->live++;
	core_mark(c, u);
	for (uint32_t i = 0; i < u->nrdeps; i++)
		core_mark(c, c->units[DEP_UNIT(u->rdeps[i])]);
	return u;
}

int core_remove(struct core *c, struct unit *u, struct error **err)
{
	if (!u->defined)
		return error_set(err, ERR_NOT_FOUND, "%s: no such unit", u->id);
	if (u->state != PM_STOPPED && u->state != PM_FAIL && u->state != PM_STARTING_FAIL) {
		error_set(err, ERR_STATE, "%s: cannot be removed: it is %s", u->id, pm_state_name(u->state));
		return error_hint(err, "pm stop %s", u->id);
	}
	c->ops->arm(c->ctx, u, 0);
	core_restore(c, u, PM_STOPPED, false, 0);
	remove_edges(c, u, 0, true);
	params_free(&u->params);
	u->defined = false;
	c->live--;
	if (!u->nrdeps)
		core_forget(c, u);
	return 0;
}
