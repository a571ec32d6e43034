/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where croft keeps things (XDG base directory specification), and path
 * arithmetic. CROFT_HOME, when set, holds everything: data, cache below it.
 */
#ifndef CROFT_BASE_PATH_H
#define CROFT_BASE_PATH_H

#include "error.h"
#include <stdbool.h>

char *path_join(const char *a, const char *b); /* new; an absolute b wins */
char *path_dirname(const char *p);	       /* new; "." when there is no slash */
const char *path_basename(const char *p);      /* points into p */
char *path_absolute(const char *p);	       /* new; against the working directory, no link resolution */

char *path_data(const char *sub);   /* CROFT_HOME or XDG_DATA_HOME/croft; sub may be NULL; new */
char *path_cache(const char *sub);  /* CROFT_HOME/cache or XDG_CACHE_HOME/croft; new */
char *path_config(const char *sub); /* XDG_CONFIG_HOME/croft; new */
/*
 * A program or file of croft's own: CROFT_LIBEXEC, else beside the running
 * executable (build tree), else ../libexec/croft of it. New string; error when absent.
 */
char *path_libexec(const char *name, struct error **err);
/* First executable of that name in PATH, or NULL; new. */
char *path_find_program(const char *name);

/*
 * Names of machines, images, groups, snapshots: [A-Za-z0-9][A-Za-z0-9._-]*, at
 * most 64 bytes. `what` is the noun for the message.
 */
int name_check(const char *what, const char *name, struct error **err);

#endif
