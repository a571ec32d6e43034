/* SPDX-License-Identifier: Apache-2.0 */
/* What the lines of the command stream mean. Each either does all that it says or answers why not and changes nothing. */
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/units.h"
#include "pm/machine.h"
#include "pm/stream.h"
#include "pm/watch.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct command {
	const char *name;
	size_t min, max; /* arguments */
	const char *usage;
	void (*run)(struct reply *r, const struct command *c, const struct strv *words, struct error **err);
	int event; /* for those that are an event to units */
	enum wait_kind wait;
};

static struct unit *defined_unit(const char *id, struct error **err)
{
	struct unit *u = core_find(&machine.core, id);

	if (u && u->defined)
		return u;
	error_set(err, ERR_NOT_FOUND, "%s: no such unit", id);
	return NULL;
}

static const char *who(const struct reply *r)
{
	return r->client ? "by a client" : "by the command stream";
}

/* Those named in words[1..]; -1 when one is unknown. The caller frees *ret in any case. */
static int units_of(const struct strv *words, struct unit ***ret, size_t *n, struct error **err)
{
	*n = words->len - 1;
	*ret = xcalloc(*n, sizeof(**ret));
	for (size_t i = 0; i < *n; i++) {
		(*ret)[i] = defined_unit(words->v[i + 1], err);
		if (!(*ret)[i])
			return -1;
	}
	return 0;
}

static enum pm_event event_of(const struct command *c, const struct unit *u)
{
	bool running = u->state == PM_RUNNING || u->state == PM_STARTING;

	if (!strcmp(c->name, "try-restart"))
		return running ? PM_EV_RESTART : PM_NEVENTS;
	if (!strcmp(c->name, "reload-or-restart"))
		return running && params_get(&u->params, "reload") ? PM_EV_RELOAD : PM_EV_RESTART;
	if (!strcmp(c->name, "try-reload-or-restart"))
		return !running ? PM_NEVENTS : params_get(&u->params, "reload") ? PM_EV_RELOAD : PM_EV_RESTART;
	return (enum pm_event)c->event;
}

/* start, stop, restart ...: all units of the line; the answer ends when all are where they should be. */
static void run_event(struct reply *r, const struct command *c, const struct strv *words, struct error **err)
{
	_cleanup_free_ struct unit **units = NULL, **up = NULL, **reloaded = NULL;
	enum wait_kind wait = c->wait;
	size_t n, nup = 0, nreloaded = 0;

	if (units_of(words, &units, &n, err) < 0)
		return;
	up = xcalloc(n, sizeof(*up));
	reloaded = xcalloc(n, sizeof(*reloaded));
	for (size_t i = 0; i < n; i++) {
		enum pm_event ev = event_of(c, units[i]);

		if (ev == PM_NEVENTS)
			continue;
		if (ev == PM_EV_RELOAD && !params_get(&units[i]->params, "reload")) {
			error_set(err, ERR_STATE, "%s: cannot reload: it has no key 'reload'", units[i]->id);
			error_hint(err, "pm reload-or-restart %s", units[i]->id);
			return;
		}
		if (ev == PM_EV_RELOAD && units[i]->state != PM_RUNNING) {
			error_set(err, ERR_STATE, "%s: cannot reload: it is %s", units[i]->id, pm_state_name(units[i]->state));
			return;
		}
		if (ev == PM_EV_RELOAD)
			reloaded[nreloaded++] = units[i];
		else
			up[nup++] = units[i];
	}
	if (nreloaded) /* before it happens: a signal is done at once */
		reply_wait(r, WAIT_RELOAD, reloaded, nreloaded);
	for (size_t i = 0; i < n; i++) {
		enum pm_event ev = event_of(c, units[i]);

		if (ev != PM_NEVENTS && core_command(&machine.core, units[i], ev, who(r), err) < 0)
			return;
	}
	core_settle(&machine.core);
	if (wait == WAIT_RELOAD)
		wait = WAIT_UP;
	if (nup || !nreloaded)
		reply_wait(r, wait, up, nup);
}

static void run_reset(struct reply *r, const struct command *c, const struct strv *words, struct error **err)
{
	_cleanup_free_ struct unit **units = NULL;
	size_t n;

	if (units_of(words, &units, &n, err) < 0)
		return;
	for (size_t i = 0; i < n; i++)
		if (core_command(&machine.core, units[i], PM_EV_RESET, who(r), err) < 0)
			return;
	reply_end(r, 0, "done");
}

