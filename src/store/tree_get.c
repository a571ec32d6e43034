/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A folder out of the store. Folders and files are made as the content comes; further names, links and devices when all files are
 * there, so that no link can lead a file out of the folder; what belongs to folders last, since making files changes it.
 */
#include "store/tree.h"
#include "store/internal.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

struct grow {
	const char *dir;
	int dirfd;
	struct buf entries;
	size_t pos;
	struct tree_entry *e; /* the file being written */
	int fd;
	struct store_tree_result *ret;
};

static int failed(const struct grow *g, const char *path, const char *what, struct error **err)
{
	return error_errno(err, errno, "%s/%s: cannot %s", g->dir, path, what);
}

/* What may not be done here is left out. */
static int left_out(struct grow *g, const char *path, const char *what, struct error **err)
{
	if (errno != EPERM && errno != ENOTSUP && errno != EACCES && errno != EINVAL)
		return failed(g, path, what, err);
	g->ret->left_out++;
	log_warn("%s/%s: cannot %s: %s; left out", g->dir, path, what, strerror(errno));
	return 0;
}

/* /proc/self/fd/N/PATH: for calls that have no *at. */
static char *by_fd(const struct grow *g, const char *path)
{
	return xasprintf("/proc/self/fd/%d/%s", g->dirfd, path);
}

static int set_xattrs(struct grow *g, const struct tree_entry *e, struct error **err)
{
	_cleanup_free_ char *path = by_fd(g, e->path);

	for (const char *p = e->xattrs, *end = p + e->h.xattr_len; p < end;) {
		_cleanup_free_ char *name = NULL;
		uint32_t len[2];

		memcpy(len, p, sizeof(len));
		name = xstrndup(p + sizeof(len), len[0]);
		if (lsetxattr(path, name, p + sizeof(len) + len[0], len[1], 0) < 0 &&
			left_out(g, e->path, "set an extended attribute", err) < 0)
			return -1;
		p += sizeof(len) + len[0] + len[1];
	}
	return 0;
}

/* Owner before mode: changing the owner takes set-user-id away. Attributes after the owner, which takes capabilities away. */
static int set_meta(struct grow *g, const struct tree_entry *e, struct error **err)
{
	struct timespec t[2] = { { .tv_nsec = UTIME_OMIT }, { e->h.mtime, e->h.nsec } };

	if (geteuid() == 0 && fchownat(g->dirfd, e->path, e->h.uid, e->h.gid, AT_SYMLINK_NOFOLLOW) < 0 &&
		left_out(g, e->path, "set the owner", err) < 0)
		return -1;
	if (!S_ISLNK(e->h.mode) && fchmodat(g->dirfd, e->path, e->h.mode & 07777, 0) < 0)
		return failed(g, e->path, "set the mode", err);
	if (set_xattrs(g, e, err) < 0)
		return -1;
	return utimensat(g->dirfd, e->path, t, AT_SYMLINK_NOFOLLOW) < 0 ? failed(g, e->path, "set the time", err) : 0;
}

static int end_file(struct grow *g, struct error **err)
{
	if (g->fd < 0)
		return 0;
	if (ftruncate(g->fd, (off_t)g->e->h.bytes) < 0)
		return failed(g, g->e->path, "set the size", err);
	cleanup_close(&g->fd);
	g->fd = -1;
	g->ret->files++;
	g->ret->bytes += g->e->h.bytes;
	return set_meta(g, g->e, err);
}

