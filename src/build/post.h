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
int run_manifest(struct build *b, const struct conf *c, const struct funcs *f, const struct artifact *in, struct artifact *out, struct error **err);

#endif