/* -1: it could not be saved, and the client has no answer yet. */
static int store(struct reply *r, struct unit *u, struct error **err)
{
	if (u->type == UNIT_SOCKET)
		machine.nsocket_units = 1;
	if (reply_relaxed(r))
		home_defer(u);
	else if (home_save(u, true, err) < 0)
		return error_wrap(err, "%s", u->id);
	if (r->client || !reply_relaxed(r))
		reply_end(r, 0, "%s", u->id);
	return 0;
}

/* A command that is answered with an error has changed nothing, here as on disk. */
static void undo(struct unit *u, bool existed, struct params *before)
{
	_cleanup_error_ struct error *e = NULL;

	if (!existed)
		home_forget(u);
	if (existed ? !core_define(&machine.core, u->id, before, &e) : core_remove(&machine.core, u, &e) < 0)
		log_line("%s", e->msg);
}

/* Words KEY=VALUE behind the unit's name, over what ps holds. */
static void define(struct reply *r, struct params *ps, const struct strv *words, struct error **err)
{
	_cleanup_params_ struct params before = PARAMS_INIT;
	struct unit *u = core_find(&machine.core, words->v[1]);
	bool existed = u && u->defined;

	for (size_t i = 2; i < words->len; i++)
		if (params_assign(ps, words->v[i], err) < 0) {
			error_wrap(err, "%s", words->v[1]);
			return;
		}
	if (launch_may_hold(ps, err) < 0) {
		error_wrap(err, "%s", words->v[1]);
		return;
	}
	if (existed)
		params_copy(&before, &u->params);
	u = core_define(&machine.core, words->v[1], ps, err);
	if (u && store(r, u, err) < 0)
		undo(u, existed, &before);
}

static void run_unit(struct reply *r, const struct command *c, const struct strv *words, struct error **err)
{
	_cleanup_params_ struct params ps = PARAMS_INIT;

	define(r, &ps, words, err);
}

static void run_set(struct reply *r, const struct command *c, const struct strv *words, struct error **err)
{
	_cleanup_params_ struct params ps = PARAMS_INIT;
	struct unit *u = defined_unit(words->v[1], err);

	if (!u)
		return;
	params_copy(&ps, &u->params);
	define(r, &ps, words, err);
}

static void run_remove(struct reply *r, const struct command *c, const struct strv *words, struct error **err)
{
	_cleanup_free_ struct unit **units = NULL;
	size_t n;

	if (units_of(words, &units, &n, err) < 0)
		return;
	for (size_t i = 0; i < n; i++) {
		struct unit *u = units[i];

		if (u->state == PM_STOPPED || u->state == PM_FAIL || u->state == PM_STARTING_FAIL)
			continue;
		error_set(err, ERR_STATE, "%s: cannot be removed: it is %s", u->id, pm_state_name(u->state));
		error_hint(err, "pm stop %s", u->id);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		struct unit *u = core_find(&machine.core, words->v[i + 1]);

		if (!u || !u->defined) /* named twice */
			continue;
		if (u->log_fd >= 0) {
			machine_unwatch_fd(u->log_fd);
			close(u->log_fd);
			u->log_fd = -1;
		}
		home_forget(u);
		if (core_remove(&machine.core, u, err) < 0)
			return;
	}
	reply_end(r, 0, "done");
}

static void run_kill(struct reply *r, const struct command *c, const struct strv *words, struct error **err)
{
	struct unit *u = defined_unit(words->v[1], err);
	int signo = words->len > 2 ? signal_parse(words->v[2]) : SIGTERM;

	if (!u)
		return;
	if (signo < 0) {
		error_set(err, ERR_USAGE, "'%s' is not a signal", words->v[2]);
		return;
	}
	if (!u->pid) {
		error_set(err, ERR_STATE, "%s: has no process: it is %s", u->id, pm_state_name(u->state));
		return;
	}
	launch_kill(u, signo, true);
	reply_end(r, 0, "SIG%s sent", signal_name(signo));
}

