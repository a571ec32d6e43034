/* SPDX-License-Identifier: Apache-2.0 */
/* What snapshots there are: their files, names, order and descent. */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/units.h"
#include "snapint.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <string.h>

void snapshot_free(struct snapshot *s)
{
	if (!s)
		return;
	free(s->name);
	free(s->parent);
	free(s->text);
	free(s->created);
	free(s->type);
	free(s->accel);
	free(s->qemu);
	free(s->group);
	strv_free(&s->nodes);
	free(s);
}

void snapshots_clear(struct snapshots *l)
{
	for (size_t i = 0; i < l->len; i++)
		snapshot_free(l->v[i]);
	free(l->v);
	*l = (struct snapshots){ 0 };
}

char *snap_path(const struct machine *m, const char *name, const char *file)
{
	return xasprintf("%s/snapshots%s%s%s%s", m->dir, name ? "/" : "", name ? name : "", file ? "/" : "", file ? file : "");
}

static int get_text(const struct node *n, const char *key, char **field, struct error **err)
{
	const char *s = NULL;

	if (node_get(n, key) && node_get(n, key)->type == NODE_NULL)
		return 0;
	if (node_str(n, key, &s, err) < 0)
		return -1;
	*field = xstrdup(s);
	return 0;
}

static int read_nodes(const struct node *n, struct snapshot *s, struct error **err)
{
	struct node *list = NULL;

	if (node_list(n, "nodes", &list, err) < 0)
		return -1;
	for (size_t i = 0; list && i < list->len; i++) {
		if (!list->items[i]->text)
			return node_error(list->items[i], err, "nodes: a text is expected");
		strv_add(&s->nodes, list->items[i]->text);
	}
	return 0;
}

struct snapshot *snap_read(const struct machine *m, const char *name, struct error **err)
{
	_cleanup_free_ char *path = snap_path(m, name, "snapshot.json");
	_cleanup_doc_ struct doc *doc = doc_load(path, err);
	_cleanup_snapshot_ struct snapshot *s = xcalloc(1, sizeof(*s));
	const struct node *n = doc ? doc_root(doc) : NULL;

	if (!doc)
		return NULL;
	s->name = xstrdup(name);
	if (get_text(n, "parent", &s->parent, err) < 0 || get_text(n, "text", &s->text, err) < 0 ||
		get_text(n, "created", &s->created, err) < 0 || get_text(n, "type", &s->type, err) < 0 ||
		get_text(n, "accel", &s->accel, err) < 0 || get_text(n, "qemu", &s->qemu, err) < 0 ||
		get_text(n, "group", &s->group, err) < 0 || node_bool(n, "memory", &s->memory, err) < 0 ||
		node_bool(n, "paused", &s->paused, err) < 0 || node_bool(n, "ready", &s->ready, err) < 0 ||
		node_u64(n, "taken", 0, UINT64_MAX, &s->taken, err) < 0 ||
		node_u64(n, "memory_bytes", 0, UINT64_MAX, &s->memory_bytes, err) < 0 ||
		node_u64(n, "disk_bytes", 0, UINT64_MAX, &s->disk_bytes, err) < 0 || read_nodes(n, s, err) < 0)
		return NULL;
	return STEAL(s);
}

static void set_text(json_t *o, const char *key, const char *value)
{
	if (value)
		json_object_set_new(o, key, json_string(value));
}

int snap_write(const struct machine *m, const char *dir, const struct snapshot *s, struct error **err)
{
	_cleanup_free_ char *path = snap_path(m, dir, "snapshot.json"), *text = NULL;
	json_t *o = json_object(), *nodes = json_array();

	set_text(o, "name", s->name);
	set_text(o, "parent", s->parent);
	set_text(o, "text", s->text);
	set_text(o, "created", s->created);
	json_object_set_new(o, "taken", json_integer((json_int_t)s->taken));
	json_object_set_new(o, "memory", json_boolean(s->memory));
	json_object_set_new(o, "paused", json_boolean(s->paused));
	json_object_set_new(o, "ready", json_boolean(s->ready));
	json_object_set_new(o, "memory_bytes", json_integer((json_int_t)s->memory_bytes));
	json_object_set_new(o, "disk_bytes", json_integer((json_int_t)s->disk_bytes));
	set_text(o, "type", s->type);
	set_text(o, "accel", s->accel);
	set_text(o, "qemu", s->qemu);
	set_text(o, "group", s->group);
	for (size_t i = 0; i < s->nodes.len; i++)
		json_array_append_new(nodes, json_string(s->nodes.v[i]));
	json_object_set_new(o, "nodes", nodes);
	text = json_dumps(o, JSON_INDENT(2));
	json_decref(o);
	if (!text)
		return error_set(err, ERR_USAGE, "%s: not valid UTF-8", path);
	return file_writef(path, 0600, err, "%s\n", text);
}

