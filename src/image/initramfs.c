/* SPDX-License-Identifier: Apache-2.0 */
#include "image/initramfs.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/strv.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/*
 * Level 12 is what the kernel unpacks as quickly as lower ones, and smaller; higher ones gain
 * little and make the build slow.
 */
#define ZSTD_LEVEL "12"

struct entry {
	mode_t mode;
	uid_t owner;
	struct buf data;
	char *link;
	unsigned major, minor;
};

struct initramfs {
	struct map entries; /* path -> struct entry */
};

static void entry_free(void *p)
{
	struct entry *e = p;

	buf_free(&e->data);
	free(e->link);
	free(e);
}

struct initramfs *initramfs_new(void)
{
	struct initramfs *i = xcalloc(1, sizeof(*i));

	i->entries.free_value = entry_free;
	return i;
}

void initramfs_free(struct initramfs *i)
{
	if (!i)
		return;
	map_free(&i->entries);
	free(i);
}

static struct entry *put(struct initramfs *i, const char *path, mode_t mode)
{
	struct entry *e = xcalloc(1, sizeof(*e));

	e->mode = mode;
	map_set(&i->entries, path, e);
	return e;
}

void initramfs_file(struct initramfs *i, const char *path, const void *data, size_t n, mode_t perm)
{
	buf_add(&put(i, path, S_IFREG | (perm & 07777))->data, data, n);
}

void initramfs_link(struct initramfs *i, const char *path, const char *target)
{
	put(i, path, S_IFLNK | 0777)->link = xstrdup(target);
}

void initramfs_dir(struct initramfs *i, const char *path, mode_t perm, uid_t owner)
{
	put(i, path, S_IFDIR | (perm & 07777))->owner = owner;
}

void initramfs_node(
	struct initramfs *i, const char *path, mode_t perm, unsigned major, unsigned minor)
{
	struct entry *e = put(i, path, S_IFCHR | (perm & 07777));

	e->major = major;
	e->minor = minor;
}

bool initramfs_has(struct initramfs *i, const char *path)
{
	return map_has(&i->entries, path);
}

bool initramfs_has_file(struct initramfs *i, const char *path)
{
	const struct entry *e = map_get(&i->entries, path);

	return e && !S_ISDIR(e->mode);
}

int initramfs_each(struct initramfs *i, initramfs_fn *fn, void *arg, struct error **err)
{
	_cleanup_strv_ struct strv paths = STRV_INIT;
	int rc = 0;

	MAP_FOR (&i->entries, it)
		strv_add(&paths, it->key);
	strv_sort(&paths);
	for (size_t k = 0; rc == 0 && k < paths.len; k++) {
		const struct entry *e = map_get(&i->entries, paths.v[k]);

		if (!S_ISDIR(e->mode))
			rc = fn(arg, paths.v[k], e->mode & 07777, e->link, &e->data, err);
	}
	return rc;
}

const struct buf *initramfs_get(struct initramfs *i, const char *path)
{
	struct entry *e = map_get(&i->entries, path);

	return e && S_ISREG(e->mode) ? &e->data : NULL;
}

static int tree_entry(struct initramfs *i, const char *host, const char *inside, struct error **err)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	char target[4096];
	struct stat st;
	ssize_t n;

	if (lstat(host, &st) < 0)
		return error_errno(err, errno, "%s", host);
	if (S_ISDIR(st.st_mode)) {
		initramfs_dir(i, inside, 0755, 0);
		return initramfs_tree(i, host, inside, err);
	}
	if (S_ISLNK(st.st_mode)) {
		n = readlink(host, target, sizeof(target) - 1);
		if (n < 0)
			return error_errno(err, errno, "%s", host);
		target[n] = '\0';
		initramfs_link(i, inside, target);
		return 0;
	}
	if (file_read(host, (size_t)256 << 20, &b, err) < 0)
		return -1;
	/* Permissions depend on the umask of whoever checked the files out, but for the x. */
	initramfs_file(i, inside, buf_str(&b), b.len, st.st_mode & 0111 ? 0755 : 0644);
	return 0;
}

