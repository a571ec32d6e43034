/* SPDX-License-Identifier: Apache-2.0 */
#include "tree.h"
#include "proto.h"
#include "treeattr.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <search.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEPTH_MAX 256

/* One directory on the way down: its names, sorted so that the same tree gives the same stream. */
struct level {
	int fd;
	char **names;
	size_t n, next;
	size_t path_len; /* of the directory itself in t->path */
};
struct seen {
	dev_t dev;
	ino_t ino;
	char path[];
};
struct tree_out {
	bool dirs, attrs, root_done, ended;
	char *root; /* as named by the caller, for messages */
	char path[TREE_PATH_MAX + 1];
	struct level *levels;
	size_t depth;
	bool (*want)(void *arg, const char *path, const struct stat *st);
	void *want_arg;
	void *seen; /* tsearch: files with more than one name */
	/* the file that is being sent */
	int fd;
	uint64_t size, pos, extent_end;
	bool in_data;
	/* attributes of the entry whose header follows, as they go out */
	uint8_t *ahead;
	size_t ahead_len, ahead_pos;
	/* header bytes that did not go out yet */
	uint8_t head[TREE_ENTRY + 2 * (TREE_PATH_MAX + 1)];
	size_t head_len, head_pos;
};

int tree_fail(struct tree_error *e, int code, const char *fmt, ...)
{
	va_list ap;
	size_t n;

	e->code = code;
	va_start(ap, fmt);
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	n = strlen(e->text);
	snprintf(e->text + n, sizeof(e->text) - n, ": %s", strerror(code));
	return -1;
}

const char *tree_base_name(const char *path, char buf[256])
{
	size_t end = strlen(path), start;

	while (end > 0 && path[end - 1] == '/')
		end--;
	start = end;
	while (start > 0 && path[start - 1] != '/')
		start--;
	if (end - start == 0 || end - start > 255)
		return NULL;
	memcpy(buf, path + start, end - start);
	buf[end - start] = '\0';
	return strcmp(buf, ".") == 0 || strcmp(buf, "..") == 0 ? NULL : buf;
}

static int out_fail(struct tree_out *t, struct tree_error *e, int code, const char *what)
{
	return tree_fail(e, code, "%s%s%s: %s", t->root, t->path[0] ? "/" : "", t->path, what);
}

static int seen_cmp(const void *a, const void *b)
{
	const struct seen *x = a, *y = b;

	if (x->dev != y->dev)
		return x->dev < y->dev ? -1 : 1;
	return x->ino < y->ino ? -1 : x->ino > y->ino;
}

/* The path under which this file was sent before, or NULL and it is remembered. */
static int seen_before(
	struct tree_out *t, const struct stat *st, const char **ret, struct tree_error *e)
{
	size_t n = strlen(t->path) + 1;
	struct seen *s = malloc(sizeof(*s) + n), **at;

	*ret = NULL;
	if (!s)
		return out_fail(t, e, ENOMEM, "remember hard link");
	s->dev = st->st_dev;
	s->ino = st->st_ino;
	memcpy(s->path, t->path, n);
	at = tsearch(s, &t->seen, seen_cmp);
	if (!at) {
		free(s);
		return out_fail(t, e, ENOMEM, "remember hard link");
	}
	if (*at != s) {
		free(s);
		*ret = (*at)->path;
	}
	return 0;
}

static void head_entry(
	struct tree_out *t, char type, const struct stat *st, const char *target, size_t target_len)
{
	uint8_t *p = t->head;
	size_t n = type == 'e' ? 0 : strlen(t->path);

