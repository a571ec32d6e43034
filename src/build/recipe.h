/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recipes: roots that are built package by package from sources, in the manner of Linux From Scratch (docs/recipes.md). Each package and pass is
 * a step, keyed by all that it depends on, whose changes are a layer (tree.h).
 */
#ifndef CROFT_BUILD_RECIPE_H
#define CROFT_BUILD_RECIPE_H

#include "build/schema.h"
#include "build/ui.h"
#include "build/val.h"
#include "image/sha.h"

#include <stdint.h>

enum stage { STAGE_PRE, STAGE_CONFIGURE, STAGE_MAKE, STAGE_TEST, STAGE_INSTALL, STAGE_POST, STAGES };
extern const char *const stage_names[STAGES + 1]; /* NULL-terminated */

struct recipe_step {
	char *id;	/* "binutils-2.40", of the table */
	char *name, *version;
	struct strv patches; /* absolute paths */
	unsigned pass;
	const struct val *source; /* its entry in sources; NULL: it has none */
	char *script[STAGES];	  /* for the shell; NULL: nothing is to be done */
	bool network;		  /* what it runs may use it */
	const struct val *at;
	char key[SHA_HEX];
};
struct recipe_output {
	char *file, *from; /* on this computer; inside: a folder (a tar of it is made) or a file */
	char *format;	   /* of image_export, or NULL */
};
struct recipe {
	char *path, *dir;
	struct doc *doc;
	struct val *root;
	char *name;
	/* one of them; release: Debian's */
	char *release, *start_root, *start_image, *mirror;
	const struct val *machine; /* keys of the builder croft: packages are built in that machine; or NULL */
	struct strv packages, mirrors, vars; /* vars: NAME=VALUE */
	struct recipe_step *steps;
	size_t nsteps;
	struct recipe_output *outputs;
	size_t noutputs;
};

/* Is it one? A folder with recipe.yaml, or a document with the root key recipe. */
bool recipe_is(const char *path);
/* ERR_USAGE with FILE:LINE:COLUMN. */
struct recipe *recipe_load(const char *path, struct error **err);
void recipe_free(struct recipe *r);
static inline void recipe_freep(struct recipe **r)
{
	recipe_free(*r);
}
#define _cleanup_recipe_ __attribute__((cleanup(recipe_freep)))

/* ---- recipe_source.c ---- */

/* The file of a source in the cache, fetched and checked when it is not there; new. */
char *recipe_fetch(const struct recipe *r, const struct recipe_step *s, const struct ui *ui, struct error **err);
/* Its checksum as the recipe names it, or NULL. */
const char *recipe_checksum(const struct recipe_step *s);

/* ---- recipe_run.c ---- */

/* The keys of the machine that packages are built in. */
int recipe_machine_conf(const struct val *v, struct conf *ret, struct error **err);
/* The folder in the cache of a recipe with that start; new. */
char *recipe_dir(const struct recipe *r, const char first[SHA_HEX]);

struct recipe_opts {
	const char *from, *until, *shell_at; /* ID, ID:PASS or number from 1; or NULL */
	const char *out;   /* folder of what is made; NULL: output-NAME */
	bool no_cache, force;
	unsigned jobs;	   /* 0: as many as there are processors */
};
/* Builds it; the table of times and sizes is printed at the end, of a failure too. Exit status. */
int recipe_build(const struct recipe *r, const struct recipe_opts *o, const struct ui *ui, struct error **err);

#endif
