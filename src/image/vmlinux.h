/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel proper out of a bzImage. */
#ifndef CROFT_IMAGE_VMLINUX_H
#define CROFT_IMAGE_VMLINUX_H

#include "base/buf.h"
#include "base/error.h"
#include <stdint.h>

/*
 * Unpacks the ELF kernel that an x86 bzImage carries (Linux boot protocol 2.08 and later,
 * Documentation/arch/x86/boot.rst: payload_offset, payload_length) into *elf. QEMU starts such an
 * ELF by its PVH entry note without running the decompressor in the guest, which under TCG takes
 * longer than all the rest of the boot (xz: 4.4 s instead of 1.8 s). Fails with ERR_FAILED when bz
 * is no bzImage, its compression is unknown, or the kernel has no PVH note.
 */
int vmlinux_extract(const void *bz, size_t len, struct buf *elf, struct error **err);
/* Where in physical memory the last of the kernel's loaded segments ends, in bytes; elf as vmlinux_extract made it. */
uint64_t vmlinux_end(const struct buf *elf);

#endif
