/* SPDX-License-Identifier: Apache-2.0 */
/* The commands install, update, start, stop, uninstall, exec and history of a group's apps. */
#include "app_state.h"
#include "ops.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "group/group.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define AGENT_MS 30000

/* A node's part of an operation. */
struct part {
	const struct group_node *n;
	struct app **apps;
	size_t napps;
	const char *command;
	const struct group_deploy *push; /* files first; NULL: none */
	bool bin, ready;
	struct buf said; /* of the worker: a line for each app whose files it changed */
};

struct agent *group_reach(const struct group *g, const struct group_node *n, struct error **err)
{
	_cleanup_machine_ struct machine *m = machine_open(n->full, err);
	enum machine_state s = m ? machine_state(m) : MACHINE_STOPPED;

	if (!m || s == MACHINE_STOPPED || s == MACHINE_CRASHED) {
		if (m)
			error_set(err, ERR_STATE, "machine %s is %s", n->full, machine_state_name(s));
		error_hint(err, "croft group %s up", g->name);
		return NULL;
	}
	return machine_agent_awake(m, AGENT_MS, err);
}

static int mark(const struct app *a, const char *command, struct agent *agent, struct error **err)
{
	static const char *const commands[] = { [APP_INSTALLED] = "install", [APP_STARTED] = "start", [APP_STOPPED] = "stop",
		[APP_UNINSTALLED] = "uninstall" };

	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (!strcmp(command, commands[i]))
			return app_mark(a, (enum app_mark)i, agent, err);
	return 0;
}

static int push(const struct part *p, const struct app *a, struct agent *agent, struct worker *w, struct error **err)
{
	bool changed = false;
	int rc = app_push(a, p->push, agent, w, &changed, err);

	if (changed)
		worker_result(w, "changed\n");
	return rc;
}

/* A command has failed on files that it has not accepted: those from before are put back. What went wrong stays the error. */
static int take_back(const struct part *p, const struct app *a, struct agent *agent, struct error **err)
{
	_cleanup_error_ struct error *e = NULL;

	if ((*err)->cls == ERR_INTR)
		return -1;
	if (app_take_back(a, p->bin, agent, &e) > 0)
		error_hint(err, "the files of %s on %s are as they were before", a->name, p->n->name);
	if (e)
		log_warn("%s: %s: its files could not be put back: %s", p->n->name, a->name, e->msg);
	return -1;
}

/* Units stand behind what their app's own commands make ready, and before what these take away. */
static int run_one(const struct app *a, const char *command, struct agent *agent, struct worker *w, struct error **err)
{
	bool stops = !strcmp(command, "stop"), ends = !strcmp(command, "uninstall");

	if ((stops || ends) && app_units_stop(a, ends, agent, w, err) < 0)
		return -1;
	if (app_run(a, command, agent, w, err) < 0)
		return -1;
	return strcmp(command, "start") ? 0 : app_units_start(a, agent, w, err);
}

static int work_part(struct worker *w, void *arg, struct error **err)
{
	const struct part *p = arg;
	_cleanup_agent_ struct agent *agent = group_reach(p->apps[0]->g, p->n, err);
	_cleanup_strv_ struct strv names = STRV_INIT;
	_cleanup_free_ char *list = NULL;

	if (!agent)
		return -1;
	for (size_t i = 0; i < p->napps; i++) {
		const struct app *a = p->apps[i];

		if (!app_can(a, p->command)) {
			/* Without a command for it, it is no longer there all the same. */
			if (!strcmp(p->command, "uninstall") && mark(a, p->command, agent, err) < 0)
				return -1;
			continue;
		}
		if (app_is_ours(a, agent, err) < 0 || (p->push && push(p, a, agent, w, err) < 0))
			return -1;
		if (run_one(a, p->command, agent, w, err) < 0)
			return p->push ? take_back(p, a, agent, err) : -1;
		if ((p->ready && app_wait_ready(a, agent, w, err) < 0) || mark(a, p->command, agent, err) < 0)
			return -1;
		strv_add(&names, a->name);
	}
	list = names.len ? strv_join(&names, ", ") : xstrdup("nothing to do");
	worker_done(w, "%s: %s", p->command, list);
	return 0;
}

