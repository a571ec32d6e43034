/* SPDX-License-Identifier: Apache-2.0 */
#include "build/fixers.h"
#include "build/gotime.h"
#include "templateint.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/units.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#define STDIN_MAX ((size_t)64 << 20)

static const char *const root_keys[] = { "min_packer_version", "description", "variables", "sensitive-variables", "builders", "provisioners",
	"error-cleanup-provisioner", "post-processors", "push" };

/* ---- the document ---- */

static struct doc *read_stdin(struct error **err)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	ssize_t n;

	while ((n = read(0, buf_reserve(&b, 1 << 16), 1 << 16)) > 0 && b.len < STDIN_MAX) {
		b.len += (size_t)n;
		b.data[b.len] = '\0';
	}
	if (n) {
		error_errno(err, n < 0 ? errno : EFBIG, "standard input");
		return NULL;
	}
	return doc_parse("<stdin>", buf_str(&b), b.len, err);
}

static bool ends_in(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);

	return n >= m && !strcasecmp(s + n - m, end);
}

static int refuse_hcl(const char *path, struct error **err)
{
	if (!ends_in(path, ".pkr.hcl") && !ends_in(path, ".pkr.json") && !ends_in(path, ".hcl"))
		return 0;
	error_set(err, ERR_USAGE, "%s: templates in HCL2 (.pkr.hcl, .pkr.json) are another language, which croft does not read", path);
	return error_hint(err, "give the JSON template that `packer hcl2_upgrade` was given");
}

static int check_root(const struct val *root, const char *name, struct error **err)
{
	if (root->type != NODE_MAP)
		return val_error(root, err, "a template is a map, not %s", node_type_name(root->type));
	for (size_t i = 0; i < root->len; i++) {
		const char *key = root->keys[i], *near;
		bool known = false;

		for (size_t k = 0; k < ARRAY_SIZE(root_keys); k++)
			known = known || !strcmp(root_keys[k], key);
		if (key[0] == '_' && root->items[i]->type != NODE_STRING)
			return val_key_error(root, i, err, "'%s': a key that begins with _ is a comment and holds a text", key);
		if (known || key[0] == '_')
			continue;
		near = nearest_name(key, root_keys, ARRAY_SIZE(root_keys));
		val_key_error(root, i, err, "unknown root level key in template: '%s'", key);
		return near ? error_hint(err, "did you mean '%s'?", near) :
			      error_hint(err, "a comment's key begins with _");
	}
	return 0;
}

struct val *template_document(const char *path, struct doc **doc, struct strv *notes, struct error **err)
{
	struct val *root;

	if (refuse_hcl(path, err) < 0)
		return NULL;
	*doc = strcmp(path, "-") ? doc_load(path, err) : read_stdin(err);
	if (!*doc)
		return NULL;
	if (!doc_root(*doc)) {
		error_set(err, ERR_USAGE, "%s: it is empty", path);
		return NULL;
	}
	root = val_from(doc_root(*doc));
	if (check_root(root, path, err) < 0) {
		val_free(root);
		return NULL;
	}
	if (notes)
		fixers_apply(root, notes);
	return root;
}

/* ---- parts ---- */

static int names(struct val *raw, const char *key, struct strv *ret, struct error **err)
{
	_cleanup_val_ struct val *v = val_take(raw, key);

	if (!v)
		return 0;
	if (v->type != NODE_LIST)
		return val_error(v, err, "%s: a list of names is wanted, not %s", key, node_type_name(v->type));
	for (size_t i = 0; i < v->len; i++) {
		if (!v->items[i]->text)
			return val_error(v->items[i], err, "%s: a name is wanted", key);
		strv_add(ret, v->items[i]->text);
	}
	return 0;
}

static int duration(struct template *t, struct val *raw, const char *key, int64_t *ret, struct error **err)
{
	_cleanup_val_ struct val *v = val_take(raw, key);
	_cleanup_free_ char *text = NULL;
	struct funcs f;

	if (!v)
		return 0;
	template_funcs(t, NULL, &f);
	if (!v->text)
		return val_error(v, err, "%s: a duration is wanted, not %s", key, node_type_name(v->type));
	if (funcs_expand(&f, NULL, v->text, &text, err) < 0 || go_duration(key, text, ret, err) < 0) {
		_cleanup_free_ char *msg = xstrdup((*err)->msg);

		error_clear(err);
		return val_error(v, err, "%s", msg);
	}
	return 0;
}

