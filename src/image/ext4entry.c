/* SPDX-License-Identifier: Apache-2.0 */
/* Entries of an archive put into an ext4. */
#include "image/ext4entry.h"

#include <stdbool.h>
#include <string.h>

static bool kept(const char *name)
{
	static const char *const spaces[] = { "security.", "user.", "trusted." };

	for (size_t i = 0; i < sizeof spaces / sizeof *spaces; i++)
		if (!strncmp(name, spaces[i], strlen(spaces[i])))
			return true;
	return false;
}

static int put_xattrs(
	struct ext4 *fs, struct archive_entry *e, const char *path, struct error **err)
{
	const char *name;
	const void *value;
	size_t n;

	archive_entry_xattr_reset(e);
	while (archive_entry_xattr_next(e, &name, &value, &n) == ARCHIVE_OK)
		if (kept(name) && ext4_xattr(fs, path, name, value, n, err) < 0)
			return -1;
	return 0;
}

int ext4_entry(struct ext4 *fs, struct archive_entry *e, const char *path, time_t newest,
	ext4_read_fn *read, void *arg, struct error **err)
{
	const char *link = archive_entry_hardlink(e);
	time_t mtime = archive_entry_mtime(e);
	struct ext4_meta m = { .mode = archive_entry_perm(e),
		.uid = (uid_t)archive_entry_uid(e),
		.gid = (gid_t)archive_entry_gid(e),
		.mtime = mtime < newest ? mtime : newest };
	int rc;

	if (link)
		return ext4_hardlink(fs, path, !strncmp(link, "./", 2) ? link + 2 : link, err);
	switch (archive_entry_filetype(e)) {
	case AE_IFDIR:
		rc = ext4_dir(fs, path, &m, err);
		break;
	case AE_IFREG:
		rc = ext4_file(fs, path, &m, read, arg, err);
		break;
	case AE_IFLNK:
		return ext4_symlink(fs, path, &m, archive_entry_symlink(e), err);
	default:
		return 0; /* devices are the kernel's to make (devtmpfs) */
	}
	return rc < 0 ? -1 : put_xattrs(fs, e, path, err);
}