struct choice {
	const char *command;
	const struct group_deploy *push; /* or NULL */
	bool bin, ready, backwards;
	size_t level, round;
	const struct app_builds *builds;
	const char *build; /* command of the host, or NULL */
	struct strv *changed; /* nodes whose files were changed; or NULL */
};

static bool chosen(const struct app_set *s, const struct app *a, const struct choice *c)
{
	if (c->build)
		return app_builds_round(c->builds, a, c->build, c->bin) == c->round;
	return app_level(s, a) == c->level;
}

/* All nodes at the same time, each its apps one after the other. */
static int run_parts(const struct group *g, const struct app_set *s, const struct choice *c, struct error **err)
{
	struct part *parts = xcalloc(g->nnodes + 1, sizeof(*parts));
	struct work *all = xcalloc(g->nnodes + 1, sizeof(*all));
	size_t n = 0;
	int rc;

	for (size_t i = 0; i < g->nnodes; i++) {
		struct part *p = &parts[n];

		*p = (struct part){ .n = &g->nodes[i], .command = c->command, .push = c->push, .bin = c->bin, .ready = c->ready };
		p->apps = xcalloc(s->n + 1, sizeof(struct app *));
		for (size_t k = 0; k < s->n; k++) {
			struct app *a = s->v[c->backwards ? s->n - 1 - k : k];

			if (a->n == p->n && chosen(s, a, c))
				p->apps[p->napps++] = a;
		}
		if (p->napps)
			all[n++] = (struct work){ .label = p->n->name, .arg = p, .fn = work_part, .result = &p->said };
		else
			free(p->apps);
	}
	rc = n ? work_run(all, n, c->command, err) : 0;
	for (size_t i = 0; i < n; i++) {
		if (c->changed && parts[i].said.len && !strv_has(c->changed, parts[i].n->name))
			strv_add(c->changed, parts[i].n->name);
		buf_free(&parts[i].said);
		free(parts[i].apps);
	}
	free(parts);
	free(all);
	return rc;
}

static bool some_can(const struct app_set *s, const char *command)
{
	for (size_t i = 0; i < s->n; i++)
		if (app_can(s->v[i], command))
			return true;
	return false;
}

int group_app_lock(const struct group *g, struct error **err)
{
	_cleanup_free_ char *path = path_join(g->record, "apps.lock");
	int fd;

	if (!group_exists(g->name)) {
		error_set(err, ERR_STATE, "group %s has no machines yet", g->name);
		return error_hint(err, "croft group %s up", g->name);
	}
	fd = file_lock(path, true, 1000, err);
	return fd < 0 ? error_wrap(err, "group %s: another command works on its apps", g->name) : fd;
}

/* What was kept of the old files goes, now that all is well everywhere. */
static int forget_old(struct worker *w, void *arg, struct error **err)
{
	const struct part *p = arg;
	_cleanup_agent_ struct agent *agent = group_reach(p->apps[0]->g, p->n, err);

	for (size_t i = 0; agent && i < p->napps; i++)
		if (app_push_done(p->apps[i], p->bin, agent, err) < 0)
			return -1;
	return agent ? 0 : -1;
}

static int forget_all_old(const struct group *g, const struct app_set *s, bool bin, const struct strv *changed, struct error **err)
{
	struct part *parts = xcalloc(g->nnodes + 1, sizeof(*parts));
	struct work *all = xcalloc(g->nnodes + 1, sizeof(*all));
	size_t n = 0;
	int rc;

	for (size_t i = 0; i < g->nnodes; i++) {
		struct part *p = &parts[n];

		if (!op_resumed() && !strv_has(changed, g->nodes[i].name))
			continue;
		*p = (struct part){ .n = &g->nodes[i], .bin = bin, .apps = xcalloc(s->n + 1, sizeof(struct app *)) };
		for (size_t k = 0; k < s->n; k++)
			if (s->v[k]->n == p->n)
				p->apps[p->napps++] = s->v[k];
		if (p->napps)
			all[n++] = (struct work){ .label = p->n->name, .arg = p, .fn = forget_old };
		else
			free(p->apps);
	}
	rc = work_ask(all, n, err);
	for (size_t i = 0; i < n; i++)
		free(parts[i].apps);
	free(parts);
	free(all);
	return rc;
}

