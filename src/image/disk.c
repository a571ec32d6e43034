/* SPDX-License-Identifier: Apache-2.0 */
#include "image/disk.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/proc.h"
#include "image/sha.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libfdisk/libfdisk.h>
#include <stdio.h>
#include <string.h>

#define SECTOR 512
/* Partition types (UEFI 2.10, 5.3.3; GRUB manual, "BIOS installation"; Discoverable Partitions Specification). */
#define TYPE_BIOS_BOOT "21686148-6449-6E6F-744E-656564454649"
#define TYPE_ESP "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
#define TYPE_ROOT_X86_64 "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709"

/*
 * GRUB's boot.img and the first sector of core.img (GRUB 2, include/grub/i386/pc/boot.h). boot.img: where core.img's first
 * sector is; the drive to read (0xff: the one that the BIOS booted); a jump that is only for floppies. core.img's first
 * sector ends with a list of the runs of sectors to load: start, count, segment.
 */
#define BOOT_CORE_SECTOR 0x5c
#define BOOT_DRIVE 0x64
#define BOOT_DRIVE_CHECK 0x66
#define BOOT_TABLE 0x1b8 /* disk signature and partition table begin here */
#define CORE_RUN (SECTOR - 12)
#define CORE_SEGMENT 0x820

static int fdisk_failed(const char *file, const char *what, int code, struct error **err)
{
	return error_errno(err, code < 0 ? -code : EIO, "%s: cannot %s the partition table", file, what);
}

/* The table in the words of sfdisk(8), which libfdisk reads. */
static FILE *table_text(const char *uuid[4], uint64_t size, char **text)
{
	uint64_t root = (size - DISK_ROOT_START - DISK_TAIL) / SECTOR;
	size_t n;
	FILE *f = open_memstream(text, &n);

	if (!f)
		return NULL;
	fprintf(f, "label: gpt\nlabel-id: %s\nunit: sectors\n", uuid[0]);
	fprintf(f, "start=%" PRIu64 ", size=%" PRIu64 ", type=" TYPE_BIOS_BOOT ", uuid=%s, name=\"bios\"\n", DISK_BIOS_START / SECTOR,
		DISK_BIOS_SIZE / SECTOR, uuid[1]);
	fprintf(f, "start=%" PRIu64 ", size=%" PRIu64 ", type=" TYPE_ESP ", uuid=%s, name=\"esp\"\n", DISK_ESP_START / SECTOR,
		DISK_ESP_SIZE / SECTOR, uuid[2]);
	fprintf(f, "start=%" PRIu64 ", size=%" PRIu64 ", type=" TYPE_ROOT_X86_64 ", uuid=%s, name=\"root\"\n",
		DISK_ROOT_START / SECTOR, root, uuid[3]);
	if (fclose(f) != 0)
		return NULL;
	return fmemopen(*text, n, "r");
}

int disk_partition(const char *file, const char *uuid[4], struct error **err)
{
	struct fdisk_context *c = fdisk_new_context();
	struct fdisk_script *s = c ? fdisk_new_script(c) : NULL;
	_cleanup_free_ char *text = NULL;
	_cleanup_fclose_ FILE *f = NULL;
	int rc = s ? fdisk_assign_device(c, file, 0) : -ENOMEM;

	if (rc < 0) {
		fdisk_failed(file, "open", rc, err);
	} else {
		f = table_text(uuid, fdisk_get_nsectors(c) * SECTOR, &text);
		rc = !f ? -ENOMEM : fdisk_script_read_file(s, f);
		if (rc == 0)
			rc = fdisk_apply_script(c, s);
		if (rc == 0)
			rc = fdisk_write_disklabel(c);
		if (rc < 0)
			fdisk_failed(file, "write", rc, err);
		fdisk_deassign_device(c, 1);
	}
	fdisk_unref_script(s);
	fdisk_unref_context(c);
	return rc < 0 ? -1 : 0;
}

static void put16(char *p, uint16_t v)
{
	v = htole16(v);
	memcpy(p, &v, sizeof(v));
}

static void put64(char *p, uint64_t v)
{
	v = htole64(v);
	memcpy(p, &v, sizeof(v));
}

static int write_at(int fd, const char *file, const void *p, size_t n, uint64_t at, struct error **err)
{
	ssize_t done = pwrite(fd, p, n, (off_t)at);

	if (done != (ssize_t)n)
		return error_errno(err, done < 0 ? errno : ENOSPC, "%s: cannot write", file);
	return 0;
}

