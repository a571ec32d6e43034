/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/tarup.h"

#include "base/cleanup.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

int tarup_argv(const char *src, struct strv *argv, struct error **err)
{
	_cleanup_closedir_ DIR *d = opendir(src);
	const struct dirent *e;

	if (!d)
		return error_errno(err, errno, "%s", src);
	/* "." would take the folder's own mode along, /tmp's for one */
	strv_addv(argv, (const char *const[]){ "tar", "--create", "--file=-", "--directory", src, "--files-from=/dev/null", NULL });
	while ((e = readdir(d)))
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
			strv_addf(argv, "./%s", e->d_name);
	return 0;
}
