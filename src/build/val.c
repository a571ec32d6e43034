/* SPDX-License-Identifier: Apache-2.0 */
#include "build/val.h"

#include "base/cleanup.h"
#include "base/mem.h"

#include <stdarg.h>
#include <string.h>
#include <strings.h>

static struct val *make(enum node_type type, const char *text, const struct node *at)
{
	struct val *v = xcalloc(1, sizeof(*v));

	v->type = type;
	v->text = xstrdup(text);
	v->at = at;
	return v;
}

struct val *val_text(const char *text, const struct node *at)
{
	return make(NODE_STRING, text, at);
}

struct val *val_list(const struct node *at)
{
	return make(NODE_LIST, NULL, at);
}

struct val *val_map(const struct node *at)
{
	return make(NODE_MAP, NULL, at);
}

static void append(struct val *v, const char *key, const struct node *key_at, struct val *item)
{
	if (v->len == v->cap) {
		v->cap = v->cap ? 2 * v->cap : 8;
		v->items = xreallocarray(v->items, v->cap, sizeof(*v->items));
		v->keys = xreallocarray(v->keys, v->cap, sizeof(*v->keys));
		v->keys_at = xreallocarray(v->keys_at, v->cap, sizeof(*v->keys_at));
	}
	v->keys[v->len] = xstrdup(key);
	v->keys_at[v->len] = key_at;
	v->items[v->len++] = item;
}

struct val *val_from(const struct node *n)
{
	struct val *v = make(n->type, n->text, n);

	for (size_t i = 0; i < n->len; i++)
		append(v, n->type == NODE_MAP ? n->keys[i]->text : NULL, n->type == NODE_MAP ? n->keys[i] : NULL, val_from(n->items[i]));
	return v;
}

struct val *val_clone(const struct val *v)
{
	struct val *c = make(v->type, v->text, v->at);

	for (size_t i = 0; i < v->len; i++)
		append(c, v->keys[i], v->keys_at[i], val_clone(v->items[i]));
	return c;
}

void val_free(struct val *v)
{
	if (!v)
		return;
	for (size_t i = 0; i < v->len; i++) {
		free(v->keys[i]);
		val_free(v->items[i]);
	}
	free(v->keys);
	free(v->keys_at);
	free(v->items);
	free(v->text);
	free(v);
}

long val_find(const struct val *v, const char *key)
{
	long found = -1;

	for (size_t i = 0; v && v->type == NODE_MAP && i < v->len; i++) {
		if (!strcmp(v->keys[i], key))
			return (long)i;
		if (found < 0 && !strcasecmp(v->keys[i], key))
			found = (long)i;
	}
	return found;
}

struct val *val_get(const struct val *v, const char *key)
{
	long i = val_find(v, key);

	return i < 0 ? NULL : v->items[i];
}

const char *val_str(const struct val *v, const char *key)
{
	const struct val *x = val_get(v, key);

	return x && x->type != NODE_NULL ? x->text : NULL;
}

void val_add(struct val *list, struct val *item)
{
	append(list, NULL, NULL, item);
}

void val_set(struct val *map, const char *key, struct val *value)
{
	long i = val_find(map, key);

	if (i < 0) {
		append(map, key, NULL, value);
		return;
	}
	val_free(map->items[i]);
	map->items[i] = value;
}

struct val *val_take(struct val *map, const char *key)
{
	long i = val_find(map, key);
	size_t at = (size_t)i, rest;
	struct val *v;

	if (i < 0)
		return NULL;
	v = map->items[at];
	free(map->keys[at]);
	rest = --map->len - at;
	memmove(map->items + at, map->items + at + 1, rest * sizeof(*map->items));
	memmove(map->keys + at, map->keys + at + 1, rest * sizeof(*map->keys));
	memmove(map->keys_at + at, map->keys_at + at + 1, rest * sizeof(*map->keys_at));
	return v;
}

void val_drop(struct val *map, const char *key)
{
	val_free(val_take(map, key));
}

static int error_at(const struct node *at, struct error **err, const char *fmt, va_list ap)
{
	_cleanup_free_ char *text = xvasprintf(fmt, ap);

	return at ? node_error(at, err, "%s", text) : error_set(err, ERR_USAGE, "%s", text);
}

int val_error(const struct val *v, struct error **err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	error_at(v ? v->at : NULL, err, fmt, ap);
	va_end(ap);
	return -1;
}

int val_key_error(const struct val *map, size_t index, struct error **err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	error_at(map->keys_at[index] ? map->keys_at[index] : map->items[index]->at, err, fmt, ap);
	va_end(ap);
	return -1;
}

char *val_place(const struct val *v)
{
	if (!v || !v->at)
		return xstrdup("");
	return xasprintf("%s:%d:%d: ", doc_name(v->at->doc), v->at->line, v->at->col);
}

static void indent(struct buf *b, size_t depth)
{
	buf_addc(b, '\n');
	for (size_t i = 0; i < depth; i++)
		buf_adds(b, "  ");
}

static void write_json(const struct val *v, struct buf *b, size_t depth)
{
	bool map = v->type == NODE_MAP;

	if (v->type == NODE_STRING) {
		json_quote(b, v->text);
		return;
	}
	if (!map && v->type != NODE_LIST) {
		buf_adds(b, v->type == NODE_NULL ? "null" : v->text);
		return;
	}
	buf_addc(b, map ? '{' : '[');
	for (size_t i = 0; i < v->len; i++) {
		indent(b, depth + 1);
		if (map) {
			json_quote(b, v->keys[i]);
			buf_adds(b, ": ");
		}
		write_json(v->items[i], b, depth + 1);
		if (i + 1 < v->len)
			buf_addc(b, ',');
	}
	if (v->len)
		indent(b, depth);
	buf_addc(b, map ? '}' : ']');
}

void val_json(const struct val *v, struct buf *b)
{
	write_json(v, b, 0);
	buf_addc(b, '\n');
}
