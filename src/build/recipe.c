/* SPDX-License-Identifier: Apache-2.0 */
/* A recipe as it is read, and what is wrong with it. */
#include "build/recipe.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/units.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#define FILE_NAME "recipe.yaml"

const char *const stage_names[STAGES + 1] = { "pre", "configure", "make", "test", "install", "post" };
/* How most packages are built; pre, test and post have nothing by default. */
static const char *const defaults[STAGES] = { [STAGE_CONFIGURE] = "./configure --prefix=/usr", [STAGE_MAKE] = "make -j$JOBS",
	[STAGE_INSTALL] = "make install" };

static int check_keys(const struct val *map, const char *const *known, const char *what, struct error **err)
{
	size_t n = 0;

	while (known[n])
		n++;
	for (size_t i = 0; i < map->len; i++) {
		const char *near;
		size_t k = 0;

		while (k < n && strcmp(map->keys[i], known[k]))
			k++;
		if (k < n)
			continue;
		near = nearest_name(map->keys[i], known, n);
		val_key_error(map, i, err, "%s has no key '%s'", what, map->keys[i]);
		return near ? error_hint(err, "did you mean '%s'?", near) : -1;
	}
	return 0;
}

static int want(const struct val *v, enum node_type type, const char *what, struct error **err)
{
	return !v || v->type == type ? 0 : val_error(v, err, "%s: %s is wanted, not %s", what, node_type_name(type), node_type_name(v->type));
}

/* A list of texts, or one text. */
static int texts(const struct val *v, const char *what, struct strv *ret, struct error **err)
{
	if (!v)
		return 0;
	if (v->text) {
		strv_add(ret, v->text);
		return 0;
	}
	if (want(v, NODE_LIST, what, err) < 0)
		return -1;
	for (size_t i = 0; i < v->len; i++) {
		if (!v->items[i]->text)
			return val_error(v->items[i], err, "%s: a text is wanted", what);
		strv_add(ret, v->items[i]->text);
	}
	return 0;
}

static char *copy(const struct val *map, const char *key)
{
	return xstrdup(val_str(map, key));
}

/* ---- start, vars ---- */

static char *beside(const struct recipe *r, const char *path)
{
	return *path == '/' ? xstrdup(path) : path_join(r->dir, path);
}

static int check_machine(const struct val *v, struct error **err)
{
	_cleanup_conf_ struct conf c = { 0 };

	return want(v, NODE_MAP, "machine", err) < 0 ? -1 : recipe_machine_conf(v, &c, err);
}

static int read_start(struct recipe *r, struct error **err)
{
	static const char *const keys[] = { "release", "packages", "mirror", "root", "image", "machine", NULL };
	const struct val *v = val_get(r->root, "start");
	const char *root;
	int n;

	if (!v)
		return val_error(r->root, err, "start: is missing: what the packages are built in");
	if (want(v, NODE_MAP, "start", err) < 0 || check_keys(v, keys, "start", err) < 0 ||
		texts(val_get(v, "packages"), "packages", &r->packages, err) < 0)
		return -1;
	root = val_str(v, "root");
	r->release = copy(v, "release");
	r->mirror = copy(v, "mirror");
	r->start_image = copy(v, "image");
	r->start_root = root ? beside(r, root) : NULL;
	r->machine = val_get(v, "machine");
	n = !!r->release + !!r->start_image + !!r->start_root + !!r->machine;
	if (n == 1)
		return r->machine ? check_machine(r->machine, err) : 0;
	val_error(v, err, "start: %s of release, root, image, machine must be given", n ? "only one" : "one");
	return error_hint(err, "release: bookworm is Debian's, with packages");
}

