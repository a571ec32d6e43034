/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Backups: copies of machines in a store that survive the machines. One is a set (store.h) named "vm.MACHINE.BACKUP", '/' in the machine's name being
 * '.': the part "machine" is the definition, "disk-N" and "nvram" are the contents as the guest sees them, backing image included, "tpm-FILE"
 * the state of the TPM. The set's info is JSON: machine, name, text, created, taken, bitmap.
 *
 * The bitmap is QEMU's persistent dirty bitmap in each disk that was begun at the instant of the backup. The next backup reads only what it tells
 * as changed, when it is still whole; otherwise everything is read and compared.
 */
#ifndef CROFT_MACHINE_BACKUP_H
#define CROFT_MACHINE_BACKUP_H

#include "machine/machine.h"
#include "store/store.h"

struct backup {
	char *ref;     /* name in the store */
	char *machine, *name, *text, *created;
	char *bitmap, *group; /* or NULL */
	uint64_t taken; /* ns of CLOCK_REALTIME */
	uint64_t size, stored; /* bytes of the disks; written to the store for it */
};
void backup_free(struct backup *b);
static inline void backup_freep(struct backup **b)
{
	backup_free(*b);
}
#define _cleanup_backup_ __attribute__((cleanup(backup_freep)))
struct backups {
	struct backup **v; /* oldest first */
	size_t len;
};
void backups_clear(struct backups *l);
#define _cleanup_backups_ __attribute__((cleanup(backups_clear)))

/* machine NULL: those of all. */
int backup_list(struct store *s, const char *machine, struct backups *ret, struct error **err);
/* NULL or "LAST": the newest. */
struct backup *backup_open(struct store *s, const char *machine, const char *name, struct error **err);

struct backup_opts {
	const char *name; /* NULL: S0, S1, ... */
	const char *text, *group;
	void (*progress)(void *arg, uint64_t done);
	void *arg;
};
struct backup_result {
	char *name;
	uint64_t size, read, stored; /* bytes: of the disks, of what may have changed, that were written */
	bool whole; /* all was read: there was no bitmap to go by */
};
/* Of a running machine at one instant, with its file systems frozen when its guest program can do that; or of a stopped one. */
int backup_take(struct machine *m, struct store *s, const struct backup_opts *o, struct backup_result *ret, struct error **err);
/*
 * The same in steps, for several machines at one instant: each is begun, then its file systems are laid to rest, then all are halted, and when
 * all are, each fixes its point, and all go on. Copying may be done by a process that was forked then, with a store of its own.
 */
struct backup_task;
struct backup_task *backup_begin(struct machine *m, struct store *s, const struct backup_opts *o, struct error **err);
void backup_quiet(struct backup_task *t);
int backup_halt_start(struct backup_task *t, struct error **err); /* without waiting */
int backup_halt_wait(struct backup_task *t, struct error **err);
int backup_point(struct backup_task *t, struct error **err);
int backup_go_on(struct backup_task *t, struct error **err);
int backup_offer(struct backup_task *t, struct error **err); /* wakes its file systems; from here on it can be copied */
uint64_t backup_halted(const struct backup_task *t); /* ns */
int backup_copy(struct backup_task *t, struct store *s, struct backup_result *ret, struct error **err);
/* Frees it. What was not copied is taken back. NULL is allowed. */
void backup_end(struct backup_task *t);
/* Into a stopped machine of that name, writing only what differs; or into a new one when there is none. */
int backup_restore(struct store *s, const char *machine, const char *name, struct error **err);

/* The definition in a backup, under this machine's name; cleared by the caller. */
int backup_definition(struct store *s, const struct backup *b, const char *machine, struct machine_def *d, struct error **err);

/* A backup that was made elsewhere: its files as they are. */
struct backup_given {
	const char *machine, *name, *text;
	time_t time;
	struct machine_def *def;
	const char *const *disks; /* qcow2, of the definition's first disks in this order */
	size_t ndisks;
	const char *nvram; /* qcow2 or raw, or NULL */
};
/* ERR_STATE: there is one of that name. */
int backup_give(struct store *s, const struct backup_given *g, struct error **err);

#endif