/* id, state, goal, type, pid, job, seconds in the state, retries; then what it waits for. */
static char *put_number(char *to, uint64_t v)
{
	char digits[24], *at = digits + sizeof(digits) - 1;

	*at = '\0';
	do
		*--at = (char)('0' + v % 10);
	while (v /= 10);
	return stpcpy(to, at);
}

/* Without printf: there may be ten thousand of them. */
static void print_unit(struct reply *r, const struct unit *u)
{
	uint64_t seconds = (machine.now - (u->since ? u->since : machine.began)) / 1000;
	char why[160], line[PM_ID_MAX + sizeof(why) + 200], *at = stpcpy(line, u->id);

	core_waits_for(&machine.core, u, why);
	*at++ = '\t';
	at = stpcpy(at, pm_state_name(u->state));
	at = stpcpy(at, u->up ? "\tup\t" : "\tdown\t");
	at = stpcpy(at, unit_type_names[u->type]);
	*at++ = '\t';
	at = put_number(at, u->pid > 0 ? (uint64_t)u->pid : 0);
	*at++ = '\t';
	at = put_number(at, u->job);
	*at++ = '\t';
	at = put_number(at, seconds);
	*at++ = '\t';
	at = put_number(at, u->retries);
	*at++ = '\t';
	strcpy(at, why);
	reply_text(r, line);
}

static void run_list(struct reply *r, const struct command *c, const struct strv *words, struct error **err)
{
	for (uint32_t i = 0; i < machine.core.nunits; i++)
		if (machine.core.units[i] && machine.core.units[i]->defined)
			print_unit(r, machine.core.units[i]);
	reply_end(r, 0, "%u units", machine.core.live);
}

static void run_status(struct reply *r, const struct command *c, const struct strv *words, struct error **err)
{
	struct unit *u = defined_unit(words->v[1], err);
	_cleanup_buf_ struct buf line = BUF_INIT;
	const char *title;

	if (!u)
		return;
	home_flush();
	print_unit(r, u);
	if (home_last(u->id, &line))
		reply_data(r, "last\t%s", line.data);
	title = params_get(&u->params, "title");
	if (title)
		reply_data(r, "title\t%s", title);
	reply_end(r, 0, "done");
}

static void run_cat(struct reply *r, const struct command *c, const struct strv *words, struct error **err)
{
	struct unit *u = defined_unit(words->v[1], err);
	const char *k, *v;
	bool found = words->len == 2;

	if (!u)
		return;
	for (uint32_t pos = 0; params_next(&u->params, &pos, &k, &v);) {
		_cleanup_buf_ struct buf b = BUF_INIT;

		if (words->len > 2 && !strv_has(words, k))
			continue;
		found = true;
		for (; *v; v++) {
			if (*v == '\\' || *v == '\n')
				buf_addc(&b, '\\');
			buf_addc(&b, *v == '\n' ? 'n' : *v);
		}
		reply_data(r, "%s=%s", k, buf_str(&b));
	}
	if (found)
		reply_end(r, 0, "done");
	else
		error_set(err, ERR_NOT_FOUND, "%s: has no key '%s'", u->id, words->v[2]);
}

/* How a dependency of u is. */
static const char *state_of_dep(const struct unit *u, const struct unit *d)
{
	struct rivals it = { .side = 0 };
	const struct unit *rival;

	if (!d->slot)
		return d->defined ? pm_state_name(d->state) : "does not exist";
	while ((rival = graph_rival(&machine.core, u, &it)))
		if (rival->up)
			return "taken";
	return u->up ? "taken by this unit" : "free";
}

static void print_deps(struct reply *r, struct unit *u, unsigned depth)
{
	static const char *const kinds[] = { "needs", "binds-to", "after", "conflicts" };

	u->seen = true;
	for (uint32_t i = 0; i < u->ndeps; i++) {
		struct unit *d = machine.core.units[DEP_UNIT(u->deps[i])];
		bool again = d->seen;

		reply_data(r, "%u\t%s\t%s\t%s", depth, kinds[DEP_KIND(u->deps[i])], d->id,
			again && d->ndeps ? "see above" : state_of_dep(u, d));
		if (!again && depth < 200)
			print_deps(r, d, depth + 1);
	}
}

