/* SPDX-License-Identifier: Apache-2.0 */
/* The settings of `vm` in their order: built in, /etc/vm.conf, ~/.config/vm.conf, guest.env, options. Files are read, never executed. */
#include "vm.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/proc.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#define MEDIA_MS 60000

static const char *const defaults[][2] = { { "INPLACE", "" }, { "UEFI", "" }, { "ISO", "" }, { "KEEPCD", "" }, { "SOCKETS", "1" },
	{ "CORES", "2" }, { "MEMORY", "2G" }, { "PORT", "5900" }, { "USENETDEV", "1" }, { "HOST", "localhost" }, { "FORWARDS", "" },
	{ "DISKS", "AHCI=30G" }, { "MEDIA_MIRROR", "" }, { "MEDIA_STORAGE", "" }, { "GUESTNAME", "" }, { "CLR_NORM", "\\033[00m" },
	{ "CLR_BOLD", "\\033[01;37m" }, { "CLR_LC1", "\\033[00;36m" }, { "CLR_LC2", "\\033[01;35m" }, { "CLR_OK", "\\033[00;32m" },
	{ "CLR_ERR", "\\033[01;31m" }, { "CLR_WARN", "\\033[01;33m" } };

const char *vm_get(const struct vm *v, const char *name)
{
	const char *s = shellvars_get(v->vars, name);

	return s ? s : "";
}

bool vm_on(const struct vm *v, const char *name)
{
	return *vm_get(v, name);
}

const char *vm_arch(const char *arch)
{
	bool x86 = arch[0] == 'i' && arch[1] && !strcmp(arch + 2, "86");

	return x86 || !strcmp(arch, "pentium") || !strcmp(arch, "athlon") ? "i386" : arch;
}

static char *home_path(const char *sub)
{
	const char *home = getenv("HOME");

	return path_join(home ? home : "/", sub);
}

static void set_defaults(struct vm *v)
{
	static const char *const shares[] = { "mirror:@MIRROR@", "in:@HOSTDIR@", "out:rw:@DATADIR@", NULL };
	_cleanup_free_ char *ed = home_path(".ssh/id_ed25519.pub"), *rsa = home_path(".ssh/id_rsa.pub"), *profiles = home_path("vm");
	_cleanup_strv_ struct strv list = STRV_INIT, keys = STRV_INIT;
	struct utsname u;

	for (size_t i = 0; i < ARRAY_SIZE(defaults); i++)
		shellvars_set(v->vars, defaults[i][0], defaults[i][1]);
	strv_addv(&list, shares);
	shellvars_set_list(v->vars, "SHARES", &list);
	strv_add(&keys, ed);
	strv_add(&keys, rsa);
	shellvars_set_list(v->vars, "SSHKEYS", &keys);
	shellvars_set_list(v->vars, "IMAGES", &(struct strv)STRV_INIT);
	shellvars_set(v->vars, "PROFILES", profiles);
	shellvars_set(v->vars, "PROG", "vm");
	shellvars_set(v->vars, "HOSTDIR", v->hostdir);
	shellvars_set(v->vars, "QEMUARCH", uname(&u) == 0 ? vm_arch(u.machine) : "x86_64");
}

/* "hostfwd=A,guestfwd=B" holds this rule? */
static bool has_rule(const char *all, const char *rule)
{
	size_t n = strlen(rule);

	for (const char *s = strstr(all, rule); s; s = strstr(s + 1, rule))
		if ((s == all || s[-1] == ',') && (!s[n] || s[n] == ','))
			return true;
	return false;
}

static void apply_forwards(struct vm *v)
{
	_cleanup_free_ char *all = xstrdup(vm_get(v, "FORWARDS"));

	for (size_t i = 0; i < v->forwards.len; i++) {
		const char *rule = v->forwards.v[i];
		char *next = !*rule		? xstrdup("") :
			!*all			? xstrdup(rule) :
			has_rule(all, rule)	? xstrdup(all) :
						  xasprintf("%s,%s", all, rule);

		free(all);
		all = next;
	}
	shellvars_set(v->vars, "FORWARDS", all);
}

