/* SPDX-License-Identifier: Apache-2.0 */
/* Where a recipe's packages are built: in namespaces of this computer (recipe_tree.c) or in a machine (recipe_machine.c). */
#ifndef CROFT_BUILD_RECIPE_PLACE_H
#define CROFT_BUILD_RECIPE_PLACE_H

#include "build/recipe.h"
#include "build/comm.h"

/* Names in / of what is built, while it is built. */
#define RECIPE_STAGE "build.stage" /* the stage that runs, for what is said when it fails */

struct place;
struct place_ops {
	/* Is the state of that key kept? */
	bool (*has)(struct place *p, const char *key);
	/* What the recipe starts from, kept under p->first. */
	int (*start)(struct place *p, struct error **err);
	/* To the state of the last of these keys, the others being those that it came from. */
	int (*back)(struct place *p, const struct strv *keys, struct error **err);
	/*
	 * Clean for each attempt: /build with what is in the archive, or with the file as /build/source (NULL: empty), the patches as
	 * /build.patch-N, and the recipe's folder as /recipe (NULL: none).
	 */
	int (*prepare)(struct place *p, const char *file, const struct strv *patches, const char *recipe, struct error **err);
	/* `sh -e` over the script, with these variables besides the usual ones. Its status. */
	int (*run)(struct place *p, const char *script, const struct strv *env, bool network, comm_output *fn, void *arg, int *status, struct error **err);
	/* The content of RECIPE_STAGE, as far as it can be had. */
	void (*stage)(struct place *p, struct buf *ret);
	/* What prepare() has put there is gone; the state is kept under the key. bytes: what the package has added. */
	int (*commit)(struct place *p, const char *key, const char *what, uint64_t *bytes, struct error **err);
	/* The folder `from` as a tar. */
	int (*tar)(struct place *p, const char *from, const char *to, struct error **err);
	/* For files and a shell; it belongs to the place. */
	struct comm *(*comm)(struct place *p);
	/* After a build, a failed one too. */
	void (*close)(struct place *p);
};
struct place {
	const struct place_ops *ops;
	const struct recipe *r;
	const struct ui *ui;
	char first[SHA_HEX]; /* key of the start */
	bool no_cache;
};
/* Nothing is made yet; the key of the start is known when it returns. dir: a folder of its own in the cache is below builds/. */
struct place *place_tree(const struct recipe *r, const struct ui *ui, bool no_cache, struct error **err);
struct place *place_machine(const struct recipe *r, const struct ui *ui, bool no_cache, struct error **err);

/* Is it an archive that is to be unpacked? -1: it cannot be read. */
int place_archive(const char *file, struct error **err);

#endif
