/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of group snapshots share among themselves. */
#ifndef CROFT_GROUP_SNAPINT_H
#define CROFT_GROUP_SNAPINT_H

#include "group/snapshot.h"
#include "internal.h"

char *gsnap_path(const char *group, const char *name, const char *file); /* DATA/groups/GROUP/snapshots[/NAME[/FILE]]; new */
struct group_snapshot *gsnap_read(const char *group, const char *folder, struct error **err);
int gsnap_write(const char *group, const char *folder, const struct group_snapshot *s, struct error **err);
/* Full names of the group's machines; ERR_NOT_FOUND when there are none. */
int gsnap_members(const char *group, struct strv *ret, struct error **err);
/* With the lock held, recovered already. */
int gsnap_restore_locked(const char *group, const struct group_snapshot *s, bool disk_only, struct error **err);

#endif