static int by_time(const void *a, const void *b)
{
	const struct snapshot *x = *(struct snapshot *const *)a, *y = *(struct snapshot *const *)b;

	if (x->taken != y->taken)
		return x->taken < y->taken ? -1 : 1;
	return strcmp(x->name, y->name);
}

int snapshot_list(const struct machine *m, struct snapshots *ret, struct error **err)
{
	_cleanup_free_ char *dir = snap_path(m, NULL, NULL);
	_cleanup_closedir_ DIR *d = opendir(dir);

	if (!d)
		return errno == ENOENT ? 0 : error_errno(err, errno, "%s", dir);
	for (struct dirent *e; (e = readdir(d));) {
		_cleanup_free_ char *json = snap_path(m, e->d_name, "snapshot.json");
		struct snapshot *s;

		if (e->d_name[0] == '.' || !file_exists(json))
			continue;
		s = snap_read(m, e->d_name, err);
		if (!s)
			return error_wrap(err, "machine %s", m->name);
		ret->v = xreallocarray(ret->v, ret->len + 1, sizeof(*ret->v));
		ret->v[ret->len++] = s;
	}
	if (ret->len)
		qsort(ret->v, ret->len, sizeof(*ret->v), by_time);
	return 0;
}

static int unknown(const struct machine *m, const char *name, const struct snapshots *l, struct error **err)
{
	_cleanup_strv_ struct strv names = STRV_INIT;
	const char *near;

	if (!l->len) {
		error_set(err, ERR_NOT_FOUND, "machine %s: it has no snapshots", m->name);
		return error_hint(err, "take one: croft vm snapshot %s", m->name);
	}
	error_set(err, ERR_NOT_FOUND, "machine %s: no snapshot %s", m->name, name);
	for (size_t i = 0; i < l->len; i++)
		strv_add(&names, l->v[i]->name);
	near = nearest_name(name, (const char *const *)names.v, names.len);
	if (near)
		return error_hint(err, "did you mean '%s'?", near);
	return error_hint(err, "croft vm snapshots %s shows those that exist", m->name);
}

struct snapshot *snapshot_open(const struct machine *m, const char *name, struct error **err)
{
	_cleanup_snapshots_ struct snapshots l = { 0 };
	bool last = !name || !strcmp(name, SNAPSHOT_LAST);

	if (!last && name_check("snapshot", name, err) < 0)
		return NULL;
	if (snapshot_list(m, &l, err) < 0)
		return NULL;
	for (size_t i = l.len; i-- > 0;)
		if (last || !strcmp(l.v[i]->name, name))
			return STEAL(l.v[i]);
	unknown(m, name ? name : SNAPSHOT_LAST, &l, err);
	return NULL;
}

char *snapshot_current(const struct machine *m)
{
	_cleanup_free_ char *path = snap_path(m, "CURRENT", NULL), *json = NULL;
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_error_ struct error *e = NULL;

	if (file_read(path, 4096, &b, &e) < 0)
		return NULL;
	b.data[strcspn(b.data, "\n")] = '\0';
	json = snap_path(m, b.data, "snapshot.json");
	return file_exists(json) ? xstrdup(b.data) : NULL;
}

int snap_set_current(const struct machine *m, const char *name, struct error **err)
{
	_cleanup_free_ char *path = snap_path(m, "CURRENT", NULL);

	return name ? file_writef(path, 0600, err, "%s\n", name) : file_unlink(path, err);
}

int snap_adopt_children(const struct machine *m, const char *name, const char *parent, struct error **err)
{
	_cleanup_snapshots_ struct snapshots l = { 0 };

	if (snapshot_list(m, &l, err) < 0)
		return -1;
	for (size_t i = 0; i < l.len; i++) {
		struct snapshot *s = l.v[i];

		if (!s->parent || strcmp(s->parent, name))
			continue;
		free(s->parent);
		s->parent = xstrdup(parent);
		if (snap_write(m, s->name, s, err) < 0)
			return -1;
	}
	return 0;
}

char *snapshot_auto_name(const struct snapshots *l)
{
	uint64_t next = 0;

	for (size_t i = 0; i < l->len; i++) {
		const char *name = l->v[i]->name;
		uint64_t n;
		int end = 0;

		if (sscanf(name, "S%" SCNu64 "%n", &n, &end) == 1 && !name[end] && n >= next && n < UINT64_MAX)
			next = n + 1;
	}
	return xasprintf("S%" PRIu64, next);
}
