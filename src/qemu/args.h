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

struct qemu_disk {
	const char *path;   /* absolute */
	const char *format; /* qcow2, raw */
	const char *bus;    /* virtio scsi sata ide nvme usb */
	const char *cache;  /* writeback none writethrough unsafe directsync; NULL: writeback */
	const char *serial; /* or NULL */
	int boot;	    /* -1: none */
	bool discard, cdrom; /* a cdrom is read only */
};
/* What the devices of one command line share: controllers made so far, units taken. */
struct qemu_buses {
	bool q35; /* six SATA ports of its own and no IDE; pc has four IDE units */
	unsigned ide, sata, scsi, usb;
};
/* Node "disk<index>", device "dev-disk<index>". */
int qemu_add_disk(struct strv *argv, struct qemu_buses *b, unsigned index, const struct qemu_disk *d, struct error **err);

enum qemu_nic_kind { QEMU_NIC_NONE, QEMU_NIC_USER, QEMU_NIC_STREAM };
struct qemu_nic {
	const char *model, *mac; /* virtio e1000 e1000e rtl8139 */
	enum qemu_nic_kind kind;
	int fd;			    /* STREAM: the listening socket that QEMU inherits */
	const struct strv *forwards; /* USER: hostfwd values */
};
/* "net<index>" and "nic<index>". */
int qemu_add_nic(struct strv *argv, unsigned index, const struct qemu_nic *n, struct error **err);
/* A listening socket chardev on an inherited descriptor. */
void qemu_add_chardev(struct strv *argv, const char *id, int fd);
/* UEFI flash: the read-only code and the machine's own variables (qcow2). Returns what -machine needs, ",pflash0=...". */
int qemu_add_uefi(struct strv *argv, const char *arch, const char *nvram, const char **machine, struct error **err);
/* Makes the machine's own variable store from the firmware's template. */
int qemu_make_nvram(const char *arch, const char *nvram, struct error **err);
/* Commas doubled; new. */
char *qemu_quote(const char *value);

/* The words that the functions above know, NULL-terminated, for checks of documents. */
extern const char *const qemu_buses_known[], *const qemu_caches_known[], *const qemu_nics_known[];

#endif