static void apply_shares(struct vm *v)
{
	_cleanup_strv_ struct strv all = STRV_INIT;
	const struct strv *old = shellvars_list(v->vars, "SHARES");

	for (size_t i = 0; old && i < old->len; i++)
		strv_add(&all, old->v[i]);
	for (size_t i = 0; i < v->shares.len; i++) {
		if (!*v->shares.v[i])
			strv_free(&all);
		else if (!strv_has(&all, v->shares.v[i]))
			strv_add(&all, v->shares.v[i]);
	}
	shellvars_set_list(v->vars, "SHARES", &all);
}

static void apply_options(struct vm *v)
{
	for (size_t i = 0; i + 1 < v->options.len; i += 2)
		shellvars_set(v->vars, v->options.v[i], v->options.v[i + 1]);
	apply_forwards(v);
	apply_shares(v);
	if (v->uefi)
		shellvars_set(v->vars, "UEFI", v->uefi);
}

static int read_if(struct vm *v, const char *path, struct error **err)
{
	return file_exists(path) ? shellvars_read(v->vars, path, err) : 0;
}

int vm_settings_load(struct vm *v, struct error **err)
{
	_cleanup_free_ char *user = home_path(".config/vm.conf"), *link = path_join(v->hostdir, ".host/guest.env"),
			    *env = path_join(v->hostdir, "guest.env");
	_cleanup_free_ char *libexec = NULL;

	set_defaults(v);
	if (read_if(v, "/etc/vm.conf", err) < 0 || read_if(v, user, err) < 0 || read_if(v, file_exists(link) ? link : env, err) < 0)
		return -1;
	libexec = path_join(vm_get(v, "PROFILES"), "scripts");
	if (!vm_on(v, "LIBEXEC"))
		shellvars_set(v->vars, "LIBEXEC", libexec);
	apply_options(v);
	return 0;
}

int vm_settings_guest(struct vm *v, struct error **err)
{
	_cleanup_free_ char *work = v->workdir ? path_join(v->workdir, "guest.env") : NULL, *host = path_join(v->hostdir, "guest.env");
	const char *path = work && file_exists(work) ? work : host;

	if (!file_exists(path)) {
		error_set(err, ERR_NOT_FOUND, "%s: no machine is here", v->hostdir);
		return error_hint(err, "make one: vm create GUESTNAME [ISOIMAGE]");
	}
	shellvars_set_list(v->vars, "IMAGES", &(struct strv)STRV_INIT);
	if (shellvars_read(v->vars, path, err) < 0)
		return -1;
	apply_options(v);
	return 0;
}

/* Where a link in dir leads when it is a folder; new, or NULL. */
static char *follow(const char *dir, const char *name)
{
	_cleanup_free_ char *path = path_join(dir, name);
	char *real = realpath(path, NULL);

	if (real && file_is_dir(real))
		return real;
	free(real);
	return NULL;
}

int vm_find_workdir(struct vm *v, struct error **err)
{
	_cleanup_free_ char *work = follow(v->hostdir, ".work"), *host = follow(v->hostdir, ".host"), *json = path_join(v->hostdir, "machine.json");
	_cleanup_free_ char *machines = path_data("machines"), *real = realpath(machines, NULL);

	free(STEAL(v->workdir));
	if (file_exists(json) && real && !strncmp(v->hostdir, real, strlen(real)) && v->hostdir[strlen(real)] == '/') {
		v->native = machine_open(v->hostdir + strlen(real) + 1, err);
		return v->native ? 0 : -1;
	}
	if (vm_on(v, "INPLACE")) {
		v->workdir = xstrdup(v->hostdir);
	} else if (work) {
		v->workdir = STEAL(work);
	} else if (host) {
		v->workdir = v->hostdir;
		v->hostdir = STEAL(host);
	}
	if (!strcmp(v->hostdir, vm_get(v, "LIBEXEC")) || !strcmp(v->hostdir, vm_get(v, "PROFILES"))) {
		error_set(err, ERR_USAGE, "%s: holds profiles or scripts, not a machine", v->hostdir);
		return error_hint(err, "go to another folder, or name one with --hostdir");
	}
	shellvars_set(v->vars, "HOSTDIR", v->hostdir);
	return 0;
}

