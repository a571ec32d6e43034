/* SPDX-License-Identifier: Apache-2.0 */
/* From a name to a group that has been checked. */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/units.h"
#include "internal.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#define USER_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"
#define DEFAULT_CPU 1
#define DEFAULT_MEMORY ((uint64_t)1 << 30)
#define DEFAULT_DISK ((uint64_t)5 << 30)
#define NODES_MAX 4096

static const char *const places[] = { "dev_configs/", "src/dev_configs/", "" };
static const char *const suffixes[] = { ".json", ".yaml", ".yml" };

char *group_name_of(const char *name, struct error **err)
{
	const char *base = path_basename(name);
	size_t n = strlen(base);
	char *ret;

	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
		size_t k = strlen(suffixes[i]);

		if (n > k && !strcmp(base + n - k, suffixes[i])) {
			n -= k;
			break;
		}
	}
	ret = xstrndup(base, n);
	if (name_check("group", ret, err) == 0)
		return ret;
	free(ret);
	return NULL;
}

static bool is_file(const char *path)
{
	return file_exists(path) && !file_is_dir(path);
}

/* The file that the record names, when the group was brought up from elsewhere. */
static char *recorded_file(const char *name)
{
	_cleanup_free_ char *dir = group_record_dir(name), *path = path_join(dir, "group.json");
	_cleanup_error_ struct error *e = NULL;
	_cleanup_doc_ struct doc *d = file_exists(path) ? doc_load(path, &e) : NULL;
	const char *file = NULL;

	if (!d || node_str(doc_root(d), "file", &file, &e) < 0 || !file || !is_file(file))
		return NULL;
	return xstrdup(file);
}

static char *find_file(const char *name, struct error **err)
{
	_cleanup_free_ char *plain = NULL;
	_cleanup_strv_ struct strv all = STRV_INIT;
	_cleanup_error_ struct error *e = NULL;
	const char *near;
	char *found;

	for (size_t i = 0; i < ARRAY_SIZE(places) && *name != '/'; i++)
		for (size_t k = 0; k < ARRAY_SIZE(suffixes); k++) {
			_cleanup_free_ char *p = xasprintf("%s%s%s", places[i], name, suffixes[k]);

			if (is_file(p))
				return STEAL(p);
		}
	if (is_file(name))
		return xstrdup(name);
	plain = group_name_of(name, err);
	if (!plain)
		return NULL;
	found = recorded_file(plain);
	if (found)
		return found;
	error_set(err, ERR_NOT_FOUND, "group %s: there is no dev_configs/%s.json, src/dev_configs/%s.json, %s.json or %s.yaml here", name,
		name, name, name, name);
	near = group_names(&all, &e) == 0 ? nearest_name(name, (const char *const *)all.v, all.len) : NULL;
	if (near)
		error_hint(err, "did you mean '%s'?", near);
	else
		error_hint(err, "go to the folder of the group's file, or give the file's path");
	return NULL;
}

int group_strings(const struct node *n, const char *key, struct strv *l, struct error **err)
{
	const struct node *v = node_get(n, key);
	size_t len = v && v->type == NODE_LIST ? v->len : 1;

	if (!v || v->type == NODE_NULL)
		return 0;
	for (size_t i = 0; i < len; i++) {
		const struct node *s = v->type == NODE_LIST ? v->items[i] : v;

		if (s->type != NODE_STRING)
			return node_error(s, err, "%s: a string%s is needed, this is %s", key, v->type == NODE_LIST ? "" : " or a list of strings",
				node_type_name(s->type));
		if (!s->text[strspn(s->text, " \t\n")])
			return node_error(s, err, "%s: the command is empty", key);
		strv_add(l, s->text);
	}
	return 0;
}

const struct node *group_command_at(const struct group_node *n, const char *key, size_t i)
{
	const struct node *v = node_get(n->at, key);

	return v && v->type == NODE_LIST ? v->items[i] : v;
}

/* As all paths of the file: from the folder that dev_configs is in. "~/..." is in the user's home. */
static char *key_path(const struct group *g, const char *key)
{
	const char *home = getenv("HOME");

	if (*key == '/')
		return xstrdup(key);
	return !strncmp(key, "~/", 2) && home ? path_join(home, key + 2) : path_join(g->base_dir, key);
}