	memset(p, 0, TREE_ENTRY);
	p[0] = (uint8_t)type;
	frame_put16(p + 2, (uint16_t)n);
	frame_put32(p + 28, (uint32_t)target_len);
	if (st) {
		frame_put32(p + 4, st->st_mode & 07777);
		frame_put32(p + 8, st->st_uid);
		frame_put32(p + 12, st->st_gid);
		frame_put64(p + 16, (uint64_t)st->st_mtim.tv_sec);
		frame_put32(p + 24, (uint32_t)st->st_mtim.tv_nsec);
		frame_put64(p + 32, type == 'f' ? (uint64_t)st->st_size : 0);
	}
	memcpy(p + TREE_ENTRY, t->path, n);
	if (target_len)
		memcpy(p + TREE_ENTRY + n, target, target_len);
	t->head_pos = 0;
	t->head_len = TREE_ENTRY + n + target_len;
}

static int name_cmp(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int read_names(struct tree_out *t, struct level *l, struct tree_error *e)
{
	int fd = openat(l->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *ent;
	size_t cap = 0;

	if (!d) {
		int code = errno;

		if (fd >= 0)
			close(fd);
		return out_fail(t, e, code, "read directory");
	}
	while (errno = 0, (ent = readdir(d))) {
		char **more = l->names;

		if (strcmp(ent->d_name, ".") == 0 || strcmp(ent->d_name, "..") == 0)
			continue;
		if (l->n == cap) {
			cap = cap ? 2 * cap : 16;
			more = realloc(l->names, cap * sizeof(*more));
		}
		if (more)
			l->names = more;
		if (!more || !(l->names[l->n] = strdup(ent->d_name))) {
			closedir(d);
			return out_fail(t, e, ENOMEM, "read directory");
		}
		l->n++;
	}
	if (errno) {
		int code = errno;

		closedir(d);
		return out_fail(t, e, code, "read directory");
	}
	closedir(d);
	if (l->n)
		qsort(l->names, l->n, sizeof(*l->names), name_cmp);
	return 0;
}

static void level_pop(struct tree_out *t)
{
	struct level *l = &t->levels[--t->depth];

	for (size_t i = 0; i < l->n; i++)
		free(l->names[i]);
	free(l->names);
	close(l->fd);
}

/* Attributes of what is about to be sent. */
static int head_attrs(struct tree_out *t, int fd, struct tree_error *e)
{
	struct tree_attrs a = { 0 };
	size_t need = 0, at = 0;
	int rc = t->attrs ? tree_attrs_read(fd, &a) : 0;

	for (size_t i = 0; i < a.n; i++)
		need += TREE_ENTRY + strlen(a.v[i].name) + a.v[i].len;
	t->ahead = need && rc == 0 ? malloc(need) : NULL;
	if (need && !t->ahead)
		rc = -1;
	for (size_t i = 0; rc == 0 && i < a.n; i++) {
		size_t n = strlen(a.v[i].name);
		uint8_t *p = t->ahead + at;

		memset(p, 0, TREE_ENTRY);
		p[0] = 'x';
		frame_put32(p + 28, (uint32_t)n);
		frame_put64(p + 32, a.v[i].len);
		memcpy(p + TREE_ENTRY, a.v[i].name, n);
		memcpy(p + TREE_ENTRY + n, a.v[i].value, a.v[i].len);
		at += TREE_ENTRY + n + a.v[i].len;
	}
	t->ahead_len = at;
	t->ahead_pos = 0;
	tree_attrs_clear(&a);
	return rc < 0 ? out_fail(t, e, ENOMEM, "extended attributes") : 0;
}

static int enter_dir(struct tree_out *t, int dirfd, const char *name, struct tree_error *e)
{
	struct level *l, *more;

	if (t->depth == DEPTH_MAX)
		return out_fail(t, e, ENAMETOOLONG, "directories too deep");
	more = realloc(t->levels, (t->depth + 1) * sizeof(*more));
	if (!more)
		return out_fail(t, e, ENOMEM, "enter directory");
	t->levels = more;
	l = &t->levels[t->depth];
	memset(l, 0, sizeof(*l));
	l->fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (l->fd < 0)
		return out_fail(t, e, errno, "open directory");
	l->path_len = strlen(t->path);
	t->depth++;
	return read_names(t, l, e);
}

static int begin_file(
	struct tree_out *t, int dirfd, const char *name, struct stat *st, struct tree_error *e)
{
	/* O_NONBLOCK: should it have become a fifo meanwhile, open must not wait for a writer. */
	t->fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (t->fd < 0 || fstat(t->fd, st) < 0)
		return out_fail(t, e, errno, "open");
	if (!S_ISREG(st->st_mode))
		return out_fail(t, e, ESTALE, "changed while it was copied");
	t->size = (uint64_t)st->st_size;
	t->pos = t->extent_end = 0;
	t->in_data = false;
	return 0;
}

/* Makes the header of this entry; opens a file, enters a directory. 1: made; 0: left out. */
static int emit(struct tree_out *t, int dirfd, const char *name, struct tree_error *e)
{
	char target[TREE_PATH_MAX + 1];
	const char *before = NULL;
	struct stat st;
	ssize_t n;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return out_fail(t, e, errno, "stat");
	if (S_ISSOCK(st.st_mode))
		return 0;
	if (!S_ISDIR(st.st_mode) && st.st_nlink > 1 && seen_before(t, &st, &before, e) < 0)
		return -1;
	if (before) {
		head_entry(t, 'h', &st, before, strlen(before));
		return 1;
	}
	switch (st.st_mode & S_IFMT) {
	case S_IFREG:
		if (t->want && st.st_nlink == 1 && !t->want(t->want_arg, t->path, &st))
			return 0;
		if (begin_file(t, dirfd, name, &st, e) < 0 || head_attrs(t, t->fd, e) < 0)
			return -1;
		head_entry(t, 'f', &st, NULL, 0);
		return 1;
	case S_IFDIR:
		if (!t->dirs)
			return out_fail(t, e, EISDIR, "not copied");
		if (enter_dir(t, dirfd, name, e) < 0 || head_attrs(t, t->levels[t->depth - 1].fd, e) < 0)
			return -1;
		head_entry(t, 'd', &st, NULL, 0);
		return 1;
	case S_IFLNK:
		n = readlinkat(dirfd, name, target, sizeof(target));
		if (n < 0 || n == sizeof(target))
			return out_fail(t, e, n < 0 ? errno : ENAMETOOLONG, "read link");
		head_entry(t, 'l', &st, target, (size_t)n);
		return 1;
	case S_IFIFO:
		head_entry(t, 'p', &st, NULL, 0);
		return 1;
	default:
		return out_fail(t, e, EOPNOTSUPP, "is a device");
	}
}

/* Goes on to the next entry; its header is in t->head then. */
static int advance(struct tree_out *t, struct tree_error *e)
{
	int r = 0;

	while (r == 0) {
		struct level *l;
		const char *name;
		size_t len;

		if (!t->root_done) {
			t->root_done = true;
			r = emit(t, AT_FDCWD, t->root, e);
			if (r == 0)
				return out_fail(t, e, EOPNOTSUPP, "is a socket");
			return r;
		}
		while (t->depth && t->levels[t->depth - 1].next == t->levels[t->depth - 1].n)
			level_pop(t);
		if (!t->depth) {
			t->ended = true;
			head_entry(t, 'e', NULL, NULL, 0);
			return 1;
		}
		l = &t->levels[t->depth - 1];
		name = l->names[l->next++];
		len = l->path_len;
		if (len + 1 + strlen(name) > TREE_PATH_MAX)
			return out_fail(t, e, ENAMETOOLONG, name);
		if (len)
			t->path[len++] = '/';
		strcpy(t->path + len, name);
		r = emit(t, l->fd, name, e);
	}
	return r;
}

/* Header of the extent at t->pos. Where SEEK_HOLE isn't known all is data. */
static int begin_extent(struct tree_out *t, struct tree_error *e)
{
	off_t data = lseek(t->fd, (off_t)t->pos, SEEK_DATA), hole;
	uint64_t end = t->size;

	if (data < 0 && errno != ENXIO && errno != EINVAL)
		return out_fail(t, e, errno, "seek");
	if (data < 0)
		data = errno == ENXIO ? (off_t)t->size : (off_t)t->pos;
	t->in_data = (uint64_t)data == t->pos;
	if (t->in_data) {
		hole = lseek(t->fd, (off_t)t->pos, SEEK_HOLE);
		if (hole > (off_t)t->pos && (uint64_t)hole < end)
			end = (uint64_t)hole;
		if (lseek(t->fd, (off_t)t->pos, SEEK_SET) < 0)
			return out_fail(t, e, errno, "seek");
	} else if ((uint64_t)data < end) {
		end = (uint64_t)data;
	}
	t->head[0] = t->in_data ? 'D' : 'H';
	frame_put64(t->head + 1, end - t->pos);
	t->head_pos = 0;
	t->head_len = TREE_EXTENT;
	t->extent_end = end;
	if (!t->in_data)
		t->pos = end;
	return 0;
}

static int next_header(struct tree_out *t, struct tree_error *e)
{
	if (t->fd >= 0 && t->pos < t->size)
		return begin_extent(t, e);
	if (t->fd >= 0)
		close(t->fd);
	t->fd = -1;
	return advance(t, e) < 0 ? -1 : 0;
}

struct tree_out *tree_out_open(const char *path, bool dirs, bool attrs, struct tree_error *e)
{
	struct tree_out *t = calloc(1, sizeof(*t));
	size_t n;

	if (!t || !(t->root = strdup(path))) {
		free(t);
		tree_fail(e, ENOMEM, "%s", path);
		return NULL;
	}
	/* "link/" would follow the link; a path that ends in a slash names the directory all the same. */
	for (n = strlen(t->root); n > 1 && t->root[n - 1] == '/'; n--)
		t->root[n - 1] = '\0';
	t->dirs = dirs;
	t->attrs = attrs;
	t->fd = -1;
	if (advance(t, e) < 0) {
		tree_out_free(t);
		return NULL;
	}
	return t;
}

void tree_out_filter(struct tree_out *t, bool (*want)(void *arg, const char *path, const struct stat *st), void *arg)
{
	t->want = want;
	t->want_arg = arg;
}

ssize_t tree_out_read(struct tree_out *t, uint8_t *buf, size_t n, struct tree_error *e)
{
	size_t got = 0;

	while (got < n) {
		size_t left;
		ssize_t r;

		if (t->ahead_pos < t->ahead_len) {
			left = t->ahead_len - t->ahead_pos < n - got ? t->ahead_len - t->ahead_pos : n - got;
			memcpy(buf + got, t->ahead + t->ahead_pos, left);
			t->ahead_pos += left;
			got += left;
			if (t->ahead_pos == t->ahead_len) {
				free(t->ahead);
				t->ahead = NULL;
			}
			continue;
		}
		if (t->head_pos < t->head_len) {
			left = t->head_len - t->head_pos;
			if (left > n - got)
				left = n - got;
			memcpy(buf + got, t->head + t->head_pos, left);
			t->head_pos += left;
			got += left;
			continue;
		}
		if (t->in_data && t->pos < t->extent_end) {
			uint64_t rest = t->extent_end - t->pos;

			/* Long extents start a frame of their own: whole pages on both sides. */
			if (got && rest >= n)
				break;
			left = rest < n - got ? (size_t)rest : n - got;
			r = read(t->fd, buf + got, left);
			if (r < 0 && errno == EINTR)
				continue;
			if (r <= 0)
				return out_fail(t, e, r < 0 ? errno : ESTALE,
					r < 0 ? "read" : "became shorter while it was copied");
			t->pos += (uint64_t)r;
			got += (size_t)r;
			continue;
		}
		if (t->ended)
			break;
		if (next_header(t, e) < 0)
			return -1;
	}
	return (ssize_t)got;
}

void tree_out_free(struct tree_out *t)
{
	if (!t)
		return;
	while (t->depth)
		level_pop(t);
	free(t->levels);
	if (t->fd >= 0)
		close(t->fd);
	tdestroy(t->seen, free);
	free(t->ahead);
	free(t->root);
	free(t);
}
