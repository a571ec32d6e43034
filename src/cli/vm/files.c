/* SPDX-License-Identifier: Apache-2.0 */
/* HOSTDIR and WORKDIR: lock, making, guest.env, removing. */
#include "vm.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#define INCOMPLETE ".incomplete" /* in a WORKDIR that is being made; its maker holds a lock on it */

int vm_lock(struct vm *v, struct error **err)
{
	_cleanup_free_ char *path = path_join(v->hostdir, ".vm.lock");

	v->lock = file_lock(path, true, 0, err);
	return v->lock < 0 ? error_wrap(err, "%s: another vm works here", v->hostdir) : 0;
}

int vm_count_disks(const char *dir, const char *suffix)
{
	_cleanup_closedir_ DIR *d = opendir(dir);
	int n = 0;

	for (struct dirent *e; d && (e = readdir(d));) {
		size_t digits = strncmp(e->d_name, "disk-", 5) ? 0 : strspn(e->d_name + 5, "0123456789");

		n += digits && !strncmp(e->d_name + 5 + digits, ".img", 4) && !strcmp(e->d_name + 9 + digits, suffix);
	}
	return n;
}

/* A folder that a killed `vm` has not made whole, nobody else's; says so. */
static void sweep_one(const char *dir)
{
	_cleanup_free_ char *mark = path_join(dir, INCOMPLETE);
	_cleanup_error_ struct error *e = NULL;
	_cleanup_close_ int fd = -1;
	struct stat st;

	if (lstat(mark, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid())
		return;
	fd = file_lock(mark, true, 0, &e);
	if (fd < 0)
		return;
	log_info("removing %s, which an interrupted vm has left half-made", dir);
	file_remove_tree(dir, &e);
}

static void sweep(const char *tmp)
{
	_cleanup_closedir_ DIR *d = opendir(tmp);

	for (struct dirent *e; d && (e = readdir(d));) {
		_cleanup_free_ char *dir = path_join(tmp, e->d_name);

		if (!strncmp(e->d_name, "vm-", 3) && strlen(e->d_name) == 15 && !strcmp(e->d_name + 11, ".tmp"))
			sweep_one(dir);
	}
}

int vm_link(const char *to, const char *path, struct error **err)
{
	_cleanup_free_ char *temp = xasprintf("%s.%d", path, (int)getpid());

	unlink(temp);
	if (symlink(to, temp) < 0)
		return error_errno(err, errno, "%s: cannot make the link", temp);
	return file_rename(temp, path, err);
}

/* mkdtemp with a suffix. */
static char *make_folder(const char *tmp, struct error **err)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";

	for (int i = 0; i < 100; i++) {
		unsigned char r[8];
		_cleanup_free_ char *dir = NULL;

		if (getrandom(r, sizeof(r), 0) != sizeof(r))
			break;
		for (size_t k = 0; k < sizeof(r); k++)
			r[k] = (unsigned char)letters[r[k] % 64];
		dir = xasprintf("%s/vm-%.8s.tmp", tmp, (const char *)r);
		if (mkdir(dir, 0700) == 0)
			return realpath(dir, NULL);
		if (errno != EEXIST) {
			error_errno(err, errno, "%s: cannot make a working folder", dir);
			return NULL;
		}
	}
	error_set(err, ERR_FAILED, "%s: no name is free for a working folder", tmp);
	return NULL;
}

/* Below $TMPDIR; marked as incomplete until the link to it is made. */
static int make_temp(struct vm *v, struct error **err)
{
	const char *tmp = getenv("TMPDIR");
	_cleanup_free_ char *real = NULL, *mark = NULL;
	_cleanup_free_ char *host = NULL, *work = path_join(v->hostdir, ".work");
	_cleanup_close_ int fd = -1;

	sweep(tmp && *tmp ? tmp : "/tmp");
	real = make_folder(tmp && *tmp ? tmp : "/tmp", err);
	if (!real)
		return -1;
	mark = path_join(real, INCOMPLETE);
	host = path_join(real, ".host");
	fd = file_lock(mark, true, 0, err);
	if (fd < 0 || vm_link(v->hostdir, host, err) < 0 || vm_link(real, work, err) < 0)
		return -1;
	v->workdir = STEAL(real);
	return file_unlink(mark, err);
}