/* A real computer: what says how a virtual one is made has no place beside it. */
static int read_host(const struct group *g, const struct node *p, struct group_node *n, struct error **err)
{
	static const char *const virtual[] = { "cpu", "memory", "disk" };
	_cleanup_free_ char *user = NULL;
	const char *host = NULL, *key = NULL;
	unsigned port;

	if (node_str(p, "host", &host, err) < 0 || node_str(p, "ssh_key", &key, err) < 0)
		return -1;
	if (!host)
		return node_error(node_get(p, "ssh_key"), err, "ssh_key: it is for a real computer, and there is no host");
	for (size_t i = 0; i < ARRAY_SIZE(virtual); i++)
		if (node_get(p, virtual[i]))
			return node_error(node_get(p, virtual[i]), err, "%s: the node is a real computer (host), which has what it has", virtual[i]);
	if (machine_host_resolve(host, &user, &n->host_address, &port, NULL, err) < 0)
		return error_wrap(err, "%s:%d:%d", doc_name(p->doc), node_get(p, "host")->line, node_get(p, "host")->col);
	n->host = xstrdup(host);
	n->ssh_key = key ? key_path(g, key) : NULL;
	n->cpu = n->memory = n->disk = 0;
	return 0;
}

static int read_params(const struct group *g, const struct node *at, struct group_node *n, struct error **err)
{
	static const char *const known[] = { "cpu", "memory", "disk", "host", "ssh_key", "ssh", NULL };
	struct node *p = NULL;
	const char *ssh = NULL;

	n->cpu = DEFAULT_CPU;
	n->memory = DEFAULT_MEMORY;
	n->disk = DEFAULT_DISK;
	if (node_map(at, "vm_params", &p, err) < 0)
		return -1;
	if (!p)
		return 0;
	n->has_cpu = node_get(p, "cpu");
	n->has_memory = node_get(p, "memory");
	n->has_disk = node_get(p, "disk");
	if (node_known(p, "vm_params", known, err) < 0 || node_u64(p, "cpu", 1, 255, &n->cpu, err) < 0 ||
		node_size(p, "memory", &n->memory, err) < 0 || node_size(p, "disk", &n->disk, err) < 0 || node_str(p, "ssh", &ssh, err) < 0)
		return -1;
	if (ssh && (!*ssh || *ssh == '-' || ssh[strspn(ssh, USER_CHARS)]))
		return node_error(node_get(p, "ssh"), err, "ssh: '%s' is no name of a user", ssh);
	if (ssh && node_get(p, "host"))
		return node_error(node_get(p, "ssh"), err, "ssh: a real computer is reached by ssh anyway: its user stands in host");
	n->ssh = ssh ? xstrdup(ssh) : NULL;
	if (node_get(p, "host") || node_get(p, "ssh_key"))
		return read_host(g, p, n, err);
	if (n->memory < (16u << 20))
		return node_error(node_get(p, "memory"), err, "memory: %s; a machine needs 16M at least", node_get(p, "memory")->text);
	return 0;
}

static int read_directories(const struct node *at, struct group_node *n, struct error **err)
{
	struct node *dirs = NULL;

	n->directories.free_value = free;
	if (node_map(at, "directories", &dirs, err) < 0)
		return -1;
	for (size_t i = 0; dirs && i < dirs->len; i++) {
		const char *path = NULL;

		if (node_str(dirs, dirs->keys[i]->text, &path, err) < 0)
			return -1;
		map_set(&n->directories, dirs->keys[i]->text, xstrdup(path));
	}
	return 0;
}

int group_read_node(struct group *g, const char *name, const struct node *at, struct group_node *n, struct error **err)
{
	static const char *const known[] = { "node_id", "vm_template", "vm_params", "network", "init_commands", "instance_commands",
		"directories", "apps", NULL };
	const char *id = name, *tpl = NULL;

	n->at = at;
	n->name = xstrdup(name);
	n->full = xasprintf("%s/%s", g->name, n->name);
	if (node_known(at, n->name, known, err) < 0 || node_str(at, "node_id", &id, err) < 0 ||
		node_str(at, "vm_template", &tpl, err) < 0 || read_params(g, at, n, err) < 0 ||
		read_directories(at, n, err) < 0 || group_strings(at, "init_commands", &n->init, err) < 0 ||
		group_strings(at, "instance_commands", &n->instance, err) < 0)
		return -1;
	if (n->host && tpl)
		return node_error(node_get(at, "vm_template"), err, "vm_template: the node is a real computer (host): nothing is made of a template");
	n->id = xstrdup(id);
	n->template = xstrdup(tpl);
	if (name_check("node_id", id, err) < 0)
		return error_wrap(err, "%s:%d:%d", doc_name(g->doc), node_get(at, "node_id")->line, node_get(at, "node_id")->col);
	return 0;
}

