/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What pm has on disk (pm.h has the layout). Durability, by what a loss would cost:
 *	parameter	replaced by rename; fsynced when a client changed it, not while a stream is loaded
 *	state		appended, one write for all lines of a turn, before anybody hears of them. A torn last line is not
 *			complete and does not count. Not fsynced: a reboot voids it (file `boot`)
 *	job files	written once. Not fsynced, for the same reason
 * A home that is full or read-only stops nothing: pm says so once, goes on from memory and tries again.
 */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/proc.h"
#include "pm/machine.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOCK_TRIES 40 /* of 5 ms, when somebody has the home */
#define LOCK_PATIENCE 2000 /* when nobody has, and still it is locked */
#define KEEP_LINES 50	/* of a state file */
#define MANY_LINES 200	/* then it is shortened */
#define STATE_MAX (1 << 20)

struct pending {
	uint32_t unit, seq;
	size_t at, len;
};
static struct buf lines;
static struct pending *pendings;
static uint32_t npending, cap_pending;
static uint32_t *deferred, ndeferred;
static int broken; /* errno of the last write, 0 when all is well */

static void worked(int code)
{
	if (code && !broken)
		log_line("home: cannot write: %s; going on, what is new is kept in memory", strerror(code));
	else if (!code && broken)
		log_line("home: can be written again");
	broken = code;
}

void home_name(struct buf *b, const char *id)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.@!=+-";

	for (size_t i = 0; id[i]; i++) {
		if (strchr(plain, id[i]) && !(i == 0 && id[i] == '.'))
			buf_addc(b, id[i]);
		else
			buf_addf(b, "%%%02X", (unsigned char)id[i]);
	}
}

bool home_id(const char *name, char id[PM_ID_MAX + 1])
{
	size_t n = 0;

	for (; *name; name++) {
		unsigned c = (unsigned char)*name;

		if (c == '%' && (sscanf(name + 1, "%2X", &c) != 1 || !name[1] || !name[2]))
			return false;
		if (n == PM_ID_MAX || c == 0)
			return false;
		id[n++] = (char)c;
		if (*name == '%')
			name += 2;
	}
	id[n] = '\0';
	return n > 0;
}

void home_path(struct buf *b, const char *dir, const char *id, const char *file)
{
	buf_clear(b);
	buf_addf(b, "%s/", dir);
	home_name(b, id);
	if (file)
		buf_addf(b, "/%s", file);
}

int home_open(const char *path, struct error **err)
{
	if (file_mkdirs(path, 0700, err) < 0)
		return error_wrap(err, "home");
	if (chdir(path) < 0)
		return error_errno(err, errno, "home %s", path);
	return 0;
}

void home_note_self(void)
{
	_cleanup_error_ struct error *e = NULL;
	struct proc_id id;

	if (proc_id_of(getpid(), &id, &e) == 0)
		proc_id_write("pm.pid", &id, &e);
}

/* A program that was executed anew has the lock from before, under a number that it was not told. */
int home_lock_kept(void)
{
	_cleanup_closedir_ DIR *d = opendir("/proc/self/fd");
	struct stat lock, it;
	struct dirent *de;

	if (stat("lock", &lock) < 0)
		return -1;
	while (d && (de = readdir(d))) {
		int fd = atoi(de->d_name);

		if (fd > 2 && fstat(fd, &it) == 0 && it.st_ino == lock.st_ino && it.st_dev == lock.st_dev) {
			fcntl(fd, F_SETFD, FD_CLOEXEC);
			return fd;
		}
	}
	return -1;
}

static int try_lock(struct error **err)
{
	int fd = open("lock", O_RDONLY | O_CREAT | O_CLOEXEC, 0600);
	struct stat ours, there;

	if (fd < 0)
		return error_errno(err, errno, "home: lock");
	/* One that ended with its home (--until-idle) has removed the file that we have opened. */
	if (flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &ours) == 0 && stat("lock", &there) == 0 && ours.st_ino == there.st_ino) {
		return fd;
	}
	close(fd);
	error_set(err, ERR_STATE, "a pm runs already for this home");
	return error_hint(err, "`pm list` asks it; another home: --home DIR");
}

