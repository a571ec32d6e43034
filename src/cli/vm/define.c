/* SPDX-License-Identifier: Apache-2.0 */
/* From the settings of `vm` to a machine as croft defines it, hardware as the original builds it where nothing speaks against it. */
#include "vm.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/units.h"

#include <ctype.h>
#include <string.h>

#define DEFAULTS_MAX (1u << 20)

static void text(char **field, const char *value)
{
	free(*field);
	*field = xstrdup(value);
}

int vm_parse_memory(const char *s, uint64_t *ret, struct error **err)
{
	bool plain = *s && strspn(s, "0123456789") == strlen(s);
	_cleanup_free_ char *unit = xasprintf("%s%s", s, plain ? "M" : "");

	return parse_size("MEMORY", unit, ret, err);
}

static int parse_count(const char *name, const char *s, uint64_t max, unsigned *ret, struct error **err)
{
	uint64_t n;

	if (parse_u64(name, s, 1, max, &n, err) < 0)
		return -1;
	*ret = (unsigned)n;
	return 0;
}

static int define_board(struct vm *v, struct machine_def *d, struct error **err)
{
	const char *arch = v->arch && *v->arch ? v->arch : vm_get(v, "QEMUARCH");
	bool x86 = !strcmp(arch, "x86_64") || !strcmp(arch, "i386"), uefi = vm_on(v, "UEFI");

	text(&d->arch, arch);
	if (parse_count("SOCKETS", vm_get(v, "SOCKETS"), 64, &d->sockets, err) < 0 ||
		parse_count("CORES", vm_get(v, "CORES"), 255, &d->cores, err) < 0 || vm_parse_memory(vm_get(v, "MEMORY"), &d->memory, err) < 0)
		return -1;
	text(&d->firmware, uefi ? "uefi" : "bios");
	if (x86) {
		text(&d->type, uefi ? "q35" : "pc");
		text(&d->cpu, strcmp(arch, "i386") ? "kvm64" : "kvm32");
	}
	if (uefi) {
		free(d->nvram);
		d->nvram = path_join(v->workdir, "efivars.bin");
		strv_add(&d->smbios, "type=0,uefi=on");
		d->boot_menu = true;
	}
	return 0;
}

/* TYPE=[FORMAT=]PATH */
static int define_disk(struct vm *v, const char *spec, struct machine_def *d, struct error **err)
{
	static const struct {
		const char *type, *bus, *cache;
		bool discard;
	} types[] = { { "AHCI", "sata", "writeback", true }, { "NVME", "nvme", "writeback", true }, { "SCSI", "scsi", "writeback", true },
		{ "VIRT", "virtio", "writethrough", false } };
	const char *eq = strchr(spec, '='), *path = eq ? eq + 1 : "", *second = strchr(path, '=');
	struct machine_disk *k;
	size_t t = 0;

	while (eq && t < ARRAY_SIZE(types) && (strlen(types[t].type) != (size_t)(eq - spec) || strncmp(spec, types[t].type, (size_t)(eq - spec))))
		t++;
	if (!eq || !*path)
		return error_set(err, ERR_USAGE, "image '%s' is not TYPE=[FORMAT=]PATH", spec);
	if (t == ARRAY_SIZE(types))
		return error_set(err, ERR_USAGE, "image '%s': the type is none of AHCI, NVME, SCSI, VIRT", spec);
	k = machine_def_add_disk(d);
	text(&k->bus, types[t].bus);
	text(&k->cache, types[t].cache);
	k->discard = types[t].discard;
	/* A format is a word; a path with '=' in it is meant otherwise. */
	if (second && second > path && strspn(path, "abcdefghijklmnopqrstuvwxyz0123456789-") == (size_t)(second - path)) {
		free(k->format);
		k->format = xstrndup(path, (size_t)(second - path));
		path = second + 1;
	} else {
		text(&k->format, "qcow2");
	}
	free(k->path);
	k->path = vm_expand(v, path, err);
	if (!k->path)
		return error_wrap(err, "image '%s'", spec);
	return file_exists(k->path) ? 0 : error_set(err, ERR_NOT_FOUND, "the disk image %s is not there", k->path);
}

