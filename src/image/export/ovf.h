/* SPDX-License-Identifier: Apache-2.0 */
/* The description of a machine in an OVA: OVF 1.0 (DSP0243 1.1) as VirtualBox, VMware and virt-v2v read it. */
#ifndef CROFT_IMAGE_OVF_H
#define CROFT_IMAGE_OVF_H

#include "base/buf.h"
#include <stdbool.h>
#include <stdint.h>

struct ovf {
	const char *name;	/* of the machine */
	const char *disk;	/* the file in the archive */
	uint64_t disk_size;	/* of that file, bytes */
	uint64_t capacity;	/* of the disk, bytes */
	uint64_t data;		/* of it that is in use, bytes */
	unsigned cpus;
	uint64_t memory;	/* bytes */
	bool uefi;
	const char *bus;	/* sata, scsi, ide */
	const char *os;		/* as in image.json: "debian bookworm", "tiny", "" */
};
void ovf_write(const struct ovf *o, struct buf *b);
/* The name for ddb.adapterType of a disk on that bus; NULL when there is no such bus. */
const char *ovf_adapter(const char *bus);

#endif
