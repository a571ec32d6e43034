/* SPDX-License-Identifier: Apache-2.0 */
#include "image/export/live.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/path.h"
#include "image/export/squeeze.h"
#include "image/export/trees.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define BLOCK ((size_t)1 << 20)
#define CONSOLES "console=tty0 console=ttyS0,115200"
#define KERNEL "boot/vmlinuz-"

struct live {
	struct root_filter filter;
	struct squeeze *q;
	struct archive *cpio;
	struct map linked; /* path that has other names -> its number, 0 until it has come */
	int64_t next;	   /* inode numbers, in order: the kernel links what has the same */
	char *kernel;	   /* path of the newest in the root */
	int kernel_fd;
	struct error **err;
	char *block;
};

/* An image that boots a kernel with an initramfs has both already; its kernel for firmware lies beside. */
static char *own_kernel(const struct export_job *j)
{
	const struct image *img = j->from->img;
	_cleanup_free_ char *path = img && img->initrd ? path_join(img->dir, LIVE_KERNEL) : NULL;

	return path && file_exists(path) ? STEAL(path) : NULL;
}

static int survey(void *arg, struct root *r, struct archive_entry *e, struct error **err)
{
	struct live *l = arg;
	const char *path = archive_entry_pathname(e);

	if (archive_entry_hardlink(e))
		map_set(&l->linked, archive_entry_hardlink(e), NULL);
	if (!strncmp(path, KERNEL, strlen(KERNEL)) && archive_entry_filetype(e) == AE_IFREG && (!l->kernel || strverscmp(path, l->kernel) > 0)) {
		free(l->kernel);
		l->kernel = xstrdup(path);
	}
	return 0;
}

static int no_kernel(const struct export_job *j, struct error **err)
{
	error_set(err, ERR_NOT_FOUND, "%s: its root has no kernel (/boot/vmlinuz-*) that firmware can start", j->from->what);
	if (j->from->img && j->from->img->initrd)
		return error_hint(err, "its kernel is unpacked, for QEMU alone; croft image make rescue makes one that boots everywhere");
	return error_hint(err, "install one in the image, or export a root that has one");
}

/* ---- the root as an initramfs ---- */

static la_ssize_t cpio_out(struct archive *a, void *arg, const void *p, size_t n)
{
	struct live *l = arg;

	return squeeze_write(l->q, p, n, l->err) < 0 ? -1 : (la_ssize_t)n;
}

static int cpio_failed(struct live *l, const char *path, struct error **err)
{
	return *err ? -1 : error_set(err, ERR_FAILED, "/%s: cannot be put into the initramfs: %s", path, archive_error_string(l->cpio));
}

/* The same number for all names of a file, which comes with the first. */
static void number(struct live *l, struct archive_entry *e)
{
	const char *first = archive_entry_hardlink(e) ? archive_entry_hardlink(e) : archive_entry_pathname(e);
	int64_t ino = ++l->next;
	bool linked = map_has(&l->linked, first);

	if (linked && map_get(&l->linked, first))
		ino = (int64_t)(intptr_t)map_get(&l->linked, first);
	else if (linked)
		map_set(&l->linked, first, (void *)(intptr_t)ino);
	archive_entry_set_ino(e, ino);
	archive_entry_set_nlink(e, linked ? 2 : 1);
	if (archive_entry_hardlink(e)) {
		archive_entry_set_hardlink(e, NULL);
		archive_entry_set_filetype(e, AE_IFREG);
		archive_entry_set_size(e, 0);
	}
}

static int copy_kernel(struct live *l, const char *p, size_t n, struct error **err)
{
	return file_write_all(l->kernel_fd, p, n, "the kernel", err);
}

static int add(void *arg, struct root *r, struct archive_entry *e, struct error **err)
{
	struct live *l = arg;
	_cleanup_free_ char *path = xstrdup(archive_entry_pathname(e));
	enum root_verdict v = root_filter(&l->filter, e);
	bool kernel = !strcmp(path, l->kernel), content;
	ssize_t n = 0;

	/* Nothing is mounted over a root in memory. */
	if (!strcmp(path, "etc/fstab"))
		v = ROOT_EMPTY;
	if (!strncmp(path, "boot/", 5))
		v = ROOT_DROP;
	content = archive_entry_filetype(e) == AE_IFREG && !archive_entry_hardlink(e);
	if (v == ROOT_DROP && !kernel)
		return 0;
	l->err = err;
	if (v == ROOT_EMPTY)
		archive_entry_set_size(e, 0);
	archive_entry_set_mtime(e, archive_entry_mtime(e), 0);
	archive_entry_set_dev(e, 0);
	number(l, e);
	if (!kernel && archive_write_header(l->cpio, e) < ARCHIVE_WARN)
		return cpio_failed(l, path, err);
	if (!content || v == ROOT_EMPTY)
		return 0;
	while ((n = root_read(r, l->block, BLOCK, err)) > 0) {
		if (kernel && copy_kernel(l, l->block, (size_t)n, err) < 0)
			return -1;
		if (!kernel && archive_write_data(l->cpio, l->block, (size_t)n) != n)
			return cpio_failed(l, path, err);
	}
	return n < 0 ? -1 : 0;
}

