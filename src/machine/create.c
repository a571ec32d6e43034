/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/qcow2.h"
#include "base/units.h"
#include "internal.h"
#include "qemu/args.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#define QEMU_IMG_MS 60000

static int sync_file(const char *path, struct error **err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? error_errno(err, errno, "%s", path) : file_fsync(fd, path, err);
}

static int run_qemu_img(const char *path, const char *backing, const char *format, uint64_t size, struct error **err)
{
	char bytes[24];
	const char *argv[12] = { "qemu-img", "create", "-q", "-f", "qcow2" };
	size_t n = 5;

	if (backing) {
		argv[n++] = "-b";
		argv[n++] = backing;
		argv[n++] = "-F";
		argv[n++] = format;
	}
	argv[n++] = path;
	snprintf(bytes, sizeof(bytes), "%" PRIu64, size);
	if (size)
		argv[n++] = bytes;
	if (proc_run(argv, QEMU_IMG_MS, NULL, NULL, err) < 0) {
		if ((*err)->cls == ERR_NOT_FOUND)
			error_hint(err, "install the package qemu-utils");
		return -1;
	}
	return sync_file(path, err);
}

/* Of a file of a format that is read here; 0: qemu-img knows, or says what is wrong. */
static uint64_t virtual_size(const char *path, const char *format)
{
	struct stat st;

	if (!strcmp(format, "qcow2"))
		return qcow2_size(path);
	return !strcmp(format, "raw") && stat(path, &st) == 0 && S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
}

int machine_make_overlay(const char *path, const char *backing, const char *format, uint64_t size, struct error **err)
{
	uint64_t below = backing && *backing == '/' ? virtual_size(backing, format) : 0;

	if (backing && !below)
		return run_qemu_img(path, backing, format, size, err);
	return qcow2_create(path, backing, format, size ? size : below, err);
}

int machine_make_disk(const struct machine_def *d, size_t i, const char *dir, struct error **err)
{
	const struct machine_disk *disk = &d->disks[i];
	struct machine at = { .dir = (char *)dir, .def = *d };
	_cleanup_free_ char *path = machine_disk_path(&at, i);
	_cleanup_image_ struct image *img = NULL;

	if (disk->path || (!disk->image && !disk->size))
		return 0;
	if (!disk->image)
		return machine_make_overlay(path, NULL, NULL, disk->size, err);
	img = image_open(disk->image, err);
	if (!img)
		return -1;
	if (machine_disk_is_cdrom(img))
		return 0;
	return machine_make_overlay(path, img->disk, img->format, disk->size, err);
}

/* Before anything is made: every image is there and fits. */
int machine_check_disks(const struct machine_def *d, struct error **err)
{
	for (size_t i = 0; i < d->ndisks; i++) {
		const struct machine_disk *disk = &d->disks[i];
		_cleanup_image_ struct image *img = disk->image ? image_open(disk->image, err) : NULL;
		char a[16], b[16];

		if (disk->image && !img)
			return error_wrap(err, "disk %zu", i);
		if (disk->path && !file_exists(disk->path))
			return error_set(err, ERR_NOT_FOUND, "disk %zu: %s is not there", i, disk->path);
		if (img && !img->disk)
			return error_set(err, ERR_USAGE, "disk %zu: image %s has no disk", i, disk->image);
		if (img && disk->size && disk->size < img->disk_size) {
			error_set(err, ERR_USAGE, "disk %zu: %s is less than the %s of image %s", i, format_size(disk->size, a),
				format_size(img->disk_size, b), disk->image);
			return error_hint(err, "give a size of %s or more, or none", b);
		}
	}
	return 0;
}

