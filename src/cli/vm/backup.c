/* SPDX-License-Identifier: Apache-2.0 */
/*
 * backup: the working files as the original keeps them, so that its restore and ours take them. A backup is made in backups/.NAME.tmp, read back,
 * and gets its name when all of it is on the disk; LAST leads to it after that.
 */
#include "vm.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/proc.h"
#include "base/qcow2.h"
#include "base/units.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CHECK_MS (3600 * 1000)
#define IMG_MS 60000
#define NAME_LEN 200

/* S and a number, more than the greatest that there is. */
static char *next_name(const char *backups)
{
	_cleanup_closedir_ DIR *d = opendir(backups);
	unsigned next = 0;

	for (struct dirent *e; d && (e = readdir(d));) {
		size_t digits = e->d_name[0] == 'S' ? strspn(e->d_name + 1, "0123456789") : 0;
		unsigned n = digits && digits < 9 && !e->d_name[1 + digits] ? (unsigned)strtoul(e->d_name + 1, NULL, 10) + 1 : 0;

		next = n > next ? n : next;
	}
	return xasprintf("S%u", next);
}

static int choose_name(const struct strv *args, const char *backups, char **name, struct error **err)
{
	_cleanup_free_ char *dir = NULL;

	*name = args->len && *args->v[0] ? xstrdup(args->v[0]) : next_name(backups);
	if (strchr(*name, '/') || **name == '.' || strlen(*name) > NAME_LEN || !strcmp(*name, "LAST"))
		return error_set(err, ERR_USAGE, "'%s' cannot be the name of a backup", *name);
	dir = path_join(backups, *name);
	if (!file_exists(dir))
		return 0;
	error_set(err, ERR_STATE, "%s: a backup of that name is there", dir);
	return error_hint(err, "take another name; without one it is %s", next_name(backups));
}

/* What a killed `vm` has left; the lock on HOSTDIR is held. */
static int sweep(const char *backups, struct error **err)
{
	_cleanup_closedir_ DIR *d = opendir(backups);

	for (struct dirent *e; d && (e = readdir(d));) {
		size_t n = strlen(e->d_name);
		_cleanup_free_ char *path = path_join(backups, e->d_name);

		if (e->d_name[0] != '.' || n < 6 || strcmp(e->d_name + n - 4, ".tmp"))
			continue;
		log_info("removing %s, which an interrupted backup has left", path);
		if (file_remove_tree(path, err) < 0)
			return -1;
	}
	return 0;
}

static int save(const char *from, const char *dir, const char *name, struct error **err)
{
	_cleanup_free_ char *to = xasprintf("%s/%s.gz", dir, name);
	int rc;

	printf("  - saving '%s'...", name);
	fflush(stdout);
	rc = vm_pack(from, to, err);
	printf(rc < 0 ? " fail\n" : " done\n");
	return rc;
}

static int save_disks(struct vm *v, const char *dir, struct error **err)
{
	_cleanup_closedir_ DIR *d = opendir(v->workdir);
	_cleanup_strv_ struct strv names = STRV_INIT;

	for (struct dirent *e; d && (e = readdir(d));) {
		size_t digits = strncmp(e->d_name, "disk-", 5) ? 0 : strspn(e->d_name + 5, "0123456789");

		if (digits && !strcmp(e->d_name + 5 + digits, ".img"))
			strv_add(&names, e->d_name);
	}
	strv_sort(&names);
	for (size_t i = 0; i < names.len; i++) {
		_cleanup_free_ char *from = path_join(v->workdir, names.v[i]);

		if (proc_run((const char *const[]){ "qemu-img", "check", "-q", "-f", "qcow2", from, NULL }, CHECK_MS, NULL, NULL, err) < 0)
			return error_wrap(err, "%s: is damaged, and no backup of it is made", from);
		if (save(from, dir, names.v[i], err) < 0)
			return -1;
	}
	return 0;
}

