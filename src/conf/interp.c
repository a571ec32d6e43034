/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/interp.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/units.h"

#include <ctype.h>
#include <string.h>

struct object {
	struct map attrs; /* name -> struct strv * */
	char *(*fn)(const char *attr, void *arg);
	void *arg;
};
struct vars {
	struct map objects;
	const struct vars *base;
};

static void free_values(void *p)
{
	strv_free(p);
	free(p);
}

static void free_object(void *p)
{
	struct object *o = p;

	map_free(&o->attrs);
	free(o);
}

struct vars *vars_new(void)
{
	struct vars *v = xcalloc(1, sizeof(*v));

	v->objects.free_value = free_object;
	return v;
}

struct vars *vars_over(const struct vars *base)
{
	struct vars *v = vars_new();

	v->base = base;
	return v;
}

void vars_free(struct vars *v)
{
	if (!v)
		return;
	map_free(&v->objects);
	free(v);
}

static struct object *object_of(struct vars *v, const char *name)
{
	struct object *o = map_get(&v->objects, name);

	if (!o) {
		o = xcalloc(1, sizeof(*o));
		o->attrs.free_value = free_values;
		map_set(&v->objects, name, o);
	}
	return o;
}

void vars_append(struct vars *v, const char *object, const char *attr, const char *value)
{
	struct object *o = object_of(v, object);
	struct strv *values = map_get(&o->attrs, attr);

	if (!values) {
		values = xcalloc(1, sizeof(*values));
		map_set(&o->attrs, attr, values);
	}
	strv_add(values, value);
}

void vars_set(struct vars *v, const char *object, const char *attr, const char *value)
{
	struct strv *values = map_get(&object_of(v, object)->attrs, attr);

	if (values)
		strv_free(values);
	vars_append(v, object, attr, value);
}

void vars_dynamic(struct vars *v, const char *object, char *(*fn)(const char *attr, void *arg), void *arg)
{
	struct object *o = object_of(v, object);

	o->fn = fn;
	o->arg = arg;
}

/* Where an error is: a place in a document, or a word. */
struct place {
	const struct node *at;
	const char *where;
};

static int fail(const struct place *p, struct error **err, const char *msg)
{
	return p->at ? node_error(p->at, err, "%s", msg) : error_set(err, ERR_USAGE, "%s: %s", p->where ? p->where : "text", msg);
}

/* "did you mean", else all that is known. */
static int suggest(const struct map *known, const char *word, const char *what, struct error **err)
{
	_cleanup_strv_ struct strv names = STRV_INIT;
	_cleanup_free_ char *all = NULL;
	const char *near;

	MAP_FOR(known, it)
		strv_add(&names, it->key);
	near = nearest_name(word, (const char *const *)names.v, names.len);
	if (near)
		return error_hint(err, "did you mean '%s'?", near);
	all = strv_join(&names, ", ");
	return error_hint(err, "known %s: %s", what, names.len ? all : "none");
}

/* The longest known object that `name` starts with, up to a dot; NULL: none. */
static const struct map_item *find_object(const struct vars *v, const char *name)
{
	const struct map_item *best = NULL;
	size_t longest = 0;

	for (; v; v = v->base)
		MAP_FOR(&v->objects, it) {
			size_t n = strlen(it->key);

			if (!strncmp(name, it->key, n) && (name[n] == '.' || !name[n]) && n > longest) {
				best = it;
				longest = n;
			}
		}
	return best;
}

/* "attr", or "attr.N" for the value of that index from 0. */
static const char *find_value(const struct object *o, const char *attr)
{
	const struct strv *values = map_get(&o->attrs, attr);
	const char *dot = strrchr(attr, '.');
	_cleanup_free_ char *name = NULL;
	size_t i = 0;

	if (values)
		return values->len ? values->v[0] : NULL;
	if (!dot || !dot[1] || dot[1 + strspn(dot + 1, "0123456789")] || strlen(dot) > 6)
		return NULL;
	name = xstrndup(attr, (size_t)(dot - attr));
	values = map_get(&o->attrs, name);
	i = (size_t)atoi(dot + 1);
	return values && i < values->len ? values->v[i] : NULL;
}

static int unknown_object(const struct vars *v, const char *name, const struct place *p, struct error **err)
{
	_cleanup_free_ char *first = xstrndup(name, strcspn(name, ".")), *msg = NULL;
	const char *dot = strrchr(name, '.');
	/* Names may hold dots; what stands before the last one is what most likely was meant. */
	_cleanup_free_ char *front = dot ? xstrndup(name, (size_t)(dot - name)) : xstrdup(name);
	_cleanup_map_ struct map known = { 0 };

	msg = xasprintf("{{%s}}: nothing is named '%s'", name, first);
	fail(p, err, msg);
	for (; v; v = v->base)
		MAP_FOR(&v->objects, it)
			map_set(&known, it->key, it->value);
	return suggest(&known, front, "names", err);
}

