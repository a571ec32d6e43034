/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree is built from libfyaml's events, which carry positions for everything. Anchors are
 * resolved here: an alias shares the node it names, and the size that a full expansion would have
 * is bounded, so that no document of a few lines
 * ("billion laughs") makes work without end for those who walk the tree.
 */
#include "conf/doc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/map.h"
#include "base/mem.h"

#include <jansson.h>
#include <libfyaml.h>
#include <string.h>

#define FILE_MAX ((size_t)64 << 20)
#define DEPTH_MAX 64
#define NODES_MAX 4000000u

struct doc {
	char *name;
	struct node *root;
	struct node **all; /* every node, for freeing: the tree may share some */
	size_t nall, cap;
};

/* What a node needs only while the tree is built. */
struct open_node {
	struct node *node;
	struct node *key; /* map: key that waits for its value */
	struct map seen;  /* map: keys so far */
	char *anchor;
	size_t cap, weight;
};

struct builder {
	struct doc *doc;
	struct fy_parser *parser;
	struct open_node stack[DEPTH_MAX];
	size_t depth;
	struct map anchors; /* name -> node */
	struct map weights; /* name -> size of its expansion, as uintptr_t */
	bool json, done;
};

static struct node *node_new(struct builder *b, enum node_type type, const struct fy_mark *m)
{
	struct doc *d = b->doc;
	struct node *n = xcalloc(1, sizeof(*n));

	n->type = type;
	n->doc = d;
	n->line = m ? m->line + 1 : 1;
	n->col = m ? m->column + 1 : 1;
	if (d->nall == d->cap) {
		d->cap = d->cap ? d->cap * 2 : 64;
		d->all = xreallocarray(d->all, d->cap, sizeof(*d->all));
	}
	d->all[d->nall++] = n;
	return n;
}

/* YAML 1.2 core schema for plain scalars; what is quoted is a string. */
static enum node_type plain_type(const char *s)
{
	static const char *const nulls[] = { "", "~", "null", "Null", "NULL" };
	static const char *const bools[] = { "true", "True", "TRUE", "false", "False", "FALSE" };
	const char *p = s;
	size_t digits;

	for (size_t i = 0; i < ARRAY_SIZE(nulls); i++)
		if (!strcmp(s, nulls[i]))
			return NODE_NULL;
	for (size_t i = 0; i < ARRAY_SIZE(bools); i++)
		if (!strcmp(s, bools[i]))
			return NODE_BOOL;
	p += *p == '-' || *p == '+';
	digits = strspn(p, "0123456789");
	p += digits;
	if (*p == '.') {
		size_t more = strspn(++p, "0123456789");

		digits += more;
		p += more;
	}
	if (digits && (*p == 'e' || *p == 'E')) {
		p++;
		p += *p == '-' || *p == '+';
		if (!*p || p[strspn(p, "0123456789")])
			return NODE_STRING;
		return NODE_NUMBER;
	}
	return digits && !*p ? NODE_NUMBER : NODE_STRING;
}

static int too_much(struct builder *b, const struct node *at, struct error **err)
{
	return node_error(at, err,
		"the document is too large (more than %u values, aliases counted in full)",
		NODES_MAX);
}

/* Puts a finished value where it belongs: root, list, or map (as key or value). */
static int place(struct builder *b, struct node *n, size_t weight, struct error **err)
{
	struct open_node *o;

	if (!b->depth) {
		if (b->done)
			return node_error(n, err, "a second document; one is expected");
		b->doc->root = n;
		return 0;
	}
	o = &b->stack[b->depth - 1];
	o->weight += weight;
	if (o->weight > NODES_MAX)
		return too_much(b, n, err);
	if (o->node->type == NODE_MAP && !o->key) {
		const struct node *first;

		if (n->type == NODE_LIST || n->type == NODE_MAP)
			return node_error(
				n, err, "a key must be a word, not %s", node_type_name(n->type));
		first = map_get(&o->seen, n->text);
		if (first)
			return node_error(n, err,
				"'%s' stands here a second time (first on line %d)", n->text,
				first->line);
		map_set(&o->seen, n->text, n);
		o->key = n;
		return 0;
	}
	if (o->node->len == o->cap) {
		o->cap = o->cap ? o->cap * 2 : 8;
		o->node->items = xreallocarray(o->node->items, o->cap, sizeof(struct node *));
		if (o->node->type == NODE_MAP)
			o->node->keys = xreallocarray(o->node->keys, o->cap, sizeof(struct node *));
	}
	if (o->node->type == NODE_MAP)
		o->node->keys[o->node->len] = STEAL(o->key);
	o->node->items[o->node->len++] = n;
	return 0;
}

