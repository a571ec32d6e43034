/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/doc.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/units.h"

#include <stdarg.h>
#include <string.h>

int node_error(const struct node *n, struct error **err, const char *fmt, ...)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	buf_addvf(&b, fmt, ap);
	va_end(ap);
	return error_set(
		err, ERR_USAGE, "%s:%d:%d: %s", doc_name(n->doc), n->line, n->col, buf_str(&b));
}

const char *node_type_name(enum node_type t)
{
	static const char *const names[] = { "nothing", "true or false", "a number", "a string",
		"a list", "a map" };

	return names[t];
}

static size_t index_of(const struct node *n, const char *key)
{
	if (n && n->type == NODE_MAP)
		for (size_t i = 0; i < n->len; i++)
			if (!strcmp(n->keys[i]->text, key))
				return i;
	return SIZE_MAX;
}

struct node *node_get(const struct node *n, const char *key)
{
	size_t i = index_of(n, key);

	return i == SIZE_MAX ? NULL : n->items[i];
}

struct node *node_key(const struct node *n, const char *key)
{
	size_t i = index_of(n, key);

	return i == SIZE_MAX ? NULL : n->keys[i];
}

static int wrong_type(const struct node *v, const char *key, const char *want, struct error **err)
{
	if (v->type == NODE_STRING || v->type == NODE_NUMBER)
		return node_error(v, err, "%s: %s is needed, this is '%s'", key, want, v->text);
	return node_error(
		v, err, "%s: %s is needed, this is %s", key, want, node_type_name(v->type));
}

int node_str(const struct node *n, const char *key, const char **ret, struct error **err)
{
	const struct node *v = node_get(n, key);

	if (!v)
		return 0;
	/* 1 and yes are words too where a word is asked for. */
	if (v->type == NODE_LIST || v->type == NODE_MAP || v->type == NODE_NULL)
		return wrong_type(v, key, "a string", err);
	*ret = v->text;
	return 0;
}

int node_bool(const struct node *n, const char *key, bool *ret, struct error **err)
{
	const struct node *v = node_get(n, key);

	if (!v)
		return 0;
	if (v->type != NODE_BOOL)
		return wrong_type(v, key, "true or false", err);
	*ret = v->text[0] == 't' || v->text[0] == 'T';
	return 0;
}

/* Puts the place in front of what a parser of base/units.h said. */
static int at_node(const struct node *v, struct error **err)
{
	return error_wrap(err, "%s:%d:%d", doc_name(v->doc), v->line, v->col);
}

int node_u64(const struct node *n, const char *key, uint64_t min, uint64_t max, uint64_t *ret,
	struct error **err)
{
	const struct node *v = node_get(n, key);

	if (!v)
		return 0;
	if (v->type != NODE_NUMBER && v->type != NODE_STRING)
		return wrong_type(v, key, "a number", err);
	return parse_u64(key, v->text, min, max, ret, err) < 0 ? at_node(v, err) : 0;
}

int node_size(const struct node *n, const char *key, uint64_t *ret, struct error **err)
{
	const struct node *v = node_get(n, key);

	if (!v)
		return 0;
	if (v->type != NODE_NUMBER && v->type != NODE_STRING)
		return wrong_type(v, key, "a size (512M, 10G)", err);
	return parse_size(key, v->text, ret, err) < 0 ? at_node(v, err) : 0;
}

static int node_typed(const struct node *n, const char *key, enum node_type type, struct node **ret,
	struct error **err)
{
	struct node *v = node_get(n, key);

	if (!v)
		return 0;
	if (v->type != type)
		return wrong_type(v, key, node_type_name(type), err);
	*ret = v;
	return 0;
}

int node_map(const struct node *n, const char *key, struct node **ret, struct error **err)
{
	return node_typed(n, key, NODE_MAP, ret, err);
}

int node_list(const struct node *n, const char *key, struct node **ret, struct error **err)
{
	return node_typed(n, key, NODE_LIST, ret, err);
}

int node_known(const struct node *n, const char *what, const char *const *known, struct error **err)
{
	size_t count = 0;

	if (n->type != NODE_MAP)
		return node_error(
			n, err, "%s: a map is needed, this is %s", what, node_type_name(n->type));
	while (known[count])
		count++;
	for (size_t i = 0; i < n->len; i++) {
		const char *key = n->keys[i]->text, *near;
		size_t k = 0;

		while (k < count && strcmp(known[k], key))
			k++;
		if (k < count)
			continue;
		near = nearest_name(key, known, count);
		node_error(n->keys[i], err, "%s: unknown key '%s'", what, key);
		if (near)
			return error_hint(err, "did you mean '%s'?", near);
		{
			_cleanup_buf_ struct buf b = BUF_INIT;

			for (k = 0; k < count; k++)
				buf_addf(&b, "%s%s", k ? ", " : "", known[k]);
			return error_hint(err, "known here: %s", buf_str(&b));
		}
	}
	return 0;
}
