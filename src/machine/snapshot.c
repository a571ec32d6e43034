/* SPDX-License-Identifier: Apache-2.0 */
/* Taking and removing snapshots. What is on disk, and in which order it changes: snapshot.h, snapjournal.c. */
#include "machine/snapshot.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/units.h"
#include "snapint.h"

#include <string.h>
#include <sys/statvfs.h>
#include <time.h>

#define LITTLE (16u << 20)

struct snapshot_task {
	struct machine *m;
	struct snapshot *s;
	struct snap_drives drives;
	char *folder; /* ".new-NAME" */
	struct qmp *q; /* NULL: it doesn't run */
	bool was_running; /* its processors */
	bool halted;	  /* by us */
	bool journaled;
	uint64_t halted_at, halted_ns;
	struct proc *procs; /* qemu-img, for each drive of a stopped machine */
	int lock;
};

static bool have(const struct machine *m, const char *sub)
{
	_cleanup_free_ char *path = machine_path(m, sub);

	return file_exists(path);
}

/* Which accelerator the running QEMU was started with: its -accel without options. */
static char *running_accel(const struct machine *m)
{
	_cleanup_free_ char *path = machine_path(m, "run/argv");
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_error_ struct error *e = NULL;

	if (file_read(path, 4u << 20, &b, &e) < 0)
		return NULL;
	for (size_t i = 0; i < b.len; i += strlen(b.data + i) + 1)
		if (!strcmp(b.data + i, "-accel") && i + 7 < b.len)
			return xstrndup(b.data + i + 7, strcspn(b.data + i + 7, ","));
	return NULL;
}

static int choose_name(struct snapshot_task *t, const struct snapshot_opts *o, struct error **err)
{
	_cleanup_snapshots_ struct snapshots l = { 0 };

	if (o->name && name_check("snapshot", o->name, err) < 0)
		return -1;
	if (o->name && (!strcmp(o->name, SNAPSHOT_LAST) || !strcmp(o->name, "CURRENT") || !strncmp(o->name, "croft-", 6)))
		return error_set(err, ERR_USAGE, "snapshot %s: that name is croft's own", o->name);
	if (snapshot_list(t->m, &l, err) < 0)
		return -1;
	for (size_t i = 0; o->name && i < l.len; i++)
		if (!strcmp(l.v[i]->name, o->name)) {
			error_set(err, ERR_STATE, "machine %s: there is a snapshot %s already", t->m->name, o->name);
			return error_hint(err, "take another name, or remove it first: croft vm unsnapshot %s %s", t->m->name, o->name);
		}
	t->s->name = o->name ? xstrdup(o->name) : snapshot_auto_name(&l);
	t->folder = xasprintf(".new-%s", t->s->name);
	return 0;
}

static int check_kind(struct snapshot_task *t, enum snapshot_kind kind, struct error **err)
{
	struct proc_id id;
	bool runs = machine_qemu(t->m, &id);

	if (kind == SNAPSHOT_MEMORY && !runs) {
		error_set(err, ERR_STATE, "machine %s: it is not running, so it has no memory to save", t->m->name);
		return error_hint(err, "start it first, or leave --memory out");
	}
	if (t->drives.impossible.len) {
		error_set(err, ERR_STATE, "machine %s: %s: only qcow2 can hold snapshots", t->m->name, t->drives.impossible.v[0]);
		return error_hint(err, "convert it (qemu-img convert -O qcow2), or leave it out: snapshot: true, or readonly: true");
	}
	t->s->memory = runs && kind != SNAPSHOT_DISK;
	if (!t->drives.len && !t->s->memory) {
		error_set(err, ERR_STATE, "machine %s: it has no disk that could be saved", t->m->name);
		return error_hint(err, runs ? "save its memory: --memory" : "start it and save its memory");
	}
	if (!runs)
		return 0;
	t->s->paused = have(t->m, "run/paused");
	t->s->ready = have(t->m, "run/ready");
	t->q = snap_qmp_connect(t->m, err);
	return t->q ? 0 : -1;
}

/* Everything that takes time and needs no halt. */
static int prepare(struct snapshot_task *t, struct error **err)
{
	_cleanup_free_ char *dir = snap_path(t->m, t->folder, NULL), *memory = snap_path(t->m, t->folder, "memory.qcow2");
	_cleanup_free_ char *json = machine_path(t->m, "machine.json"), *copy = snap_path(t->m, t->folder, "machine.json");
	struct snap_journal j = { .op = (char *)"take", .name = t->s->name, .resume = t->was_running };

	t->journaled = true;
	if (snap_journal_write(t->m, &j, err) < 0 || file_remove_tree(dir, err) < 0 || file_mkdirs(dir, 0700, err) < 0 ||
		file_copy(json, copy, 0600, err) < 0)
		return -1;
	if (!t->s->memory)
		return 0;
	t->s->accel = running_accel(t->m);
	return snap_make_memory(memory, err) < 0 || snap_qmp_add_memory(t->q, memory, err) < 0 ||
			snap_qmp_identity(t->q, &t->s->type, &t->s->qemu, err) < 0 ?
		-1 : 0;
}

