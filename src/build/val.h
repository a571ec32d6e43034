/* SPDX-License-Identifier: Apache-2.0 */
/*
 * build/ makes images from templates: Packer's JSON language, read as people have it, with croft's machines below and every step
 * kept. It owns CACHE/builds and the output folders of templates; the program croft-build calls it.
 *
 * This header: a document that can be changed. Templates are mended before they are read (fixers), and their strings are expanded;
 * each value still knows its place in the file.
 */
#ifndef CROFT_BUILD_VAL_H
#define CROFT_BUILD_VAL_H

#include "base/buf.h"
#include "base/error.h"
#include "conf/doc.h"

struct val {
	enum node_type type;
	char *text; /* scalars */
	const struct node *at; /* where it stands; belongs to the document, which must live as long. NULL: made by croft */
	size_t len, cap;
	struct val **items;
	char **keys; /* maps */
	const struct node **keys_at;
};

struct val *val_from(const struct node *n);
struct val *val_clone(const struct val *v);
struct val *val_text(const char *text, const struct node *at); /* a string */
struct val *val_list(const struct node *at);
struct val *val_map(const struct node *at);
void val_free(struct val *v); /* NULL allowed */
static inline void val_freep(struct val **v)
{
	val_free(*v);
}
#define _cleanup_val_ __attribute__((cleanup(val_freep)))

/* Index of a key in a map, upper and lower case being the same (an exact one wins); -1: none. */
long val_find(const struct val *v, const char *key);
struct val *val_get(const struct val *v, const char *key); /* v may be NULL or no map */
const char *val_str(const struct val *v, const char *key); /* text of a scalar, or NULL */
void val_add(struct val *list, struct val *item);	   /* takes it */
/* Replaces or appends; takes the value. */
void val_set(struct val *map, const char *key, struct val *value);
void val_drop(struct val *map, const char *key); /* absent is success */
struct val *val_take(struct val *map, const char *key); /* out of the map; NULL: not there */

/* As node_error: ERR_USAGE with FILE:LINE:COLUMN when it has a place. key: at that key instead. Return -1. */
int val_error(const struct val *v, struct error **err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int val_key_error(const struct val *map, size_t index, struct error **err, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* "FILE:LINE:COLUMN: " for messages, or ""; new. */
char *val_place(const struct val *v);

/* JSON, indented by two blanks as Go's encoder does it. */
void val_json(const struct val *v, struct buf *b);

#endif
