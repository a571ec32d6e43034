/* SPDX-License-Identifier: Apache-2.0 */
/* Reading what is put: holes are asked of the file system; a qcow2 is read by its tables, or by what qemu-img says of them. */
#include "store/internal.h"
#include "store/qcow2.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/qcow2.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <linux/fs.h>

static void add_extent(struct source *src, uint64_t start, uint64_t len, uint64_t off)
{
	struct extent *last = src->n ? &src->ext[src->n - 1] : NULL;

	if (last && last->start + last->len == start && last->off + last->len == off) {
		last->len += len;
		return;
	}
	if ((src->n & (src->n - 1)) == 0)
		src->ext = xreallocarray(src->ext, src->n ? src->n * 2 : 1, sizeof(*src->ext));
	src->ext[src->n++] = (struct extent){ start, len, off };
}

static int map_raw(struct source *src, struct error **err)
{
	off_t at = 0, data;

	while ((uint64_t)at < src->size) {
		data = lseek(src->fd, at, SEEK_DATA);
		if (data < 0 && errno == ENXIO)
			return 0; /* a hole up to the end */
		if (data < 0) { /* not known here: all is data */
			add_extent(src, (uint64_t)at, src->size - (uint64_t)at, (uint64_t)at);
			return 0;
		}
		at = lseek(src->fd, data, SEEK_HOLE);
		if (at < 0)
			return error_errno(err, errno, "%s: cannot look for holes", src->path);
		add_extent(src, (uint64_t)data, (uint64_t)(at - data), (uint64_t)data);
	}
	return 0;
}

static int map_item(struct source *src, json_t *item, struct error **err)
{
	json_int_t start, len, depth = 0, off = -1;
	int zero, data;

	if (json_unpack(item, "{s:I, s:I, s:b, s:b, s?I, s?I}", "start", &start, "length", &len, "zero", &zero, "data",
			&data, "depth", &depth, "offset", &off) < 0 || start < 0 || len <= 0)
		return error_set(err, ERR_FAILED, "%s: qemu-img map says what croft does not understand", src->path);
	src->size = (uint64_t)(start + len);
	if (zero || !data)
		return 0;
	if (depth > 0) {
		error_set(err, ERR_FAILED, "%s: has a backing file that holds part of its data", src->path);
		return error_hint(err, "put the result of `qemu-img convert -O qcow2`, or the backing file itself");
	}
	if (off < 0) {
		error_set(err, ERR_FAILED, "%s: has compressed clusters", src->path);
		return error_hint(err, "put the result of `qemu-img convert -O qcow2`, which has none");
	}
	add_extent(src, (uint64_t)start, (uint64_t)len, (uint64_t)off);
	return 0;
}

static void add_cluster(void *arg, uint64_t start, uint64_t len, uint64_t off)
{
	add_extent(arg, start, len, off);
}

/* JSON of QEMU: docs/interop, `qemu-img map --output=json`. */
static int map_qcow2(struct source *src, struct error **err)
{
	const char *argv[] = { "qemu-img", "map", "--output=json", "-f", "qcow2", src->path, NULL };
	_cleanup_buf_ struct buf out = BUF_INIT;
	json_error_t je;
	json_t *j, *item;
	size_t i;
	int rc = 0;

	if (qcow2_map(src->fd, &src->size, add_cluster, src))
		return 0;
	src->n = 0;
	if (proc_run(argv, 300000, &out, NULL, err) < 0)
		return error_wrap(err, "%s", src->path);
	j = json_loadb(out.data, out.len, 0, &je);
	if (!json_is_array(j))
		rc = error_set(err, ERR_FAILED, "%s: qemu-img map gave no list", src->path);
	src->size = 0;
	json_array_foreach(j, i, item)
		if (rc == 0)
			rc = map_item(src, item, err);
	json_decref(j);
	return rc;
}

int source_open(const char *path, struct source *src, struct error **err)
{
	struct stat st;
	bool from_stdin = !strcmp(path, "-");

	*src = (struct source){ .fd = -1, .path = xstrdup(from_stdin ? "standard input" : path) };
	src->fd = from_stdin ? fcntl(0, F_DUPFD_CLOEXEC, 3) : open(path, O_RDONLY | O_CLOEXEC);
	if (src->fd < 0 || fstat(src->fd, &st) < 0)
		return error_errno(err, errno, "%s", src->path);
	if (S_ISDIR(st.st_mode))
		return error_set(err, ERR_USAGE, "%s: is a folder, not a file or a disk", path);
	src->size = (uint64_t)st.st_size;
	if (S_ISBLK(st.st_mode) && ioctl(src->fd, BLKGETSIZE64, &src->size) < 0)
		return error_errno(err, errno, "%s: cannot ask for the size", path);
	if (from_stdin || (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))) {
		src->stream = true;
		return 0;
	}
	posix_fadvise(src->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	if ((qcow2_is_fd(src->fd) ? map_qcow2(src, err) : map_raw(src, err)) < 0)
		return -1;
	src->end = src->size;
	return 0;
}

