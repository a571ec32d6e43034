/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of backups share among themselves. */
#ifndef CROFT_MACHINE_BACKUPINT_H
#define CROFT_MACHINE_BACKUPINT_H

#include "guest/agent.h"
#include "machine/backup.h"
#include "qemu/nbd.h"
#include "snapint.h"

#define BACKUP_BITMAP "croft-" /* the beginning of our bitmaps' names */
#define BACKUP_NOW BACKUP_BITMAP "now"

/* Where a disk's content at the instant is read from. */
struct backup_source {
	const struct snap_drive *drive;
	char *part; /* "disk-0", "nvram" */
	bool tracked; /* the last backup's bitmap is whole */
	struct proc server; /* qemu-nbd of a stopped machine */
	struct nbd *nbd;
	struct nbd_extent *extents;
	size_t nextents;
};
/* backupsource.c */
/*
 * Of a running machine: prepare what catches what the guest overwrites, fix the instant, let the disks be read; then open, which needs no monitor.
 * old: the last backup's bitmap, or NULL; new: the name of the one that is begun. Of a stopped one: open alone, see backup_track.
 */
int backup_sources_prepare(struct machine *m, struct qmp *q, const char *old, struct backup_source *v, size_t n, struct error **err);
int backup_sources_fix(struct qmp *q, const char *old, const char *new, const struct backup_source *v, size_t n, struct error **err);
int backup_sources_export(struct qmp *q, const struct backup_source *v, size_t n, struct error **err);
int backup_sources_open(struct machine *m, bool runs, const char *old, struct backup_source *v, size_t n, struct error **err);
/* The guest's file systems at rest when its guest program can do that; otherwise they are as after a power cut, which is said. */
struct backup_rest {
	struct agent *agent;
	struct agent_freeze *freeze;
};
void backup_rest(struct machine *m, struct backup_rest *r);
void backup_stir(struct machine *m, struct backup_rest *r);
void backup_sources_close(struct backup_source *v, size_t n);
/* Jobs, nodes and server of a backup that is over, however it ended. What is not there is as it should be. */
void backup_dismantle(struct machine *m, struct qmp *q, const struct snap_drives *d);
/* What was set up in a running QEMU goes. keep: bitmaps that stay, the others of ours are removed; NULL: all stay. */
int backup_clean(struct machine *m, const struct snap_drives *d, const char *keep, struct error **err);
/* Begins the bitmap in the files of a stopped machine, and removes older ones. */
int backup_track(const struct snap_drives *d, const char *name, struct error **err);
/* Takes all of our bitmaps out of the files of a stopped machine, or of a running one (q not NULL). */
int backup_forget_bitmaps(struct qmp *q, const struct snap_drives *d, struct error **err);
/* A server for one file; connects to it. rw: for writing. */
struct nbd *backup_serve(const char *dir, const char *path, size_t index, bool rw, const char *bitmap, struct proc *server, struct error **err);

/* backuprestore.c: disks that were marked go back to their mark. */
int backup_take_back(const struct snap_drives *d, struct error **err);
#define BACKUP_DEFINITION "machine.json.restored" /* beside machine.json, until the disks are filled */
/* The disks are filled: the definition takes its place, the marks go. */
int backup_complete(struct machine *m, struct error **err);

/* backuplist.c */
char *backup_ref(const char *machine, const char *name);
char *backup_part_of(const struct snap_drive *d); /* new */

#endif
