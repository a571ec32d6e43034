/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Logs are mostly appended to and renamed. The memory holds the folder of the last collection and, for each file there, the number of
 * its inode in the guest: a file is known again by it, under whatever name. One with the size and time that its copy has is taken
 * from the copy; one that is larger is its copy and the rest of it, if the end of the copy is still what the guest has at that place;
 * all others are pulled whole.
 */
#include "clog_pull.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/path.h"
#include "guest/agent_list.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MEMORY_MAX (64u << 20)
#define OVERLAP 4096
#define TAIL_MS 600000

struct pull {
	struct agent *a;
	const char *from, *to;
	struct map before; /* inode as text -> path of its copy */
	struct map folders; /* those that were made: nothing goes through a link */
	struct buf memory; /* that of now */
	struct clog_pulled *ret;
	struct error **err;
	int rc;
};

/* "FOLDER\0" and "INODE PATH\0"... */
static void read_memory(struct pull *p, const char *path)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_error_ struct error *none = NULL;
	const char *dir, *end;

	p->before.free_value = free;
	if (!file_exists(path) || file_read(path, MEMORY_MAX, &b, &none) < 0 || !b.len || b.data[b.len - 1])
		return;
	dir = b.data;
	end = dir + b.len;
	for (const char *at = dir + strlen(dir) + 1; at < end; at += strlen(at) + 1) {
		const char *space = strchr(at, ' ');
		_cleanup_free_ char *ino = space ? xstrndup(at, (size_t)(space - at)) : NULL;

		if (ino)
			map_set(&p->before, ino, path_join(dir, space + 1));
	}
}

/* ---- a file that has grown ---- */

struct tail {
	char last[OVERLAP]; /* of the copy */
	size_t overlap, seen;
	bool differs;
	int fd, code;
	uint64_t came;
};

static void take_tail(void *arg, int stream, const void *data, size_t n)
{
	struct tail *t = arg;
	const char *p = data;
	size_t known = t->seen < t->overlap ? (t->overlap - t->seen < n ? t->overlap - t->seen : n) : 0;
	struct error *e = NULL;

	if (stream != 1 || t->differs || t->code)
		return;
	t->came += n;
	t->differs = known && memcmp(t->last + t->seen, p, known) != 0;
	t->seen += known;
	if (!t->differs && n > known && file_write_all(t->fd, p + known, n - known, "log", &e) < 0)
		t->code = e->code ? e->code : EIO;
	error_clear(&e);
}

/* 1: the copy at fd, of `size` bytes, now goes on as the guest's file does; 0: it is no beginning of it. */
static int append(struct pull *p, const char *full, int fd, uint64_t size, struct error **err)
{
	struct tail t = { .fd = fd, .overlap = size < OVERLAP ? (size_t)size : OVERLAP };
	_cleanup_free_ char *from = xasprintf("+%" PRIu64, size - t.overlap + 1);
	struct agent_exec x = AGENT_EXEC_INIT;
	int status = 0;

	if (pread(fd, t.last, t.overlap, (off_t)(size - t.overlap)) != (ssize_t)t.overlap || lseek(fd, 0, SEEK_END) < 0)
		return error_errno(err, errno, "copy of %s", full);
	x.argv = (const char *const[]){ "tail", "-c", from, full, NULL };
	x.on_output = take_tail;
	x.arg = &t;
	x.timeout_ms = TAIL_MS;
	if (agent_exec(p->a, &x, &status, err) < 0)
		return -1;
	p->ret->came += t.came;
	if (t.code)
		return error_errno(err, t.code, "copy of %s", full);
	return !status && !t.differs && t.seen == t.overlap;
}

/* ---- files ---- */

static int set_times(int fd, const struct agent_listed *f, const char *path, struct error **err)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, f->mtime };

	return futimens(fd, times) < 0 ? error_errno(err, errno, "%s", path) : 0;
}