static int map_ranges(const struct store_part *part, struct source *src, struct error **err)
{
	uint64_t at = 0;

	for (size_t i = 0; i < part->nranges; i++) {
		const struct store_range *r = &part->ranges[i];

		if (r->start < at || r->len > part->size || r->start > part->size - r->len)
			return error_set(err, ERR_USAGE, "part %s: its ranges are out of order or behind its end", part->name);
		if (part->base && r->zero && r->start > at)
			add_extent(src, at, r->start - at, at);
		if (!part->base && !r->zero && r->len)
			add_extent(src, r->start, r->len, r->start);
		if (!part->base || r->zero)
			at = r->start + r->len;
	}
	if (part->size > at && (part->base || !part->ranges))
		add_extent(src, at, part->size - at, at);
	return 0;
}

int source_open_part(const struct store_part *part, struct source *src, struct error **err)
{
	if (part->path)
		return source_open(part->path, src, err);
	*src = (struct source){ .fd = -1, .path = xstrdup(part->name), .size = part->size, .end = part->size, .part = part };
	if (part->data || !part->read) {
		if (part->size)
			add_extent(src, 0, part->size, 0);
		return 0;
	}
	if (part->base && part->ranges) {
		src->changed = part->ranges;
		src->nchanged = part->nranges;
	}
	return map_ranges(part, src, err);
}

/* The first extent that ends behind pos; src->n when there is none. */
static size_t extent_at(const struct source *src, uint64_t pos)
{
	size_t lo = 0, hi = src->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (src->ext[mid].start + src->ext[mid].len > pos)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

void source_seek(struct source *src, uint64_t pos, uint64_t end)
{
	if (src->stream)
		return;
	src->pos = pos;
	src->end = end;
	src->cur = extent_at(src, pos);
}

bool source_at(struct source *src, uint64_t pos, uint64_t max, uint64_t *len, uint64_t *off)
{
	size_t i = extent_at(src, pos);
	const struct extent *e = i < src->n ? &src->ext[i] : NULL;
	bool data = e && e->start <= pos;
	uint64_t end = data ? e->start + e->len : e ? e->start : src->size;

	*len = end - pos < max ? end - pos : max;
	*off = data ? e->off + (pos - e->start) : 0;
	return data;
}

bool source_changed(const struct source *src, uint64_t pos, uint64_t len)
{
	size_t lo = 0, hi = src->nchanged;

	if (!src->changed)
		return true;
	while (lo < hi) { /* the first that ends behind pos */
		size_t mid = lo + (hi - lo) / 2;

		if (src->changed[mid].start + src->changed[mid].len > pos)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo < src->nchanged && src->changed[lo].start < pos + len;
}

static ssize_t read_some(struct source *src, uint8_t *p, size_t n, uint64_t off)
{
	ssize_t r;

	do
		r = src->stream ? read(src->fd, p, n) : pread(src->fd, p, n, (off_t)off);
	while (r < 0 && errno == EINTR);
	return r;
}

static int shorter(const struct source *src, struct error **err)
{
	error_set(err, ERR_FAILED, "%s: became shorter while it was read", src->path);
	return error_hint(err, "stop what writes to it, then try again");
}

int source_read_at(struct source *src, uint8_t *p, size_t n, uint64_t pos, struct error **err)
{
	if (src->part->data)
		memcpy(p, (const uint8_t *)src->part->data + pos, n);
	else if (src->part->read(src->part->arg, p, n, pos, err) < 0)
		return error_wrap(err, "%s", src->path);
	return 0;
}

static int read_stream(struct source *src, uint8_t *p, size_t cap, size_t *n, struct error **err)
{
	ssize_t r = read_some(src, p, cap, 0);

	if (r < 0)
		return error_errno(err, errno, "%s: cannot read", src->path);
	*n = (size_t)r;
	src->pos += *n;
	return 0;
}

int source_read(struct source *src, uint8_t *p, size_t cap, size_t *n, uint64_t *hole, struct error **err)
{
	const struct extent *e = src->cur < src->n ? &src->ext[src->cur] : NULL;
	uint64_t left;
	ssize_t r;

	*n = 0;
	*hole = 0;
	if (src->stream)
		return read_stream(src, p, cap, n, err);
	if (!e || src->pos < e->start) {
		*hole = (e && e->start < src->end ? e->start : src->end) - src->pos;
		src->pos += *hole;
		return 0;
	}
	left = (e->start + e->len < src->end ? e->start + e->len : src->end) - src->pos;
	if (cap > left)
		cap = (size_t)left;
	if (!cap)
		return 0;
	if (src->part) {
		if (source_read_at(src, p, cap, src->pos, err) < 0)
			return -1;
		r = (ssize_t)cap;
	} else {
		r = read_some(src, p, cap, e->off + (src->pos - e->start));
	}
	if (r < 0)
		return error_errno(err, errno, "%s: cannot read at %" PRIu64, src->path, src->pos);
	if (r == 0)
		return shorter(src, err);
	*n = (size_t)r;
	src->pos += *n;
	if (src->pos == e->start + e->len)
		src->cur++;
	return 0;
}

void source_close(struct source *src)
{
	cleanup_close(&src->fd);
	free(src->path);
	free(src->ext);
	*src = (struct source){ .fd = -1 };
}
