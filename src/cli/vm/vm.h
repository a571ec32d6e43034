/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line of the tool `vm` (github.com/klark973/vm) on croft's engine: one folder a machine, settings in the shell's words,
 * commands in batches. docs/vm-personality.md tells what is the same and what is not. Called by cli.c when the program's name is vm.
 *
 *	HOSTDIR		the machine's folder: backups/, guest.env, vm.defaults, .work -> WORKDIR, .vm.lock
 *	WORKDIR		disks and more, below $TMPDIR (with .host -> HOSTDIR) or HOSTDIR itself
 */
#ifndef CROFT_CLI_VM_H
#define CROFT_CLI_VM_H

#include "base/error.h"
#include "base/strv.h"
#include "conf/shellvars.h"
#include "machine/machine.h"
#include "store/store.h"
#include <stdbool.h>

struct vm {
	struct shellvars *vars; /* all settings: built in, files, options */
	char *hostdir, *workdir; /* absolute; workdir NULL: none yet */
	/* Options that settings read later must not undo. */
	struct strv options;	 /* NAME, VALUE, NAME, VALUE, ... */
	struct strv forwards, shares, images; /* in order; an empty one clears what was before */
	bool colour, viewer;
	char *timeout, *rescue, *arch, *uefi; /* as given, or NULL */
	struct machine *native; /* HOSTDIR is a folder of croft's own: this machine */
	int lock;		/* on HOSTDIR */
};

void vm_clear(struct vm *v);
/* args.c: options and the batch. */
struct vm_command {
	const char *name;
	int min, max;
	const char *args, *help;
	int (*run)(struct vm *v, const struct strv *args, struct error **err);
};
extern const struct vm_command vm_commands[]; /* ends with a NULL name */
int vm_parse(struct vm *v, int argc, char **argv, int *first, struct error **err); /* 1: help or version was printed */

/* settings.c */
/* Built-in values, /etc/vm.conf, ~/.config/vm.conf, guest.env of HOSTDIR, options. */
int vm_settings_load(struct vm *v, struct error **err);
/* guest.env of WORKDIR or HOSTDIR, then the options again. ERR_NOT_FOUND: neither is there. */
int vm_settings_guest(struct vm *v, struct error **err);
const char *vm_get(const struct vm *v, const char *name); /* "" when not set */
bool vm_on(const struct vm *v, const char *name);	  /* set to anything */
const char *vm_arch(const char *arch);			  /* i686 and the like: i386 */
/* WORKDIR by links, HOSTDIR taken as what it is. */
int vm_find_workdir(struct vm *v, struct error **err);
/* Value of @MEDIA@: runs the user's check-media once. */
int vm_media(struct vm *v, const char **ret, struct error **err);
/* Replaces a macro at the start of a path; new string. */
char *vm_expand(struct vm *v, const char *path, struct error **err);
/* An ISO as given, in HOSTDIR, or in the media's storage; new, absolute. */
char *vm_find_iso(struct vm *v, const char *iso, struct error **err);

/* files.c */
int vm_lock(struct vm *v, struct error **err);
/* WORKDIR for INPLACE or below $TMPDIR, with links; only when there is none. */
int vm_make_workdir(struct vm *v, struct error **err);
int vm_write_guest_env(struct vm *v, const char *guestname, const struct strv *images, struct error **err);
/* How many files disk-N.img (with suffix) are in dir. */
int vm_count_disks(const char *dir, const char *suffix);
/* Removes WORKDIR, or of HOSTDIR what belongs to a WORKDIR. */
int vm_remove_workdir(struct vm *v, struct error **err);
/* A symbolic link that is there wholly or not at all; replaces one. */
int vm_link(const char *to, const char *path, struct error **err);
/* Bytes on disk below dir. */
uint64_t vm_disk_usage(const char *dir);

/* pack.c: gzip by pigz where it is. What was packed is flushed and read back: what cannot be unpacked is no backup. */
int vm_pack(const char *from, const char *to, struct error **err);
/* Zeros become holes. */
int vm_unpack(const char *from, const char *to, struct error **err);

/* define.c */
/* The machine of the settings. iso: on the command line, or NULL. first: the run after create. */
int vm_define(struct vm *v, const char *iso, bool first, struct machine_def *d, struct error **err);
/* MEMORY as QEMU's -m takes it: a plain number is MiB. */
int vm_parse_memory(const char *s, uint64_t *ret, struct error **err);
/* "hostfwd=A,guestfwd=B,..." into the card's lists. */
int vm_split_forwards(const char *s, struct machine_nic *n, struct error **err);
/* ID:[rw:]DIR as one more share. */
int vm_define_share(struct vm *v, const char *spec, struct machine_def *d, struct error **err);
/* The default share of the mirror, where nobody can tell where the mirror is. */
bool vm_skip_mirror(struct vm *v, const char *spec);
/* The machine as croft knows it, made or replaced by this definition, not running; NULL with *err. */
struct machine *vm_register(struct vm *v, struct machine_def *d, bool first, struct error **err);
/* GUESTNAME as a name that croft takes; new. */
char *vm_plain_name(const char *guestname);
/* The machine that was registered for HOSTDIR, NULL when none (*err is set only for real failures). */
struct machine *vm_registered(struct vm *v, struct error **err);

/* efivars.bin as croft wants it: made when absent, a raw one converted. Nothing to do for BIOS. */
int vm_convert_nvram(struct vm *v, struct error **err);
int vm_create(struct vm *v, const struct strv *args, struct error **err);
int vm_run(struct vm *v, const struct strv *args, struct error **err);
int vm_destroy(struct vm *v, const struct strv *args, struct error **err);
int vm_backup(struct vm *v, const struct strv *args, struct error **err);
int vm_restore(struct vm *v, const struct strv *args, struct error **err);
int vm_job(struct vm *v, const struct strv *args, struct error **err);
int vm_backup_files(const char *dir, struct strv *ret, struct error **err); /* disk-0.img ..., efivars.bin: what a backup has packed */
/* "*** TEXT" in the colour of that setting (CLR_OK ...), to stdout. */
void vm_say(const struct vm *v, const char *colour, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/*
 * folder.c: HOSTDIR/backups/NAME into a store as a backup of machine (NULL: named after its GUESTNAME; *used is the name then, new), and back.
 */
int vm_folder_take(const char *hostdir, const char *name, const char *machine, struct store *s, char **used, struct error **err);
int vm_folder_give(struct store *s, const char *machine, const char *backup, const char *hostdir, struct error **err);
/* Names of the backups in HOSTDIR, oldest first. */
int vm_folder_list(const char *hostdir, struct strv *ret, struct error **err);

/* The whole program. */
int vm_main(int argc, char **argv);

#endif
