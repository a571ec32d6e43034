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
#include "store/store.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ABOUT_MAX (1u << 20)
#define TAR_MS 3600000

struct opening {
	const char *file;
	char *dir; /* of this work */
	struct store *s;
	json_t *about;
	char *name; /* of the new group */
};

static const char *told(const struct opening *x, const char *key)
{
	const char *s = json_string_value(json_object_get(x->about, key));

	return s ? s : "";
}

static int unpack(struct opening *x, struct error **err)
{
	const char *argv[] = { "tar", "-C", x->dir, "-xf", x->file, "store", NULL };
	_cleanup_free_ char *path = path_join(x->dir, "store");
	_cleanup_buf_ struct buf said = BUF_INIT, text = BUF_INIT;
	int status = 0;

	if (!file_exists(x->file))
		return error_set(err, ERR_NOT_FOUND, "%s: there is no such file", x->file);
	if (proc_output(argv, NULL, NULL, TAR_MS, &status, &said, err) < 0)
		return -1;
	if (status)
		return error_set(err, ERR_USAGE, "%s is no capsule, or cut off: %s", x->file, buf_str(&said));
	x->s = store_open(path, err);
	if (!x->s || store_get_bytes(x->s, "about", ABOUT_MAX, &text, err) < 0)
		return error_wrap(err, "%s", x->file);
	x->about = json_loadb(buf_str(&text), text.len, 0, NULL);
	if (json_integer_value(json_object_get(x->about, "capsule")) != 1 || !*told(x, "group") || !*told(x, "snapshot"))
		return error_set(err, ERR_USAGE, "%s: this is no capsule of a kind that is known here", x->file);
	return 0;
}

static int get_dir(const struct opening *x, const char *name, const char *to, struct error **err)
{
	struct store_get_opts o = { .sync = true };
	struct store_tree_result r = { 0 };

	return store_get_tree(x->s, name, to, &o, &r, err) < 0 ? error_wrap(err, "%s: %s", x->file, name) : 0;
}

/* Images that are here already must be the same ones: disks are laid over them. */
static int images(const struct opening *x, struct error **err)
{
	const char *name;
	json_t *sha;

	json_object_foreach(json_object_get(x->about, "images"), name, sha)
	{
		_cleanup_free_ char *sub = path_join("images", name), *dir = path_data(sub), *parent = path_dirname(dir),
				    *part = xasprintf("image-%s", name), *fresh = xasprintf("%s/.capsule-%s", parent, name);
		_cleanup_error_ struct error *none = NULL;
		_cleanup_image_ struct image *img = NULL;

		if (name_check("image", name, err) < 0)
			return -1;
		img = image_open(name, &none);
		if (img && img->sha256 && !strcmp(img->sha256, json_string_value(sha)))
			continue;
		if (img) {
			error_set(err, ERR_STATE, "image %s: another one of that name is here than the capsule's machines were made from", name);
			return error_hint(err, "open it in a home of its own: CROFT_HOME=FOLDER croft group open %s", x->file);
		}
		if (file_mkdirs(parent, 0700, err) < 0 || file_remove_tree(fresh, err) < 0 || get_dir(x, part, fresh, err) < 0 ||
			file_rename(fresh, dir, err) < 0)
			return -1;
		log_info("image %s: taken from the capsule", name);
	}
	return 0;
}

/* ---- what holds the old name or the old home ---- */

/* machine.json: the machine's full name. */
static int rename_machine(const struct opening *x, const char *path, const char *node, struct error **err)
{
	_cleanup_free_ char *full = xasprintf("%s/%s", x->name, node);
	json_t *o = fork_load_json(path, err);
	int rc = -1;

	if (o) {
		json_object_set_new(o, "name", json_string(full));
		rc = fork_write_json(path, o, err);
	}
	json_decref(o);
	return rc;
}

/* A disk that is laid over an image finds it by its path, which is another one here. */
static int rebase(const char *disk, struct error **err)
{
	const char *ask[] = { "qemu-img", "info", "--output=json", disk, NULL };
	_cleanup_buf_ struct buf out = BUF_INIT, said = BUF_INIT;
	_cleanup_free_ char *here = NULL, *sub = NULL;
	const char *backing, *format, *at;
	json_t *info = NULL;
	int rc = proc_run(ask, TAR_MS, &out, NULL, err), status = 0;

	if (rc == 0)
		info = json_loads(buf_str(&out), 0, NULL);
	backing = json_string_value(json_object_get(info, "backing-filename"));
	format = json_string_value(json_object_get(info, "backing-filename-format"));
	at = backing ? strstr(backing, "/images/") : NULL;
	if (rc == 0 && backing && (!at || strstr(at, "/../")))
		rc = error_set(err, ERR_FAILED, "%s is laid over %s, which is no image", disk, backing);
	if (rc == 0 && at) {
		sub = xstrdup(at + 1);
		here = path_data(sub);
		rc = proc_output((const char *const[]){ "qemu-img", "rebase", "-u", "-f", "qcow2", "-F", format ? format : "qcow2", "-b", here,
					 disk, NULL },
			NULL, NULL, TAR_MS, &status, &said, err);
		if (rc == 0 && status)
			rc = error_set(err, ERR_FAILED, "%s: %s", disk, buf_str(&said));
	}
	json_decref(info);
	return rc;
}

