/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots of whole groups: one of each machine at the same instant, with the state of the group's network. Below
 * DATA/groups/NAME/snapshots:
 *
 *	S/group.json	the record of the group at that time
 *	S/file.EXT	the group's file
 *	S/snapshot.json	{"name","text","created","taken","parent","nodes":[..]}; the machines' parts are with them, machine/snapshot.h
 *	S/net.state	NAT state, when the network ran
 *	.new-S, .del-S	one that is being made or removed: whoever finds it takes the machines' parts back
 *	restore		name of the one that is being gone back to: whoever finds it does it again
 *
 * All by the group's name: its file need not be there any more.
 */
#ifndef CROFT_GROUP_SNAPSHOT_H
#define CROFT_GROUP_SNAPSHOT_H

#include "base/error.h"
#include "base/strv.h"
#include <stdbool.h>
#include <stdint.h>

struct group_snapshot {
	char *name, *text, *created, *parent;
	uint64_t taken;
	struct strv nodes;
};
void group_snapshot_free(struct group_snapshot *s);
static inline void group_snapshot_freep(struct group_snapshot **s)
{
	group_snapshot_free(*s);
}
#define _cleanup_group_snapshot_ __attribute__((cleanup(group_snapshot_freep)))
struct group_snapshots {
	struct group_snapshot **v; /* oldest first */
	size_t len;
};
void group_snapshots_clear(struct group_snapshots *l);
int group_snapshot_list(const char *group, struct group_snapshots *ret, struct error **err);
/* NULL or LAST: the newest. */
struct group_snapshot *group_snapshot_open(const char *group, const char *name, struct error **err);
/* Bytes that the machines' parts take for memory. */
uint64_t group_snapshot_memory(const char *group, const struct group_snapshot *s);

struct group_snapshot_opts {
	const char *name; /* NULL: S0, S1, ... */
	const char *text;
	bool disk_only;
};
/* All or nothing. *name: of the new one, new string; *halted_ns: how long the machines stood still. */
int group_snapshot_take(const char *group, const struct group_snapshot_opts *o, char **name, uint64_t *halted_ns, struct error **err);
int group_snapshot_restore(const char *group, const char *name, bool disk_only, struct error **err);
int group_snapshot_remove(const char *group, const char *name, struct error **err);
/* With the group's lock held: completes what was interrupted. */
int group_snapshot_recover(const char *group, struct error **err);
/* A second group with the same machines, names and addresses in a network of its own, at the instant of the snapshot. */
int group_fork(const char *group, const char *name, const char *other, struct error **err);

#endif