/* 1: made from the copy of the last time; 0: there is none that will do. */
static int from_copy(struct pull *p, const struct agent_listed *f, const char *full, const char *to, struct error **err)
{
	_cleanup_free_ char *ino = xasprintf("%" PRIu64, f->ino);
	const char *copy = map_get(&p->before, ino);
	_cleanup_close_ int fd = -1;
	struct stat st;
	bool same;
	int r;

	if (!copy || lstat(copy, &st) < 0 || !S_ISREG(st.st_mode) || f->size < (uint64_t)st.st_size)
		return 0;
	same = f->size == (uint64_t)st.st_size && f->mtime.tv_sec == st.st_mtim.tv_sec && f->mtime.tv_nsec == st.st_mtim.tv_nsec;
	if (file_copy(copy, to, 0600, err) < 0)
		return -1;
	fd = open(to, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return error_errno(err, errno, "%s", to);
	r = same ? 1 : append(p, full, fd, (uint64_t)st.st_size, err);
	if (r <= 0)
		return r < 0 || file_unlink(to, err) < 0 ? -1 : 0;
	return fchmod(fd, f->mode & 0777) < 0 ? error_errno(err, errno, "%s", to) : set_times(fd, f, to, err) < 0 ? -1 : 1;
}

static int pull_file(struct pull *p, const struct agent_listed *f, const char *to, struct error **err)
{
	_cleanup_free_ char *full = path_join(p->from, f->path);
	int r = from_copy(p, f, full, to, err);

	if (r == 0) {
		struct agent_copy c = AGENT_COPY_INIT;

		r = agent_pull(p->a, full, to, &c, err);
		/* It has been renamed or removed since. */
		if (r < 0 && (*err)->cls == ERR_NOT_FOUND) {
			error_clear(err);
			return 0;
		}
		p->ret->came += f->size;
	}
	if (r < 0)
		return -1;
	p->ret->files++;
	p->ret->bytes += f->size;
	buf_addf(&p->memory, "%" PRIu64 " %s", f->ino, f->path);
	buf_addc(&p->memory, '\0');
	return 0;
}

/* The guest is not trusted: it may name no place outside, and nothing twice. */
static bool stays_inside(const struct pull *p, const struct agent_listed *f, const char *to)
{
	const char *slash = strrchr(f->path, '/'), *name = slash ? slash + 1 : f->path;
	_cleanup_free_ char *parent = xstrndup(f->path, slash ? (size_t)(slash - f->path) : 0);
	struct stat st;

	return (*f->path ? *name && strcmp(name, ".") && strcmp(name, "..") && map_has(&p->folders, parent) : !p->folders.len) &&
	       lstat(to, &st) < 0 && errno == ENOENT;
}

static void pull_one(void *arg, const struct agent_listed *f)
{
	struct pull *p = arg;
	_cleanup_free_ char *to = *f->path ? path_join(p->to, f->path) : xstrdup(p->to);

	if (p->rc < 0)
		return;
	if (!stays_inside(p, f, to)) {
		p->rc = error_set(p->err, ERR_FAILED, "the guest's list of files of %s names %s, where it may not be", p->from, f->path);
	} else if (f->type == 'd') {
		p->rc = mkdir(to, 0755) < 0 ? error_errno(p->err, errno, "%s", to) : 0;
		map_set(&p->folders, f->path, p);
	} else if (f->type == 'f') {
		p->rc = pull_file(p, f, to, p->err);
	} else if (f->type == 'l' && symlink(f->target, to) < 0) {
		p->rc = error_errno(p->err, errno, "%s", to);
	}
}

int clog_pull(struct agent *a, const char *from, const char *to, const char *final, const char *memory, struct clog_pulled *ret, struct error **err)
{
	struct pull p = { .a = a, .from = from, .to = to, .ret = ret, .err = err };
	_cleanup_buf_ struct buf list = BUF_INIT;
	_cleanup_free_ char *absolute = path_absolute(final);
	bool absent = false;

	*ret = (struct clog_pulled){ 0 };
	read_memory(&p, memory);
	buf_add(&p.memory, absolute, strlen(absolute) + 1);
	p.rc = agent_list(a, from, NULL, &list, &absent, err);
	if (p.rc == 0 && absent)
		p.rc = error_set(err, ERR_NOT_FOUND, "there is no %s", from);
	if (p.rc == 0 && agent_list_each(&list, pull_one, &p, err) < 0)
		p.rc = -1;
	if (p.rc == 0)
		p.rc = file_write(memory, p.memory.data, p.memory.len, 0600, err);
	map_free(&p.before);
	map_free(&p.folders);
	buf_free(&p.memory);
	return p.rc;
}
