/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Headers of a plain tar (POSIX.1-1988 ustar), for archives whose members are written before their sizes are known, and whose
 * readers take nothing else: an OVA has no directories, no pax headers, and no names but those in it.
 */
#ifndef CROFT_IMAGE_USTAR_H
#define CROFT_IMAGE_USTAR_H

#include <stdint.h>
#include <time.h>

#define USTAR_BLOCK 512
/* A regular file of root's, 0644. Sizes of 8 GiB and more are in base 256, as GNU tar has it. name: at most 99 bytes. */
void ustar_header(char h[USTAR_BLOCK], const char *name, uint64_t size, time_t mtime);
/* The file's size with its header, rounded up to blocks. */
uint64_t ustar_room(uint64_t size);

#endif
