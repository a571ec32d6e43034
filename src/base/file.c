/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"
#include "base/cleanup.h"
#include "base/fault.h"
#include "base/intr.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

int file_read(const char *path, size_t max, struct buf *b, struct error **err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t start = b->len, room = 1000;

	if (fd < 0)
		return error_errno(err, errno, "%s", path);
	/* Most files are small, and large pieces of memory come from the kernel each time. */
	for (;;) {
		ssize_t n = read(fd, buf_reserve(b, room), room);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_errno(err, errno, "%s: cannot read", path);
		if (n == 0)
			break;
		if ((size_t)n == room)
			room = 65536;
		b->len += (size_t)n;
		b->data[b->len] = '\0';
		if (b->len - start > max)
			return error_set(err, ERR_FAILED, "%s: larger than the %zu bytes that are allowed", path, max);
	}
	return 0;
}

int file_write_all(int fd, const void *p, size_t n, const char *what, struct error **err)
{
	int code = fault(FAULT_WRITE);

	if (code)
		return error_errno(err, code, "%s: cannot write", what);
	while (n) {
		ssize_t w = write(fd, p, n);

		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			return error_errno(err, errno, "%s: cannot write", what);
		p = (const char *)p + w;
		n -= (size_t)w;
	}
	return 0;
}

int file_fsync(int fd, const char *what, struct error **err)
{
	int code = fault(FAULT_FSYNC);

	if (!code && fsync(fd) < 0 && errno != EINVAL && errno != EROFS)
		code = errno;
	return code ? error_errno(err, code, "%s: cannot write to disk (fsync)", what) : 0;
}

/* A rename is on disk only when its directory is. */
static int sync_dir_of(const char *path, struct error **err)
{
	_cleanup_free_ char *dir = path_dirname(path);
	_cleanup_close_ int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return error_errno(err, errno, "%s", dir);
	return file_fsync(fd, dir, err);
}

int file_rename(const char *from, const char *to, struct error **err)
{
	int code = fault(FAULT_RENAME);

	if (!code && rename(from, to) < 0)
		code = errno;
	if (code)
		return error_errno(err, code, "%s: cannot rename to %s", from, to);
	return sync_dir_of(to, err);
}

int file_make(const char *path, mode_t mode)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode & 07777);

	if (fd >= 0 && mode & FILE_MODE_EXACT && fchmod(fd, mode & 07777) < 0) {
		int e = errno;

		close(fd);
		unlink(path);
		errno = e;
		return -1;
	}
	return fd;
}

static int write_temp(const char *temp, const void *p, size_t n, mode_t mode, struct error **err)
{
	_cleanup_close_ int fd = file_make(temp, mode);

	if (fd < 0)
		return error_errno(err, errno, "%s: cannot make", temp);
	if (file_write_all(fd, p, n, temp, err) < 0)
		return -1;
	return file_fsync(fd, temp, err);
}

int file_stage(const char *path, const void *p, size_t n, mode_t mode, char **temp, struct error **err)
{
	static unsigned serial;
	_cleanup_free_ char *dir = path_dirname(path);

	*temp = xasprintf("%s/.%s.tmp-%d-%u", dir, path_basename(path), (int)getpid(), __atomic_fetch_add(&serial, 1, __ATOMIC_RELAXED));
	unlink(*temp); /* of an earlier process with our pid */
	if (write_temp(*temp, p, n, mode, err) == 0)
		return 0;
	unlink(*temp);
	free(STEAL(*temp));
	return -1;
}

/* Ctrl-C and its like wait for the file: a process that they end at once would leave the one beside it. */
static void hold_signals(sigset_t *before)
{
	sigset_t ends;

	sigemptyset(&ends);
	sigaddset(&ends, SIGINT);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &ends, before);
}

int file_write(const char *path, const void *p, size_t n, mode_t mode, struct error **err)
{
	_cleanup_free_ char *temp = NULL;
	sigset_t before;
	int rc;

	hold_signals(&before);
	rc = file_stage(path, p, n, mode, &temp, err);
	if (rc == 0 && file_rename(temp, path, err) < 0) {
		unlink(temp);
		rc = -1;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return rc;
}

int file_writef(const char *path, mode_t mode, struct error **err, const char *fmt, ...)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	buf_addvf(&b, fmt, ap);
	va_end(ap);
	return file_write(path, buf_str(&b), b.len, mode, err);
}

