/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changing a machine. Every change is read into a copy of the definition; when the whole copy makes sense, files of new disks are
 * made and machine.json is replaced, so that the next start has it all; then what QEMU can change while it runs is tried (live.c).
 */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/units.h"
#include "fields.h"
#include "internal.h"
#include "live.h"
#include "qemu/args.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CHANGES_MAX 64

struct change {
	struct live_change live;
	const char *text; /* as given */
	char *file;	  /* LIVE_DISK_DROP: to be removed */
};
struct set {
	struct machine *m;
	struct machine_def def; /* the machine as it shall be */
	struct change changes[CHANGES_MAX];
	size_t n;
};

static void set_clear(struct set *s)
{
	for (size_t i = 0; i < s->n; i++) {
		free(s->changes[i].live.text);
		free(s->changes[i].file);
	}
	machine_def_clear(&s->def);
}

/* A name for the disk's file that no other one has: those before it may have been removed. */
static void name_file(struct set *s, size_t index)
{
	for (size_t n = index;; n++) {
		_cleanup_free_ char *name = xasprintf("disk-%zu.qcow2", n), *path = machine_path(s->m, name);

		if (file_exists(path))
			continue;
		if (n != index)
			s->def.disks[index].file = STEAL(name);
		return;
	}
}

static int disk_add(struct set *s, struct change *c, const char *value, struct error **err)
{
	size_t index = s->def.ndisks;
	struct machine_disk *d = machine_def_add_disk(&s->def);

	/* A path may hold commas: it is the last thing then. */
	if (fields_set_all(disk_fields, "disk", "size", d, value, err) < 0)
		return -1;
	if (!d->path && !d->file)
		name_file(s, index);
	c->live.kind = LIVE_DISK_ADD;
	c->live.index = index;
	return 0;
}

static int item_index(const char *what, const char *value, size_t n, size_t *ret, struct error **err)
{
	uint64_t v;

	if (!n)
		return error_set(err, ERR_NOT_FOUND, "%s: there is none", what);
	if (parse_u64(what, value, 0, UINT32_MAX, &v, err) < 0)
		return -1;
	if (v >= n)
		return error_set(err, ERR_NOT_FOUND, "%s: there is no %llu; the last one is %zu", what, (unsigned long long)v, n - 1);
	*ret = (size_t)v;
	return 0;
}

static int disk_drop(struct set *s, struct change *c, const char *value, struct error **err)
{
	struct machine at = { .dir = s->m->dir };
	size_t i;

	if (item_index("disk-", value, s->def.ndisks, &i, err) < 0)
		return -1;
	at.def = s->def;
	if (!s->def.disks[i].path)
		c->file = machine_disk_path(&at, i);
	/* Those behind it keep their files. */
	for (size_t k = i + 1; k < s->def.ndisks; k++)
		if (!s->def.disks[k].path && !s->def.disks[k].file)
			s->def.disks[k].file = xasprintf("disk-%zu.qcow2", k);
	c->live.kind = LIVE_DISK_DROP;
	c->live.index = i;
	c->live.last = i + 1 == s->def.ndisks;
	machine_def_drop(&s->def, "disks", i);
	return 0;
}

static int nic_add(struct set *s, struct change *c, const char *value, struct error **err)
{
	struct machine_nic *n = machine_def_add_nic(&s->def);

	s->def.bare_net = false;
	if (fields_set_all(nic_fields, "nic", "net", n, value, err) < 0)
		return -1;
	if (!strcmp(n->net, "group"))
		return error_set(err, ERR_USAGE, "nic+=group: cards of a group's network come from its file; croft group NAME up");
	c->live.kind = LIVE_NIC_ADD;
	c->live.index = s->def.nnics - 1;
	return 0;
}

static int nic_drop(struct set *s, struct change *c, const char *value, struct error **err)
{
	if (item_index("nic-", value, s->def.nnics, &c->live.index, err) < 0)
		return -1;
	c->live.kind = LIVE_NIC_DROP;
	c->live.last = c->live.index + 1 == s->def.nnics;
	machine_def_drop(&s->def, "nics", c->live.index);
	s->def.bare_net = !s->def.nnics;
	return 0;
}

static struct machine_nic *user_nic(struct set *s, struct error **err)
{
	if (s->def.nnics && !strcmp(s->def.nics[0].net, "user"))
		return &s->def.nics[0];
	error_set(err, ERR_USAGE, "forward: the first network card is not on the network 'user'");
	return NULL;
}

