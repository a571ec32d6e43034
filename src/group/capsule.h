/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A capsule: a group at one moment, in one file that another computer can open. The file is a tar archive of a store (store/store.h),
 * in which each chunk is there once, with
 *
 *	about		JSON: group, snapshot, when, versions, images
 *	machines	machines/GROUP: definitions, disks, memory at the snapshot
 *	record		groups/GROUP: record, snapshot, network
 *	project		the group's file, apps' files, templates
 *	extra		logs of the nodes, consoles, the network's log, captures
 *	image-NAME	each image that machines' disks are laid over
 */
#ifndef CROFT_GROUP_CAPSULE_H
#define CROFT_GROUP_CAPSULE_H

#include "group/group.h"

struct capsule_opts {
	const char *snapshot; /* NULL: one is taken, and removed when the capsule is made */
	const char *text;
	const struct strv *with; /* files and folders more, for `extra`; or NULL */
	const char *logs;	 /* folder with logs that were collected; NULL: they are collected */
};
/* Writes FILE in one step. */
int group_capsule(const struct group *g, const char *file, const struct capsule_opts *o, struct error **err);
/* Makes the group of a capsule, under `name` or its own, and lets it go on where it was. *made: its name, new. */
int group_capsule_open(const char *file, const char *name, char **made, struct error **err);

#endif
