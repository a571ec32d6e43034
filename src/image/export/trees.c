/* SPDX-License-Identifier: Apache-2.0 */
/* The root as a tar, a squashfs, an erofs. */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "image/export/job.h"
#include "image/export/root.h"
#include "image/export/squeeze.h"
#include "image/export/trees.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct root_filter export_filter(const struct export_job *j, bool boot)
{
	return (struct root_filter){ .as_is = j->o->as_is, .boot = boot, .without = j->o->without };
}

/* Is there a root at all? */
int export_check_root(struct export_job *j, struct error **err)
{
	_cleanup_root_ struct root *r = root_open(j->from, err);

	return r ? 0 : -1;
}

struct feed {
	struct export_job *j;
	struct squeeze *q;
	int fd;
	uint64_t done;
};

/* ---- tar ---- */

static int to_squeeze(void *arg, const void *p, size_t n, struct error **err)
{
	struct feed *f = arg;

	progress_update(f->j->p, f->done += n);
	return squeeze_write(f->q, p, n, err);
}

static int run_tar(struct export_job *j, struct error **err)
{
	_cleanup_root_ struct root *r = root_open(j->from, err);
	struct root_filter filter = export_filter(j, true);
	struct sink to = { .fd = j->out->fd, .what = j->out->path };
	_cleanup_squeeze_ struct squeeze *q = squeeze_new(j->compress, j->o->level, &to);
	struct feed f = { .j = j, .q = q };

	if (!r || root_tar(r, &filter, to_squeeze, &f, NULL, err) < 0)
		return -1;
	return squeeze_end(q, err);
}

/* ---- squashfs ---- */

static int to_fd(void *arg, const void *p, size_t n, struct error **err)
{
	struct feed *f = arg;

	progress_update(f->j->p, f->done += n);
	return file_write_all(f->fd, p, n, "pipe to mksquashfs", err);
}

static int note_newest(void *arg, struct root *r, struct archive_entry *e, struct error **err)
{
	time_t *newest = arg;

	if (archive_entry_mtime(e) > *newest)
		*newest = archive_entry_mtime(e);
	return 0;
}

/*
 * mksquashfs (4.5) gives the root folder of a tar today's time, whatever -root-time says, unless SOURCE_DATE_EPOCH is set; and
 * then no file is newer than that. So it is the time of the newest file, or what the user has set.
 */
static char *squashfs_time(struct root *r, struct error **err)
{
	time_t newest = 0;

	if (getenv("SOURCE_DATE_EPOCH"))
		newest = export_epoch();
	else if (root_each(r, note_newest, &newest, err) < 0)
		return NULL;
	return xasprintf("SOURCE_DATE_EPOCH=%" PRId64, (int64_t)newest);
}

int export_squashfs(struct export_job *j, const struct root_filter *filter, const char *path, const int *fds, size_t nfds, struct error **err)
{
	_cleanup_root_ struct root *r = root_open(j->from, err);
	_cleanup_free_ char *time = r ? squashfs_time(r, err) : NULL;
	const char *env[] = { time, NULL }, *argv[] = { "mksquashfs", "-", path, "-tar", "-noappend", "-quiet", "-no-progress", "-comp", "zstd", "-exit-on-error",
		"-root-mode", "755", "-root-uid", "0", "-root-gid", "0", NULL };
	_cleanup_proc_ struct proc p = PROC_INIT;
	_cleanup_error_ struct error *broken = NULL;
	_cleanup_buf_ struct buf text = BUF_INIT;
	struct feed f = { .j = j };
	int status, rc;

	if (!time || proc_spawn(&(struct proc_opts){ .argv = argv, .env = env, .in = PROC_PIPE, .err = PROC_PIPE, .keep_fds = fds, .nkeep_fds = nfds,
				       .die_with_us = true },
			  &p, err) < 0)
		return -1;
	f.fd = p.in;
	rc = root_tar(r, filter, to_fd, &f, NULL, &broken);
	close(p.in);
	p.in = -1;
	/* When the pipe broke, the program's own words are the reason. */
	if (rc < 0 && broken->code != EPIPE)
		return error_move(err, &broken);
	if (export_collect(p.err, &text, err) < 0 || proc_wait(&p, -1, &status, err) < 0)
		return -1;
	if (status || rc < 0) {
		_cleanup_free_ char *last = export_last_line(&text);

		return error_set(err, ERR_FAILED, "%s: mksquashfs %s: %s", j->out->path, proc_status_text(status), last);
	}
	return 0;
}

static int check_squashfs(struct export_job *j, struct error **err)
{
	return export_program("mksquashfs", "squashfs-tools", "squashfs", err) < 0 ? -1 : export_check_root(j, err);
}

static int run_squashfs(struct export_job *j, struct error **err)
{
	_cleanup_free_ char *path = output_path(j->out);
	struct root_filter filter = export_filter(j, true);

	return export_squashfs(j, &filter, path, &j->out->fd, 1, err);
}

