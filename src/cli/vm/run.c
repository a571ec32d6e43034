/* SPDX-License-Identifier: Apache-2.0 */
/* create, run, destroy */
#include "vm.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/intr.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/proc.h"
#include "base/qcow2.h"
#include "base/units.h"
#include "conf/settings.h"
#include "machine/display.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define IMG_MS 60000
#define STOP_MS 30000

static int refuse_native(const struct vm *v, const char *what, struct error **err)
{
	error_set(err, ERR_STATE, "%s: is the folder of croft's machine %s", v->hostdir, v->native->name);
	return error_hint(err, what, v->native->name);
}

/* Nothing of an older machine may be here. */
static int check_empty(struct vm *v, struct error **err)
{
	_cleanup_free_ char *env = path_join(v->hostdir, "guest.env"), *backups = path_join(v->hostdir, "backups");
	_cleanup_closedir_ DIR *d = opendir(backups);

	if (file_exists(env))
		return error_set(err, ERR_STATE, "%s: a machine is described here already; remove it first", env);
	if (v->workdir && vm_count_disks(v->workdir, ""))
		return error_set(err, ERR_STATE, "%s: disks of a machine are here already; remove them first (vm destroy)", v->workdir);
	for (struct dirent *e; d && (e = readdir(d));) {
		_cleanup_free_ char *dir = path_join(backups, e->d_name);

		if (e->d_name[0] != '.' && strcmp(e->d_name, "LAST") && vm_count_disks(dir, ".gz"))
			return error_set(err, ERR_STATE, "%s: backups of a machine are here already; remove them first", backups);
	}
	return 0;
}

/* "AHCI=30G,VIRT=1G": checked before anything is made. */
static int split_disks(struct vm *v, struct strv *types, struct strv *sizes, struct error **err)
{
	_cleanup_strv_ struct strv parts = STRV_INIT;

	strv_split(&parts, vm_get(v, "DISKS"), ", ");
	for (size_t i = 0; i < parts.len; i++) {
		const char *eq = strchr(parts.v[i], '=');
		_cleanup_free_ char *type = eq ? xstrndup(parts.v[i], (size_t)(eq - parts.v[i])) : NULL;
		uint64_t size;

		if (!eq || (strcmp(type, "AHCI") && strcmp(type, "NVME") && strcmp(type, "SCSI") && strcmp(type, "VIRT"))) {
			error_set(err, ERR_USAGE, "disks: '%s' is not TYPE=SIZE", parts.v[i]);
			return error_hint(err, "types are AHCI, NVME, SCSI, VIRT, as in AHCI=30G,VIRT=1G");
		}
		if (parse_size("disks", eq + 1, &size, err) < 0)
			return -1;
		if (size < 512)
			return error_set(err, ERR_USAGE, "disks: '%s' is too small for a disk", parts.v[i]);
		strv_add(types, type);
		strv_addf(sizes, "%llu", (unsigned long long)size);
	}
	return 0;
}

static int make_disks(struct vm *v, struct strv *images, struct strv *made, struct error **err)
{
	_cleanup_strv_ struct strv types = STRV_INIT, sizes = STRV_INIT;

	if (split_disks(v, &types, &sizes, err) < 0)
		return -1;
	for (size_t i = 0; i < types.len; i++) {
		_cleanup_free_ char *name = xasprintf("disk-%zu.img", i), *path = path_join(v->workdir, name);

		strv_add(made, path);
		if (proc_run((const char *const[]){ "qemu-img", "create", "-q", "-f", "qcow2", path, sizes.v[i], NULL }, IMG_MS, NULL, NULL, err) < 0)
			return error_wrap(err, "%s", path);
		strv_addf(images, "%s=%s", types.v[i], name);
	}
	return 0;
}

static int make_all(struct vm *v, const char *name, struct strv *made, struct error **err)
{
	_cleanup_free_ char *vars = path_join(v->workdir, "efivars.bin"), *first = path_join(v->workdir, "FIRSTTIME"), *env = path_join(v->workdir, "guest.env");
	_cleanup_strv_ struct strv images = STRV_INIT;
	_cleanup_(machine_def_clear) struct machine_def d = { 0 };
	_cleanup_machine_ struct machine *m = NULL;

	strv_add(made, vars);
	strv_add(made, first);
	strv_add(made, env);
	if (vm_on(v, "UEFI") && machine_make_nvram(vm_get(v, "QEMUARCH"), vars, err) < 0)
		return -1;
	if (make_disks(v, &images, made, err) < 0 || file_write(first, "", 0, 0644, err) < 0)
		return -1;
	shellvars_set_list(v->vars, "IMAGES", &images);
	shellvars_set(v->vars, "GUESTNAME", name);
	/* What croft would refuse at the first run is refused here. */
	if (vm_define(v, NULL, true, &d, err) < 0)
		return -1;
	m = vm_register(v, &d, true, err);
	return m ? vm_write_guest_env(v, name, &images, err) : -1;
}

