/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QEMU's command line by nouns. Each function appends what its noun needs; values from people are quoted so that commas,
 * spaces and UTF-8 in them stay values (QEMU's option parser takes ",," for a comma; -blockdev is given JSON).
 */
#ifndef CROFT_QEMU_ARGS_H
#define CROFT_QEMU_ARGS_H

#include "base/error.h"
#include "base/strv.h"
#include <stdbool.h>
#include <stdint.h>

enum qemu_media { QEMU_DISK, QEMU_CDROM, QEMU_FLOPPY };
struct qemu_disk {
	const char *path;   /* absolute; NULL: a drive with nothing in it (cdrom, floppy) */
	const char *format; /* qcow2, raw */
	const char *bus;    /* virtio scsi sata ide nvme usb; a floppy has its own */
	const char *cache;  /* writeback none writethrough unsafe directsync; NULL: writeback */
	const char *serial; /* or NULL */
	int boot;	    /* -1: none */
	bool discard, readonly;
	enum qemu_media media; /* a cdrom is read only */
};
/* What the devices of one command line share: controllers made so far, units taken. */
struct qemu_buses {
	bool q35; /* six SATA ports of its own and no IDE; pc has four IDE units */
	unsigned ide, sata, scsi, usb, floppy;
};
/* Node "disk<index>", device "dev-disk<index>". */
int qemu_add_disk(struct strv *argv, struct qemu_buses *b, unsigned index, const struct qemu_disk *d, struct error **err);

enum qemu_nic_kind { QEMU_NIC_NONE, QEMU_NIC_USER, QEMU_NIC_STREAM, QEMU_NIC_TAP };
struct qemu_nic {
	const char *model, *mac; /* virtio e1000 e1000e rtl8139 */
	enum qemu_nic_kind kind;
	int fd;			    /* STREAM: the listening socket that QEMU inherits */
	const char *tap;	    /* TAP: the interface, which QEMU makes */
	const struct strv *forwards, *guestforwards; /* USER: hostfwd and guestfwd values, or NULL */
	bool netboot;		    /* with its boot ROM */
};
/* "net<index>" and "nic<index>". */
int qemu_add_nic(struct strv *argv, unsigned index, const struct qemu_nic *n, struct error **err);
/* A listening socket chardev on an inherited descriptor. */
void qemu_add_chardev(struct strv *argv, const char *id, int fd);
/* A USB 3 controller "usb" when there is none yet. */
void qemu_need_usb(struct strv *argv, struct qemu_buses *b);

/*
 * UEFI flash: the read-only code and the machine's own variables (qcow2). Returns what -machine needs, ",pflash0=...". secure: the
 * build that checks signatures, whose variables only the firmware itself (in SMM) can write.
 */
int qemu_add_uefi(struct strv *argv, const char *arch, bool secure, const char *nvram, const char **machine, struct error **err);
/* Makes the machine's own variable store from the firmware's template; secure: with Microsoft's keys enrolled. */
int qemu_make_nvram(const char *arch, bool secure, const char *nvram, struct error **err);

struct qemu_display {
	const char *kind;   /* none, spice, vnc, or another of -display's */
	const char *socket; /* where spice and vnc listen when listen is NULL */
	const char *listen; /* ADDRESS:PORT, [ADDRESS]:PORT */
	const char *tls;    /* folder with the certificates, or NULL */
	const char *secret; /* file with the password; wanted with listen */
	const char *video;  /* none std qxl virtio cirrus vmware */
	const char *layout; /* as keys_layouts (keys.h), or NULL */
};
/* Screen, keyboard and tablet. ERR_USAGE: listen is no address. */
int qemu_add_display(struct strv *argv, struct qemu_buses *b, const char *arch, const struct qemu_display *d, struct error **err);
/* "127.0.0.1:5900" or "[::1]:5900" into parts; host is a new string. */
int qemu_split_listen(const char *listen, char **host, unsigned *port, struct error **err);
/* 9p share "share<index>": a folder that the guest mounts by tag. */
void qemu_add_9p(struct strv *argv, unsigned index, const char *tag, const char *path, bool rw);
/* virtiofs share by the socket of its virtiofsd; memory must be shared (qemu_add_memory). */
void qemu_add_virtiofs(struct strv *argv, unsigned index, const char *tag, const char *socket);
/* TPM 2.0 by the control socket of a swtpm. */
void qemu_add_tpm(struct strv *argv, const char *arch, const char *socket);
/* none hda ac97; none or the watchdog's action. */
void qemu_add_sound(struct strv *argv, const char *sound);
void qemu_add_watchdog(struct strv *argv, const char *action);
/* "1234:abcd" (vendor and product) or "1.2" (bus and port); ERR_USAGE: neither. "0000:01:00.0" or "01:00.0" likewise. */
int qemu_check_usb(const char *device, struct error **err);
int qemu_check_pci(const char *device, struct error **err);
int qemu_add_usb_host(struct strv *argv, struct qemu_buses *b, const char *device, struct error **err);
int qemu_add_pci_host(struct strv *argv, const char *device, struct error **err);
struct qemu_memory {
	uint64_t size, max, hugepages; /* bytes; max and hugepages may be 0 */
	bool shared;		       /* other processes see it */
};
/* -m and its backend. Returns what -machine needs, ",memory-backend=ram" or "". */
const char *qemu_add_memory(struct strv *argv, const struct qemu_memory *m);
/* Commas doubled; new. */
char *qemu_quote(const char *value);

/* The words that the functions above know, NULL-terminated, for checks of documents. */
extern const char *const qemu_buses_known[], *const qemu_caches_known[], *const qemu_nics_known[];

#endif