static int resolve(const struct vars *v, const char *name, const struct place *p, struct buf *out, struct error **err)
{
	const struct map_item *it = find_object(v, name);
	const struct object *o = it ? it->value : NULL;
	_cleanup_free_ char *dynamic = NULL, *msg = NULL;
	const char *attr, *value;

	if (!o)
		return unknown_object(v, name, p, err);
	attr = name + strlen(it->key);
	if (!*attr || !attr[1]) {
		msg = xasprintf("{{%s}}: say which attribute of '%s'", name, it->key);
		fail(p, err, msg);
		return suggest(&o->attrs, "", "attributes", err);
	}
	attr++;
	value = find_value(o, attr);
	if (!value && o->fn)
		value = dynamic = o->fn(attr, o->arg);
	if (!value) {
		msg = xasprintf("{{%s}}: '%s' has no '%s'", name, it->key, attr);
		fail(p, err, msg);
		return suggest(&o->attrs, attr, "attributes", err);
	}
	buf_adds(out, value);
	return 0;
}

static bool name_char(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '-' || c == '.';
}

/*
 * s points behind "{{". Returns the length of the name that stands there, blanks around it excluded, 0 when this is no reference:
 * bash's {{a,b},c} and other programs' templates ({{.Names}}, {{ x | y }}) pass as they are. *end is behind "}}", NULL when they lack.
 */
static size_t reference(const char *s, const char **name, const char **end)
{
	size_t n = 0;

	s += strspn(s, " \t");
	if (!isalnum((unsigned char)*s) && *s != '_')
		return 0;
	*name = s;
	while (name_char(s[n]))
		n++;
	s += n;
	s += strspn(s, " \t");
	if (!strncmp(s, "}}", 2)) {
		*end = s + 2;
		return n;
	}
	/* {{sn.ip} and {{sn.ip: somebody forgot. */
	*end = NULL;
	return (*s == '}' || !*s) && memchr(*name, '.', n) ? n : 0;
}

char *vars_expand(const struct vars *v, const char *text, const struct node *at, const char *where, struct error **err)
{
	const struct place p = { at, where };
	_cleanup_buf_ struct buf out = BUF_INIT;
	const char *s = text;

	buf_str(&out);
	for (const char *brace; (brace = strstr(s, "{{"));) {
		_cleanup_free_ char *name = NULL;
		const char *word = NULL, *end = NULL;
		size_t n;

		if (brace > s && brace[-1] == '\\') {
			buf_add(&out, s, (size_t)(brace - s) - 1);
			buf_adds(&out, "{{");
			s = brace + 2;
			continue;
		}
		n = reference(brace + 2, &word, &end);
		if (!n) {
			/* One brace only: in {{{x.y}} the reference begins at the second. */
			buf_add(&out, s, (size_t)(brace - s) + 1);
			s = brace + 1;
			continue;
		}
		buf_add(&out, s, (size_t)(brace - s));
		name = xstrndup(word, n);
		if (!end) {
			_cleanup_free_ char *msg = xasprintf("{{%s: the closing }} is missing", name);

			fail(&p, err, msg);
			error_hint(err, "write \\{{ for braces that are meant as such");
			return NULL;
		}
		if (resolve(v, name, &p, &out, err) < 0)
			return NULL;
		s = end;
	}
	buf_adds(&out, s);
	return buf_steal(&out);
}

void vars_to_json(const struct vars *v, struct buf *b)
{
	const char *sep = "";

	buf_addc(b, '{');
	MAP_FOR(&v->objects, it) {
		const struct object *o = it->value;
		const char *inner = "";

		buf_adds(b, sep);
		json_quote(b, it->key);
		buf_adds(b, ":{");
		MAP_FOR(&o->attrs, a) {
			const struct strv *values = a->value;

			buf_adds(b, inner);
			json_quote(b, a->key);
			buf_adds(b, ":[");
			for (size_t i = 0; i < values->len; i++) {
				buf_adds(b, i ? "," : "");
				json_quote(b, values->v[i]);
			}
			buf_addc(b, ']');
			inner = ",";
		}
		buf_addc(b, '}');
		sep = ",";
	}
	buf_addc(b, '}');
}