static int forward(struct set *s, struct change *c, char op, const char *value, struct error **err)
{
	struct machine_nic *n = user_nic(s, err);

	if (!n)
		return -1;
	c->live.text = machine_forward_parse(value, err);
	if (!c->live.text)
		return error_wrap(err, "forward");
	c->live.kind = op == '+' ? LIVE_FORWARD_ADD : LIVE_FORWARD_DROP;
	if (op == '+' && strv_has(&n->forwards, c->live.text))
		return error_set(err, ERR_STATE, "forward: %s is there already", value);
	return field_set(field_find(nic_fields, "forwards"), n, op, c->live.text, err);
}

static int forward_add(struct set *s, struct change *c, const char *value, struct error **err)
{
	return forward(s, c, '+', value, err);
}

static int forward_drop(struct set *s, struct change *c, const char *value, struct error **err)
{
	return forward(s, c, '-', value, err);
}

/* "TAG:[rw:]DIR", with the kind as the share's third part is not needed: shares by virtiofs come from machine files. */
static int share_add(struct set *s, struct change *c, const char *value, struct error **err)
{
	const char *colon = strchr(value, ':'), *path = colon ? colon + 1 : NULL;
	struct machine_share *h;

	if (!colon || colon == value || !*path)
		return error_set(err, ERR_USAGE, "share+: '%s' is not TAG:[rw:]DIR", value);
	h = machine_def_add_share(&s->def);
	h->tag = xstrndup(value, (size_t)(colon - value));
	h->rw = !strncmp(path, "rw:", 3);
	h->path = path_absolute(path + 3 * h->rw);
	if (!file_is_dir(h->path))
		return error_set(err, ERR_NOT_FOUND, "share+: %s is not a folder", h->path);
	return 0;
}

static int share_drop(struct set *s, struct change *c, const char *value, struct error **err)
{
	for (size_t i = 0; i < s->def.nshares; i++) {
		if (strcmp(s->def.shares[i].tag, value))
			continue;
		machine_def_drop(&s->def, "shares", i);
		return 0;
	}
	return error_set(err, ERR_NOT_FOUND, "share-: no share has the tag '%s'", value);
}

/* The medium of the first CD drive; a machine without one gets a drive. */
static int set_cdrom(struct set *s, struct change *c, const char *value, struct error **err)
{
	_cleanup_free_ char *path = *value && strcmp(value, "none") ? path_absolute(value) : NULL;
	size_t i = 0;

	if (path && !file_exists(path))
		return error_set(err, ERR_NOT_FOUND, "cdrom: %s is not there", path);
	while (i < s->def.ndisks && !(s->def.disks[i].media && !strcmp(s->def.disks[i].media, "cdrom")))
		i++;
	c->live.kind = i < s->def.ndisks ? LIVE_CDROM : LIVE_NEVER;
	if (i == s->def.ndisks) {
		if (!path)
			return 0;
		machine_def_add_disk(&s->def)->media = xstrdup("cdrom");
		free(STEAL(s->def.disks[i].bus)); /* the default of CDs */
	}
	free(s->def.disks[i].path);
	s->def.disks[i].path = STEAL(path);
	s->def.disks[i].eject = false;
	c->live.index = i;
	return 0;
}

/* As many processors in all: whole sockets of the machine's shape, when that fits. */
static int set_cpus(struct set *s, struct change *c, const char *value, struct error **err)
{
	unsigned package = s->def.cores * s->def.threads;
	uint64_t n;

	if (parse_u64("cpus", value, 1, 255, &n, err) < 0)
		return -1;
	if (s->def.max_cpus && n % package == 0) {
		s->def.sockets = (unsigned)n / package;
	} else {
		s->def.sockets = s->def.threads = 1;
		s->def.cores = (unsigned)n;
		if (s->def.max_cpus && (s->def.max_cpus < n || s->def.max_cpus % n))
			s->def.max_cpus = (unsigned)n;
	}
	c->live.kind = LIVE_CPUS;
	return 0;
}

