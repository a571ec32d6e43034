/* SPDX-License-Identifier: Apache-2.0 */
/* Templates for VirtualBox, built on QEMU with the hardware that VirtualBox would have given. */
#ifndef CROFT_BUILD_VBOX_H
#define CROFT_BUILD_VBOX_H

#include "box.h"

/* QEMU's name for the template's nic_type. */
const char *vbox_nic(const struct conf *c);
/* The vboxmanage rows that have a meaning for QEMU, and one line about what this is. */
int vbox_apply(struct build *b, struct box *v, struct error **err);
/* What VirtualBox's export would have left, of the machine's first disk (a qcow2): NAME.ovf with its disk, or NAME.ova. files: appended. */
int vbox_export(struct build *b, const char *disk, struct strv *files, struct error **err);

#endif
