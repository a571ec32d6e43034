/* SPDX-License-Identifier: Apache-2.0 */
#include "app.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/units.h"

#include <stdlib.h>
#include <string.h>

#define READY_MS 60000

static const struct group_app *app_of(const struct group *g, const char *name, struct error **err)
{
	_cleanup_strv_ struct strv all = STRV_INIT;
	_cleanup_free_ char *list = NULL;
	const char *near;

	for (size_t i = 0; i < g->napps; i++) {
		if (!strcmp(g->apps[i].name, name))
			return &g->apps[i];
		strv_add(&all, g->apps[i].name);
	}
	error_set(err, ERR_NOT_FOUND, "group %s has no app '%s'", g->name, name);
	near = nearest_name(name, (const char *const *)all.v, all.len);
	list = strv_join(&all, ", ");
	if (near)
		error_hint(err, "did you mean '%s'?", near);
	else
		error_hint(err, all.len ? "its apps are %s" : "its nodes name no apps%s", list);
	return NULL;
}

/* One of the four paths; at the top or inside `directories`. */
static int read_path(struct app *a, const char *key, char **ret, struct error **err)
{
	const struct node *root = doc_root(a->doc);
	const struct node *dirs = node_get(root, "directories"), *at = node_get(root, key) ? root : dirs;
	const char *text = NULL;

	if (dirs && dirs->type != NODE_MAP)
		return node_error(dirs, err, "directories: a map is needed, this is %s", node_type_name(dirs->type));
	if (!at || node_str(at, key, &text, err) < 0)
		return at ? -1 : 0;
	if (!text || !*text)
		return 0;
	*ret = vars_expand(a->vars, text, node_get(at, key), NULL, err);
	if (!*ret)
		return -1;
	if (!strncmp(key, "target", 6) && (*ret)[0] != '/')
		return node_error(node_get(at, key), err, "%s: '%s' must be an absolute path on the node", key, *ret);
	return 0;
}

static int read_list(struct app *a, const char *key, struct strv *ret, struct error **err)
{
	const struct node *v = node_get(doc_root(a->doc), key);
	_cleanup_strv_ struct strv raw = STRV_INIT;

	if (group_strings(doc_root(a->doc), key, &raw, err) < 0)
		return -1;
	for (size_t i = 0; i < raw.len; i++) {
		char *text = vars_expand(a->vars, raw.v[i], v->type == NODE_LIST ? v->items[i] : v, NULL, err);

		if (!text)
			return -1;
		strv_take(ret, text);
	}
	return 0;
}

/* ready: "COMMAND", or { port | http | file | command: .., timeout: 60s }. */
static int read_ready(struct app *a, struct error **err)
{
	static const char *const known[] = { "command", "port", "http", "file", "timeout", NULL };
	static const enum ready_kind kinds[] = { READY_COMMAND, READY_PORT, READY_HTTP, READY_FILE };
	const struct node *r = node_get(doc_root(a->doc), "ready");
	uint64_t ms = READY_MS;
	size_t found = 0;

	a->ready_ms = READY_MS;
	if (!r || r->type == NODE_NULL)
		return 0;
	if (r->type == NODE_STRING) {
		a->ready = READY_COMMAND;
		a->ready_what = vars_expand(a->vars, r->text, r, NULL, err);
		return a->ready_what ? 0 : -1;
	}
	if (r->type != NODE_MAP)
		return node_error(r, err, "ready: a command or a map is needed, this is %s", node_type_name(r->type));
	if (node_known(r, "ready", known, err) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		const struct node *v = node_get(r, known[i]);

		if (!v)
			continue;
		if (!v->text || found++)
			return node_error(v, err, "ready: one of command, port, http, file is needed");
		a->ready = kinds[i];
		a->ready_what = vars_expand(a->vars, v->text, v, NULL, err);
		if (!a->ready_what)
			return -1;
	}
	if (!found)
		return node_error(r, err, "ready: one of command, port, http, file is needed");
	if (node_get(r, "timeout") && (!node_get(r, "timeout")->text || parse_duration("timeout", node_get(r, "timeout")->text, &ms, err) < 0))
		return node_error(node_get(r, "timeout"), err, "timeout: a duration such as 30s is needed");
	a->ready_ms = (int)ms;
	return 0;
}

static void absolute(const struct group *g, char **path)
{
	char *joined = *path ? path_join(g->base_dir, *path) : NULL;

	free(*path);
	*path = joined;
}

