/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the rescue system share. */
#ifndef CROFT_MACHINE_RESCUEINT_H
#define CROFT_MACHINE_RESCUEINT_H

#include "internal.h"
#include "rescue.h"

struct rescue {
	struct machine *m; /* dir: DIR/rescue, definition: the rescue system's; its name is the machine's */
	int lock;	   /* rescue/job.lock */
	bool kept, keep, iso; /* kept by an earlier command; not ended with the handle; a CD */
	unsigned ssh;
};

/* m's disks under r->m->dir, beside the rescue image or the CD; makes what stands over disks that are not written. */
int rescue_define(struct rescue *r, const struct machine *m, const struct rescue_opts *o, struct error **err);
/* Removes what rescue_define made. */
int rescue_undefine(const struct rescue *r, struct error **err);
/* The firmware that these options mean for m: bios or uefi. */
const char *rescue_firmware(const struct machine *m, const struct rescue_opts *o);

#endif