static char *taken_text(struct val *raw, const char *key)
{
	_cleanup_val_ struct val *v = val_take(raw, key);

	return v && v->text ? xstrdup(v->text) : NULL;
}

static int read_common(struct template *t, struct part *p, struct error **err)
{
	if (names(p->raw, "only", &p->only, err) < 0 || names(p->raw, "except", &p->except, err) < 0)
		return -1;
	if (p->only.len && p->except.len)
		return val_error(p->raw, err, "only one of 'only' or 'except' may be given");
	if (p->c->kind == PART_PROVISIONER) {
		p->override = val_take(p->raw, "override");
		if (p->override && p->override->type != NODE_MAP)
			return val_error(p->override, err, "override: a map of build names is wanted");
		p->max_retries = taken_text(p->raw, "max_retries");
		return duration(t, p->raw, "pause_before", &p->pause_before, err) < 0 ? -1 : duration(t, p->raw, "timeout", &p->timeout, err);
	}
	if (p->c->kind == PART_POST) {
		_cleanup_free_ char *keep = taken_text(p->raw, "keep_input_artifact");

		p->keep = keep ? !strcmp(keep, "true") || !strcmp(keep, "1") : -1;
	}
	return 0;
}

static int read_part(struct template *t, enum part_kind kind, const struct val *v, struct part *p, struct error **err)
{
	_cleanup_free_ char *type = NULL, *name = NULL;
	struct funcs f;

	*p = (struct part){ .keep = -1 };
	if (v->type == NODE_STRING && kind == PART_POST) {
		p->raw = val_map(v->at);
		type = xstrdup(v->text);
	} else if (v->type == NODE_MAP) {
		p->raw = val_clone(v);
		type = taken_text(p->raw, "type");
	} else {
		return val_error(v, err, "a %s is a map, not %s", part_kind_name(kind), node_type_name(v->type));
	}
	if (!type || !*type)
		return val_error(v, err, "a %s needs a 'type'", part_kind_name(kind));
	p->c = component_find(kind, type, val_get(v, "type") ? val_get(v, "type") : v, err);
	if (!p->c)
		return -1;
	name = taken_text(p->raw, "name");
	template_funcs(t, NULL, &f);
	if (name && funcs_expand(&f, NULL, name, &p->name, err) < 0) {
		_cleanup_free_ char *place = val_place(val_get(v, "name"));

		return error_wrap(err, "%sname", place);
	}
	if (!p->name)
		p->name = xstrdup(type);
	return kind == PART_BUILDER ? 0 : read_common(t, p, err);
}

static void part_clear(struct part *p)
{
	free(p->name);
	val_free(p->raw);
	val_free((struct val *)(uintptr_t)p->override);
	free(p->max_retries);
	strv_free(&p->only);
	strv_free(&p->except);
}

/* A provisioner for none but builders that are left out. */
static bool concerns_none(const struct template *t, const struct val *v)
{
	const struct val *only = val_get(v, "only");

	if (!only || only->type != NODE_LIST || !only->len)
		return false;
	for (size_t i = 0; i < only->len; i++)
		if (!only->items[i]->text || !strv_has(&t->left_out, only->items[i]->text))
			return false;
	return true;
}

/*
 * Templates have builders and uploads for several programs side by side: those that are not for
 * croft are named and left out. why: the error about it.
 */
static bool leave_out(
	struct template *t, enum part_kind kind, const struct val *v, const struct error *why)
{
	const struct val *type = v->type == NODE_MAP ? val_get(v, "type") : v;
	const struct val *name = v->type == NODE_MAP ? val_get(v, "name") : NULL;
	_cleanup_free_ char *expanded = NULL;
	_cleanup_error_ struct error *e = NULL;
	struct funcs f;

	if (!type || !type->text || !component_refused(kind, type->text))
		return false;
	if (kind == PART_PROVISIONER)
		return concerns_none(t, v);
	strv_addf(&t->warnings, "%s; it is left out", why->msg);
	if (kind == PART_POST)
		return true;
	template_funcs(t, NULL, &f);
	if (name && name->text)
		funcs_expand(&f, NULL, name->text, &expanded, &e);
	strv_add(&t->left_out, expanded ? expanded : type->text);
	strv_add(&t->why, why->msg);
	return true;
}