int disk_grub_bios(const char *file, const struct buf *boot, const struct buf *core, struct error **err)
{
	_cleanup_close_ int fd = open(file, O_RDWR | O_CLOEXEC);
	_cleanup_free_ char *image = NULL;
	size_t sectors = (core->len + SECTOR - 1) / SECTOR;
	char first[SECTOR];
	uint64_t at = DISK_BIOS_START / SECTOR;

	if (fd < 0)
		return error_errno(err, errno, "%s", file);
	if (boot->len != SECTOR || sectors < 2 || core->len > DISK_BIOS_SIZE || sectors - 1 > UINT16_MAX)
		return error_set(err, ERR_FAILED, "GRUB's images have %zu and %zu bytes; %d and at most %" PRIu64 " were expected",
			boot->len, core->len, SECTOR, DISK_BIOS_SIZE);
	memcpy(first, boot->data, SECTOR);
	put64(first + BOOT_CORE_SECTOR, at);
	first[BOOT_DRIVE] = (char)0xff;
	memset(first + BOOT_DRIVE_CHECK, 0x90, 2); /* no operation */
	image = xcalloc(sectors, SECTOR);
	memcpy(image, core->data, core->len);
	put64(image + CORE_RUN, at + 1);
	put16(image + CORE_RUN + 8, (uint16_t)(sectors - 1));
	put16(image + CORE_RUN + 10, CORE_SEGMENT);
	if (write_at(fd, file, first, BOOT_TABLE, 0, err) < 0 ||
		write_at(fd, file, image, sectors * SECTOR, DISK_BIOS_START, err) < 0)
		return -1;
	return 0;
}

static int make_fat(const char *file, uint32_t volume_id, struct error **err)
{
	_cleanup_free_ char *offset = xasprintf("--offset=%" PRIu64, DISK_ESP_START / SECTOR);
	_cleanup_free_ char *id = xasprintf("%08" PRIx32, volume_id), *blocks = xasprintf("%" PRIu64, DISK_ESP_SIZE / 1024);
	const char *argv[] = { "mkfs.vfat", "--invariant", "-F", "32", "-s", "1", "-n", "ESP", "-i", id, offset, file, blocks, NULL };

	return proc_run(argv, 60000, NULL, NULL, err) < 0 ? error_hint(err, "dosfstools is needed") : 0;
}

int disk_esp(const char *file, uint32_t volume_id, const struct buf *loader, time_t now, struct error **err)
{
	_cleanup_free_ char *drive = xasprintf("%s@@%" PRIu64, file, DISK_ESP_START), *time = xasprintf("%lld", (long long)now);
	_cleanup_free_ char *efi = xasprintf("%s.efi", file);
	const char *folders[] = { "mmd", "-i", drive, "::/EFI", "::/EFI/BOOT", NULL };
	const char *copy[] = { "mcopy", "-i", drive, efi, "::/EFI/BOOT/BOOTX64.EFI", NULL };
	int rc;

	if (make_fat(file, volume_id, err) < 0 || file_write(efi, loader->data, loader->len, 0600, err) < 0)
		return -1;
	setenv("SOURCE_DATE_EPOCH", time, 1);
	setenv("MTOOLS_SKIP_CHECK", "1", 1);
	setenv("TZ", "UTC0", 1);
	rc = proc_run(folders, 60000, NULL, NULL, err);
	if (rc == 0)
		rc = proc_run(copy, 60000, NULL, NULL, err);
	unsetenv("TZ");
	unsetenv("MTOOLS_SKIP_CHECK");
	unsetenv("SOURCE_DATE_EPOCH");
	if (rc < 0)
		return error_hint(err, "mtools is needed");
	return file_unlink(efi, err);
}

/* ---- what names the root ---- */

char *disk_uuid(const char *key, const char *word)
{
	_cleanup_free_ char *seed = xasprintf("%s %s", key, word);
	char h[SHA_HEX];

	sha_bytes(seed, strlen(seed), h);
	return xasprintf("%.8s-%.4s-8%.3s-a%.3s-%.12s", h, h + 8, h + 12, h + 15, h + 18);
}

/* update-grub in the machine makes a file of its own from /etc/default. */
int disk_grub_menu(struct ext4 *fs, const char *root_uuid, time_t now, struct error **err)
{
	_cleanup_free_ char *text = xasprintf(
		"serial --unit=0 --speed=115200\nterminal_input console serial\nterminal_output console serial\n"
		"set timeout=0\nset default=0\n"
		"menuentry 'Debian' {\n\tlinux /vmlinuz root=UUID=%s ro console=tty0 console=ttyS0,115200\n\tinitrd /initrd.img\n}\n",
		root_uuid);

	return ext4_bytes(fs, "boot/grub/grub.cfg", &(struct ext4_meta){ .mode = 0644, .mtime = now }, text, strlen(text), err);
}
