/* SPDX-License-Identifier: Apache-2.0 */
#include "image/export/output.h"
#include "base/cleanup.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/intr.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define BLOCK ((size_t)1 << 20)
#define HIDDEN ".croft-new-"

static bool is_stdout(const char *path)
{
	return !strcmp(path, "-");
}

/* Sets *pipe when the path is one. */
static int look(const char *path, bool force, bool *pipe, struct error **err)
{
	struct stat st;

	*pipe = false;
	if (is_stdout(path)) {
		*pipe = true;
		if (isatty(STDOUT_FILENO)) {
			error_set(err, ERR_USAGE, "the image will not be written to a terminal");
			return error_hint(err, "give a file, or pipe it: croft image export NAME - --format FORMAT | ...");
		}
		return 0;
	}
	if (!*path)
		return error_set(err, ERR_USAGE, "the name of the file to write is empty");
	if (stat(path, &st) < 0)
		return errno == ENOENT ? 0 : error_errno(err, errno, "%s", path);
	if (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode)) {
		*pipe = true;
		return 0;
	}
	if (S_ISDIR(st.st_mode))
		return error_set(err, ERR_USAGE, "%s: is a folder; give the name of a file", path);
	if (!S_ISREG(st.st_mode)) {
		error_set(err, ERR_USAGE, "%s: is not a file, and croft writes no image over devices here", path);
		return error_hint(err, "export to a file and write that");
	}
	if (force)
		return 0;
	error_set(err, ERR_STATE, "%s: is there already", path);
	return error_hint(err, "replace it with --force");
}

int output_check(const char *path, bool force, struct error **err)
{
	_cleanup_free_ char *dir = path_dirname(path);
	bool pipe;

	if (look(path, force, &pipe, err) < 0)
		return -1;
	if (!pipe && access(dir, W_OK) < 0)
		return error_errno(err, errno, "%s: cannot write into this folder", dir);
	return 0;
}

static char *hidden_prefix(const char *path)
{
	return xasprintf(".%.200s" HIDDEN, path_basename(path));
}

/* Hidden files of exports to this name that were killed: nobody holds their lock. */
static void sweep(const char *dir, const char *path)
{
	_cleanup_free_ char *prefix = hidden_prefix(path);
	_cleanup_closedir_ DIR *d = opendir(dir);

	for (struct dirent *e; d && (e = readdir(d));) {
		_cleanup_free_ char *old = path_join(dir, e->d_name);
		_cleanup_close_ int fd = -1;

		if (strncmp(e->d_name, prefix, strlen(prefix)))
			continue;
		fd = open(old, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 && unlink(old) == 0)
			log_info("%s: left by a command that was ended, removed", old);
	}
}

static int open_hidden(struct output *o, const char *dir, struct error **err)
{
	_cleanup_free_ char *prefix = hidden_prefix(o->path), *name = xasprintf("%s/%sXXXXXX", dir, prefix);
	mode_t mask = umask(0);

	umask(mask);
	o->fd = mkostemp(name, O_CLOEXEC);
	if (o->fd < 0)
		return error_errno(err, errno, "%s: cannot make a file in this folder", dir);
	o->named = STEAL(name);
	fchmod(o->fd, 0666 & ~mask);
	flock(o->fd, LOCK_EX | LOCK_NB);
	return 0;
}

/* A file without a name, for content that is copied into a pipe at the end. */
static int open_scratch(struct output *o, struct error **err)
{
	const char *tmp = getenv("TMPDIR");
	FILE *f;

	o->fd = open(tmp && *tmp ? tmp : "/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (o->fd >= 0)
		return 0;
	f = tmpfile();
	if (!f)
		return error_errno(err, errno, "%s: cannot make a temporary file", tmp && *tmp ? tmp : "/var/tmp");
	o->fd = fcntl(fileno(f), F_DUPFD_CLOEXEC, 3);
	fclose(f);
	return o->fd < 0 ? error_errno(err, errno, "temporary file") : 0;
}

static int open_pipe(struct output *o, bool seek, struct error **err)
{
	int fd = is_stdout(o->path) ? fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3) : open(o->path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return error_errno(err, errno, "%s", o->path);
	if (!seek) {
		o->fd = fd;
		o->stream = true;
		return 0;
	}
	o->pipe = fd;
	return open_scratch(o, err);
}

int output_open(struct output *o, const char *path, bool seek, bool force, struct error **err)
{
	_cleanup_free_ char *dir = path_dirname(path);
	bool pipe;

	*o = (struct output){ .path = xstrdup(path), .fd = -1, .pipe = -1, .force = force };
	if (look(path, force, &pipe, err) < 0)
		return -1;
	if (pipe)
		return open_pipe(o, seek, err);
	sweep(dir, path);
	o->fd = getenv("CROFT_NO_TMPFILE") ? -1 : open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0666);
	if (o->fd >= 0)
		return 0;
	return open_hidden(o, dir, err);
}

char *output_path(const struct output *o)
{
	return o->named ? xstrdup(o->named) : xasprintf("/proc/self/fd/%d", o->fd);
}

/* Gives an unnamed file its name; an older file of the name is replaced in one step, by way of a hidden name. */
static int give_name(struct output *o, struct error **err)
{
	_cleanup_free_ char *here = xasprintf("/proc/self/fd/%d", o->fd), *dir = path_dirname(o->path), *prefix = hidden_prefix(o->path);
	int code = fault(FAULT_RENAME);

	if (!code && linkat(AT_FDCWD, here, AT_FDCWD, o->path, AT_SYMLINK_FOLLOW) == 0) {
		_cleanup_close_ int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		return fd < 0 ? error_errno(err, errno, "%s", dir) : file_fsync(fd, dir, err);
	}
	code = code ? code : errno;
	if (code != EEXIST)
		return error_errno(err, code, "%s: cannot put in place", o->path);
	if (!o->force)
		return error_set(err, ERR_STATE, "%s: has come there meanwhile", o->path);
	o->named = xasprintf("%s/%s%d", dir, prefix, (int)getpid());
	unlink(o->named);
	if (linkat(AT_FDCWD, here, AT_FDCWD, o->named, AT_SYMLINK_FOLLOW) < 0)
		return error_errno(err, errno, "%s: cannot put in place", o->named);
	return file_rename(o->named, o->path, err);
}

static int pour(struct output *o, struct error **err)
{
	_cleanup_free_ char *block = xmalloc(BLOCK);
	off_t at = 0;
	ssize_t n;

	while ((n = pread(o->fd, block, BLOCK, at)) > 0) {
		if (intr_check(err) < 0 || file_write_all(o->pipe, block, (size_t)n, o->path, err) < 0)
			return -1;
		at += n;
	}
	return n < 0 ? error_errno(err, errno, "temporary file") : 0;
}

int output_commit(struct output *o, struct error **err)
{
	if (o->stream)
		return 0;
	if (o->pipe >= 0)
		return pour(o, err);
	if (file_fsync(o->fd, o->path, err) < 0)
		return -1;
	if (!o->named)
		return give_name(o, err);
	if (!o->force && file_exists(o->path))
		return error_set(err, ERR_STATE, "%s: has come there meanwhile", o->path);
	if (file_rename(o->named, o->path, err) < 0)
		return -1;
	free(STEAL(o->named));
	return 0;
}

void output_abort(struct output *o)
{
	if (o->named)
		unlink(o->named);
	if (o->fd >= 0)
		close(o->fd);
	if (o->pipe >= 0)
		close(o->pipe);
	free(o->path);
	free(o->named);
	*o = (struct output){ .fd = -1, .pipe = -1 };
}
