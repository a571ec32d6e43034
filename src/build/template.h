/* SPDX-License-Identifier: Apache-2.0 */
/* A template as it is read: root keys, variables with their values, parts. */
#ifndef CROFT_BUILD_TEMPLATE_H
#define CROFT_BUILD_TEMPLATE_H

#include "build/schema.h"

struct part {
	const struct component *c;
	char *name;	  /* as `only` and `except` know it; default: its type */
	struct val *raw;  /* its keys, without those that are the same for all parts */
	struct strv only, except;
	const struct val *override; /* provisioners: build name -> keys; or NULL */
	int64_t pause_before, timeout; /* ns, 0: none */
	char *max_retries;	       /* provisioners; a template; or NULL */
	int keep;		       /* post-processors, keep_input_artifact: 0, 1, -1 not given */
};
struct chain { /* post-processors that feed one another */
	struct part *v;
	size_t len;
};
struct template {
	char *path, *dir;
	struct doc *doc;
	struct val *root;
	char *description;
	struct map vars;	   /* char * */
	struct strv sensitive;	   /* values that are not shown */
	struct strv required;	   /* names without a default */
	struct part *builders, *provisioners, *cleanup; /* cleanup: NULL or one */
	size_t nbuilders, nprovisioners, nchains;
	struct strv left_out; /* builders that are for another program than croft: names */
	struct strv why;      /* of each of them, with its place */
	struct chain *chains;
	struct strv warnings;
	time_t now;
};

struct template_opts {
	const struct strv *vars;      /* "name=value" */
	const struct strv *var_files; /* JSON or YAML, flat */
	bool syntax_only;	      /* variables may lack values */
	bool warn_undeclared;
};
/* path "-": standard input. Old spellings are mended, with a warning each. ERR_USAGE with FILE:LINE:COLUMN. */
struct template *template_load(const char *path, const struct template_opts *o, struct error **err);
void template_free(struct template *t);
static inline void template_freep(struct template **t)
{
	template_free(*t);
}
#define _cleanup_template_ __attribute__((cleanup(template_freep)))
/* The document alone, with old spellings mended; notes may be NULL: not mended. *doc must live as long as the result. */
struct val *template_document(const char *path, struct doc **doc, struct strv *notes, struct error **err);

/* Does this part take part in that build? */
bool part_applies(const struct part *p, const char *build_name);
/* raw with what `override` has for that build; new. */
struct val *part_raw(const struct part *p, const char *build_name);
/* Functions for a part of that build; f->build etc. are left to the caller. */
void template_funcs(const struct template *t, const struct part *builder, struct funcs *f);

#endif