/* Names are also objects of {{ }}, so each means one thing. */
static int check_names(struct group *g, struct error **err)
{
	for (size_t i = 0; i < g->nnodes; i++)
		map_set(&g->index, g->nodes[i].name, (void *)(i + 1));
	for (size_t i = 0; i < g->nnodes; i++) {
		const struct group_node *n = &g->nodes[i];
		const struct node *at = node_get(n->at, "node_id") ? node_get(n->at, "node_id") : n->at;
		size_t other = (size_t)map_get(&g->index, n->id);

		if (!strcmp(n->name, "system") || !strcmp(n->name, "app") || !strcmp(n->id, "system") || !strcmp(n->id, "app"))
			return node_error(at, err, "%s: system and app have a meaning of their own in {{ }}; take another name", n->name);
		if (other && other != i + 1)
			return node_error(at, err, "%s: its node_id '%s' is also that of %s", n->name, n->id, g->nodes[other - 1].name);
		map_set(&g->index, n->id, (void *)(i + 1));
	}
	return 0;
}

static int read_nodes(struct group *g, struct error **err)
{
	const struct node *root = doc_root(g->doc);
	struct node *nodes = NULL;

	if (node_map(root, "nodes", &nodes, err) < 0)
		return -1;
	if (!nodes || !nodes->len)
		return node_error(nodes ? nodes : root, err, "nodes: a group needs one node at least");
	if (nodes->len > NODES_MAX)
		return node_error(nodes, err, "nodes: %zu; at most %d are possible", nodes->len, NODES_MAX);
	g->nodes = xcalloc(nodes->len, sizeof(*g->nodes));
	for (size_t i = 0; i < nodes->len; i++) {
		g->nnodes++;
		if (name_check("node", nodes->keys[i]->text, err) < 0)
			return error_wrap(err, "%s:%d:%d", doc_name(g->doc), nodes->keys[i]->line, nodes->keys[i]->col);
		if (group_read_node(g, nodes->keys[i]->text, nodes->items[i], &g->nodes[i], err) < 0)
			return -1;
	}
	return check_names(g, err);
}

static int read_order(struct group *g, struct error **err)
{
	struct node *list = NULL;

	if (node_list(doc_root(g->doc), "instance_order", &list, err) < 0)
		return -1;
	for (size_t i = 0; list && i < list->len; i++) {
		const struct node *v = list->items[i];
		_cleanup_error_ struct error *e = NULL;
		const struct group_node *n;

		if (v->type != NODE_STRING && v->type != NODE_NUMBER)
			return node_error(v, err, "instance_order: a node's name is needed, this is %s", node_type_name(v->type));
		n = group_node(g, v->text, &e);
		if (!n) {
			node_error(v, err, "instance_order: no node is named '%s'", v->text);
			return e->hint ? error_hint(err, "%s", e->hint) : -1;
		}
		if (strv_has(&g->order, n->name))
			return node_error(v, err, "instance_order: '%s' stands here a second time", v->text);
		strv_add(&g->order, n->name);
	}
	for (size_t i = 0; i < g->nnodes; i++) {
		const struct group_node *n = &g->nodes[i];
		const struct node *key = node_key(n->at, "instance_commands");

		if (n->instance.len && !strv_has(&g->order, n->name))
			strv_addf(&g->warnings, "%s:%d:%d: %s is not in instance_order: its instance_commands are not run", doc_name(g->doc),
				key->line, key->col, n->name);
	}
	return 0;
}

static int read_all(struct group *g, struct error **err)
{
	static const char *const known[] = { "nodes", "instance_order", "app_configs", "network", "zones", "forwards", "seed", "links",
		"names", "engine", NULL };

	if (node_known(doc_root(g->doc), "group", known, err) < 0 || read_nodes(g, err) < 0 || read_order(g, err) < 0 ||
		group_read_gone(g, err) < 0)
		return -1;
	if (group_read_zones(g, err) < 0 || group_addresses(g, err) < 0 || group_facts(g, err) < 0 || group_read_apps(g, err) < 0)
		return -1;
	return group_read_links(g, err) < 0 ? -1 : group_check_commands(g, err);
}

/* The name by which its machines know the group: that of the one that it is a fork of. */
static int read_inside(struct group *g, struct error **err)
{
	const char *inside = g->name;

	if (g->recorded && node_str(doc_root(g->recorded), "inside", &inside, err) < 0)
		return -1;
	g->inside = xstrdup(inside);
	return 0;
}