static char *anchor_of(struct fy_event *e)
{
	struct fy_token *t = fy_event_get_anchor_token(e);
	size_t n = 0;
	const char *s = t ? fy_token_get_text(t, &n) : NULL;

	return s ? xstrndup(s, n) : NULL;
}

static int on_scalar(struct builder *b, struct fy_event *e, struct error **err)
{
	struct fy_token *t = fy_event_get_token(e);
	_cleanup_free_ char *anchor = anchor_of(e);
	struct node *n = node_new(b, NODE_STRING, fy_event_start_mark(e));
	size_t len = 0;
	const char *s = t ? fy_token_get_text(t, &len) : NULL;

	n->text = xstrndup(s ? s : "", len);
	n->quoted = t && fy_token_scalar_style(t) != FYSS_PLAIN;
	/* libfyaml's mark of a quoted scalar is behind the quote. */
	if (t && n->col > 1 &&
		(fy_token_scalar_style(t) == FYSS_SINGLE_QUOTED || fy_token_scalar_style(t) == FYSS_DOUBLE_QUOTED))
		n->col--;
	if (strlen(n->text) != len)
		return node_error(n, err, "a NUL character in a value");
	if (!n->quoted)
		n->type = plain_type(n->text);
	if (anchor) {
		map_set(&b->anchors, anchor, n);
		map_set(&b->weights, anchor, (void *)(uintptr_t)1);
	}
	return place(b, n, 1, err);
}

static int on_open(struct builder *b, struct fy_event *e, enum node_type type, struct error **err)
{
	struct node *n = node_new(b, type, fy_event_start_mark(e));

	if (b->depth == DEPTH_MAX)
		return node_error(n, err, "nested more than %d deep", DEPTH_MAX);
	b->stack[b->depth++] = (struct open_node){ .node = n, .anchor = anchor_of(e), .weight = 1 };
	return 0;
}

static int on_close(struct builder *b, struct error **err)
{
	struct open_node *o = &b->stack[--b->depth];
	struct node *n = o->node;
	size_t weight = o->weight;

	if (o->anchor) {
		map_set(&b->anchors, o->anchor, n);
		map_set(&b->weights, o->anchor, (void *)(uintptr_t)weight);
	}
	free(o->anchor);
	map_free(&o->seen);
	return place(b, n, weight, err);
}

static int on_alias(struct builder *b, struct fy_event *e, struct error **err)
{
	size_t len = 0;
	const char *s = fy_token_get_text(fy_event_get_token(e), &len);
	_cleanup_free_ char *name = xstrndup(s ? s : "", len);
	struct node *n = map_get(&b->anchors, name);

	if (!n)
		return node_error(node_new(b, NODE_NULL, fy_event_start_mark(e)), err,
			"*%s: no value is named &%s above", name, name);
	return place(b, n, (uintptr_t)map_get(&b->weights, name), err);
}

static int on_event(struct builder *b, struct fy_event *e, struct error **err)
{
	switch (e->type) {
	case FYET_SCALAR:
		return on_scalar(b, e, err);
	case FYET_MAPPING_START:
		return on_open(b, e, NODE_MAP, err);
	case FYET_SEQUENCE_START:
		return on_open(b, e, NODE_LIST, err);
	case FYET_MAPPING_END:
	case FYET_SEQUENCE_END:
		return on_close(b, err);
	case FYET_ALIAS:
		return on_alias(b, e, err);
	case FYET_DOCUMENT_END:
		b->done = true;
		return 0;
	default:
		return 0;
	}
}

