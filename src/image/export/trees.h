/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the formats that are made of a root's files. */
#ifndef CROFT_IMAGE_TREES_H
#define CROFT_IMAGE_TREES_H

#include "image/export/job.h"
#include "image/export/root.h"

struct root_filter export_filter(const struct export_job *j, bool boot);
int export_check_root(struct export_job *j, struct error **err);
/* A squashfs at that path, which may be one of the descriptors. */
int export_squashfs(struct export_job *j, const struct root_filter *filter, const char *path, const int *fds, size_t nfds,
	struct error **err);

#endif
