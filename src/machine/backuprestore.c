/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a backup into a machine. One that exists is marked first as for going back to a snapshot, written to where it differs, and taken
 * back by the next command when that was interrupted; its snapshots stay. A new one is made beside its place and renamed.
 */
#include "machine/backup.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "backupint.h"

#include <errno.h>
#include <string.h>

#define DEFINITION_MAX (1u << 20)

static int sink_write(void *arg, const void *p, size_t n, uint64_t off, struct error **err)
{
	return nbd_write(arg, p, n, off, err);
}

static int sink_zero(void *arg, uint64_t len, uint64_t off, struct error **err)
{
	return nbd_zero(arg, len, off, err);
}

static int sink_read(void *arg, void *p, size_t n, uint64_t off, struct error **err)
{
	return nbd_read(arg, p, n, off, err);
}

/* Part `part` into the qcow2 file: only what differs is written. */
static int fill(struct store *s, const struct backup *b, const char *part, const char *dir, const char *path, struct error **err)
{
	_cleanup_free_ char *name = xasprintf("%s/%s", b->ref, part);
	_cleanup_proc_ struct proc server = PROC_INIT;
	_cleanup_nbd_ struct nbd *n = backup_serve(dir, path, 0, true, NULL, &server, err);
	struct store_sink sink = { .write = sink_write, .zero = sink_zero, .read = sink_read, .arg = n };
	struct store_get_opts o = { 0 };
	uint64_t size = 0;

	if (!n || store_size(s, name, &size, err) < 0)
		return -1;
	if (size != nbd_size(n)) {
		error_set(err, ERR_STATE, "%s: its size is not that of the backup", path);
		return error_hint(err, "remove the machine first; it is then made anew from the backup");
	}
	return store_get_range(s, name, 0, UINT64_MAX, &sink, &o, err) < 0 ? -1 : nbd_flush(n, err);
}

int backup_definition(struct store *s, const struct backup *b, const char *machine, struct machine_def *d, struct error **err)
{
	_cleanup_free_ char *part = xasprintf("%s/machine", b->ref);
	_cleanup_buf_ struct buf text = BUF_INIT;
	_cleanup_doc_ struct doc *doc = NULL;

	machine_def_init(d);
	if (store_get_bytes(s, part, DEFINITION_MAX, &text, err) < 0)
		return -1;
	doc = doc_parse(part, buf_str(&text), text.len, err);
	if (!doc || machine_def_read(d, doc_root(doc), err) < 0)
		return -1;
	free(d->name);
	d->name = xstrdup(machine);
	return 0;
}

static bool has_part(const struct store_set *set, const char *name)
{
	for (size_t i = 0; i < set->n; i++)
		if (!strcmp(set->parts[i].name, name))
			return true;
	return false;
}

static uint64_t part_size(const struct store_set *set, const char *name)
{
	for (size_t i = 0; i < set->n; i++)
		if (!strcmp(set->parts[i].name, name))
			return set->parts[i].size;
	return 0;
}

/* The definition that comes into force with the disks. */
static int write_def(const struct machine *m, struct error **err)
{
	_cleanup_free_ char *path = machine_path(m, BACKUP_DEFINITION);
	_cleanup_buf_ struct buf b = BUF_INIT;

	machine_def_to_json(&m->def, &b);
	return file_write(path, b.data, b.len, 0600, err);
}

static int restore_tpm(struct store *s, const struct backup *b, const struct store_set *set, const char *dir, struct error **err)
{
	_cleanup_free_ char *tpm = path_join(dir, "tpm");

	for (size_t i = 0; i < set->n; i++) {
		_cleanup_free_ char *part = xasprintf("%s/%s", b->ref, set->parts[i].name), *file = NULL;
		_cleanup_buf_ struct buf data = BUF_INIT;

		if (strncmp(set->parts[i].name, "tpm-", 4))
			continue;
		file = path_join(tpm, set->parts[i].name + 4);
		if (file_mkdirs(tpm, 0700, err) < 0 || store_get_bytes(s, part, 16u << 20, &data, err) < 0 ||
			file_write(file, buf_str(&data), data.len, 0600, err) < 0)
			return -1;
	}
	return 0;
}

