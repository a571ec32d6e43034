/* SPDX-License-Identifier: Apache-2.0 */
/* job: jobs of the original's, in a rescue CD of the user's as its profile says, or in croft's rescue system when there is no profile. */
#include "vm.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/units.h"
#include "conf/settings.h"
#include "job/job.h"

#include <string.h>

/* What a profile says, in the form that jobs take. */
struct profile {
	char *iso, *mirror;
	struct strv forwards;
	struct machine_def shares; /* its list of them only */
	unsigned cpus;
	uint64_t memory;
};

static void profile_clear(struct profile *p)
{
	free(p->iso);
	free(p->mirror);
	strv_free(&p->forwards);
	machine_def_clear(&p->shares);
}

static void say(void *arg, const char *text)
{
	vm_say(arg, "CLR_LC1", "%c%s", text[0] >= 'a' && text[0] <= 'z' ? text[0] - 32 : text[0], text + 1);
}

/* In and out are ours whatever is said of them. */
static int read_shares(struct vm *v, struct profile *p, struct error **err)
{
	const struct strv *list = shellvars_list(v->vars, "RESCUE_SHARES");

	for (size_t i = 0; list && i < list->len; i++) {
		struct machine_share *s;

		if (!strncmp(list->v[i], "in:", 3) || !strncmp(list->v[i], "out:", 4) || vm_skip_mirror(v, list->v[i]))
			continue;
		if (vm_define_share(v, list->v[i], &p->shares, err) < 0)
			return error_wrap(err, "RESCUE_SHARES");
		s = &p->shares.shares[p->shares.nshares - 1];
		if (strcmp(s->tag, "mirror"))
			continue;
		free(p->mirror);
		p->mirror = xstrdup(s->path);
		machine_def_drop(&p->shares, "shares", p->shares.nshares - 1);
	}
	return 0;
}

/* What a profile leaves empty is that of the machine. */
static const char *own_or(struct vm *v, const char *own, const char *machines)
{
	return vm_on(v, own) ? vm_get(v, own) : vm_get(v, machines);
}

static int read_size(struct vm *v, struct profile *p, struct error **err)
{
	const char *sockets = own_or(v, "RESCUE_SOCKETS", "SOCKETS"), *cores = own_or(v, "RESCUE_CORES", "CORES"), *memory = vm_get(v, "RESCUE_MEMORY");
	uint64_t a = 1, b = 1;

	if ((*sockets && parse_u64("RESCUE_SOCKETS", sockets, 1, 64, &a, err) < 0) || (*cores && parse_u64("RESCUE_CORES", cores, 1, 255, &b, err) < 0) ||
		(*memory && vm_parse_memory(memory, &p->memory, err) < 0))
		return -1;
	p->cpus = (unsigned)(a * b);
	return 0;
}

static int read_forwards(struct vm *v, struct profile *p, struct error **err)
{
	_cleanup_(machine_def_clear) struct machine_def d = { 0 };
	struct machine_nic *n;

	machine_def_init(&d);
	n = machine_def_add_nic(&d);
	if (vm_split_forwards(own_or(v, "RESCUE_FORWARDS", "FORWARDS"), n, err) < 0)
		return error_wrap(err, vm_on(v, "RESCUE_FORWARDS") ? "RESCUE_FORWARDS" : "FORWARDS");
	strv_addv(&p->forwards, n->forwards.v ? (const char *const *)n->forwards.v : (const char *const[]){ NULL });
	if (n->guestforwards.len && vm_on(v, "RESCUE_FORWARDS"))
		return error_set(err, ERR_USAGE, "RESCUE_FORWARDS: guestfwd is not for rescue systems");
	return 0;
}

static int read_profile(struct vm *v, struct profile *p, struct error **err)
{
	_cleanup_free_ char *name = v->rescue && *v->rescue ? xstrdup(v->rescue) : xasprintf("rescue-%s", vm_get(v, "QEMUARCH"));
	_cleanup_free_ char *dir = path_join(vm_get(v, "PROFILES"), name), *path = path_join(dir, "guest.env"), *beside = NULL;
	static const char *const shares[] = { "mirror:@MIRROR@", "in:@INDIR@", "out:rw:@DATADIR@", NULL };
	_cleanup_strv_ struct strv list = STRV_INIT;

	machine_def_init(&p->shares);
	if (!file_exists(path) && v->rescue)
		return error_set(err, ERR_NOT_FOUND, "rescue profile %s: %s is not there", name, path);
	strv_addv(&list, shares);
	shellvars_set(v->vars, "RESCUE_SOCKETS", "1");
	shellvars_set(v->vars, "RESCUE_CORES", "2");
	shellvars_set(v->vars, "RESCUE_MEMORY", file_exists(path) ? "2G" : "");
	shellvars_set(v->vars, "RESCUE_FORWARDS", "");
	shellvars_set(v->vars, "RESCUE_ISO", "");
	shellvars_set_list(v->vars, "RESCUE_SHARES", &list);
	if (file_exists(path) && shellvars_read(v->vars, path, err) < 0)
		return -1;
	if (read_size(v, p, err) < 0 || read_forwards(v, p, err) < 0 || read_shares(v, p, err) < 0)
		return -1;
	if (!file_exists(path))
		return 0;
	if (!vm_on(v, "RESCUE_ISO"))
		return error_set(err, ERR_USAGE, "%s: RESCUE_ISO is not set", path);
	beside = path_join(dir, vm_get(v, "RESCUE_ISO"));
	p->iso = file_exists(beside) ? realpath(beside, NULL) : vm_find_iso(v, vm_get(v, "RESCUE_ISO"), err);
	return p->iso ? 0 : error_wrap(err, "rescue profile %s", name);
}

