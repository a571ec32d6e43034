/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two passes over the root: how large it is and what it has, then into the file system. UUIDs are
 * of the names, sizes and times of all files, so that the same root gives the same disk.
 */
#include "image/export/rootdisk.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/intr.h"
#include "base/mem.h"
#include "image/disk.h"
#include "image/export/root.h"
#include "image/export/job.h"
#include "image/ext4.h"
#include "image/ext4entry.h"
#include "image/sha.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define MIB ((uint64_t)1 << 20)
#define SPARE (256 * MIB)
#define PER_FILE 8192 /* its inode, its part of a folder, the rest of its last block */
#define STAGE_MAX ((size_t)16 << 20)

/* Where a root brings what stands in front of it on a disk (grub-mkimage). */
enum { STAGE_BOOT, STAGE_CORE, STAGE_EFI, STAGES };
static const char *const stage_paths[STAGES] = { "boot/grub/i386-pc/boot.img",
	"boot/grub/i386-pc/core.img", "boot/efi/EFI/BOOT/BOOTX64.EFI" };

struct making {
	struct sha *sha;
	uint64_t bytes;
	struct ext4 *fs;
	struct root *r;
	time_t epoch; /* of the newest file */
	struct buf stage[STAGES];
	bool etc, usr;        /* what every root has */
	bool vmlinuz, initrd; /* Debian's links to the newest kernel, in / */
	unsigned stages;      /* of stage_paths, a bit each */
	char *uuid;
};

static const struct root_filter filter = { .boot = true };

/* ---- the first pass ---- */

/* 1 when it has what every root has. */
static int is_root(void *arg, struct root *r, struct archive_entry *e, struct error **err)
{
	struct making *m = arg;
	const char *path = archive_entry_pathname(e);

	m->etc |= !strncmp(path, "etc/", 4);
	m->usr |= !strncmp(path, "usr/", 4) || !strncmp(path, "bin/", 4);
	return m->etc && m->usr;
}

static int look(void *arg, struct root *r, struct archive_entry *e, struct error **err)
{
	struct making *m = arg;
	const char *path = archive_entry_pathname(e);
	int64_t size = archive_entry_filetype(e) == AE_IFREG ? archive_entry_size(e) : 0;
	int64_t facts[2] = { size, archive_entry_mtime(e) };

	is_root(m, r, e, err);
	m->vmlinuz |= !strcmp(path, "vmlinuz");
	m->initrd |= !strcmp(path, "initrd.img");
	for (unsigned i = 0; i < STAGES; i++)
		m->stages |= strcmp(path, stage_paths[i]) ? 0 : 1u << i;
	if (facts[1] > m->epoch)
		m->epoch = facts[1];
	sha_adds(m->sha, path);
	sha_add(m->sha, facts, sizeof facts);
	m->bytes += (uint64_t)(size > 0 ? size : 0) + PER_FILE;
	return 0;
}

static int survey(struct origin *from, struct making *m, char key[SHA_HEX], struct error **err)
{
	_cleanup_root_ struct root *r = root_open(from, err);
	int rc;

	m->sha = sha_new();
	rc = r ? root_each(r, look, m, err) : -1;
	sha_end(m->sha, key);
	if (rc == 0 && (!m->etc || !m->usr))
		return error_set(
			err, ERR_FAILED, "%s: holds no root: no etc/ and usr/", from->what);
	return rc;
}

bool rootdisk_wanted(struct origin *from)
{
	struct making m = { 0 };
	_cleanup_error_ struct error *e = NULL;
	_cleanup_root_ struct root *r = NULL;

	if (!from->file || (from->sniff.kind != SNIFF_TAR && from->sniff.kind != SNIFF_COMPRESSED))
		return false;
	r = root_open(from, &e);
	return r && root_each(r, is_root, &m, &e) == 1;
}

/* ---- the second ---- */

static ssize_t read_entry(void *arg, void *p, size_t n, struct error **err)
{
	return root_read(arg, p, n, err);
}

static int keep_stage(struct making *m, struct buf *b, const char *path, struct error **err)
{
	ssize_t n;

	while ((n = root_read(m->r, buf_reserve(b, 1 << 16), 1 << 16, err)) > 0) {
		b->len += (size_t)n;
		if (b->len > STAGE_MAX)
			return error_set(err, ERR_FAILED, "/%s: is too large", path);
	}
	return n < 0 ? -1 : 0;
}

static int empty(struct making *m, struct archive_entry *e, const char *path, struct error **err)
{
	struct ext4_meta meta = { .mode = archive_entry_perm(e), .mtime = archive_entry_mtime(e) };

	return ext4_bytes(m->fs, path, &meta, "", 0, err);
}

static bool boots(const struct making *m)
{
	return m->stages == (1u << STAGES) - 1;
}

/* What the disk has its own of, instead of the root's. */
static bool is_ours(const struct making *m, const char *path)
{
	return boots(m) && (!strcmp(path, "etc/fstab") || !strcmp(path, "boot/grub/grub.cfg"));
}