static int define_disks(struct vm *v, struct machine_def *d, struct error **err)
{
	const struct strv *images = shellvars_list(v->vars, "IMAGES");

	for (size_t i = 0; images && i < images->len; i++)
		if (define_disk(v, images->v[i], d, err) < 0)
			return -1;
	for (size_t i = 0; i < v->images.len; i++)
		if (define_disk(v, v->images.v[i], d, err) < 0)
			return -1;
	return 0;
}

/*
 * The CD is in the drive in the first run, when KEEPCD is set, or when it was named for this run; it comes first in the order in the
 * first and the last case.
 */
static int define_cd(struct vm *v, const char *iso, bool first, struct machine_def *d, struct error **err)
{
	const char *name = iso ? iso : vm_get(v, "ISO");
	bool front = first || iso;
	struct machine_disk *k;
	int next = 1;

	if (*name && (first || iso || vm_on(v, "KEEPCD"))) {
		_cleanup_free_ char *path = vm_find_iso(v, name, err);

		if (!path)
			return -1;
		k = machine_def_add_disk(d);
		text(&k->media, "cdrom");
		text(&k->format, "raw");
		text(&k->bus, !strcmp(d->type, "pc") ? "ide" : "sata");
		k->path = STEAL(path);
		k->boot = front ? 0 : (int)d->ndisks;
	}
	for (size_t i = 0; i < d->ndisks; i++)
		if (!d->disks[i].media)
			d->disks[i].boot = front ? next++ : (int)i;
	return 0;
}

/* A part that begins otherwise belongs to the one before it. */
int vm_split_forwards(const char *s, struct machine_nic *n, struct error **err)
{
	while (*s) {
		bool host = !strncmp(s, "hostfwd=", 8), guest = !strncmp(s, "guestfwd=", 9);
		const char *value = s + 8 + guest, *end = s;
		_cleanup_free_ char *rule = NULL;

		if (!host && !guest)
			return error_set(err, ERR_USAGE, "forward '%s' is neither hostfwd=... nor guestfwd=...", s);
		do
			end += 1 + strcspn(end + 1, ",");
		while (*end && strncmp(end, ",hostfwd=", 9) && strncmp(end, ",guestfwd=", 10));
		rule = xstrndup(value, (size_t)(end - value));
		strv_add(host ? &n->forwards : &n->guestforwards, rule);
		s = end + (*end == ',');
	}
	return 0;
}

static int define_net(struct vm *v, struct machine_def *d, struct error **err)
{
	if (vm_on(v, "USENETDEV"))
		return vm_split_forwards(vm_get(v, "FORWARDS"), machine_def_add_nic(d), err);
	d->bare_net = true;
	return 0;
}

bool vm_skip_mirror(struct vm *v, const char *spec)
{
	_cleanup_free_ char *checker = path_find_program("check-media");

	if (strcmp(spec, "mirror:@MIRROR@") || checker || strv_has(&v->shares, spec) || shellvars_get(v->vars, "MEDIA"))
		return false;
	log_debug("the share mirror is left out: there is no check-media in PATH");
	return true;
}

int vm_define_share(struct vm *v, const char *spec, struct machine_def *d, struct error **err)
{
	const char *colon = strchr(spec, ':'), *dir = colon ? colon + 1 : "";
	struct machine_share *s;

	if (!colon || colon == spec || !*dir)
		return error_set(err, ERR_USAGE, "share '%s' is not ID:[rw:]DIR", spec);
	s = machine_def_add_share(d);
	s->tag = xstrndup(spec, (size_t)(colon - spec));
	s->rw = !strncmp(dir, "rw:", 3);
	s->path = vm_expand(v, dir + (s->rw ? 3 : 0), err);
	if (!s->path)
		return error_wrap(err, "share '%s'", spec);
	return file_is_dir(s->path) ? 0 : error_set(err, ERR_NOT_FOUND, "share '%s': %s is not a folder", spec, s->path);
}

static int define_shares(struct vm *v, struct machine_def *d, struct error **err)
{
	const struct strv *shares = shellvars_list(v->vars, "SHARES");

	for (size_t i = 0; shares && i < shares->len; i++)
		if (!vm_skip_mirror(v, shares->v[i]) && vm_define_share(v, shares->v[i], d, err) < 0)
			return -1;
	return 0;
}

