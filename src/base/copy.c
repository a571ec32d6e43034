/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "base/fault.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

/* Bytes [at, end) by copy_file_range, which may share extents; read and write where it can't. */
static int copy_range(int in, int out, off_t at, off_t end, const char *to, struct error **err)
{
	off_t o = at;

	while (at < end) {
		int code = fault(FAULT_WRITE);
		ssize_t n = code ? -1 : copy_file_range(in, &at, out, &o, (size_t)(end - at), 0);
		char buf[65536];
		size_t want = (size_t)(end - at) < sizeof(buf) ? (size_t)(end - at) : sizeof(buf);

		if (code)
			return error_errno(err, code, "%s: cannot write", to);
		if (n > 0)
			continue;
		if (n == 0)
			return 0; /* the source became shorter */
		if (errno == EINTR)
			continue;
		if (errno == ENOSPC || errno == EDQUOT || errno == EIO)
			return error_errno(err, errno, "%s: cannot write", to);
		n = pread(in, buf, want, at);
		if (n <= 0)
			return n == 0 ? 0 : error_errno(err, errno, "copy to %s: cannot read", to);
		if (pwrite(out, buf, (size_t)n, o) != n)
			return error_errno(err, errno ? errno : ENOSPC, "%s: cannot write", to);
		at += n;
		o += n;
	}
	return 0;
}

static int copy_data(int in, int out, off_t size, const char *to, struct error **err)
{
	off_t at = 0;

	if (ioctl(out, FICLONE, in) == 0)
		return 0;
	if (ftruncate(out, size) < 0)
		return error_errno(err, errno, "%s: cannot set the size", to);
	while (at < size) {
		off_t data = lseek(in, at, SEEK_DATA), hole;

		if (data < 0 && errno == ENXIO)
			break; /* only a hole is left */
		if (data < 0)
			data = at; /* the file system knows no holes */
		hole = lseek(in, data, SEEK_HOLE);
		if (hole < 0)
			hole = size;
		if (copy_range(in, out, data, hole, to, err) < 0)
			return -1;
		at = hole;
	}
	return 0;
}

int file_copy(const char *from, const char *to, mode_t mode, struct error **err)
{
	_cleanup_close_ int in = open(from, O_RDONLY | O_CLOEXEC), out = -1;
	struct stat st;

	if (in < 0 || fstat(in, &st) < 0)
		return error_errno(err, errno, "%s", from);
	out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	if (out < 0)
		return error_errno(err, errno, "%s: cannot make", to);
	if (copy_data(in, out, st.st_size, to, err) < 0 || file_fsync(out, to, err) < 0) {
		unlink(to);
		return -1;
	}
	return 0;
}