/* Whoever made this home its own last is alive. */
static bool has_owner(void)
{
	_cleanup_error_ struct error *e = NULL;
	struct proc_id id;

	return proc_id_read("pm.pid", &id, &e) == 0 && proc_id_alive(&id);
}

int home_lock(struct error **err)
{
	int fd = try_lock(err);

	/*
	 * A process that a watcher was just starting when it was killed holds it too, until it has become its program, which on a
	 * busy computer may be seconds. One that has just begun has not yet written who it is.
	 */
	for (int i = 0; fd < 0 && (i < LOCK_TRIES || !has_owner()) && i < LOCK_PATIENCE; i++) {
		nanosleep(&(struct timespec){ 0, 5000000 }, NULL);
		error_clear(err);
		fd = try_lock(err);
	}
	/* Not before: one that ends with its home takes them away as long as it has the lock. */
	if (fd >= 0 && (file_mkdirs("units", 0700, err) < 0 || file_mkdirs("jobs", 0700, err) < 0)) {
		close(fd);
		error_wrap(err, "home");
		return -1;
	}
	return fd;
}

/* Transitions. */

void home_record(struct unit *u, const char *reason)
{
	char when[32];
	size_t at = lines.len;

	log_time(when);
	buf_addf(&lines, "%s\t%s\t%s\t%u\t%u\t", when, pm_state_name(u->state), u->up ? "up" : "down", u->job, u->retries);
	for (; *reason; reason++)
		buf_addc(&lines, (unsigned char)*reason < ' ' ? ' ' : *reason);
	buf_addc(&lines, '\n');
	if (npending == cap_pending) {
		cap_pending = cap_pending ? cap_pending * 2 : 64;
		pendings = xreallocarray(pendings, cap_pending, sizeof(*pendings));
	}
	pendings[npending] = (struct pending){ u->index, npending, at, lines.len - at };
	npending++;
}

static int by_unit(const void *a, const void *b)
{
	const struct pending *x = a, *y = b;

	if (x->unit != y->unit)
		return x->unit < y->unit ? -1 : 1;
	return x->seq < y->seq ? -1 : 1;
}

