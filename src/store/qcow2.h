/* SPDX-License-Identifier: Apache-2.0 */
/* Where the guest's data lies in a plain qcow2 file: QEMU's docs/interop/qcow2.txt. */
#ifndef CROFT_STORE_QCOW2_H
#define CROFT_STORE_QCOW2_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Calls fn for each allocated cluster, in order of its place in the disk. True when the file is of the plain kind: no backing file, no
 * encryption, no compressed clusters, nothing that changes the format, whole tables, and nobody who writes to it now. Otherwise
 * what was said by then is void: qemu-img knows all kinds, and says what is wrong.
 */
bool qcow2_map(int fd, uint64_t *size, void (*fn)(void *arg, uint64_t start, uint64_t len, uint64_t off), void *arg);

#endif