static const struct {
	const char *key;
	char op;
	int (*fn)(struct set *s, struct change *c, const char *value, struct error **err);
} special[] = {
	{ "disk", '+', disk_add },	 { "disk", '-', disk_drop },	   { "nic", '+', nic_add },   { "nic", '-', nic_drop },
	{ "forward", '+', forward_add }, { "forward", '-', forward_drop }, { "share", '+', share_add }, { "share", '-', share_drop },
	{ "cdrom", '=', set_cdrom },	 { "cpus", '=', set_cpus },
};
/* What `create` decides for good, or what others keep. */
static const char *const fixed[] = { "name", "image", "arch", "home", "nvram", NULL };

static int unknown(const char *key, struct error **err)
{
	_cleanup_strv_ struct strv known = STRV_INIT;
	const char *near;

	for (const struct field *f = machine_fields; f->key; f++)
		strv_add(&known, f->key);
	for (size_t i = 0; i < ARRAY_SIZE(special); i++)
		strv_add(&known, special[i].key);
	near = nearest_name(key, (const char *const *)known.v, known.len);
	error_set(err, ERR_USAGE, "'%s' is no property of a machine", key);
	return error_hint(err, near ? "did you mean '%s'?" : "`croft vm show NAME` lists them", near);
}

static int read_change(struct set *s, const char *text, struct error **err)
{
	const char *eq = strchr(text, '=');
	char op = eq && eq > text && (eq[-1] == '+' || eq[-1] == '-') ? eq[-1] : '=';
	_cleanup_free_ char *key = eq ? xstrndup(text, (size_t)(eq - text) - (op != '=')) : NULL;
	struct change *c = &s->changes[s->n];
	const struct field *f;

	if (!eq || !*key)
		return error_set(err, ERR_USAGE, "'%s' is not KEY=VALUE", text);
	if (s->n == CHANGES_MAX)
		return error_set(err, ERR_USAGE, "more than %d changes at once", CHANGES_MAX);
	*c = (struct change){ .text = text };
	s->n++;
	for (size_t i = 0; i < ARRAY_SIZE(special); i++)
		if (!strcmp(key, special[i].key) && op == special[i].op)
			return special[i].fn(s, c, eq + 1, err);
	f = field_find(machine_fields, key);
	if (!f)
		return unknown(key, err);
	for (const char *const *k = fixed; *k; k++)
		if (!strcmp(*k, key))
			return error_set(err, ERR_USAGE, "%s cannot be changed", key);
	if (!strcmp(key, "memory"))
		c->live.kind = LIVE_MEMORY;
	return field_set(f, &s->def, op, eq + 1, err);
}

/* What is left of files that the old definition had and the new one has not, or the other way round. */
static void undo_files(struct set *s)
{
	for (size_t i = 0; i < s->n; i++) {
		_cleanup_error_ struct error *e = NULL;
		struct machine at = { .dir = s->m->dir, .def = s->def };
		_cleanup_free_ char *path = NULL;

		if (s->changes[i].live.kind != LIVE_DISK_ADD || s->def.disks[s->changes[i].live.index].path)
			continue;
		path = machine_disk_path(&at, s->changes[i].live.index);
		file_unlink(path, &e);
	}
}

static int make_files(struct set *s, struct error **err)
{
	_cleanup_free_ char *nvram = machine_path(s->m, "nvram.qcow2");

	for (size_t i = 0; i < s->n; i++)
		if (s->changes[i].live.kind == LIVE_DISK_ADD && machine_make_disk(&s->def, s->changes[i].live.index, s->m->dir, err) < 0)
			return -1;
	/* Variables of one firmware mean nothing to the other. */
	if (machine_is_uefi(&s->def) && !s->def.nvram && (!file_exists(nvram) || machine_is_secure(&s->def) != machine_is_secure(&s->m->def)))
		return file_unlink(nvram, err) < 0 || qemu_make_nvram(s->def.arch, machine_is_secure(&s->def), nvram, err) < 0 ? -1 : 0;
	return 0;
}

static int write_def(struct set *s, struct error **err)
{
	_cleanup_free_ char *json = machine_path(s->m, "machine.json");
	_cleanup_buf_ struct buf b = BUF_INIT;

	machine_def_to_json(&s->def, &b);
	return file_write(json, b.data, b.len, 0600, err);
}

