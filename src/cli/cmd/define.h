/* SPDX-License-Identifier: Apache-2.0 */
/* vm_define.c: options that describe a machine, for each command that makes one. */
#ifndef CROFT_CLI_CMD_DEFINE_H
#define CROFT_CLI_CMD_DEFINE_H

#include "cli/command.h"
#include "machine/machine.h"

#define DEFINE_OPTS \
	{ 'c', "cpus", OPT_STRING, "N", "Number of processors; default 1", NULL }, \
	{ 'm', "memory", OPT_STRING, "SIZE", "Memory; default 512M", NULL }, \
	{ 'd', "disk", OPT_LIST, "SIZE", "One more disk, empty", NULL }, \
	{ 0, "net", OPT_STRING, "NET", "Network of the first card: user (the default) or none", "user|none" }, \
	{ 'p', "forward", OPT_LIST, "[PROTO:][ADDR:]PORT:PORT", \
		"Host port that leads to a port of the guest; on 127.0.0.1 unless ADDR is given", NULL }, \
	{ 0, "firmware", OPT_STRING, "FIRMWARE", "bios (the default) or uefi", "bios|uefi" }, \
	{ 0, "cpu", OPT_STRING, "MODEL", "QEMU's processor model with flags", NULL }, \
	{ 0, "hostname", OPT_STRING, "NAME", "Host name; default the machine's name", NULL }, \
	{ 0, "kernel-args", OPT_STRING, "ARGS", "More kernel command line, for images with a kernel", NULL }

/* A definition with what the settings say of any machine. */
void cmd_define_init(struct machine_def *d);
/* What the options of DEFINE_OPTS say, into d. */
int cmd_define(struct machine_def *d, const struct cmd_args *a, struct error **err);

#endif