/* The first error that libfyaml collected, in our words' form. */
static int syntax_error(const char *name, struct fy_diag *diag, bool json, struct error **err)
{
	const struct fy_diag_error *e;
	void *iter = NULL;

	e = fy_diag_errors_iterate(diag, &iter);
	if (!e)
		return error_set(err, ERR_USAGE, "%s: not a valid %s document", name,
			json ? "JSON" : "YAML");
	return error_set(err, ERR_USAGE, "%s:%d:%d: %s", name, e->line, e->column, e->msg);
}

static int build(struct builder *b, struct fy_diag *diag, struct error **err)
{
	struct fy_event *e;
	int rc = 0;

	while (rc == 0 && (e = fy_parser_parse(b->parser))) {
		rc = on_event(b, e, err);
		fy_parser_event_free(b->parser, e);
	}
	if (rc == 0 && fy_parser_get_stream_error(b->parser))
		return syntax_error(b->doc->name, diag, b->json, err);
	if (rc == 0 && !b->doc->root)
		return error_set(err, ERR_USAGE, "%s:1:1: the document is empty", b->doc->name);
	return rc;
}

static void builder_end(struct builder *b)
{
	for (size_t i = 0; i < b->depth; i++) {
		free(b->stack[i].anchor);
		map_free(&b->stack[i].seen);
	}
	map_free(&b->anchors);
	map_free(&b->weights);
	if (b->parser)
		fy_parser_destroy(b->parser);
}

/* JSON's own rules hold for files that say so; any other JSON is read as the YAML that it also is.
 */
static bool is_json(const char *name)
{
	size_t n = strlen(name);

	return n > 5 && !strcmp(name + n - 5, ".json");
}

