/* SPDX-License-Identifier: Apache-2.0 */
/* What {{ }} may name, apps, and the check that all commands name only that. */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "internal.h"

#include <inttypes.h>
#include <string.h>

static char *environment(const char *attr, void *arg)
{
	return xstrdup(getenv(attr));
}

static void set_number(struct vars *v, const char *object, const char *attr, uint64_t n)
{
	_cleanup_free_ char *text = xasprintf("%" PRIu64, n);

	vars_set(v, object, attr, text);
}

static void node_facts(struct vars *v, const struct group *g, const struct group_node *n, const char *object)
{
	const struct group_zone *z = n->host ? NULL : &g->zones[n->nics[0].zone];

	vars_set(v, object, "ip", n->address);
	vars_set(v, object, "hostname", n->name);
	vars_set(v, object, "name", n->name);
	vars_set(v, object, "node_id", n->id);
	if (z) {
		vars_set(v, object, "mac", n->mac);
		vars_set(v, object, "gateway", z->gateway);
		vars_set(v, object, "prefix", z->prefix);
		vars_set(v, object, "zone", z->name);
	} else {
		vars_set(v, object, "host", n->host);
	}
	/* Its address for those outside of its zone. */
	vars_set(v, object, "outer_ip", z && z->kind ? z->router : n->address);
	for (size_t i = 0; i < n->nnics; i++) {
		_cleanup_free_ char *ip = xasprintf("ip.%zu", i), *mac = xasprintf("mac.%zu", i), *zone = xasprintf("zone.%zu", i);

		vars_set(v, object, ip, n->nics[i].address);
		vars_set(v, object, mac, n->nics[i].mac);
		vars_set(v, object, zone, g->zones[n->nics[i].zone].name);
	}
	if (z) {
		set_number(v, object, "cpu", n->cpu);
		set_number(v, object, "memory", n->memory);
		set_number(v, object, "disk", n->disk);
	}
	MAP_FOR(&n->directories, it)
	{
		_cleanup_free_ char *attr = xasprintf("directories.%s", it->key);

		vars_set(v, object, attr, it->value);
	}
}

int group_facts(struct group *g, struct error **err)
{
	struct vars *v = vars_new();

	vars_set(v, "system", "base_dir", g->base_dir);
	vars_dynamic(v, "system", environment, NULL);
	for (size_t i = 0; i < g->nnodes; i++) {
		const struct group_node *n = &g->nodes[i];

		node_facts(v, g, n, n->name);
		if (strcmp(n->id, n->name))
			node_facts(v, g, n, n->id);
	}
	g->vars = v;
	return 0;
}

static struct group_app *find_app(const struct group *g, const char *name)
{
	for (size_t i = 0; i < g->napps; i++)
		if (!strcmp(g->apps[i].name, name))
			return &g->apps[i];
	return NULL;
}

static void add_app(struct group *g, const char *name, const char *file)
{
	struct group_app *a;

	g->apps = xreallocarray(g->apps, g->napps + 1, sizeof(*g->apps));
	a = &g->apps[g->napps++];
	*a = (struct group_app){ xstrdup(name), xstrdup(file), path_dirname(file) };
}

static int external_apps(struct group *g, struct error **err)
{
	struct node *map = NULL;

	if (node_map(doc_root(g->doc), "app_configs", &map, err) < 0)
		return -1;
	for (size_t i = 0; map && i < map->len; i++) {
		const char *name = map->keys[i]->text, *rel = NULL;
		_cleanup_free_ char *path = NULL, *inside = xasprintf("%s/apps/%s.json", g->dir, name);

		if (node_str(map, name, &rel, err) < 0)
			return -1;
		path = path_join(g->base_dir, rel);
		if (!file_exists(path))
			return node_error(map->items[i], err, "app %s: there is no file %s", name, path);
		if (file_exists(inside))
			return node_error(map->keys[i], err, "app %s: it is defined in apps/%s.json as well", name, name);
		add_app(g, name, path);
	}
	return 0;
}

/* The apps that a node has; null means that it hasn't got it. */
static int node_apps(struct group *g, struct group_node *n, struct error **err)
{
	struct node *map = NULL;

	if (n->at && node_map(n->at, "apps", &map, err) < 0)
		return -1;
	for (size_t i = 0; map && i < map->len; i++) {
		const char *name = map->keys[i]->text;
		_cleanup_free_ char *path = xasprintf("%s/apps/%s.json", g->dir, name);
		const struct node *v = map->items[i];

		if (v->type == NODE_NULL)
			continue;
		if (v->type != NODE_MAP)
			return node_error(v, err, "app %s: a map of its parameters is needed, this is %s", name, node_type_name(v->type));
		if (name_check("app", name, err) < 0)
			return error_wrap(err, "%s:%d:%d", doc_name(g->doc), map->keys[i]->line, map->keys[i]->col);
		if (!strcmp(name, "system") || !strcmp(name, "app"))
			return node_error(map->keys[i], err, "app %s: this name has a meaning of its own in {{ }}", name);
		if (map_has(&g->index, name))
			return node_error(map->keys[i], err, "app %s: a node has this name", name);
		/* What a node that is gone had is of use only as far as it is still described. */
		if (n->gone && !find_app(g, name) && !file_exists(path))
			continue;
		strv_add(&n->apps, name);
		if (find_app(g, name))
			continue;
		if (!file_exists(path)) {
			node_error(map->keys[i], err, "app %s: there is no file %s", name, path);
			return error_hint(err, "write it, or name one elsewhere under app_configs");
		}
		add_app(g, name, path);
	}
	return 0;
}