int app_set_deploy(const struct group *g, const struct app_set *s, const struct group_deploy *how, struct error **err)
{
	bool update = how->update;
	_cleanup_strv_ struct strv changed = STRV_INIT;
	struct choice c = { .command = update ? "update" : "install", .push = how, .bin = update,
		.build = update ? "build" : "build_all", .changed = &changed };
	struct app_builds b = { 0 };
	int rc = app_builds(s, c.build, update, &b, err);

	c.builds = &b;
	for (; rc == 0 && c.round < b.rounds; c.round++) {
		rc = app_builds_run(&b, c.round, how->force, err);
		if (rc == 0)
			rc = run_parts(g, s, &c, err);
	}
	if (rc == 0)
		rc = forget_all_old(g, s, update, &changed, err);
	app_builds_free(&b);
	return rc;
}

static struct op *begin(const struct group *g, const char *verb, const struct app_set *s, const struct strv *apps)
{
	struct op *op = op_begin(g->name, verb);

	for (size_t i = 0; i < s->n; i++)
		op_member(op, s->v[i]->n->name, "");
	for (size_t i = 0; apps && i < apps->len; i++)
		if (!strv_has(&op->words, apps->v[i]))
			strv_add(&op->words, apps->v[i]);
	return op;
}

int group_app_deploy(const struct group *g, const char *node, const struct strv *apps, const struct group_deploy *how, struct error **err)
{
	_cleanup_close_ int lock = -1;
	struct app_set s = { 0 };
	int rc = -1;

	if (app_select(g, node, apps, &s, err) == 0 && (lock = group_app_lock(g, err)) >= 0) {
		struct op *op = begin(g, how->update ? "update" : "install", &s, apps);

		rc = op_end(op, op_write(op, err) < 0 ? -1 : app_set_deploy(g, &s, how, err), err);
	}
	app_set_free(&s);
	return rc;
}

int app_set_do(const struct group *g, const struct app_set *s, const char *command, struct error **err)
{
	struct choice c = { .command = command, .ready = !strcmp(command, "start"),
		.backwards = !strcmp(command, "stop") || !strcmp(command, "uninstall") };
	size_t levels = 1;
	int rc = 0;

	for (size_t i = 0; i < s->n; i++)
		levels = app_level(s, s->v[i]) + 1 > levels ? app_level(s, s->v[i]) + 1 : levels;
	for (size_t l = 0; rc == 0 && l < levels; l++) {
		c.level = c.backwards ? levels - 1 - l : l;
		rc = run_parts(g, s, &c, err);
	}
	return rc;
}

int group_app_do(const struct group *g, const char *node, const struct strv *apps, const char *command, struct error **err)
{
	_cleanup_close_ int lock = -1;
	struct app_set s = { 0 };
	int rc = -1;

	if (app_select(g, node, apps, &s, err) == 0 && (lock = group_app_lock(g, err)) >= 0)
		rc = some_can(&s, command) ? 0 : error_set(err, ERR_NOT_FOUND, "none of these apps has a command '%s'", command);
	if (rc == 0) {
		struct op *op = begin(g, command, &s, apps);

		rc = op_end(op, op_write(op, err) < 0 ? -1 : app_set_do(g, &s, command, err), err);
	}
	app_set_free(&s);
	return rc;
}

/* ---- exec ---- */

/* A word as the shell takes it back unchanged. */
static void shell_quote(struct buf *b, const char *s)
{
	buf_addc(b, '\'');
	for (; *s; s++) {
		if (*s == '\'')
			buf_adds(b, "'\\''");
		else
			buf_addc(b, *s);
	}
	buf_addc(b, '\'');
}