/* Length of the UTF-8 sequence at s (RFC 3629), 0 when it is none. */
static size_t utf8_len(const unsigned char *s, size_t left)
{
	size_t n = *s < 0x80 ? 1 : *s >= 0xc2 && *s < 0xe0 ? 2 : (*s & 0xf0) == 0xe0 ? 3 : *s >= 0xf0 && *s < 0xf5 ? 4 : 0;

	if (n > left)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	/* Overlong forms, surrogates, beyond U+10FFFF. */
	if ((*s == 0xe0 && s[1] < 0xa0) || (*s == 0xed && s[1] > 0x9f) || (*s == 0xf0 && s[1] < 0x90) ||
		(*s == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

/* Asked before libfyaml 0.7.12 sees the text, which never comes back from some places with other bytes (a directive, "%\327"). */
static int check_utf8(const char *name, const char *text, size_t len, struct error **err)
{
	int line = 1, col = 1;

	for (size_t at = 0, n; at < len; at += n) {
		n = utf8_len((const unsigned char *)text + at, len - at);
		if (!n)
			return error_set(err, ERR_USAGE, "%s:%d:%d: not UTF-8 (byte 0x%02x)", name, line, col, (unsigned char)text[at]);
		col++;
		if (text[at] == '\n') {
			line++;
			col = 1;
		}
	}
	return 0;
}

struct doc *doc_parse(const char *name, const char *text, size_t len, struct error **err)
{
	struct fy_diag_cfg dc;
	struct fy_diag *diag;
	struct builder *b = xcalloc(1, sizeof(*b));
	struct fy_parse_cfg pc = { 0 };
	struct doc *d = xcalloc(1, sizeof(*d));
	int rc = -1;

	d->name = xstrdup(name);
	b->doc = d;
	b->json = is_json(name);
	fy_diag_cfg_default(&dc);
	dc.fp = NULL;
	diag = fy_diag_create(&dc);
	fy_diag_set_collect_errors(diag, true);
	pc.diag = diag;
	pc.flags =
		FYPCF_QUIET | FYPCF_COLLECT_DIAG | (b->json ? FYPCF_JSON_FORCE : FYPCF_JSON_NONE);
	b->parser = fy_parser_create(&pc);
	if (len > FILE_MAX)
		error_set(err, ERR_USAGE, "%s: larger than %zu MiB", name, FILE_MAX >> 20);
	else if (memchr(text, '\0', len))
		error_set(err, ERR_USAGE, "%s: not a text file (it holds a NUL byte)", name);
	else if (check_utf8(name, text, len, err) < 0)
		rc = -1;
	else if (!b->parser || fy_parser_set_string(b->parser, text, len))
		error_set(err, ERR_FAILED, "%s: cannot start the parser", name);
	else
		rc = build(b, diag, err);
	builder_end(b);
	free(b);
	fy_diag_destroy(diag);
	if (rc < 0) {
		doc_free(d);
		return NULL;
	}
	return d;
}

struct doc *doc_load(const char *path, struct error **err)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (file_read(path, FILE_MAX, &b, err) < 0)
		return NULL;
	return doc_parse(path, buf_str(&b), b.len, err);
}

/* ---- files that croft itself has written ---- */

static struct node *own_node(struct builder *b, json_t *j)
{
	static const enum node_type types[] = { [JSON_OBJECT] = NODE_MAP, [JSON_ARRAY] = NODE_LIST, [JSON_STRING] = NODE_STRING,
		[JSON_INTEGER] = NODE_NUMBER, [JSON_REAL] = NODE_NUMBER, [JSON_TRUE] = NODE_BOOL, [JSON_FALSE] = NODE_BOOL, [JSON_NULL] = NODE_NULL };
	struct node *n = node_new(b, types[json_typeof(j)], NULL);
	const char *name;
	json_t *v;

	n->len = json_is_object(j) ? json_object_size(j) : json_is_array(j) ? json_array_size(j) : 0;
	if (n->len)
		n->items = xcalloc(n->len, sizeof(struct node *));
	if (json_is_object(j)) {
		size_t i = 0;

		n->keys = n->len ? xcalloc(n->len, sizeof(struct node *)) : NULL;
		json_object_foreach(j, name, v) {
			n->keys[i] = node_new(b, NODE_STRING, NULL);
			n->keys[i]->text = xstrdup(name);
			n->items[i++] = own_node(b, v);
		}
	} else if (json_is_array(j)) {
		for (size_t i = 0; i < n->len; i++)
			n->items[i] = own_node(b, json_array_get(j, i));
	} else if (json_is_string(j)) {
		n->text = xstrdup(json_string_value(j));
		n->quoted = true;
	} else {
		n->text = json_is_integer(j) ? xasprintf("%" JSON_INTEGER_FORMAT, json_integer_value(j))
			  : json_is_real(j)  ? xasprintf("%.17g", json_real_value(j))
			  : json_is_null(j)  ? xstrdup("null")
					     : xstrdup(json_is_true(j) ? "true" : "false");
	}
	return n;
}

struct doc *doc_load_own(const char *path, struct error **err)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	struct builder b = { 0 };
	json_t *j;

	if (file_read(path, FILE_MAX, &text, err) < 0)
		return NULL;
	j = json_loadb(buf_str(&text), text.len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
	/* Not as it was written: the careful parser says where. */
	if (!j)
		return doc_parse(path, buf_str(&text), text.len, err);
	b.doc = xcalloc(1, sizeof(*b.doc));
	b.doc->name = xstrdup(path);
	b.doc->root = own_node(&b, j);
	json_decref(j);
	return b.doc;
}

void doc_free(struct doc *d)
{
	if (!d)
		return;
	for (size_t i = 0; i < d->nall; i++) {
		free((char *)d->all[i]->text);
		free(d->all[i]->items);
		free(d->all[i]->keys);
		free(d->all[i]);
	}
	free(d->all);
	free(d->name);
	free(d);
}

struct node *doc_root(const struct doc *d)
{
	return d->root;
}

const char *doc_name(const struct doc *d)
{
	return d->name;
}