static int read_all(struct app *a, struct error **err)
{
	const struct node *root = doc_root(a->doc);
	const char *owner = NULL, *check = NULL;
	struct node *commands = NULL;

	if (node_known(root, "app", group_app_keys, err) < 0 || read_path(a, "source", &a->source, err) < 0 ||
		read_path(a, "target", &a->target, err) < 0 || read_path(a, "source_bin", &a->source_bin, err) < 0 ||
		read_path(a, "target_bin", &a->target_bin, err) < 0 || node_map(root, "commands", &commands, err) < 0 ||
		node_str(root, "owner", &owner, err) < 0 || node_str(root, "check", &check, err) < 0 ||
		node_bool(root, "delete", &a->delete, err) < 0 || read_list(a, "keep", &a->keep, err) < 0 ||
		read_list(a, "inputs", &a->inputs, err) < 0 || read_list(a, "depends", &a->depends, err) < 0 || read_ready(a, err) < 0 ||
		app_read_units(a, err) < 0)
		return -1;
	absolute(a->g, &a->source);
	absolute(a->g, &a->source_bin);
	for (size_t i = 0; i < a->inputs.len; i++)
		absolute(a->g, &a->inputs.v[i]);
	a->commands = commands;
	a->owner = owner ? xstrdup(owner) : NULL;
	if (check)
		a->check = vars_expand(a->vars, check, node_get(root, "check"), NULL, err);
	return check && !a->check ? -1 : 0;
}

struct app *app_load(const struct group *g, const struct group_node *n, const char *name, struct error **err)
{
	const struct group_app *from = app_of(g, name, err);
	struct app *a;

	if (!from)
		return NULL;
	a = xcalloc(1, sizeof(*a));
	a->g = g;
	a->n = n;
	a->name = xstrdup(name);
	a->vars = group_app_vars(g, n, from);
	a->doc = doc_load(from->file, err);
	if (a->doc && read_all(a, err) == 0)
		return a;
	app_free(a);
	return NULL;
}

void app_free(struct app *a)
{
	if (!a)
		return;
	char *all[] = { a->name, a->source, a->target, a->source_bin, a->target_bin, a->owner, a->ready_what, a->check };

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		free(all[i]);
	strv_free(&a->keep);
	strv_free(&a->inputs);
	strv_free(&a->depends);
	strv_free(&a->units);
	buf_free(&a->units_text);
	vars_free(a->vars);
	doc_free(a->doc);
	free(a);
}

int app_command(const struct app *a, const char *command, struct strv *ret, struct error **err)
{
	const struct node *v = node_get(a->commands, command);
	_cleanup_strv_ struct strv raw = STRV_INIT;

	if (!v || v->type == NODE_NULL)
		return 0;
	if (group_strings(a->commands, command, &raw, err) < 0)
		return -1;
	for (size_t i = 0; i < raw.len; i++) {
		char *text = vars_expand(a->vars, raw.v[i], v->type == NODE_LIST ? v->items[i] : v, NULL, err);

		if (!text)
			return -1;
		strv_take(ret, text);
	}
	return 1;
}

bool app_can(const struct app *a, const char *command)
{
	bool units = !strcmp(command, "start") || !strcmp(command, "stop") || !strcmp(command, "uninstall");
	const struct node *v = node_get(a->commands, command);

	return (v && v->type != NODE_NULL) || (units && a->units.len) || (!strcmp(command, "install") && a->source) ||
		(!strcmp(command, "update") && a->source_bin);
}

void app_commands(const struct app *a, struct strv *ret)
{
	for (size_t i = 0; a->commands && i < a->commands->len; i++)
		strv_add(ret, a->commands->keys[i]->text);
}

/* ---- choosing ---- */

static struct app *in_set(const struct app_set *s, const struct group_node *n, const char *name)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->v[i]->n == n && !strcmp(s->v[i]->name, name))
			return s->v[i];
	return NULL;
}

static bool wanted(const struct strv *apps, const char *name)
{
	return !apps || !apps->len || strv_has(apps, name);
}

/* Dependencies of the node's own apps first; `path` is the way here, to show a cycle. */
static int add_app(struct app_set *s, const struct group *g, const struct group_node *n, const char *name, const struct strv *apps,
	struct strv *path, struct error **err)
{
	struct app *a;

