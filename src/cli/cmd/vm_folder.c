/* SPDX-License-Identifier: Apache-2.0 */
/* croft vm backup-import, backup-export: backups in folders of the tool `vm`. */
#include "cli/cli.h"
#include "cli/cmd/cmd.h"
#include "cli/vm/vm.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/path.h"

#include <stdlib.h>

static struct store *open_store(const struct cmd_args *a, bool make, struct error **err)
{
	const char *given = arg_str(a, "store");
	_cleanup_free_ char *path = given ? path_absolute(given) : path_data("store");

	if (make && !file_exists(path) && store_create(path, 0, err) < 0)
		return NULL;
	return store_open(path, err);
}

static int import_run(const struct cmd_args *a, struct error **err)
{
	const struct strv *w = arg_words(a);
	_cleanup_free_ char *hostdir = realpath(w->v[0], NULL);
	_cleanup_strv_ struct strv names = STRV_INIT;
	_cleanup_store_ struct store *s = NULL;

	if (!hostdir)
		return error_set(err, ERR_NOT_FOUND, "%s: is not there", w->v[0]);
	for (size_t i = 1; i < w->len; i++)
		strv_add(&names, w->v[i]);
	if (!names.len && vm_folder_list(hostdir, &names, err) < 0)
		return -1;
	s = open_store(a, true, err);
	for (size_t i = 0; s && i < names.len; i++) {
		_cleanup_free_ char *machine = NULL;

		if (vm_folder_take(hostdir, names.v[i], arg_str(a, "name"), s, &machine, err) < 0)
			return -1;
		printf("%s %s\n", machine, names.v[i]);
		fflush(stdout);
	}
	return s ? 0 : -1;
}

static const struct opt import_opts[] = {
	{ 0, "name", OPT_STRING, "NAME", "The machine's name; default: its GUESTNAME", NULL },
	{ 0, "store", OPT_STRING, "PATH", "The store; default: croft's own", "file" },
	OPT_END,
};

const struct command cmd_vm_backup_import = {
	.path = "vm backup-import",
	.args = "DIR [BACKUP]...",
	.summary = "Take backups from a folder of the tool vm into the store",
	.help = "DIR/backups/NAME with disk-N.img.gz, efivars.bin.gz and guest.env, all of them or those that are named; each becomes a backup with "
		"its description and time, and is printed. The folder stays as it is.",
	.opts = import_opts,
	.min_words = 1,
	.max_words = -1,
	.complete = "file",
	.run = import_run,
	.examples = "  croft vm backup-import ~/vms/web && croft vm restore web --from LAST",
};

static int export_run(const struct cmd_args *a, struct error **err)
{
	const struct strv *w = arg_words(a);
	_cleanup_store_ struct store *s = open_store(a, false, err);
	_cleanup_free_ char *hostdir = NULL;

	if (!s || file_mkdirs(w->v[2], 0755, err) < 0)
		return -1;
	hostdir = realpath(w->v[2], NULL);
	if (!hostdir)
		return error_set(err, ERR_NOT_FOUND, "%s: is not there", w->v[2]);
	return vm_folder_give(s, w->v[0], w->v[1], hostdir, err);
}

static const struct opt export_opts[] = {
	{ 0, "store", OPT_STRING, "PATH", "The store; default: croft's own", "file" },
	OPT_END,
};

const struct command cmd_vm_backup_export = {
	.path = "vm backup-export",
	.args = "NAME BACKUP DIR",
	.summary = "Write a backup as the tool vm keeps them",
	.help = "As DIR/backups/BACKUP, with DIR/backups/LAST leading to the newest: `vm restore` in DIR takes it, the original's and croft's. BACKUP may be LAST.",
	.opts = export_opts,
	.min_words = 3,
	.max_words = 3,
	.complete = "machine",
	.run = export_run,
	.examples = "  croft vm backup-export web S3 ~/vms/web",
};
