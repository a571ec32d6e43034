/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text with {{actions}}, the part of Go's text/template that templates of images use: .Field, functions with string, number and
 * `raw` arguments, pipelines, parentheses, if / else if / else / end, comments, trim markers, printf, print, eq, ne, not, and, or, len.
 * Anything else is an error at its character.
 */
#ifndef CROFT_BUILD_GOTMPL_H
#define CROFT_BUILD_GOTMPL_H

#include "base/error.h"
#include "base/map.h"
#include "base/strv.h"
#include <stdbool.h>

/* A function of the one who expands. Numbers come as text. Returns 1 when it has no function of that name, -1 with *err. */
typedef int tmpl_func(void *arg, const char *name, const struct strv *args, char **ret, struct error **err);

struct tmpl {
	const struct map *fields; /* name without the dot -> char *; NULL: none */
	bool keep_fields;	  /* actions that begin with a field stay as they are, for a later expansion */
	tmpl_func *func;
	void *arg;
};
/*
 * New string in *ret. An error names the character; its class is ERR_USAGE unless the function's own. An unknown field is told with the
 * known ones.
 */
int tmpl_expand(const struct tmpl *t, const char *text, char **ret, struct error **err);

#endif