static void task_free(struct snapshot_task *t)
{
	snapshot_free(t->s);
	snap_drives_clear(&t->drives);
	qmp_free(t->q);
	for (size_t i = 0; t->procs && i < t->drives.len; i++)
		proc_release(&t->procs[i]);
	free(t->procs);
	free(t->folder);
	cleanup_close(&t->lock);
	free(t);
}

struct snapshot_task *snapshot_begin(struct machine *m, const struct snapshot_opts *o, struct error **err)
{
	struct snapshot_task *t = xcalloc(1, sizeof(*t));
	int runs = 0;

	t->m = m;
	t->s = xcalloc(1, sizeof(*t->s));
	t->s->text = xstrdup(o->text);
	t->s->group = xstrdup(o->group);
	t->lock = machine_lock(m, err);
	if (t->lock < 0 || snap_recover_locked(m, err) < 0)
		goto fail;
	snap_drives_of(m, &t->drives);
	if (t->drives.missing.len) {
		error_set(err, ERR_NOT_FOUND, "%s", t->drives.missing.v[0]);
		goto fail;
	}
	t->s->parent = snapshot_current(m);
	for (size_t i = 0; i < t->drives.len; i++)
		strv_add(&t->s->nodes, t->drives.v[i].node);
	if (choose_name(t, o, err) < 0 || check_kind(t, o->kind, err) < 0)
		goto fail;
	for (size_t i = 0; i < t->drives.left_out.len; i++)
		log_info("machine %s: %s is left out: what is written to it is thrown away anyway (snapshot: true)", m->name,
			t->drives.left_out.v[i]);
	runs = t->q ? snap_qmp_runs(t->q, err) : 0;
	t->was_running = runs > 0;
	if (runs >= 0 && prepare(t, err) == 0)
		return t;
fail:
	if (*err)
		error_wrap(err, "snapshot");
	snapshot_finish(t, false, err);
	return NULL;
}

/* Without waiting, so that several machines halt at the same instant. */
int snapshot_pause_start(struct snapshot_task *t, struct error **err)
{
	if (!t->was_running)
		return 0;
	t->halted = true;
	t->halted_at = loop_now();
	return qmp_send(t->q, "stop", err);
}

int snapshot_pause_wait(struct snapshot_task *t, struct error **err)
{
	return t->halted ? qmp_answer(t->q, SNAP_QMP_MS, err) : 0;
}

