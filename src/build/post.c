/* SPDX-License-Identifier: Apache-2.0 */
/* Post-processors: chains over the artifact, and what is left of it. */
#include "post.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"

#include <glob.h>
#include <string.h>

void artifact_clear(struct artifact *a)
{
	free(a->builder_id);
	free(a->id);
	strv_free(&a->files);
	*a = (struct artifact){ 0 };
}

/* ---- shell-local and artifice ---- */

static int check_local(const struct conf *c, struct error **err)
{
	return prov_shell_local.check(c, err);
}

static void copy_artifact(struct artifact *to, const struct artifact *from)
{
	*to = (struct artifact){ .builder_id = xstrdup(from->builder_id), .id = xstrdup(from->id) };
	strv_addv(&to->files, from->files.v ? (const char *const *)from->files.v : (const char *const[]){ NULL });
}

static int run_local(struct build *b, const struct conf *c, const struct funcs *f, const struct artifact *in, struct artifact *out,
	struct error **err)
{
	copy_artifact(out, in);
	return build_shell_local(b, c, f, err);
}

static int run_artifice(struct build *b, const struct conf *c, const struct funcs *f, const struct artifact *in, struct artifact *out,
	struct error **err)
{
	_cleanup_strv_ struct strv patterns = STRV_INIT;

	conf_list(c, "files", &patterns);
	*out = (struct artifact){ .builder_id = xstrdup("packer.post-processor.artifice"), .id = NULL };
	for (size_t i = 0; i < patterns.len; i++) {
		glob_t g;

		if (glob(patterns.v[i], 0, NULL, &g) != 0)
			return error_set(err, ERR_NOT_FOUND, "artifice: nothing fits '%s'", patterns.v[i]);
		for (size_t k = 0; k < g.gl_pathc; k++)
			strv_take(&out->files, path_absolute(g.gl_pathv[k]));
		globfree(&g);
	}
	return 0;
}

/* ---- chains ---- */

static const struct post posts[] = {
	{ "checksum", check_checksum, run_checksum, true, true, true },
	{ "compress", check_compress, run_compress, false, false, false },
	{ "vagrant", check_vagrant, run_vagrant, false, false, false },
	{ "manifest", NULL, run_manifest, true, true, true },
	{ "shell-local", check_local, run_local, true, true, true },
	{ "artifice", NULL, run_artifice, true, false, false },
	{ "docker-import", check_docker_import, run_docker_import, false, false, false },
	{ "docker-tag", check_docker_import, run_docker_tag, true, true, false },
	{ "docker-save", NULL, run_docker_save, true, false, false },
	{ "export", check_export, run_export, true, false, false },
};

static const struct post *post_of(const struct component *c)
{
	for (size_t i = 0; i < ARRAY_SIZE(posts); i++)
		if (!strcmp(posts[i].type, c->type))
			return &posts[i];
	return NULL;
}

int post_check(const struct conf *c, struct error **err)
{
	const struct post *p = post_of(c->c);

	return p->check ? p->check(c, err) : 0;
}

struct val *build_raw(const struct build *b, const struct part *p)
{
	struct val *raw = part_raw(p, b->name);
	_cleanup_val_ struct val *by_provider = strcmp(p->c->type, "vagrant") ? NULL : val_take(raw, "override");
	const struct val *own = val_get(by_provider, strcmp(b->b->c->type, "virtualbox-iso") ? "libvirt" : "virtualbox");

	for (size_t i = 0; own && own->type == NODE_MAP && i < own->len; i++)
		val_set(raw, own->keys[i], val_clone(own->items[i]));
	return raw;
}

static int run_one(struct build *b, const struct part *p, const struct artifact *in, struct artifact *out, struct error **err)
{
	_cleanup_val_ struct val *raw = build_raw(b, p);
	_cleanup_conf_ struct conf c = { 0 };
	struct funcs f;

	build_funcs(b, &f);
	f.post = true;
	if (conf_read(p->c, raw, &f, NULL, &c, err) < 0)
		return -1;
	ui_say(b->ui, b->name, "Running post-processor: %s%s%s%s", p->c->type, strcmp(p->name, p->c->type) ? " (" : "",
		strcmp(p->name, p->c->type) ? p->name : "", strcmp(p->name, p->c->type) ? ")" : "");
	return post_of(p->c)->run(b, &c, &f, in, out, err);
}

static int drop(struct build *b, const struct artifact *a, const struct strv *needed, struct error **err)
{
	for (size_t i = 0; i < a->files.len; i++) {
		if (needed && strv_has(needed, a->files.v[i]))
			continue;
		ui_message(b->ui, b->name, "Deleting %s (keep_input_artifact is not set)", a->files.v[i]);
		if (file_unlink(a->files.v[i], err) < 0)
			return -1;
	}
	return 0;
}

/* Whether the input is to stay: asked for, or the kind always keeps it. */
static bool keeps(const struct part *p)
{
	const struct post *post = post_of(p->c);

	return post->force_keep || (p->keep < 0 ? post->keep : p->keep == 1);
}

static bool excluded(const struct build *b, const struct part *p)
{
	return b->o->except && strv_has(b->o->except, p->name);
}

/* *keep_first: the builder's artifact is to stay as far as this chain goes. kept: files of the chain's own that are left. */
static int run_chain(struct build *b, const struct chain *c, const struct artifact *first, bool *keep_first, struct strv *kept, struct error **err)
{
	struct artifact in = { 0 }, out = { 0 };
	bool own = false; /* `in` is not the builder's */
	int rc = 0;

	copy_artifact(&in, first);
	*keep_first = true;
	for (size_t i = 0; i < c->len && rc == 0; i++) {
		const struct part *p = &c->v[i];
		bool stays;

		if (!part_applies(p, b->name))
			continue;
		if (excluded(b, p))
			break;
		rc = run_one(b, p, &in, &out, err);
		if (rc < 0) {
			error_wrap(err, "Post-processor failed: %s", p->name);
			break;
		}
		/* what the post-processor hands on as it was is still the input */
		stays = keeps(p);
		if (!own)
			*keep_first = *keep_first && stays;
		else if (!stays)
			rc = drop(b, &in, &out.files, err);
		else
			strv_addv(kept, in.files.v ? (const char *const *)in.files.v : (const char *const[]){ NULL });
		own = own || !post_of(p->c)->passes_on;
		artifact_clear(&in);
		in = out;
		out = (struct artifact){ 0 };
	}
	for (size_t i = 0; rc == 0 && i < in.files.len; i++)
		if (!strv_has(&first->files, in.files.v[i]) && !strv_has(kept, in.files.v[i]))
			strv_add(kept, in.files.v[i]);
	artifact_clear(&in);
	artifact_clear(&out);
	return rc;
}

int post_process(struct build *b, struct artifact *a, struct strv *kept, struct error **err)
{
	bool any = false, keep = false;
	struct error *first = NULL;

	for (size_t i = 0; i < b->t->nchains; i++) {
		_cleanup_error_ struct error *e = NULL;
		bool stays = true;

		any = true;
		if (run_chain(b, &b->t->chains[i], a, &stays, kept, &e) < 0) {
			ui_error(b->ui, b->name, "%s", e->msg);
			/* nothing is thrown away of what could not be processed */
			stays = true;
			error_move(&first, &e);
		}
		keep = keep || stays;
	}
	if (any && !keep) {
		if (drop(b, a, kept, err) < 0)
			return -1;
	} else {
		strv_addv(kept, a->files.v ? (const char *const *)a->files.v : (const char *const[]){ NULL });
	}
	return first ? error_move(err, &first) : 0;
}
