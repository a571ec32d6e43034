/* SPDX-License-Identifier: Apache-2.0 */
/* croft vm export, import */
#include "cli/cli.h"
#include "cli/cmd/cmd.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/progress.h"
#include "machine/bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static void on_progress(void *arg, uint64_t done)
{
	progress_update(arg, done);
}

static int export_to(struct machine *m, int fd, const char *what, struct error **err)
{
	struct machine_export_opts o = { .progress = on_progress };

	o.arg = progress_start(m->name, 0, 1);
	if (machine_export(m, fd, what, &o, err) < 0) {
		progress_end(o.arg, "failed");
		return -1;
	}
	progress_end(o.arg, "exported");
	return 0;
}

/* To a file that has no name until it is whole; where the file system has none of that kind, one with a name of its own. */
static int export_file(struct machine *m, const char *path, bool replace, struct error **err)
{
	_cleanup_free_ char *abs = path_absolute(path), *dir = path_dirname(abs);
	_cleanup_free_ char *temp = xasprintf("%s/.%s.tmp-%d", dir, path_basename(abs), (int)getpid()), *self = NULL;
	_cleanup_error_ struct error *e = NULL;
	_cleanup_close_ int fd = -1;
	bool unnamed;
	int rc;

	if (!replace && file_exists(abs)) {
		error_set(err, ERR_STATE, "%s: it exists already", path);
		return error_hint(err, "take another name, or --replace");
	}
	fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	unnamed = fd >= 0;
	if (!unnamed)
		fd = open(temp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_errno(err, errno, "%s", path);
	rc = export_to(m, fd, path, err);
	if (rc == 0)
		rc = file_fsync(fd, path, err);
	self = xasprintf("/proc/self/fd/%d", fd);
	if (rc == 0 && unnamed && linkat(AT_FDCWD, self, AT_FDCWD, temp, AT_SYMLINK_FOLLOW) < 0)
		rc = error_errno(err, errno, "%s", temp);
	if (rc == 0)
		rc = file_rename(temp, abs, err);
	if (rc < 0)
		file_unlink(temp, &e);
	return rc;
}

static int vm_export_run(const struct cmd_args *a, struct error **err)
{
	const struct strv *w = arg_words(a);
	_cleanup_machine_ struct machine *m = machine_open(w->v[0], err);

	if (!m)
		return -1;
	if (strcmp(w->v[1], "-"))
		return export_file(m, w->v[1], arg_flag(a, "replace"), err);
	if (isatty(1)) {
		error_set(err, ERR_USAGE, "vm export: standard output is a terminal");
		return error_hint(err, "name a file, or a pipe: croft vm export %s - | ssh HOST croft vm import -", m->name);
	}
	return export_to(m, 1, "standard output", err);
}

static const struct opt export_opts[] = {
	{ 0, "replace", OPT_FLAG, NULL, "The file may exist already", NULL },
	OPT_END,
};

const struct command cmd_vm_export = {
	.path = "vm export",
	.args = "NAME FILE.croft|-",
	.summary = "Put a stopped machine into one file",
	.help = "Everything is in it: definition, disks with their snapshots, firmware variables, TPM, and the images that the disks lie over. It may go "
		"through a pipe. `croft vm import` checks each byte of it.",
	.opts = export_opts,
	.min_words = 2,
	.max_words = 2,
	.complete = "machine",
	.run = vm_export_run,
	.examples = "  croft vm export t1 t1.croft\n  croft vm export t1 - | ssh attic croft vm import - --name t1-copy",
};

static int vm_import_run(const struct cmd_args *a, struct error **err)
{
	const char *path = arg_words(a)->v[0];
	bool from_stdin = !strcmp(path, "-");
	struct machine_import_opts o = { .name = arg_str(a, "name"), .keep_identity = arg_flag(a, "keep-identity"), .progress = on_progress };
	_cleanup_close_ int fd = from_stdin ? fcntl(0, F_DUPFD_CLOEXEC, 3) : open(path, O_RDONLY | O_CLOEXEC);
	_cleanup_free_ char *name = NULL;

	if (fd < 0)
		return error_errno(err, errno, "%s", path);
	if (from_stdin && isatty(0))
		return error_set(err, ERR_USAGE, "vm import: standard input is a terminal");
	cli_left("nothing of the machine; the next command that makes one removes what was written");
	o.arg = progress_start(path, 0, 1);
	if (machine_import(fd, from_stdin ? "standard input" : path, &o, &name, err) < 0) {
		progress_end(o.arg, "failed");
		return -1;
	}
	cli_left(NULL);
	progress_end(o.arg, "imported as %s", name);
	printf("%s\n", name);
	return 0;
}

static const struct opt import_opts[] = {
	{ 0, "name", OPT_STRING, "NAME", "What it is called here; default: as there, without its group", NULL },
	{ 0, "keep-identity", OPT_FLAG, NULL, "MACs, host name, machine-id, ssh host keys and memory in snapshots stay", NULL },
	OPT_END,
};

const struct command cmd_vm_import = {
	.path = "vm import",
	.args = "FILE.croft|-",
	.summary = "Make a machine from such a file, and print its name",
	.help = "All or nothing: a file that is cut off or damaged leaves nothing. Without --keep-identity it becomes another machine, as a clone does. An image "
		"that is here already is not stored twice. Folders, devices and ports of the other host are left out, and said.",
	.opts = import_opts,
	.min_words = 1,
	.max_words = 1,
	.complete = "file",
	.run = vm_import_run,
	.examples = "  croft vm import t1.croft --name t2",
};
