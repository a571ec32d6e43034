/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of post-processors share among themselves. */
#ifndef CROFT_BUILD_POST_H
#define CROFT_BUILD_POST_H

#include "build/build.h"

struct post {
	const char *type;
	int (*check)(const struct conf *c, struct error **err);
	/* *out: what the next one gets; ends up cleared by the caller. */
	int (*run)(struct build *b, const struct conf *c, const struct funcs *f, const struct artifact *in, struct artifact *out, struct error **err);
	bool keep;	 /* its input stays unless told otherwise */
	bool force_keep; /* its input stays whatever is told */
	bool passes_on;	 /* its output is its input, with more files or without */
};

int check_checksum(const struct conf *c, struct error **err);
int run_checksum(struct build *b, const struct conf *c, const struct funcs *f, const struct artifact *in, struct artifact *out, struct error **err);
int check_compress(const struct conf *c, struct error **err);
int run_compress(struct build *b, const struct conf *c, const struct funcs *f, const struct artifact *in, struct artifact *out, struct error **err);
int check_vagrant(const struct conf *c, struct error **err);
int run_vagrant(struct build *b, const struct conf *c, const struct funcs *f, const struct artifact *in, struct artifact *out, struct error **err);
int run_manifest(struct build *b, const struct conf *c, const struct funcs *f, const struct artifact *in, struct artifact *out, struct error **err);
int check_docker_import(const struct conf *c, struct error **err);
int run_docker_import(struct build *b, const struct conf *c, const struct funcs *f, const struct artifact *in, struct artifact *out,
	struct error **err);
int run_docker_tag(struct build *b, const struct conf *c, const struct funcs *f, const struct artifact *in, struct artifact *out, struct error **err);
int run_docker_save(struct build *b, const struct conf *c, const struct funcs *f, const struct artifact *in, struct artifact *out, struct error **err);
int check_export(const struct conf *c, struct error **err);
int run_export(struct build *b, const struct conf *c, const struct funcs *f, const struct artifact *in, struct artifact *out, struct error **err);

/* A container's image of a root (a tar or a disk with one), whole or not at all; changes: lines of a Dockerfile. */
int image_of_root(const char *root, const char *to, const char *name, const struct strv *changes, struct error **err);

#endif
