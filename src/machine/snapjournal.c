/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An operation on snapshots that was interrupted. DIR/journal.json is on disk before the first change and goes after the last one:
 *
 *	take	not there under its own name yet: it is taken back. There: it is complete
 *	remove	still there under its own name: nothing has happened. Else it is completed
 *	restore	it is done again from its beginning
 *	backup	what was set up in QEMU for it goes, and halted processors go on; the store has it as a whole or not at all
 *	fill	restoring a backup into an existing machine: its disks go back to their mark
 */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "backupint.h"

#include <string.h>

void snap_journal_clear(struct snap_journal *j)
{
	free(j->op);
	free(j->name);
	*j = (struct snap_journal){ 0 };
}

int snap_journal_write(const struct machine *m, const struct snap_journal *j, struct error **err)
{
	_cleanup_free_ char *path = machine_path(m, "journal.json");

	/* Names are checked, so that they need no quoting. */
	return file_writef(path, 0600, err, "{\"op\":\"%s\",\"name\":\"%s\",\"resume\":%s,\"disk_only\":%s}\n", j->op, j->name,
		j->resume ? "true" : "false", j->disk_only ? "true" : "false");
}

int snap_journal_read(const struct machine *m, struct snap_journal *j, struct error **err)
{
	_cleanup_free_ char *path = machine_path(m, "journal.json");
	_cleanup_doc_ struct doc *doc = NULL;
	const char *op = NULL, *name = NULL;

	if (!file_exists(path))
		return 0;
	doc = doc_load(path, err);
	if (!doc || node_str(doc_root(doc), "op", &op, err) < 0 || node_str(doc_root(doc), "name", &name, err) < 0 ||
		node_bool(doc_root(doc), "resume", &j->resume, err) < 0 ||
		node_bool(doc_root(doc), "disk_only", &j->disk_only, err) < 0)
		return -1;
	if (!op || !name)
		return error_set(err, ERR_FAILED, "%s: says neither what was done nor to which snapshot", path);
	j->op = xstrdup(op);
	j->name = xstrdup(name);
	return 1;
}

int snap_journal_end(const struct machine *m, struct error **err)
{
	_cleanup_free_ char *path = machine_path(m, "journal.json");

	return file_unlink(path, err);
}

/* Out of the disks, out of the folder, and let it run again when it was us who halted it. */
static int drop(struct machine *m, const struct snap_journal *j, const char *folder, struct error **err)
{
	_cleanup_drives_ struct snap_drives d = { 0 };
	_cleanup_free_ char *dir = snap_path(m, folder, NULL);
	struct proc_id id;

	snap_drives_of(m, &d);
	if (machine_qemu(m, &id)) {
		_cleanup_qmp_ struct qmp *q = snap_qmp_connect(m, err);
		int runs = 0;

		if (!q || snap_qmp_settle(q, err) < 0)
			return -1;
		snap_qmp_del_memory(q);
		if (snap_qmp_drop(q, &d, j->name, err) < 0)
			return -1;
		runs = j->resume ? snap_qmp_runs(q, err) : 1;
		if (runs < 0 || (runs == 0 && qmp_command(q, "cont", NULL, SNAP_QMP_MS, NULL, err) < 0))
			return -1;
	} else if (snap_img_drop(&d, j->name, err) < 0) {
		return -1;
	}
	return file_remove_tree(dir, err);
}

/* A committed snapshot may still have halted machines and its memory file in QEMU. */
static int let_go(struct machine *m, const struct snap_journal *j, struct error **err)
{
	_cleanup_qmp_ struct qmp *q = NULL;
	struct proc_id id;
	int runs;

	if (!machine_qemu(m, &id))
		return 0;
	q = snap_qmp_connect(m, err);
	if (!q)
		return -1;
	snap_qmp_del_memory(q);
	runs = j->resume ? snap_qmp_runs(q, err) : 1;
	return runs < 0 ? -1 : runs ? 0 : qmp_command(q, "cont", NULL, SNAP_QMP_MS, NULL, err);
}

static int recover_take(struct machine *m, const struct snap_journal *j, struct error **err)
{
	_cleanup_free_ char *json = snap_path(m, j->name, "snapshot.json"), *folder = xasprintf(".new-%s", j->name);

	if (file_exists(json))
		return let_go(m, j, err) < 0 ? -1 : snap_set_current(m, j->name, err);
	return drop(m, j, folder, err);
}

