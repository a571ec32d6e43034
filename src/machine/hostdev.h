/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CROFT_MACHINE_HOSTDEV_H
#define CROFT_MACHINE_HOSTDEV_H

#include "base/error.h"
#include <stdint.h>

/* So many bytes of memory in free huge pages of `page` bytes. */
int hostdev_check_hugepages(uint64_t page, uint64_t memory, struct error **err);
/* "VENDOR:PRODUCT" or "BUS.PORT" is plugged in and may be opened. */
int hostdev_check_usb(const char *device, struct error **err);
/* "0000:01:00.0" exists, is bound to vfio-pci, and its group may be opened. */
int hostdev_check_pci(const char *device, struct error **err);

#endif
