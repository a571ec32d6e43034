/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qemu-img gives new disks random identities and today's time. These are replaced by ones that follow from the name and
 * SOURCE_DATE_EPOCH, so that the same disk gives the same bytes.
 */
#ifndef CROFT_IMAGE_STAMP_H
#define CROFT_IMAGE_STAMP_H

#include "base/error.h"

int stamp_vdi(int fd, const char *what, const char *name, struct error **err);
int stamp_vhd(int fd, const char *what, const char *name, struct error **err);

#endif
