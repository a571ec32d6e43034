/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A root that runs from memory: kernel, initramfs that is the root itself, command line. Firmware, GRUB or iPXE load both; nothing
 * on the machine's disks is needed or touched.
 */
#ifndef CROFT_IMAGE_LIVE_H
#define CROFT_IMAGE_LIVE_H

#include "image/export/job.h"

#define LIVE_KERNEL "vmlinuz"
#define LIVE_INITRD "initrd.img"

/* Puts the two into dir; *cmdline: new string. */
int live_write(struct export_job *j, const char *dir, char **cmdline, struct error **err);
int live_check(struct export_job *j, struct error **err);

#endif
