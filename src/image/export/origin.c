/* SPDX-License-Identifier: Apache-2.0 */
#include "image/export/origin.h"
#include "image/export/rootdisk.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

char *origin_stem(const char *file)
{
	const char *base = path_basename(file);
	size_t n = strcspn(base, ".");

	return n ? xstrndup(base, n) : xstrdup("image");
}

/* The image of that name; without error when there is none. */
static int try_image(struct origin *s, const char *what, struct error **err)
{
	_cleanup_error_ struct error *e = NULL;

	if (strchr(what, '/'))
		return 0;
	s->img = image_open(what, &e);
	if (s->img || file_exists(what))
		return 0;
	return error_move(err, &e);
}

/*
 * What make() writes is read instead of what was named, and has no name soon: nothing is left even
 * when we are killed while it is read.
 */
static int read_made(struct origin *s,
	int (*make)(struct origin *s, const char *to, struct error **err), struct error **err)
{
	const char *temp = getenv("TMPDIR");
	_cleanup_free_ char *dir = path_join(temp ? temp : "/var/tmp", "croft-root-XXXXXX"), *to = NULL;
	int fd, rc;

	if (!mkdtemp(dir))
		return error_errno(err, errno, "%s", dir);
	to = path_join(dir, "made");
	rc = make(s, to, err);
	fd = rc == 0 ? open(to, O_RDONLY | O_CLOEXEC) : -1;
	if (rc == 0 && fd < 0)
		rc = error_errno(err, errno, "%s", to);
	unlink(to);
	rmdir(dir);
	if (rc < 0)
		return -1;
	cleanup_close(&s->fd);
	s->fd = fd;
	/* by which programs of ours can open it */
	free(s->file);
	s->file = xasprintf("/proc/%d/fd/%d", (int)getpid(), fd);
	return 0;
}

bool origin_is_layout(const char *path)
{
	_cleanup_free_ char *mark = path_join(path, "oci-layout");

	return file_is_dir(path) && file_exists(mark);
}

static int tar_of_layout(struct origin *s, const char *to, struct error **err)
{
	const char *argv[] = { "tar", "--create", "--file", to, "--directory", s->file, "oci-layout",
		"index.json", "blobs", NULL };

	return proc_run(argv, -1, NULL, NULL, err);
}

int origin_open(struct origin *s, const char *what, struct error **err)
{
	*s = (struct origin){ .fd = -1, .server = PROC_INIT, .what = xstrdup(what) };
	if (try_image(s, what, err) < 0)
		return -1;
	s->file = s->img ? xstrdup(s->img->disk) : path_absolute(what);
	s->name = s->img ? xstrdup(s->img->name) : origin_stem(what);
	if (!s->file)
		return 0;
	if (origin_is_layout(s->file)) {
		if (read_made(s, tar_of_layout, err) < 0)
			return error_wrap(err, "%s", what);
		return sniff_fd(s->fd, what, &s->sniff, err);
	}
	s->fd = open(s->file, O_RDONLY | O_CLOEXEC);
	if (s->fd < 0)
		return error_errno(err, errno, "%s", what);
	return sniff_fd(s->fd, what, &s->sniff, err);
}

void origin_close(struct origin *s)
{
	nbd_close(s->nbd);
	proc_release(&s->server);
	if (s->dir)
		rmdir(s->dir);
	if (s->fd >= 0)
		close(s->fd);
	image_free(s->img);
	free(s->dir);
	free(s->what);
	free(s->name);
	free(s->file);
	free(s->extents);
	*s = (struct origin){ .fd = -1, .server = PROC_INIT };
}

static void add_extent(struct origin *s, uint64_t start, uint64_t end, bool zero)
{
	if (start == end)
		return;
	s->extents = xreallocarray(s->extents, s->nextents + 1, sizeof(*s->extents));
	s->extents[s->nextents++] = (struct nbd_extent){ .start = start, .len = end - start, .zero = zero };
}

/* Holes of a file are its zeros. */
static int file_extents(struct origin *s, struct error **err)
{
	uint64_t at = 0;

	while (at < s->size) {
		off_t data = lseek(s->fd, (off_t)at, SEEK_DATA), hole;

		if (data < 0 && errno != ENXIO)
			return error_errno(err, errno, "%s: cannot find its holes", s->what);
		if (data < 0 || (uint64_t)data > s->size)
			data = (off_t)s->size;
		add_extent(s, at, (uint64_t)data, true);
		hole = (uint64_t)data < s->size ? lseek(s->fd, data, SEEK_HOLE) : data;
		if (hole < 0)
			return error_errno(err, errno, "%s: cannot find its holes", s->what);
		if ((uint64_t)hole > s->size)
			hole = (off_t)s->size;
		add_extent(s, (uint64_t)data, (uint64_t)hole, false);
		at = (uint64_t)hole;
	}
	return 0;
}

