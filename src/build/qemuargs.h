/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CROFT_BUILD_QEMUARGS_H
#define CROFT_BUILD_QEMUARGS_H

#include "box.h"

/*
 * A template's qemuargs onto the machine. Switches that croft has a property for set it (-m, -smp, -cpu, -machine, -vga); those that
 * would take away how croft reaches the machine (-display, -serial, -monitor ...) are left out, and that is said; the template's own
 * words for its disk give its bus; the rest is handed to QEMU as it is.
 */
int qemuargs_apply(struct build *b, struct box *v, const struct map *fields, struct error **err);

#endif