/* All settings, for .pre and .post: variables, and what is or may be an array. */
static void export_settings(struct vm *v, struct strv *vars, struct strv *arrays)
{
	/* Scripts that know the original take these for set; it is bash -u that runs them. */
	static const char *const there[] = { "MEDIA", "MEDIA_MIRROR", "MEDIA_STORAGE", "FORWARDS", "ISO", "KEEPCD", "UEFI", "HOST", "PORT",
		"SOCKETS", "CORES", "MEMORY", "DISKS", "USENETDEV", "INPLACE" };
	_cleanup_strv_ struct strv names = STRV_INIT;

	shellvars_names(v->vars, &names);
	for (size_t i = 0; i < ARRAY_SIZE(there); i++)
		if (!strv_has(&names, there[i]))
			strv_addf(vars, "%s=", there[i]);
	for (size_t i = 0; i < names.len; i++) {
		const struct strv *l = shellvars_list(v->vars, names.v[i]);

		if (l->len == 1 && strcmp(names.v[i], "SSHKEYS") && strcmp(names.v[i], "SHARES") && strcmp(names.v[i], "IMAGES")) {
			strv_addf(vars, "%s=%s", names.v[i], l->v[0]);
			continue;
		}
		strv_add(arrays, names.v[i]);
		strv_addf(arrays, "%zu", l->len);
		strv_addv(arrays, l->v ? (const char *const *)l->v : (const char *const[]){ NULL });
	}
}

/* Keys that settings name by default need not be there. */
static void drop_absent_keys(struct vm *v)
{
	const struct strv *keys = shellvars_list(v->vars, "SSHKEYS");
	_cleanup_strv_ struct strv there = STRV_INIT;

	for (size_t i = 0; keys && i < keys->len; i++)
		if (file_exists(keys->v[i]))
			strv_add(&there, keys->v[i]);
	shellvars_set_list(v->vars, "SSHKEYS", &there);
}

static struct machine *open_machine(struct vm *v, struct error **err)
{
	_cleanup_(machine_def_clear) struct machine_def d = { 0 };
	_cleanup_free_ char *mark = NULL;
	bool first;

	if (v->native)
		return machine_open(v->native->name, err);
	if (!v->workdir || !vm_count_disks(v->workdir, "")) {
		error_set(err, ERR_NOT_FOUND, "%s: there are no working files that a job could work on", v->hostdir);
		error_hint(err, "vm @restore puts a backup back, vm @create GUESTNAME makes a machine");
		return NULL;
	}
	mark = path_join(v->workdir, "FIRSTTIME");
	first = file_exists(mark);
	if (vm_settings_guest(v, err) < 0 || vm_make_workdir(v, err) < 0 || vm_convert_nvram(v, err) < 0 || vm_define(v, NULL, first, &d, err) < 0)
		return NULL;
	return vm_register(v, &d, first, err);
}

static int run(struct vm *v, struct machine *m, const struct job *j, struct profile *p, struct error **err)
{
	const char *work = v->native ? m->dir : v->workdir;
	_cleanup_free_ char *in = path_join(work, v->native ? "job/in" : ".in"), *out = path_join(work, v->native ? "job/out" : ".out");
	_cleanup_strv_ struct strv vars = STRV_INIT, arrays = STRV_INIT;
	struct job_opts o = { .luks_key = -1, .in = in, .out = out, .host_vars = &vars, .arrays = &arrays, .start_ms = -1, .timeout_ms = -1, .discard = -1, .iso = p->iso,
		.mirror = p->mirror, .forwards = &p->forwards, .shares = p->shares.shares, .nshares = p->shares.nshares, .cpus = p->cpus,
		.memory = p->memory, .accel = settings_get("accel"), .say = say, .arg = v };
	uint64_t seconds = 0;
	int status = 0;

	if (v->timeout && *v->timeout) {
		if (parse_u64("option --timeout", v->timeout, 1, 1000000, &seconds, err) < 0)
			return -1;
		o.timeout_ms = (int)(seconds * 1000);
	}
	/* --uefi and --no-uefi are part of the machine already; a job that does not care may still start by BIOS */
	o.firmware = v->uefi ? *v->uefi ? "uefi" : "bios" : p->iso ? m->def.firmware : NULL;
	export_settings(v, &vars, &arrays);
	if (job_run(m, j, &o, &status, err) < 0)
		return -1;
	if (status)
		return error_set(err, (enum error_class)status, "job %s: exited with status %d; its output is in %s", j->name, status, out);
	vm_say(v, "CLR_OK", "Rescue VM is switched off at the moment.");
	return 0;
}

int vm_job(struct vm *v, const struct strv *args, struct error **err)
{
	_cleanup_(profile_clear) struct profile p = { 0 };
	_cleanup_strv_ struct strv dirs = STRV_INIT;
	_cleanup_machine_ struct machine *m = NULL;
	_cleanup_job_ struct job j = { 0 };
	const char *libexec = vm_get(v, "LIBEXEC");

	strv_add(&dirs, v->hostdir);
	strv_addf(&dirs, "%s/jobs", libexec);
	job_dirs(&dirs);
	if (job_find(args->v[0], &dirs, &j, err) < 0)
		return -1;
	m = open_machine(v, err);
	if (!m)
		return -1;
	/* those of others look for themselves */
	if (!strcmp(j.dir, dirs.v[dirs.len - 1]))
		drop_absent_keys(v);
	return read_profile(v, &p, err) < 0 ? -1 : run(v, m, &j, &p, err);
}