static void run_deps(struct reply *r, const struct command *c, const struct strv *words, struct error **err)
{
	struct unit *u = defined_unit(words->v[1], err);

	if (!u)
		return;
	print_deps(r, u, 0);
	for (uint32_t i = 0; i < machine.core.nunits; i++)
		if (machine.core.units[i])
			machine.core.units[i]->seen = false;
	reply_end(r, 0, "done");
}

static void run_jobs(struct reply *r, const struct command *c, const struct strv *words, struct error **err)
{
	for (uint32_t i = 0; i < machine.core.nunits; i++) {
		const struct unit *u = machine.core.units[i];

		if (u && u->defined && u->job)
			reply_data(r, "%u\t%s\t%d", u->job, u->id, u->pid > 0 ? (int)u->pid : 0);
	}
	reply_end(r, 0, "done");
}

static void run_wait(struct reply *r, const struct command *c, const struct strv *words, struct error **err)
{
	_cleanup_free_ struct unit **units = NULL;
	size_t n;

	if (units_of(words, &units, &n, err) == 0)
		reply_wait(r, c->wait, units, n);
}

/* One command now, with an id of its own: a unit that is taken away when it has ended and was asked about. */
static void run_invoke(struct reply *r, const struct command *c, const struct strv *words, struct error **err)
{
	_cleanup_params_ struct params ps = PARAMS_INIT;
	_cleanup_buf_ struct buf run = BUF_INIT;
	size_t at = 1;
	char id[32];
	struct unit *u;
	int fds[3];

	for (; at < words->len && strcmp(words->v[at], "--"); at++)
		if (params_assign(&ps, words->v[at], err) < 0)
			return;
	for (at++; at < words->len; at++) {
		if (run.len)
			buf_addc(&run, ' ');
		stream_quote(&run, words->v[at]);
	}
	if (!run.len) {
		error_set(err, ERR_USAGE, "invoke: no command behind --");
		return;
	}
	params_set(&ps, "run", run.data);
	snprintf(id, sizeof(id), "invoke.%u", machine.last_job + 1);
	u = core_define(&machine.core, id, &ps, err);
	if (!u)
		return;
	u->status = 127 << 8; /* what needs others may never come to run */
	home_defer(u);
	home_flush();
	if (reply_take_fds(r, fds))
		launch_give_fds(u, fds);
	reply_data(r, "%s", id);
	if (core_command(&machine.core, u, PM_EV_START, who(r), err) < 0)
		return;
	core_settle(&machine.core);
	reply_wait(r, WAIT_JOB, &u, 1);
}

/* A process that somebody else has started becomes the unit's: ID PID START [KEY=VALUE...]. */
static void run_adopt(struct reply *r, const struct command *c, const struct strv *words, struct error **err)
{
	_cleanup_params_ struct params ps = PARAMS_INIT;
	struct unit *u = core_find(&machine.core, words->v[1]);
	uint64_t pid, start;

	machine.had_unit = true;
	if (parse_u64("PID", words->v[2], 2, INT32_MAX, &pid, err) < 0 || parse_u64("START", words->v[3], 1, UINT64_MAX, &start, err) < 0)
		return;
	for (size_t i = 4; i < words->len; i++)
		if (params_assign(&ps, words->v[i], err) < 0)
			return;
	if (u && u->defined && u->pid == (int32_t)pid) {
		reply_end(r, 0, "is watched already");
		return;
	}
	if (u && u->defined && (u->pid || (u->state != PM_STOPPED && u->state != PM_FAIL && u->state != PM_STARTING_FAIL))) {
		error_set(err, ERR_STATE, "%s: is %s", u->id, pm_state_name(u->state));
		return;
	}
	if (!u || !u->defined || words->len > 4)
		u = core_define(&machine.core, words->v[1], &ps, err);
	if (!u)
		return;
	if (u->type != UNIT_RUN) {
		error_set(err, ERR_STATE, "%s: only a unit of type run has a process to adopt", u->id);
		return;
	}
	if (watch_start_of((pid_t)pid) != start) {
		error_set(err, ERR_NOT_FOUND, "process %s that began at %s is not there", words->v[2], words->v[3]);
		return;
	}
	home_defer(u);
	home_flush();
	adopt_process(u, (int32_t)pid, start);
	reply_end(r, 0, "%s", u->id);
}

