/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/proc.h"
#include "image/image.h"
#include "image/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

/* ISO 9660 (ECMA-119, 8.1): the volume descriptors begin at sector 16 and say CD001. */
static bool is_iso(const char *file)
{
	_cleanup_close_ int fd = open(file, O_RDONLY | O_CLOEXEC);
	char id[5] = "";

	return fd >= 0 && pread(fd, id, 5, 16 * 2048 + 1) == 5 && !memcmp(id, "CD001", 5);
}

/* Format and size in QEMU's words. A qcow2 that needs another file would break when that file
 * changes: refused. */
static int probe(const char *file, struct image *img, struct error **err)
{
	const char *argv[] = { "qemu-img", "info", "--output=json", "--", file, NULL };
	_cleanup_buf_ struct buf out = BUF_INIT;
	const char *format, *backing;
	json_t *j;
	int rc = 0;

	if (proc_run(argv, 60000, &out, NULL, err) < 0)
		return error_wrap(err, "%s: cannot be read as a disk image", file);
	j = json_loads(buf_str(&out), 0, NULL);
	format = json_string_value(json_object_get(j, "format"));
	backing = json_string_value(json_object_get(j, "backing-filename"));
	img->disk_size = (uint64_t)json_integer_value(json_object_get(j, "virtual-size"));
	if (backing) {
		error_set(err, ERR_FAILED, "%s: lies over another file (%s)", file, backing);
		rc = error_hint(
			err, "make it whole first: qemu-img convert -O qcow2 FILE NEW.qcow2");
	} else if (!format || (strcmp(format, "raw") && strcmp(format, "qcow2"))) {
		error_set(err, ERR_FAILED, "%s: is in format %s; raw, qcow2 and ISO are taken",
			file, format ? format : "?");
		rc = error_hint(err, "convert it: qemu-img convert -O qcow2 FILE NEW.qcow2");
	} else if (!img->disk_size) {
		rc = error_set(err, ERR_FAILED, "%s: is empty", file);
	} else {
		img->format = xstrdup(!strcmp(format, "raw") && is_iso(file) ? "iso" : format);
	}
	json_decref(j);
	return rc;
}

static int check_qcow2(const char *file, struct error **err)
{
	const char *argv[] = { "qemu-img", "check", "-q", "-f", "qcow2", "--", file, NULL };

	if (proc_run(argv, -1, NULL, NULL, err) == 0)
		return 0;
	error_wrap(err, "%s: its qcow2 structure is damaged", file);
	return error_hint(err, "see: qemu-img check FILE");
}

static int copy_in(const char *file, const char *dir, struct image *img, struct error **err)
{
	if (probe(file, img, err) < 0 ||
		(!strcmp(img->format, "qcow2") && check_qcow2(file, err) < 0))
		return -1;
	img->disk = xasprintf("%s/disk.%s", dir, img->format);
	if (file_copy(file, img->disk, 0400, err) < 0)
		return -1;
	return image_hash(img, err);
}

int image_import(const char *file, const char *name, const char *arch, bool force, struct error **err)
{
	_cleanup_free_ char *own = NULL, *dir = NULL, *abs = path_absolute(file);
	_cleanup_image_ struct image *img = xcalloc(1, sizeof(*img));
	_cleanup_close_ int lock = -1;
	struct utsname host;
	struct stat st;

	if (stat(abs, &st) < 0 || access(abs, R_OK) < 0)
		return error_errno(err, errno, "%s", file);
	if (!S_ISREG(st.st_mode))
		return error_set(err, ERR_USAGE, "%s: is not a file", file);
	if (!name) {
		const char *base = path_basename(abs);

		name = own = xstrndup(base, strcspn(base, "."));
	}
	if (name_check("image", name, err) < 0)
		return error_hint(err, "give the image another name with --name");
	{
		_cleanup_free_ char *images = path_data("images"),
				    *target = path_join(images, name);

		if (file_exists(target) && !force) {
			error_set(err, ERR_STATE, "image %s: the name is taken", name);
			return error_hint(
				err, "give another with --name, or replace it with --force");
		}
	}
	dir = image_begin(name, &lock, err);
	if (!dir)
		return -1;
	img->name = xstrdup(name);
	uname(&host);
	img->arch = xstrdup(arch ? arch : host.machine);
	img->os = xstrdup("");
	img->firmware = xstrdup("any");
	img->source = xstrdup(abs);
	if (copy_in(abs, dir, img, err) < 0 || image_commit(dir, img, NULL, err) < 0) {
		image_abort(dir);
		return -1;
	}
	return 0;
}
