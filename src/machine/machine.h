/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Machines: definition and life. A machine is a directory, DATA/machines/NAME or, as a
 * member of a group, DATA/machines/GROUP/NAME ("GROUP/NAME" is its full name):
 *
 *	machine.json	definition, complete and resolved; written once by create, replaced by set
 *	disk-N.qcow2	disks (overlays over images)
 *	lock		held while a command changes the machine
 *	nvram.qcow2	UEFI variables; tpm/ the TPM's state; display.password
 *	first-run	there until the run with the CD that is to be ejected has ended well
 *	user-data	of the user, for cloud-init; seed.img: the drive that it is given by
 *	log/		console.log (bounded), qemu.log (stderr of the last run)
 *	run/		only while it runs: argv, helper.pid, qemu.pid, status, *.sock
 *
 * State is computed from these files and from live processes, never remembered.
 */
#ifndef CROFT_MACHINE_MACHINE_H
#define CROFT_MACHINE_MACHINE_H

#include "base/buf.h"
#include "base/error.h"
#include "base/strv.h"
#include "conf/doc.h"
#include "guest/agent.h"
#include <stdbool.h>
#include <stdint.h>

struct machine_disk {
	char *image;	/* image name that it is an overlay of, or NULL: empty, or path */
	char *path;	/* an existing file, absolute, used as it is and never removed; or NULL: DIR/disk-N.qcow2 */
	char *file;	/* name in DIR, NULL: disk-N.qcow2; kept when disks in front of it are removed */
	char *format;	/* of path: qcow2 (default), raw, and others that QEMU reads */
	char *media;	/* disk (default), cdrom, floppy; an image of the format iso is a cdrom without being told */
	uint64_t size;	/* bytes; 0: that of the image */
	char *bus;	/* virtio (default), scsi, sata, ide, nvme, usb; of a cdrom: sata (default), ide, scsi, usb */
	char *cache;	/* QEMU's cache mode words: writeback (default) none writethrough unsafe directsync */
	bool discard;	/* true by default */
	char *serial;
	int boot;	/* boot index, -1: none */
	bool snapshot;	/* writes are thrown away at the end (snapshot=on) */
	bool readonly;
	bool eject;	/* cdrom: it is in the drive only until the first run has ended, and comes first in that run */
};
struct machine_nic {
	char *model;  /* virtio (default), e1000, e1000e, rtl8139 */
	char *mac;    /* fixed for life; made from the machine's full name when absent */
	char *net;    /* "user" (default), "none", "group": a port of the group's network process */
	char *tap;    /* of a group NIC: the interface of the host that it is, for the kernel engine; NULL: a socket */
	char *address;/* "10.1.2.3/24", for group NICs; else NULL */
	char *gateway, *dns;
	struct strv forwards; /* net=user: "tcp:127.0.0.1:8080-:80" as QEMU's hostfwd takes it */
	struct strv guestforwards; /* net=user: "tcp:10.0.2.100:6000-tcp:127.0.0.1:6000" as QEMU's guestfwd takes it */
	bool netboot; /* its boot ROM is loaded; it is tried after the disks */
};
/* A folder of the host that the guest can mount: mount -t 9p -o trans=virtio TAG DIR, or mount -t virtiofs TAG DIR. */
struct machine_share {
	char *tag;
	char *path; /* absolute */
	bool rw;
	char *kind; /* 9p (default), virtiofs */
};
struct machine_def {
	char *name;	/* full name */
	char *image;	/* NULL: no image (bare disks) */
	char *host;	/* "[USER@]ADDRESS[:PORT]": a real computer, reached by ssh; the properties of virtual ones mean nothing then. NULL: virtual */
	char *ssh_key;	/* of a real one: the private key's file, absolute; NULL: ssh-agent and the user's own keys */
	char *ssh;	/* user by whom a virtual machine is reached, by ssh instead of its guest program's port; or NULL */
	char *cloud_init; /* "on": the machine gets a seed for cloud-init, with DIR/user-data when there is one; given to machine_create: that file */
	char *arch;	/* x86_64 */
	char *type;	/* pc, q35, or a versioned QEMU machine type; default q35 */
	char *firmware; /* bios (default), uefi, uefi-secure */
	char *nvram;	/* the machine's UEFI variables, a qcow2 file, absolute; NULL: DIR/nvram.qcow2 */
	char *cpu;	/* QEMU CPU model with flags; default max under TCG, host under KVM */
	bool hide_hypervisor; /* the guest is not told that it is one */
	unsigned sockets, cores, threads; /* 1, N, 1 */
	unsigned max_cpus; /* how many it may get while it runs; 0: as many as it has */
	uint64_t memory; /* bytes; default 512 MiB */
	uint64_t max_memory; /* how much it may get while it runs; 0: memory */
	uint64_t hugepages; /* bytes of a page, 2M or 1G; 0: ordinary pages */
	struct machine_disk *disks; /* create puts one for the image's disk in front unless one names the same image */
	size_t ndisks;
	struct machine_nic *nics;
	size_t nnics;
	bool bare_net; /* no NIC at all, where an empty list means the default one; in documents `nics: []` */
	struct machine_share *shares;
	size_t nshares;
	char *kernel, *initrd; /* started directly, without the disks' boot loader; absolute; NULL: those of the image */
	char *kernel_args; /* more kernel command line, for images with a kernel */
	bool boot_menu; /* the firmware's menu is offered for a few seconds */
	char *display;	/* none (default), spice, vnc; or another word that QEMU's -display takes */
	char *display_listen; /* ADDRESS:PORT for spice and vnc; NULL: a socket in the machine's folder */
	char *display_tls; /* folder with ca-cert.pem, server-cert.pem, server-key.pem */
	char *video;	/* none, std, qxl, virtio, cirrus, vmware; default none without a display, qxl with spice, else std */
	char *keyboard; /* layout, us (default) uk de fr es ru */
	char *sound;	/* none (default), hda, ac97 */
	char *watchdog; /* none (default), or what it does: reset shutdown poweroff pause inject-nmi debug */
	bool rng;	/* true by default */
	bool balloon;
	bool tpm;	/* TPM 2.0 by swtpm */
	int hotplug;	/* slots for disks and NICs that come while it runs, on q35; default 2 when a boot loader starts it, else 0; -1: default */
	struct strv usb; /* "VENDOR:PRODUCT" or "BUS.PORT" of host devices */
	struct strv pci; /* "0000:01:00.0" of host devices bound to vfio-pci */
	struct strv smbios; /* "type=1,manufacturer=..." as QEMU's -smbios takes it */
	char *hostname;	/* default: last part of the name */
	char *home;	/* HOSTDIR of a machine that the `vm` personality made */
	char *workdir;	/* where QEMU runs, so that relative paths in qemu_args mean something; NULL: DIR/run */
	struct strv qemu_args; /* last resort */
};

