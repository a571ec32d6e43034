/* SPDX-License-Identifier: Apache-2.0 */
/* Taking operations back. */
#include "app_state.h"
#include "ops.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"

#include <string.h>

#define STOP_MS 60000

struct undo {
	const struct group *g;
	const struct op *o;
	const struct op_member *m;
	char *full;
};

static bool was(const struct op_member *m, const char *what)
{
	return !strcmp(m->was, what);
}

static int all_members(const struct group *g, const struct op *o, int (*fn)(struct worker *, void *, struct error **), struct error **err)
{
	struct undo *u = xcalloc(o->n + 1, sizeof(*u));
	struct work *work = xcalloc(o->n + 1, sizeof(*work));
	_cleanup_free_ char *what = xasprintf("group %s: taking back %s", o->group, o->verb);
	int rc;

	for (size_t i = 0; i < o->n; i++) {
		u[i] = (struct undo){ g, o, &o->members[i], xasprintf("%s/%s", o->group, o->members[i].name) };
		work[i] = (struct work){ .label = o->members[i].name, .arg = &u[i], .fn = fn };
	}
	rc = work_run(work, o->n, what, err);
	for (size_t i = 0; i < o->n; i++)
		free(u[i].full);
	free(work);
	free(u);
	return rc;
}

/* ---- machines ---- */

static int undo_up(struct worker *w, void *arg, struct error **err)
{
	const struct undo *u = arg;
	_cleanup_error_ struct error *none = NULL;
	_cleanup_machine_ struct machine *m = machine_open(u->full, &none);
	const char *how = NULL;

	if (was(u->m, "absent")) {
		worker_state(w, "removing");
		if (none && none->cls == ERR_NOT_FOUND) {
			worker_done(w, "had not been made");
			return 0;
		}
		if (machine_remove(u->full, true, err) < 0)
			return -1;
		worker_done(w, "removed");
	} else if (was(u->m, "stopped")) {
		worker_state(w, "stopping");
		if (!m || machine_stop(m, STOP_MS, &how, err) < 0)
			return m ? -1 : error_move(err, &none);
		worker_done(w, "stopped");
	} else {
		worker_done(w, "had been running");
	}
	return 0;
}

/* What was made for the group alone goes with its last machine. */
static int after_up(const struct op *o, struct error **err)
{
	_cleanup_strv_ struct strv left = STRV_INIT;

	if (machine_names(o->group, &left, err) < 0)
		return -1;
	return left.len ? 0 : group_clean(o->group, err);
}

static int end_stopping(struct worker *w, void *arg, struct error **err)
{
	const struct undo *u = arg;
	_cleanup_machine_ struct machine *m = was(u->m, "running") ? machine_open(u->full, err) : NULL;
	const char *how = NULL;

	worker_state(w, "stopping");
	if (was(u->m, "running") && (!m || machine_stop(m, STOP_MS, &how, err) < 0))
		return -1;
	worker_done(w, "is stopped");
	return 0;
}

static int undo_down(const struct group *g, const struct op *o, struct error **err)
{
	_cleanup_strv_ struct strv only = STRV_INIT;

	/* They were asked to stop, and may be about to: what is started before that is over would end at once. */
	if (all_members(g, o, end_stopping, err) < 0)
		return -1;
	for (size_t i = 0; i < o->n; i++)
		if (was(&o->members[i], "running"))
			strv_add(&only, o->members[i].name);
	return only.len ? group_up((struct group *)g, &(struct group_up_opts){ .machines_only = true, .only = &only }, err) : 0;
}

/* ---- apps ---- */

static int undo_deploy(struct worker *w, void *arg, struct error **err)
{
	const struct undo *u = arg;
	bool bin = !strcmp(u->o->verb, "update");
	const struct group_node *n = group_node(u->g, u->m->name, err);
	_cleanup_agent_ struct agent *agent = n ? group_reach(u->g, n, err) : NULL;
	struct app_set s = { 0 };
	size_t back = 0;
	int rc = agent ? app_select(u->g, n->name, &u->o->words, &s, err) : -1;

	for (size_t i = 0; rc == 0 && i < s.n; i++) {
		int r = app_take_back(s.v[i], bin, agent, err);

		if (r < 0)
			rc = -1;
		back += r > 0;
	}
	app_set_free(&s);
	if (rc == 0)
		worker_done(w, back ? "the files of %zu app%s are as they were" : "no files had been replaced", back, back == 1 ? "" : "s");
	return rc;
}

static int undo_command(const struct group *g, const struct op *o, const char *opposite, struct error **err)
{
	for (size_t i = 0; i < o->n; i++)
		if (group_app_do(g, o->members[i].name, &o->words, opposite, err) < 0)
			return -1;
	return 0;
}

/* ---- apps of `up` ---- */

static bool noted(const struct op *o, const char *did, const struct app *a)
{
	_cleanup_free_ char *line = xasprintf("%s %s %s", did, a->n->name, a->name);

	return strv_has(&o->apps, line);
}

static bool was_started(const struct op *o, const struct app *a, const struct app_state *s)
{
	return s->started && noted(o, "start", a) && app_can(a, "stop");
}

static bool was_installed(const struct op *o, const struct app *a, const struct app_state *s)
{
	return s->known && noted(o, "install", a);
}