static int fix_snapshots(const struct opening *x, const char *dir, const char *node, struct error **err)
{
	_cleanup_free_ char *all = path_join(dir, "snapshots");
	_cleanup_closedir_ DIR *d = opendir(all);

	for (struct dirent *e; d && (e = readdir(d));) {
		_cleanup_free_ char *json = xasprintf("%s/%s/machine.json", all, e->d_name);

		if (e->d_name[0] != '.' && file_exists(json) && rename_machine(x, json, node, err) < 0)
			return -1;
	}
	return 0;
}

static int fix_machine(const struct opening *x, const char *dir, const char *node, struct error **err)
{
	_cleanup_free_ char *json = path_join(dir, "machine.json");
	_cleanup_closedir_ DIR *d = opendir(dir);

	if (rename_machine(x, json, node, err) < 0 || fix_snapshots(x, dir, node, err) < 0)
		return -1;
	for (struct dirent *e; d && (e = readdir(d));) {
		_cleanup_free_ char *path = path_join(dir, e->d_name);
		size_t n = strlen(e->d_name);

		if (n > 6 && !strcmp(e->d_name + n - 6, ".qcow2") && rebase(path, err) < 0)
			return -1;
	}
	return 0;
}

static int machines(const struct opening *x, struct error **err)
{
	_cleanup_free_ char *sub = path_join("machines", x->name), *dir = path_data(sub), *parent = path_dirname(dir);
	_cleanup_closedir_ DIR *d = NULL;

	if (file_mkdirs(parent, 0700, err) < 0 || get_dir(x, "machines", dir, err) < 0)
		return -1;
	d = opendir(dir);
	for (struct dirent *e; d && (e = readdir(d));) {
		_cleanup_free_ char *one = path_join(dir, e->d_name);

		if (e->d_name[0] != '.' && file_is_dir(one) && (name_check("node", e->d_name, err) < 0 || fix_machine(x, one, e->d_name, err) < 0))
			return -1;
	}
	return 0;
}

static int record(const struct opening *x, struct error **err)
{
	_cleanup_free_ char *dir = group_record_dir(x->name), *fresh = path_join(x->dir, "record"), *project = path_join(dir, "project"),
			    *extra = path_join(dir, "capsule"), *json = path_join(fresh, "group.json"), *end = path_join(dir, "group.json"),
			    *old = path_join(project, "dev_configs/group.json"), *file = xasprintf("%s/dev_configs/%s.json", project, x->name),
			    *snaps = path_join(fresh, "snapshots"), *to = path_join(dir, "snapshots"), *net = path_join(fresh, "net/net.json");
	json_t *o;
	int rc;

	if (get_dir(x, "record", fresh, err) < 0 || get_dir(x, "project", project, err) < 0 || get_dir(x, "extra", extra, err) < 0 ||
		file_rename(old, file, err) < 0 || file_rename(snaps, to, err) < 0 || fork_net(net, x->name, err) < 0)
		return -1;
	o = fork_load_json(json, err);
	if (!o)
		return -1;
	if (!json_object_get(o, "inside"))
		json_object_set_new(o, "inside", json_string(told(x, "group")));
	json_object_set_new(o, "name", json_string(x->name));
	json_object_set_new(o, "file", json_string(file));
	rc = fork_write_json(end, o, err);
	json_decref(o);
	return rc;
}

static int open_it(struct opening *x, const char *name, struct error **err)
{
	_cleanup_group_snapshot_ struct group_snapshot *s = NULL;
	_cleanup_close_ int lock = -1;
	int rc;

	if (unpack(x, err) < 0)
		return -1;
	x->name = xstrdup(name ? name : told(x, "group"));
	if (name_check("group", x->name, err) < 0)
		return -1;
	if (fork_taken(x->name, err) < 0) {
		error_clear(err);
		error_set(err, ERR_STATE, "group %s: a group or machine of that name is here already", x->name);
		return error_hint(err, "open it under another one: --name NAME");
	}
	lock = group_lock(x->name, err);
	if (lock < 0)
		return -1;
	rc = images(x, err) < 0 || record(x, err) < 0 || machines(x, err) < 0 ? -1 : 0;
	s = rc == 0 ? group_snapshot_open(x->name, told(x, "snapshot"), err) : NULL;
	if (s && gsnap_restore_locked(x->name, s, false, err) == 0)
		return 0;
	{
		_cleanup_error_ struct error *e = NULL;

		close(STEAL_FD(lock));
		group_clean(x->name, &e);
	}
	return -1;
}

int group_capsule_open(const char *file, const char *name, char **made, struct error **err)
{
	_cleanup_free_ char *parent = path_data("groups"), *dir = xasprintf("%s/.capsule-XXXXXX", parent);
	struct opening x = { .file = file, .dir = dir };
	_cleanup_error_ struct error *e = NULL;
	int rc;

	if (file_mkdirs(parent, 0700, err) < 0)
		return -1;
	if (!mkdtemp(dir))
		return error_errno(err, errno, "%s", parent);
	rc = open_it(&x, name, err);
	store_close(x.s);
	json_decref(x.about);
	if (file_remove_tree(dir, &e) < 0)
		log_warn("%s", e->msg);
	if (rc == 0)
		*made = STEAL(x.name);
	free(x.name);
	return rc;
}