/* Over the image that it was made from, when that is still there and no larger; so only the difference takes space. */
static int make_file(const struct machine_def *d, const char *part, const char *path, uint64_t size, struct error **err)
{
	_cleanup_error_ struct error *none = NULL;
	_cleanup_image_ struct image *img = NULL;
	size_t i = !strncmp(part, "disk-", 5) ? (size_t)atoi(part + 5) : d->ndisks;

	if (i < d->ndisks && d->disks[i].image)
		img = image_open(d->disks[i].image, &none);
	if (img && img->disk && img->disk_size <= size && !machine_disk_is_cdrom(img))
		return machine_make_overlay(path, img->disk, img->format, size, err);
	return machine_make_overlay(path, NULL, NULL, size, err);
}

static int into_new(struct store *s, const struct backup *b, const struct store_set *set, struct machine *m, struct error **err)
{
	_cleanup_free_ char *parent = path_dirname(m->dir), *temp = NULL, *log = NULL, *json = NULL;
	_cleanup_buf_ struct buf def = BUF_INIT;
	int rc = 0;

	if (file_mkdirs(parent, 0700, err) < 0)
		return -1;
	machine_sweep(parent);
	temp = xasprintf("%s/.tmp-%d-%s", parent, (int)getpid(), path_basename(m->dir));
	log = path_join(temp, "log");
	json = path_join(temp, "machine.json");
	if (file_remove_tree(temp, err) < 0 || file_mkdirs(log, 0700, err) < 0)
		return -1;
	for (size_t i = 0; rc == 0 && i < set->n; i++) {
		const char *part = set->parts[i].name;
		_cleanup_free_ char *file = xasprintf("%s.qcow2", part), *path = path_join(temp, file);

		if (strncmp(part, "disk-", 5) && strcmp(part, "nvram"))
			continue;
		rc = make_file(&m->def, part, path, set->parts[i].size, err);
		if (rc == 0)
			rc = fill(s, b, part, temp, path, err);
		if (rc == 0)
			rc = snap_sync(path, err);
	}
	machine_def_to_json(&m->def, &def);
	if (rc == 0 && restore_tpm(s, b, set, temp, err) == 0 && file_write(json, def.data, def.len, 0600, err) == 0)
		return file_rename(temp, m->dir, err);
	{
		_cleanup_error_ struct error *e = NULL;

		file_remove_tree(temp, &e);
	}
	return -1;
}

int backup_take_back(const struct snap_drives *d, struct error **err)
{
	for (size_t i = 0; i < d->len; i++) {
		int has = file_exists(d->v[i].path) ? snap_img_has(d->v[i].path, SNAP_BEFORE, err) : 0;

		if (has < 0 || (has && snap_img("-a", SNAP_BEFORE, d->v[i].path, err) < 0))
			return -1;
	}
	return snap_img_drop(d, SNAP_BEFORE, err);
}

int backup_complete(struct machine *m, struct error **err)
{
	_cleanup_free_ char *from = machine_path(m, BACKUP_DEFINITION), *to = machine_path(m, "machine.json");
	_cleanup_drives_ struct snap_drives d = { 0 };
	_cleanup_machine_ struct machine *now = NULL;

	if (file_exists(from) && file_rename(from, to, err) < 0)
		return -1;
	now = machine_open(m->name, err); /* its disks are those of the backup */
	if (!now || snap_set_current(now, NULL, err) < 0)
		return -1;
	snap_drives_of(now, &d);
	return snap_img_drop(&d, SNAP_BEFORE, err);
}

static int fill_all(struct store *s, const struct backup *b, const struct store_set *set, const struct machine *m,
	const struct snap_drives *d, struct error **err)
{
	for (size_t i = 0; i < d->len; i++) {
		_cleanup_free_ char *part = backup_part_of(&d->v[i]);

		if (has_part(set, part) && (fill(s, b, part, m->dir, d->v[i].path, err) < 0 || snap_sync(d->v[i].path, err) < 0))
			return -1;
	}
	return restore_tpm(s, b, set, m->dir, err);
}