static int open_raw(struct origin *s, struct error **err)
{
	struct stat st;

	if (fstat(s->fd, &st) < 0)
		return error_errno(err, errno, "%s", s->what);
	s->size = (uint64_t)st.st_size;
	return file_extents(s, err);
}

/* QEMU reads what is missing of a truncated qcow2 as zeros; the store has checked its images when they came. */
static int check_outsider(const struct origin *s, struct error **err)
{
	const char *argv[] = { "qemu-img", "check", "-q", "-f", "qcow2", "--", s->file, NULL };
	_cleanup_error_ struct error *e = NULL;

	if (s->img || strcmp(s->sniff.format, "qcow2") || proc_run(argv, -1, NULL, NULL, &e) == 0)
		return 0;
	if (e->cls != ERR_FAILED)
		return error_move(err, &e);
	error_set(err, ERR_FAILED, "its qcow2 structure is damaged");
	return error_hint(err, "see: qemu-img check FILE");
}

static int open_nbd(struct origin *s, struct error **err)
{
	char dir[] = "/tmp/croft-disk-XXXXXX";

	if (check_outsider(s, err) < 0)
		return -1;
	if (!mkdtemp(dir))
		return error_errno(err, errno, "%s", dir);
	s->dir = xstrdup(dir);
	s->nbd = nbd_serve(&(struct nbd_serve){ .dir = dir, .sock = "s", .disk = s->file, .format = s->sniff.format }, &s->server, err);
	if (!s->nbd)
		return -1;
	rmdir(dir); /* the socket is gone already: nothing is left even when we are killed */
	s->size = nbd_size(s->nbd);
	return nbd_extents(s->nbd, &s->extents, &s->nextents, err);
}

/* A root without a disk gets one for the time of the export. */
static int disk_around(struct origin *s, const char *to, struct error **err)
{
	bool boots;

	return rootdisk_make(s, to, 0, &boots, err);
}

static int around_root(struct origin *s, struct error **err)
{
	if (read_made(s, disk_around, err) < 0)
		return -1;
	s->sniff = (struct sniff){ .kind = SNIFF_DISK, .format = "raw" };
	return open_raw(s, err);
}

int origin_disk(struct origin *s, struct error **err)
{
	if (s->size)
		return 0;
	if (s->file && !s->img && rootdisk_wanted(s))
		return around_root(s, err);
	if (!s->file) {
		error_set(err, ERR_USAGE, "%s: has no disk: it boots a kernel with an initramfs", s->what);
		return error_hint(err, "its root can be exported: as oci, tar, squashfs, erofs, iso or netboot");
	}
	if (s->sniff.kind != SNIFF_DISK && s->sniff.kind != SNIFF_ISO) {
		error_set(err, ERR_USAGE, "%s: is not a disk but %s", s->what, s->sniff.format);
		return error_hint(err, "take it into the store first: croft image import FILE");
	}
	if ((strcmp(s->sniff.format, "raw") ? open_nbd(s, err) : open_raw(s, err)) < 0)
		return error_wrap(err, "%s: cannot be read as a disk", s->what);
	return s->size ? 0 : error_set(err, ERR_FAILED, "%s: is empty", s->what);
}

int origin_read(struct origin *s, void *p, size_t n, uint64_t off, struct error **err)
{
	if (s->nbd)
		return nbd_read(s->nbd, p, n, off, err);
	while (n) {
		ssize_t got = pread(s->fd, p, n, (off_t)off);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 ? error_errno(err, errno, "%s: cannot read", s->what) :
					 error_set(err, ERR_FAILED, "%s: has become shorter while it was read", s->what);
		p = (char *)p + got;
		n -= (size_t)got;
		off += (uint64_t)got;
	}
	return 0;
}

/* The first extent that ends behind off. */
static size_t find_extent(const struct origin *s, uint64_t off)
{
	size_t low = 0, high = s->nextents;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (s->extents[mid].start + s->extents[mid].len <= off)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

bool origin_next(const struct origin *s, size_t piece, uint64_t *off, size_t *len)
{
	size_t i = find_extent(s, *off);

	while (i < s->nextents && s->extents[i].zero)
		i++;
	if (i == s->nextents)
		return false;
	if (s->extents[i].start > *off)
		*off = s->extents[i].start - s->extents[i].start % piece;
	*len = s->size - *off < piece ? (size_t)(s->size - *off) : piece;
	return true;
}

uint64_t origin_data(const struct origin *s, size_t piece)
{
	uint64_t off = 0, sum = 0;
	size_t len;

	for (; origin_next(s, piece, &off, &len); off += len)
		sum += len;
	return sum;
}
