/* SPDX-License-Identifier: Apache-2.0 */
/* Changes of a running machine by its monitor. */
#ifndef CROFT_MACHINE_LIVE_H
#define CROFT_MACHINE_LIVE_H

#include "machine/machine.h"

enum live_kind { LIVE_NEVER, LIVE_MEMORY, LIVE_CPUS, LIVE_DISK_ADD, LIVE_DISK_DROP, LIVE_NIC_ADD, LIVE_NIC_DROP, LIVE_FORWARD_ADD, LIVE_FORWARD_DROP,
	LIVE_CDROM };
struct live_change {
	enum live_kind kind;
	size_t index; /* of the disk or NIC */
	bool last;    /* *_DROP: none stands behind it */
	char *text;   /* FORWARD_*: the rule as QEMU has it */
};
/* def: the machine as it shall be. -1: QEMU cannot, and why; nothing has changed then. */
int live_apply(struct machine *m, const struct machine_def *def, const struct live_change *c, struct error **err);

#endif
