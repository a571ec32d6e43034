/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/doc.h"

#include <string.h>
#include <strings.h>

void json_quote(struct buf *b, const char *s)
{
	buf_addc(b, '"');
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '"' || c == '\\')
			buf_addf(b, "\\%c", c);
		else if (c == '\n')
			buf_adds(b, "\\n");
		else if (c == '\t')
			buf_adds(b, "\\t");
		else if (c < 0x20 || c == 0x7f)
			buf_addf(b, "\\u%04x", c);
		else
			buf_addc(b, (char)c);
	}
	buf_addc(b, '"');
}

/* YAML allows numbers that JSON does not (+1, 01, .5, 1.): these go out as strings. */
static bool json_number(const char *s)
{
	s += *s == '-';
	if (*s == '0' ? s[1] && !strchr(".eE", s[1]) : !(*s >= '1' && *s <= '9'))
		return false;
	s += strspn(s, "0123456789");
	if (*s == '.') {
		size_t n = strspn(s + 1, "0123456789");

		if (!n)
			return false;
		s += n + 1;
	}
	return !*s || *s == 'e' || *s == 'E';
}

static void scalar_to_json(const struct node *n, struct buf *b)
{
	if (n->type == NODE_NULL)
		buf_adds(b, "null");
	else if (n->type == NODE_BOOL)
		buf_adds(b, n->text[0] == 't' || n->text[0] == 'T' ? "true" : "false");
	else if (n->type == NODE_NUMBER && json_number(n->text))
		buf_adds(b, n->text);
	else
		json_quote(b, n->text);
}

void node_to_json(const struct node *n, struct buf *b)
{
	bool map = n->type == NODE_MAP;

	if (!map && n->type != NODE_LIST) {
		scalar_to_json(n, b);
		return;
	}
	buf_addc(b, map ? '{' : '[');
	for (size_t i = 0; i < n->len; i++) {
		if (i)
			buf_addc(b, ',');
		if (map) {
			json_quote(b, n->keys[i]->text);
			buf_addc(b, ':');
		}
		node_to_json(n->items[i], b);
	}
	buf_addc(b, map ? '}' : ']');
}

/* Words that need no quotes whatever the reader: everything else is quoted as in JSON, which YAML
 * takes. */
static bool plain_word(const char *s)
{
	static const char *const taken[] = { "null", "true", "false", "yes", "no", "on", "off", "y",
		"n" };

	if (!*s ||
		s[strspn(
			s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./")] ||
		strchr("-./0123456789", *s))
		return false;
	for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
		if (!strcasecmp(s, taken[i]))
			return false;
	return true;
}

static void word_to_yaml(const struct node *n, struct buf *b)
{
	if (n->type == NODE_STRING && plain_word(n->text))
		buf_adds(b, n->text);
	else
		scalar_to_json(n, b);
}

static void indent(struct buf *b, unsigned depth)
{
	for (unsigned i = 0; i < depth; i++)
		buf_adds(b, "  ");
}

/* in_item: the first line stands behind a "- " that is already there. */
static void to_yaml(const struct node *n, struct buf *b, unsigned depth, bool in_item)
{
	for (size_t i = 0; i < n->len; i++) {
		const struct node *v = n->items[i];
		bool deep = (v->type == NODE_MAP || v->type == NODE_LIST) && v->len;

		if (i || !in_item)
			indent(b, depth);
		if (n->type == NODE_MAP) {
			struct node key = *n->keys[i];

			key.type = NODE_STRING;
			word_to_yaml(&key, b);
			buf_addc(b, ':');
			if (deep) {
				buf_addc(b, '\n');
				to_yaml(v, b, depth + 1, false);
				continue;
			}
			buf_addc(b, ' ');
		} else {
			buf_adds(b, "- ");
			if (deep) {
				to_yaml(v, b, depth + 1, true);
				continue;
			}
		}
		if (v->type == NODE_MAP || v->type == NODE_LIST)
			buf_adds(b, v->type == NODE_MAP ? "{}" : "[]");
		else
			word_to_yaml(v, b);
		buf_addc(b, '\n');
	}
}

void node_to_yaml(const struct node *n, struct buf *b)
{
	if ((n->type == NODE_MAP || n->type == NODE_LIST) && n->len) {
		to_yaml(n, b, 0, false);
		return;
	}
	if (n->type == NODE_MAP || n->type == NODE_LIST)
		buf_adds(b, n->type == NODE_MAP ? "{}" : "[]");
	else
		word_to_yaml(n, b);
	buf_addc(b, '\n');
}
