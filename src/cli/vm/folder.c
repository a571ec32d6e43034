/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Backups of the original's kind, HOSTDIR/backups/NAME, into croft's store and out of it. Into it: unpacked in a folder of their own, which
 * then serves as the WORKDIR from which the machine is defined. Out of it: made as backups/.NAME.tmp, which gets its name when it is whole.
 */
#include "vm.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/proc.h"
#include "base/units.h"
#include "machine/backup.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TEXT_MAX 65536
#define IMG_MS (6 * 3600 * 1000)

/* The first line of a file, new; NULL when it is not there. */
static char *line_of(const char *dir, const char *name)
{
	_cleanup_free_ char *path = path_join(dir, name);
	_cleanup_error_ struct error *e = NULL;
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (!file_exists(path) || file_read(path, TEXT_MAX, &b, &e) < 0)
		return NULL;
	return xstrndup(buf_str(&b), strcspn(buf_str(&b), "\n"));
}

/* TS, "YYYY-MM-DD HH:MM:SS" of this place's time, or else the folder's time. */
static time_t time_of(const char *dir)
{
	_cleanup_free_ char *ts = line_of(dir, "TS");
	struct tm tm = { .tm_isdst = -1 };
	struct stat st;

	if (ts && strptime(ts, "%Y-%m-%d %H:%M:%S", &tm))
		return mktime(&tm);
	return stat(dir, &st) == 0 ? st.st_mtime : 0;
}

struct dated {
	char *name;
	time_t time;
};

static int by_time(const void *a, const void *b)
{
	const struct dated *x = a, *y = b;

	if (x->time != y->time)
		return x->time < y->time ? -1 : 1;
	return strverscmp(x->name, y->name);
}

int vm_folder_list(const char *hostdir, struct strv *ret, struct error **err)
{
	_cleanup_free_ char *backups = path_join(hostdir, "backups");
	_cleanup_closedir_ DIR *d = opendir(backups);
	struct dated *list = NULL;
	size_t n = 0;

	for (struct dirent *e; d && (e = readdir(d));) {
		_cleanup_free_ char *dir = path_join(backups, e->d_name), *env = path_join(dir, "guest.env");

		if (e->d_name[0] == '.' || !strcmp(e->d_name, "LAST") || !file_exists(env))
			continue;
		list = xreallocarray(list, n + 1, sizeof(*list));
		list[n++] = (struct dated){ xstrdup(e->d_name), time_of(dir) };
	}
	if (n)
		qsort(list, n, sizeof(*list), by_time);
	for (size_t i = 0; i < n; i++)
		strv_take(ret, list[i].name);
	free(list);
	return n ? 0 : error_set(err, ERR_NOT_FOUND, "%s: has no backups in it", backups);
}

/* Settings of a HOSTDIR as the tool has them, with this WORKDIR. */
static int settings(struct vm *v, const char *hostdir, const char *workdir, struct error **err)
{
	v->hostdir = xstrdup(hostdir);
	v->workdir = xstrdup(workdir);
	return vm_settings_load(v, err) < 0 || vm_settings_guest(v, err) < 0 ? -1 : 0;
}

/* Disks of the backup become the machine's own; disks elsewhere stay what they are. Both in the order of IMAGES: ours must come first. */
static int adopt_disks(struct machine_def *d, const char *workdir, struct strv *disks, struct error **err)
{
	size_t n = strlen(workdir);

	for (size_t i = 0; i < d->ndisks; i++) {
		struct machine_disk *k = &d->disks[i];
		struct stat st;

		if (!k->path || strncmp(k->path, workdir, n) || k->path[n] != '/')
			continue;
		if (disks->len != i)
			return error_set(err, ERR_STATE, "its disk %s comes after one that is not in the backup: croft cannot take that in", k->path);
		if (stat(k->path, &st) < 0)
			return error_set(err, ERR_NOT_FOUND, "%s: is not in the backup", path_basename(k->path));
		strv_take(disks, STEAL(k->path));
		free(STEAL(k->format));
	}
	return disks->len ? 0 : error_set(err, ERR_STATE, "its guest.env names no disk of the backup");
}

