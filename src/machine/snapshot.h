/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots in place: disks, firmware variables and, of a running machine, memory and devices, at one instant. Below DIR/snapshots:
 *
 *	NAME/snapshot.json	what it is (struct snapshot)
 *	NAME/machine.json	the definition at that time
 *	NAME/memory.qcow2	memory and devices, as QEMU's internal snapshot of an otherwise empty disk; absent: disks only
 *	NAME/tpm/		state of the TPM, when the machine has one
 *	CURRENT			name of the snapshot that the disks descend from: parent of the next one
 *
 * The disks' part is an internal snapshot of that name in each writable qcow2 file of the machine. While something is being
 * changed DIR/journal.json says what; the next command that opens the machine completes it or takes it back (snapjournal.c).
 */
#ifndef CROFT_MACHINE_SNAPSHOT_H
#define CROFT_MACHINE_SNAPSHOT_H

#include "machine/machine.h"

#define SNAPSHOT_LAST "LAST" /* instead of a name: the newest */

struct snapshot {
	char *name;
	char *parent;  /* or NULL: none, or it was removed */
	char *text;    /* description, or NULL */
	char *created; /* "2026-11-21T09:08:12Z" */
	uint64_t taken; /* ns of CLOCK_REALTIME */
	bool memory;
	bool paused;   /* its processors were halted by the user */
	bool ready;    /* its guest program answered */
	uint64_t memory_bytes, disk_bytes; /* on the host's disk: of memory.qcow2; of all disks at that time */
	char *type, *accel, *qemu; /* of a memory snapshot: versioned machine type, accelerator, version */
	char *group;   /* the group snapshot that it is part of, or NULL */
	struct strv nodes; /* block nodes that hold it */
};
void snapshot_free(struct snapshot *s);
static inline void snapshot_freep(struct snapshot **s)
{
	snapshot_free(*s);
}
#define _cleanup_snapshot_ __attribute__((cleanup(snapshot_freep)))
struct snapshots {
	struct snapshot **v; /* oldest first */
	size_t len;
};
void snapshots_clear(struct snapshots *l);
#define _cleanup_snapshots_ __attribute__((cleanup(snapshots_clear)))

/* NULL or "LAST": the newest. ERR_NOT_FOUND with the nearest name. */
struct snapshot *snapshot_open(const struct machine *m, const char *name, struct error **err);
int snapshot_list(const struct machine *m, struct snapshots *ret, struct error **err);
/* Name of the snapshot that the disks descend from, or NULL; new. */
char *snapshot_current(const struct machine *m);
/* The next free of S0, S1, ...; new. */
char *snapshot_auto_name(const struct snapshots *l);

enum snapshot_kind {
	SNAPSHOT_AUTO, /* with memory when it runs */
	SNAPSHOT_DISK,
	SNAPSHOT_MEMORY, /* ERR_STATE when it doesn't run */
};
struct snapshot_opts {
	const char *name; /* NULL: S0, S1, ... */
	enum snapshot_kind kind;
	const char *text;
	const char *group;
};
/* *name, when not NULL, is the new snapshot's. On failure nothing has changed. */
int snapshot_take(struct machine *m, const struct snapshot_opts *o, char **name, struct error **err);

/*
 * The same in steps, for several machines at one instant. After begin, which holds the machine's lock and has checked and prepared
 * everything that takes time: pause (nothing to do when it doesn't run), save_start, save_wait, resume; then finish. With commit
 * false, or after an error, finish takes everything back; it always frees.
 */
struct snapshot_task;
struct snapshot_task *snapshot_begin(struct machine *m, const struct snapshot_opts *o, struct error **err);
int snapshot_pause_start(struct snapshot_task *t, struct error **err);
int snapshot_pause_wait(struct snapshot_task *t, struct error **err);
int snapshot_save_start(struct snapshot_task *t, struct error **err);
int snapshot_save_wait(struct snapshot_task *t, struct error **err);
int snapshot_resume(struct snapshot_task *t, struct error **err);
int snapshot_finish(struct snapshot_task *t, bool commit, struct error **err);
const char *snapshot_task_name(const struct snapshot_task *t);
/* How long the processors have been, or were, halted; ns. */
uint64_t snapshot_task_paused(const struct snapshot_task *t);

struct snapshot_restore_opts {
	bool disk_only; /* leaves the memory out: the machine starts from the disks as after a power cut */
	bool again;	/* an earlier command was interrupted in it */
	bool hold;	/* leave it halted; snapshot_go lets it run */
	bool fetched;	/* set by restore: QEMU was started anew (its network has to be attached) */
	struct agent *held; /* croft's own, from restore with hold until snapshot_go */
};
/* name NULL or "LAST": the newest. *done, when not NULL: what it was. */
int snapshot_restore(struct machine *m, const char *name, struct snapshot_restore_opts *o, struct snapshot **done, struct error **err);
/* The guest's side of the agent channel is replaced: has the helper let go of it, until snapshot_let_go. */
void snapshot_hold(struct machine *m, struct snapshot_restore_opts *o);
/* Lets a machine run that was restored with hold; then what the guest needs to know of the time that has passed. */
int snapshot_let_go(struct machine *m, const struct snapshot *s, struct snapshot_restore_opts *o, struct error **err);
int snapshot_repair(struct machine *m, const struct snapshot *s, struct error **err);
int snapshot_go(struct machine *m, const struct snapshot *s, struct snapshot_restore_opts *o, struct error **err); /* both */
/* Sets the clock of a running guest to the host's; a guest program that is too old for it is said. */
int snapshot_set_clock(struct machine *m, int timeout_ms, struct error **err);

/* own: the group that asks, which may remove its own; others are refused. */
int snapshot_remove(struct machine *m, const char *name, const char *own, struct error **err);

/* Completes or takes back what an earlier command did not finish, and says so. 0 when there is nothing, or another command works on it. */
int snapshot_recover(struct machine *m, struct error **err);

#endif
