/* SPDX-License-Identifier: Apache-2.0 */
#include "image/export/intake.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/intr.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/proc.h"
#include "image/export/origin.h"
#include "image/export/rootdisk.h"
#include "image/export/sniff.h"
#include "image/export/unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A compressed tar of an OVA of a compressed disk is the deepest that was ever seen. */
#define DEPTH_MAX 4

static int set_size(const char *format, struct image *img, const char *what, struct error **err)
{
	const char *argv[] = { "qemu-img", "info", "-f", format, "--output=json", "--", img->disk, NULL };
	_cleanup_buf_ struct buf out = BUF_INIT;
	json_t *j;

	if (proc_run(argv, 60000, &out, NULL, err) < 0)
		return error_wrap(err, "%s: cannot be read as a disk image", what);
	j = json_loads(buf_str(&out), 0, NULL);
	img->disk_size = (uint64_t)json_integer_value(json_object_get(j, "virtual-size"));
	json_decref(j);
	return img->disk_size ? 0 : error_set(err, ERR_FAILED, "%s: is empty", what);
}

static int check_qcow2(const char *file, struct error **err)
{
	const char *argv[] = { "qemu-img", "check", "-q", "-f", "qcow2", "--", file, NULL };

	if (proc_run(argv, -1, NULL, NULL, err) == 0)
		return 0;
	error_wrap(err, "%s: its qcow2 structure is damaged", file);
	return error_hint(err, "see: qemu-img check FILE");
}

/* Files that were unpacked here are moved, all others copied. */
static int put(const char *file, bool ours, struct image *img, struct error **err)
{
	if (!ours)
		return file_copy(file, img->disk, 0400, err);
	if (chmod(file, 0400) < 0)
		return error_errno(err, errno, "%s", file);
	return file_rename(file, img->disk, err);
}

static int convert(const char *file, const char *format, struct image *img, struct error **err)
{
	const char *argv[] = { "qemu-img", "convert", "-f", format, "-O", "qcow2", "--", file, img->disk, NULL };
	_cleanup_close_ int fd = -1;

	if (proc_run(argv, -1, NULL, NULL, err) < 0)
		return error_wrap(err, "%s: cannot be read as %s", path_basename(file), format);
	fd = open(img->disk, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fchmod(fd, 0400) < 0)
		return error_errno(err, errno, "%s", img->disk);
	return file_fsync(fd, img->disk, err);
}

static int take_disk(const char *file, bool ours, const struct sniff *s, const char *dir, struct image *img, struct error **err)
{
	bool iso = s->kind == SNIFF_ISO, raw = !strcmp(s->format, "raw"), qcow2 = !strcmp(s->format, "qcow2");

	img->format = xstrdup(iso ? "iso" : raw ? "raw" : "qcow2");
	img->disk = xasprintf("%s/disk.%s", dir, img->format);
	if (qcow2 && check_qcow2(file, err) < 0)
		return -1;
	if ((raw || qcow2 ? put(file, ours, img, err) : convert(file, s->format, img, err)) < 0)
		return -1;
	return set_size(raw ? "raw" : "qcow2", img, file, err);
}

/* A root without a disk around it, as a tar or a container's image: 1 when it was none. */
static int take_root(const char *file, const char *dir, struct image *img, struct error **err)
{
	_cleanup_origin_ struct origin from = { .fd = -1, .server = PROC_INIT };
	bool boots;

	if (origin_open(&from, file, err) < 0)
		return -1;
	if (!rootdisk_wanted(&from))
		return 1;
	img->format = xstrdup("raw");
	img->disk = xasprintf("%s/disk.raw", dir);
	if (rootdisk_make(&from, img->disk, 0, &boots, err) < 0)
		return -1;
	if (!boots)
		log_info("%s: has no boot loader: it is a root for builds and exports, and boots only with a kernel from elsewhere", path_basename(file));
	if (chmod(img->disk, 0400) < 0)
		return error_errno(err, errno, "%s", img->disk);
	return set_size("raw", img, file, err);
}

static int take(const char *file, bool ours, unsigned depth, const char *dir, struct image *img, struct error **err);

static int take_archive(const char *file, const struct sniff *s, unsigned depth, const char *dir, struct image *img, struct error **err)
{
	_cleanup_free_ char *name = xasprintf(".unpacked-%u", depth), *inner = path_join(dir, name);
	bool uefi = false;

	if (depth == DEPTH_MAX)
		return error_set(err, ERR_FAILED, "%s: is packed more than %d times", file, DEPTH_MAX);
	if (s->kind == SNIFF_COMPRESSED ? unpack_stream(file, inner, err) < 0 : unpack_ova(file, inner, &uefi, err) < 0)
		return -1;
	if (uefi) {
		free(img->firmware);
		img->firmware = xstrdup("uefi");
	}
	if (take(inner, true, depth + 1, dir, img, err) < 0)
		return -1;
	return file_unlink(inner, err);
}

static int take(const char *file, bool ours, unsigned depth, const char *dir, struct image *img, struct error **err)
{
	struct sniff s;
	int rc;

	if (sniff_file(file, &s, err) < 0)
		return -1;
	switch (s.kind) {
	case SNIFF_DISK:
	case SNIFF_ISO:
		return take_disk(file, ours, &s, dir, img, err);
	case SNIFF_COMPRESSED:
	case SNIFF_TAR:
		if (depth == 0 && (rc = take_root(file, dir, img, err)) <= 0)
			return rc;
		return take_archive(file, &s, depth, dir, img, err);
	default:
		error_set(err, ERR_FAILED, "%s: is a %s, which is a root without a disk around it", file, s.format);
		return error_hint(err, "disks, ISO images, OVAs, roots in a tar and containers' images can be imported");
	}
}

int intake(const char *file, const char *dir, struct image *img, struct error **err)
{
	int rc;

	if (!file_is_dir(file))
		return take(file, false, 0, dir, img, err);
	if (!origin_is_layout(file))
		return error_set(err, ERR_USAGE, "%s: is not a file, nor a folder with an OCI image layout", file);
	rc = take_root(file, dir, img, err);
	return rc <= 0 ? rc : error_set(err, ERR_FAILED, "%s: holds no root", file);
}