/* As the original has them: raw. */
static int save_nvram(struct vm *v, const char *dir, struct error **err)
{
	_cleanup_free_ char *from = path_join(v->workdir, "efivars.bin"), *raw = path_join(dir, "efivars.bin");
	int rc;

	if (!file_exists(from))
		return 0;
	if (!qcow2_is(from))
		return save(from, dir, "efivars.bin", err);
	rc = proc_run((const char *const[]){ "qemu-img", "convert", "-q", "-f", "qcow2", "-O", "raw", from, raw, NULL }, IMG_MS, NULL, NULL, err);
	if (rc == 0)
		rc = save(raw, dir, "efivars.bin", err);
	return rc == 0 ? file_unlink(raw, err) : -1;
}

static int copy_to(const char *from_dir, const char *to_dir, const char *name, struct error **err)
{
	_cleanup_free_ char *from = path_join(from_dir, name), *to = path_join(to_dir, name);

	return !file_exists(from) || file_exists(to) ? 0 : file_copy(from, to, 0644, err);
}

static int write_text(const char *dir, const char *name, const char *text, struct error **err)
{
	_cleanup_free_ char *path = path_join(dir, name);

	return file_writef(path, 0644, err, "%s\n", text);
}

static int fill(struct vm *v, const char *dir, const char *text, struct error **err)
{
	time_t now = time(NULL);
	char stamp[32];
	struct tm tm;

	localtime_r(&now, &tm);
	strftime(stamp, sizeof(stamp), "%Y-%m-%d %H:%M:%S", &tm);
	if ((text && *text && write_text(dir, "DESCRIPTION", text, err) < 0) || copy_to(v->workdir, dir, "vm.defaults", err) < 0 ||
		copy_to(v->workdir, dir, "guest.env", err) < 0 || save_disks(v, dir, err) < 0 || save_nvram(v, dir, err) < 0)
		return -1;
	/* HOSTDIR keeps what is needed to know the machine when its working files are gone */
	if (copy_to(v->workdir, v->hostdir, "guest.env", err) < 0 || copy_to(v->workdir, v->hostdir, "vm.defaults", err) < 0)
		return -1;
	return write_text(dir, "TS", stamp, err);
}

static int make(struct vm *v, const char *backups, const char *name, const char *text, struct error **err)
{
	_cleanup_free_ char *dir = path_join(backups, name), *temp = xasprintf("%s/.%s.tmp", backups, name), *last = path_join(backups, "LAST");

	if (file_mkdirs(temp, 0755, err) < 0)
		return -1;
	if (fill(v, temp, text, err) < 0 || file_rename(temp, dir, err) < 0) {
		_cleanup_error_ struct error *e = NULL;

		file_remove_tree(temp, &e);
		return error_wrap(err, "backup %s was not made", name);
	}
	return vm_link(name, last, err);
}

int vm_backup(struct vm *v, const struct strv *args, struct error **err)
{
	_cleanup_free_ char *backups = path_join(v->hostdir, "backups"), *name = NULL, *dir = NULL;
	_cleanup_machine_ struct machine *m = NULL;
	_cleanup_close_ int held = -1;
	char size[16];

	if (v->native) {
		error_set(err, ERR_STATE, "%s: is the folder of croft's machine %s", v->hostdir, v->native->name);
		return error_hint(err, "croft vm backup %s", v->native->name);
	}
	if (!v->workdir || !vm_count_disks(v->workdir, "")) {
		error_set(err, ERR_NOT_FOUND, "%s: there are no working files to back up", v->hostdir);
		return error_hint(err, "make a machine: vm create GUESTNAME [ISOIMAGE]");
	}
	if (vm_settings_guest(v, err) < 0)
		return -1;
	m = vm_registered(v, err);
	error_clear(err);
	/* Nobody starts it meanwhile. */
	if (m && (held = machine_hold(m, err)) < 0)
		return -1;
	if (file_mkdirs(backups, 0755, err) < 0 || sweep(backups, err) < 0 || choose_name(args, backups, &name, err) < 0)
		return -1;
	vm_say(v, "CLR_LC1", "Creating snapshot '%s'...", name);
	if (make(v, backups, name, args->len > 1 ? args->v[1] : NULL, err) < 0)
		return -1;
	dir = path_join(backups, name);
	vm_say(v, "CLR_OK", "Snapshot '%s' (%s) was created successfully!", name, format_size(vm_disk_usage(dir), size));
	return 0;
}
