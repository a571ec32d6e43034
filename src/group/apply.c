/* SPDX-License-Identifier: Apache-2.0 */
/* What `up` does of the changes of a file besides creating and starting: with the least that is needed. */
#include "apply.h"
#include "ops.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"

#include <string.h>

/* ---- machines ---- */

/* The machine as it is, with the group's network cards. */
static int replug(const struct group *g, const struct group_node *n, struct machine *m, struct error **err)
{
	_cleanup_buf_ struct buf json = BUF_INIT;
	_cleanup_doc_ struct doc *doc = NULL;
	struct machine_def want, d;
	int rc;

	machine_def_init(&d);
	rc = group_machine_def(g, n, &want, err);
	if (rc == 0) {
		machine_def_to_json(&m->def, &json);
		doc = doc_parse(m->name, json.data, json.len, err);
		rc = doc ? machine_def_read(&d, doc_root(doc), err) : -1;
	}
	if (rc == 0) {
		struct machine_nic *nics = d.nics;
		size_t nnics = d.nnics;

		/* Exchanged, so that each is freed with what it then belongs to. */
		d.nics = want.nics;
		d.nnics = want.nnics;
		want.nics = nics;
		want.nnics = nnics;
		rc = machine_redefine(m, &d, err);
	}
	machine_def_clear(&d);
	machine_def_clear(&want);
	return rc;
}

static int set(struct machine *m, const struct group_node *n, const struct strv *words, struct error **err)
{
	_cleanup_strv_ struct strv notes = STRV_INIT;

	if (!words->len)
		return 0;
	if (machine_set(m, words, &notes, err) < 0)
		return -1;
	for (size_t i = 0; i < notes.len; i++)
		log_info("%s: %s", n->name, notes.v[i]);
	return 0;
}

int group_apply_node(const struct group *g, const struct group_node *n, struct machine *m, struct error **err)
{
	_cleanup_changes_ struct changes c = { 0 };
	_cleanup_strv_ struct strv words = STRV_INIT;
	enum machine_state s = machine_state(m);
	bool running = s != MACHINE_STOPPED && s != MACHINE_CRASHED;

	if (group_node_changes(g, n, m, &c, err) < 0)
		return -1;
	for (size_t i = 0; i < c.n; i++) {
		const struct change *x = &c.v[i];

		if (x->kind == CHANGE_SET) {
			strv_add(&words, x->set);
		} else if (x->kind == CHANGE_REMAKE) {
			log_warn("%s: %s: takes effect when it is made again: croft vm remove %s, then up", n->name, x->what, n->full);
		} else if (x->kind == CHANGE_NICS && running) {
			log_warn("%s: %s: takes effect at its next start: croft group %s down, then up", n->name, x->what, g->name);
		} else if (x->kind == CHANGE_NICS) {
			if (replug(g, n, m, err) < 0)
				return -1;
			log_info("%s: %s", n->name, x->what);
		}
	}
	return set(m, n, &words, err);
}

static int remove_one(struct worker *w, void *arg, struct error **err)
{
	const struct group_node *n = arg;

	worker_state(w, "removing");
	if (machine_remove(n->full, true, err) < 0)
		return -1;
	worker_done(w, "removed");
	return 0;
}

int group_prune(struct group *g, struct error **err)
{
	struct work *work = xcalloc(g->nnodes + 1, sizeof(*work));
	size_t n = 0;
	int rc;

	for (size_t i = 0; i < g->nnodes; i++)
		if (g->nodes[i].gone)
			work[n++] = (struct work){ .label = g->nodes[i].name, .arg = &g->nodes[i], .fn = remove_one };
	rc = n ? work_run(work, n, "removing what the file names no longer", err) : 0;
	free(work);
	if (rc == 0)
		group_drop_gone(g);
	return rc;
}

/* ---- apps ---- */

bool app_wants_install(const struct app *a, const struct app_state *s)
{
	return app_can(a, "install") && s->known && (!s->installed || !s->fresh);
}

