/* SPDX-License-Identifier: Apache-2.0 */
#include "build/schema.h"
#include "build/gotime.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/units.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <strings.h>

const char *part_kind_name(enum part_kind k)
{
	return k == PART_BUILDER ? "builder" : k == PART_PROVISIONER ? "provisioner" : "post-processor";
}

const struct component *component_find(enum part_kind kind, const char *type, const struct val *at, struct error **err)
{
	_cleanup_strv_ struct strv names = STRV_INIT;
	_cleanup_free_ char *all = NULL;
	const char *near;

	for (const struct component *c = components; c->type; c++) {
		if (c->kind != kind)
			continue;
		if (!strcmp(c->type, type)) {
			if (!c->refused)
				return c;
			val_error(at, err, "%s %s: %s", part_kind_name(kind), type, c->refused);
			return NULL;
		}
		if (!c->refused)
			strv_add(&names, c->type);
	}
	all = strv_join(&names, ", ");
	near = nearest_name(type, (const char *const *)names.v, names.len);
	val_error(at, err, "croft has no %s '%s'", part_kind_name(kind), type);
	if (near)
		error_hint(err, "did you mean '%s'?", near);
	else
		error_hint(err, "known are %s", all);
	return NULL;
}

bool component_refused(enum part_kind kind, const char *type)
{
	for (const struct component *c = components; c->type; c++)
		if (c->kind == kind && !strcmp(c->type, type))
			return c->refused != NULL;
	return false;
}

static const struct key *find_key(const struct component *c, const char *name)
{
	for (const struct key *const *t = c->tables; *t; t++)
		for (const struct key *k = *t; k->name; k++)
			if (!strcasecmp(k->name, name))
				return k;
	return NULL;
}

static int unknown_key(const struct component *c, const struct val *raw, size_t i, struct error **err)
{
	_cleanup_strv_ struct strv names = STRV_INIT;
	const char *near;

	for (const struct key *const *t = c->tables; *t; t++)
		for (const struct key *k = *t; k->name; k++)
			if (!(k->flags & KEY_REFUSED))
				strv_add(&names, k->name);
	near = nearest_name(raw->keys[i], (const char *const *)names.v, names.len);
	val_key_error(raw, i, err, "%s %s: unknown configuration key '%s'", part_kind_name(c->kind), c->type, raw->keys[i]);
	return near ? error_hint(err, "did you mean '%s'?", near) : -1;
}

void conf_clear(struct conf *c)
{
	val_free(STEAL(c->map));
}

/* ---- typing ---- */

struct reading {
	const struct component *c;
	const struct funcs *f;
	const struct key *k;
};

static int wrong(const struct reading *r, const struct val *v, const char *want, struct error **err)
{
	if (v->type == NODE_LIST || v->type == NODE_MAP)
		return val_error(v, err, "%s: %s is wanted, not %s", r->k->name, want, node_type_name(v->type));
	return val_error(v, err, "%s: %s is wanted, not '%s'", r->k->name, want, v->text);
}

/* Placeholders for the fields of a late value, so that a wrong one is found before anything is started. */
static int try_late(const struct reading *r, const struct val *v, struct error **err)
{
	_cleanup_map_ struct map fields = { .free_value = NULL };
	_cleanup_free_ char *text = NULL;

	for (const char *const *n = r->k->late; *n; n++)
		map_set(&fields, *n, (void *)(uintptr_t)"0");
	return funcs_expand(r->f, &fields, v->text, &text, err);
}

static int expand(const struct reading *r, const struct val *v, char **ret, struct error **err)
{
	int rc;

	if (v->type == NODE_LIST || v->type == NODE_MAP)
		return wrong(r, v, "a text", err);
	if (r->k->late) {
		rc = try_late(r, v, err);
		*ret = rc == 0 ? xstrdup(v->text) : NULL;
	} else {
		rc = funcs_expand(r->f, NULL, v->text, ret, err);
	}
	if (rc < 0 && v->at) {
		error_wrap(err, "%s:%d:%d: %s", doc_name(v->at->doc), v->at->line, v->at->col, r->k->name);
		(*err)->cls = ERR_USAGE;
	}
	return rc;
}

