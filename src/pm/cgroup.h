/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cgroup v2 (the kernel's cgroup-v2 document): one group a unit, below the one that was given to us. A process that has groups below
 * it with controllers may not sit beside them, so cgroup_open moves pm into a leaf, pm.self. Nothing here is needed
 * where it is absent: then limits are refused (or left out with cgroup=optional) and units are ended by other means.
 */
#ifndef CROFT_PM_CGROUP_H
#define CROFT_PM_CGROUP_H

#include "isolate.h"

struct cgroup {
	int dir;	      /* ours, -1: cgroup v2 is not here or not writable */
	unsigned controllers; /* bits of enum cgroup_controller that units may use */
	char path[256];	      /* below the mount, for messages */
	char reason[128];     /* why dir is -1 */
};
enum cgroup_controller { CGROUP_CPU, CGROUP_MEMORY, CGROUP_PIDS, CGROUP_IO };

/*
 * Finds, tests and prepares our group; never fails: c->dir tells. pm: its watcher; that and all its descendants in this group are
 * moved into the leaf, nobody else: who shares the group with strangers (a login session) was not delegated it.
 */
void cgroup_open(struct cgroup *c, pid_t pm);
/* The same in a given directory; pm 0: nothing is moved. */
void cgroup_open_at(struct cgroup *c, const char *dir, pid_t pm);
void cgroup_close(struct cgroup *c);
/*
 * Makes the unit's group, writes its limits, and opens its cgroup.procs: for isolate_plan's cgroup_fd. -1: there is no group;
 * that ends the start with why when limits are wanted and not optional, else the unit runs without. What cgroup=optional leaves out
 * is told in why even on success; else why is "".
 */
int cgroup_unit(const struct cgroup *c, const char *unit, const struct isolate_cgroup *limits, char why[ISOLATE_WHY]);
/*
 * For the process that becomes the unit, before isolate_apply: its group, without what an earlier run left in it; *fd for
 * the plan, or -1 where none is wanted. -1: refused, with why. why may also tell what was left out.
 */
int cgroup_for_unit(const char *unit, pid_t pm, const struct isolate_cgroup *limits, int *fd, char why[ISOLATE_WHY]);
/* SIGKILL to all in the unit's group at once. -1 with errno: ENOENT without such a group, ENOSYS without cgroup.kill. */
int cgroup_kill(const struct cgroup *c, const char *unit);
/* 1: processes are in it; 0: none, or no such group. */
int cgroup_populated(const struct cgroup *c, const char *unit);
/* Removes the unit's empty group; -1 with errno (EBUSY: processes are left). Absent is success. */
int cgroup_remove(const struct cgroup *c, const char *unit);

#endif