/* Runs the command on those that it is for. */
static int do_those(const struct group *g, const struct op *o, const char *command,
	bool (*those)(const struct op *, const struct app *, const struct app_state *), struct error **err)
{
	_cleanup_app_states_ struct app_states states = { 0 };
	struct app_set s = { 0 };
	int rc = app_select(g, NULL, NULL, &s, err) < 0 || app_states_ask(&s, false, &states, err) < 0 ? -1 : 0;

	if (rc == 0) {
		bool *keep = xcalloc(s.n + 1, sizeof(*keep));

		for (size_t i = 0; i < s.n; i++)
			keep[i] = those(o, s.v[i], &states.v[i]);
		app_set_keep(&s, keep);
		free(keep);
		rc = s.n ? app_set_do(g, &s, command, err) : 0;
	}
	app_set_free(&s);
	return rc;
}

/* Files that `up` has exchanged, of apps that it had not done with; what it could not know to keep is said. */
static int undo_files(struct worker *w, void *arg, struct error **err)
{
	const struct undo *u = arg;
	const struct group_node *n = group_node(u->g, u->m->name, err);
	_cleanup_agent_ struct agent *agent = n ? group_reach(u->g, n, err) : NULL;
	int rc = agent ? 0 : -1;

	for (size_t i = 0; rc == 0 && i < u->o->apps.len; i++) {
		_cleanup_strv_ struct strv f = STRV_INIT;
		struct app *a;
		int back;

		strv_split(&f, u->o->apps.v[i], " ");
		if (f.len != 3 || strcmp(f.v[1], n->name) || !strcmp(f.v[0], "start"))
			continue;
		a = app_load(u->g, n, f.v[2], err);
		back = a ? app_take_back(a, false, agent, err) : -1;
		if (back == 0 && !strcmp(f.v[0], "update"))
			log_warn("%s: %s: it had been installed anew already: that stays", n->name, a->name);
		else if (back == 0 && a->source && !app_can(a, "uninstall"))
			log_warn("%s: %s: it has no command uninstall: its files stay in %s", n->name, a->name, a->target);
		rc = back < 0 ? -1 : 0;
		app_free(a);
	}
	if (rc == 0)
		worker_done(w, "apps as before");
	return rc;
}

/* On machines that had run before: what was started stops, what was installed goes, files that were exchanged are put back. */
static int undo_apps(const struct group *g, const struct op *o, struct error **err)
{
	_cleanup_close_ int lock = group_app_lock(g, err);
	struct op some = *o;
	int rc;

	if (lock < 0 || do_those(g, o, "stop", was_started, err) < 0 || do_those(g, o, "uninstall", was_installed, err) < 0)
		return -1;
	some.members = xcalloc(o->n + 1, sizeof(*some.members));
	some.n = 0;
	for (size_t i = 0; i < o->n; i++) {
		_cleanup_free_ char *middle = xasprintf(" %s ", o->members[i].name);
		bool any = false;

		for (size_t k = 0; k < o->apps.len; k++)
			any |= strncmp(o->apps.v[k], "start ", 6) && strstr(o->apps.v[k], middle);
		if (any)
			some.members[some.n++] = o->members[i];
	}
	rc = some.n ? all_members(g, &some, undo_files, err) : 0;
	free(some.members);
	return rc;
}

static int undo(const struct op *o, struct error **err)
{
	_cleanup_group_ struct group *g = NULL;
	_cleanup_close_ int lock = -1;

	if (!strcmp(o->verb, "up") || !strcmp(o->verb, "start_vms")) {
		if (o->apps.len && (group_load(o->group, &g, err) < 0 || undo_apps(g, o, err) < 0))
			return -1;
		lock = group_lock(o->group, err);
		if (lock < 0 || all_members(NULL, o, undo_up, err) < 0)
			return -1;
		close(STEAL_FD(lock));
		return after_up(o, err);
	}
	if (!strcmp(o->verb, "uninstall")) {
		error_set(err, ERR_STATE, "group %s: uninstall cannot be taken back: what it removed is gone", o->group);
		return error_hint(err, "the same command completes it; `croft group %s install` installs anew", o->group);
	}
	if (!strcmp(o->verb, "clean_vms")) {
		error_set(err, ERR_STATE, "group %s: clean_vms cannot be taken back: machines that it removed are gone", o->group);
		return error_hint(err, "the same command completes it; `croft group %s up` makes them anew", o->group);
	}
	if (group_load(o->group, &g, err) < 0)
		return -1;
	if (!strcmp(o->verb, "down"))
		return undo_down(g, o, err);
	if (!strcmp(o->verb, "start"))
		return undo_command(g, o, "stop", err);
	if (!strcmp(o->verb, "stop"))
		return undo_command(g, o, "start", err);
	lock = group_app_lock(g, err);
	return lock < 0 ? -1 : all_members(g, o, undo_deploy, err);
}

static struct op *choose(const struct ops *all, const char *id, struct error **err)
{
	for (size_t i = 0; i < all->n; i++)
		if (!id ? all->n == 1 : !strcmp(path_basename(all->v[i]->path), id))
			return all->v[i];
	if (id)
		error_set(err, ERR_NOT_FOUND, "there is no unfinished operation '%s'", id);
	else
		error_set(err, all->n ? ERR_USAGE : ERR_NOT_FOUND, all->n ? "several operations are unfinished: say which" :
			"no operation is unfinished");
	error_hint(err, "croft ops list shows those that are");
	return NULL;
}

int ops_rollback(const char *id, struct error **err)
{
	_cleanup_ops_ struct ops all = { 0 };
	struct op *o = ops_list(&all, err) < 0 ? NULL : choose(&all, id, err);

	if (!o)
		return -1;
	if (o->running)
		return error_set(err, ERR_STATE, "group %s: %s is still running", o->group, o->verb);
	if (undo(o, err) < 0)
		return error_wrap(err, "rollback");
	return file_unlink(o->path, err);
}
