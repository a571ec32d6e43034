/* SPDX-License-Identifier: Apache-2.0 */
#include "tree.h"
#include "proto.h"
#include "treeattr.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TEMP_NAME 32
#define DIRS_MAX (1u << 20)

struct meta {
	mode_t mode;
	struct timespec mtime;
	uid_t uid;
	gid_t gid;
};
/* A directory's mode and time are set last: both would be in the way of what goes into it. */
struct made_dir {
	char *path;
	struct meta m;
	struct tree_attrs attrs;
};
enum phase { IN_ENTRY, IN_NAMES, IN_ATTR, IN_EXTENT, IN_DATA, IN_END };
struct tree_in {
	struct tree_in_opts o;
	char *dst;    /* for messages */
	int base;     /* directory that holds the copy */
	char *name;   /* its name in there; NULL: base is the copy itself */
	int root;     /* the copied directory, once there is one; else -1 */
	bool started; /* the entry "" has come */
	/* parent directory of the last entry: most entries share it with the one before */
	int parent;
	char parent_path[TREE_PATH_MAX + 1];
	struct made_dir *dirs;
	size_t ndirs, dirs_cap;

	enum phase phase;
	uint8_t head[TREE_ENTRY];
	size_t have; /* of head, or of names */
	char type;
	struct meta m;
	struct tree_attrs attrs; /* of the entry that comes, or the file that is being written */
	uint8_t *value;		 /* of the attribute that comes */
	size_t path_len, target_len;
	char path[TREE_PATH_MAX + 1], target[TREE_PATH_MAX + 1];
	uint64_t size, pos, extent_end;
	/* the file that is being written */
	int fd, fd_dir;
	char temp[TEMP_NAME];
	uint64_t done, total;
};

static int in_fail(struct tree_in *t, struct tree_error *e, int code, const char *what)
{
	return tree_fail(e, code, "%s%s%s: %s", t->dst, t->path[0] ? "/" : "", t->path, what);
}

static bool name_valid(const char *s)
{
	return *s && strlen(s) <= 255 && !strchr(s, '/') && strcmp(s, ".") != 0 &&
	       strcmp(s, "..") != 0;
}

static bool path_valid(const char *p)
{
	while (*p) {
		size_t n = strcspn(p, "/");

		if (n == 0 || n > 255 || (n == 1 && p[0] == '.') ||
			(n == 2 && p[0] == '.' && p[1] == '.'))
			return false;
		p += n;
		if (*p == '/' && !*++p)
			return false;
	}
	return true;
}

/* dst is no directory: its parent is, and the last part is the new name. */
static int open_parent(struct tree_in *t, struct tree_error *e)
{
	char *slash = strrchr(t->dst, '/');
	char *dir;

	t->name = strdup(slash ? slash + 1 : t->dst);
	dir = !slash ? strdup(".") : slash == t->dst ? strdup("/") : strndup(t->dst, (size_t)(slash - t->dst));
	if (!t->name || !dir) {
		free(dir);
		return in_fail(t, e, ENOMEM, "open");
	}
	if (!name_valid(t->name)) {
		free(dir);
		return in_fail(t, e, ENOTDIR, "destination");
	}
	t->base = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (t->base < 0)
		tree_fail(e, errno, "directory %s", dir);
	free(dir);
	return t->base < 0 ? -1 : 0;
}