int file_mkdirs(const char *path, mode_t mode, struct error **err)
{
	_cleanup_free_ char *parent = NULL;

	if (mkdir(path, mode) == 0 || (errno == EEXIST && file_is_dir(path)))
		return 0;
	if (errno != ENOENT)
		return error_errno(err, errno, "%s: cannot make the folder", path);
	parent = path_dirname(path);
	if (!strcmp(parent, path) || file_mkdirs(parent, mode, err) < 0)
		return *err ? -1 : error_errno(err, ENOENT, "%s: cannot make the folder", path);
	if (mkdir(path, mode) < 0 && errno != EEXIST)
		return error_errno(err, errno, "%s: cannot make the folder", path);
	return 0;
}

static int remove_at(int dirfd, const char *name, const char *shown, struct error **err)
{
	_cleanup_closedir_ DIR *d = NULL;
	int fd, rc = 0;

	if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return error_errno(err, errno, "%s: cannot remove", shown);
	fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return error_errno(err, errno, "%s: cannot remove", shown);
	d = fdopendir(fd);
	for (struct dirent *e; rc == 0 && (e = readdir(d));) {
		_cleanup_free_ char *sub = NULL;

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		sub = path_join(shown, e->d_name);
		rc = remove_at(fd, e->d_name, sub, err);
	}
	if (rc == 0 && unlinkat(dirfd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		return error_errno(err, errno, "%s: cannot remove", shown);
	return rc;
}

int file_remove_tree(const char *path, struct error **err)
{
	return remove_at(AT_FDCWD, path, path, err);
}

int file_unlink(const char *path, struct error **err)
{
	if (unlink(path) < 0 && errno != ENOENT)
		return error_errno(err, errno, "%s: cannot remove", path);
	return 0;
}

bool file_exists(const char *path)
{
	return access(path, F_OK) == 0;
}

bool file_is_dir(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* The pid that holds a lock writes itself into the file, for messages only. */
static int lock_taken(const char *path, int fd, struct error **err)
{
	char who[32] = "";
	ssize_t n = pread(fd, who, sizeof(who) - 1, 0);

	if (n > 0)
		who[strcspn(who, "\n")] = '\0';
	error_set(err, ERR_STATE, "%s: in use by another command%s%s", path, *who ? ", process " : "", who);
	return error_hint(err, "wait until it has ended, then try again");
}

int file_lock(const char *path, bool exclusive, int wait_ms, struct error **err)
{
	uint64_t end = loop_now() + (uint64_t)(wait_ms > 0 ? wait_ms : 0) * 1000000;
	_cleanup_close_ int fd = -1;
	struct stat a, b;

again:
	if (fd >= 0)
		close(fd);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_errno(err, errno, "%s: cannot open the lock", path);
	while (flock(fd, (exclusive ? LOCK_EX : LOCK_SH) | (wait_ms < 0 ? 0 : LOCK_NB)) < 0) {
		if (errno == EINTR && wait_ms < 0)
			return error_set(err, ERR_INTR, "%s: interrupted while waiting for the lock", path);
		if (errno != EWOULDBLOCK)
			return error_errno(err, errno, "%s: cannot lock", path);
		if (loop_now() >= end)
			return lock_taken(path, fd, err);
		if (intr_check(err) < 0)
			return error_wrap(err, "%s: waiting for the lock", path);
		nanosleep(&(struct timespec){ .tv_nsec = 20 * 1000 * 1000 }, NULL);
	}
	/* Whoever held it may have removed the file: then what is locked here protects nothing. */
	if (fstat(fd, &a) < 0 || stat(path, &b) < 0 || a.st_ino != b.st_ino || a.st_dev != b.st_dev)
		goto again;
	if (exclusive && ftruncate(fd, 0) == 0)
		dprintf(fd, "%d\n", (int)getpid());
	return STEAL_FD(fd);
}