static void define_display(struct vm *v, struct machine_def *d)
{
	const char *host = vm_get(v, "HOST"), *port = vm_get(v, "PORT");

	if (!*host || !*port)
		return;
	text(&d->display, "spice");
	free(d->display_listen);
	d->display_listen = strchr(host, ':') && host[0] != '[' ? xasprintf("[%s]:%s", host, port) : xasprintf("%s:%s", host, port);
}

/* More arguments: the first vm.defaults of WORKDIR, HOSTDIR, ~/.config, /etc. */
static int define_extra(struct vm *v, struct machine_def *d, struct error **err)
{
	const char *home = getenv("HOME");
	_cleanup_free_ char *work = path_join(v->workdir, "vm.defaults"), *host = path_join(v->hostdir, "vm.defaults"),
			    *user = path_join(home ? home : "/", ".config/vm.defaults");
	const char *all[] = { work, host, user, "/etc/vm.defaults" };
	_cleanup_buf_ struct buf b = BUF_INIT;

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		if (!file_exists(all[i]))
			continue;
		if (file_read(all[i], DEFAULTS_MAX, &b, err) < 0)
			return -1;
		return shellvars_words(v->vars, all[i], buf_str(&b), b.len, &d->qemu_args, err);
	}
	return 0;
}

int vm_define(struct vm *v, const char *iso, bool first, struct machine_def *d, struct error **err)
{
	machine_def_init(d);
	free(d->home);
	d->home = xstrdup(v->hostdir);
	d->workdir = xstrdup(v->workdir);
	d->hotplug = 0;
	if (define_board(v, d, err) < 0 || define_disks(v, d, err) < 0 || define_cd(v, iso, first, d, err) < 0 || define_net(v, d, err) < 0 ||
		define_shares(v, d, err) < 0 || define_extra(v, d, err) < 0)
		return -1;
	define_display(v, d);
	return 0;
}

/* GUESTNAME with what croft's names may hold; 'vm' when nothing is left. */
char *vm_plain_name(const char *guestname)
{
	char *name = xstrndup(*guestname ? guestname : "vm", 50), *to = name;

	for (const char *s = name; *s; s++)
		if (isalnum((unsigned char)*s) || (to > name && strchr("._-", *s)))
			*to++ = *s;
		else if (to > name && to[-1] != '-')
			*to++ = '-';
	while (to > name && to[-1] == '-')
		to--;
	*to = '\0';
	if (!*name) {
		free(name);
		name = xstrdup("vm");
	}
	return name;
}

/* The name itself, or with a number: another folder's machine may have it. *ret NULL: this name is free. */
static int find_name(struct vm *v, char **name, struct machine **ret, struct error **err)
{
	_cleanup_free_ char *base = vm_plain_name(vm_get(v, "GUESTNAME"));

	*ret = NULL;
	for (int i = 1; i < 1000; i++) {
		_cleanup_free_ char *try = i == 1 ? xstrdup(base) : xasprintf("%s-%d", base, i), *sub = path_join("machines", try), *dir = path_data(sub);
		_cleanup_machine_ struct machine *m = NULL;

		if (!file_exists(dir)) {
			*name = STEAL(try);
			return 0;
		}
		m = machine_open(try, err);
		if (m && m->def.home && !strcmp(m->def.home, v->hostdir)) {
			*ret = STEAL(m);
			*name = STEAL(try);
			return 0;
		}
		error_clear(err);
	}
	return error_set(err, ERR_STATE, "a thousand machines have the name %s", base);
}

struct machine *vm_registered(struct vm *v, struct error **err)
{
	_cleanup_free_ char *name = NULL;
	struct machine *m = NULL;

	return find_name(v, &name, &m, err) < 0 ? NULL : m;
}

struct machine *vm_register(struct vm *v, struct machine_def *d, bool first, struct error **err)
{
	_cleanup_free_ char *name = NULL;
	struct machine *m = NULL;

	if (find_name(v, &name, &m, err) < 0)
		return NULL;
	text(&d->name, name);
	if (m && machine_redefine(m, d, err) < 0) {
		machine_free(m);
		return NULL;
	}
	if (!m) {
		if (machine_create(d, err) < 0)
			return NULL;
		m = machine_open(name, err);
	}
	if (m && machine_set_first_run(m, first, err) < 0) {
		machine_free(m);
		return NULL;
	}
	return m;
}