static int to_bool(const char *s)
{
	static const char *const yes[] = { "1", "t", "T", "true", "TRUE", "True" }, *const no[] = { "", "0", "f", "F", "false", "FALSE", "False" };

	for (size_t i = 0; i < ARRAY_SIZE(yes); i++)
		if (!strcmp(s, yes[i]))
			return 1;
	for (size_t i = 0; i < ARRAY_SIZE(no); i++)
		if (!strcmp(s, no[i]))
			return 0;
	return -1;
}

static int read_scalar(const struct reading *r, const struct val *v, struct val **ret, struct error **err)
{
	_cleanup_free_ char *text = NULL, *made = NULL;
	enum node_type type = NODE_STRING;
	char *end;

	if (v->type == NODE_LIST && v->len == 1 && r->k->type == KEY_TEXT)
		return read_scalar(r, v->items[0], ret, err);
	if (expand(r, v, &text, err) < 0)
		return -1;
	if (r->k->type == KEY_NUMBER) {
		if (v->type == NODE_BOOL)
			made = xstrdup(to_bool(text) ? "1" : "0");
		errno = 0;
		strtoll(made ? made : text, &end, 0);
		if (*end || errno || (!*text && v->type == NODE_STRING && !v->at))
			return wrong(r, v, "a whole number", err);
		if (!*text)
			made = xstrdup("0");
		type = NODE_NUMBER;
	} else if (r->k->type == KEY_BOOL) {
		int b = v->type == NODE_NUMBER ? strtod(text, NULL) != 0 : to_bool(text);

		if (b < 0)
			return wrong(r, v, "true or false", err);
		made = xstrdup(b ? "true" : "false");
		type = NODE_BOOL;
	} else if (r->k->type == KEY_DURATION) {
		int64_t ns = 0;

		if (*text && go_duration(r->k->name, text, &ns, err) < 0)
			return wrong(r, (error_clear(err), v), "a duration as 90s, 1m30s or 250ms", err);
		made = xasprintf("%" PRId64, ns);
	} else if (v->type == NODE_BOOL) {
		made = xstrdup(to_bool(text) == 1 ? "1" : "0");
	}
	*ret = val_text(made ? made : text, v->at);
	(*ret)->type = type;
	return 0;
}

/* A list of texts; one value is a list of one, and a text is split on its commas. */
static int read_list(const struct reading *r, const struct val *v, struct val **ret, struct error **err)
{
	_cleanup_val_ struct val *list = val_list(v->at);

	for (size_t i = 0; v->type == NODE_LIST && i < v->len; i++) {
		_cleanup_free_ char *text = NULL;

		if (expand(r, v->items[i], &text, err) < 0)
			return -1;
		val_add(list, val_text(text, v->items[i]->at));
	}
	if (v->type == NODE_MAP)
		return wrong(r, v, "a list", err);
	if (v->type != NODE_LIST) {
		_cleanup_free_ char *text = NULL;

		if (expand(r, v, &text, err) < 0)
			return -1;
		for (const char *s = text; *text;) {
			const char *comma = strchr(s, ',');
			_cleanup_free_ char *part = xstrndup(s, comma ? (size_t)(comma - s) : strlen(s));

			val_add(list, val_text(part, v->at));
			if (!comma)
				break;
			s = comma + 1;
		}
	}
	*ret = STEAL(list);
	return 0;
}

static int read_lists(const struct reading *r, const struct val *v, struct val **ret, struct error **err)
{
	_cleanup_val_ struct val *lists = val_list(v->at);

	if (v->type != NODE_LIST)
		return wrong(r, v, "a list of lists", err);
	for (size_t i = 0; i < v->len; i++) {
		struct val *list = NULL;

		if (read_list(r, v->items[i], &list, err) < 0)
			return -1;
		val_add(lists, list);
	}
	*ret = STEAL(lists);
	return 0;
}

static int read_map(const struct reading *r, const struct val *v, struct val **ret, struct error **err)
{
	_cleanup_val_ struct val *map = val_map(v->at);

	if (v->type != NODE_MAP)
		return wrong(r, v, "a map", err);
	for (size_t i = 0; i < v->len; i++) {
		_cleanup_free_ char *text = NULL;

		if (expand(r, v->items[i], &text, err) < 0)
			return -1;
		val_set(map, v->keys[i], val_text(text, v->items[i]->at));
	}
	*ret = STEAL(map);
	return 0;
}