int vm_create(struct vm *v, const struct strv *args, struct error **err)
{
	_cleanup_strv_ struct strv made = STRV_INIT, types = STRV_INIT, sizes = STRV_INIT;
	bool had_work = v->workdir != NULL;
	_cleanup_free_ char *iso = NULL;

	if (v->native)
		return refuse_native(v, "it is there already: vm run, or croft vm start %s", err);
	if (!*args->v[0])
		return error_set(err, ERR_USAGE, "the machine's name is empty");
	if (check_empty(v, err) < 0)
		return -1;
	if (v->arch)
		shellvars_set(v->vars, "QEMUARCH", v->arch);
	if (args->len > 1)
		shellvars_set(v->vars, "ISO", args->v[1]);
	if (!vm_on(v, "ISO"))
		shellvars_set(v->vars, "KEEPCD", "");
	else if (!(iso = vm_find_iso(v, vm_get(v, "ISO"), err)))
		return -1;
	if (split_disks(v, &types, &sizes, err) < 0 || vm_make_workdir(v, err) < 0)
		return -1;
	if (make_all(v, args->v[0], &made, err) < 0) {
		_cleanup_error_ struct error *e = NULL, *e2 = NULL;

		/* All or nothing. */
		for (size_t i = 0; i < made.len; i++, error_clear(&e))
			file_unlink(made.v[i], &e);
		if (!had_work && strcmp(v->workdir, v->hostdir))
			vm_remove_workdir(v, &e2);
		return -1;
	}
	vm_say(v, "CLR_OK", "The machine is made in %s.", v->workdir);
	return 0;
}

/* remote-viewer beside the machine, or what to type elsewhere. */
static int show_display(struct vm *v, struct machine *m, struct proc *viewer, struct error **err)
{
	_cleanup_(display_clear) struct display d = { 0 };

	if (display_open(m, &d, err) < 0) {
		/* a machine without a display has none to show */
		error_clear(err);
		return 0;
	}
	if (d.local && d.program && display_have_screen())
		return display_spawn(&d, viewer, err);
	display_print(&d, stdout);
	return 0;
}

static bool is_on(const struct machine *m)
{
	enum machine_state s = machine_state(m);

	return s != MACHINE_STOPPED && s != MACHINE_CRASHED;
}

/* Until QEMU has ended. Ctrl-C ends it, with its caches written. */
static int wait_end(struct machine *m, struct error **err)
{
	_cleanup_free_ char *end = NULL;

	while (is_on(m)) {
		if (intr_signal) {
			_cleanup_error_ struct error *e = NULL;

			free(machine_qmp(m, "quit", NULL, STOP_MS, &e));
			error_clear(&e);
			/* what it had to write is written; this waits until its helper has tidied up */
			for (int i = 0; i < 20 && is_on(m); i++)
				poll(NULL, 0, 100);
			machine_kill(m, &e);
			return error_set(err, ERR_INTR, "interrupted; the machine %s was switched off", m->name);
		}
		poll(NULL, 0, 100);
	}
	end = machine_last_end(m);
	if (end && strcmp(end, "exited with status 0") && strcmp(end, "killed on request"))
		return error_set(err, ERR_FAILED, "machine %s: QEMU %s; its log is in %s/log", m->name, end, m->dir);
	return 0;
}

static int run_machine(struct vm *v, struct machine *m, struct error **err)
{
	_cleanup_proc_ struct proc viewer = PROC_INIT;
	struct machine_start_opts o = { .accel = settings_get("accel") };
	bool already = false;
	int status;

	if (machine_start(m, &o, &already, err) < 0)
		return -1;
	if (already)
		return error_set(err, ERR_STATE, "machine %s: is running already", m->name);
	if (show_display(v, m, &viewer, err) < 0 || wait_end(m, err) < 0)
		return -1;
	if (viewer.pid > 0) {
		_cleanup_error_ struct error *e = NULL;

		proc_wait(&viewer, 3000, &status, &e);
	}
	vm_say(v, "CLR_OK", "The machine is switched off.");
	return 0;
}