/* Leaves the last lines of a state file that has grown long. */
static void shorten(const char *path)
{
	_cleanup_buf_ struct buf text = BUF_INIT, tmp = BUF_INIT;
	_cleanup_error_ struct error *e = NULL;
	const char *from;
	int n = 0, fd;

	if (file_read(path, STATE_MAX, &text, &e) < 0)
		return;
	for (from = text.data + text.len; from > text.data; from--)
		if (from[-1] == '\n' && n++ == KEEP_LINES)
			break;
	buf_addf(&tmp, "%s.new", path);
	fd = open(tmp.data, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return;
	if (file_write_all(fd, from, (size_t)(text.data + text.len - from), path, &e) < 0 || rename(tmp.data, path) < 0)
		unlink(tmp.data);
	close(fd);
}

static void append_state(struct unit *u, const struct pending *p, uint32_t n)
{
	_cleanup_buf_ struct buf path = BUF_INIT, text = BUF_INIT;
	int fd;

	home_path(&path, "units", u->id, "state");
	for (uint32_t i = 0; i < n; i++)
		buf_add(&text, lines.data + p[i].at, p[i].len);
	fd = open(path.data, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 && errno == ENOENT) { /* a unit whose parameters could not be saved */
		worked(errno);
		return;
	}
	/* After a torn write the next line begins a new one. */
	if (fd < 0 || write(fd, text.data, text.len) != (ssize_t)text.len)
		worked(errno ? errno : ENOSPC);
	else if (broken)
		worked(0);
	if (fd >= 0)
		close(fd);
	u->state_lines = (uint16_t)(u->state_lines + n);
	if (u->state_lines >= MANY_LINES) {
		shorten(path.data);
		u->state_lines = KEEP_LINES;
	}
}

void home_flush(void)
{
	while (ndeferred > 0) {
		_cleanup_error_ struct error *e = NULL;
		struct unit *u = machine.core.units[deferred[--ndeferred]];

		if (u && u->defined && home_save(u, false, &e) < 0)
			worked(e->code ? e->code : EIO);
		if (!ndeferred)
			free(STEAL(deferred));
	}
	if (npending > 1)
		qsort(pendings, npending, sizeof(*pendings), by_unit);
	for (uint32_t i = 0, n; i < npending; i += n) {
		struct unit *u = machine.core.units[pendings[i].unit];

		for (n = 1; i + n < npending && pendings[i + n].unit == pendings[i].unit;)
			n++;
		if (u)
			append_state(u, pendings + i, n);
	}
	npending = 0;
	buf_clear(&lines);
	if (cap_pending > 1024) {
		free(STEAL(pendings));
		cap_pending = 0;
		buf_free(&lines);
	}
}

const char *home_last_line(const char *text, size_t n, size_t *len)
{
	size_t end, from;

	while (n > 0 && text[n - 1] != '\n') /* torn */
		n--;
	if (!n)
		return NULL;
	for (end = from = n - 1; from > 0 && text[from - 1] != '\n';)
		from--;
	*len = end - from;
	return text + from;
}

bool home_last(const char *id, struct buf *line)
{
	_cleanup_buf_ struct buf path = BUF_INIT;
	_cleanup_close_ int fd = -1;
	char text[4096];
	const char *last;
	size_t len;
	off_t size;
	ssize_t n;

	home_path(&path, "units", id, "state");
	fd = open(path.data, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || (size = lseek(fd, 0, SEEK_END)) <= 0)
		return false;
	n = pread(fd, text, sizeof(text), size > (off_t)sizeof(text) ? size - (off_t)sizeof(text) : 0);
	last = n > 0 ? home_last_line(text, (size_t)n, &len) : NULL;
	if (!last)
		return false;
	buf_clear(line);
	buf_add(line, last, len);
	return true;
}

/* Parameters. */

int home_save(struct unit *u, bool sync, struct error **err)
{
	_cleanup_buf_ struct buf path = BUF_INIT, tmp = BUF_INIT, text = BUF_INIT;
	_cleanup_close_ int fd = -1;

	params_format(&u->params, &text);
	home_path(&path, "units", u->id, NULL);
	if (mkdir(path.data, 0700) < 0 && errno != EEXIST)
		return error_errno(err, errno, "%s", path.data);
	buf_adds(&path, "/parameter");
	buf_addf(&tmp, "%s.new", path.data);
	fd = open(tmp.data, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_errno(err, errno, "%s", tmp.data);
	if (file_write_all(fd, buf_str(&text), text.len, path.data, err) < 0 || (sync && file_fsync(fd, path.data, err) < 0)) {
		unlink(tmp.data);
		return -1;
	}
	if (rename(tmp.data, path.data) < 0)
		return error_errno(err, errno, "%s", path.data);
	return 0;
}

void home_defer(struct unit *u)
{
	if ((ndeferred & (ndeferred - 1)) == 0)
		deferred = xreallocarray(deferred, ndeferred ? ndeferred * 2 : 1, sizeof(*deferred));
	deferred[ndeferred++] = u->index;
}

void home_forget(struct unit *u)
{
	_cleanup_buf_ struct buf path = BUF_INIT;
	_cleanup_error_ struct error *e = NULL;

	home_flush(); /* nothing of it must be written later */
	home_path(&path, "units", u->id, NULL);
	file_remove_tree(path.data, &e);
	if (u->job)
		home_job_remove(u->job);
}

/* Jobs. */

static void put(const char *path, const char *p, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, p, n) != (ssize_t)n)
		worked(fd < 0 ? errno : ENOSPC);
	if (fd >= 0)
		close(fd);
}

