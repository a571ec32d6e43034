/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What differs between two snapshots of a group: files and packages, read from the disks' snapshots in ext file systems. Needs libext2fs: part
 * of the program croft-image alone.
 */
#ifndef CROFT_GROUP_DIFF_H
#define CROFT_GROUP_DIFF_H

#include "base/error.h"

struct group_change {
	const char *node;
	const char *kind;   /* "file", "package", "port" */
	const char *change; /* "added", "removed", "changed" */
	const char *name;   /* path, behind "disk-N:" when it is not on the first disk with a file system */
	const char *detail; /* what changed: "content", "mode 644 -> 755", "1.0 -> 1.1"; or "" */
};
int group_diff(const char *group, const char *from, const char *to, void (*fn)(void *arg, const struct group_change *c), void *arg,
	struct error **err);

#endif