/* The user's own script: it is sourced by a shell, as it expects, and sets MEDIA. It gets the settings that it may look at. */
int vm_media(struct vm *v, const char **ret, struct error **err)
{
	_cleanup_free_ char *script = NULL, *mirror = NULL, *storage = NULL;
	_cleanup_buf_ struct buf out = BUF_INIT;
	_cleanup_proc_ struct proc p = PROC_INIT;
	int status = 0;
	ssize_t n = 1;

	*ret = shellvars_get(v->vars, "MEDIA");
	if (*ret && **ret)
		return 0;
	script = path_find_program("check-media");
	if (!script) {
		error_set(err, ERR_NOT_FOUND, "check-media: the script that tells where the external media is, is not in PATH");
		return error_hint(err, "write one that sets MEDIA, or leave @MEDIA@ and @MIRROR@ out");
	}
	mirror = xasprintf("MEDIA_MIRROR=%s", vm_get(v, "MEDIA_MIRROR"));
	storage = xasprintf("MEDIA_STORAGE=%s", vm_get(v, "MEDIA_STORAGE"));
	if (proc_spawn(&(struct proc_opts){ .argv = (const char *const[]){ "bash", "-efc",
						    "exec 3>&1 >&2; . \"$1\"; printf %s \"${MEDIA-}\" >&3", "vm", script, NULL },
			       .env = (const char *const[]){ mirror, storage, NULL }, .out = PROC_PIPE, .err = PROC_INHERIT },
		    &p, err) < 0)
		return -1;
	while (n > 0 && out.len < 65536) {
		n = read(p.out, buf_reserve(&out, 4096), 4096);
		out.len += n > 0 ? (size_t)n : 0;
		out.data[out.len] = '\0';
	}
	if (proc_wait(&p, MEDIA_MS, &status, err) < 0)
		return error_wrap(err, "check-media");
	if (status || !out.len)
		return error_set(err, ERR_FAILED, "%s: %s", script, status ? proc_status_text(status) : "it has not set MEDIA");
	shellvars_set(v->vars, "MEDIA", out.data);
	*ret = vm_get(v, "MEDIA");
	return 0;
}

char *vm_expand(struct vm *v, const char *path, struct error **err)
{
	static const char *const macros[] = { "@MEDIA@", "@MIRROR@", "@HOSTDIR@", "@INDIR@", "@DATADIR@" };
	const char *media, *work = v->workdir ? v->workdir : v->hostdir, *rest;
	size_t i = 0;

	while (i < ARRAY_SIZE(macros) && strncmp(path, macros[i], strlen(macros[i])))
		i++;
	if (i == ARRAY_SIZE(macros))
		return path_join(work, path);
	rest = path + strlen(macros[i]);
	if (i < 2 && vm_media(v, &media, err) < 0)
		return NULL;
	switch (i) {
	case 0:
		return xasprintf("%s%s", media, rest);
	case 1:
		return xasprintf("%s%s%s", media, vm_get(v, "MEDIA_MIRROR"), rest);
	case 2:
		return xasprintf("%s%s", v->hostdir, rest);
	case 3:
		return xasprintf("%s/.in%s", work, rest);
	default:
		return xasprintf("%s/.out%s", work, rest);
	}
}

char *vm_find_iso(struct vm *v, const char *iso, struct error **err)
{
	_cleanup_free_ char *host = path_join(v->hostdir, iso), *stored = NULL;
	_cleanup_free_ char *checker = path_find_program("check-media");
	const char *media;

	if (file_exists(iso))
		return realpath(iso, NULL);
	if (file_exists(host))
		return realpath(host, NULL);
	if (checker) {
		if (vm_media(v, &media, err) < 0)
			return NULL;
		stored = xasprintf("%s%s/%s", media, vm_get(v, "MEDIA_STORAGE"), iso);
		if (file_exists(stored))
			return realpath(stored, NULL);
	}
	error_set(err, ERR_NOT_FOUND, "the ISO image '%s' is neither here nor in %s%s%s", iso, v->hostdir, stored ? " nor is there " : "",
		stored ? stored : "");
	return NULL;
}