static int put_folder(struct vm *v, const char *dir, const char *name, const char *machine, struct store *s, char **used, struct error **err)
{
	_cleanup_(machine_def_clear) struct machine_def d = { 0 };
	_cleanup_free_ char *text = line_of(dir, "DESCRIPTION"), *nvram = path_join(v->workdir, "efivars.bin");
	_cleanup_strv_ struct strv disks = STRV_INIT;
	struct backup_given g;

	if (vm_define(v, NULL, false, &d, err) < 0 || adopt_disks(&d, v->workdir, &disks, err) < 0)
		return -1;
	/* It is a machine of croft's own then. */
	free(STEAL(d.home));
	free(STEAL(d.workdir));
	free(STEAL(d.nvram));
	*used = machine ? xstrdup(machine) : vm_plain_name(vm_get(v, "GUESTNAME"));
	free(d.name);
	d.name = xstrdup(*used);
	g = (struct backup_given){ .machine = *used, .name = name, .text = text, .time = time_of(dir), .def = &d,
		.disks = (const char *const *)disks.v, .ndisks = disks.len, .nvram = file_exists(nvram) ? nvram : NULL };
	return backup_give(s, &g, err);
}

int vm_folder_take(const char *hostdir, const char *name, const char *machine, struct store *s, char **used, struct error **err)
{
	_cleanup_free_ char *dir = xasprintf("%s/backups/%s", hostdir, name), *base = path_data("tmp"), *temp = xasprintf("%s/take-%d", base, (int)getpid());
	_cleanup_(vm_clear) struct vm v = { .vars = shellvars_new(), .lock = -1 };
	_cleanup_strv_ struct strv files = STRV_INIT;
	_cleanup_free_ char *env = path_join(dir, "guest.env"), *env2 = path_join(temp, "guest.env");
	_cleanup_free_ char *extra = path_join(dir, "vm.defaults"), *extra2 = path_join(temp, "vm.defaults");
	_cleanup_error_ struct error *e = NULL;
	int rc = 0;

	if (vm_backup_files(dir, &files, err) < 0 || file_remove_tree(temp, err) < 0 || file_mkdirs(temp, 0700, err) < 0)
		return -1;
	for (size_t i = 0; rc == 0 && i < files.len; i++) {
		_cleanup_free_ char *from = xasprintf("%s/%s.gz", dir, files.v[i]), *to = path_join(temp, files.v[i]);

		rc = vm_unpack(from, to, err);
	}
	if (rc == 0 && (rc = file_copy(env, env2, 0600, err)) == 0 && file_exists(extra))
		rc = file_copy(extra, extra2, 0600, err);
	if (rc == 0 && (rc = settings(&v, hostdir, temp, err)) == 0)
		rc = put_folder(&v, dir, name, machine, s, used, err);
	file_remove_tree(temp, &e);
	return rc < 0 ? error_wrap(err, "%s", dir) : 0;
}

/* ---- back ---- */

static const char *type_of(const struct machine_disk *k)
{
	const char *bus = k->bus ? k->bus : "virtio";

	return !strcmp(bus, "sata") || !strcmp(bus, "ide") ? "AHCI" : !strcmp(bus, "nvme") ? "NVME" : !strcmp(bus, "scsi") ? "SCSI" : "VIRT";
}

static int write_env(const struct machine_def *d, const struct strv *images, const char *hostdir, const char *dir, struct error **err)
{
	_cleanup_(vm_clear) struct vm v = { .vars = shellvars_new(), .lock = -1 };
	_cleanup_strv_ struct strv none = STRV_INIT;
	char number[32];

	v.hostdir = xstrdup(hostdir);
	v.workdir = xstrdup(dir);
	if (vm_settings_load(&v, err) < 0)
		return -1;
	shellvars_set(v.vars, "QEMUARCH", d->arch ? d->arch : "x86_64");
	snprintf(number, sizeof(number), "%u", d->sockets ? d->sockets : 1);
	shellvars_set(v.vars, "SOCKETS", number);
	snprintf(number, sizeof(number), "%u", d->cores ? d->cores : 1);
	shellvars_set(v.vars, "CORES", number);
	snprintf(number, sizeof(number), "%lluM", (unsigned long long)(d->memory >> 20));
	shellvars_set(v.vars, "MEMORY", number);
	shellvars_set(v.vars, "UEFI", d->firmware && !strcmp(d->firmware, "uefi") ? "1" : "");
	shellvars_set(v.vars, "ISO", "");
	shellvars_set(v.vars, "KEEPCD", "");
	shellvars_set_list(v.vars, "SHARES", &none);
	return vm_write_guest_env(&v, d->name, images, err);
}

