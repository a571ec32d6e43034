/* SPDX-License-Identifier: Apache-2.0 */
/* The builders root and docker: a root that provisioners change without a machine (tree.h), one layer for each step. */
#include "box.h"
#include "build/tree.h"
#include "post.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "image/image.h"

#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

#define LAYERS "layers"

static bool is_docker(const struct build *b)
{
	return !strcmp(b->b->c->type, "docker");
}

/* What the root is made from: a name of the store, or a file or folder. */
static const char *source(const struct build *b)
{
	const char *root = is_docker(b) ? NULL : conf_text(&b->conf, "root");

	return root && *root ? root : conf_text(&b->conf, "image");
}

static int hash_source(struct build *b, const char *what, struct sha *s, struct error **err)
{
	_cleanup_error_ struct error *e = NULL;
	_cleanup_image_ struct image *img = strchr(what, '/') ? NULL : image_open(what, &e);

	if (img) {
		sha_adds(s, img->sha256);
		return 0;
	}
	if (!file_exists(what)) {
		error_set(err, ERR_NOT_FOUND, "%s: is neither an image of croft's nor a file or folder", what);
		return error_hint(err, is_docker(b) ? "croft pulls nothing from registries: skopeo copy docker://%s oci-archive:image.oci.tar, then "
						      "\"image\": \"image.oci.tar\"" :
						      "see: croft image list", what);
	}
	return inputs_path(s, what, err);
}

static int open_root(struct build *b, char first[SHA_HEX], struct error **err)
{
	static const char *const keys[] = { "release", "mirror", "packages" };
	struct sha *s = sha_new();
	const char *what = source(b);
	int rc = 0;

	b->vm = xcalloc(1, sizeof(*b->vm));
	b->vm->lock = -1;
	sha_adds(s, "croft root 1");
	for (size_t i = 0; !is_docker(b) && i < ARRAY_SIZE(keys); i++) {
		_cleanup_strv_ struct strv l = STRV_INIT;
		_cleanup_free_ char *text = NULL;

		if (!strcmp(keys[i], "packages"))
			conf_list(&b->conf, keys[i], &l);
		text = strv_join(&l, " ");
		sha_adds(s, l.len ? text : conf_text(&b->conf, keys[i]));
	}
	if (what && *what)
		rc = hash_source(b, what, s, err);
	sha_end(s, first);
	return rc < 0 ? -1 : box_enter(b, first, err);
}

static int lock_root(struct build *b, struct error **err)
{
	_cleanup_free_ char *dir = box_path(b, LAYERS);

	if (box_hold(b, err) < 0)
		return -1;
	b->vm->tree = xcalloc(1, sizeof(*b->vm->tree));
	return tree_open(b->vm->tree, dir, err);
}

static int boot_root(struct build *b, struct error **err)
{
	const struct conf *c = &b->conf;
	_cleanup_strv_ struct strv packages = STRV_INIT;
	struct tree_start s = { .packages = &packages, .root = source(b) };

	if (!is_docker(b)) {
		s.release = conf_text(c, "release");
		s.mirror = conf_text(c, "mirror");
		s.offline = conf_bool(c, "offline");
		conf_list(c, "packages", &packages);
	}
	ui_say(b->ui, b->name, "Unpacking the root from %s...", s.release ? s.release : s.root);
	if (tree_begin(b->vm->tree, NULL, err) < 0 || tree_fill(b->vm->tree, &s, err) < 0)
		return -1;
	b->comm = b->comm ? b->comm : comm_tree(b->vm->tree);
	return 0;
}

static int need_root(struct build *b, struct error **err)
{
	return 0;
}

/* The layers up to and with the one of this key; false: one of them is gone. */
static bool stack_to(const struct build *b, const char *key, struct strv *ret)
{
	for (size_t i = 0; i < b->nsteps; i++) {
		if (!tree_has(b->vm->tree, b->steps[i].key))
			return false;
		strv_add(ret, b->steps[i].key);
		if (!strcmp(b->steps[i].key, key) || (!strcmp(key, b->final) && i + 1 == b->nsteps))
			return true;
	}
	return false;
}

static bool has_root(struct build *b, const char *key)
{
	_cleanup_strv_ struct strv l = STRV_INIT;

	return !b->o->no_cache && stack_to(b, key, &l);
}