/* Disks that the machine no longer has are made; those that it has are marked. */
static int prepare(const struct store_set *set, const struct machine *m, struct snap_drives *d, struct error **err)
{
	for (size_t i = 0; i < set->n; i++) {
		_cleanup_free_ char *file = xasprintf("%s.qcow2", set->parts[i].name), *path = machine_path(m, file);

		if (!strncmp(set->parts[i].name, "disk-", 5) && !file_exists(path) &&
			make_file(&m->def, set->parts[i].name, path, part_size(set, set->parts[i].name), err) < 0)
			return -1;
	}
	snap_drives_of(m, d);
	if (backup_forget_bitmaps(NULL, d, err) < 0 || snap_img_drop(d, SNAP_BEFORE, err) < 0)
		return -1;
	for (size_t i = 0; i < d->len; i++)
		if (snap_img("-c", SNAP_BEFORE, d->v[i].path, err) < 0)
			return -1;
	return 0;
}

static int into_existing(struct store *s, const struct backup *b, const struct store_set *set, struct machine *m, struct machine_def *def,
	struct error **err)
{
	_cleanup_close_ int lock = machine_lock(m, err);
	_cleanup_drives_ struct snap_drives d = { 0 };
	struct snap_journal j = { .op = (char *)"fill", .name = b->name }, done = { .op = (char *)"filled", .name = b->name };
	struct machine_def before;
	struct proc_id id;

	if (lock < 0 || snap_recover_locked(m, err) < 0)
		return -1;
	if (machine_qemu(m, &id)) {
		error_set(err, ERR_STATE, "it is running");
		return error_hint(err, "stop it first: croft vm stop %s", m->name);
	}
	before = m->def;
	m->def = *def;
	*def = before;
	if (snap_journal_write(m, &j, err) < 0)
		return -1;
	/* With "filled" in the journal it is done: what follows is done by whoever comes next, too. */
	if (prepare(set, m, &d, err) < 0 || fill_all(s, b, set, m, &d, err) < 0 || write_def(m, err) < 0 ||
		snap_journal_write(m, &done, err) < 0) {
		_cleanup_free_ char *path = machine_path(m, BACKUP_DEFINITION);
		_cleanup_error_ struct error *e = NULL;

		if (backup_take_back(&d, &e) < 0 || file_unlink(path, &e) < 0 || snap_journal_end(m, &e) < 0)
			log_warn("machine %s: %s; the next command tries again", m->name, e->msg);
		return -1;
	}
	return backup_complete(m, err) < 0 ? -1 : snap_journal_end(m, err);
}

int backup_restore(struct store *s, const char *machine, const char *name, struct error **err)
{
	_cleanup_backup_ struct backup *b = backup_open(s, machine, name, err);
	_cleanup_store_set_ struct store_set set = { 0 };
	_cleanup_free_ char *dir = machine_dir_of(machine), *json = path_join(dir, "machine.json");
	_cleanup_machine_ struct machine *m = NULL;
	_cleanup_(machine_def_clear) struct machine_def def = { 0 };
	int rc;

	if (!b || machine_name_check(machine, err) < 0 || store_parts(s, b->ref, &set, err) < 0 || backup_definition(s, b, machine, &def, err) < 0)
		return -1;
	if (file_exists(json)) {
		m = machine_open(machine, err);
		rc = m ? into_existing(s, b, &set, m, &def, err) : -1;
	} else {
		m = xcalloc(1, sizeof(*m));
		m->name = xstrdup(machine);
		m->dir = xstrdup(dir);
		m->def = def;
		def = (struct machine_def){ 0 };
		rc = into_new(s, b, &set, m, err);
	}
	return rc < 0 ? error_wrap(err, "machine %s: restoring backup %s", machine, b->name) : 0;
}
