/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Documents that people write, JSON or YAML, as a tree in which every value
 * and key knows its place, so that each message says FILE:LINE:COLUMN. Parsed
 * by libfyaml; a tree is immutable and freed as one. Nothing is executed.
 */
#ifndef CROFT_CONF_DOC_H
#define CROFT_CONF_DOC_H

#include "base/buf.h"
#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum node_type { NODE_NULL, NODE_BOOL, NODE_NUMBER, NODE_STRING, NODE_LIST, NODE_MAP };

struct doc;
struct node {
	enum node_type type;
	int line, col;	  /* of the value, from 1 */
	const char *text; /* scalars: as written, unquoted; NULL for lists and maps */
	bool quoted;
	size_t len;	  /* lists and maps: number of items */
	struct node **items;
	struct node **keys; /* maps: key nodes (NODE_STRING), in document order */
	const struct doc *doc;
};

/* Reads a file (at most 64 MiB); `-` is not special. Duplicate keys, tabs, bad UTF-8, depth over 64 and
 * alias bombs are errors with position. */
struct doc *doc_load(const char *path, struct error **err);
/* A JSON file of croft's own, several times as fast; its nodes know no places (1:1). Damaged, it is an error with its place. */
struct doc *doc_load_own(const char *path, struct error **err);
/* doc_load from memory; `name` stands for the file in messages. */
struct doc *doc_parse(const char *name, const char *text, size_t len, struct error **err);
void doc_free(struct doc *d);
static inline void doc_freep(struct doc **d)
{
	doc_free(*d);
}
#define _cleanup_doc_ __attribute__((cleanup(doc_freep)))
struct node *doc_root(const struct doc *d);
const char *doc_name(const struct doc *d);

/* ERR_USAGE with "FILE:LINE:COL: MESSAGE". Returns -1. */
int node_error(const struct node *n, struct error **err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Value under key, or NULL (n may be NULL). */
struct node *node_get(const struct node *n, const char *key);
struct node *node_key(const struct node *n, const char *key); /* the key node, for positions */
const char *node_type_name(enum node_type t);		      /* "a list" ... */

/*
 * Typed access to n[key]. Absent gives the default (0 returned, *ret untouched);
 * a wrong type is an error that names key, what was found, what was expected.
 */
int node_str(const struct node *n, const char *key, const char **ret, struct error **err);
int node_bool(const struct node *n, const char *key, bool *ret, struct error **err);
int node_u64(const struct node *n, const char *key, uint64_t min, uint64_t max, uint64_t *ret,
	struct error **err);
int node_size(const struct node *n, const char *key, uint64_t *ret, struct error **err); /* "10G" */
int node_map(const struct node *n, const char *key, struct node **ret, struct error **err);
int node_list(const struct node *n, const char *key, struct node **ret, struct error **err);
/* Every key of map n must be in the NULL-terminated list; else error at the key, with the nearest known one. */
int node_known(const struct node *n, const char *what, const char *const *known, struct error **err);

/* Compact JSON of a subtree, appended. */
void node_to_json(const struct node *n, struct buf *b);
/* YAML text of a subtree, appended. */
void node_to_yaml(const struct node *n, struct buf *b);
/* JSON string literal with quotes, escaped. */
void json_quote(struct buf *b, const char *s);

#endif