static int keep_root(struct build *b, const char *key, const char *what, struct error **err)
{
	return tree_commit(b->vm->tree, key, err);
}

static int back_root(struct build *b, const char *key, struct error **err)
{
	_cleanup_strv_ struct strv l = STRV_INIT;

	if (!stack_to(b, key, &l))
		return error_set(err, ERR_STATE, "the kept state %.16s is gone", key);
	b->comm = b->comm ? b->comm : comm_tree(b->vm->tree);
	return tree_begin(b->vm->tree, &l, err);
}

static int shutdown_root(struct build *b, struct error **err)
{
	return 0;
}

/* docker: what `docker commit` or `docker export` would have given. */
static int export_docker(struct build *b, const char *tar, struct strv *files, struct error **err)
{
	_cleanup_strv_ struct strv changes = STRV_INIT;
	_cleanup_free_ char *name = xasprintf("%s.docker.tar", b->vm_name), *to = path_join(b->out, name);
	const char *path = conf_text(&b->conf, "export_path");
	int rc;

	if (path && *path) {
		_cleanup_free_ char *abs = path_absolute(path), *dir = path_dirname(abs);

		if (file_mkdirs(dir, 0755, err) < 0 || file_unlink(abs, err) < 0 || file_copy(tar, abs, 0644, err) < 0)
			return -1;
		strv_add(files, abs);
	}
	if (!conf_bool(&b->conf, "commit"))
		return 0;
	conf_list(&b->conf, "changes", &changes);
	rc = image_of_root(tar, to, b->vm_name, &changes, err);
	if (rc == 0)
		strv_add(files, to);
	return rc;
}

static int export_root(struct build *b, struct strv *files, struct error **err)
{
	_cleanup_free_ char *name = xasprintf("%s.tar", b->vm_name), *to = NULL;
	int rc;

	if (is_docker(b) && conf_bool(&b->conf, "discard"))
		return 0;
	if (file_mkdirs(b->out, 0755, err) < 0)
		return -1;
	to = path_join(b->out, name);
	if (back_root(b, b->final, err) < 0)
		return -1;
	ui_say(b->ui, b->name, "Writing %s...", to);
	if (tree_tar(b->vm->tree, NULL, to, err) < 0)
		return error_wrap(err, "%s", to);
	if (!is_docker(b)) {
		strv_add(files, to);
		return 0;
	}
	rc = export_docker(b, to, files, err);
	unlink(to);
	return rc;
}

static void kill_root(struct build *b)
{
	_cleanup_error_ struct error *e = NULL;

	if (b->vm && b->vm->tree && !(b->o->on_error == ON_ERROR_ABORT || b->o->on_error == ON_ERROR_RUN_CLEANUP))
		tree_remove(b->vm->tree, "work", &e);
}

/* Layers are cheap, but for their room: those that no step has any more go. */
static void tidy_root(struct build *b)
{
	_cleanup_free_ char *dir = box_path(b, LAYERS);
	_cleanup_closedir_ DIR *d = opendir(dir);
	const struct dirent *e;

	while (d && (e = readdir(d))) {
		_cleanup_error_ struct error *ignored = NULL;
		bool ours = strlen(e->d_name) != TREE_KEY;

		for (size_t i = 0; i < b->nsteps && !ours; i++)
			ours = !strncmp(e->d_name, b->steps[i].key, TREE_KEY);
		if (!ours)
			tree_remove(b->vm->tree, e->d_name, &ignored);
	}
}

static void close_root(struct build *b)
{
	if (!b->vm)
		return;
	if (b->vm->tree)
		tree_close(b->vm->tree);
	free(STEAL(b->vm->tree));
	box_leave(b);
}

static char *how_to_reach_root(const struct build *b)
{
	return xasprintf("its changes are in '%s/" LAYERS "/work/upper'", b->vm->dir);
}

static void post_mortem_root(struct build *b)
{
}

const struct box_ops box_root = {
	.artifact_id = "root",
	.builder_id = "packer.docker",
	.open = open_root,
	.lock = lock_root,
	.boot = boot_root,
	.need = need_root,
	.has = has_root,
	.keep = keep_root,
	.back = back_root,
	.shutdown = shutdown_root,
	.export = export_root,
	.kill = kill_root,
	.tidy = tidy_root,
	.close = close_root,
	.how_to_reach = how_to_reach_root,
	.post_mortem = post_mortem_root,
};