static int read_parts(struct template *t, const char *key, enum part_kind kind, struct part **ret, size_t *n, struct error **err)
{
	const struct val *v = val_get(t->root, key);

	if (v && v->type != NODE_LIST)
		return val_error(v, err, "%s: a list is wanted, not %s", key, node_type_name(v->type));
	*ret = xcalloc(v ? v->len + 1 : 1, sizeof(**ret));
	for (size_t i = 0; v && i < v->len; i++) {
		struct part *p = &(*ret)[(*n)++];

		if (read_part(t, kind, v->items[i], p, err) == 0)
			continue;
		if (!leave_out(t, kind, v->items[i], *err))
			return -1;
		error_clear(err);
		part_clear(p);
		*p = (struct part){ 0 };
		--*n;
	}
	return 0;
}

static int read_builders(struct template *t, struct error **err)
{
	const struct val *v = val_get(t->root, "builders");

	if (read_parts(t, "builders", PART_BUILDER, &t->builders, &t->nbuilders, err) < 0)
		return -1;
	if (!t->nbuilders && t->why.len)
		return error_set(err, ERR_USAGE, "%s", t->why.v[0]);
	if (!t->nbuilders)
		return val_error(v ? v : t->root, err, "at least one builder must be defined");
	for (size_t i = 0; i < t->nbuilders; i++)
		for (size_t k = 0; k < i; k++)
			if (!strcmp(t->builders[i].name, t->builders[k].name)) {
				val_error(v->items[i], err, "builder with name '%s' already exists", t->builders[i].name);
				return error_hint(err, "give one of them another \"name\"");
			}
	return 0;
}

static int read_chain(struct template *t, const struct val *v, struct error **err)
{
	struct chain *c = &t->chains[t->nchains++];
	size_t n = v->type == NODE_LIST ? v->len : 1;

	c->v = xcalloc(n + 1, sizeof(*c->v));
	for (size_t i = 0; i < n; i++) {
		const struct val *x = v->type == NODE_LIST ? v->items[i] : v;

		if (v->type == NODE_LIST && x->type == NODE_LIST)
			return val_error(x, err, "a sequence of post-processors cannot hold another sequence");
		if (read_part(t, PART_POST, x, &c->v[c->len++], err) == 0)
			continue;
		if (!leave_out(t, PART_POST, x, *err))
			return -1;
		error_clear(err);
		part_clear(&c->v[--c->len]);
		c->v[c->len] = (struct part){ 0 };
	}
	return 0;
}

static int read_posts(struct template *t, struct error **err)
{
	const struct val *v = val_get(t->root, "post-processors");

	if (v && v->type != NODE_LIST)
		return val_error(v, err, "post-processors: a list is wanted, not %s", node_type_name(v->type));
	t->chains = xcalloc(v ? v->len + 1 : 1, sizeof(*t->chains));
	for (size_t i = 0; v && i < v->len; i++)
		if (read_chain(t, v->items[i], err) < 0)
			return -1;
	return 0;
}

/* only and except name builds; a wrong name would silently leave the part out. */
static int check_names(const struct template *t, const struct part *p, struct error **err)
{
	const struct strv *const lists[] = { &p->only, &p->except };

	for (size_t l = 0; l < ARRAY_SIZE(lists); l++)
		for (size_t i = 0; i < lists[l]->len; i++) {
			_cleanup_strv_ struct strv known = STRV_INIT;
			const char *name = lists[l]->v[i], *near;

			for (size_t b = 0; b < t->nbuilders; b++)
				strv_add(&known, t->builders[b].name);
			if (strv_has(&known, name) || strv_has(&t->left_out, name))
				continue;
			near = nearest_name(name, (const char *const *)known.v, known.len);
			val_error(p->raw, err, "%s '%s': '%s' is not the name of a builder", l ? "except" : "only", p->name, name);
			return near ? error_hint(err, "did you mean '%s'?", near) : -1;
		}
	return 0;
}

static int check_all_names(const struct template *t, struct error **err)
{
	for (size_t i = 0; i < t->nprovisioners; i++)
		if (check_names(t, &t->provisioners[i], err) < 0)
			return -1;
	for (size_t c = 0; c < t->nchains; c++)
		for (size_t i = 0; i < t->chains[c].len; i++)
			if (check_names(t, &t->chains[c].v[i], err) < 0)
				return -1;
	return 0;
}