static int fill(const struct machine_def *d, const char *dir, const struct buf *user_data, struct error **err)
{
	_cleanup_free_ char *data = path_join(dir, "user-data");
	_cleanup_free_ char *log = path_join(dir, "log"), *json = path_join(dir, "machine.json"), *first = path_join(dir, "first-run");
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (file_mkdirs(log, 0700, err) < 0)
		return -1;
	for (size_t i = 0; i < d->ndisks; i++)
		if (machine_make_disk(d, i, dir, err) < 0)
			return error_wrap(err, "disk %zu", i);
	if (machine_is_uefi(d) && !d->nvram) {
		_cleanup_free_ char *nvram = path_join(dir, "nvram.qcow2");

		if (qemu_make_nvram(d->arch, machine_is_secure(d), nvram, err) < 0 || sync_file(nvram, err) < 0)
			return -1;
	}
	for (size_t i = 0; i < d->ndisks; i++)
		if (d->disks[i].eject && file_write(first, "", 0, 0600, err) < 0)
			return -1;
	if (user_data->len && file_write(data, user_data->data, user_data->len, 0600, err) < 0)
		return -1;
	machine_def_to_json(d, &b);
	return file_write(json, b.data, b.len, 0600, err);
}

static int taken(const char *name, const char *dir, struct error **err)
{
	_cleanup_free_ char *json = path_join(dir, "machine.json");
	const char *what = file_exists(json) ? "a machine" : "a group";

	error_set(err, ERR_STATE, "machine %s: %s of that name exists", name, what);
	return error_hint(err, "take another name, or remove it first: croft %s remove %s", *what == 'a' && what[2] == 'm' ? "vm" : "group",
		name);
}

static int check_name(const char *name, const char *dir, struct error **err)
{
	const char *slash = strchr(name, '/');

	if (slash) {
		_cleanup_free_ char *group = xstrndup(name, (size_t)(slash - name)), *gdir = machine_dir_of(group);
		_cleanup_free_ char *json = path_join(gdir, "machine.json");

		if (file_exists(json))
			return error_set(err, ERR_STATE, "machine %s: '%s' is a machine, not a group", name, group);
	}
	return file_exists(dir) ? taken(name, dir, err) : 0;
}

/* Built beside its place under a name that nobody takes for a machine, then renamed: it exists wholly or not at all. */
static int build(const struct machine_def *d, const char *dir, const struct buf *user_data, struct error **err)
{
	_cleanup_free_ char *parent = path_dirname(dir), *temp = NULL, *lock = NULL;
	_cleanup_close_ int fd = -1;
	int rc = -1;

	if (file_mkdirs(parent, 0700, err) < 0)
		return -1;
	machine_sweep(parent);
	temp = xasprintf("%s/.tmp-%d-%s", parent, (int)getpid(), path_basename(dir));
	lock = path_join(temp, "lock");
	if (file_remove_tree(temp, err) < 0)
		return -1;
	if (mkdir(temp, 0700) < 0)
		return error_errno(err, errno, "%s: cannot make the folder", temp);
	fd = file_lock(lock, true, 0, err);
	if (fd >= 0 && fill(d, temp, user_data, err) == 0) {
		rc = file_rename(temp, dir, err);
		if (rc < 0 && ((*err)->code == ENOTEMPTY || (*err)->code == EEXIST)) {
			error_clear(err);
			taken(d->name, dir, err);
		}
	}
	if (rc < 0) {
		_cleanup_error_ struct error *e = NULL;

		/* Without temp the rename was done and only its flush failed: what did not succeed isn't there. */
		file_remove_tree(file_exists(temp) ? temp : dir, &e);
	}
	return rc;
}

int machine_create(struct machine_def *d, struct error **err)
{
	_cleanup_image_ struct image *img = NULL;
	_cleanup_buf_ struct buf user_data = BUF_INIT;
	_cleanup_free_ char *dir = NULL;

	if (!d->name)
		return error_set(err, ERR_USAGE, "machine: it has no name");
	if (machine_name_check(d->name, err) < 0)
		return -1;
	dir = machine_dir_of(d->name);
	if (check_name(d->name, dir, err) < 0)
		return -1;
	if (d->image) {
		img = image_open(d->image, err);
		if (!img)
			return error_wrap(err, "machine %s", d->name);
	}
	if ((d->host ? machine_real_check(d, err) : machine_def_resolve(d, img, err)) < 0)
		return -1;
	if (d->cloud_init) {
		if (machine_seed_check(d->cloud_init, &user_data, err) < 0)
			return error_wrap(err, "machine %s", d->name);
		free(d->cloud_init);
		d->cloud_init = xstrdup("on");
	}
	if (machine_check_disks(d, err) < 0 || build(d, dir, &user_data, err) < 0)
		return error_wrap(err, "machine %s", d->name);
	return 0;
}