int initramfs_tree(struct initramfs *i, const char *dir, const char *prefix, struct error **err)
{
	_cleanup_closedir_ DIR *d = opendir(dir);
	int rc = 0;

	if (!d)
		return error_errno(err, errno, "%s", dir);
	for (struct dirent *e; rc == 0 && (e = readdir(d));) {
		_cleanup_free_ char *host = path_join(dir, e->d_name),
				    *inside = path_join(prefix, e->d_name);

		if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
			rc = tree_entry(i, host, inside, err);
	}
	return rc;
}

/* The kernel makes no folders by itself: each must stand in the archive before what lies in it. */
static void add_parents(struct initramfs *i)
{
	size_t n = i->entries.len;

	for (size_t k = 0; k < n; k++) {
		_cleanup_free_ char *p = xstrdup(i->entries.items[k].key);

		for (char *slash; (slash = strrchr(p, '/'));) {
			*slash = '\0';
			if (!map_has(&i->entries, p))
				initramfs_dir(i, p, 0755, 0);
		}
	}
}

static la_ssize_t to_buf(struct archive *a, void *arg, const void *p, size_t n)
{
	buf_add(arg, p, n);
	return (la_ssize_t)n;
}

static int write_entry(struct archive *a, struct archive_entry *ae, const char *path,
	const struct entry *e, unsigned ino)
{
	archive_entry_clear(ae);
	archive_entry_set_pathname(ae, path);
	archive_entry_set_mode(ae, e->mode);
	archive_entry_set_uid(ae, e->owner);
	archive_entry_set_gid(ae, e->owner);
	archive_entry_set_mtime(ae, 0, 0);
	archive_entry_set_ino64(ae, ino);
	archive_entry_set_nlink(ae, 1);
	archive_entry_set_size(ae, S_ISREG(e->mode) ? (la_int64_t)e->data.len : 0);
	if (S_ISCHR(e->mode)) {
		archive_entry_set_rdevmajor(ae, e->major);
		archive_entry_set_rdevminor(ae, e->minor);
	}
	if (e->link)
		archive_entry_set_symlink(ae, e->link);
	if (archive_write_header(a, ae) != ARCHIVE_OK)
		return -1;
	if (S_ISREG(e->mode) && e->data.len)
		return archive_write_data(a, e->data.data, e->data.len) == (la_ssize_t)e->data.len
			       ? 0
			       : -1;
	return 0;
}

int initramfs_write(struct initramfs *i, struct buf *out, struct error **err)
{
	_cleanup_strv_ struct strv paths = STRV_INIT;
	struct archive *a = archive_write_new();
	struct archive_entry *ae = archive_entry_new();
	int rc = 0;

	add_parents(i);
	MAP_FOR (&i->entries, it)
		strv_add(&paths, it->key);
	strv_sort(&paths);
	archive_write_set_format_cpio_newc(a);
	if (archive_write_add_filter_zstd(a) != ARCHIVE_OK ||
		archive_write_set_filter_option(a, "zstd", "compression-level", ZSTD_LEVEL) !=
			ARCHIVE_OK ||
		archive_write_set_bytes_per_block(a, 1 << 16) != ARCHIVE_OK ||
		archive_write_set_bytes_in_last_block(a, 1) != ARCHIVE_OK ||
		archive_write_open(a, out, NULL, to_buf, NULL) != ARCHIVE_OK)
		rc = -1;
	for (size_t k = 0; rc == 0 && k < paths.len; k++)
		rc = write_entry(
			a, ae, paths.v[k], map_get(&i->entries, paths.v[k]), (unsigned)k + 1);
	if (rc == 0 && archive_write_close(a) != ARCHIVE_OK)
		rc = -1;
	if (rc < 0)
		error_set(err, ERR_FAILED, "initramfs: cannot write: %s",
			archive_error_string(a) ? archive_error_string(a) : "?");
	archive_entry_free(ae);
	archive_write_free(a);
	return rc;
}
