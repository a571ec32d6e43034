/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of machine/ share among themselves. */
#ifndef CROFT_MACHINE_INTERNAL_H
#define CROFT_MACHINE_INTERNAL_H

#include "base/proc.h"
#include "image/image.h"
#include "machine/machine.h"

/* Checks a full name, "NAME" or "GROUP/NAME". */
int machine_name_check(const char *full, struct error **err);
/* DATA/machines/FULL; new. */
char *machine_dir_of(const char *full);
/* A machine whose definition is not read: for verbs that must work on a broken one too. ERR_NOT_FOUND as machine_open. */
struct machine *machine_at(const char *name, struct error **err);
/* Removes temporary folders that dead commands left below dir, and says so. */
void machine_sweep(const char *dir);

/* Fills in what is not given (from the image, which may be NULL) and checks the whole for sense. */
int machine_def_resolve(struct machine_def *d, const struct image *img, struct error **err);
/* Whether this disk shows the image file itself, read only (a CD), so that no file of its own exists. */
bool machine_disk_is_cdrom(const struct image *img);
char *machine_disk_path(const struct machine *m, size_t index); /* the disk's own path, or DIR/disk-N.qcow2; new */
char *machine_nvram_path(const struct machine *m);		/* of a UEFI machine; new */
bool machine_is_uefi(const struct machine_def *d);
bool machine_is_secure(const struct machine_def *d);
const char *machine_default_type(const char *arch); /* the board that one gets that names none */
unsigned machine_cpus(const struct machine_def *d); /* sockets * cores * threads */
/* Whether the CD that is to be ejected is still in the drive: DIR/first-run is there. */
bool machine_is_first_run(const struct machine *m);
char *machine_snap_path(const struct machine *m, size_t index); /* DIR/run/snap-N.qcow2; new */
/* An overlay of backing (or an empty disk when NULL) of its format, flushed to disk. size 0: that of the backing. */
int machine_make_overlay(const char *path, const char *backing, const char *format, uint64_t size, struct error **err);

/* The disk's own file in dir, if it has one. */
int machine_make_disk(const struct machine_def *d, size_t i, const char *dir, struct error **err);
/* Every image and file that disks name is there and fits. */
int machine_check_disks(const struct machine_def *d, struct error **err);

/* A copy of everything; to is initialised. */
int machine_def_copy(const struct machine_def *from, struct machine_def *to, struct error **err);

/*
 * Held while a command changes the machine; an error names the pid of the other one. ERR_STATE as well when a rescue system has its disks
 * (rescue.h; one that nobody works with any more is ended first), and for real computers.
 */
int machine_lock(const struct machine *m, struct error **err);
/* seed.c: a file of user-data ("on": none), read and checked; the machine's seed as it is now. */
int machine_seed_check(const char *path, struct buf *user_data, struct error **err);
int machine_write_seed(const struct machine *m, struct error **err);
/* real.c: a definition with a host; connecting; letting go. */
int machine_real_check(struct machine_def *d, struct error **err);
int machine_real_start(struct machine *m, bool *already, struct error **err);
struct agent *machine_real_agent(struct machine *m, int timeout_ms, struct error **err);
int machine_real_stop(struct machine *m, struct error **err);
/* The same whatever a rescue system does. */
int machine_lock_alone(const struct machine *m, struct error **err);
/* The part of machine_lock that looks at the rescue system. force: a kept one is ended as well. */
int rescue_check(const struct machine *m, bool force, struct error **err);
/* true and *id when QEMU, or the helper, runs. */
bool machine_qemu(const struct machine *m, struct proc_id *id);
bool machine_helper(const struct machine *m, struct proc_id *id);
/* Starts a helper for a QEMU that runs without one. Nothing to do otherwise. */
int machine_ensure_helper(const struct machine *m, struct error **err);
/* Starts croft-machine and waits until QEMU runs under it. */
int machine_spawn_helper(const struct machine *m, bool adopt, struct error **err);
/* Makes run/ and log/, and removes what a run that nobody saw the end of left behind; the log of why stays. */
int machine_clean_run(const struct machine *m, struct error **err);
/* Waits until QEMU and its helper have ended. 1: they have; 0: time is over. */
int machine_wait_end(const struct machine *m, int timeout_ms);
/* renew.c: the machine in dir is made from another one; the identity that its system keeps in files is to be made anew. was: that one's host name. */
int machine_renew_later(const char *dir, const char *was, struct error **err);
/* Does so when it is to be done, through a (NULL: a connection of its own); what goes wrong is said, and tried again next time. */
void machine_renew(struct machine *m, struct agent *a);
/* clone.c: MACs, addresses and host name of its own for a definition that was that of machine `from`. */
void machine_new_identity(struct machine_def *d, const char *from);
/* Ends a QEMU that no pid file names: its helper was killed between starting it and writing that file. */
void machine_kill_unseen(const struct machine *m);
/* Adds the last lines of qemu.log and of the console to the error. */
void machine_explain(const struct machine *m, struct error **err);
/*
 * Programs that run beside QEMU (swtpm, virtiofsd), one a file DIR/run/side-N: their arguments, each ended by a NUL. The helper
 * gives each a listening socket, DIR/run/side-N.sock, as descriptor HELPER_FD_SIDE + N.
 */
int machine_write_sides(const struct machine *m, struct error **err);
/* Socket of the N-th such program as QEMU reaches it. TPM first, then the virtiofs shares in order. */
char *machine_side_socket(size_t n);
/* What the definition takes from the host is there and free: huge pages, USB and PCI devices, folders, swtpm, display port; ERR_STATE or ERR_NOT_FOUND with what to do. */
int machine_check_host(const struct machine *m, struct error **err);
/* The file with the display's password, made when absent. */
char *machine_display_secret(const struct machine *m, struct error **err);
/* Binds ADDRESS:PORT for a moment; ERR_STATE with who has it. host: IPv4, IPv6 address or name. what: for the message. */
int machine_check_listen(const char *what, const char *host, unsigned port, struct error **err);
/* All forwards of the definition can be bound now, else ERR_STATE with who has the port. */
int machine_check_ports(const struct machine_def *d, struct error **err);

#endif
