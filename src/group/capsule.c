/* SPDX-License-Identifier: Apache-2.0 */
#include "capsule.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/proc.h"
#include "fork.h"
#include "image/image.h"
#include "qemu/qemu.h"
#include "store/store.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#define CONSOLE_LINES 10000
#define TAR_MS 3600000

struct making {
	const struct group *g;
	const struct capsule_opts *o;
	char *dir;	/* of this work: store/, project/, extra/ */
	char *other;	/* name of the group that holds the files for as long as it takes */
	struct strv images;
};

/* ---- what belongs to it besides the machines ---- */

static int copy_into(const char *from, const char *dir, const char *name, struct error **err)
{
	_cleanup_free_ char *to = path_join(dir, name);

	return file_mkdirs(dir, 0700, err) < 0 ? -1 : file_copy(from, to, 0600, err);
}

/* The group's file without paths that lead out of it: the apps' files are beside it. */
static int write_file(const struct making *x, const char *dir, struct error **err)
{
	_cleanup_free_ char *to = path_join(dir, "group.json");
	const struct node *root = doc_root(x->g->doc);
	_cleanup_buf_ struct buf b = BUF_INIT;

	for (size_t i = 0; i < root->len; i++) {
		if (!strcmp(root->keys[i]->text, "app_configs"))
			continue;
		buf_adds(&b, b.len ? "," : "{");
		json_quote(&b, root->keys[i]->text);
		buf_addc(&b, ':');
		node_to_json(root->items[i], &b);
	}
	buf_adds(&b, "}\n");
	return file_write(to, b.data, b.len, 0600, err);
}

static int project(const struct making *x, struct error **err)
{
	_cleanup_free_ char *dir = path_join(x->dir, "project/dev_configs"), *apps = path_join(dir, "apps"),
			    *templates = path_join(dir, "templates");

	if (file_mkdirs(dir, 0700, err) < 0 || write_file(x, dir, err) < 0)
		return -1;
	for (size_t i = 0; i < x->g->napps; i++) {
		_cleanup_free_ char *name = xasprintf("%s.json", x->g->apps[i].name);

		if (copy_into(x->g->apps[i].file, apps, name, err) < 0)
			return -1;
	}
	for (size_t i = 0; i < x->g->nnodes; i++) {
		const struct group_node *n = &x->g->nodes[i];
		_cleanup_free_ char *name = xasprintf("%s.yaml", n->template ? n->template : ""), *to = path_join(templates, name),
				    *from = xasprintf("%s/templates/%s", x->g->dir, name);

		if (n->template && !strchr(n->template, '/') && file_exists(from) && !file_exists(to) && copy_into(from, templates, name, err) < 0)
			return -1;
	}
	return 0;
}

static int consoles(const struct making *x, const char *dir, struct error **err)
{
	for (size_t i = 0; i < x->g->nnodes; i++) {
		_cleanup_free_ char *file = xasprintf("%s/%s.console", dir, x->g->nodes[i].name);
		_cleanup_machine_ struct machine *m = machine_open(x->g->nodes[i].full, err);
		_cleanup_buf_ struct buf tail = BUF_INIT;

		if (!m)
			return -1;
		machine_console_tail(m, CONSOLE_LINES, &tail);
		if (file_write(file, buf_str(&tail), tail.len, 0600, err) < 0)
			return -1;
	}
	return 0;
}

/* Files and folders, as cp does it with all that belongs to them. */
static int copy_tree(const char *from, const char *to, struct error **err)
{
	_cleanup_buf_ struct buf said = BUF_INIT;
	const char *argv[] = { "cp", "-a", "--", from, to, NULL };
	int status = 0;

	if (proc_output(argv, NULL, NULL, TAR_MS, &status, &said, err) < 0)
		return -1;
	return status ? error_set(err, ERR_FAILED, "%s: %s", from, buf_str(&said)) : 0;
}

/* What has not ended well of the group's operations. */
static int unfinished(const struct making *x, const char *dir, struct error **err)
{
	_cleanup_free_ char *ops = path_data("ops"), *mine = xasprintf("%s.", x->g->name);
	_cleanup_closedir_ DIR *d = opendir(ops);

	for (struct dirent *e; d && (e = readdir(d));) {
		_cleanup_free_ char *path = path_join(ops, e->d_name);

		if (!strncmp(e->d_name, mine, strlen(mine)) && !strchr(e->d_name, '~') && copy_into(path, dir, e->d_name, err) < 0)
			return -1;
	}
	return 0;
}