int snap_complete_removal(struct machine *m, const char *name, struct error **err)
{
	_cleanup_free_ char *folder = xasprintf(".del-%s", name), *path = snap_path(m, folder, "snapshot.json"), *current = NULL;
	_cleanup_error_ struct error *e = NULL;
	_cleanup_snapshot_ struct snapshot *s = file_exists(path) ? snap_read(m, folder, &e) : NULL;
	struct snap_journal j = { .name = (char *)name };

	/* Descent first, while the folder still tells whose child it was. */
	if (s && snap_adopt_children(m, name, s->parent, err) < 0)
		return -1;
	current = snapshot_current(m);
	if (s && !current && snap_set_current(m, s->parent, err) < 0)
		return -1;
	return drop(m, &j, folder, err) < 0 ? -1 : snap_journal_end(m, err);
}

static int recover_remove(struct machine *m, const struct snap_journal *j, struct error **err)
{
	_cleanup_free_ char *json = snap_path(m, j->name, "snapshot.json");

	if (file_exists(json))
		return snap_journal_end(m, err);
	return snap_complete_removal(m, j->name, err);
}

static int recover_restore(struct machine *m, const struct snap_journal *j, struct error **err)
{
	struct snapshot_restore_opts o = { .disk_only = j->disk_only, .again = true };

	log_info("machine %s: going back to snapshot %s was interrupted; doing it again", m->name, j->name);
	return snap_restore_locked(m, j->name, &o, NULL, err);
}

/* What a backup set up in QEMU goes. Its bitmaps stay: the next backup knows which of them are whole. */
static int recover_backup(struct machine *m, const struct snap_journal *j, struct error **err)
{
	_cleanup_drives_ struct snap_drives d = { 0 };

	snap_drives_of(m, &d);
	return backup_clean(m, &d, NULL, err) < 0 ? -1 : let_go(m, j, err);
}

static int recover_fill(struct machine *m, struct error **err)
{
	_cleanup_drives_ struct snap_drives d = { 0 };

	_cleanup_free_ char *definition = machine_path(m, BACKUP_DEFINITION);

	snap_drives_of(m, &d);
	return backup_take_back(&d, err) < 0 ? -1 : file_unlink(definition, err);
}

static void tell(const struct machine *m, const struct snap_journal *j)
{
	static const struct {
		const char *op, *what, *now;
	} words[] = {
		{ "take", "taking snapshot", "taken back" },
		{ "remove", "removing snapshot", "completed" },
		{ "backup", "making backup", "taken back" },
		{ "fill", "restoring backup", "taken back" },
		{ "filled", "restoring backup", "completed" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (!strcmp(j->op, words[i].op))
			log_info("machine %s: %s %s was interrupted: that is %s", m->name, words[i].what, j->name, words[i].now);
}

/* own: it is this command's own failure, of which it tells itself. */
static int recover(struct machine *m, bool own, struct error **err)
{
	_cleanup_(snap_journal_clear) struct snap_journal j = { 0 };
	_cleanup_drives_ struct snap_drives d = { 0 };
	int there, rc = 0;

	snap_sweep(m);
	there = snap_journal_read(m, &j, err);
	if (there <= 0)
		return there;
	snap_drives_of(m, &d);
	if (snap_settle(&d, err) < 0)
		return -1;
	if (!strcmp(j.op, "take"))
		rc = recover_take(m, &j, err);
	else if (!strcmp(j.op, "remove"))
		rc = recover_remove(m, &j, err);
	else if (!strcmp(j.op, "restore"))
		return recover_restore(m, &j, err);
	else if (!strcmp(j.op, "backup"))
		rc = recover_backup(m, &j, err);
	else if (!strcmp(j.op, "fill"))
		rc = recover_fill(m, err);
	else if (!strcmp(j.op, "filled"))
		rc = backup_complete(m, err);
	else
		rc = error_set(err, ERR_FAILED, "journal.json: '%s' is nothing that this croft knows", j.op);
	if (rc < 0 || snap_journal_end(m, err) < 0)
		return -1;
	if (!own)
		tell(m, &j);
	return 0;
}

int snap_recover_locked(struct machine *m, struct error **err)
{
	return recover(m, false, err) < 0 ? error_wrap(err, "machine %s: completing an interrupted operation", m->name) : 0;
}

int snap_take_back(struct machine *m, struct error **err)
{
	return recover(m, true, err) < 0 ? error_wrap(err, "machine %s: taking back", m->name) : 0;
}

int snapshot_recover(struct machine *m, struct error **err)
{
	_cleanup_free_ char *path = machine_path(m, "journal.json"), *lockpath = NULL;
	_cleanup_error_ struct error *busy = NULL;
	_cleanup_close_ int lock = -1;

	if (!file_exists(path))
		return 0;
	lockpath = machine_path(m, "lock");
	lock = file_lock(lockpath, true, 0, &busy);
	/* Whoever holds it is at work; nothing was interrupted. */
	return lock < 0 ? 0 : snap_recover_locked(m, err);
}