/* What it had when the group was brought up; its file may be gone as well. */
static void old_apps(struct group *g, struct group_node *n)
{
	const struct node *map = node_get(group_applied(g, n->name), "apps");

	for (size_t i = 0; map && map->type == NODE_MAP && i < map->len; i++) {
		const char *name = map->keys[i]->text;
		_cleanup_free_ char *path = xasprintf("%s/apps/%s.json", g->dir, name);

		if (map->items[i]->type != NODE_MAP || strv_has(&n->apps, name))
			continue;
		strv_add(&n->old_apps, name);
		if (!find_app(g, name) && file_exists(path))
			add_app(g, name, path);
	}
}

int group_read_apps(struct group *g, struct error **err)
{
	if (external_apps(g, err) < 0)
		return -1;
	for (size_t i = 0; i < g->nnodes; i++)
		if (node_apps(g, &g->nodes[i], err) < 0)
			return -1;
	for (size_t i = 0; i < g->nnodes; i++)
		if (!g->nodes[i].gone)
			old_apps(g, &g->nodes[i]);
	return 0;
}

static int check_phase(const struct group *g, const struct group_node *n, const char *key, const struct strv *commands, struct error **err)
{
	for (size_t i = 0; i < commands->len; i++) {
		_cleanup_free_ char *text = vars_expand(g->vars, commands->v[i], group_command_at(n, key, i), NULL, err);

		if (!text)
			return -1;
	}
	return 0;
}

static int check_command(const struct vars *v, const struct node *at, const char *key, struct error **err)
{
	_cleanup_strv_ struct strv list = STRV_INIT;
	const struct node *c = node_get(at, key);

	if (group_strings(at, key, &list, err) < 0)
		return -1;
	for (size_t k = 0; k < list.len; k++) {
		_cleanup_free_ char *text = vars_expand(v, list.v[k], c->type == NODE_LIST ? c->items[k] : c, NULL, err);

		if (!text)
			return -1;
	}
	return 0;
}

struct vars *group_app_vars(const struct group *g, const struct group_node *n, const struct group_app *a)
{
	const struct node *apps = node_get(n->at, "apps");
	struct vars *v = vars_over(g->vars);

	vars_set(v, "app", "dir", a->dir);
	vars_set(v, "app", "node", n->name);
	for (size_t i = 0; i < apps->len; i++)
		for (size_t k = 0; k < apps->items[i]->len; k++)
			if (apps->items[i]->items[k]->text)
				vars_set(v, apps->keys[i]->text, apps->items[i]->keys[k]->text, apps->items[i]->items[k]->text);
	return v;
}

/* An app's commands as this node would run them: with the parameters of its own apps and no other's. */
static int check_app(const struct group *g, const struct group_node *n, const struct group_app *a, const struct node *root,
	struct error **err)
{
	struct node *commands = NULL;
	struct vars *v;
	int rc = 0;

	if (node_map(root, "commands", &commands, err) < 0)
		return -1;
	v = group_app_vars(g, n, a);
	for (size_t i = 0; commands && rc == 0 && i < commands->len; i++)
		rc = check_command(v, commands, commands->keys[i]->text, err);
	vars_free(v);
	return rc < 0 && !strstr((*err)->msg, n->name) ? error_hint(err, "node %s has this app", n->name) : rc;
}

const char *const group_app_keys[] = { "name", "version", "description", "source", "target", "source_bin", "target_bin", "directories",
	"commands", "owner", "delete", "keep", "inputs", "depends", "ready", "check", "units", NULL };

static int check_app_file(const struct group *g, const struct group_app *a, struct error **err)
{
	_cleanup_doc_ struct doc *d = doc_load(a->file, err);
	const char *name = a->name;

	if (!d || node_known(doc_root(d), "app", group_app_keys, err) < 0 || node_str(doc_root(d), "name", &name, err) < 0)
		return -1;
	if (strcmp(name, a->name))
		return node_error(node_get(doc_root(d), "name"), err, "name: '%s'; the group calls it '%s'", name, a->name);
	for (size_t i = 0; i < g->nnodes; i++)
		if (!g->nodes[i].gone && strv_has(&g->nodes[i].apps, a->name) && check_app(g, &g->nodes[i], a, doc_root(d), err) < 0)
			return -1;
	return 0;
}

int group_check_commands(const struct group *g, struct error **err)
{
	for (size_t i = 0; i < g->nnodes; i++) {
		const struct group_node *n = &g->nodes[i];

		if (n->gone)
			continue;
		if (check_phase(g, n, "init_commands", &n->init, err) < 0 ||
			check_phase(g, n, "instance_commands", &n->instance, err) < 0)
			return -1;
	}
	for (size_t i = 0; i < g->napps; i++)
		if (check_app_file(g, &g->apps[i], err) < 0)
			return -1;
	return 0;
}
