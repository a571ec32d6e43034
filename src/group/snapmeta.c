/* SPDX-License-Identifier: Apache-2.0 */
#include "group/snapshot.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/units.h"
#include "internal.h"
#include "machine/snapshot.h"
#include "snapint.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

void group_snapshot_free(struct group_snapshot *s)
{
	if (!s)
		return;
	free(s->name);
	free(s->text);
	free(s->created);
	free(s->parent);
	strv_free(&s->nodes);
	free(s);
}

void group_snapshots_clear(struct group_snapshots *l)
{
	for (size_t i = 0; i < l->len; i++)
		group_snapshot_free(l->v[i]);
	free(l->v);
	*l = (struct group_snapshots){ 0 };
}

char *gsnap_path(const char *group, const char *name, const char *file)
{
	_cleanup_free_ char *dir = group_record_dir(group);

	return xasprintf("%s/snapshots%s%s%s%s", dir, name ? "/" : "", name ? name : "", file ? "/" : "", file ? file : "");
}

static int get_text(const struct node *n, const char *key, char **field, struct error **err)
{
	const char *s = NULL;

	if (node_str(n, key, &s, err) < 0)
		return -1;
	*field = xstrdup(s);
	return 0;
}

struct group_snapshot *gsnap_read(const char *group, const char *folder, struct error **err)
{
	_cleanup_free_ char *path = gsnap_path(group, folder, "snapshot.json");
	_cleanup_group_snapshot_ struct group_snapshot *s = xcalloc(1, sizeof(*s));
	_cleanup_doc_ struct doc *doc = doc_load(path, err);
	const struct node *n = doc ? doc_root(doc) : NULL;
	struct node *nodes = NULL;

	if (!doc || get_text(n, "name", &s->name, err) < 0 || get_text(n, "text", &s->text, err) < 0 ||
		get_text(n, "created", &s->created, err) < 0 || get_text(n, "parent", &s->parent, err) < 0 ||
		node_u64(n, "taken", 0, UINT64_MAX, &s->taken, err) < 0 || node_list(n, "nodes", &nodes, err) < 0)
		return NULL;
	if (!s->name || !nodes) {
		error_set(err, ERR_FAILED, "%s: no name, or no nodes", path);
		return NULL;
	}
	for (size_t i = 0; i < nodes->len; i++)
		if (nodes->items[i]->text)
			strv_add(&s->nodes, nodes->items[i]->text);
	return STEAL(s);
}

static void put(struct buf *b, const char *key, const char *value)
{
	if (!value)
		return;
	buf_addf(b, "\"%s\":", key);
	json_quote(b, value);
	buf_addc(b, ',');
}

int gsnap_write(const char *group, const char *folder, const struct group_snapshot *s, struct error **err)
{
	_cleanup_free_ char *path = gsnap_path(group, folder, "snapshot.json");
	_cleanup_buf_ struct buf b = BUF_INIT;

	buf_addc(&b, '{');
	put(&b, "name", s->name);
	put(&b, "text", s->text);
	put(&b, "created", s->created);
	put(&b, "parent", s->parent);
	buf_addf(&b, "\"taken\":%llu,\"nodes\":[", (unsigned long long)s->taken);
	for (size_t i = 0; i < s->nodes.len; i++) {
		buf_adds(&b, i ? "," : "");
		json_quote(&b, s->nodes.v[i]);
	}
	buf_adds(&b, "]}\n");
	return file_write(path, b.data, b.len, 0600, err);
}

static int by_time(const void *a, const void *b)
{
	const struct group_snapshot *x = *(struct group_snapshot *const *)a, *y = *(struct group_snapshot *const *)b;

	if (x->taken != y->taken)
		return x->taken < y->taken ? -1 : 1;
	return strcmp(x->name, y->name);
}

int group_snapshot_list(const char *group, struct group_snapshots *ret, struct error **err)
{
	_cleanup_free_ char *dir = gsnap_path(group, NULL, NULL);
	_cleanup_closedir_ DIR *d = opendir(dir);

	if (!d)
		return errno == ENOENT ? 0 : error_errno(err, errno, "%s", dir);
	for (struct dirent *e; (e = readdir(d));) {
		_cleanup_free_ char *json = gsnap_path(group, e->d_name, "snapshot.json");
		struct group_snapshot *s;

		if (e->d_name[0] == '.' || !file_exists(json))
			continue;
		s = gsnap_read(group, e->d_name, err);
		if (!s)
			return error_wrap(err, "group %s", group);
		ret->v = xreallocarray(ret->v, ret->len + 1, sizeof(*ret->v));
		ret->v[ret->len++] = s;
	}
	if (ret->len)
		qsort(ret->v, ret->len, sizeof(*ret->v), by_time);
	return 0;
}

struct group_snapshot *group_snapshot_open(const char *group, const char *name, struct error **err)
{
	_cleanup_(group_snapshots_clear) struct group_snapshots l = { 0 };
	bool last = !name || !strcmp(name, SNAPSHOT_LAST);
	_cleanup_strv_ struct strv names = STRV_INIT;
	const char *near;

	if ((!last && name_check("snapshot", name, err) < 0) || group_snapshot_list(group, &l, err) < 0)
		return NULL;
	for (size_t i = l.len; i-- > 0;)
		if (last || !strcmp(l.v[i]->name, name))
			return STEAL(l.v[i]);
	if (!l.len) {
		error_set(err, ERR_NOT_FOUND, "group %s: it has no snapshots", group);
		error_hint(err, "take one: croft group %s snapshot", group);
		return NULL;
	}
	for (size_t i = 0; i < l.len; i++)
		strv_add(&names, l.v[i]->name);
	near = nearest_name(name, (const char *const *)names.v, names.len);
	error_set(err, ERR_NOT_FOUND, "group %s: no snapshot %s", group, name);
	if (near)
		error_hint(err, "did you mean '%s'?", near);
	else
		error_hint(err, "croft group %s snapshots shows those that exist", group);
	return NULL;
}

uint64_t group_snapshot_memory(const char *group, const struct group_snapshot *s)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < s->nodes.len; i++) {
		_cleanup_free_ char *full = xasprintf("%s/%s", group, s->nodes.v[i]);
		_cleanup_error_ struct error *e = NULL;
		_cleanup_machine_ struct machine *m = machine_open(full, &e);
		_cleanup_snapshot_ struct snapshot *part = m ? snapshot_open(m, s->name, &e) : NULL;

		sum += part ? part->memory_bytes : 0;
	}
	return sum;
}
