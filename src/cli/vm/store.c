/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Backups as the original keeps them, backups/NAME with disk-N.img.gz, efivars.bin.gz, guest.env and vm.defaults, are put back. All of a
 * backup is unpacked and checked beside the working files first; then the files change places. RESTORING names the backup meanwhile,
 * so that a restore that was killed there is done again by the next run.
 */
#include "vm.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/proc.h"
#include "base/units.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHECK_MS (3600 * 1000)
#define NAME_LEN 255

/* The name given, that of an interrupted restore, or where backups/LAST leads. */
static char *backup_name(struct vm *v, const struct strv *args, struct error **err)
{
	_cleanup_free_ char *last = path_join(v->hostdir, "backups/LAST"), *mark = v->workdir ? path_join(v->workdir, "RESTORING") : NULL;
	_cleanup_buf_ struct buf b = BUF_INIT;
	char to[4096];
	ssize_t n;

	if (args->len && *args->v[0]) {
		if (strchr(args->v[0], '/') || args->v[0][0] == '.' || strlen(args->v[0]) > NAME_LEN) {
			error_set(err, ERR_USAGE, "'%s' is not the name of a backup", args->v[0]);
			return NULL;
		}
		return xstrdup(args->v[0]);
	}
	if (mark && file_exists(mark))
		return file_read(mark, NAME_LEN, &b, err) < 0 ? NULL : buf_steal(&b);
	n = readlink(last, to, sizeof(to) - 1);
	if (n > 0) {
		to[n] = '\0';
		return xstrdup(path_basename(to));
	}
	error_set(err, ERR_NOT_FOUND, "%s: no working files, and no backup to restore", v->hostdir);
	error_hint(err, "make a machine: vm create GUESTNAME [ISOIMAGE]");
	return NULL;
}

/* Names of the packed files of a backup, without .gz. */
int vm_backup_files(const char *dir, struct strv *ret, struct error **err)
{
	_cleanup_closedir_ DIR *d = opendir(dir);
	_cleanup_free_ char *env = path_join(dir, "guest.env");

	for (struct dirent *e; d && (e = readdir(d));) {
		size_t n = strlen(e->d_name), digits = strncmp(e->d_name, "disk-", 5) ? 0 : strspn(e->d_name + 5, "0123456789");
		_cleanup_free_ char *name = n > 3 ? xstrndup(e->d_name, n - 3) : NULL;

		if ((digits && !strcmp(e->d_name + 5 + digits, ".img.gz")) || !strcmp(e->d_name, "efivars.bin.gz"))
			strv_add(ret, name);
	}
	strv_sort(ret);
	if (!strv_has(ret, "disk-0.img") || !file_exists(env))
		return error_set(err, ERR_NOT_FOUND, "%s: is no backup: it has no %s", dir, file_exists(env) ? "disk-0.img.gz" : "guest.env");
	return 0;
}

static int unpack_all(struct vm *v, const char *dir, const char *temp, const struct strv *files, struct error **err)
{
	for (size_t i = 0; i < files->len; i++) {
		_cleanup_free_ char *packed = xasprintf("%s/%s.gz", dir, files->v[i]), *to = path_join(temp, files->v[i]);

		printf("  - restoring '%s'...", files->v[i]);
		fflush(stdout);
		if (vm_unpack(packed, to, err) < 0 ||
			(!strncmp(files->v[i], "disk-", 5) &&
				proc_run((const char *const[]){ "qemu-img", "check", "-q", "-f", "qcow2", to, NULL }, CHECK_MS, NULL, NULL, err) < 0)) {
			printf(" fail\n");
			return error_wrap(err, "nothing was changed");
		}
		printf(" done\n");
	}
	return 0;
}

/* Copies what a backup may hold. */
static int copy_if(const char *dir, const char *temp, const char *name, struct strv *files, struct error **err)
{
	_cleanup_free_ char *from = path_join(dir, name), *to = path_join(temp, name);

	if (!file_exists(from))
		return 0;
	strv_add(files, name);
	return file_copy(from, to, 0644, err);
}

static int change_places(struct vm *v, const char *name, const char *temp, const struct strv *files, struct error **err)
{
	_cleanup_free_ char *mark = path_join(v->workdir, "RESTORING"), *first = path_join(v->workdir, "FIRSTTIME");

	if (file_write(mark, name, strlen(name), 0644, err) < 0)
		return -1;
	for (size_t i = 0; i < files->len; i++) {
		_cleanup_free_ char *from = path_join(temp, files->v[i]), *to = path_join(v->workdir, files->v[i]);

		if (file_rename(from, to, err) < 0)
			return -1;
	}
	return file_unlink(first, err) < 0 || file_unlink(mark, err) < 0 ? -1 : 0;
}

/* The disks are ours for as long as *held is open; -1 there: nothing is registered yet. */
static int hold(struct vm *v, int *held, struct error **err)
{
	_cleanup_machine_ struct machine *m = NULL;

	/* without a guest.env there is no machine yet */
	vm_settings_guest(v, err);
	error_clear(err);
	m = vm_registered(v, err);
	error_clear(err);
	*held = m ? machine_hold(m, err) : -1;
	return m && *held < 0 ? -1 : 0;
}

int vm_restore(struct vm *v, const struct strv *args, struct error **err)
{
	_cleanup_free_ char *name = NULL, *sub = NULL, *dir = NULL, *temp = NULL;
	_cleanup_strv_ struct strv files = STRV_INIT;
	_cleanup_error_ struct error *e = NULL;
	_cleanup_close_ int held = -1;
	int rc;

	if (v->native) {
		error_set(err, ERR_STATE, "%s: is the folder of croft's machine %s", v->hostdir, v->native->name);
		return error_hint(err, "its snapshots: croft vm snapshots %s", v->native->name);
	}
	name = backup_name(v, args, err);
	if (!name)
		return -1;
	sub = path_join("backups", name);
	dir = path_join(v->hostdir, sub);
	if (vm_backup_files(dir, &files, err) < 0 || hold(v, &held, err) < 0 || vm_make_workdir(v, err) < 0)
		return -1;
	vm_say(v, "CLR_LC1", "Restoring from snapshot '%s'...", name);
	temp = path_join(v->workdir, ".restore");
	if (file_remove_tree(temp, err) < 0 || file_mkdirs(temp, 0700, err) < 0)
		return -1;
	rc = unpack_all(v, dir, temp, &files, err);
	if (rc == 0)
		rc = copy_if(dir, temp, "guest.env", &files, err);
	if (rc == 0)
		rc = copy_if(dir, temp, "vm.defaults", &files, err);
	if (rc == 0)
		rc = change_places(v, name, temp, &files, err);
	file_remove_tree(temp, &e);
	if (rc == 0)
		vm_say(v, "CLR_OK", "Snapshot '%s' is restored.", name);
	return rc;
}
