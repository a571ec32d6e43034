/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Settings that other tools read by a shell: assignments and arrays, nothing else. Read here without a shell and without running
 * anything:
 *
 *	NAME=word   NAME="text $VAR ${VAR}"   NAME='text'   NAME+=word   export NAME=word   NAME=( word "word" "${OTHER[@]}" )
 *
 * with backslashes, $'...', ~/ at the start of a word, ${VAR:-word} and comments as bash has them. Everything else (commands, $(...),
 * redirections, a variable that is not set) is an error with FILE:LINE:COLUMN.
 */
#ifndef CROFT_CONF_SHELLVARS_H
#define CROFT_CONF_SHELLVARS_H

#include "base/error.h"
#include "base/strv.h"
#include <stdbool.h>
#include <stddef.h>

struct shellvars;
struct shellvars *shellvars_new(void);
void shellvars_free(struct shellvars *v);
static inline void shellvars_freep(struct shellvars **v)
{
	shellvars_free(*v);
}
#define _cleanup_shellvars_ __attribute__((cleanup(shellvars_freep)))

/* Adds what the file assigns (at most 1 MiB); names that are there already are replaced. On failure v is as it was before. */
int shellvars_read(struct shellvars *v, const char *path, struct error **err);
/* The same from memory; `name` stands for the file in messages. */
int shellvars_parse(struct shellvars *v, const char *name, const char *text, size_t len, struct error **err);
/* Words of a command line that stands in a file, a new line being a blank, as words of an array. Appended. */
int shellvars_words(struct shellvars *v, const char *name, const char *text, size_t len, struct strv *ret, struct error **err);

/* A variable's value, of an array its first; NULL: not set. $NAME in files finds these first, then the environment. */
const char *shellvars_get(const struct shellvars *v, const char *name);
/* All values; a plain variable has one. NULL: not set. */
const struct strv *shellvars_list(const struct shellvars *v, const char *name);
/* All names, in the order of their first assignment; appended. */
void shellvars_names(const struct shellvars *v, struct strv *ret);
void shellvars_set(struct shellvars *v, const char *name, const char *value);
void shellvars_set_list(struct shellvars *v, const char *name, const struct strv *values);

#endif