void machine_def_init(struct machine_def *d); /* defaults */
void machine_def_clear(struct machine_def *d);
/* One more with defaults at the end of its list. */
struct machine_disk *machine_def_add_disk(struct machine_def *d);
struct machine_nic *machine_def_add_nic(struct machine_def *d);
struct machine_share *machine_def_add_share(struct machine_def *d);
/* Takes an item out of "disks", "nics" or "shares". */
void machine_def_drop(struct machine_def *d, const char *key, size_t index);
/* A machine file (YAML or JSON) into d, over what d holds; unknown keys and wrong values are errors with position. */
int machine_def_read(struct machine_def *d, const struct node *root, struct error **err);
/* Whether what was read of that file is known to QEMU too: display, machine type, host devices; errors with position. root NULL: all of d,
 * by the machine's name. */
int machine_def_check(const struct machine_def *d, const struct node *root, struct error **err);
void machine_def_to_json(const struct machine_def *d, struct buf *b);
/* 52:54:00:xx:xx:xx from the full name and the NIC's index (locally administered is kept to QEMU's OUI). */
void machine_mac(const char *full_name, unsigned index, char ret[18]);

enum machine_state {
	MACHINE_STOPPED,
	MACHINE_STARTING, /* QEMU runs, guest program not heard yet */
	MACHINE_RUNNING,  /* guest program answers */
	MACHINE_PAUSED,
	MACHINE_CRASHED,  /* QEMU ended by itself with an error; run/status says how */
};
const char *machine_state_name(enum machine_state s);
struct machine;
/* The name of its state; "rescue" when it does not run and the rescue system has its disks. */
const char *machine_state_text(const struct machine *m);

struct machine {
	char *name; /* full */
	char *dir;
	struct machine_def def;
};
/* Checks everything (image, disks, name) before it makes anything; all or nothing. Fails with ERR_STATE when the name is taken. */
int machine_create(struct machine_def *d, struct error **err);
/* ERR_NOT_FOUND with the nearest name. */
struct machine *machine_open(const char *name, struct error **err);
void machine_free(struct machine *m);
static inline void machine_freep(struct machine **m)
{
	machine_free(*m);
}
#define _cleanup_machine_ __attribute__((cleanup(machine_freep)))
/* Full names of all machines, sorted; only group's when given. Cheap: reads directories only. */
int machine_names(const char *group, struct strv *ret, struct error **err);
/* Reads pid files and the helper's status file; talks to no one, so it is fast and never hangs. */
enum machine_state machine_state(const struct machine *m);
/* How the last run ended ("exited with status 1"), or NULL; new. */
char *machine_last_end(const struct machine *m);

