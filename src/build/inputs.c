/* SPDX-License-Identifier: Apache-2.0 */
/* Keys: a hash over what a step depends on. */
#include "build/build.h"

#include "base/cleanup.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <glob.h>
#include <string.h>
#include <sys/stat.h>

#define DEPTH_MAX 64

static int hash_link(struct sha *s, const char *path, struct error **err)
{
	char target[4096];
	ssize_t n = readlink(path, target, sizeof target);

	if (n < 0)
		return error_errno(err, errno, "%s", path);
	sha_add(s, target, (size_t)n);
	return 0;
}

static int hash_one(struct sha *s, const char *path, int depth, struct error **err);

static int hash_dir(struct sha *s, const char *path, int depth, struct error **err)
{
	_cleanup_closedir_ DIR *d = opendir(path);
	_cleanup_strv_ struct strv names = STRV_INIT;
	const struct dirent *e;

	if (!d)
		return error_errno(err, errno, "%s", path);
	while ((e = readdir(d)))
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
			strv_add(&names, e->d_name);
	strv_sort(&names);
	for (size_t i = 0; i < names.len; i++) {
		_cleanup_free_ char *child = xasprintf("%s/%s", path, names.v[i]);

		sha_adds(s, names.v[i]);
		if (hash_one(s, child, depth + 1, err) < 0)
			return -1;
	}
	return 0;
}

static int hash_one(struct sha *s, const char *path, int depth, struct error **err)
{
	char hex[SHA_HEX];
	struct stat st;

	if (depth > DEPTH_MAX)
		return error_set(err, ERR_FAILED, "%s: nested more than %d deep", path, DEPTH_MAX);
	/* what is named itself may be a link to what is meant */
	if ((depth ? lstat : stat)(path, &st) < 0)
		return error_errno(err, errno, "%s", path);
	sha_add(s, &st.st_mode, sizeof st.st_mode);
	if (S_ISLNK(st.st_mode))
		return hash_link(s, path, err);
	if (S_ISDIR(st.st_mode))
		return hash_dir(s, path, depth, err);
	if (!S_ISREG(st.st_mode))
		return 0;
	if (sha_file(path, hex, err) < 0)
		return -1;
	sha_adds(s, hex);
	return 0;
}

int inputs_path(struct sha *s, const char *path, struct error **err)
{
	return hash_one(s, path, 0, err);
}

/* croft_inputs: patterns of files that a step reads without naming them to croft. */
static int hash_globs(struct sha *s, const struct conf *c, struct error **err)
{
	_cleanup_strv_ struct strv patterns = STRV_INIT;
	int rc = 0;

	conf_list(c, "croft_inputs", &patterns);
	for (size_t i = 0; i < patterns.len && rc == 0; i++) {
		glob_t g;

		if (glob(patterns.v[i], 0, NULL, &g) != 0)
			return val_error(conf_at(c, "croft_inputs"), err, "croft_inputs: nothing fits '%s'", patterns.v[i]);
		for (size_t k = 0; k < g.gl_pathc && rc == 0; k++) {
			sha_adds(s, g.gl_pathv[k]);
			rc = hash_one(s, g.gl_pathv[k], 0, err);
		}
		globfree(&g);
	}
	return rc;
}

/* Settings with times and UUIDs held still, so that {{timestamp}} in a file's name does not make everything new. */
static int hash_part(struct build *b, const struct part *p, struct sha *s, struct error **err)
{
	_cleanup_val_ struct val *raw = build_raw(b, p);
	_cleanup_conf_ struct conf c = { 0 };
	_cleanup_strv_ struct strv paths = STRV_INIT;
	_cleanup_buf_ struct buf json = BUF_INIT;
	const struct provisioner *prov = provisioner_of(p->c);
	struct funcs f;

	template_funcs(b->t, b->b, &f);
	f.constant = true;
	f.post = p->c->kind == PART_POST;
	if (conf_read(p->c, raw, &f, NULL, &c, err) < 0)
		return -1;
	sha_adds(s, p->c->type);
	val_json(c.map, &json);
	sha_add(s, json.data, json.len);
	if (prov && prov->inputs)
		prov->inputs(&c, &paths);
	for (size_t i = 0; i < paths.len; i++)
		if (access(paths.v[i], R_OK) == 0 && inputs_path(s, paths.v[i], err) < 0)
			return -1;
	return hash_globs(s, &c, err);
}

static bool is_download(const struct part *p)
{
	const char *direction = val_str(p->raw, "direction");

	return !strcmp(p->c->type, "file") && direction && !strcmp(direction, "download");
}

int post_hash(struct build *b, struct sha *s, struct error **err)
{
	for (size_t i = 0; i < b->t->nchains; i++)
		for (size_t k = 0; k < b->t->chains[i].len; k++)
			if (part_applies(&b->t->chains[i].v[k], b->name) && hash_part(b, &b->t->chains[i].v[k], s, err) < 0)
				return -1;
	return 0;
}

int build_keys(struct build *b, const char first[SHA_HEX], struct error **err)
{
	static const char *const of_result[] = { "format", "disk_compression", "skip_compaction", "shutdown_command" };
	struct sha *s;

	memcpy(b->steps[0].key, first, SHA_HEX);
	for (size_t i = 1; i < b->nsteps; i++) {
		s = sha_new();
		sha_adds(s, b->steps[i - 1].key);
		if (hash_part(b, b->steps[i].p, s, err) < 0) {
			sha_end(s, b->steps[i].key);
			return error_wrap(err, "step %zu", i);
		}
		sha_end(s, b->steps[i].key);
		b->steps[i].once = is_download(b->steps[i].p);
	}
	s = sha_new();
	sha_adds(s, "shut down");
	sha_adds(s, b->steps[b->nsteps - 1].key);
	for (size_t i = 0; i < ARRAY_SIZE(of_result); i++)
		sha_adds(s, conf_text(&b->conf, of_result[i]));
	sha_end(s, b->final);
	return 0;
}
