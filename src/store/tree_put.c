/* SPDX-License-Identifier: Apache-2.0 */
/* A folder into the store: first a list of all there is, then the bytes of all files as one part, read in this order. */
#include "store/tree.h"
#include "store/internal.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/strv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

struct scan {
	const char *root;
	int rootfd;
	struct buf entries;
	uint64_t content; /* bytes so far */
	struct store_range *ranges; /* data in the content */
	size_t nranges, cap;
	struct map linked; /* "device:inode" to the first name of files that have several */
	/* reading */
	size_t pos; /* in entries */
	struct tree_entry *cur;
	int fd;
};

static void add_range(struct scan *s, uint64_t start, uint64_t len)
{
	struct store_range *last = s->nranges ? &s->ranges[s->nranges - 1] : NULL;

	if (!len)
		return;
	if (last && last->start + last->len == start) {
		last->len += len;
		return;
	}
	if (s->nranges == s->cap)
		s->ranges = xreallocarray(s->ranges, s->cap = s->cap ? s->cap * 2 : 64, sizeof(*s->ranges));
	s->ranges[s->nranges++] = (struct store_range){ start, len, false };
}

/* Where a file that takes less room than its size has data. */
static void add_data(struct scan *s, int fd, const struct stat *st)
{
	off_t at = 0, data, size = st->st_size;

	if ((uint64_t)st->st_blocks * 512 >= (uint64_t)size) {
		add_range(s, s->content, (uint64_t)size);
		return;
	}
	while (at < size) {
		data = lseek(fd, at, SEEK_DATA);
		if (data < 0 || data >= size) {
			if (data < 0 && errno != ENXIO) /* not known here */
				add_range(s, s->content + (uint64_t)at, (uint64_t)(size - at));
			return;
		}
		at = lseek(fd, data, SEEK_HOLE);
		if (at < 0 || at > size)
			at = size;
		add_range(s, s->content + (uint64_t)data, (uint64_t)(at - data));
	}
}

static void add_xattr(struct buf *b, const char *name, const char *value, size_t n)
{
	uint32_t len[2] = { (uint32_t)strlen(name), (uint32_t)n };

	buf_add(b, len, sizeof(len));
	buf_add(b, name, len[0]);
	buf_add(b, value, n);
}

/* path is below /proc/self/fd or the like; a file system without them has none. */
static int read_xattrs(const char *path, struct buf *ret, struct error **err)
{
	_cleanup_free_ char *names = xmalloc(65536), *value = xmalloc(65536);
	ssize_t n = llistxattr(path, names, 65536), v;

	if (n < 0)
		return errno == ENOTSUP || errno == EPERM ? 0 : error_errno(err, errno, "%s: cannot list attributes", path);
	for (const char *name = names; name < names + n; name += strlen(name) + 1) {
		v = lgetxattr(path, name, value, 65536);
		if (v >= 0)
			add_xattr(ret, name, value, (size_t)v);
		else if (errno != ENODATA && errno != EPERM && errno != ENOTSUP)
			return error_errno(err, errno, "%s: cannot read attribute %s", path, name);
	}
	return 0;
}

/* The first name of a file that has several, or NULL and it is noted. */
static const char *first_name(struct scan *s, const struct stat *st, const char *path)
{
	_cleanup_free_ char *key = NULL;
	const char *first;

	if (S_ISDIR(st->st_mode) || S_ISLNK(st->st_mode) || st->st_nlink < 2)
		return NULL;
	key = xasprintf("%" PRIx64 ":%" PRIx64, (uint64_t)st->st_dev, (uint64_t)st->st_ino);
	first = map_get(&s->linked, key);
	if (!first)
		map_set(&s->linked, key, xstrdup(path));
	return first;
}

static int scan_file(struct scan *s, int dirfd, const char *name, const char *path, const struct stat *st, struct error **err)
{
	struct tree_head h = { .mode = st->st_mode, .uid = st->st_uid, .gid = st->st_gid, .mtime = st->st_mtim.tv_sec,
		.nsec = (uint32_t)st->st_mtim.tv_nsec, .at = s->content };
	_cleanup_free_ char *full = path_join(s->root, path);
	_cleanup_buf_ struct buf xattrs = BUF_INIT;
	const char *first = first_name(s, st, path);
	char link[4096] = "";
	ssize_t n;

	if (read_xattrs(full, &xattrs, err) < 0)
		return -1;
	if (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode)) {
		h.major = major(st->st_rdev);
		h.minor = minor(st->st_rdev);
	}
	if (S_ISLNK(st->st_mode) && !first) {
		n = readlinkat(dirfd, name, link, sizeof(link) - 1);
		if (n < 0)
			return error_errno(err, errno, "%s: cannot read the link", full);
	}
	if (S_ISREG(st->st_mode) && !first) {
		_cleanup_close_ int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

		if (fd < 0)
			return error_errno(err, errno, "%s", full);
		h.bytes = (uint64_t)st->st_size;
		add_data(s, fd, st);
		s->content += h.bytes;
	}
	h.hard = first != NULL;
	tree_add(&s->entries, &h, path, first ? first : link[0] ? link : NULL, &xattrs);
	return 0;
}

