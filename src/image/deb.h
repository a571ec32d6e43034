/* SPDX-License-Identifier: Apache-2.0 */
/* What is inside a .deb (deb(5)): an ar archive whose member data.tar.* holds the files. In
 * process, no dpkg, no root. */
#ifndef CROFT_IMAGE_DEB_H
#define CROFT_IMAGE_DEB_H

#include "base/buf.h"
#include "base/error.h"
#include <stdbool.h>
#include <sys/types.h>

struct deb_file {
	const char *path; /* without leading "./" and "/" */
	const char *link; /* target of a symbolic link, else NULL */
	const char *same; /* a path before it in the package that it is one more name of, else NULL; it comes without content */
	mode_t mode;      /* type and permissions */
};
/* Is this file's content wanted? Called for each entry; links and directories are only announced.
 */
typedef bool deb_want_fn(void *arg, const struct deb_file *f);
/* Content of a wanted regular file, or a wanted link. Returns -1 with *err to stop. */
typedef int deb_got_fn(void *arg, const struct deb_file *f, struct buf *data, struct error **err);
int deb_each(const char *deb, deb_want_fn *want, deb_got_fn *got, void *arg, struct error **err);

#endif
