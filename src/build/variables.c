/* SPDX-License-Identifier: Apache-2.0 */
/* Values of a template's variables: defaults, files, options; then {{user}} and {{env}} in them, in any order. */
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/units.h"
#include "templateint.h"

#include <string.h>

#define ROUNDS_MAX 100
#define VALUE_MAX (1u << 20) /* one that names itself doubles in each round */

static const char *nearest_var(const struct template *t, const char *name)
{
	_cleanup_strv_ struct strv names = STRV_INIT;
	const char *near;

	MAP_FOR(&t->vars, it)
		strv_add(&names, it->key);
	near = nearest_name(name, (const char *const *)names.v, names.len);
	/* nearest_name gives a pointer into names; the map's own key lives on */
	MAP_FOR(&t->vars, it)
		if (near && !strcmp(it->key, near))
			return it->key;
	return NULL;
}

/* A value from outside; a name that the template does not declare is kept, as Packer does. */
static void set_var(struct template *t, const char *name, const char *value, const char *from, bool warn)
{
	if (warn && !map_has(&t->vars, name) && !strv_has(&t->required, name)) {
		const char *near = nearest_var(t, name);

		strv_addf(&t->warnings, "%s: the template declares no variable '%s'%s%s%s", from, name, near ? "; did you mean '" : "",
			near ? near : "", near ? "'?" : "");
	}
	map_set(&t->vars, name, xstrdup(value));
}

static int read_defaults(struct template *t, struct error **err)
{
	const struct val *v = val_get(t->root, "variables");

	t->vars.free_value = free;
	if (v && v->type != NODE_MAP)
		return val_error(v, err, "variables: a map of names and defaults is wanted, not %s", node_type_name(v->type));
	for (size_t i = 0; v && i < v->len; i++) {
		const struct val *x = v->items[i];

		if (x->type == NODE_LIST || x->type == NODE_MAP)
			return val_error(x, err, "variable %s: a text is wanted, not %s", v->keys[i], node_type_name(x->type));
		if (x->type == NODE_NULL)
			strv_add(&t->required, v->keys[i]);
		else
			map_set(&t->vars, v->keys[i], xstrdup(x->text));
	}
	return 0;
}

static int read_file(struct template *t, const char *path, bool warn, struct error **err)
{
	_cleanup_doc_ struct doc *d = doc_load(path, err);
	const struct node *n = d ? doc_root(d) : NULL;

	if (!d)
		return -1;
	if (!n || n->type != NODE_MAP)
		return error_set(err, ERR_USAGE, "%s: a map of variables and their values is wanted", path);
	for (size_t i = 0; i < n->len; i++) {
		if (n->items[i]->type == NODE_LIST || n->items[i]->type == NODE_MAP)
			return node_error(n->items[i], err, "variable %s: a text is wanted, not %s", n->keys[i]->text,
				node_type_name(n->items[i]->type));
		set_var(t, n->keys[i]->text, n->items[i]->text, path, warn);
	}
	return 0;
}

static int read_options(struct template *t, const struct template_opts *o, struct error **err)
{
	for (size_t i = 0; o->var_files && i < o->var_files->len; i++)
		if (read_file(t, o->var_files->v[i], o->warn_undeclared, err) < 0)
			return error_wrap(err, "--var-file");
	for (size_t i = 0; o->vars && i < o->vars->len; i++) {
		const char *eq = strchr(o->vars->v[i], '=');
		_cleanup_free_ char *name = eq ? xstrndup(o->vars->v[i], (size_t)(eq - o->vars->v[i])) : NULL;

		if (!eq || eq == o->vars->v[i])
			return error_set(err, ERR_USAGE, "--var: '%s' is not NAME=VALUE", o->vars->v[i]);
		set_var(t, name, eq + 1, "--var", o->warn_undeclared);
	}
	return 0;
}

static int missing(const struct template *t, struct error **err)
{
	const struct val *v = val_get(t->root, "variables");

	for (size_t i = 0; i < t->required.len; i++) {
		if (map_has(&t->vars, t->required.v[i]))
			continue;
		val_error(val_get(v, t->required.v[i]), err, "required variable not set: %s", t->required.v[i]);
		return error_hint(err, "give it: --var %s=VALUE, or a --var-file", t->required.v[i]);
	}
	return 0;
}

/* One variable with what the others hold now. 1: it has changed. */
static int round_one(struct template *t, struct map_item *it, const struct funcs *f, struct error **err)
{
	const struct val *v = val_get(t->root, "variables");
	struct tmpl x = { .keep_fields = true, .func = funcs_call, .arg = (void *)(uintptr_t)f };
	char *text = NULL;
	int changed;

	if (!strstr(it->value, "{{"))
		return 0;
	if (tmpl_expand(&x, it->value, &text, err) < 0) {
		_cleanup_free_ char *place = val_place(val_get(v, it->key));

		return error_wrap(err, "%svariable %s", place, it->key);
	}
	changed = strcmp(text, it->value) != 0;
	free(it->value);
	it->value = text;
	return changed;
}

static int expand_all(struct template *t, struct error **err)
{
	struct funcs f = { .vars = &t->vars, .strict = true, .env = true, .template_dir = t->dir, .now = t->now };
	bool grows = false;

	for (int round = 0; round < ROUNDS_MAX && !grows; round++) {
		int changed = 0;

		for (size_t i = 0; i < t->vars.len && !grows; i++) {
			int rc = round_one(t, &t->vars.items[i], &f, err);

			if (rc < 0)
				return -1;
			changed |= rc;
			grows = grows || strlen(t->vars.items[i].value) > VALUE_MAX;
		}
		if (!changed)
			return 0;
	}
	return error_set(err, ERR_USAGE, "%s: the variables name one another in a circle", t->path);
}

static int read_sensitive(struct template *t, struct error **err)
{
	const struct val *v = val_get(t->root, "sensitive-variables");

	if (v && v->type != NODE_LIST)
		return val_error(v, err, "sensitive-variables: a list of names is wanted, not %s", node_type_name(v->type));
	for (size_t i = 0; v && i < v->len; i++) {
		const char *name = v->items[i]->text, *value = name ? map_get(&t->vars, name) : NULL;

		if (!value && !(name && strv_has(&t->required, name)))
			return val_error(v->items[i], err, "sensitive-variables: no variable is called '%s'", name ? name : "");
		if (value && *value)
			strv_add(&t->sensitive, value);
	}
	return 0;
}

int template_variables(struct template *t, const struct template_opts *o, struct error **err)
{
	if (read_defaults(t, err) < 0 || read_options(t, o, err) < 0)
		return -1;
	if (!o->syntax_only && missing(t, err) < 0)
		return -1;
	return expand_all(t, err) < 0 ? -1 : read_sensitive(t, err);
}