/* ---- erofs ---- */

/* mkfs.erofs takes a folder alone: the root is unpacked into one beside, with its owners, which only root can do. */
static int unpack_entry(void *arg, struct root *r, struct archive_entry *e, struct error **err)
{
	struct archive *disk = ((void **)arg)[0];
	const struct root_filter *filter = ((void **)arg)[1];
	enum root_verdict v = root_filter(filter, e);
	_cleanup_free_ char *path = xstrdup(archive_entry_pathname(e)), *block = NULL;
	ssize_t n = 0;

	if (v == ROOT_DROP)
		return 0;
	if (v == ROOT_EMPTY)
		archive_entry_set_size(e, 0);
	if (archive_write_header(disk, e) < ARCHIVE_WARN)
		return error_set(err, ERR_FAILED, "/%s: cannot be unpacked: %s", path, archive_error_string(disk));
	if (archive_entry_filetype(e) != AE_IFREG || archive_entry_hardlink(e) || v == ROOT_EMPTY)
		return 0;
	block = xmalloc(1 << 20);
	while ((n = root_read(r, block, 1 << 20, err)) > 0)
		if (archive_write_data(disk, block, (size_t)n) != n)
			return error_set(err, ERR_FAILED, "/%s: cannot be unpacked: %s", path, archive_error_string(disk));
	return n < 0 ? -1 : 0;
}

static int unpack(struct export_job *j, const char *dir, struct error **err)
{
	_cleanup_root_ struct root *r = root_open(j->from, err);
	struct root_filter filter = export_filter(j, true);
	struct archive *disk = archive_write_disk_new();
	char *here = getcwd(NULL, 0);
	void *arg[] = { disk, &filter };
	int rc = r ? 0 : -1;

	archive_write_disk_set_options(disk, ARCHIVE_EXTRACT_OWNER | ARCHIVE_EXTRACT_PERM | ARCHIVE_EXTRACT_TIME | ARCHIVE_EXTRACT_XATTR |
			ARCHIVE_EXTRACT_SECURE_SYMLINKS | ARCHIVE_EXTRACT_SECURE_NODOTDOT);
	if (rc == 0 && chdir(dir) < 0)
		rc = error_errno(err, errno, "%s", dir);
	if (rc == 0)
		rc = root_each(r, unpack_entry, arg, err);
	if (rc == 0 && archive_write_close(disk) < ARCHIVE_WARN)
		rc = error_set(err, ERR_FAILED, "%s: %s", dir, archive_error_string(disk));
	archive_write_free(disk);
	if (here && chdir(here) < 0 && rc == 0)
		rc = error_errno(err, errno, "%s", here);
	free(here);
	return rc;
}

static int check_erofs(struct export_job *j, struct error **err)
{
	if (export_program("mkfs.erofs", "erofs-utils", "erofs", err) < 0)
		return -1;
	if (geteuid()) {
		error_set(err, ERR_STATE, "erofs: must be made by root, for mkfs.erofs takes owners from a folder alone");
		return error_hint(err, "format squashfs needs no privileges");
	}
	return export_check_root(j, err);
}

static int run_erofs(struct export_job *j, struct error **err)
{
	_cleanup_free_ char *path = output_path(j->out), *time = xasprintf("-T%" PRId64, (int64_t)export_epoch());
	const char *tmp = getenv("TMPDIR");
	_cleanup_free_ char *dir = xasprintf("%s/croft-root-XXXXXX", tmp && *tmp ? tmp : "/var/tmp");
	const char *argv[] = { "mkfs.erofs", "-zlz4hc", time, "-U00000000-0000-4000-8000-000000000001", path, dir, NULL };
	_cleanup_error_ struct error *late = NULL;
	int rc;

	if (!mkdtemp(dir))
		return error_errno(err, errno, "%s", dir);
	progress_state(j->p, "unpacking");
	rc = unpack(j, dir, err);
	if (rc == 0)
		rc = export_run(argv, &j->out->fd, 1, j->out->path, err);
	if (file_remove_tree(dir, &late) < 0 && rc == 0)
		rc = error_move(err, &late);
	return rc;
}

const struct export_format export_tar = {
	.name = "tar",
	.suffixes = (const char *const[]){ ".tar", NULL },
	.about = "the root's files as a tar",
	.stream = true,
	.root = true,
	.compressed = true,
	.run = run_tar,
	.check = export_check_root,
};
const struct export_format export_squash = {
	.name = "squashfs",
	.suffixes = (const char *const[]){ ".squashfs", ".sqfs", NULL },
	.about = "the root's files as a squashfs",
	.root = true,
	.run = run_squashfs,
	.check = check_squashfs,
};
const struct export_format export_erofs = {
	.name = "erofs",
	.suffixes = (const char *const[]){ ".erofs", NULL },
	.about = "the root's files as an erofs",
	.root = true,
	.run = run_erofs,
	.check = check_erofs,
};