static int put(void *arg, struct root *r, struct archive_entry *e, struct error **err)
{
	struct making *m = arg;
	const char *path = archive_entry_pathname(e);
	enum root_verdict v = root_filter(&filter, e);

	m->r = r;
	if (v == ROOT_DROP || is_ours(m, path))
		return 0;
	for (size_t i = 0; i < STAGES; i++)
		if (!strcmp(path, stage_paths[i]))
			return keep_stage(m, &m->stage[i], path, err);
	if (v == ROOT_EMPTY)
		return empty(m, e, path, err);
	return ext4_entry(m->fs, e, path, m->epoch, read_entry, r, err);
}

__attribute__((format(printf, 4, 5))) static int text(
	struct making *m, const char *path, struct error **err, const char *fmt, ...)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	buf_addvf(&b, fmt, ap);
	va_end(ap);
	return ext4_bytes(m->fs, path, &(struct ext4_meta){ .mode = 0644, .mtime = m->epoch },
		buf_str(&b), b.len, err);
}

/* Names of file systems, which only who makes them knows. */
static int own_texts(struct making *m, uint32_t esp, struct error **err)
{
	if (!boots(m))
		return 0;
	if (!m->vmlinuz || !m->initrd) {
		error_set(err, ERR_FAILED,
			"the root has a boot loader, but no /vmlinuz and /initrd.img");
		return error_hint(err, "a kernel's package and initramfs-tools make those links");
	}
	return text(m, "etc/fstab", err,
		       "UUID=%s / ext4 rw,relatime,errors=remount-ro,x-systemd.growfs 0 1\n"
		       "UUID=%04X-%04X /boot/efi vfat umask=0077,nofail 0 1\n",
		       m->uuid, (unsigned)(esp >> 16), (unsigned)(esp & 0xffff)) < 0
		       ? -1
		       : disk_grub_menu(m->fs, m->uuid, m->epoch, err);
}

static int fill(
	struct origin *from, struct making *m, const char *raw, uint32_t esp, struct error **err)
{
	_cleanup_root_ struct root *r = root_open(from, err);
	int rc = -1;

	m->fs = r ? ext4_open(raw, DISK_ROOT_START, m->epoch, err) : NULL;
	if (!m->fs)
		return -1;
	if (root_each(r, put, m, err) == 0 && own_texts(m, esp, err) == 0)
		rc = 0;
	if (rc == 0)
		return ext4_close(m->fs, err);
	{
		_cleanup_error_ struct error *ignored = NULL;

		ext4_close(m->fs, &ignored);
	}
	return -1;
}

static int make_raw(
	const struct making *m, const char *raw, uint64_t size, const char *key, struct error **err)
{
	_cleanup_free_ char *u[4] = { disk_uuid(key, "disk"), disk_uuid(key, "bios"),
		disk_uuid(key, "esp"), disk_uuid(key, "rootpart") };
	const char *uuids[4] = { u[0], u[1], u[2], u[3] };
	_cleanup_close_ int fd = open(raw, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	uint64_t root = (size - DISK_ROOT_START - DISK_TAIL) & ~(uint64_t)4095;

	if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
		return error_errno(err, errno, "%s", raw);
	if (disk_partition(raw, uuids, err) < 0)
		return -1;
	return ext4_make(raw, DISK_ROOT_START, root, "croft-root", m->uuid, m->epoch, err);
}

static int loaders(const struct making *m, const char *raw, uint32_t esp, struct error **err)
{
	if (!boots(m))
		return 0;
	if (disk_grub_bios(raw, &m->stage[STAGE_BOOT], &m->stage[STAGE_CORE], err) < 0)
		return -1;
	return disk_esp(raw, esp, &m->stage[STAGE_EFI], m->epoch, err);
}

int rootdisk_make(
	struct origin *from, const char *raw, uint64_t size, bool *bootable, struct error **err)
{
	struct making m = { 0 };
	uint64_t least;
	uint32_t esp;
	char key[SHA_HEX];
	int rc = -1;

	if (survey(from, &m, key, err) < 0)
		return -1;
	m.epoch = m.epoch > 0 ? m.epoch : export_epoch();
	least = DISK_ROOT_START + m.bytes + m.bytes / 2 + SPARE + DISK_TAIL;
	least = (least + MIB - 1) / MIB * MIB;
	m.uuid = disk_uuid(key, "root");
	esp = (uint32_t)strtoul(m.uuid, NULL, 16);
	if (make_raw(&m, raw, size > least ? size : least, key, err) == 0 &&
		fill(from, &m, raw, esp, err) == 0)
		rc = loaders(&m, raw, esp, err);
	*bootable = boots(&m);
	for (size_t i = 0; i < STAGES; i++)
		buf_free(&m.stage[i]);
	free(m.uuid);
	if (rc < 0)
		unlink(raw);
	return rc;
}