/* A disk or card that QEMU holds can only go when QEMU lets it go; so this comes before the definition changes. */
static int drop_first(struct set *s, bool running, struct error **err)
{
	for (size_t i = 0; i < s->n && running; i++) {
		struct live_change *c = &s->changes[i].live;

		if (c->kind != LIVE_DISK_DROP && c->kind != LIVE_NIC_DROP)
			continue;
		if (!c->last) {
			error_set(err, ERR_STATE, "%s: only the last one can be removed while the machine runs", s->changes[i].text);
			return error_hint(err, "stop it first: croft vm stop %s", s->m->name);
		}
		if (live_apply(s->m, &s->def, c, err) < 0)
			return error_wrap(err, "%s", s->changes[i].text);
	}
	return 0;
}

static void note(struct strv *notes, const char *change, const char *when, struct error **why)
{
	if (*why)
		strv_addf(notes, "%s: %s (%s)", change, when, (*why)->msg);
	else
		strv_addf(notes, "%s: %s", change, when);
	error_clear(why);
}

static void finish(struct set *s, bool running, struct strv *notes)
{
	for (size_t i = 0; i < s->n; i++) {
		struct change *c = &s->changes[i];
		bool dropped = c->live.kind == LIVE_DISK_DROP || c->live.kind == LIVE_NIC_DROP;
		_cleanup_error_ struct error *e = NULL;

		if (c->file)
			file_unlink(c->file, &e);
		error_clear(&e);
		if (!running)
			note(notes, c->text, "done", &e);
		else if (dropped || (c->live.kind != LIVE_NEVER && live_apply(s->m, &s->def, &c->live, &e) == 0))
			note(notes, c->text, "now", &e);
		else
			note(notes, c->text, "at the next start", &e);
	}
}

static int set_locked(struct set *s, const struct strv *changes, struct strv *notes, struct error **err)
{
	_cleanup_image_ struct image *img = NULL;
	struct proc_id id;
	bool running = machine_qemu(s->m, &id);

	if (machine_def_copy(&s->m->def, &s->def, err) < 0)
		return -1;
	for (size_t i = 0; i < changes->len; i++)
		if (read_change(s, changes->v[i], err) < 0)
			return error_wrap(err, "machine %s", s->m->name);
	if (s->def.image && !(img = image_open(s->def.image, err)))
		return error_wrap(err, "machine %s", s->m->name);
	/* this one says the machine's name itself */
	if (machine_def_resolve(&s->def, img, err) < 0)
		return -1;
	if (machine_check_disks(&s->def, err) < 0 || (running && machine_ensure_helper(s->m, err) < 0) || drop_first(s, running, err) < 0)
		return error_wrap(err, "machine %s", s->m->name);
	if (make_files(s, err) < 0 || write_def(s, err) < 0) {
		undo_files(s);
		return error_wrap(err, "machine %s", s->m->name);
	}
	finish(s, running, notes);
	return 0;
}

int machine_set(struct machine *m, const struct strv *changes, struct strv *notes, struct error **err)
{
	_cleanup_close_ int lock = machine_lock(m, err);
	_cleanup_(set_clear) struct set s = { .m = m };

	if (lock < 0)
		return -1;
	return set_locked(&s, changes, notes, err);
}

int machine_redefine(struct machine *m, struct machine_def *d, struct error **err)
{
	_cleanup_close_ int lock = machine_lock(m, err);
	_cleanup_(set_clear) struct set s = { .m = m };
	_cleanup_image_ struct image *img = NULL;
	struct proc_id id;

	if (lock < 0)
		return -1;
	if (machine_qemu(m, &id)) {
		error_set(err, ERR_STATE, "machine %s: it is running", m->name);
		return error_hint(err, "stop it first: croft vm stop %s", m->name);
	}
	if (d->image && !(img = image_open(d->image, err)))
		return error_wrap(err, "machine %s", m->name);
	if (machine_def_resolve(d, img, err) < 0 || machine_check_disks(d, err) < 0 || machine_def_copy(d, &s.def, err) < 0 || write_def(&s, err) < 0)
		return -1;
	machine_def_clear(&m->def);
	m->def = s.def;
	s.def = (struct machine_def){ 0 };
	return 0;
}

int machine_set_first_run(const struct machine *m, bool first, struct error **err)
{
	_cleanup_free_ char *path = machine_path(m, "first-run");

	return first ? file_write(path, "", 0, 0600, err) : file_unlink(path, err);
}

int machine_make_nvram(const char *arch, const char *path, struct error **err)
{
	return qemu_make_nvram(arch, false, path, err);
}
