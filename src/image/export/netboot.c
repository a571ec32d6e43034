/* SPDX-License-Identifier: Apache-2.0 */
/* A folder that a web server (or TFTP) gives to iPXE: kernel, the root as an initramfs, a script. */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "image/export/live.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

static int fill(struct export_job *j, const char *dir, struct error **err)
{
	_cleanup_free_ char *script = path_join(dir, "boot.ipxe"), *cmdline = NULL;

	if (live_write(j, dir, &cmdline, err) < 0)
		return -1;
	/* Names are relative: iPXE takes the rest from where it has the script from. */
	return file_writef(script, 0644, err,
		"#!ipxe\nkernel " LIVE_KERNEL " initrd=" LIVE_INITRD " %s\ninitrd " LIVE_INITRD "\nboot\n", cmdline);
}

static int put_in_place(const char *dir, const char *out, bool force, struct error **err)
{
	if (renameat2(AT_FDCWD, dir, AT_FDCWD, out, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EEXIST || !force)
		return error_errno(err, errno, "%s: cannot put in place", out);
	if (renameat2(AT_FDCWD, dir, AT_FDCWD, out, RENAME_EXCHANGE) < 0)
		return error_errno(err, errno, "%s: cannot put in place", out);
	return file_remove_tree(dir, err);
}

/* j->out is NULL: the folder is made beside under a hidden name. */
static int run(struct export_job *j, struct error **err)
{
	_cleanup_free_ char *parent = path_dirname(j->folder), *dir = xasprintf("%s/.%.200s.croft-new-XXXXXX", parent, path_basename(j->folder));
	_cleanup_error_ struct error *late = NULL;

	if (!mkdtemp(dir))
		return error_errno(err, errno, "%s: cannot make a folder here", parent);
	if (chmod(dir, 0755) == 0 && fill(j, dir, err) == 0 && put_in_place(dir, j->folder, j->o->force, err) == 0)
		return 0;
	file_remove_tree(dir, &late);
	return *err ? -1 : error_errno(err, errno, "%s", dir);
}

const struct export_format export_netboot = {
	.name = "netboot",
	.suffixes = (const char *const[]){ ".netboot", NULL },
	.about = "a folder for iPXE: kernel, root in memory, script",
	.root = true,
	.folder = true,
	.run = run,
	.check = live_check,
};
