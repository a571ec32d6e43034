/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stops the writing of file systems on disks, for the moment in which the host fixes a point for a backup (FIFREEZE, ioctl_fs(2)). They are
 * frozen for as long as the stream is open and for MAX_MS at most: whoever asked may be gone.
 */
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_MS 10000
#define FS_MAX 64

struct frozen {
	int fds[FS_MAX];
	size_t n;
	uint64_t until;
};

static void thaw(struct frozen *f)
{
	while (f->n) {
		ioctl(f->fds[--f->n], FITHAW, 0);
		close(f->fds[f->n]);
	}
}

static void freeze_destroy(struct stream *s)
{
	thaw(s->data);
	free(s->data);
}

static size_t freeze_wait(struct guest *g, struct stream *s, struct pollfd *p, int *timeout_ms)
{
	const struct frozen *f = s->data;
	uint64_t now = now_ms();
	int left = f->until > now ? (int)(f->until - now) : 0;

	if (*timeout_ms < 0 || left < *timeout_ms)
		*timeout_ms = left;
	return 0;
}

static void freeze_run(struct guest *g, struct stream *s, const struct pollfd *p, size_t n)
{
	const struct frozen *f = s->data;

	if (now_ms() >= f->until)
		stream_error(g, s, ETIMEDOUT, "frozen for too long; thawed");
}

/* The client is done. */
static void freeze_eof(struct guest *g, struct stream *s)
{
	thaw(s->data);
	stream_exit(g, s, 0);
}

static const struct stream_ops freeze_ops = {
	.wait = freeze_wait,
	.run = freeze_run,
	.eof = freeze_eof,
	.destroy = freeze_destroy,
};

/* One mount of each file system on a block device; a second one is refused as busy, which is right. */
static void freeze_all(struct frozen *f)
{
	FILE *m = setmntent("/proc/self/mounts", "re");
	struct mntent *e;

	while (m && f->n < FS_MAX && (e = getmntent(m))) {
		struct stat st;
		int fd;

		if (stat(e->mnt_fsname, &st) < 0 || !S_ISBLK(st.st_mode) || hasmntopt(e, "ro"))
			continue;
		fd = open(e->mnt_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd >= 0 && ioctl(fd, FIFREEZE, 0) == 0)
			f->fds[f->n++] = fd;
		else if (fd >= 0)
			close(fd);
	}
	if (m)
		endmntent(m);
}

void freeze_open(struct guest *g, struct stream *s)
{
	struct frozen *f = calloc(1, sizeof(*f));

	if (!f) {
		stream_error(g, s, ENOMEM, "out of memory");
		return;
	}
	if (g->socket) {
		free(f);
		stream_error(g, s, EPERM, "not the guest program of a machine");
		return;
	}
	/* What is in the caches first, without holding anybody up. */
	sync();
	freeze_all(f);
	f->until = now_ms() + MAX_MS;
	s->data = f;
	s->ops = &freeze_ops;
	/* The answer: they are frozen now. */
	stream_credit(g, s, 1);
}
