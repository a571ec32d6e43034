/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file that an export makes: it has no name until it is whole, so that a kill or a full disk leaves nothing, and what was
 * there under its name stays. Where the file system has no unnamed files (O_TMPFILE) it has a hidden name beside, which the
 * next export to that place removes. "-" and pipes are written to as the format allows.
 */
#ifndef CROFT_IMAGE_OUTPUT_H
#define CROFT_IMAGE_OUTPUT_H

#include "base/error.h"
#include <stdbool.h>

struct output {
	char *path;
	char *named; /* hidden name, or NULL */
	int fd;	     /* to write to; can seek unless `stream` */
	int pipe;    /* what the content goes to at the end, or -1 */
	bool stream, force;
};
#define _cleanup_output_ __attribute__((cleanup(output_abort)))
/* seek: must fd be able to seek? ERR_STATE when the file is there and force is not set. */
int output_open(struct output *o, const char *path, bool seek, bool force, struct error **err);
/* What output_open would refuse, without doing anything. */
int output_check(const char *path, bool force, struct error **err);
int output_commit(struct output *o, struct error **err);
void output_abort(struct output *o); /* also after commit: frees */
/* A path under which another program can open fd for reading and writing; fd must be among its keep_fds. New string. */
char *output_path(const struct output *o);

#endif
