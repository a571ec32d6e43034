/* SPDX-License-Identifier: Apache-2.0 */
/*
 * {{object.attribute}} in strings. Names hold letters, digits, '_', '-', '.'; the
 * longest known object that the text starts with wins, the rest is the attribute.
 * Blanks inside the braces are allowed. \{{ is a literal {{. Values are not
 * expanded again.
 */
#ifndef CROFT_CONF_INTERP_H
#define CROFT_CONF_INTERP_H

#include "base/error.h"
#include "base/map.h"
#include "base/strv.h"
#include "conf/doc.h"

/*
 * The objects that may be named. An attribute holds a list of values; {{o.a}} is the
 * first, {{o.a.1}} the second.
 */
struct vars;
struct vars *vars_new(void);
/* What is set in it stands before the objects of `base`, which must live as long and costs nothing. */
struct vars *vars_over(const struct vars *base);
void vars_free(struct vars *v);
void vars_set(struct vars *v, const char *object, const char *attr, const char *value); /* replaces */
void vars_append(struct vars *v, const char *object, const char *attr, const char *value);
/* Attributes of this object that are not set are asked from fn (e.g. the environment); NULL: unknown. */
void vars_dynamic(struct vars *v, const char *object, char *(*fn)(const char *attr, void *arg), void *arg);
/*
 * Expands text into a new string. `at` gives the position for errors (its own text may be `text`), or NULL:
 * then messages begin with `where`. Unknown object or attribute: error with the list of known ones and the nearest.
 */
char *vars_expand(const struct vars *v, const char *text, const struct node *at, const char *where,
	struct error **err);
/* All as JSON {"object": {"attr": [..]}}, appended. */
void vars_to_json(const struct vars *v, struct buf *b);

#endif
