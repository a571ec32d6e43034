/* SPDX-License-Identifier: Apache-2.0 */
/* Where get writes: a new file, an older version of it, a block device, standard output. */
#include "store/internal.h"
#include "base/cleanup.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

static const uint8_t zeros[65536];

static int write_at(void *arg, const void *p, size_t n, uint64_t off, struct error **err)
{
	struct target *t = arg;

	if (!t->pipe && lseek(t->fd, (off_t)off, SEEK_SET) < 0)
		return error_errno(err, errno, "%s: cannot go to %" PRIu64, t->path, off);
	return file_write_all(t->fd, p, n, t->path, err);
}

static int write_zeros(struct target *t, uint64_t len, uint64_t off, struct error **err)
{
	for (uint64_t n; len; len -= n, off += n) {
		n = len < sizeof(zeros) ? len : sizeof(zeros);
		if (write_at(t, zeros, n, off, err) < 0)
			return -1;
	}
	return 0;
}

/* Over an older version: only what is data there now is made a hole. */
static int zero_at(void *arg, uint64_t len, uint64_t off, struct error **err)
{
	struct target *t = arg;
	off_t data;

	if (t->pipe)
		return write_zeros(t, len, off, err);
	data = lseek(t->fd, (off_t)off, SEEK_DATA);
	if ((data < 0 && errno == ENXIO) || (data >= 0 && (uint64_t)data >= off + len))
		return 0;
	if (fallocate(t->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)off, (off_t)len) == 0)
		return 0;
	return write_zeros(t, len, off, err);
}

static int read_at(void *arg, void *p, size_t n, uint64_t off, struct error **err)
{
	struct target *t = arg;

	if (pread(t->fd, p, n, (off_t)off) != (ssize_t)n)
		return error_set(err, ERR_FAILED, "%s: cannot read %zu bytes at %" PRIu64, t->path, n, off);
	return 0;
}

int target_open(struct target *t, const char *path, uint64_t size, struct error **err)
{
	struct stat st;

	t->path = path;
	if (!strcmp(path, "-")) {
		t->path = "standard output";
		t->pipe = true;
		t->fd = fcntl(1, F_DUPFD_CLOEXEC, 3);
	} else {
		t->fd = open(path, O_RDWR | O_CLOEXEC | (t->update ? 0 : O_CREAT | O_EXCL), 0644);
	}
	if (t->fd < 0) {
		error_errno(err, errno, "%s", t->path);
		return (*err)->code == EEXIST ? error_hint(err, "another path, or --update to write what differs") : -1;
	}
	if (t->pipe || ftruncate(t->fd, (off_t)size) == 0)
		return 0;
	if (fstat(t->fd, &st) == 0 && S_ISBLK(st.st_mode))
		return 0;
	error_errno(err, errno, "%s: cannot set the size", t->path);
	target_close(t, false, false, NULL);
	return -1;
}

struct store_sink target_sink(struct target *t)
{
	bool fresh = !t->pipe && !t->update; /* ftruncate has made it all zeros */

	return (struct store_sink){ write_at, fresh ? NULL : zero_at, t->update ? read_at : NULL, t };
}

int target_close(struct target *t, bool good, bool sync, struct error **err)
{
	int rc = good && sync && !t->pipe ? file_fsync(t->fd, t->path, err) : 0;

	cleanup_close(&t->fd);
	t->fd = -1;
	if ((rc < 0 || !good) && !t->pipe && !t->update)
		unlink(t->path);
	return rc;
}