struct machine_start_opts {
	const char *accel;	  /* NULL/auto: probe; kvm, tcg */
	bool paused;
};
/* Returns when QEMU runs (QMP has greeted). An already running machine is success (*already set when not NULL). */
int machine_start(struct machine *m, const struct machine_start_opts *o, bool *already, struct error **err);
/* Waits for the guest program; patience goes by progress (console output, CPU use), timeout_ms -1: 120 s without any. On failure the error carries the last console lines. */
int machine_wait_ready(struct machine *m, int timeout_ms, struct error **err);
/* The same patience for what else a guest is waited for; WAITS is what has not come, for the error; static. Freed by free. */
struct patience;
struct patience *machine_patience_new(const char *waits);
/* A look: ERR_TIMEOUT after 120 s without any sign of life, 300 s with nothing but CPU use; ERR_FAILED when the kernel has panicked. */
int machine_lost_patience(const struct machine *m, struct patience *p, struct error **err);
/* A real computer whose connection was lost is connected to again. */
struct agent *machine_agent(struct machine *m, int timeout_ms, struct error **err);
/* ERR_STATE when it is a real computer, for what makes no sense there. All that takes the machine's lock asks already. */
int machine_need_virtual(const struct machine *m, struct error **err);
/* Parts of a real computer's `host`; user NULL and port 0 when it names none. New strings. */
int machine_host_parse(const char *text, char **user, char **host, unsigned *port, struct error **err);
/*
 * The same with what the user's ~/.ssh/config makes of it, so that ADDRESS may be a name of that file. more (or NULL) gets the further
 * lines of that file which ssh needs to get there: keys and proxies. Without such a file, or without ssh, it is as written.
 */
int machine_host_resolve(const char *text, char **user, char **host, unsigned *port, struct strv *more, struct error **err);
char *machine_known_hosts(void); /* where their keys are kept; new */
/* The same, but a paused machine, which would never answer, is an error at once. */
struct agent *machine_agent_awake(struct machine *m, int timeout_ms, struct error **err);
/* Halt the processors of a running machine, and let them go; what is so already is success. */
int machine_pause(struct machine *m, struct error **err);
int machine_resume(struct machine *m, struct error **err);
/* Guest program asked, then ACPI, then kill after timeout_ms in all. *how: "guest", "acpi", "killed". Stopped: success. */
int machine_stop(struct machine *m, int timeout_ms, const char **how, struct error **err);
int machine_kill(struct machine *m, struct error **err);
/*
 * Held by who works on the disks of a machine that does not run: no other command starts or changes it. ERR_STATE when it runs, or its disks are
 * in use otherwise. A file descriptor; closing it lets go.
 */
int machine_hold(const struct machine *m, struct error **err);
/* Refused while it runs unless force (then killed). Leaves no file, process, socket or lock. */
int machine_remove(const char *name, bool force, struct error **err);
/* The QEMU command line as it would be started now. */
int machine_qemu_argv(const struct machine *m, const char *accel, struct strv *argv, struct error **err);
/* Last n lines of the console log, appended. */
void machine_console_tail(const struct machine *m, int lines, struct buf *b);
char *machine_path(const struct machine *m, const char *sub); /* DIR/sub; new */
/* One QMP command on the machine's monitor; returns the "return" value as JSON text (new). arguments: JSON text or NULL. */
char *machine_qmp(struct machine *m, const char *command, const char *arguments, int timeout_ms, struct error **err);

/*
 * Changes of a machine, "KEY=VALUE" each: memory=2G, cpus=4, disk+=10G,bus=scsi, disk-=1, nic+=user, nic-=1, forward+=8080:80,
 * share+=TAG:[rw:]DIR, share-=TAG, cdrom=FILE, cdrom=none, usb+=VENDOR:PRODUCT, and each other property that is one word (field_find). All are
 * checked before anything is done. A machine that runs gets what QEMU can change while it runs; notes holds one line for each change:
 * what and when it holds ("memory=1G: now").
 */
int machine_set(struct machine *m, const struct strv *changes, struct strv *notes, struct error **err);
/* Replaces the definition of a machine that does not run; disks that both have stay as they are. m->def is the new one then. */
int machine_redefine(struct machine *m, struct machine_def *d, struct error **err);
/* Whether the next run is the first one, in which a guest installs itself: CDs to be ejected are there, a reboot ends it. */
int machine_set_first_run(const struct machine *m, bool first, struct error **err);
/* A UEFI variable store (qcow2) at path, from the firmware's template. */
int machine_make_nvram(const char *arch, const char *path, struct error **err);
/* "[tcp:|udp:][ADDRESS:]HOSTPORT:GUESTPORT" as QEMU's hostfwd has it, "tcp:127.0.0.1:8080-:80"; new. */
char *machine_forward_parse(const char *text, struct error **err);
/*
 * Types text as keys_parse (qemu/keys.h) reads it on the machine's keyboard. interval_ms: pause after each key event; -1: 25. layout:
 * NULL: the machine's own. All of the text is checked before the first key. The monitor is let go during waits of the text.
 */
int machine_type(struct machine *m, const char *text, const char *layout, int interval_ms, struct error **err);
/* What is on the machine's screen, as a PNG file; path is replaced in one step. ERR_STATE when it has no screen or does not run. */
int machine_screenshot(struct machine *m, const char *path, struct error **err);

#endif
