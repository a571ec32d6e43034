/* SPDX-License-Identifier: Apache-2.0 */
#include "ops.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/proc.h"
#include "conf/doc.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* The one that this process runs and has written. */
static struct op *current;

static char *op_path(const char *group, const char *verb)
{
	_cleanup_free_ char *dir = path_data("ops");

	return xasprintf("%s/%s.%s", dir, group, verb);
}

void op_free(struct op *o)
{
	if (!o)
		return;
	for (size_t i = 0; i < o->n; i++) {
		free(o->members[i].name);
		free(o->members[i].was);
		free(o->members[i].state);
	}
	free(o->members);
	free(o->group);
	free(o->verb);
	free(o->path);
	free(o->started);
	strv_free(&o->words);
	strv_free(&o->apps);
	free(o);
}

static struct op_member *find(struct op *o, const char *name)
{
	for (size_t i = 0; i < o->n; i++)
		if (!strcmp(o->members[i].name, name))
			return &o->members[i];
	return NULL;
}

static struct op_member *add(struct op *o, const char *name, const char *was, const char *state)
{
	o->members = xreallocarray(o->members, o->n + 1, sizeof(*o->members));
	o->members[o->n] = (struct op_member){ .name = xstrdup(name), .was = xstrdup(was), .state = xstrdup(state) };
	return &o->members[o->n++];
}

static void set_state(struct op_member *m, const char *state)
{
	free(m->state);
	m->state = xstrdup(state);
}

/* ---- the file ---- */

static bool alive(const struct node *root)
{
	const char *boot = "";
	uint64_t pid = 0, start = 0;
	struct proc_id id = { 0 };
	_cleanup_error_ struct error *e = NULL;

	if (node_u64(root, "pid", 0, INT32_MAX, &pid, &e) < 0 || node_u64(root, "start", 0, UINT64_MAX, &start, &e) < 0 ||
		node_str(root, "boot", &boot, &e) < 0 || !pid)
		return false;
	id.pid = (pid_t)pid;
	id.start = start;
	snprintf(id.boot, sizeof(id.boot), "%s", boot);
	return proc_id_alive(&id);
}

static int read_members(struct op *o, const struct node *root, struct error **err)
{
	struct node *list = NULL;

	if (node_list(root, "members", &list, err) < 0)
		return -1;
	for (size_t i = 0; list && i < list->len; i++) {
		const char *name = NULL, *was = "", *state = "begun";

		if (node_str(list->items[i], "name", &name, err) < 0 || node_str(list->items[i], "was", &was, err) < 0 ||
			node_str(list->items[i], "state", &state, err) < 0)
			return -1;
		if (name)
			add(o, name, was, state);
	}
	return 0;
}

static struct op *op_read(const char *path, struct error **err)
{
	_cleanup_doc_ struct doc *d = doc_load_own(path, err);
	const char *group = NULL, *verb = NULL, *started = "";
	const struct node *root = d ? doc_root(d) : NULL;
	struct node *words = NULL, *apps = NULL;
	struct op *o;

	if (!d || node_str(root, "group", &group, err) < 0 || node_str(root, "verb", &verb, err) < 0 ||
		node_str(root, "started", &started, err) < 0 || node_list(root, "words", &words, err) < 0 ||
		node_list(root, "apps", &apps, err) < 0)
		return NULL;
	if (!group || !verb) {
		error_set(err, ERR_FAILED, "%s: no group, or no verb", path);
		return NULL;
	}
	o = xcalloc(1, sizeof(*o));
	o->group = xstrdup(group);
	o->verb = xstrdup(verb);
	o->started = xstrdup(started);
	o->path = xstrdup(path);
	o->running = alive(root);
	for (size_t i = 0; words && i < words->len; i++)
		strv_add(&o->words, words->items[i]->text);
	for (size_t i = 0; apps && i < apps->len; i++)
		strv_add(&o->apps, apps->items[i]->text);
	if (node_bool(root, "failed", &o->failed, err) == 0 && read_members(o, root, err) == 0)
		return o;
	op_free(o);
	return NULL;
}

int op_write(struct op *o, struct error **err)
{
	_cleanup_free_ char *dir = path_data("ops");
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct proc_id id;

	if (proc_id_of(getpid(), &id, err) < 0 || file_mkdirs(dir, 0700, err) < 0)
		return -1;
	buf_addf(&b, "{\"group\":\"%s\",\"verb\":\"%s\",\"started\":\"%s\",\"pid\":%d,\"start\":%llu,\"boot\":\"%s\",\"failed\":%s,\"words\":[",
		o->group, o->verb, o->started, (int)id.pid, (unsigned long long)id.start, id.boot, o->failed ? "true" : "false");
	for (size_t i = 0; i < o->words.len; i++) {
		buf_adds(&b, i ? "," : "");
		json_quote(&b, o->words.v[i]);
	}
	buf_adds(&b, "],\"apps\":[");
	for (size_t i = 0; i < o->apps.len; i++) {
		buf_adds(&b, i ? "," : "");
		json_quote(&b, o->apps.v[i]);
	}
	buf_adds(&b, "],\"members\":[");
	for (size_t i = 0; i < o->n; i++) {
		const struct op_member *m = &o->members[i];

		buf_addf(&b, "%s{\"name\":\"%s\",\"was\":\"%s\",\"state\":\"%s\"}", i ? "," : "", m->name, m->was, m->state);
	}
	buf_adds(&b, "]}\n");
	if (file_write(o->path, b.data, b.len, 0600, err) < 0)
		return error_wrap(err, "group %s: journal", o->group);
	current = o;
	return 0;
}