static int scan_dir(struct scan *s, int dirfd, const char *rel, struct error **err)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_closedir_ DIR *d = fd < 0 ? NULL : fdopendir(fd);
	_cleanup_strv_ struct strv names = STRV_INIT;

	if (!d)
		return error_errno(err, errno, "%s/%s", s->root, rel);
	for (struct dirent *e; (e = readdir(d));)
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
			strv_add(&names, e->d_name);
	strv_sort(&names);
	for (size_t i = 0; i < names.len; i++) {
		_cleanup_free_ char *path = *rel ? path_join(rel, names.v[i]) : xstrdup(names.v[i]);
		_cleanup_close_ int sub = -1;
		struct stat st;

		if (fstatat(fd, names.v[i], &st, AT_SYMLINK_NOFOLLOW) < 0) {
			if (errno == ENOENT)
				continue; /* removed meanwhile */
			return error_errno(err, errno, "%s/%s", s->root, path);
		}
		if (S_ISSOCK(st.st_mode)) {
			log_info("%s/%s: a socket, left out", s->root, path);
			continue;
		}
		if (strlen(path) >= 4096)
			return error_set(err, ERR_FAILED, "%s/%.60s...: the path is too long", s->root, path);
		if (scan_file(s, fd, names.v[i], path, &st, err) < 0)
			return -1;
		if (!S_ISDIR(st.st_mode))
			continue;
		sub = openat(fd, names.v[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (sub < 0)
			return error_errno(err, errno, "%s/%s", s->root, path);
		if (scan_dir(s, sub, path, err) < 0)
			return -1;
	}
	return 0;
}

/* To the file that has byte off of the content. */
static int go_to(struct scan *s, uint64_t off, struct error **err)
{
	const struct tree_head *h = &s->cur->h;

	while (s->fd < 0 || off >= h->at + h->bytes) {
		int rc;

		cleanup_close(&s->fd);
		s->fd = -1;
		do
			rc = tree_next(s->entries.data, s->entries.len, &s->pos, s->cur, err);
		while (rc == 1 && (!S_ISREG(h->mode) || h->hard || off >= h->at + h->bytes));
		if (rc != 1)
			return rc < 0 ? -1 : error_set(err, ERR_FAILED, "no file has byte %" PRIu64, off);
		s->fd = openat(s->rootfd, s->cur->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
		if (s->fd < 0)
			return error_errno(err, errno, "%s/%s", s->root, s->cur->path);
	}
	return 0;
}

static int read_content(void *arg, void *p, size_t n, uint64_t off, struct error **err)
{
	struct scan *s = arg;
	char *to = p;

	while (n) {
		uint64_t left;
		ssize_t r;

		if (go_to(s, off, err) < 0)
			return -1;
		left = s->cur->h.at + s->cur->h.bytes - off;
		do
			r = pread(s->fd, to, n < left ? n : (size_t)left, (off_t)(off - s->cur->h.at));
		while (r < 0 && errno == EINTR);
		if (r < 0)
			return error_errno(err, errno, "%s/%s: cannot read", s->root, s->cur->path);
		if (r == 0) {
			error_set(err, ERR_FAILED, "%s/%s: became shorter while it was read", s->root, s->cur->path);
			return error_hint(err, "stop what writes to it, then try again");
		}
		to += r;
		n -= (size_t)r;
		off += (uint64_t)r;
	}
	return 0;
}

int store_put_tree(struct store *st, const char *name, const char *dir, const struct store_put_opts *o,
	struct store_put_result *ret, struct error **err)
{
	struct scan s = { .root = dir, .rootfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), .fd = -1, .linked = { .free_value = free } };
	struct store_part parts[2];
	struct stat top;
	int rc = -1;

	*ret = (struct store_put_result){ 0 };
	s.cur = xcalloc(1, sizeof(*s.cur));
	if (s.rootfd < 0)
		error_errno(err, errno, "%s", dir);
	else if (ref_check_new(st, name, o->replace, err) == 0 && fstat(s.rootfd, &top) == 0 &&
		scan_file(&s, s.rootfd, ".", ".", &top, err) == 0 && scan_dir(&s, s.rootfd, "", err) == 0) {
		parts[0] = (struct store_part){ .name = "entries", .data = s.entries.data, .size = s.entries.len };
		parts[1] = (struct store_part){ .name = "content", .read = read_content, .arg = &s, .size = s.content,
			.ranges = s.ranges ? s.ranges : &(struct store_range){ 0 }, .nranges = s.nranges };
		rc = store_put_set(st, name, parts, 2, TREE_INFO, o, ret, err);
	}
	map_free(&s.linked);
	free(s.ranges);
	free(s.cur);
	buf_free(&s.entries);
	cleanup_close(&s.fd);
	cleanup_close(&s.rootfd);
	return rc;
}