static int give_part(struct store *s, const struct backup *b, const char *part, const char *dir, const char *file, bool qcow2, struct error **err)
{
	_cleanup_free_ char *name = xasprintf("%s/%s", b->ref, part), *raw = xasprintf("%s/%s.raw", dir, file), *img = path_join(dir, file);
	_cleanup_free_ char *gz = xasprintf("%s/%s.gz", dir, file);
	struct store_get_opts o = { 0 };

	if (store_get(s, name, raw, &o, err) < 0)
		return -1;
	if (qcow2 ? proc_run((const char *const[]){ "qemu-img", "convert", "-q", "-f", "raw", "-O", "qcow2", raw, img, NULL }, IMG_MS, NULL, NULL, err) < 0 :
		    file_rename(raw, img, err) < 0)
		return -1;
	if (file_unlink(raw, err) < 0 || vm_pack(img, gz, err) < 0)
		return -1;
	return file_unlink(img, err);
}

static int write_text(const char *dir, const char *name, const char *text, struct error **err)
{
	_cleanup_free_ char *path = path_join(dir, name);

	return text ? file_writef(path, 0644, err, "%s\n", text) : 0;
}

static int fill(struct store *s, const struct backup *b, const char *hostdir, const char *dir, struct error **err)
{
	_cleanup_(machine_def_clear) struct machine_def d = { 0 };
	_cleanup_store_set_ struct store_set set = { 0 };
	_cleanup_strv_ struct strv images = STRV_INIT;
	time_t at = (time_t)(b->taken / 1000000000);
	char stamp[32];
	struct tm tm;

	if (backup_definition(s, b, b->machine, &d, err) < 0 || store_parts(s, b->ref, &set, err) < 0)
		return -1;
	for (size_t i = 0; i < set.n; i++) {
		const char *part = set.parts[i].name;
		bool disk = !strncmp(part, "disk-", 5);
		_cleanup_free_ char *file = disk ? xasprintf("%s.img", part) : xstrdup("efivars.bin");

		if (!disk && strcmp(part, "nvram"))
			continue;
		if (give_part(s, b, part, dir, file, disk, err) < 0)
			return -1;
		if (disk && strtoul(part + 5, NULL, 10) < d.ndisks)
			strv_addf(&images, "%s=%s", type_of(&d.disks[strtoul(part + 5, NULL, 10)]), file);
	}
	localtime_r(&at, &tm);
	strftime(stamp, sizeof(stamp), "%Y-%m-%d %H:%M:%S", &tm);
	return write_env(&d, &images, hostdir, dir, err) < 0 || write_text(dir, "DESCRIPTION", b->text, err) < 0 ? -1 :
		write_text(dir, "TS", stamp, err);
}

/* LAST leads to the newest, and HOSTDIR has a guest.env so that it is known as a machine. */
static int complete(const char *hostdir, const char *backups, const char *name, struct error **err)
{
	_cleanup_free_ char *last = path_join(backups, "LAST"), *env = path_join(hostdir, "guest.env"), *from = xasprintf("%s/%s/guest.env", backups, name);
	_cleanup_strv_ struct strv all = STRV_INIT;

	if (!file_exists(env) && file_copy(from, env, 0644, err) < 0)
		return -1;
	return vm_folder_list(hostdir, &all, err) < 0 ? -1 : vm_link(all.v[all.len - 1], last, err);
}

int vm_folder_give(struct store *s, const char *machine, const char *backup, const char *hostdir, struct error **err)
{
	_cleanup_backup_ struct backup *b = backup_open(s, machine, backup, err);
	_cleanup_free_ char *backups = path_join(hostdir, "backups"), *dir = NULL, *temp = NULL;
	_cleanup_error_ struct error *e = NULL;

	if (!b)
		return -1;
	dir = path_join(backups, b->name);
	temp = xasprintf("%s/.%s.tmp", backups, b->name);
	if (file_exists(dir))
		return error_set(err, ERR_STATE, "%s: a backup of that name is there", dir);
	if (file_remove_tree(temp, err) < 0 || file_mkdirs(temp, 0755, err) < 0)
		return -1;
	if (fill(s, b, hostdir, temp, err) < 0 || file_rename(temp, dir, err) < 0) {
		file_remove_tree(temp, &e);
		return error_wrap(err, "%s", dir);
	}
	return complete(hostdir, backups, b->name, err);
}
