/* SPDX-License-Identifier: Apache-2.0 */
/* What `up` would do, and how the group stands. */
#include "apply.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "net/net.h"

#include <inttypes.h>
#include <string.h>

static void app_change(struct changes *c, enum change_kind kind, const struct app *a, const char *what)
{
	changes_add(c, kind, a->n, "now", xstrdup(what))->app = xstrdup(a->name);
}

/* Of a node that does not run only so much is known: after it has started, its apps have not. */
static void app_changes(const struct app *a, const struct app_state *s, struct changes *c)
{
	struct app_state made = { .known = true };

	if (!group_node_exists(a->n))
		s = &made;
	if (app_wants_install(a, s))
		app_change(c, CHANGE_INSTALL, a, s->installed ? "its commands are others" : "it is not installed");
	if (!s->known || app_wants_start(a, s)) {
		made.started = false;
		if (app_wants_start(a, &made))
			app_change(c, CHANGE_RUN, a, "it is not started");
	}
}

static void removed_apps(const struct group *g, struct changes *c)
{
	for (size_t i = 0; i < g->nnodes; i++)
		for (size_t k = 0; k < g->nodes[i].old_apps.len; k++)
			changes_add(c, CHANGE_UNINSTALL, &g->nodes[i], "with --prune", xstrdup("the file names it no longer"))->app =
				xstrdup(g->nodes[i].old_apps.v[k]);
}

static int all_changes(struct group *g, const struct app_set *set, const struct app_states *states, struct changes *c, struct error **err)
{
	if (group_templates(g, err) < 0 || group_network_changes(g, c, err) < 0 || group_machine_changes(g, c, err) < 0)
		return -1;
	for (size_t i = 0; i < set->n; i++)
		app_changes(set->v[i], &states->v[i], c);
	removed_apps(g, c);
	return 0;
}

static void put(struct buf *b, const char *key, const char *value)
{
	buf_addf(b, ",\"%s\":", key);
	if (value)
		json_quote(b, value);
	else
		buf_adds(b, "null");
}

static void changes_json(const struct changes *c, struct buf *b)
{
	buf_addc(b, '[');
	for (size_t i = 0; i < c->n; i++) {
		const struct change *x = &c->v[i];

		buf_addf(b, "%s{\"action\":\"%s\"", i ? "," : "", change_word(x->kind));
		put(b, "node", x->node ? x->node->name : NULL);
		put(b, "app", x->app);
		put(b, "what", x->what);
		put(b, "when", x->when);
		buf_addc(b, '}');
	}
	buf_addc(b, ']');
}

int group_plan(struct group *g, struct buf *json, size_t *n, struct error **err)
{
	_cleanup_app_states_ struct app_states states = { 0 };
	_cleanup_changes_ struct changes c = { 0 };
	struct app_set set = { 0 };
	int rc = group_select_apps(g, &set, err);

	if (rc == 0 && (app_states_ask(&set, false, &states, err) < 0 || all_changes(g, &set, &states, &c, err) < 0))
		rc = -1;
	if (rc == 0) {
		changes_json(&c, json);
		*n = c.n;
	}
	app_set_free(&set);
	return rc;
}

/* ---- status ---- */

static void apps_json(const struct group_node *n, const struct app_set *set, const struct app_states *states, struct buf *b)
{
	const char *sep = "";

	buf_adds(b, ",\"apps\":[");
	for (size_t i = 0; i < set->n; i++) {
		const struct app_state *s = &states->v[i];

		if (set->v[i]->n != n)
			continue;
		buf_addf(b, "%s{\"name\":", sep);
		json_quote(b, set->v[i]->name);
		put(b, "state", !s->known ? "unknown" : s->started ? "started" : s->installed ? "installed" :
			app_can(set->v[i], "install") ? "absent" : "stopped");
		if (s->check >= 0) {
			put(b, "health", s->check ? "failing" : "ok");
			if (s->said)
				put(b, "said", s->said);
		}
		buf_adds(b, ",\"units\":[");
		for (size_t k = 0; k < s->units.len; k++) {
			buf_addf(b, "%s{\"name\":\"%.*s\"", k ? "," : "", (int)strcspn(s->units.v[k], " "), s->units.v[k]);
			put(b, "state", strchr(s->units.v[k], ' ') + 1);
			buf_addc(b, '}');
		}
		buf_adds(b, "]}");
		sep = ",";
	}
	buf_addc(b, ']');
}

static void node_json(const struct group *g, const struct group_node *n, const struct app_set *set, const struct app_states *states,
	struct changes *c, struct buf *b)
{
	struct changes own = { 0 };

	group_node_info(g, n, b);
	b->len--; /* its brace */
	apps_json(n, set, states, b);
	buf_adds(b, ",\"differs\":");
	own.v = xcalloc(c->n + 1, sizeof(*own.v));
	for (size_t i = 0; i < c->n; i++)
		if (c->v[i].node == n)
			own.v[own.n++] = c->v[i];
	changes_json(&own, b);
	free(own.v); /* what is in it is c's */
	buf_addc(b, '}');
}

static void network_json(const struct group *g, const struct changes *c, struct buf *b)
{
	_cleanup_free_ char *dir = group_net_dir(g->name);
	const char *sep = "";

	put(b, "network", net_running(dir) ? "running" : "stopped");
	buf_adds(b, ",\"network_differs\":[");
	for (size_t i = 0; i < c->n; i++) {
		if (c->v[i].kind != CHANGE_NETWORK)
			continue;
		buf_adds(b, sep);
		json_quote(b, c->v[i].what);
		sep = ",";
	}
	buf_addc(b, ']');
}

int group_status(struct group *g, struct buf *json, struct error **err)
{
	_cleanup_app_states_ struct app_states states = { 0 };
	_cleanup_changes_ struct changes c = { 0 };
	struct app_set set = { 0 };
	int rc = group_select_apps(g, &set, err);

	if (rc == 0 && (app_states_ask(&set, true, &states, err) < 0 || all_changes(g, &set, &states, &c, err) < 0))
		rc = -1;
	if (rc == 0) {
		buf_adds(json, "{\"name\":");
		json_quote(json, g->name);
		put(json, "file", g->file);
		network_json(g, &c, json);
		buf_adds(json, ",\"nodes\":[");
		for (size_t i = 0; i < g->nnodes; i++) {
			buf_adds(json, i ? "," : "");
			node_json(g, &g->nodes[i], &set, &states, &c, json);
		}
		buf_adds(json, "]}\n");
	}
	app_set_free(&set);
	return rc;
}
