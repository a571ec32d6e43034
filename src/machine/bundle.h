/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine in one file (store/bundle.h), that may go through a pipe: definition, disks with their snapshots, firmware variables, TPM, what it
 * uses outside of its folder, and the images that its disks lie over. Parts: "croft.json" (what it is), "image/NAME/FILE", and
 * "machine/PATH" for what lies in the machine's folder; what lay elsewhere is "machine/outside-KEY".
 */
#ifndef CROFT_MACHINE_BUNDLE_H
#define CROFT_MACHINE_BUNDLE_H

#include "machine/machine.h"

struct machine_export_opts {
	void (*progress)(void *arg, uint64_t done);
	void *arg;
};
/* A stopped machine to fd; what: its name for errors. */
int machine_export(struct machine *m, int fd, const char *what, const struct machine_export_opts *o, struct error **err);

struct machine_import_opts {
	const char *name;   /* NULL: the one it had, without its group */
	bool keep_identity; /* MACs, host name, memory in snapshots; else it becomes another machine, as a clone */
	void (*progress)(void *arg, uint64_t done);
	void *arg;
};
/*
 * All or nothing: whatever is wrong with the stream, no machine and no image is there then. What the definition takes from the host
 * it came from (shares, devices, QEMU arguments) is left out, and said. *name: the machine's; new.
 */
int machine_import(int fd, const char *what, const struct machine_import_opts *o, char **name, struct error **err);

#endif