static void run_defer(struct reply *r, const struct command *c, const struct strv *words, struct error **err)
{
	reply_relax(r);
	reply_end(r, 0, "units are answered before they are safe on disk");
}

static void run_shutdown(struct reply *r, const struct command *c, const struct strv *words, struct error **err)
{
	reply_end(r, 0, "shutting down");
	machine_shutdown(who(r));
}

static void run_upgrade(struct reply *r, const struct command *c, const struct strv *words, struct error **err)
{
	reply_end(r, 0, "upgrading");
	machine_upgrade();
}

#define MANY 100000
static const struct command commands[] = {
	{ "unit", 2, MANY, "ID KEY=VALUE...", run_unit, 0, 0 },
	{ "set-property", 2, MANY, "ID KEY=VALUE...", run_set, 0, 0 },
	{ "remove", 1, MANY, "ID...", run_remove, 0, 0 },
	{ "start", 1, MANY, "ID...", run_event, PM_EV_START, WAIT_UP },
	{ "stop", 1, MANY, "ID...", run_event, PM_EV_STOP, WAIT_DOWN },
	{ "restart", 1, MANY, "ID...", run_event, PM_EV_RESTART, WAIT_UP },
	{ "reload", 1, MANY, "ID...", run_event, PM_EV_RELOAD, WAIT_RELOAD },
	{ "try-restart", 1, MANY, "ID...", run_event, PM_EV_RESTART, WAIT_UP },
	{ "reload-or-restart", 1, MANY, "ID...", run_event, PM_EV_RELOAD, WAIT_UP },
	{ "try-reload-or-restart", 1, MANY, "ID...", run_event, PM_EV_RELOAD, WAIT_UP },
	{ "reset-failed", 1, MANY, "ID...", run_reset, 0, 0 },
	{ "kill", 1, 2, "ID [SIGNAL]", run_kill, 0, 0 },
	{ "list", 0, 0, "", run_list, 0, 0 },
	{ "status", 1, 1, "ID", run_status, 0, 0 },
	{ "cat", 1, MANY, "ID [KEY...]", run_cat, 0, 0 },
	{ "list-dependencies", 1, 1, "ID", run_deps, 0, 0 },
	{ "jobs", 0, 0, "", run_jobs, 0, 0 },
	{ "wait", 1, MANY, "ID...", run_wait, 0, WAIT_END },
	{ "invoke", 2, MANY, "[KEY=VALUE...] -- COMMAND...", run_invoke, 0, 0 },
	{ "adopt", 3, MANY, "ID PID START [KEY=VALUE...]", run_adopt, 0, 0 },
	{ "defer", 0, 0, "", run_defer, 0, 0 },
	{ "shutdown", 0, 0, "", run_shutdown, 0, 0 },
	{ "upgrade", 0, 0, "", run_upgrade, 0, 0 },
};

static const struct command *find(const char *name, struct error **err)
{
	const char *names[ARRAY_SIZE(commands)], *near;

	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		if (!strcmp(commands[i].name, name))
			return &commands[i];
		names[i] = commands[i].name;
	}
	near = nearest_name(name, names, ARRAY_SIZE(names));
	error_set(err, ERR_USAGE, "'%s': no such command", name);
	if (near)
		error_hint(err, "did you mean '%s'?", near);
	return NULL;
}

void command_line(struct reply *r, const char *line, size_t n)
{
	_cleanup_strv_ struct strv words = STRV_INIT;
	struct strv args;
	struct error *e = NULL;
	const struct command *c;
	size_t skip;

	if (stream_split(line, n, &words, &e) < 0) {
		reply_error(r, &e);
		return;
	}
	if (!words.len)
		return;
	skip = words.v[0][0] == '@';
	if (skip)
		snprintf(r->tag, sizeof(r->tag), "%s", words.v[0] + 1);
	args = (struct strv){ words.v + skip, words.len - skip, 0 };
	if (!args.len) {
		reply_end(r, ERR_USAGE, "no command behind the tag");
		return;
	}
	c = find(args.v[0], &e);
	if (c && (args.len - 1 < c->min || args.len - 1 > c->max))
		error_set(&e, ERR_USAGE, "%s: wrong number of words; usage: %s %s", c->name, c->name, c->usage);
	if (!e)
		c->run(r, c, &args, &e);
	if (e)
		reply_error(r, &e);
}
