/* SPDX-License-Identifier: Apache-2.0 */
/* The functions that templates of images may call, {{user `x`}} and the others. */
#ifndef CROFT_BUILD_FUNCS_H
#define CROFT_BUILD_FUNCS_H

#include "base/error.h"
#include "base/map.h"
#include "base/strv.h"
#include "build/gotmpl.h"
#include <stdbool.h>
#include <time.h>

/* The version of Packer whose language this is; min_packer_version is compared with it. */
#define BUILD_PACKER_VERSION "1.11.0"

struct funcs {
	const struct map *vars; /* user variables, name -> char * */
	bool strict;		/* an undefined variable is an error (it is "" otherwise) */
	bool env;		/* {{env}} is allowed */
	bool post;		/* {{clean_resource_name}} is known */
	bool constant;		/* times and UUIDs are fixed: for comparing what two builds do */
	const char *build_name, *build_type, *template_dir;
	const struct map *build; /* of {{build `ID`}}, name -> char *; NULL: not known yet, a placeholder stands in */
	time_t now;
};
int funcs_call(void *funcs, const char *name, const struct strv *args, char **ret, struct error **err);
/* funcs and fields (may be NULL) over text. */
int funcs_expand(const struct funcs *f, const struct map *fields, const char *text, char **ret, struct error **err);
/* What {{build}} may be asked for, NULL-terminated. */
extern const char *const funcs_build_names[];

#endif
