/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's part of a sync (src/guest/agent_sync.c). `--sync-list DIR` tells what is there, so that the host sends only what
 * differs, into a folder beside it; `--sync-apply STAGE DIR` makes of both the new folder and exchanges it with the old one in one
 * step, so that nobody ever sees half of it.
 *
 * What stays is hard-linked from the old folder: a program that has a file open goes on with the same file. What appeared in the
 * old folder while the new one was made is linked over after the exchange. Where folders cannot be exchanged (a mount point, a
 * folder of the overlay's lower layer), or a process stands in the folder, files are renamed one by one.
 */
#include "guest.h"
#include "guest/treeattr.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEEP_MAX (64u << 20)

struct sync {
	bool delete;
	void *keep; /* tsearch: paths that stay, with --delete */
	char *text;
	char path[4096];
};

static int said(const char *what, const char *path)
{
	fprintf(stderr, "%s: %s: %s\n", path, what, strerror(errno));
	return -1;
}

/* ---- list ---- */

static int list_below(int parent, char *path, size_t len);

static int list_one(int parent, const char *name, char *path, size_t len)
{
	char target[4096] = "";
	struct stat st;
	ssize_t n;
	char type;

	if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : said("stat", path);
	type = S_ISREG(st.st_mode) ? 'f' : S_ISDIR(st.st_mode) ? 'd' : S_ISLNK(st.st_mode) ? 'l' : '?';
	if (type == 'l') {
		n = readlinkat(parent, name, target, sizeof(target) - 1);
		target[n > 0 ? n : 0] = '\0';
	}
	printf("%c %o %u %u %llu %lld.%09ld %lld.%09ld %llu ", type, st.st_mode & 07777u, st.st_uid, st.st_gid,
		type == 'f' ? (unsigned long long)st.st_size : 0, (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec,
		(long long)st.st_ctim.tv_sec, st.st_ctim.tv_nsec, (unsigned long long)st.st_ino);
	fputs(path, stdout);
	putchar('\0');
	fputs(target, stdout);
	putchar('\0');
	return type == 'd' ? list_below(parent, path, len) : 0;
}

/* The folder `path` (its last part in dirfd), without itself. */
static int list_below(int parent, char *path, size_t len)
{
	const char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	int fd = openat(parent, *base ? base : ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), r = 0;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!d) {
		if (fd >= 0)
			close(fd);
		return said("open", path);
	}
	while (r == 0 && (e = readdir(d))) {
		size_t n = strlen(e->d_name), at = len;

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (len + n + 2 > 4096) {
			errno = ENAMETOOLONG;
			r = said("list", path);
			break;
		}
		if (at)
			path[at++] = '/';
		memcpy(path + at, e->d_name, n + 1);
		r = list_one(dirfd(d), e->d_name, path, at + n);
		path[len] = '\0';
	}
	closedir(d);
	return r;
}

static int make_parents(const char *path)
{
	char part[4096];

	for (const char *p = strchr(path + 1, '/'); p; p = strchr(p + 1, '/')) {
		snprintf(part, sizeof(part), "%.*s", (int)(p - path), path);
		if (mkdir(part, 0755) < 0 && errno != EEXIST)
			return said("mkdir", part);
	}
	return 0;
}

/* ---- removing ---- */

static int remove_below(int parent, const char *name)
{
	int fd, r = 0;
	struct dirent *e;
	DIR *d;

	if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -1;
	fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	d = fd < 0 ? NULL : fdopendir(fd);
	if (!d)
		return -1;
	while ((e = readdir(d)))
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..") && remove_below(fd, e->d_name) < 0)
			r = -1;
	closedir(d);
	return r < 0 ? -1 : unlinkat(parent, name, AT_REMOVEDIR);
}

/* 0 done; 3: it is not there. The folder that the next step sends to is empty then, and its parent is there. */
static int list_main(const char *dir, const char *stage)
{
	char path[4096] = "";
	struct stat st;
	int r;

	if (stage && (make_parents(dir) < 0 || remove_below(AT_FDCWD, stage) < 0))
		return 1;
	if (lstat(dir, &st) < 0)
		return errno == ENOENT ? 3 : said("stat", dir) != 0;
	if (!S_ISDIR(st.st_mode)) {
		r = list_one(AT_FDCWD, dir, path, 0);
	} else {
		int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (fd < 0)
			return said("open", dir) != 0;
		r = list_one(fd, ".", path, 0);
		close(fd);
	}
	return r < 0 || fflush(stdout) != 0;
}

/* ---- apply ---- */

static int name_cmp(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* NUL-separated paths from stdin. */
static int read_keep(struct sync *s)
{
	size_t len = 0, cap = 0;
	ssize_t n = 0;

	do {
		if (len + 65536 > cap) {
			char *more = realloc(s->text, cap = cap ? 2 * cap : 1 << 20);

			if (!more || cap > KEEP_MAX)
				return -1;
			s->text = more;
		}
		n = read(0, s->text + len, cap - len - 1);
		len += n > 0 ? (size_t)n : 0;
	} while (n > 0 || (n < 0 && errno == EINTR));
	s->text[len] = '\0';
	for (char *p = s->text; n == 0 && p < s->text + len; p += strlen(p) + 1)
		if (!tsearch(p, &s->keep, name_cmp))
			return -1;
	return n < 0 ? -1 : 0;
}

/* A path stays when it is named, or lies below one that is named with a slash at its end. */
static bool kept(const struct sync *s)
{
	char above[sizeof(s->path) + 2] = "";
	size_t n = strlen(s->path);

	if (!s->delete || tfind(s->path, &s->keep, name_cmp))
		return true;
	memcpy(above, s->path, n);
	above[n++] = '/';
	for (size_t i = 0; i < n; i++) {
		char after = above[i + 1];

		if (above[i] != '/')
			continue;
		above[i + 1] = '\0';
		if (tfind(above, &s->keep, name_cmp))
			return true;
		above[i + 1] = after;
	}
	return false;
}

/* The new folder gets an old one's owner, mode and attributes. */
static int copy_folder(int from, int to, const char *name, const struct stat *st)
{
	struct tree_attrs attrs = { 0 };
	int fd, old, r;

	if (mkdirat(to, name, 0700) < 0)
		return -1;
	fd = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fchown(fd, st->st_uid, st->st_gid) < 0 || fchmod(fd, st->st_mode & 07777) < 0)
		return -1;
	old = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	r = old < 0 || tree_attrs_read(old, &attrs) < 0 ? -1 : tree_attrs_write(fd, &attrs, false);
	tree_attrs_clear(&attrs);
	if (old >= 0)
		close(old);
	close(fd);
	return r;
}

static int link_below(struct sync *s, int from, int to);

static int link_one(struct sync *s, int from, int to, const char *name, dev_t dev)
{
	struct timespec times[2];
	struct stat st, there;
	bool exists;
	int a, b, r;

	if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -1;
	exists = fstatat(to, name, &there, AT_SYMLINK_NOFOLLOW) == 0;
	if (!S_ISDIR(st.st_mode))
		return exists || !kept(s) ? 0 : linkat(from, name, to, name, 0) == 0 || errno == EEXIST ? 0 : -1;
	if (st.st_dev != dev) {
		errno = EXDEV;
		return -1;
	}
	if (exists && !S_ISDIR(there.st_mode))
		return 0;
	if (!exists && (!kept(s) || copy_folder(from, to, name, &st) < 0))
		return kept(s) ? -1 : 0;
	a = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	b = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	r = a < 0 || b < 0 ? -1 : link_below(s, a, b);
	times[0] = (exists ? there : st).st_atim;
	times[1] = (exists ? there : st).st_mtim;
	if (r == 0)
		futimens(b, times);
	if (a >= 0)
		close(a);
	if (b >= 0)
		close(b);
	return r;
}

/* Links what `from` has and `to` has not; both stay open. */
static int link_below(struct sync *s, int from, int to)
{
	int fd = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	size_t len = strlen(s->path);
	struct dirent *e;
	struct stat st;

	if (!d || fstat(from, &st) < 0)
		return -1;
	while (r == 0 && (e = readdir(d))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if ((size_t)snprintf(s->path + len, sizeof(s->path) - len, "%s%s", len ? "/" : "", e->d_name) >=
			sizeof(s->path) - len) {
			errno = ENAMETOOLONG;
			r = -1;
		} else {
			r = link_one(s, from, to, e->d_name, st.st_dev);
		}
		s->path[len] = '\0';
	}
	closedir(d);
	return r;
}

/* In place: what came replaces, name by name; with --delete the rest goes. */
static int merge_below(struct sync *s, int from, int to);

static int merge_one(struct sync *s, int from, int to, const char *name)
{
	struct stat st, there;
	int a, b, r;

	if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -1;
	if (!S_ISDIR(st.st_mode)) {
		if (fstatat(to, name, &there, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(there.st_mode) && remove_below(to, name) < 0)
			return -1;
		return renameat(from, name, to, name);
	}
	if (fstatat(to, name, &there, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISDIR(there.st_mode) && unlinkat(to, name, 0) < 0)
		return -1;
	if (copy_folder(from, to, name, &st) < 0 && errno != EEXIST)
		return -1;
	a = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	b = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	r = a < 0 || b < 0 ? -1 : merge_below(s, a, b);
	if (r == 0 && (fchown(b, st.st_uid, st.st_gid) < 0 || fchmod(b, st.st_mode & 07777) < 0))
		r = -1;
	if (a >= 0)
		close(a);
	if (b >= 0)
		close(b);
	return r;
}

static int each(struct sync *s, int dir, int other, int (*fn)(struct sync *, int, int, const char *))
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	size_t len = strlen(s->path);
	struct dirent *e;

	if (!d)
		return -1;
	while (r == 0 && (e = readdir(d))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if ((size_t)snprintf(s->path + len, sizeof(s->path) - len, "%s%s", len ? "/" : "", e->d_name) >=
			sizeof(s->path) - len)
			r = -1;
		else
			r = fn(s, dir, other, e->d_name);
		s->path[len] = '\0';
	}
	closedir(d);
	return r;
}

/* from: -1 where nothing came. */
static int drop_one(struct sync *s, int to, int from, const char *name)
{
	struct stat st;
	int fd, r;

	/* Folders of what came are looked at on the way down. */
	if (from >= 0 && fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	if (!kept(s))
		return remove_below(to, name);
	fd = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return 0;
	r = each(s, fd, -1, drop_one);
	close(fd);
	return r;
}

static int merge_below(struct sync *s, int from, int to)
{
	if (s->delete && each(s, to, from, drop_one) < 0)
		return -1;
	return each(s, from, to, merge_one);
}

/* Whether a link of /proc leads into the folder. */
static bool leads_into(const char *link, const char *dir)
{
	char to[4096];
	ssize_t n = readlink(link, to, sizeof(to) - 1);
	size_t len = strlen(dir);
	struct stat st;

	if (n <= 0)
		return false;
	to[n] = '\0';
	return strncmp(to, dir, len) == 0 && (to[len] == '/' || !to[len]) && stat(link, &st) == 0 && S_ISDIR(st.st_mode);
}

/* A process that stands in the folder, or has it open, would be left behind in the old one. */
static bool somebody_inside(const char *dir)
{
	static const char *const patterns[] = { "/proc/[0-9]*/cwd", "/proc/[0-9]*/root", "/proc/[0-9]*/fd/*" };
	char self[32], real[4096];
	bool inside = false;

	if (!realpath(dir, real))
		return false;
	snprintf(self, sizeof(self), "/proc/%d/", (int)getpid());
	for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
		glob_t found = { 0 };

		if (glob(patterns[i], GLOB_NOSORT, NULL, &found) == 0)
			for (size_t k = 0; k < found.gl_pathc && !inside; k++)
				inside = strncmp(found.gl_pathv[k], self, strlen(self)) != 0 && leads_into(found.gl_pathv[k], real);
		globfree(&found);
	}
	return inside;
}

static int exchange(struct sync *s, const char *stage, const char *dir, int from, int to)
{
	if (link_below(s, to, from) < 0 || renameat2(AT_FDCWD, stage, AT_FDCWD, dir, RENAME_EXCHANGE) < 0)
		return -1;
	/* `to` is the old one still, under the other name. */
	s->path[0] = '\0';
	return link_below(s, to, from);
}

static bool is_there(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

/*
 * What was there before is kept under the name `old` until somebody says that all is well; one that is kept already is from before an
 * attempt that did not end, and stays. Where nothing was, a link that leads nowhere says so.
 */
static int keep_old(const char *stage, const char *old)
{
	if (!old || is_there(old))
		return stage ? remove_below(AT_FDCWD, stage) : 0;
	return (stage ? rename(stage, old) : symlink("absent", old)) < 0 ? said("keep", old) : 0;
}

/* A single file, before it is replaced. */
static int keep_file(const char *file, const char *old)
{
	if (is_there(old))
		return 0;
	return (is_there(file) ? link(file, old) : symlink("absent", old)) < 0 ? said("keep", old) : 0;
}

/* What is there goes, and what was kept takes its place. 3: nothing was kept. */
static int back(const char *old, const char *path)
{
	struct stat st;

	if (lstat(old, &st) < 0)
		return errno == ENOENT ? 3 : said("stat", old);
	if (S_ISLNK(st.st_mode))
		return remove_below(AT_FDCWD, path) < 0 || unlink(old) < 0 ? said("remove", path) : 0;
	if (S_ISDIR(st.st_mode) && is_there(path)) {
		if (renameat2(AT_FDCWD, old, AT_FDCWD, path, RENAME_EXCHANGE) < 0)
			return said("exchange", path);
		return remove_below(AT_FDCWD, old) < 0 ? said("remove", old) : 0;
	}
	return rename(old, path) < 0 ? said("rename", old) : 0;
}

static int apply(struct sync *s, const char *stage, const char *dir, const char *old)
{
	bool exchanged = false;
	int from = open(stage, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), to, r;
	struct timespec times[2];
	struct stat st;

	if (from < 0 || fstat(from, &st) < 0)
		return said("open", stage);
	to = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (to < 0 && errno == ENOENT) {
		close(from);
		return (old && keep_old(NULL, old) < 0) || rename(stage, dir) < 0 ? said("rename", dir) : 0;
	}
	if (to < 0)
		return said("open", dir);
	times[0] = st.st_atim;
	times[1] = st.st_mtim;
	if (somebody_inside(dir)) {
		errno = EBUSY;
		r = -1;
	} else {
		r = exchange(s, stage, dir, from, to);
		exchanged = r == 0;
	}
	if (r < 0 && (errno == EXDEV || errno == EINVAL || errno == EBUSY || errno == EPERM || errno == ENOSYS || errno == EMLINK)) {
		/* What was linked into the stage for the exchange is the target's own: renaming it onto itself does nothing. */
		s->path[0] = '\0';
		r = merge_below(s, from, to);
	} else if (r == 0) {
		futimens(from, times);
	}
	if (r < 0)
		said("sync", dir);
	close(from);
	close(to);
	return (exchanged ? keep_old(stage, old) : remove_below(AT_FDCWD, stage)) < 0 ? -1 : r;
}

/* The paths lie in s.text. */
static void keep_nothing(void *path)
{
}

int sync_main(int argc, char **argv)
{
	struct sync s = { 0 };
	const char *old = NULL;
	int r;

	umask(0);
	if (strcmp(argv[1], "--sync-keep") == 0 && argc == 4)
		return keep_file(argv[2], argv[3]) < 0;
	if (strcmp(argv[1], "--sync-back") == 0 && argc == 4)
		return (r = back(argv[2], argv[3])) < 0 ? 1 : r;
	if (strcmp(argv[1], "--sync-list") == 0 && (argc == 3 || argc == 4))
		return list_main(argv[2], argc == 4 ? argv[3] : NULL);
	if (strcmp(argv[1], "--sync-apply") != 0 || argc < 4)
		return 2;
	for (int i = 4; i < argc; i++) {
		s.delete |= strcmp(argv[i], "--delete") == 0;
		if (strcmp(argv[i], "--old") == 0 && i + 1 < argc)
			old = argv[++i];
	}
	r = s.delete && read_keep(&s) < 0 ? said("read", "stdin") : apply(&s, argv[2], argv[3], old);
	tdestroy(s.keep, keep_nothing);
	free(s.text);
	return r < 0;
}