int snapshot_save_start(struct snapshot_task *t, struct error **err)
{
	struct timespec now;
	struct tm tm;
	char text[32];

	clock_gettime(CLOCK_REALTIME, &now);
	t->s->taken = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	gmtime_r(&now.tv_sec, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	t->s->created = xstrdup(text);
	if (t->s->memory) {
		if (!t->halted)
			t->halted_at = loop_now();
		return snap_qmp_job_start(t->q, "snapshot-save", t->s->name, &t->drives, err);
	}
	if (t->q)
		return 0;
	t->procs = xcalloc(t->drives.len + 1, sizeof(*t->procs));
	for (size_t i = 0; i < t->drives.len; i++)
		t->procs[i] = (struct proc)PROC_INIT;
	for (size_t i = 0; i < t->drives.len; i++)
		if (snap_img_start("-c", t->s->name, t->drives.v[i].path, &t->procs[i], err) < 0)
			return -1;
	return 0;
}

/* QEMU only says that writing failed. */
static void explain_full(const struct snapshot_task *t, struct error **err)
{
	struct statvfs v;
	char a[16], b[16];

	if (statvfs(t->m->dir, &v) == 0 && (uint64_t)v.f_bavail * v.f_frsize < LITTLE)
		error_hint(err, "the disk of %s is full (%s left): the memory of this machine takes up to %s", t->m->dir,
			format_size((uint64_t)v.f_bavail * v.f_frsize, a), format_size(t->m->def.memory, b));
}

int snapshot_save_wait(struct snapshot_task *t, struct error **err)
{
	int rc = 0;

	if (t->s->memory) {
		rc = snap_qmp_job_wait(t->q, "saving memory", t->m->def.memory, err);
		if (rc < 0)
			explain_full(t, err);
		if (!t->halted && t->was_running)
			t->halted_ns = loop_now() - t->halted_at;
		return rc;
	}
	if (t->q)
		return snap_qmp_tags(t->q, &t->drives, t->s->name, err);
	/* Each is waited for, whatever the others did. */
	for (size_t i = 0; i < t->drives.len && t->procs; i++) {
		_cleanup_error_ struct error *e = NULL;

		if (t->procs[i].pid > 0 && snap_img_wait(&t->procs[i], t->drives.v[i].path, &e) < 0) {
			if (rc == 0)
				error_move(err, &e);
			rc = -1;
		}
	}
	return rc;
}

int snapshot_resume(struct snapshot_task *t, struct error **err)
{
	if (!t->halted)
		return 0;
	if (qmp_command(t->q, "cont", NULL, SNAP_QMP_MS, NULL, err) < 0)
		return -1;
	t->halted = false;
	t->halted_ns = loop_now() - t->halted_at;
	return 0;
}

static int commit_it(struct snapshot_task *t, struct error **err)
{
	_cleanup_free_ char *memory = snap_path(t->m, t->folder, "memory.qcow2"), *tpm = machine_path(t->m, "tpm");
	_cleanup_free_ char *tpm_copy = snap_path(t->m, t->folder, "tpm");
	_cleanup_free_ char *dir = snap_path(t->m, t->folder, NULL), *end = snap_path(t->m, t->s->name, NULL);

	if (t->s->memory) {
		snap_qmp_del_memory(t->q);
		if (snap_sync(memory, err) < 0)
			return -1;
		t->s->memory_bytes = snap_allocated(memory);
	}
	for (size_t i = 0; i < t->drives.len; i++)
		t->s->disk_bytes += snap_allocated(t->drives.v[i].path);
	return snap_copy_dir(tpm, tpm_copy, err) < 0 || snap_write(t->m, t->folder, t->s, err) < 0 ||
			file_rename(dir, end, err) < 0 || snap_set_current(t->m, t->s->name, err) < 0 ||
			snap_journal_end(t->m, err) < 0 ?
		-1 : 0;
}

int snapshot_finish(struct snapshot_task *t, bool commit, struct error **err)
{
	_cleanup_error_ struct error *e = NULL;
	int rc = 0;

	if (commit && commit_it(t, err) < 0)
		rc = error_wrap(err, "machine %s: snapshot %s", t->m->name, t->s->name);
	/* Taking back, and completing a commit that stopped after its rename, are what a later command would do too. */
	if (t->journaled && (!commit || rc < 0)) {
		qmp_free(STEAL(t->q));
		for (size_t i = 0; t->procs && i < t->drives.len; i++)
			proc_release(&t->procs[i]);
		free(STEAL(t->procs));
		if (snap_take_back(t->m, &e) < 0)
			log_warn("%s; the next command tries again", e->msg);
	}
	task_free(t);
	return rc;
}

const char *snapshot_task_name(const struct snapshot_task *t)
{
	return t->s->name;
}

uint64_t snapshot_task_paused(const struct snapshot_task *t)
{
	return t->halted ? loop_now() - t->halted_at : t->halted_ns;
}

int snapshot_take(struct machine *m, const struct snapshot_opts *o, char **name, struct error **err)
{
	struct snapshot_task *t = snapshot_begin(m, o, err);
	bool ok;

	if (!t)
		return -1;
	/* QEMU halts and resumes by itself while it saves memory, however this command ends. */
	ok = snapshot_save_start(t, err) == 0 && snapshot_save_wait(t, err) == 0;
	if (!ok)
		error_wrap(err, "machine %s: snapshot %s", m->name, t->s->name);
	if (ok && name)
		*name = xstrdup(t->s->name);
	if (ok && t->s->memory)
		log_debug("machine %s: halted for %.3f s", m->name, (double)snapshot_task_paused(t) / 1e9);
	if (snapshot_finish(t, ok, err) == 0 && ok)
		return 0;
	if (name)
		free(STEAL(*name));
	return -1;
}

static int remove_locked(struct machine *m, const struct snapshot *s, struct error **err)
{
	_cleanup_free_ char *dir = snap_path(m, s->name, NULL), *folder = xasprintf(".del-%s", s->name), *gone = snap_path(m, folder, NULL);
	struct snap_journal j = { .op = (char *)"remove", .name = s->name };

	/* From the rename on it is no snapshot any more; recovery does the rest, here as after a kill. */
	if (file_remove_tree(gone, err) < 0 || snap_journal_write(m, &j, err) < 0)
		return -1;
	if (file_rename(dir, gone, err) < 0) {
		_cleanup_error_ struct error *e = NULL;

		if (!file_exists(dir) || snap_journal_end(m, &e) < 0)
			log_debug("snapshot %s: the next command completes its removal", s->name);
		return -1;
	}
	return snap_complete_removal(m, s->name, err);
}

int snapshot_remove(struct machine *m, const char *name, const char *own, struct error **err)
{
	_cleanup_close_ int lock = machine_lock(m, err);
	_cleanup_snapshot_ struct snapshot *s = NULL;

	if (lock < 0 || snap_recover_locked(m, err) < 0)
		return -1;
	s = snapshot_open(m, name, err);
	if (!s)
		return -1;
	if (s->group && (!own || strcmp(own, s->group))) {
		const char *slash = strchr(m->name, '/');

		error_set(err, ERR_STATE, "machine %s: snapshot %s is part of the group's snapshot %s", m->name, s->name, s->group);
		return error_hint(err, "remove it from the whole group: croft group %.*s unsnapshot %s", slash ? (int)(slash - m->name) : 0,
			m->name, s->group);
	}
	if (remove_locked(m, s, err) < 0)
		return error_wrap(err, "machine %s: snapshot %s: removing", m->name, s->name);
	return 0;
}