void home_job_remove(uint32_t job)
{
	static const char *const files[] = { "/parameter", "/pid", "/retcode", "" };
	char path[48];

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		snprintf(path, sizeof(path), "jobs/%u%s", job, files[i]);
		if (i < ARRAY_SIZE(files) - 1)
			unlink(path);
		else
			rmdir(path);
	}
}

/*
 * The unit's last job is kept, and no more: its files become those of the next one, empty. File systems are slow where many files
 * come and go (ext4 looks in vain at each one that was deleted lately before it makes a new one).
 */
static int take_over(uint32_t before, const char *path)
{
	static const char *const files[] = { "pid", "retcode" };
	char old[48];

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		snprintf(old, sizeof(old), "jobs/%u/%s", before, files[i]);
		if (truncate(old, 0) < 0 && errno != ENOENT)
			unlink(old);
	}
	snprintf(old, sizeof(old), "jobs/%u", before);
	if (rename(old, path) == 0)
		return 0;
	home_job_remove(before);
	return -1;
}

void home_job_begin(struct unit *u, const char *reason)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	struct params first = PARAMS_INIT;
	uint32_t before = u->job;
	char path[48];

	u->job = ++machine.last_job;
	params_add(&first, "unit", u->id);
	params_add(&first, "reason", reason);
	params_format(&first, &text);
	params_free(&first);
	params_format(&u->params, &text);
	snprintf(path, sizeof(path), "jobs/%u", u->job);
	if ((!before || take_over(before, path) < 0) && mkdir(path, 0700) < 0 && errno != EEXIST)
		worked(errno);
	snprintf(path, sizeof(path), "jobs/%u/parameter", u->job);
	put(path, text.data, text.len);
}

void home_job_pid(uint32_t job, int32_t pid, uint64_t start)
{
	_cleanup_error_ struct error *e = NULL;
	char path[48], text[96];
	struct proc_id id;

	if (proc_id_of(getpid(), &id, &e) < 0) /* for the boot's id */
		return;
	snprintf(path, sizeof(path), "jobs/%u/pid", job);
	snprintf(text, sizeof(text), "%d %llu %s\n", (int)pid, (unsigned long long)start, id.boot);
	put(path, text, strlen(text));
}

void home_job_end(uint32_t job, const char *retcode)
{
	char path[48], text[48];

	snprintf(path, sizeof(path), "jobs/%u/retcode", job);
	snprintf(text, sizeof(text), "%s\n", retcode);
	put(path, text, strlen(text));
}

bool home_same_boot(void)
{
	_cleanup_buf_ struct buf now = BUF_INIT, was = BUF_INIT;
	_cleanup_error_ struct error *e = NULL, *e2 = NULL;
	bool same;

	if (file_read("/proc/sys/kernel/random/boot_id", 64, &now, &e) < 0)
		return true;
	same = file_read("boot", 64, &was, &e2) == 0 && !strcmp(now.data, was.data);
	if (!same)
		put("boot", now.data, now.len);
	return same;
}

/*
 * Who hands a process over holds a shared lock on the home's directory (handover.c). Ours stays until we end: who has waited
 * for it then finds that this is no longer the home, and makes the next.
 */
bool home_leave(void)
{
	int fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
		return true;
	if (fd >= 0)
		close(fd);
	return false;
}

void home_remove(void)
{
	static const char *const files[] = { "boot", "log", "log.1", "pm.pid", "lock" };
	_cleanup_error_ struct error *e = NULL;

	/* The lock goes last: from then on another pm may make the same home anew. */
	if (file_remove_tree("units", &e) < 0 || file_remove_tree("jobs", &e) < 0)
		log_line("%s", e->msg);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		unlink(files[i]);
	rmdir(machine.home);
}
