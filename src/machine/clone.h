/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CROFT_MACHINE_CLONE_H
#define CROFT_MACHINE_CLONE_H

#include "machine/machine.h"

struct clone_opts {
	const char *snapshot; /* as it was then; NULL: as it is, which needs it stopped */
	bool full; /* without the image below; else what is in the image is shared, and only what the machine has written is copied */
	/*
	 * The same machine once more, for a group of its own: addresses and MACs stay, and the snapshot comes along with its memory,
	 * to be restored there. Otherwise name, MAC and UUID are new ones, and memory stays behind.
	 */
	bool same;
};
/* All or nothing. ERR_STATE when the name is taken, or it runs and no snapshot is given. */
int machine_clone(struct machine *m, const char *to, const struct clone_opts *o, struct error **err);

#endif
