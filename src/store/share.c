/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A store for the users of a group lies in a folder that is set-group-ID and writable for the group (chmod 2770, say). What is made in
 * it is then as open as that folder, whatever the umask of whoever makes it is: else one of them could lock out the others.
 */
#include "store/internal.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/path.h"

#include <sys/stat.h>

static bool shared(const char *dir, mode_t *mode)
{
	struct stat st;

	if (stat(dir, &st) < 0 || !S_ISDIR(st.st_mode) || (st.st_mode & (S_ISGID | S_IWGRP)) != (S_ISGID | S_IWGRP))
		return false;
	*mode = st.st_mode & 07777;
	return true;
}

mode_t store_file_mode(const char *store)
{
	mode_t mode;

	return shared(store, &mode) ? FILE_MODE_EXACT | 0600 | (mode & 0066) : 0644;
}

int store_make_dirs(const char *store, struct error **err)
{
	static const char *const subs[] = { "packs", "index", "refs" };
	_cleanup_free_ char *parent = path_dirname(store);
	mode_t mode = 0;
	bool open = shared(file_exists(store) ? store : parent, &mode);

	if (file_mkdirs(store, 0755, err) < 0)
		return -1;
	if (open && chmod(store, mode) < 0)
		open = false; /* somebody else's: as it is */
	for (size_t i = 0; i < sizeof(subs) / sizeof(*subs); i++) {
		_cleanup_free_ char *dir = path_join(store, subs[i]);

		if (file_mkdirs(dir, 0755, err) < 0)
			return -1;
		if (open)
			(void)!chmod(dir, mode);
	}
	return 0;
}