static int read_version(struct template *t, struct error **err)
{
	const struct val *v = val_get(t->root, "min_packer_version");
	unsigned want[3] = { 0 }, have[3] = { 0 };
	int n = 0;

	if (!v)
		return 0;
	if (!v->text || sscanf(v->text, "%u.%u.%u%n", &want[0], &want[1], &want[2], &n) < 1)
		return val_error(v, err, "min_packer_version: a version as 1.6.0 is wanted");
	sscanf(BUILD_PACKER_VERSION, "%u.%u.%u", &have[0], &have[1], &have[2]);
	for (int i = 0; i < 3 && want[i] >= have[i]; i++)
		if (want[i] > have[i])
			return val_error(v, err, "the template wants Packer %s; croft reads the language of %s", v->text, BUILD_PACKER_VERSION);
	return 0;
}

static int read_all(struct template *t, const struct template_opts *o, struct error **err)
{
	const struct val *cleanup = val_get(t->root, "error-cleanup-provisioner"), *d = val_get(t->root, "description");

	t->description = d && d->text ? xstrdup(d->text) : NULL;
	if (val_get(t->root, "push"))
		strv_addf(&t->warnings, "%s: 'push' has no effect: it was a service that is gone", t->path);
	if (read_version(t, err) < 0 || template_variables(t, o, err) < 0 || read_builders(t, err) < 0)
		return -1;
	if (read_parts(t, "provisioners", PART_PROVISIONER, &t->provisioners, &t->nprovisioners, err) < 0)
		return -1;
	if (cleanup) {
		t->cleanup = xcalloc(1, sizeof(*t->cleanup));
		if (read_part(t, PART_PROVISIONER, cleanup, t->cleanup, err) < 0)
			return -1;
	}
	return read_posts(t, err) < 0 ? -1 : check_all_names(t, err);
}

struct template *template_load(const char *path, const struct template_opts *o, struct error **err)
{
	struct template *t = xcalloc(1, sizeof(*t));
	_cleanup_free_ char *absolute = path_absolute(path);

	t->path = xstrdup(path);
	t->dir = strcmp(path, "-") ? path_dirname(absolute) : path_absolute(".");
	t->now = time(NULL);
	t->root = template_document(path, &t->doc, &t->warnings, err);
	if (t->root && read_all(t, o, err) == 0)
		return t;
	template_free(t);
	return NULL;
}

void template_free(struct template *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->nbuilders; i++)
		part_clear(&t->builders[i]);
	for (size_t i = 0; i < t->nprovisioners; i++)
		part_clear(&t->provisioners[i]);
	for (size_t c = 0; c < t->nchains; c++) {
		for (size_t i = 0; i < t->chains[c].len; i++)
			part_clear(&t->chains[c].v[i]);
		free(t->chains[c].v);
	}
	if (t->cleanup)
		part_clear(t->cleanup);
	free(t->cleanup);
	free(t->builders);
	free(t->provisioners);
	free(t->chains);
	free(t->path);
	free(t->dir);
	free(t->description);
	map_free(&t->vars);
	strv_free(&t->sensitive);
	strv_free(&t->required);
	strv_free(&t->warnings);
	strv_free(&t->left_out);
	strv_free(&t->why);
	val_free(t->root);
	doc_free(t->doc);
	free(t);
}

/* ---- for those who build ---- */

bool part_applies(const struct part *p, const char *build_name)
{
	return !(p->only.len && !strv_has(&p->only, build_name)) && !strv_has(&p->except, build_name);
}

struct val *part_raw(const struct part *p, const char *build_name)
{
	struct val *raw = val_clone(p->raw);
	const struct val *o = p->override ? val_get(p->override, build_name) : NULL;

	for (size_t i = 0; o && o->type == NODE_MAP && i < o->len; i++)
		val_set(raw, o->keys[i], val_clone(o->items[i]));
	return raw;
}

void template_funcs(const struct template *t, const struct part *builder, struct funcs *f)
{
	*f = (struct funcs){ .vars = &t->vars, .template_dir = t->dir, .now = t->now, .build_name = builder ? builder->name : NULL,
		.build_type = builder ? builder->c->type : NULL };
}
