/* SPDX-License-Identifier: Apache-2.0 */
/* A recipe's packages in namespaces of this computer: each one's changes are a layer (tree.h). */
#include "build/recipe_place.h"
#include "build/build.h"
#include "build/tree.h"
#include "image/export/sniff.h"
#include "image/image.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"

#include <string.h>

struct tree_place {
	struct place p;
	struct tree t;
	struct comm *comm;
	bool begun; /* the work folder is ours */
};

static struct tree_place *own(struct place *p)
{
	return (struct tree_place *)p;
}

int place_archive(const char *file, struct error **err)
{
	struct sniff kind;

	if (sniff_file(file, &kind, err) < 0)
		return -1;
	return kind.kind == SNIFF_TAR || kind.kind == SNIFF_COMPRESSED;
}

static int hash_start(struct place *p, struct error **err)
{
	const struct recipe *r = p->r;
	struct sha *s = sha_new();
	_cleanup_free_ char *packages = strv_join(&r->packages, " ");
	int rc = 0;

	sha_adds(s, "croft recipe 1");
	sha_adds(s, r->name);
	sha_adds(s, r->release);
	sha_adds(s, r->mirror);
	sha_adds(s, packages);
	if (r->start_image) {
		_cleanup_image_ struct image *img = image_open(r->start_image, err);

		if (img)
			sha_adds(s, img->sha256);
		rc = img ? 0 : -1;
	}
	if (rc == 0 && r->start_root)
		rc = inputs_path(s, r->start_root, err);
	sha_end(s, p->first);
	return rc;
}

static bool has(struct place *p, const char *key)
{
	return tree_has(&own(p)->t, key);
}

static int start(struct place *p, struct error **err)
{
	const struct recipe *r = p->r;
	struct tree_start s = { .release = r->release, .mirror = r->mirror, .packages = &r->packages, .root = r->start_root ? r->start_root : r->start_image };

	own(p)->begun = true;
	ui_say(p->ui, r->name, "The root to build in, from %s...", s.release ? s.release : s.root);
	if (tree_begin(&own(p)->t, NULL, err) < 0 || tree_fill(&own(p)->t, &s, err) < 0)
		return -1;
	return tree_commit(&own(p)->t, p->first, err);
}

static int back(struct place *p, const struct strv *keys, struct error **err)
{
	own(p)->begun = true;
	strv_free(&own(p)->t.binds);
	return tree_begin(&own(p)->t, keys, err);
}

static int outside(struct place *p, const char *const *argv, struct error **err)
{
	struct tree_exec x = TREE_EXEC_INIT;

	x.outside = true;
	x.argv = argv;
	return tree_run(&own(p)->t, &x, err);
}

static int prepare(struct place *p, const char *file, const struct strv *patches, const char *recipe, struct error **err)
{
	const char *const unpack[] = { "tar", "--extract", "--no-same-owner", "--file", file, "--directory", "build", NULL };
	const char *const copy[] = { "cp", file, "build/source", NULL };
	int archive = file ? place_archive(file, err) : 0;

	if (archive < 0 || outside(p, (const char *const[]){ "mkdir", "-p", "build", NULL }, err) < 0 ||
		(file && outside(p, archive ? unpack : copy, err) < 0))
		return -1;
	for (size_t i = 0; i < patches->len; i++) {
		_cleanup_free_ char *to = xasprintf("build.patch-%zu", i);

		if (outside(p, (const char *const[]){ "cp", patches->v[i], to, NULL }, err) < 0)
			return -1;
	}
	if (recipe)
		strv_addv(&own(p)->t.binds, (const char *const[]){ recipe, "recipe", NULL });
	return 0;
}

static int run(struct place *p, const char *script, const struct strv *env, bool network, comm_output *fn, void *arg, int *status, struct error **err)
{
	struct tree_exec x = TREE_EXEC_INIT;
	int rc;

	x.argv = (const char *const[]){ "/bin/sh", "-e", "-c", script, NULL };
	x.env = (const char *const *)env->v;
	x.fn = fn;
	x.arg = arg;
	own(p)->t.offline = !network;
	rc = tree_exec(&own(p)->t, &x, status, err);
	own(p)->t.offline = false;
	return rc;
}

static void stage(struct place *p, struct buf *ret)
{
	_cleanup_free_ char *file = path_join(own(p)->t.dir, "work/upper/" RECIPE_STAGE);
	_cleanup_error_ struct error *e = NULL;

	file_read(file, 64, ret, &e);
}

static int commit(struct place *p, const char *key, const char *what, uint64_t *bytes, struct error **err)
{
	struct tree *t = &own(p)->t;

	strv_free(&t->binds);
	if (outside(p, (const char *const[]){ "sh", "-c", "rm -rf build " RECIPE_STAGE " build.patch-*; rmdir recipe 2>/dev/null || :", NULL }, err) < 0 ||
		tree_commit(t, key, err) < 0)
		return -1;
	*bytes = tree_size(t, key);
	return 0;
}

static int tar(struct place *p, const char *from, const char *to, struct error **err)
{
	return tree_tar(&own(p)->t, from, to, err);
}

static struct comm *comm(struct place *p)
{
	struct tree_place *o = own(p);

	return o->comm = o->comm ? o->comm : comm_tree(&o->t);
}

static void close_tree(struct place *p)
{
	_cleanup_error_ struct error *e = NULL;

	comm_close(own(p)->comm);
	if (own(p)->begun)
		tree_remove(&own(p)->t, "work", &e);
	tree_close(&own(p)->t);
	free(p);
}

static const struct place_ops ops = { has, start, back, prepare, run, stage, commit, tar, comm, close_tree };

struct place *place_tree(const struct recipe *r, const struct ui *ui, bool no_cache, struct error **err)
{
	struct tree_place *o = xcalloc(1, sizeof(*o));
	_cleanup_free_ char *dir = NULL, *layers = NULL;

	o->p = (struct place){ .ops = &ops, .r = r, .ui = ui, .no_cache = no_cache };
	if (hash_start(&o->p, err) == 0) {
		dir = recipe_dir(r, o->p.first);
		layers = path_join(dir, "layers");
		if (tree_open(&o->t, layers, err) == 0)
			return &o->p;
	}
	close_tree(&o->p);
	return NULL;
}
