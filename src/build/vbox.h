/* SPDX-License-Identifier: Apache-2.0 */
/* Templates for VirtualBox, built on QEMU with the hardware that VirtualBox would have given. */
#ifndef CROFT_BUILD_VBOX_H
#define CROFT_BUILD_VBOX_H

#include "box.h"

/* QEMU's name for the template's nic_type. */
const char *vbox_nic(const struct conf *c);
/* The vboxmanage rows that have a meaning for QEMU, and one line about what this is. */
int vbox_apply(struct build *b, struct box *v, struct error **err);

#endif