	if (in_set(s, n, name))
		return 0;
	if (strv_has(path, name)) {
		_cleanup_free_ char *way = strv_join(path, " -> ");

		return error_set(err, ERR_USAGE, "apps of %s depend on one another in a circle: %s -> %s", n->name, way, name);
	}
	a = app_load(g, n, name, err);
	if (!a)
		return -1;
	strv_add(path, name);
	for (size_t i = 0; i < a->depends.len; i++) {
		const char *d = a->depends.v[i];

		if (!app_of(g, d, err)) {
			error_wrap(err, "app %s depends on '%s'", name, d);
			app_free(a);
			return -1;
		}
		if (strv_has(&n->apps, d) && wanted(apps, d) && add_app(s, g, n, d, apps, path, err) < 0) {
			app_free(a);
			return -1;
		}
	}
	free(path->v[--path->len]);
	s->v = xreallocarray(s->v, s->n + 1, sizeof(struct app *));
	s->v[s->n++] = a;
	return 0;
}

static int check_names(const struct group *g, const struct group_node *only, const struct strv *apps, struct error **err)
{
	for (size_t i = 0; apps && i < apps->len; i++) {
		bool had = false;

		if (!app_of(g, apps->v[i], err))
			return -1;
		for (size_t k = 0; k < g->nnodes; k++)
			had |= (!only || only == &g->nodes[k]) && strv_has(&g->nodes[k].apps, apps->v[i]);
		if (!had)
			return only ? error_set(err, ERR_NOT_FOUND, "node %s has no app '%s'", only->name, apps->v[i])
				    : error_set(err, ERR_NOT_FOUND, "no node has the app '%s'", apps->v[i]);
	}
	return 0;
}

/* Apps wait for one another across nodes too, so circles are looked for by name. */
static int check_circle(const struct app_set *s, const struct app *a, struct strv *path, struct error **err)
{
	int rc = 0;

	if (strv_has(path, a->name)) {
		_cleanup_free_ char *way = strv_join(path, " -> ");

		return error_set(err, ERR_USAGE, "apps depend on one another in a circle: %s -> %s", way, a->name);
	}
	strv_add(path, a->name);
	for (size_t d = 0; d < a->depends.len && rc == 0; d++)
		for (size_t i = 0; i < s->n && rc == 0; i++)
			if (!strcmp(s->v[i]->name, a->depends.v[d]))
				rc = check_circle(s, s->v[i], path, err);
	free(path->v[--path->len]);
	return rc;
}

int app_select(const struct group *g, const char *node, const struct strv *apps, struct app_set *ret, struct error **err)
{
	const struct group_node *only = node ? group_node(g, node, err) : NULL;

	if ((node && !only) || check_names(g, only, apps, err) < 0)
		return -1;
	for (size_t i = 0; i < g->nnodes; i++) {
		const struct group_node *n = &g->nodes[i];

		for (size_t k = 0; k < n->apps.len && (!only || only == n); k++) {
			_cleanup_strv_ struct strv path = STRV_INIT;

			if (wanted(apps, n->apps.v[k]) && add_app(ret, g, n, n->apps.v[k], apps, &path, err) < 0)
				return -1;
		}
	}
	if (!ret->n)
		return error_set(err, ERR_NOT_FOUND, "%s %s has no apps", only ? "node" : "group", only ? only->name : g->name);
	for (size_t i = 0; i < ret->n; i++) {
		_cleanup_strv_ struct strv path = STRV_INIT;

		if (check_circle(ret, ret->v[i], &path, err) < 0)
			return -1;
	}
	return 0;
}

void app_set_keep(struct app_set *s, const bool *keep)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n; i++) {
		if (keep[i])
			s->v[n++] = s->v[i];
		else
			app_free(s->v[i]);
	}
	s->n = n;
}

void app_set_free(struct app_set *s)
{
	for (size_t i = 0; i < s->n; i++)
		app_free(s->v[i]);
	free(s->v);
	*s = (struct app_set){ 0 };
}

/* Dependencies count wherever the app is in the set: a service on sn may be what alice's app waits for. */
size_t app_level(const struct app_set *s, const struct app *a)
{
	size_t level = 0;

	for (size_t d = 0; d < a->depends.len; d++)
		for (size_t i = 0; i < s->n; i++)
			if (s->v[i] != a && !strcmp(s->v[i]->name, a->depends.v[d])) {
				size_t l = app_level(s, s->v[i]) + 1;

				level = l > level ? l : level;
			}
	return level;
}