/* Makes folders and files up to the one that has byte off of the content; with UINT64_MAX all of them. */
static int go_to(struct grow *g, uint64_t off, struct error **err)
{
	while (g->fd < 0 || off >= g->e->h.at + g->e->h.bytes) {
		int rc;

		if (end_file(g, err) < 0)
			return -1;
		rc = tree_next(g->entries.data, g->entries.len, &g->pos, g->e, err);
		if (rc < 0)
			return -1;
		if (rc == 0)
			return off == UINT64_MAX ? 0 : error_set(err, ERR_FAILED, "no file has byte %" PRIu64, off);
		if (S_ISDIR(g->e->h.mode)) {
			if (strcmp(g->e->path, ".") && mkdirat(g->dirfd, g->e->path, 0700) < 0)
				return failed(g, g->e->path, "make the folder", err);
			continue;
		}
		if (!S_ISREG(g->e->h.mode) || g->e->h.hard)
			continue;
		g->fd = openat(g->dirfd, g->e->path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (g->fd < 0)
			return failed(g, g->e->path, "make the file", err);
	}
	return 0;
}

static int write_content(void *arg, const void *p, size_t n, uint64_t off, struct error **err)
{
	struct grow *g = arg;
	const char *from = p;

	while (n) {
		uint64_t left;
		size_t k;

		if (go_to(g, off, err) < 0)
			return -1;
		if (off < g->e->h.at)
			return error_set(err, ERR_FAILED, "no file has byte %" PRIu64, off);
		left = g->e->h.at + g->e->h.bytes - off;
		k = n < left ? n : (size_t)left;
		if (lseek(g->fd, (off_t)(off - g->e->h.at), SEEK_SET) < 0)
			return failed(g, g->e->path, "go to its place", err);
		if (file_write_all(g->fd, from, k, g->e->path, err) < 0)
			return -1;
		from += k;
		n -= k;
		off += k;
	}
	return 0;
}

static int make_other(struct grow *g, const struct tree_entry *e, struct error **err)
{
	dev_t dev = makedev(e->h.major, e->h.minor);

	if (e->h.hard)
		return linkat(g->dirfd, e->link, g->dirfd, e->path, 0) < 0 ? failed(g, e->path, "make another name of a file", err) : 0;
	if (S_ISLNK(e->h.mode)) {
		if (symlinkat(e->link, g->dirfd, e->path) < 0)
			return failed(g, e->path, "make the link", err);
	} else if (mknodat(g->dirfd, e->path, (e->h.mode & S_IFMT) | 0600, dev) < 0) {
		return left_out(g, e->path, "make the device", err);
	}
	g->ret->files++;
	return set_meta(g, e, err);
}

/* Asked while there is no symbolic link yet: the folder that a link goes into is one, and nothing can be put in its place. */
static int check_parent(struct grow *g, const struct tree_entry *e, struct error **err)
{
	const char *slash = strrchr(e->path, '/');
	_cleanup_free_ char *parent = slash ? xstrndup(e->path, (size_t)(slash - e->path)) : NULL;
	struct stat st;

	if (parent && (fstatat(g->dirfd, parent, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode)))
		return error_set(err, ERR_FAILED, "%s: the list of files has no folder for it", e->path);
	return 0;
}

/* Other names and devices in the order of the list, then symbolic links, then folders from the last to the first. */
static int finish(struct grow *g, struct error **err)
{
	_cleanup_free_ size_t *dirs = NULL;
	size_t n = 0, pos = 0, before = 0;
	int rc;

	for (int links = 0; links < 2; links++)
		for (pos = before = 0; (rc = tree_next(g->entries.data, g->entries.len, &pos, g->e, err)) == 1; before = pos) {
			if (S_ISLNK(g->e->h.mode)) {
				if ((links ? make_other(g, g->e, err) : check_parent(g, g->e, err)) < 0)
					return -1;
			} else if (S_ISDIR(g->e->h.mode) && !links) {
				if ((n & (n - 1)) == 0)
					dirs = xreallocarray(dirs, n ? n * 2 : 1, sizeof(*dirs));
				dirs[n++] = before;
			} else if (!links && (g->e->h.hard || !(S_ISREG(g->e->h.mode) || S_ISDIR(g->e->h.mode))) &&
				make_other(g, g->e, err) < 0) {
				return -1;
			}
		}
	while (rc == 0 && n--) {
		pos = dirs[n];
		if (tree_next(g->entries.data, g->entries.len, &pos, g->e, err) != 1 || set_meta(g, g->e, err) < 0)
			return -1;
		g->ret->files++;
	}
	return rc;
}

static int grow_all(struct grow *g, struct store *s, const char *name, const struct store_get_opts *o, struct error **err)
{
	_cleanup_free_ char *content = xasprintf("%s/content", name);
	struct store_sink sink = { .write = write_content, .arg = g };

	if (tree_entries(s, name, &g->entries, err) < 0)
		return -1;
	if (store_get_range(s, content, 0, UINT64_MAX, &sink, o, err) < 0)
		return -1;
	return go_to(g, UINT64_MAX, err) < 0 ? -1 : finish(g, err);
}

int store_get_tree(struct store *s, const char *name, const char *dir, const struct store_get_opts *o,
	struct store_tree_result *ret, struct error **err)
{
	struct grow g = { .dir = dir, .fd = -1, .dirfd = -1, .ret = ret };
	struct error *ignored = NULL;
	int rc = -1;

	*ret = (struct store_tree_result){ 0 };
	if (o->update)
		return error_set(err, ERR_USAGE, "get %s: a folder is made anew, it cannot be updated", name);
	if (mkdir(dir, 0700) < 0) {
		error_errno(err, errno, "%s", dir);
		return (*err)->code == EEXIST ? error_hint(err, "another path: a folder is made anew") : -1;
	}
	g.dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	g.e = xcalloc(1, sizeof(*g.e));
	if (g.dirfd < 0)
		error_errno(err, errno, "%s", dir);
	else
		rc = grow_all(&g, s, name, o, err);
	if (rc == 0 && o->sync)
		rc = syncfs(g.dirfd) < 0 ? error_errno(err, errno, "%s: cannot bring to disk", dir) : 0;
	cleanup_close(&g.fd);
	cleanup_close(&g.dirfd);
	free(g.e);
	buf_free(&g.entries);
	if (rc < 0) {
		file_remove_tree(dir, &ignored);
		error_clear(&ignored);
		return error_wrap(err, "get %s", name);
	}
	return 0;
}