int vm_make_workdir(struct vm *v, struct error **err)
{
	_cleanup_free_ char *out = NULL;

	if (!v->workdir && !vm_on(v, "INPLACE") && make_temp(v, err) < 0)
		return -1;
	if (!v->workdir)
		v->workdir = xstrdup(v->hostdir);
	shellvars_set(v->vars, "WORKDIR", v->workdir);
	out = path_join(v->workdir, ".out");
	return file_mkdirs(out, 0755, err);
}

/* As bash and shellvars read it back, whatever is in it. */
static void quote(struct buf *b, const char *s)
{
	buf_addc(b, '"');
	for (; *s; s++) {
		if (strchr("\"\\$`", *s))
			buf_addc(b, '\\');
		buf_addc(b, *s);
	}
	buf_addc(b, '"');
}

static void write_list(struct buf *b, const char *name, const struct strv *l)
{
	buf_addf(b, "%s=(\n", name);
	for (size_t i = 0; l && i < l->len; i++) {
		buf_addc(b, '\t');
		quote(b, l->v[i]);
		buf_addc(b, '\n');
	}
	buf_adds(b, ")\n");
}

int vm_write_guest_env(struct vm *v, const char *guestname, const struct strv *images, struct error **err)
{
	static const char *const names[] = { "QEMUARCH", "SOCKETS", "CORES", "MEMORY", "UEFI", "ISO", "KEEPCD", "FORWARDS", "HOST", "PORT" };
	_cleanup_free_ char *path = path_join(v->workdir, "guest.env");
	_cleanup_buf_ struct buf b = BUF_INIT;

	buf_adds(&b, "# The machine as `vm create` made it.\nGUESTNAME=");
	quote(&b, guestname);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		buf_addf(&b, "\n%s=", names[i]);
		quote(&b, vm_get(v, names[i]));
	}
	buf_addc(&b, '\n');
	/* the original knows this one in vm.conf only; a machine made without a card stays so */
	if (!vm_on(v, "USENETDEV"))
		buf_adds(&b, "USENETDEV=\"\"\n");
	write_list(&b, "SHARES", shellvars_list(v->vars, "SHARES"));
	write_list(&b, "IMAGES", images);
	return file_write(path, b.data, b.len, 0644, err);
}

/* In place: what a WORKDIR would hold, the machine's description and its backups stay. */
static int remove_inplace(struct vm *v, struct error **err)
{
	static const char *const names[] = { ".in", ".out", "efivars.bin", "efivars.raw", "run-vm.sh", "run-rescue.sh", "FIRSTTIME" };
	_cleanup_closedir_ DIR *d = opendir(v->hostdir);

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_free_ char *path = path_join(v->hostdir, names[i]);

		if (file_remove_tree(path, err) < 0)
			return -1;
	}
	for (struct dirent *e; d && (e = readdir(d));) {
		size_t digits = strncmp(e->d_name, "disk-", 5) ? 0 : strspn(e->d_name + 5, "0123456789");
		_cleanup_free_ char *path = path_join(v->hostdir, e->d_name);

		if (digits && !strcmp(e->d_name + 5 + digits, ".img") && file_unlink(path, err) < 0)
			return -1;
	}
	return 0;
}

int vm_remove_workdir(struct vm *v, struct error **err)
{
	_cleanup_free_ char *link = path_join(v->hostdir, ".work"), *host = v->workdir ? path_join(v->workdir, ".host") : NULL;
	_cleanup_free_ char *real = host ? realpath(host, NULL) : NULL;

	if (v->workdir && !strcmp(v->workdir, v->hostdir))
		return remove_inplace(v, err);
	/* Only a folder that knows HOSTDIR as its own is removed; .work could lead anywhere. */
	if (v->workdir && (!real || strcmp(real, v->hostdir)))
		return error_set(err, ERR_STATE, "%s: is not the working folder of %s, for its .host does not lead there; nothing is removed",
			v->workdir, v->hostdir);
	if (v->workdir && file_remove_tree(v->workdir, err) < 0)
		return -1;
	free(STEAL(v->workdir));
	return file_unlink(link, err);
}

uint64_t vm_disk_usage(const char *dir)
{
	_cleanup_closedir_ DIR *d = opendir(dir);
	uint64_t n = 0;

	for (struct dirent *e; d && (e = readdir(d));) {
		_cleanup_free_ char *path = NULL;
		struct stat st;

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") || fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		n += (uint64_t)st.st_blocks * 512;
		path = path_join(dir, e->d_name);
		if (S_ISDIR(st.st_mode))
			n += vm_disk_usage(path);
	}
	return n;
}