/* Variables as the original keeps them, raw, become qcow2 once; the raw ones stay beside it. */
int vm_convert_nvram(struct vm *v, struct error **err)
{
	_cleanup_free_ char *vars = path_join(v->workdir, "efivars.bin"), *raw = path_join(v->workdir, "efivars.raw"),
			    *temp = path_join(v->workdir, "efivars.tmp");

	if (!vm_on(v, "UEFI"))
		return 0;
	if (!file_exists(vars))
		return machine_make_nvram(v->arch && *v->arch ? v->arch : vm_get(v, "QEMUARCH"), vars, err);
	if (qcow2_is(vars))
		return 0;
	if (proc_run((const char *const[]){ "qemu-img", "convert", "-q", "-f", "raw", "-O", "qcow2", vars, temp, NULL }, IMG_MS, NULL, NULL, err) < 0)
		return error_wrap(err, "%s", vars);
	if (!file_exists(raw) && link(vars, raw) < 0)
		log_warn("%s: the original variables are not kept", vars);
	return file_rename(temp, vars, err);
}

static int run_native(struct vm *v, const struct strv *args, struct error **err)
{
	struct machine_def *d = &v->native->def;
	_cleanup_free_ char *iso = NULL;

	if (args->len) {
		struct machine_disk *k = machine_def_add_disk(d);

		iso = vm_find_iso(v, args->v[0], err);
		if (!iso)
			return -1;
		k->media = xstrdup("cdrom");
		k->format = xstrdup("raw");
		free(k->bus);
		k->bus = xstrdup("sata");
		k->path = STEAL(iso);
		for (size_t i = 0; i < d->ndisks; i++)
			d->disks[i].boot = d->disks[i].boot >= 0 ? d->disks[i].boot + 1 : -1;
		k = &d->disks[d->ndisks - 1];
		k->boot = 0;
	}
	return run_machine(v, v->native, err);
}

int vm_run(struct vm *v, const struct strv *args, struct error **err)
{
	_cleanup_(machine_def_clear) struct machine_def d = { 0 };
	_cleanup_machine_ struct machine *m = NULL;
	_cleanup_free_ char *mark = NULL, *iso = NULL;
	char size[16];
	bool first;

	if (v->native)
		return run_native(v, args, err);
	/* First of all: what is neither a command nor an image may be a mistyped command, and must not restore anything. */
	if (args->len && *args->v[0] && !(iso = vm_find_iso(v, args->v[0], err)))
		return error_hint(err, "`vm --help` lists the commands");
	if ((!v->workdir || !vm_count_disks(v->workdir, "")) && !v->images.len && vm_restore(v, &(struct strv)STRV_INIT, err) < 0)
		return -1;
	if (vm_settings_guest(v, err) < 0 || vm_make_workdir(v, err) < 0 || vm_convert_nvram(v, err) < 0)
		return -1;
	mark = path_join(v->workdir, "FIRSTTIME");
	first = file_exists(mark);
	if (vm_define(v, args->len ? args->v[0] : NULL, first, &d, err) < 0)
		return -1;
	m = vm_register(v, &d, first, err);
	if (!m || run_machine(v, m, err) < 0)
		return -1;
	if (file_unlink(mark, err) < 0 || machine_set_first_run(m, false, err) < 0)
		return -1;
	printf("%s\n", format_size(vm_disk_usage(v->workdir), size));
	return 0;
}

int vm_destroy(struct vm *v, const struct strv *args, struct error **err)
{
	_cleanup_machine_ struct machine *m = NULL;

	if (v->native)
		return refuse_native(v, "remove it with: croft vm remove %s", err);
	if (v->workdir) {
		/* its name is in guest.env; without one there is nothing registered */
		vm_settings_guest(v, err);
		error_clear(err);
	}
	m = vm_registered(v, err);
	error_clear(err);
	if (m && machine_remove(m->name, false, err) < 0)
		return -1;
	if (vm_remove_workdir(v, err) < 0)
		return -1;
	vm_say(v, "CLR_OK", "The machine's working files are removed.");
	return 0;
}