/* ---- the life of one ---- */

static void set_now(struct op *o)
{
	time_t now = time(NULL);
	struct tm tm;
	char text[32];

	gmtime_r(&now, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	o->started = xstrdup(text);
}

struct op *op_begin(const char *group, const char *verb)
{
	_cleanup_free_ char *path = op_path(group, verb);
	_cleanup_error_ struct error *e = NULL;
	struct op *o = file_exists(path) ? op_read(path, &e) : NULL;

	if (o) {
		o->resumed = true;
		log_info("group %s: %s of %s %s; going on with it", group, verb, o->started, o->failed ? "had failed" : "was interrupted");
		o->failed = false;
		return o;
	}
	o = xcalloc(1, sizeof(*o));
	o->group = xstrdup(group);
	o->verb = xstrdup(verb);
	o->path = STEAL(path);
	set_now(o);
	return o;
}

void op_member(struct op *o, const char *name, const char *was)
{
	struct op_member *m = find(o, name);

	if (m)
		set_state(m, "begun");
	else
		m = add(o, name, was, "begun");
	m->mine = true;
}

void op_note(const char *label, bool failed)
{
	struct op_member *m = current ? find(current, label) : NULL;
	_cleanup_error_ struct error *e = NULL;

	/* A failure stays one, whatever else is done on the member. */
	if (!m || !strcmp(m->state, "failed") || (!failed && !strcmp(m->state, "done")))
		return;
	set_state(m, failed ? "failed" : "done");
	if (op_write(current, &e) < 0)
		log_warn("%s", e->msg);
}

void op_will(const char *did, const char *node, const char *app)
{
	struct op_member *m = current ? find(current, node) : NULL;
	_cleanup_free_ char *line = xasprintf("%s %s %s", did, node, app), *install = xasprintf("install %s %s", node, app);

	if (m && *m->was && strcmp(m->was, "absent") && !strv_has(&current->apps, line) && (strcmp(did, "update") || !strv_has(&current->apps, install)))
		strv_add(&current->apps, line);
}

int op_write_current(struct error **err)
{
	return current ? op_write(current, err) : 0;
}

bool op_resumed(void)
{
	return current && current->resumed;
}

int op_end(struct op *o, int rc, struct error **err)
{
	bool all = rc == 0;
	_cleanup_error_ struct error *e = NULL;

	/* Members that an earlier run was about, and this one not, are still to be done. */
	for (size_t i = 0; i < o->n; i++)
		all &= o->members[i].mine || !strcmp(o->members[i].state, "done");
	if (current == o) {
		o->failed = !all;
		if (all ? file_unlink(o->path, &e) < 0 : op_write(o, &e) < 0)
			log_warn("%s", e->msg);
		if (!all && rc < 0 && (*err)->cls != ERR_INTR)
			error_hint(err, "the same command goes on; `croft ops rollback %s.%s` takes it back", o->group, o->verb);
	}
	current = NULL;
	op_free(o);
	return rc;
}

/* ---- all of them ---- */

void ops_clear(struct ops *l)
{
	for (size_t i = 0; i < l->n; i++)
		op_free(l->v[i]);
	free(l->v);
	*l = (struct ops){ 0 };
}

static int by_start(const void *a, const void *b)
{
	const struct op *x = *(struct op *const *)a, *y = *(struct op *const *)b;
	int c = strcmp(x->started, y->started);

	return c ? c : strcmp(x->path, y->path);
}

int ops_list(struct ops *ret, struct error **err)
{
	_cleanup_free_ char *dir = path_data("ops");
	_cleanup_closedir_ DIR *d = opendir(dir);

	if (!d)
		return errno == ENOENT ? 0 : error_errno(err, errno, "%s", dir);
	for (struct dirent *e; (e = readdir(d));) {
		_cleanup_free_ char *path = path_join(dir, e->d_name);
		_cleanup_error_ struct error *bad = NULL;
		struct op *o;

		if (e->d_name[0] == '.' || strchr(e->d_name, '~'))
			continue;
		o = op_read(path, &bad);
		if (!o) {
			/* One that has ended meanwhile. */
			if (file_exists(path))
				return error_move(err, &bad);
			continue;
		}
		ret->v = xreallocarray(ret->v, ret->n + 1, sizeof(struct op *));
		ret->v[ret->n++] = o;
	}
	if (ret->n)
		qsort(ret->v, ret->n, sizeof(struct op *), by_start);
	return 0;
}

int ops_forget(const char *group, struct error **err)
{
	_cleanup_ops_ struct ops all = { 0 };

	if (ops_list(&all, err) < 0)
		return -1;
	for (size_t i = 0; i < all.n; i++)
		if (!strcmp(all.v[i]->group, group) && file_unlink(all.v[i]->path, err) < 0)
			return -1;
	return 0;
}
