/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What makes a file bootable as a disk, by offset and without privileges: a GPT with a BIOS boot partition, an EFI system
 * partition and a root; GRUB's first stages; the files that firmware reads.
 */
#ifndef CROFT_IMAGE_DISK_H
#define CROFT_IMAGE_DISK_H

#include "base/buf.h"
#include "base/error.h"
#include "image/ext4.h"
#include <stdint.h>
#include <time.h>

/* Bytes. The root comes last, so that it can grow with the disk. */
#define DISK_BIOS_START ((uint64_t)1 << 20)
#define DISK_BIOS_SIZE ((uint64_t)1 << 20)
#define DISK_ESP_START ((uint64_t)2 << 20)
#define DISK_ESP_SIZE ((uint64_t)64 << 20)
#define DISK_ROOT_START ((uint64_t)66 << 20)
#define DISK_ROOT_PARTITION 3
/* The second table takes the last 33 sectors; whole MiB are kept. */
#define DISK_TAIL ((uint64_t)1 << 20)

/* uuid: of the disk; those of the partitions are derived. The file must have its size already. */
int disk_partition(const char *file, const char *uuid[4], struct error **err);
/*
 * Puts GRUB's boot.img into the first sector (the partition table in it stays) and core.img into the BIOS boot partition,
 * each told where the next one lies.
 */
int disk_grub_bios(const char *file, const struct buf *boot, const struct buf *core, struct error **err);
/* FAT in the EFI system partition with loader as EFI/BOOT/BOOTX64.EFI, which firmware starts when it knows nothing else. */
int disk_esp(const char *file, uint32_t volume_id, const struct buf *loader, time_t now, struct error **err);

/* A version 8 UUID (RFC 9562) of the key and a word; new. */
char *disk_uuid(const char *key, const char *word);
/* GRUB's menu for Debian's links to the newest kernel, on screen and serial console, into the root. */
int disk_grub_menu(struct ext4 *fs, const char *root_uuid, time_t now, struct error **err);

#endif