/* What was done: the nodes' records of their apps, which of the file's commands have run, operations that are not over. */
static int journal(const struct making *x, const char *extra_dir, struct error **err)
{
	_cleanup_free_ char *dir = path_join(extra_dir, "journal"), *history = path_join(dir, "history.json"), *machines = path_data("machines");
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (file_mkdirs(dir, 0700, err) < 0 || group_app_history(x->g, NULL, &b, err) < 0 ||
		file_write(history, b.data, b.len, 0600, err) < 0 || unfinished(x, dir, err) < 0)
		return -1;
	for (size_t i = 0; i < x->g->nnodes; i++) {
		_cleanup_free_ char *from = xasprintf("%s/%s/commands", machines, x->g->nodes[i].full),
				    *name = xasprintf("%s.commands", x->g->nodes[i].name);

		if (file_exists(from) && copy_into(from, dir, name, err) < 0)
			return -1;
	}
	return 0;
}

static int extra(const struct making *x, struct error **err)
{
	_cleanup_free_ char *dir = path_join(x->dir, "extra"), *logs = path_join(dir, "logs"), *net = group_net_dir(x->g->name),
			    *netlog = path_join(net, "net.log");
	_cleanup_error_ struct error *e = NULL;

	if (file_mkdirs(dir, 0700, err) < 0 || consoles(x, dir, err) < 0 || journal(x, dir, err) < 0)
		return -1;
	if (file_exists(netlog) && copy_into(netlog, dir, "net.log", err) < 0)
		return -1;
	if (x->o->logs && copy_tree(x->o->logs, logs, err) < 0)
		return -1;
	/* Nodes that are down, or name no folder, have none: that is no reason to do without the rest. */
	if (!x->o->logs && group_clog(x->g, NULL, logs, &e) < 0)
		log_info("logs: %s", e->msg);
	for (size_t i = 0; x->o->with && i < x->o->with->len; i++)
		if (copy_tree(x->o->with->v[i], dir, err) < 0)
			return -1;
	return 0;
}

static int find_images(struct making *x, struct error **err)
{
	for (size_t i = 0; i < x->g->nnodes; i++) {
		_cleanup_machine_ struct machine *m = machine_open(x->g->nodes[i].full, err);

		if (!m)
			return -1;
		if (m->def.image && !strv_has(&x->images, m->def.image))
			strv_add(&x->images, m->def.image);
		for (size_t k = 0; k < m->def.ndisks; k++) {
			const struct machine_disk *d = &m->def.disks[k];

			if (d->path)
				return error_set(err, ERR_STATE, "%s: its disk %s lies outside of croft's folders: it cannot go into a capsule", m->name,
					d->path);
			if (d->image && !strv_has(&x->images, d->image))
				strv_add(&x->images, d->image);
		}
	}
	return 0;
}

static void put(struct buf *b, const char *key, const char *value)
{
	buf_addf(b, ",\"%s\":", key);
	json_quote(b, value ? value : "");
}

static int about(const struct making *x, const char *snapshot, struct buf *b, struct error **err)
{
	struct utsname u = { 0 };
	time_t now = time(NULL);
	char when[32];
	struct qemu q;
	struct tm tm;

	if (qemu_find("x86_64", &q, err) < 0)
		return -1;
	uname(&u);
	gmtime_r(&now, &tm);
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
	buf_adds(b, "{\"capsule\":1");
	put(b, "group", x->g->name);
	put(b, "as", x->other);
	put(b, "snapshot", snapshot);
	put(b, "created", when);
	put(b, "text", x->o->text);
	put(b, "croft", CROFT_VERSION);
	put(b, "host", u.release);
	buf_addf(b, ",\"qemu\":\"%u.%u\",\"images\":{", q.major, q.minor);
	qemu_clear(&q);
	for (size_t i = 0; i < x->images.len; i++) {
		_cleanup_image_ struct image *img = image_open(x->images.v[i], err);

		if (!img)
			return -1;
		buf_adds(b, i ? "," : "");
		json_quote(b, img->name);
		buf_addc(b, ':');
		json_quote(b, img->sha256 ? img->sha256 : "");
	}
	buf_adds(b, "}}\n");
	return 0;
}

/* ---- into the store, and the store into one file ---- */

static int put_dir(struct store *s, const char *name, const char *dir, struct error **err)
{
	struct store_put_opts o = { 0 };
	struct store_put_result r;

	return store_put_tree(s, name, dir, &o, &r, err) < 0 ? error_wrap(err, "%s", dir) : 0;
}