static int read_value(const struct reading *r, const struct val *v, struct val **ret, struct error **err)
{
	switch (r->k->type) {
	case KEY_LIST:
		return read_list(r, v, ret, err);
	case KEY_LISTS:
		return read_lists(r, v, ret, err);
	case KEY_MAP:
		return read_map(r, v, ret, err);
	default:
		return read_scalar(r, v, ret, err);
	}
}

/* ---- reading ---- */

static int check_key(const struct component *c, const struct key *k, const struct val *raw, size_t i, struct strv *warnings, struct error **err)
{
	if (k->flags & KEY_REFUSED)
		return val_key_error(raw, i, err, "%s %s: %s: %s", part_kind_name(c->kind), c->type, k->name, k->why);
	if ((k->flags & KEY_IGNORED) && warnings) {
		_cleanup_error_ struct error *e = NULL;

		val_key_error(raw, i, &e, "%s %s: '%s' has no effect: %s", part_kind_name(c->kind), c->type, k->name, k->why);
		strv_add(warnings, e->msg);
	}
	return 0;
}

int conf_read(const struct component *c, const struct val *raw, const struct funcs *f, struct strv *warnings, struct conf *ret, struct error **err)
{
	_cleanup_val_ struct val *map = val_map(raw->at);

	for (size_t i = 0; i < raw->len; i++) {
		struct reading r = { .c = c, .f = f, .k = find_key(c, raw->keys[i]) };
		struct val *v = NULL;

		if (!strncmp(raw->keys[i], "packer_", 7) || !strcmp(raw->keys[i], "type"))
			continue;
		if (!r.k)
			return unknown_key(c, raw, i, err);
		if (check_key(c, r.k, raw, i, warnings, err) < 0)
			return -1;
		if (raw->items[i]->type == NODE_NULL)
			continue;
		if (read_value(&r, raw->items[i], &v, err) < 0)
			return -1;
		val_set(map, r.k->name, v);
	}
	for (const struct key *const *t = c->tables; *t; t++)
		for (const struct key *k = *t; k->name; k++)
			if ((k->flags & KEY_REQUIRED) && !val_get(map, k->name))
				return val_error(raw, err, "%s %s: '%s' is missing", part_kind_name(c->kind), c->type, k->name);
	*ret = (struct conf){ .c = c, .map = STEAL(map) };
	return 0;
}

const char *conf_text(const struct conf *c, const char *key)
{
	const char *s = val_str(c->map, key);
	const struct key *k = s ? NULL : find_key(c->c, key);

	return s ? s : k ? k->fallback : NULL;
}

bool conf_given(const struct conf *c, const char *key)
{
	return val_get(c->map, key) != NULL;
}

long long conf_number(const struct conf *c, const char *key)
{
	const char *s = conf_text(c, key);

	return s ? strtoll(s, NULL, 0) : 0;
}

bool conf_bool(const struct conf *c, const char *key)
{
	const char *s = conf_text(c, key);

	return s && !strcmp(s, "true");
}

int64_t conf_ns(const struct conf *c, const char *key)
{
	_cleanup_error_ struct error *e = NULL;
	const char *s = conf_text(c, key);
	int64_t ns = 0;

	if (s)
		go_duration(key, s, &ns, &e);
	return ns;
}

struct val *conf_val(const struct conf *c, const char *key)
{
	return val_get(c->map, key);
}

void conf_list(const struct conf *c, const char *key, struct strv *ret)
{
	const struct val *v = val_get(c->map, key);
	const struct key *k = v ? NULL : find_key(c->c, key);

	for (size_t i = 0; v && i < v->len; i++)
		strv_add(ret, v->items[i]->text);
	if (k && k->fallback)
		strv_split(ret, k->fallback, ",");
}

int conf_late(const struct conf *c, const char *key, const struct funcs *f, const struct map *fields, char **ret, struct error **err)
{
	const char *text = conf_text(c, key);

	if (funcs_expand(f, fields, text ? text : "", ret, err) < 0)
		return error_wrap(err, "%s", key);
	return 0;
}

const struct val *conf_at(const struct conf *c, const char *key)
{
	const struct val *v = val_get(c->map, key);

	return v ? v : c->map;
}