static int read_vars(struct recipe *r, struct error **err)
{
	const struct val *v = val_get(r->root, "vars");

	if (!v)
		return 0;
	if (want(v, NODE_MAP, "vars", err) < 0)
		return -1;
	for (size_t i = 0; i < v->len; i++) {
		const char *name = v->keys[i];

		if (!v->items[i]->text || !*name || isdigit((unsigned char)*name) ||
			name[strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")])
			return val_key_error(v, i, err, "vars: '%s' must be a name for the shell, with a text", name);
		strv_addf(&r->vars, "%s=%s", name, v->items[i]->text);
	}
	return 0;
}

/* ---- how a package is built ---- */

/* The value of a stage: of the pass, of the package, of "default"; NULL: as everything. */
static const struct val *stage_value(const struct recipe *r, const struct recipe_step *s, int stage)
{
	const struct val *build = val_get(r->root, "build"), *own = val_get(build, s->name);
	_cleanup_free_ char *pass = xasprintf("pass %u", s->pass);
	const struct val *from[] = { val_get(own, pass), own, val_get(build, "default") };

	for (size_t i = 0; i < ARRAY_SIZE(from); i++) {
		const struct val *v = val_get(from[i], stage_names[stage]);

		if (v)
			return v;
	}
	return NULL;
}

/* prefix, the command that it is by default, suffix. */
static int wrapped(const struct recipe *r, const struct val *v, int stage, char **ret, struct error **err)
{
	static const char *const keys[] = { "prefix", "command", "suffix", NULL };
	const struct val *common = val_get(val_get(val_get(r->root, "build"), "default"), stage_names[stage]);
	const char *prefix = val_str(v, "prefix"), *suffix = val_str(v, "suffix"), *command = val_str(v, "command");

	if (check_keys(v, keys, stage_names[stage], err) < 0)
		return -1;
	command = command ? command : common && common->text ? common->text : defaults[stage];
	if (!command)
		return val_error(v, err, "%s: has no command that a prefix or suffix could stand at", stage_names[stage]);
	*ret = xasprintf("%s%s%s%s%s\n", prefix ? prefix : "", prefix ? " " : "", command, suffix ? " " : "", suffix ? suffix : "");
	return 0;
}

static int read_stage(const struct recipe *r, struct recipe_step *s, int stage, struct error **err)
{
	const struct val *v = stage_value(r, s, stage);
	_cleanup_strv_ struct strv lines = STRV_INIT;

	if (v && v->type == NODE_MAP)
		return wrapped(r, v, stage, &s->script[stage], err);
	if (v && (v->type == NODE_NULL || (v->text && (!*v->text || !strcmp(v->text, "false")))))
		return 0;
	if (texts(v, stage_names[stage], &lines, err) < 0)
		return -1;
	/* without sources there is nothing to configure and make */
	if (!v && defaults[stage] && s->source)
		strv_add(&lines, defaults[stage]);
	if (lines.len) {
		_cleanup_free_ char *text = strv_join(&lines, "\n");

		s->script[stage] = xasprintf("%s\n", text);
	}
	return 0;
}

/* ---- the table ---- */

/* "name-version[:patch,patch]": the version begins at the last dash that a digit follows. */
static int split_id(const struct recipe *r, struct recipe_step *s, const char *text, struct error **err)
{
	const char *colon = strchr(text, ':'), *dash = NULL;
	_cleanup_strv_ struct strv patches = STRV_INIT;

	s->id = colon ? xstrndup(text, (size_t)(colon - text)) : xstrdup(text);
	for (const char *p = s->id; *p; p++)
		if (*p == '-' && isdigit((unsigned char)p[1]))
			dash = p;
	if (!dash || dash == s->id || strchr(s->id, '/') || strspn(s->id, ".") == strlen(s->id))
		return val_error(s->at, err, "packages: '%s' is not NAME-VERSION[:PATCHES]: PASS", text);
	s->name = xstrndup(s->id, (size_t)(dash - s->id));
	s->version = xstrdup(dash + 1);
	if (colon)
		strv_split(&patches, colon + 1, ", ");
	for (size_t i = 0; i < patches.len; i++) {
		_cleanup_free_ char *sub = xasprintf("patches/%s%s", patches.v[i], strchr(patches.v[i], '.') ? "" : ".patch");
		char *path = path_join(r->dir, sub);

		strv_take(&s->patches, path);
		if (access(path, R_OK) < 0) {
			val_error(s->at, err, "packages: %s: patch %s: %s", text, path, strerror(errno));
			(*err)->cls = ERR_NOT_FOUND;
			return -1;
		}
	}
	return 0;
}

static int read_step(struct recipe *r, const struct val *row, struct recipe_step *s, struct error **err)
{
	const struct val *sources = val_get(r->root, "sources"), *build;
	const char *network;
	uint64_t pass;

	s->at = row;
	if (row->type != NODE_MAP || row->len != 1 || !row->items[0]->text)
		return val_error(row, err, "packages: a row is 'NAME-VERSION[:PATCHES]: PASS'");
	if (parse_u64("pass", row->items[0]->text, 1, 99, &pass, err) < 0) {
		error_clear(err);
		return val_error(row->items[0], err, "packages: '%s' is no pass; they are counted from 1", row->items[0]->text);
	}
	s->pass = (unsigned)pass;
	if (split_id(r, s, row->keys[0], err) < 0)
		return -1;
	s->source = val_get(sources, s->id);
	build = val_get(val_get(r->root, "build"), s->name);
	if (!s->source && !build)
		return val_error(row, err, "packages: %s: has neither an entry in sources nor one in build", s->id);
	if (s->source && want(s->source, NODE_MAP, s->id, err) < 0)
		return -1;
	network = val_str(build, "network");
	s->network = network && !strcmp(network, "true");
	for (int i = 0; i < STAGES; i++)
		if (read_stage(r, s, i, err) < 0)
			return -1;
	return 0;
}

static int read_steps(struct recipe *r, struct error **err)
{
	const struct val *v = val_get(r->root, "packages");

	if (!v || !v->len)
		return val_error(v ? v : r->root, err, "packages: the table is missing: rows of NAME-VERSION[:PATCHES]: PASS");
	if (want(v, NODE_LIST, "packages", err) < 0)
		return -1;
	r->steps = xcalloc(v->len, sizeof(*r->steps));
	for (size_t i = 0; i < v->len; i++) {
		struct recipe_step *s = &r->steps[r->nsteps++];

		if (read_step(r, v->items[i], s, err) < 0)
			return -1;
		for (size_t k = 0; k < i; k++)
			if (!strcmp(r->steps[k].id, s->id) && r->steps[k].pass == s->pass)
				return val_error(s->at, err, "packages: %s pass %u is there twice", s->id, s->pass);
	}
	return 0;
}

/* ---- sources, build, outputs ---- */

static int check_source(const struct val *v, const char *id, struct error **err)
{
	static const char *const keys[] = { "file", "url", "path", "sha256", NULL };
	const char *sum = val_str(v, "sha256");

	if (want(v, NODE_MAP, id, err) < 0 || check_keys(v, keys, "a source", err) < 0)
		return -1;
	if (!sum || strlen(sum) != SHA_HEX - 1 || sum[strspn(sum, "0123456789abcdef")]) {
		val_error(v, err, "sources: %s: sha256 must be given, 64 hex digits", id);
		return error_hint(err, "what is fetched is checked, whichever mirror it comes from: sha256sum FILE");
	}
	return 0;
}

static int check_build(const struct val *v, struct error **err)
{
	for (size_t i = 0; i < v->len; i++) {
		const struct val *own = v->items[i];

		if (want(own, NODE_MAP, v->keys[i], err) < 0)
			return -1;
		for (size_t k = 0; k < own->len; k++) {
			bool known = !strcmp(own->keys[k], "network") || !strncmp(own->keys[k], "pass ", 5);

			for (size_t n = 0; n < STAGES && !known; n++)
				known = !strcmp(own->keys[k], stage_names[n]);
			if (!known) {
				const char *near = nearest_name(own->keys[k], stage_names, STAGES);

				val_key_error(own, k, err, "build: %s has no stage '%s'", v->keys[i], own->keys[k]);
				return near ? error_hint(err, "did you mean '%s'?", near) :
					      error_hint(err, "known are pre, configure, make, test, install, post, network, and 'pass N' with those");
			}
			if (!strncmp(own->keys[k], "pass ", 5) && (want(own->items[k], NODE_MAP, own->keys[k], err) < 0 ||
									  check_keys(own->items[k], stage_names, own->keys[k], err) < 0))
				return -1;
		}
	}
	return 0;
}

static int read_outputs(struct recipe *r, struct error **err)
{
	static const char *const keys[] = { "file", "from", "format", NULL };
	const struct val *v = val_get(r->root, "output");

	if (!v || want(v, NODE_LIST, "output", err) < 0)
		return v ? -1 : val_error(r->root, err, "output: is missing: what is taken out of the root, a list of {file, from}");
	r->outputs = xcalloc(v->len + 1, sizeof(*r->outputs));
	for (size_t i = 0; i < v->len; i++) {
		const struct val *o = v->items[i];
		const char *file = val_str(o, "file"), *from = val_str(o, "from");

		if (want(o, NODE_MAP, "output", err) < 0 || check_keys(o, keys, "output", err) < 0)
			return -1;
		if (!file || !*file || strchr(file, '/'))
			return val_error(o, err, "output: file must be the name of a file");
		r->outputs[r->noutputs++] = (struct recipe_output){ .file = xstrdup(file), .from = xstrdup(from ? from : "/"), .format = copy(o, "format") };
	}
	return 0;
}

/* ---- the whole ---- */

static char *file_of(const char *path)
{
	return file_is_dir(path) ? path_join(path, FILE_NAME) : xstrdup(path);
}

bool recipe_is(const char *path)
{
	_cleanup_free_ char *file = file_of(path);
	_cleanup_error_ struct error *e = NULL;
	_cleanup_doc_ struct doc *d = NULL;
	_cleanup_val_ struct val *root = NULL;

	if (file_is_dir(path))
		return file_exists(file);
	d = strcmp(path, "-") ? doc_load(file, &e) : NULL;
	root = d && doc_root(d) ? val_from(doc_root(d)) : NULL;
	return root && root->type == NODE_MAP && val_get(root, "recipe");
}

static int read_all(struct recipe *r, struct error **err)
{
	static const char *const keys[] = { "recipe", "description", "start", "vars", "mirrors", "sources", "packages", "build", "output", NULL };
	const struct val *sources = val_get(r->root, "sources"), *build = val_get(r->root, "build");
	const char *name = val_str(r->root, "recipe");

	if (want(r->root, NODE_MAP, "a recipe", err) < 0 || check_keys(r->root, keys, "a recipe", err) < 0)
		return -1;
	if (!name || name_check("recipe", name, err) < 0)
		return *err ? -1 : val_error(r->root, err, "recipe: its name is missing");
	r->name = xstrdup(name);
	if (want(sources, NODE_MAP, "sources", err) < 0 || want(build, NODE_MAP, "build", err) < 0 || (build && check_build(build, err) < 0))
		return -1;
	for (size_t i = 0; sources && i < sources->len; i++)
		if (check_source(sources->items[i], sources->keys[i], err) < 0)
			return -1;
	if (read_start(r, err) < 0 || read_vars(r, err) < 0 || texts(val_get(r->root, "mirrors"), "mirrors", &r->mirrors, err) < 0)
		return -1;
	return read_steps(r, err) < 0 ? -1 : read_outputs(r, err);
}

struct recipe *recipe_load(const char *path, struct error **err)
{
	struct recipe *r = xcalloc(1, sizeof(*r));
	_cleanup_free_ char *abs = NULL;

	r->path = file_of(path);
	abs = path_absolute(r->path);
	r->dir = path_dirname(abs);
	r->doc = doc_load(r->path, err);
	if (r->doc && !doc_root(r->doc))
		error_set(err, ERR_USAGE, "%s: it is empty", r->path);
	else if (r->doc)
		r->root = val_from(doc_root(r->doc));
	if (r->root && read_all(r, err) == 0)
		return r;
	recipe_free(r);
	return NULL;
}

static void step_clear(struct recipe_step *s)
{
	free(s->id);
	free(s->name);
	free(s->version);
	strv_free(&s->patches);
	for (int i = 0; i < STAGES; i++)
		free(s->script[i]);
}

void recipe_free(struct recipe *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->nsteps; i++)
		step_clear(&r->steps[i]);
	for (size_t i = 0; i < r->noutputs; i++) {
		free(r->outputs[i].file);
		free(r->outputs[i].from);
		free(r->outputs[i].format);
	}
	free(r->steps);
	free(r->outputs);
	free(r->path);
	free(r->dir);
	free(r->name);
	free(r->release);
	free(r->start_root);
	free(r->start_image);
	free(r->mirror);
	strv_free(&r->packages);
	strv_free(&r->mirrors);
	strv_free(&r->vars);
	val_free(r->root);
	doc_free(r->doc);
	free(r);
}
