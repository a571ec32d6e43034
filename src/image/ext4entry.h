/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CROFT_IMAGE_EXT4ENTRY_H
#define CROFT_IMAGE_EXT4ENTRY_H

#include "image/ext4.h"

#include <archive.h>
#include <archive_entry.h>

/*
 * Puts an entry where path says, with its owner, mode, extended attributes and, when it is not
 * later than `newest`, time. read gives a file's content. Devices and pipes are left out.
 */
int ext4_entry(struct ext4 *fs, struct archive_entry *e, const char *path, time_t newest,
	ext4_read_fn *read, void *arg, struct error **err);

#endif
