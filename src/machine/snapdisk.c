/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots in the files of a machine that doesn't run, by qemu-img; copies of small state beside them. */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "snapint.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <linux/magic.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#define IMG_MS 600000
#define SAME_TAG_MAX 16
#define LOCKED_TRIES 100
#define LOCKED_MS 100
#define SETTLE_MS 5

static void add_drive(struct snap_drives *d, const char *node, const char *path)
{
	d->v = xreallocarray(d->v, d->len + 1, sizeof(*d->v));
	d->v[d->len++] = (struct snap_drive){ xstrdup(node), xstrdup(path) };
}

static bool is_written(const struct machine_disk *d)
{
	return !d->readonly && (!d->media || strcmp(d->media, "cdrom"));
}

/* A CD has no file of its own, and neither has a drive without a medium. */
static bool has_file(const struct machine_disk *d)
{
	_cleanup_error_ struct error *none = NULL;
	_cleanup_image_ struct image *img = d->image && !d->path ? image_open(d->image, &none) : NULL;

	return d->path || d->size || (d->image && !(img && machine_disk_is_cdrom(img)));
}

void snap_drives_of(const struct machine *m, struct snap_drives *ret)
{
	_cleanup_free_ char *nvram = machine_nvram_path(m);

	for (size_t i = 0; i < m->def.ndisks; i++) {
		const struct machine_disk *d = &m->def.disks[i];
		_cleanup_free_ char *path = machine_disk_path(m, i), *node = xasprintf("disk%zu", i);

		if (!is_written(d))
			continue;
		if (!file_exists(path)) {
			if (has_file(d))
				strv_addf(&ret->missing, "disk %zu: %s is not there", i, path);
			continue;
		}
		if (d->snapshot)
			strv_addf(&ret->left_out, "disk %zu", i);
		else if (d->path && d->format && strcmp(d->format, "qcow2"))
			strv_addf(&ret->impossible, "disk %zu (%s) is %s", i, d->path, d->format);
		else
			add_drive(ret, node, path);
	}
	if (machine_is_uefi(&m->def) && file_exists(nvram))
		add_drive(ret, "fw-vars", nvram);
}

void snap_drives_clear(struct snap_drives *d)
{
	for (size_t i = 0; i < d->len; i++) {
		free(d->v[i].node);
		free(d->v[i].path);
	}
	free(d->v);
	strv_free(&d->left_out);
	strv_free(&d->impossible);
	strv_free(&d->missing);
	*d = (struct snap_drives){ 0 };
}

/*
 * A qemu-img may outlive the command that started it, which was killed, and has to end by itself: a qcow2 file whose tables are half
 * written is a damaged one. So it holds a lock on the file from before it is there until it ends. flock(2) and QEMU's own
 * locks, which are those of fcntl(2), know nothing of each other, but on NFS: there it is done without.
 */
static int lockable(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct statfs fs;

	if (fd >= 0 && fstatfs(fd, &fs) == 0 && fs.f_type != NFS_SUPER_MAGIC)
		return fd;
	cleanup_close(&fd);
	return -1;
}

int snap_settle(const struct snap_drives *d, struct error **err)
{
	for (size_t i = 0; i < d->len; i++) {
		_cleanup_close_ int fd = lockable(d->v[i].path);

		for (int ms = 0; fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0; ms += SETTLE_MS) {
			if (errno != EWOULDBLOCK && errno != EINTR)
				return error_errno(err, errno, "%s: cannot lock", d->v[i].path);
			if (ms >= IMG_MS)
				return error_set(err, ERR_TIMEOUT, "%s: a qemu-img works on it still", d->v[i].path);
			poll(NULL, 0, SETTLE_MS);
		}
	}
	return 0;
}

int snap_img_start(const char *verb, const char *tag, const char *path, struct proc *p, struct error **err)
{
	const char *argv[] = { "qemu-img", "snapshot", "-q", verb, tag, path, NULL };
	_cleanup_close_ int fd = lockable(path);
	struct proc_opts o = { .argv = argv, .err = PROC_PIPE, .keep_fds = &fd, .nkeep_fds = fd >= 0 };

	if (fd >= 0 && flock(fd, LOCK_SH) < 0)
		return error_errno(err, errno, "%s: cannot lock", path);
	if (proc_spawn(&o, p, err) == 0)
		return 0;
	if ((*err)->cls == ERR_NOT_FOUND)
		error_hint(err, "install the package qemu-utils");
	return -1;
}

