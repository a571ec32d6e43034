/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of snapshots share among themselves. */
#ifndef CROFT_MACHINE_SNAPINT_H
#define CROFT_MACHINE_SNAPINT_H

#include "internal.h"
#include "machine/snapshot.h"
#include "qemu/qmp.h"

#define SNAP_NODE "croft-memory"	 /* the block node of a memory file while it is in use */
#define SNAP_BEFORE "croft-before-restore" /* internal snapshot that a restore can go back to */
#define SNAP_QMP_MS 60000

/* A writable qcow2 file of the machine. */
struct snap_drive {
	char *node, *path;
};
struct snap_drives {
	struct snap_drive *v;
	size_t len;
	struct strv left_out;	/* "disk 1", whose writes are thrown away anyway */
	struct strv impossible; /* "disk 1 (/x/y.raw) is raw" */
	struct strv missing;	/* "disk 1: /x/y.qcow2 is not there" */
};
void snap_drives_of(const struct machine *m, struct snap_drives *ret);
void snap_drives_clear(struct snap_drives *d);
#define _cleanup_drives_ __attribute__((cleanup(snap_drives_clear)))

/* snapmeta.c */
char *snap_path(const struct machine *m, const char *name, const char *file); /* DIR/snapshots[/NAME[/FILE]]; new */
struct snapshot *snap_read(const struct machine *m, const char *folder, struct error **err);
int snap_write(const struct machine *m, const char *dir, const struct snapshot *s, struct error **err);
int snap_set_current(const struct machine *m, const char *name, struct error **err); /* NULL: none */
/* Children of a snapshot that is gone become its parent's. */
int snap_adopt_children(const struct machine *m, const char *name, const char *parent, struct error **err);

/* snapjournal.c */
struct snap_journal {
	char *op, *name; /* "take", "remove", "restore" */
	bool resume;	 /* QEMU may be found halted by us */
	bool disk_only;
};
void snap_journal_clear(struct snap_journal *j);
int snap_journal_write(const struct machine *m, const struct snap_journal *j, struct error **err);
/* 1: *j is set; 0: there is none. */
int snap_journal_read(const struct machine *m, struct snap_journal *j, struct error **err);
int snap_journal_end(const struct machine *m, struct error **err);
/* Does the rest of a removal whose folder is ".del-NAME" already. Ends the journal. */
int snap_complete_removal(struct machine *m, const char *name, struct error **err);
/* snapshot_recover with the lock held: what is there was interrupted. */
int snap_recover_locked(struct machine *m, struct error **err);
int snap_take_back(struct machine *m, struct error **err); /* the same after a failure of our own: says nothing of it */

/* restore.c: with the lock held. Ends the journal. */
int snap_restore_locked(struct machine *m, const char *name, struct snapshot_restore_opts *o, struct snapshot **done, struct error **err);

/* snapdisk.c: stopped machines, by qemu-img. */
int snap_img(const char *verb, const char *tag, const char *path, struct error **err); /* "-c", "-a", "-d" */
/* Starts it; proc_wait and snap_img_done follow. */
int snap_img_start(const char *verb, const char *tag, const char *path, struct proc *p, struct error **err);
/* Waits for those that a command left behind which was killed, or which gave up. */
int snap_settle(const struct snap_drives *d, struct error **err);
int snap_img_wait(struct proc *p, const char *path, struct error **err);
/* 1: the file holds that tag, 0: it doesn't. */
int snap_img_has(const char *path, const char *tag, struct error **err);
/* Takes the tag out of the files that hold it. */
int snap_img_drop(const struct snap_drives *d, const char *tag, struct error **err);
int snap_make_memory(const char *path, struct error **err);
int snap_sync(const char *path, struct error **err);
void snap_sweep(const struct machine *m); /* half-written files of killed commands */
uint64_t snap_allocated(const char *path); /* bytes on disk, 0 when absent */
int snap_copy_dir(const char *from, const char *to, struct error **err); /* flat; `to` is made anew; absent from: nothing */

/* snapqemu.c: running ones, by QMP. */
int snap_qmp_tags(struct qmp *q, const struct snap_drives *d, const char *tag, struct error **err); /* all or none */
int snap_qmp_drop(struct qmp *q, const struct snap_drives *d, const char *tag, struct error **err); /* absent is success */
int snap_qmp_add_memory(struct qmp *q, const char *path, struct error **err);
void snap_qmp_del_memory(struct qmp *q);
/* verb: "snapshot-save", "snapshot-load". With the memory node. */
int snap_qmp_job_start(struct qmp *q, const char *verb, const char *tag, const struct snap_drives *d, struct error **err);
int snap_qmp_job_wait(struct qmp *q, const char *verb, uint64_t memory, struct error **err);
/* Waits for and dismisses a job that an ended command left. */
int snap_qmp_settle(struct qmp *q, struct error **err);
/* 1: the processors run, 0: halted. */
int snap_qmp_runs(struct qmp *q, struct error **err);
/* Versioned machine type and version of QEMU. */
int snap_qmp_identity(struct qmp *q, char **type, char **version, struct error **err);
struct qmp *snap_qmp_connect(const struct machine *m, struct error **err);

/* start.c: machine_start with the lock held. */
int machine_start_locked(struct machine *m, const struct machine_start_opts *o, bool *already, struct error **err);

#endif