static int exec_on(const struct app *a, const char *command, const struct strv *params, int *status, struct error **err)
{
	_cleanup_strv_ struct strv lines = STRV_INIT, known = STRV_INIT;
	_cleanup_agent_ struct agent *agent = NULL;
	_cleanup_buf_ struct buf set = BUF_INIT;
	int has = app_command(a, command, &lines, err), rc = 0;

	if (has == 0) {
		_cleanup_free_ char *list = NULL;

		app_commands(a, &known);
		list = strv_join(&known, ", ");
		error_set(err, ERR_NOT_FOUND, "app %s has no command '%s'", a->name, command);
		return error_hint(err, known.len ? "it has %s" : "it has no commands at all%s", list);
	}
	agent = has < 0 ? NULL : group_reach(a->g, a->n, err);
	if (!agent)
		return -1;
	/* "$1" and so on of the command */
	if (params->len) {
		buf_adds(&set, "set --");
		for (size_t i = 0; i < params->len; i++) {
			buf_addc(&set, ' ');
			shell_quote(&set, params->v[i]);
		}
		buf_addc(&set, '\n');
	}
	for (size_t i = 0; rc == 0 && !*status && i < lines.len; i++) {
		_cleanup_free_ char *line = xasprintf("%s%s", buf_str(&set), lines.v[i]);
		struct agent_exec x = AGENT_EXEC_INIT;

		x.out_fd = STDOUT_FILENO;
		x.err_fd = STDERR_FILENO;
		rc = agent_shell_command(agent, line, &x, status, err);
		if (rc == 0)
			app_note(a, agent, command, *status, 0);
	}
	return rc;
}

int group_app_exec(const struct group *g, const char *what, const char *node, const struct strv *params, int *status, struct error **err)
{
	const char *dot = strrchr(what, '.');
	_cleanup_free_ char *app = dot ? xstrndup(what, (size_t)(dot - what)) : NULL;
	struct strv apps = { &app, 1, 0 };
	struct app_set s = { 0 };
	int rc = -1;

	*status = 0;
	if (!dot || dot == what || !dot[1])
		return error_set(err, ERR_USAGE, "'%s': APP.COMMAND is needed", what);
	if (app_select(g, node, &apps, &s, err) == 0)
		rc = 0;
	for (size_t i = 0; rc == 0 && !*status && i < s.n; i++) {
		if (strcmp(s.v[i]->name, app))
			continue;
		if (s.n > 1)
			log_info("%s:", s.v[i]->n->name);
		rc = exec_on(s.v[i], dot + 1, params, status, err);
	}
	app_set_free(&s);
	return rc;
}

/* ---- history ---- */

int group_app_history(const struct group *g, const char *node, struct buf *json, struct error **err)
{
	const struct group_node *only = node ? group_node(g, node, err) : NULL;
	bool first = true;

	if (node && !only)
		return -1;
	buf_addc(json, '[');
	for (size_t i = 0; i < g->nnodes; i++) {
		const struct group_node *n = &g->nodes[i];
		_cleanup_error_ struct error *e = NULL;
		_cleanup_agent_ struct agent *agent = only && only != n ? NULL : group_reach(g, n, &e);
		_cleanup_buf_ struct buf out = BUF_INIT;
		_cleanup_strv_ struct strv lines = STRV_INIT;
		struct agent_exec x = AGENT_EXEC_INIT;
		int status = 0;

		if (only && only != n)
			continue;
		x.out = &out;
		if (!agent || agent_shell_command(agent, "cat " APP_HISTORY_DIR "/history 2>/dev/null || :", &x, &status, &e) < 0) {
			if (only)
				return error_move(err, &e);
			log_warn("%s: %s", n->name, e->msg);
			continue;
		}
		strv_split(&lines, buf_str(&out), "\n");
		for (size_t k = 0; k < lines.len; k++) {
			if (lines.v[k][0] != '{')
				continue;
			buf_addf(json, "%s{\"node\":", first ? "" : ",\n");
			json_quote(json, n->name);
			buf_addf(json, ",%s", lines.v[k] + 1);
			first = false;
		}
	}
	buf_adds(json, "]\n");
	return 0;
}