static int open_base(struct tree_in *t, struct tree_error *e)
{
	t->base = open(t->dst, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (t->base < 0 && errno != ENOENT && errno != ENOTDIR)
		return in_fail(t, e, errno, "open");
	if (t->base < 0)
		return open_parent(t, e);
	if (!t->o.into)
		return 0;
	if (!name_valid(t->o.into))
		return in_fail(t, e, EINVAL, "bad name");
	t->name = strdup(t->o.into);
	return t->name ? 0 : in_fail(t, e, ENOMEM, "open");
}

struct tree_in *tree_in_open(const char *dst, const struct tree_in_opts *o, struct tree_error *e)
{
	struct tree_in *t = calloc(1, sizeof(*t));

	if (!t || !(t->dst = strdup(dst))) {
		free(t);
		tree_fail(e, ENOMEM, "%s", dst);
		return NULL;
	}
	t->o = *o;
	t->base = t->root = t->parent = t->fd = t->fd_dir = -1;
	if (open_base(t, e) < 0) {
		tree_in_free(t);
		return NULL;
	}
	t->o.into = NULL; /* belongs to the caller, who may free it now */
	return t;
}

/* Directory below root, no link followed on the way. The fd is the caller's. */
static int walk(struct tree_in *t, const char *path, size_t len)
{
	int fd = fcntl(t->root, F_DUPFD_CLOEXEC, 3);
	char part[256];

	while (fd >= 0 && len > 0) {
		const char *slash = memchr(path, '/', len);
		size_t n = slash ? (size_t)(slash - path) : len;
		int next;

		memcpy(part, path, n);
		part[n] = '\0';
		next = openat(fd, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		close(fd);
		fd = next;
		path += n;
		len -= n;
		if (len) {
			path++;
			len--;
		}
	}
	return fd;
}

/* Where the entry `path` goes: the directory's fd (stays ours) and the name in it. */
static int locate(struct tree_in *t, const char *path, int *dir, const char **name, struct tree_error *e)
{
	const char *slash = strrchr(path, '/');
	size_t len = slash ? (size_t)(slash - path) : 0;

	if (!*path) {
		*dir = t->base;
		*name = t->name;
		if (!t->name)
			return in_fail(t, e, EISDIR, "is a directory");
		return 0;
	}
	if (t->root < 0)
		return in_fail(t, e, EPROTO, "entry below something that is no directory");
	*name = slash ? slash + 1 : path;
	if (t->parent < 0 || strlen(t->parent_path) != len ||
		memcmp(t->parent_path, path, len) != 0) {
		if (t->parent >= 0)
			close(t->parent);
		t->parent = walk(t, path, len);
		if (t->parent < 0)
			return in_fail(t, e, errno, "open directory");
		memcpy(t->parent_path, path, len);
		t->parent_path[len] = '\0';
	}
	*dir = t->parent;
	return 0;
}

static void temp_name(char out[TEMP_NAME])
{
	static unsigned counter;
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	snprintf(out, TEMP_NAME, ".croft-%x-%lx-%x", (unsigned)getpid(), (unsigned long)now.tv_nsec,
		counter++);
}

static int change_owner(const struct tree_in *t, const struct meta *m, int dir, const char *name, int flags)
{
	uid_t uid = t->o.ids ? m->uid : t->o.uid;
	gid_t gid = t->o.ids ? m->gid : t->o.gid;

	return uid == (uid_t)-1 && gid == (gid_t)-1 ? 0 : fchownat(dir, name, uid, gid, flags);
}

/* The last of all: a change of owner takes capabilities away, a change of mode is one of an access control list. */
static int set_attrs(struct tree_in *t, int fd, const struct tree_attrs *a, struct tree_error *e)
{
	return tree_attrs_write(fd, a, t->o.mask != 07777) < 0 ? in_fail(t, e, errno, "set extended attribute") : 0;
}

static int set_meta(struct tree_in *t, int dir, const char *name, struct tree_error *e)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, t->m.mtime };

	if (change_owner(t, &t->m, dir, name, AT_SYMLINK_NOFOLLOW) < 0)
		return in_fail(t, e, errno, "change owner");
	if (t->type == 'p' && fchmodat(dir, name, t->m.mode & t->o.mask, 0) < 0)
		return in_fail(t, e, errno, "change mode");
	if (utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return in_fail(t, e, errno, "set time");
	return 0;
}

/* Links and fifos: made under a temporary name and renamed, so that an old file is replaced. */
static int make_special(struct tree_in *t, struct tree_error *e)
{
	char temp[TEMP_NAME];
	const char *name;
	int dir, r, tries = 0;

	if (locate(t, t->path, &dir, &name, e) < 0)
		return -1;
	do {
		temp_name(temp);
		r = t->type == 'l' ? symlinkat(t->target, dir, temp) : mkfifoat(dir, temp, 0600);
	} while (r < 0 && errno == EEXIST && ++tries < 100);
	if (r < 0)
		return in_fail(t, e, errno, t->type == 'l' ? "make link" : "make fifo");
	if (set_meta(t, dir, temp, e) == 0) {
		if (renameat(dir, temp, dir, name) == 0)
			return 0;
		in_fail(t, e, errno, "rename");
	}
	unlinkat(dir, temp, 0);
	return -1;
}

static int make_hard_link(struct tree_in *t, struct tree_error *e)
{
	const char *slash = strrchr(t->target, '/'), *name;
	char temp[TEMP_NAME];
	int dir, from, r;

	if (!*t->target || locate(t, t->path, &dir, &name, e) < 0)
		return *t->target ? -1 : in_fail(t, e, EPROTO, "bad link");
	from = walk(t, t->target, slash ? (size_t)(slash - t->target) : 0);
	if (from < 0)
		return in_fail(t, e, errno, "link");
	temp_name(temp);
	r = linkat(from, slash ? slash + 1 : t->target, dir, temp, 0);
	if (r < 0)
		in_fail(t, e, errno, "link");
	close(from);
	if (r < 0)
		return -1;
	r = renameat(dir, temp, dir, name);
	if (r < 0)
		in_fail(t, e, errno, "rename");
	unlinkat(dir, temp, 0); /* rename does nothing when both are the same file already */
	return r;
}

static int remember_dir(struct tree_in *t, struct tree_error *e)
{
	struct made_dir *more = t->dirs;

	if (t->ndirs == DIRS_MAX)
		return in_fail(t, e, EMLINK, "too many directories");
	if (t->ndirs == t->dirs_cap) {
		t->dirs_cap = t->dirs_cap ? 2 * t->dirs_cap : 16;
		more = realloc(t->dirs, t->dirs_cap * sizeof(*more));
	}
	if (!more)
		return in_fail(t, e, ENOMEM, "make directory");
	t->dirs = more;
	t->dirs[t->ndirs].path = strdup(t->path);
	t->dirs[t->ndirs].m = t->m;
	t->dirs[t->ndirs].attrs = t->attrs;
	t->attrs = (struct tree_attrs){ 0 };
	if (!t->dirs[t->ndirs].path)
		return in_fail(t, e, ENOMEM, "make directory");
	t->ndirs++;
	return 0;
}

static int make_dir(struct tree_in *t, struct tree_error *e)
{
	const char *name;
	struct stat st;
	int dir;

	if (!t->o.dirs)
		return in_fail(t, e, EISDIR, "not copied");
	if (!*t->path && !t->name) {
		t->root = fcntl(t->base, F_DUPFD_CLOEXEC, 3);
		return t->root < 0 ? in_fail(t, e, errno, "open") : 0;
	}
	if (locate(t, t->path, &dir, &name, e) < 0)
		return -1;
	if (mkdirat(dir, name, 0700) < 0) {
		if (errno != EEXIST || fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return in_fail(t, e, errno, "make directory");
		if (!S_ISDIR(st.st_mode))
			return in_fail(t, e, ENOTDIR, "exists");
	}
	if (!*t->path) {
		t->root = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (t->root < 0)
			return in_fail(t, e, errno, "open");
	}
	return remember_dir(t, e);
}

static int begin_file(struct tree_in *t, struct tree_error *e)
{
	const char *name;
	int dir, tries = 0;

	if (locate(t, t->path, &dir, &name, e) < 0)
		return -1;
	do {
		temp_name(t->temp);
		t->fd = openat(dir, t->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	} while (t->fd < 0 && errno == EEXIST && ++tries < 100);
	if (t->fd < 0)
		return in_fail(t, e, errno, "create");
	t->fd_dir = fcntl(dir, F_DUPFD_CLOEXEC, 3);
	if (t->fd_dir < 0) {
		int code = errno;

		unlinkat(dir, t->temp, 0);
		return in_fail(t, e, code, "create");
	}
	t->pos = t->extent_end = 0;
	return 0;
}

static void drop_file(struct tree_in *t)
{
	if (t->fd_dir >= 0) {
		unlinkat(t->fd_dir, t->temp, 0);
		close(t->fd_dir);
	}
	if (t->fd >= 0)
		close(t->fd);
	t->fd = t->fd_dir = -1;
}

static int end_file(struct tree_in *t, struct tree_error *e)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, t->m.mtime };
	mode_t mode = t->o.mode >= 0 ? (mode_t)t->o.mode : t->m.mode & t->o.mask;
	const char *slash = strrchr(t->path, '/');
	const char *name = !*t->path ? t->name : slash ? slash + 1 : t->path;

	if (ftruncate(t->fd, (off_t)t->size) < 0)
		return in_fail(t, e, errno, "set size");
	if (change_owner(t, &t->m, t->fd, "", AT_EMPTY_PATH) < 0)
		return in_fail(t, e, errno, "change owner");
	if (fchmod(t->fd, mode) < 0)
		return in_fail(t, e, errno, "change mode");
	if (set_attrs(t, t->fd, &t->attrs, e) < 0)
		return -1;
	tree_attrs_clear(&t->attrs);
	if (futimens(t->fd, times) < 0)
		return in_fail(t, e, errno, "set time");
	if (renameat(t->fd_dir, t->temp, t->fd_dir, name) < 0)
		return in_fail(t, e, errno, "rename");
	close(t->fd);
	close(t->fd_dir);
	t->fd = t->fd_dir = -1;
	return 0;
}

static int parse_entry(struct tree_in *t, struct tree_error *e)
{
	const uint8_t *p = t->head;

	t->path[0] = '\0';
	t->type = (char)p[0];
	t->path_len = frame_get16(p + 2);
	t->m.mode = frame_get32(p + 4) & 07777;
	t->m.uid = frame_get32(p + 8);
	t->m.gid = frame_get32(p + 12);
	t->m.mtime.tv_sec = (time_t)frame_get64(p + 16);
	t->m.mtime.tv_nsec = (long)frame_get32(p + 24);
	t->target_len = frame_get32(p + 28);
	t->size = frame_get64(p + 32);
	if (t->type == 'e' && !t->path_len && !t->target_len) {
		t->phase = IN_END;
		return t->started ? 0 : in_fail(t, e, EPROTO, "empty copy");
	}
	if (t->type == 'x' ? t->path_len || !t->target_len || t->target_len > 255 || t->size > TREE_ATTR_MAX : t->type != 'f' && t->size)
		return in_fail(t, e, EPROTO, "not a copy's entry");
	if (!t->type || !strchr("fdlhpx", t->type) || t->path_len > TREE_PATH_MAX ||
		t->target_len > TREE_PATH_MAX || t->size > INT64_MAX || p[1] ||
		t->m.mtime.tv_nsec > 999999999)
		return in_fail(t, e, EPROTO, "not a copy's entry");
	t->have = 0;
	t->phase = IN_NAMES;
	return 0;
}

/* The value is complete. */
static int end_attr(struct tree_in *t, struct tree_error *e)
{
	int rc = tree_attrs_add(&t->attrs, t->target, t->value, (size_t)t->size);

	free(t->value);
	t->value = NULL;
	t->phase = IN_ENTRY;
	t->have = 0;
	return rc < 0 ? in_fail(t, e, E2BIG, "too many extended attributes") : 0;
}

/* Of a file that is to come. What is none that travels is not set. */
static int begin_attr(struct tree_in *t, struct tree_error *e)
{
	if (!tree_attr_travels(t->target))
		return in_fail(t, e, EPROTO, "not a copy's extended attribute");
	t->value = malloc((size_t)t->size + 1);
	if (!t->value)
		return in_fail(t, e, ENOMEM, "extended attribute");
	t->phase = IN_ATTR;
	t->have = 0;
	return t->size ? 0 : end_attr(t, e);
}

static int make_entry(struct tree_in *t, struct tree_error *e)
{
	switch (t->type) {
	case 'd':
		return make_dir(t, e);
	case 'h':
		return make_hard_link(t, e);
	case 'f':
		if (!*t->path)
			t->total = t->size;
		if (begin_file(t, e) < 0)
			return -1;
		if (t->size == 0)
			return end_file(t, e);
		t->phase = IN_EXTENT;
		return 0;
	default:
		return make_special(t, e);
	}
}

/* The names are complete: makes the entry. */
static int begin_entry(struct tree_in *t, struct tree_error *e)
{
	int rc;

	t->path[t->path_len] = t->target[t->target_len] = '\0';
	if (t->type == 'x')
		return strlen(t->target) == t->target_len ? begin_attr(t, e) : in_fail(t, e, EPROTO, "not a copy's extended attribute");
	if (strlen(t->path) != t->path_len || strlen(t->target) != t->target_len ||
		!path_valid(t->path) || (t->type == 'h' && !path_valid(t->target)))
		return tree_fail(e, EPROTO, "%s: path that leaves the copy refused", t->dst);
	/* The first entry is the copied thing itself, and only the first. */
	if (t->started == !*t->path)
		return in_fail(t, e, EPROTO, "entry out of order");
	t->started = true;
	t->phase = IN_ENTRY;
	t->have = 0;
	rc = make_entry(t, e);
	if (t->phase == IN_ENTRY)
		tree_attrs_clear(&t->attrs); /* of what has none, a link or a pipe */
	return rc;
}

static int begin_extent(struct tree_in *t, struct tree_error *e)
{
	uint64_t n = frame_get64(t->head + 1);

	t->have = 0;
	if ((t->head[0] != 'D' && t->head[0] != 'H') || n == 0 || n > t->size - t->pos)
		return in_fail(t, e, EPROTO, "not an extent of a copy");
	t->extent_end = t->pos + n;
	if (t->head[0] == 'D') {
		t->phase = IN_DATA;
		return 0;
	}
	t->pos = t->extent_end;
	t->done += n;
	if (lseek(t->fd, (off_t)t->pos, SEEK_SET) < 0)
		return in_fail(t, e, errno, "seek");
	if (t->pos < t->size)
		return 0;
	t->phase = IN_ENTRY;
	return end_file(t, e);
}

/* Content of a file; returns how much was taken. */
static ssize_t take_data(struct tree_in *t, const uint8_t *p, size_t n, struct tree_error *e)
{
	ssize_t r;

	if (n > t->extent_end - t->pos)
		n = (size_t)(t->extent_end - t->pos);
	r = write(t->fd, p, n);
	if (r < 0 && errno == EINTR)
		return 0;
	if (r < 0)
		return in_fail(t, e, errno, "write");
	t->pos += (uint64_t)r;
	t->done += (uint64_t)r;
	if (t->pos < t->extent_end)
		return r;
	t->phase = t->pos < t->size ? IN_EXTENT : IN_ENTRY;
	if (t->phase == IN_ENTRY && end_file(t, e) < 0)
		return -1;
	return r;
}

/* Collects bytes of path and target. */
static size_t take_names(struct tree_in *t, const uint8_t *p, size_t n)
{
	size_t done = 0, left;

	if (t->have < t->path_len) {
		left = t->path_len - t->have;
		done = n < left ? n : left;
		memcpy(t->path + t->have, p, done);
		t->have += done;
	}
	if (t->have >= t->path_len) {
		left = t->path_len + t->target_len - t->have;
		if (left > n - done)
			left = n - done;
		memcpy(t->target + (t->have - t->path_len), p + done, left);
		t->have += left;
		done += left;
	}
	return done;
}

int tree_in_write(struct tree_in *t, const uint8_t *p, size_t n, struct tree_error *e)
{
	while (n > 0) {
		size_t want = t->phase == IN_EXTENT ? TREE_EXTENT : TREE_ENTRY, take;
		ssize_t r;
		int ok = 0;

		if (t->phase == IN_END)
			return in_fail(t, e, EPROTO, "bytes after the copy's end");
		if (t->phase == IN_DATA) {
			r = take_data(t, p, n, e);
			if (r < 0)
				return -1;
			take = (size_t)r;
		} else if (t->phase == IN_ATTR) {
			take = (size_t)t->size - t->have < n ? (size_t)t->size - t->have : n;
			memcpy(t->value + t->have, p, take);
			t->have += take;
			ok = t->have == t->size ? end_attr(t, e) : 0;
		} else if (t->phase == IN_NAMES) {
			take = take_names(t, p, n);
		} else {
			take = want - t->have < n ? want - t->have : n;
			memcpy(t->head + t->have, p, take);
			t->have += take;
			if (t->have == want)
				ok = t->phase == IN_EXTENT ? begin_extent(t, e) : parse_entry(t, e);
		}
		/* Also right after an entry's header, when both names are empty. */
		if (ok == 0 && t->phase == IN_NAMES && t->have == t->path_len + t->target_len)
			ok = begin_entry(t, e);
		if (ok < 0)
			return -1;
		p += take;
		n -= take;
	}
	return 0;
}

/* Deepest first: setting a child's time needs its parents' search permission. */
static int finish_dirs(struct tree_in *t, struct tree_error *e)
{
	for (size_t i = t->ndirs; i-- > 0;) {
		struct made_dir *d = &t->dirs[i];
		struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, d->m.mtime };
		int fd = walk(t, d->path, strlen(d->path)), code;

		strcpy(t->path, d->path);
		if (fd < 0)
			return in_fail(t, e, errno, "open directory");
		if (change_owner(t, &d->m, fd, "", AT_EMPTY_PATH) < 0 || fchmod(fd, d->m.mode & t->o.mask) < 0 || futimens(fd, times) < 0) {
			code = errno;
			close(fd);
			return in_fail(t, e, code, "set mode and time");
		}
		code = set_attrs(t, fd, &d->attrs, e);
		close(fd);
		if (code < 0)
			return -1;
	}
	return 0;
}

int tree_in_finish(struct tree_in *t, struct tree_error *e)
{
	if (t->phase != IN_END)
		return in_fail(t, e, EPROTO, "copy ended early");
	return finish_dirs(t, e);
}

uint64_t tree_in_done(const struct tree_in *t, uint64_t *total)
{
	if (total)
		*total = t->total;
	return t->done;
}

void tree_in_free(struct tree_in *t)
{
	if (!t)
		return;
	drop_file(t);
	if (t->base >= 0)
		close(t->base);
	if (t->root >= 0)
		close(t->root);
	if (t->parent >= 0)
		close(t->parent);
	for (size_t i = 0; i < t->ndirs; i++) {
		free(t->dirs[i].path);
		tree_attrs_clear(&t->dirs[i].attrs);
	}
	tree_attrs_clear(&t->attrs);
	free(t->value);
	free(t->dirs);
	free(t->name);
	free(t->dst);
	free(t);
}