bool app_wants_start(const struct app *a, const struct app_state *s)
{
	return app_can(a, "start") && s->known && !s->started;
}

/* All apps of the nodes that the file names; none: success with an empty set. */
int group_select_apps(const struct group *g, struct app_set *ret, struct error **err)
{
	_cleanup_error_ struct error *e = NULL;
	bool *keep;

	if (app_select(g, NULL, NULL, ret, &e) < 0)
		return e->cls == ERR_NOT_FOUND ? 0 : error_move(err, &e);
	keep = xcalloc(ret->n + 1, sizeof(*keep));
	for (size_t i = 0; i < ret->n; i++)
		keep[i] = !ret->v[i]->n->gone;
	app_set_keep(ret, keep);
	free(keep);
	return 0;
}

static int do_wanted(const struct group *g, bool (*wants)(const struct app *, const struct app_state *), bool install, struct error **err)
{
	_cleanup_app_states_ struct app_states states = { 0 };
	struct app_set s = { 0 };
	bool *keep = NULL;
	int rc = group_select_apps(g, &s, err);

	if (rc == 0 && s.n)
		rc = app_states_ask(&s, false, &states, err);
	if (rc == 0 && s.n) {
		keep = xcalloc(s.n, sizeof(*keep));
		for (size_t i = 0; i < s.n; i++)
			keep[i] = wants(s.v[i], &states.v[i]);
		for (size_t i = 0; i < s.n; i++)
			if (keep[i])
				op_will(!install ? "start" : states.v[i].installed ? "update" : "install", s.v[i]->n->name, s.v[i]->name);
		app_set_keep(&s, keep);
		rc = s.n ? op_write_current(err) : 0;
		if (rc == 0 && s.n)
			rc = install ? app_set_deploy(g, &s, &(struct group_deploy){ 0 }, err) : app_set_do(g, &s, "start", err);
	}
	free(keep);
	app_set_free(&s);
	return rc;
}

int group_apply_apps(const struct group *g, struct error **err)
{
	_cleanup_close_ int lock = g->napps ? group_app_lock(g, err) : -1;

	if (!g->napps)
		return 0;
	if (lock < 0 || do_wanted(g, app_wants_install, true, err) < 0)
		return -1;
	return do_wanted(g, app_wants_start, false, err);
}

/* The node with what it had when the group was brought up: its apps' parameters are there. */
static void as_it_was(const struct group *g, const struct group_node *n, struct group_node *ret)
{
	*ret = *n;
	ret->at = group_applied(g, n->name);
	ret->apps = n->old_apps;
}

static int uninstall_on(const struct group *g, const struct group_node *n, struct error **err)
{
	struct group_node was;
	struct app_set s = { 0 };
	int rc;

	as_it_was(g, n, &was);
	for (size_t i = 0; i < n->old_apps.len; i++) {
		_cleanup_error_ struct error *e = NULL;
		struct app *a = app_load(g, &was, n->old_apps.v[i], &e);

		if (!a) {
			log_warn("%s: app %s stays as it is: %s", n->name, n->old_apps.v[i], e->msg);
			continue;
		}
		/* Workers go by the group's own node. */
		a->n = n;
		s.v = xreallocarray(s.v, s.n + 1, sizeof(struct app *));
		s.v[s.n++] = a;
	}
	rc = s.n && app_set_do(g, &s, "stop", err) < 0 ? -1 : s.n ? app_set_do(g, &s, "uninstall", err) : 0;
	app_set_free(&s);
	return rc;
}

int group_prune_apps(const struct group *g, struct error **err)
{
	_cleanup_close_ int lock = -1;

	for (size_t i = 0; i < g->nnodes; i++) {
		if (!g->nodes[i].old_apps.len || !group_node_exists(&g->nodes[i]))
			continue;
		if (lock < 0)
			lock = group_app_lock(g, err);
		if (lock < 0 || uninstall_on(g, &g->nodes[i], err) < 0)
			return -1;
	}
	return 0;
}