int snap_img_wait(struct proc *p, const char *path, struct error **err)
{
	char text[1024] = "";
	ssize_t n;
	int status;

	if (proc_wait(p, IMG_MS, &status, err) < 0)
		return error_wrap(err, "%s: qemu-img snapshot", path);
	if (status == 0)
		return 0;
	n = read(p->err, text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return error_set(err, ERR_FAILED, "%s: qemu-img %s: %s", path, proc_status_text(status), text);
}

int snap_img(const char *verb, const char *tag, const char *path, struct error **err)
{
	_cleanup_proc_ struct proc p = PROC_INIT;

	return snap_img_start(verb, tag, path, &p, err) < 0 ? -1 : snap_img_wait(&p, path, err);
}

int snap_img_has(const char *path, const char *tag, struct error **err)
{
	const char *argv[] = { "qemu-img", "info", "--output=json", path, NULL };
	_cleanup_buf_ struct buf out = BUF_INIT;
	json_t *info, *snaps;
	int has = 0;

	/* A qemu-img of a command that was killed may be at work on it still. */
	for (int n = 0; proc_run(argv, IMG_MS, &out, NULL, err) < 0; n++) {
		if (n == LOCKED_TRIES || !strstr((*err)->msg, " lock"))
			return -1;
		error_clear(err);
		buf_clear(&out);
		poll(NULL, 0, LOCKED_MS);
	}
	info = json_loadb(buf_str(&out), out.len, 0, NULL);
	snaps = json_object_get(info, "snapshots");
	for (size_t i = 0; i < json_array_size(snaps); i++) {
		const char *name = json_string_value(json_object_get(json_array_get(snaps, i), "name"));

		has |= name && !strcmp(name, tag);
	}
	if (!json_is_object(info))
		has = error_set(err, ERR_FAILED, "%s: what qemu-img says of it is not JSON", path);
	json_decref(info);
	return has;
}

int snap_img_drop(const struct snap_drives *d, const char *tag, struct error **err)
{
	for (size_t i = 0; i < d->len; i++) {
		int has = 0;

		for (int n = 0; n < SAME_TAG_MAX && (has = snap_img_has(d->v[i].path, tag, err)) > 0; n++)
			if (snap_img("-d", tag, d->v[i].path, err) < 0)
				return -1;
		if (has < 0)
			return -1;
	}
	return 0;
}

/* ".NAME.tmp-PID-N" is a file that was being written (base/file.h); with the machine's lock held nobody writes here any more. */
static void sweep(const char *dir)
{
	_cleanup_closedir_ DIR *d = opendir(dir);

	for (struct dirent *e; d && (e = readdir(d));)
		if (e->d_name[0] == '.' && strstr(e->d_name, ".tmp-"))
			unlinkat(dirfd(d), e->d_name, 0);
}

void snap_sweep(const struct machine *m)
{
	_cleanup_free_ char *dir = snap_path(m, NULL, NULL);
	_cleanup_closedir_ DIR *d = opendir(dir);

	sweep(m->dir);
	sweep(dir);
	for (struct dirent *e; d && (e = readdir(d));) {
		_cleanup_free_ char *sub = path_join(dir, e->d_name);

		if (e->d_name[0] != '.')
			sweep(sub);
	}
}

/* Large clusters: memory is written and read in one go, and little is spent on tables. */
int snap_make_memory(const char *path, struct error **err)
{
	const char *argv[] = { "qemu-img", "create", "-q", "-f", "qcow2", "-o", "cluster_size=2M", path, "1M", NULL };

	return proc_run(argv, IMG_MS, NULL, NULL, err);
}

int snap_sync(const char *path, struct error **err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? error_errno(err, errno, "%s", path) : file_fsync(fd, path, err);
}

uint64_t snap_allocated(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? (uint64_t)st.st_blocks * 512 : 0;
}

int snap_copy_dir(const char *from, const char *to, struct error **err)
{
	_cleanup_closedir_ DIR *d = opendir(from);

	if (!d && errno == ENOENT)
		return 0;
	if (!d)
		return error_errno(err, errno, "%s", from);
	if (file_remove_tree(to, err) < 0 || file_mkdirs(to, 0700, err) < 0)
		return -1;
	for (struct dirent *e; (e = readdir(d));) {
		_cleanup_free_ char *a = path_join(from, e->d_name), *b = path_join(to, e->d_name);
		struct stat st;

		if (lstat(a, &st) == 0 && S_ISREG(st.st_mode) && file_copy(a, b, 0600, err) < 0)
			return -1;
	}
	return 0;
}