static int put_all(const struct making *x, const char *snapshot, struct error **err)
{
	_cleanup_free_ char *path = path_join(x->dir, "store"), *about_path = path_join(x->dir, "about.json");
	_cleanup_free_ char *sub = path_join("machines", x->other), *machines = path_data(sub), *record = group_record_dir(x->other);
	_cleanup_free_ char *project_dir = path_join(x->dir, "project"), *extra_dir = path_join(x->dir, "extra");
	_cleanup_buf_ struct buf text = BUF_INIT;
	_cleanup_store_ struct store *s = NULL;
	struct store_put_opts o = { 0 };
	struct store_put_result r;

	if (about(x, snapshot, &text, err) < 0 || file_write(about_path, text.data, text.len, 0600, err) < 0 ||
		store_create(path, 0, err) < 0 || !(s = store_open(path, err)))
		return -1;
	if (store_put(s, "about", about_path, &o, &r, err) < 0 || put_dir(s, "machines", machines, err) < 0 ||
		put_dir(s, "record", record, err) < 0 || put_dir(s, "project", project_dir, err) < 0 || put_dir(s, "extra", extra_dir, err) < 0)
		return -1;
	for (size_t i = 0; i < x->images.len; i++) {
		_cleanup_image_ struct image *img = image_open(x->images.v[i], err);
		_cleanup_free_ char *name = xasprintf("image-%s", x->images.v[i]);

		if (!img || put_dir(s, name, img->dir, err) < 0)
			return -1;
	}
	return 0;
}

static int pack(const struct making *x, const char *file, struct error **err)
{
	_cleanup_free_ char *temp = xasprintf("%s.part", file);
	const char *argv[] = { "tar", "-C", x->dir, "-cf", temp, "store", NULL };
	_cleanup_buf_ struct buf said = BUF_INIT;
	int status = 0, rc = proc_output(argv, NULL, NULL, TAR_MS, &status, &said, err);

	if (rc == 0 && status)
		rc = error_set(err, ERR_FAILED, "%s: %s", file, buf_str(&said));
	if (rc == 0)
		rc = file_rename(temp, file, err);
	if (rc < 0) {
		_cleanup_error_ struct error *e = NULL;

		file_unlink(temp, &e);
	}
	return rc;
}

static int make(struct making *x, const struct group_snapshot *s, const char *file, struct error **err)
{
	_cleanup_close_ int lock = group_lock(x->g->name, err);
	int rc = lock < 0 ? -1 : fork_files(x->g->name, s, x->other, err);

	close(STEAL_FD(lock));
	if (rc == 0)
		rc = put_all(x, s->name, err) < 0 ? -1 : pack(x, file, err);
	return rc;
}

/* One that was left behind by a capsule that was cut short is its own. */
static int make_room(const struct making *x, struct error **err)
{
	return group_exists(x->other) ? group_clean(x->other, err) : fork_taken(x->other, err);
}

int group_capsule(const struct group *g, const char *file, const struct capsule_opts *o, struct error **err)
{
	_cleanup_free_ char *parent = path_dirname(file), *dir = xasprintf("%s/.croft-capsule-XXXXXX", parent), *taken = NULL;
	struct group_snapshot_opts so = { .text = o->text ? o->text : "capsule" };
	struct making x = { .g = g, .o = o, .other = xasprintf("%s-capsule", g->name) };
	_cleanup_group_snapshot_ struct group_snapshot *s = NULL;
	_cleanup_error_ struct error *e = NULL;
	uint64_t halted;
	int rc;

	if (!mkdtemp(dir)) {
		free(x.other);
		return error_errno(err, errno, "%s", parent);
	}
	x.dir = dir;
	rc = make_room(&x, err) < 0 || find_images(&x, err) < 0 || project(&x, err) < 0 || extra(&x, err) < 0 ? -1 : 0;
	if (rc == 0 && !o->snapshot)
		rc = group_snapshot_take(g->name, &so, &taken, &halted, err);
	if (rc == 0) {
		s = group_snapshot_open(g->name, taken ? taken : o->snapshot, err);
		rc = s ? make(&x, s, file, err) : -1;
	}
	if ((group_exists(x.other) && group_clean(x.other, &e) < 0) || (taken && group_snapshot_remove(g->name, taken, &e) < 0) ||
		file_remove_tree(dir, &e) < 0)
		log_warn("%s", e->msg);
	strv_free(&x.images);
	free(x.other);
	return rc < 0 ? error_wrap(err, "group %s: capsule", g->name) : 0;
}