int group_load(const char *name, struct group **ret, struct error **err)
{
	_cleanup_group_ struct group *g = xcalloc(1, sizeof(*g));
	_cleanup_free_ char *file = find_file(name, err);

	if (!file)
		return -1;
	g->name = group_name_of(file, err);
	if (!g->name)
		return -1;
	g->file = path_absolute(file);
	g->dir = path_dirname(g->file);
	g->base_dir = !strcmp(path_basename(g->dir), "dev_configs") ? path_dirname(g->dir) : xstrdup(g->dir);
	g->record = group_record_dir(g->name);
	g->doc = group_read_record(g, err) < 0 ? NULL : doc_load(file, err);
	if (!g->doc || read_inside(g, err) < 0 || read_all(g, err) < 0)
		return -1;
	*ret = STEAL(g);
	return 0;
}

void group_node_clear(struct group_node *n)
{
	char *all[] = { n->name, n->id, n->full, n->template, n->taken, n->image, n->machine_file, n->host, n->ssh_key, n->ssh, n->cloud_init,
		n->host_address };

	for (size_t k = 0; k < ARRAY_SIZE(all); k++)
		free(all[k]);
	for (size_t k = 0; k < n->nnics; k++)
		free(n->nics[k].address);
	free(n->nics);
	strv_free(&n->init);
	strv_free(&n->instance);
	strv_free(&n->apps);
	strv_free(&n->old_apps);
	map_free(&n->directories);
	*n = (struct group_node){ 0 };
}

void group_free(struct group *g)
{
	if (!g)
		return;
	group_zones_free(g);
	for (size_t i = 0; i < g->nnodes; i++)
		group_node_clear(&g->nodes[i]);
	for (size_t i = 0; i < g->napps; i++) {
		free(g->apps[i].name);
		free(g->apps[i].file);
		free(g->apps[i].dir);
	}
	free(g->nodes);
	free(g->apps);
	free(g->name);
	free(g->inside);
	free(g->file);
	free(g->dir);
	free(g->base_dir);
	free(g->record);
	free(g->net_extra);
	strv_free(&g->order);
	strv_free(&g->warnings);
	map_free(&g->index);
	vars_free(g->vars);
	doc_free(g->doc);
	doc_free(g->recorded);
	doc_free(g->was);
	doc_free(g->blank);
	free(g);
}

struct group_node *group_node(const struct group *g, const char *name, struct error **err)
{
	_cleanup_strv_ struct strv all = STRV_INIT;
	_cleanup_free_ char *list = NULL;
	const char *near;

	size_t at = (size_t)map_get(&g->index, name);

	if (at)
		return &g->nodes[at - 1];
	for (size_t i = 0; i < g->nnodes; i++)
		if (g->nodes[i].gone && !strcmp(g->nodes[i].name, name))
			return &g->nodes[i];
	for (size_t i = 0; i < g->nnodes; i++)
		strv_add(&all, g->nodes[i].name);
	error_set(err, ERR_NOT_FOUND, "group %s has no node '%s'", g->name, name);
	near = nearest_name(name, (const char *const *)all.v, all.len);
	list = strv_join(&all, ", ");
	if (near)
		error_hint(err, "did you mean '%s'?", near);
	else
		error_hint(err, "its nodes are %s", list);
	return NULL;
}

void group_recorded_names(struct strv *ret)
{
	_cleanup_free_ char *path = path_data("groups");
	_cleanup_closedir_ DIR *d = opendir(path);

	for (struct dirent *e; d && (e = readdir(d));)
		if (e->d_name[0] != '.' && group_exists(e->d_name))
			strv_add(ret, e->d_name);
}

/* A file of a folder is a group when it has nodes: other JSON lies about in working directories. */
static void add_described(const char *place, struct strv *ret)
{
	const char *dir = *place ? place : ".";
	_cleanup_closedir_ DIR *d = opendir(dir);

	for (struct dirent *e; d && (e = readdir(d));) {
		const char *dot = strrchr(e->d_name, '.');
		_cleanup_free_ char *path = path_join(dir, e->d_name), *name = NULL;
		_cleanup_error_ struct error *err = NULL;
		_cleanup_doc_ struct doc *doc = NULL;

		if (!dot || e->d_name[0] == '.' || (strcmp(dot, ".json") && strcmp(dot, ".yaml") && strcmp(dot, ".yml")))
			continue;
		doc = doc_load(path, &err);
		if (!doc || !node_get(doc_root(doc), "nodes"))
			continue;
		name = group_name_of(path, &err);
		if (name && !strv_has(ret, name))
			strv_add(ret, name);
	}
}

int group_names(struct strv *ret, struct error **err)
{
	group_recorded_names(ret);
	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		add_described(places[i], ret);
	strv_sort(ret);
	return 0;
}