/* The kernel starts /init; systemd and all others are at /sbin/init. */
static int add_init(struct live *l, struct error **err)
{
	struct archive_entry *e = archive_entry_new();
	int rc;

	archive_entry_set_pathname(e, "init");
	archive_entry_set_mode(e, AE_IFLNK | 0777);
	archive_entry_set_symlink(e, "sbin/init");
	archive_entry_set_mtime(e, export_epoch(), 0);
	archive_entry_set_ino(e, ++l->next);
	archive_entry_set_size(e, 0);
	rc = archive_write_header(l->cpio, e);
	archive_entry_free(e);
	return rc < ARCHIVE_WARN ? cpio_failed(l, "init", err) : 0;
}

static int write_cpio(struct live *l, struct root *r, struct error **err)
{
	int rc = 0;

	l->cpio = archive_write_new();
	l->err = err;
	archive_write_set_format_cpio_newc(l->cpio);
	archive_write_set_bytes_per_block(l->cpio, (int)BLOCK);
	archive_write_set_bytes_in_last_block(l->cpio, 1);
	if (archive_write_open(l->cpio, l, NULL, cpio_out, NULL) != ARCHIVE_OK)
		rc = cpio_failed(l, "", err);
	if (rc == 0)
		rc = root_each(r, add, l, err);
	if (rc == 0)
		rc = add_init(l, err);
	l->err = err;
	if (rc == 0 && archive_write_close(l->cpio) != ARCHIVE_OK)
		rc = cpio_failed(l, "", err);
	if (rc < 0) {
		struct error *late = NULL;

		archive_write_fail(l->cpio);
		l->err = &late;
		archive_write_free(l->cpio);
		error_clear(&late);
		return -1;
	}
	archive_write_free(l->cpio);
	return squeeze_end(l->q, err);
}

static int new_file(const char *path, struct error **err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	return fd < 0 ? error_errno(err, errno, "%s", path) : fd;
}

static int write_root(struct export_job *j, const char *dir, struct error **err)
{
	_cleanup_root_ struct root *r = root_open(j->from, err);
	_cleanup_free_ char *initrd = path_join(dir, LIVE_INITRD), *kernel = path_join(dir, LIVE_KERNEL), *block = xmalloc(BLOCK);
	struct live l = { .filter = export_filter(j, true), .kernel_fd = -1, .block = block };
	_cleanup_close_ int fd = -1;
	struct sink to = { .what = initrd };
	int rc = r ? root_each(r, survey, &l, err) : -1;

	if (rc == 0 && !l.kernel)
		rc = no_kernel(j, err);
	if (rc == 0 && ((fd = to.fd = new_file(initrd, err)) < 0 || (l.kernel_fd = new_file(kernel, err)) < 0))
		rc = -1;
	if (rc == 0) {
		l.q = squeeze_new("zst", 0, &to);
		rc = write_cpio(&l, r, err);
		squeeze_free(l.q);
	}
	if (l.kernel_fd >= 0)
		close(l.kernel_fd);
	map_free(&l.linked);
	free(l.kernel);
	return rc;
}

int live_check(struct export_job *j, struct error **err)
{
	_cleanup_free_ char *own = own_kernel(j);
	_cleanup_root_ struct root *r = NULL;
	struct live l = { .kernel_fd = -1 };
	int rc;

	if (own)
		return 0;
	r = root_open(j->from, err);
	rc = r ? root_each(r, survey, &l, err) : -1;
	if (rc == 0 && !l.kernel)
		rc = no_kernel(j, err);
	map_free(&l.linked);
	free(l.kernel);
	return rc;
}

int live_write(struct export_job *j, const char *dir, char **cmdline, struct error **err)
{
	_cleanup_free_ char *own = own_kernel(j), *initrd = path_join(dir, LIVE_INITRD), *kernel = path_join(dir, LIVE_KERNEL);
	const struct image *img = j->from->img;

	progress_state(j->p, "kernel and initramfs");
	*cmdline = xasprintf("%s%s" CONSOLES, own && img->cmdline ? img->cmdline : "", own && img->cmdline ? " " : "");
	if (!own)
		return write_root(j, dir, err);
	return file_copy(own, kernel, 0644, err) < 0 ? -1 : file_copy(img->initrd, initrd, 0644, err);
}
