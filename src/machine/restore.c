/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Going back to a snapshot. With memory into a running QEMU when it is the same machine, else into a new one that waits halted; without
 * memory into the files of a machine that doesn't run. In all cases the disks are marked first (SNAP_BEFORE), so that a failure, a full
 * disk included, goes back to what was there; the mark goes when all is done.
 */
#include "machine/snapshot.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/path.h"
#include "backupint.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#define HELD_MS 10000
#define CLOCK_MS 20000
#define ARGV_MAX (4u << 20)

struct restore {
	struct machine *m;
	struct snapshot *s;
	struct machine_def def; /* of the snapshot */
	struct snap_drives drives; /* those that hold the snapshot */
	bool memory;		   /* it is wanted, and there */
	bool touched;		   /* what ran before is lost */
	bool swapped;		   /* m's definition is the snapshot's, def the one before */
	bool halted;		   /* it was let run before we came */
	struct snapshot_restore_opts *o;
};

static int read_def(const struct machine *m, const char *name, struct machine_def *d, struct error **err)
{
	_cleanup_free_ char *path = snap_path(m, name, "machine.json");
	_cleanup_doc_ struct doc *doc = doc_load(path, err);

	machine_def_init(d);
	if (!doc || machine_def_read(d, doc_root(doc), err) < 0)
		return -1;
	free(d->name);
	d->name = xstrdup(m->name);
	return 0;
}

/* The definition that is in force for m from here on. */
static void take_def(struct machine *m, struct machine_def *d)
{
	struct machine_def old = m->def;

	m->def = *d;
	*d = old;
}

static int check(struct restore *r, struct error **err)
{
	_cleanup_drives_ struct snap_drives all = { 0 };
	_cleanup_free_ char *memory = snap_path(r->m, r->s->name, "memory.qcow2");

	take_def(r->m, &r->def);
	snap_drives_of(r->m, &all);
	take_def(r->m, &r->def);
	for (size_t i = 0; i < r->s->nodes.len; i++) {
		const char *node = r->s->nodes.v[i];
		size_t k = 0;

		while (k < all.len && strcmp(all.v[k].node, node))
			k++;
		if (k == all.len)
			return error_set(err, ERR_STATE, "its part %s is no longer there", node);
		r->drives.v = xreallocarray(r->drives.v, r->drives.len + 1, sizeof(*r->drives.v));
		r->drives.v[r->drives.len++] = (struct snap_drive){ xstrdup(node), xstrdup(all.v[k].path) };
	}
	if (r->memory && !file_exists(memory))
		return error_set(err, ERR_FAILED, "%s is missing", memory);
	return 0;
}

/* The accelerator is the machine's for as long as its memory lives. */
static const char *accel_of(const struct restore *r)
{
	return r->memory && r->s->accel ? r->s->accel : NULL;
}

/* A memory snapshot goes back into exactly this hardware, named by its versioned type. */
static int start_halted(struct restore *r, struct error **err)
{
	struct machine_start_opts o = { .accel = accel_of(r), .paused = true };
	char *type = r->m->def.type;
	bool already;
	int rc;

	if (r->s->type && *r->s->type)
		r->m->def.type = r->s->type;
	rc = machine_start_locked(r->m, &o, &already, err);
	r->m->def.type = type;
	return rc;
}

/* What would be started for the snapshot is what runs: then it can be loaded in place. */
static bool same_hardware(struct restore *r)
{
	_cleanup_free_ char *path = machine_path(r->m, "run/argv");
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_strv_ struct strv argv = STRV_INIT;
	_cleanup_error_ struct error *e = NULL;
	size_t at = 0, i = 0;
	int rc;

	take_def(r->m, &r->def);
	rc = machine_qemu_argv(r->m, accel_of(r), &argv, &e);
	take_def(r->m, &r->def);
	if (rc < 0 || file_read(path, ARGV_MAX, &b, &e) < 0)
		return false;
	while (at < b.len) {
		const char *is = b.data + at, *want = i < argv.len ? argv.v[i] : "";
		size_t n = r->s->type ? strlen(r->s->type) : 0;

		at += strlen(is) + 1;
		if (!strcmp(is, "-S"))
			continue;
		/* "q35,..." and "pc-q35-7.2,..." are the same for the same QEMU. */
		if (strcmp(is, want) && !(i && !strcmp(argv.v[i - 1], "-machine") && n && !strncmp(is, r->s->type, n) &&
					       strchr(want, ',') && !strcmp(is + n, strchr(want, ','))))
			return false;
		i++;
	}
	return i == argv.len;
}

static int load(struct restore *r, struct qmp *q, struct error **err)
{
	_cleanup_free_ char *memory = snap_path(r->m, r->s->name, "memory.qcow2");
	int rc;

	if (snap_qmp_add_memory(q, memory, err) < 0)
		return -1;
	r->touched = true;
	rc = snap_qmp_job_start(q, "snapshot-load", r->s->name, &r->drives, err);
	if (rc == 0)
		rc = snap_qmp_job_wait(q, "loading memory", r->m->def.memory, err);
	snap_qmp_del_memory(q);
	return rc;
}

static int note_paused(const struct machine *m, bool paused, struct error **err)
{
	_cleanup_free_ char *path = machine_path(m, "run/paused");

	return paused ? file_write(path, "", 0, 0600, err) : file_unlink(path, err);
}

static int load_running(struct restore *r, struct error **err)
{
	_cleanup_qmp_ struct qmp *q = snap_qmp_connect(r->m, err);
	int runs = q && snap_qmp_settle(q, err) == 0 ? snap_qmp_runs(q, err) : -1;

	if (runs < 0)
		return -1;
	r->halted = runs;
	snap_qmp_del_memory(q); /* of a command that was killed */
	if (qmp_command(q, "stop", NULL, SNAP_QMP_MS, NULL, err) < 0 || snap_qmp_drop(q, &r->drives, SNAP_BEFORE, err) < 0 ||
		backup_forget_bitmaps(q, &r->drives, err) < 0 || snap_qmp_tags(q, &r->drives, SNAP_BEFORE, err) < 0)
		return -1;
	snapshot_hold(r->m, r->o);
	return note_paused(r->m, true, err) < 0 ? -1 : load(r, q, err);
}

static int write_def(const struct machine *m, struct error **err)
{
	_cleanup_free_ char *path = machine_path(m, "machine.json");
	_cleanup_buf_ struct buf b = BUF_INIT;

	machine_def_to_json(&m->def, &b);
	return file_write(path, b.data, b.len, 0600, err);
}

/* QEMU goes to no snapshot of a disk that has bitmaps: they would be wrong. The next backup reads everything. */
static int mark(struct restore *r, struct error **err)
{
	if (backup_forget_bitmaps(NULL, &r->drives, err) < 0 || snap_img_drop(&r->drives, SNAP_BEFORE, err) < 0)
		return -1;
	for (size_t i = 0; i < r->drives.len; i++)
		if (snap_img("-c", SNAP_BEFORE, r->drives.v[i].path, err) < 0)
			return -1;
	return 0;
}

static int apply_disks(struct restore *r, struct error **err)
{
	for (size_t i = 0; i < r->drives.len; i++)
		if (snap_img("-a", r->s->name, r->drives.v[i].path, err) < 0)
			return -1;
	return 0;
}

static int load_stopped(struct restore *r, struct error **err)
{
	_cleanup_qmp_ struct qmp *q = NULL;

	if (start_halted(r, err) < 0)
		return -1;
	snapshot_hold(r->m, r->o);
	q = snap_qmp_connect(r->m, err);
	return q ? load(r, q, err) : -1;
}

/* It failed before anything was replaced: the machine goes on. */
static int let_go_on(struct restore *r, struct error **err)
{
	_cleanup_qmp_ struct qmp *q = snap_qmp_connect(r->m, err);

	if (!q || snap_qmp_drop(q, &r->drives, SNAP_BEFORE, err) < 0)
		return -1;
	if (r->halted && (note_paused(r->m, false, err) < 0 || qmp_command(q, "cont", NULL, SNAP_QMP_MS, NULL, err) < 0))
		return -1;
	return snap_journal_end(r->m, err);
}

/* Back to what was there before. Once it was touched, the memory of a machine that ran is lost, as at a power cut; its disks are not. */
static void take_back(struct restore *r)
{
	_cleanup_error_ struct error *e = NULL;
	struct proc_id id;

	agent_free(STEAL(r->o->held));
	if (!r->touched && machine_qemu(r->m, &id)) {
		if (let_go_on(r, &e) < 0)
			log_error("%s; the next command goes to the snapshot again", e->msg);
		return;
	}
	if (machine_kill(r->m, &e) < 0) {
		log_error("%s", e->msg);
		return;
	}
	for (size_t i = 0; i < r->drives.len && !e; i++)
		if (snap_img_has(r->drives.v[i].path, SNAP_BEFORE, &e) > 0)
			snap_img("-a", SNAP_BEFORE, r->drives.v[i].path, &e);
	if (!e && snap_img_drop(&r->drives, SNAP_BEFORE, &e) == 0 && snap_journal_end(r->m, &e) == 0)
		return;
	log_error("machine %s: its disks could not be taken back to what they were: %s; the next command goes to the snapshot again",
		r->m->name, e->msg);
}

/* All is loaded. What is left: definition, TPM, descent; the marks; the journal. */
static int settle(struct restore *r, struct error **err)
{
	_cleanup_free_ char *tpm = machine_path(r->m, "tpm"), *tpm_copy = snap_path(r->m, r->s->name, "tpm");
	struct proc_id id;

	if (write_def(r->m, err) < 0 || (!r->memory && snap_copy_dir(tpm_copy, tpm, err) < 0) ||
		snap_set_current(r->m, r->s->name, err) < 0)
		return -1;
	if (machine_qemu(r->m, &id)) {
		_cleanup_qmp_ struct qmp *q = snap_qmp_connect(r->m, err);

		if (!q || snap_qmp_drop(q, &r->drives, SNAP_BEFORE, err) < 0)
			return -1;
	} else if (snap_img_drop(&r->drives, SNAP_BEFORE, err) < 0) {
		return -1;
	}
	return snap_journal_end(r->m, err);
}

static int stop_first(struct restore *r, struct error **err)
{
	struct proc_id id;

	return machine_qemu(r->m, &id) || machine_helper(r->m, &id) ? machine_kill(r->m, err) : 0;
}

/* Disks, and memory when it is wanted, are the snapshot's afterwards; the machine is halted, or stopped. */
static int bring_back(struct restore *r, bool *started, struct error **err)
{
	struct proc_id id;

	if (r->memory && machine_qemu(r->m, &id) && same_hardware(r)) {
		take_def(r->m, &r->def);
		r->swapped = true;
		return load_running(r, err);
	}
	r->touched = true;
	if (stop_first(r, err) < 0)
		return -1;
	take_def(r->m, &r->def);
	r->swapped = true;
	if (mark(r, err) < 0)
		return -1;
	*started = r->memory;
	return r->memory ? load_stopped(r, err) : apply_disks(r, err);
}

static int restore_it(struct restore *r, struct snapshot_restore_opts *o, struct error **err)
{
	struct snap_journal j = { .op = (char *)"restore", .name = r->s->name, .disk_only = o->disk_only };
	struct proc_id id;
	bool ran = machine_qemu(r->m, &id), already;

	if (snap_journal_write(r->m, &j, err) < 0)
		return -1;
	if (bring_back(r, &o->fetched, err) < 0) {
		take_back(r);
		if (r->swapped)
			take_def(r->m, &r->def);
		return -1;
	}
	if (settle(r, err) < 0)
		return -1;
	if (r->memory)
		return o->hold ? 0 : snapshot_go(r->m, r->s, o, err);
	if (!ran)
		return 0;
	/* Its memory would not fit to the disks: it starts anew. */
	o->fetched = true;
	return machine_start_locked(r->m, &(struct machine_start_opts){ .accel = accel_of(r) }, &already, err);
}

int snap_restore_locked(struct machine *m, const char *name, struct snapshot_restore_opts *o, struct snapshot **done, struct error **err)
{
	struct restore r = { .m = m, .o = o, .touched = o->again, .s = snapshot_open(m, name, err) };
	int rc = -1;

	if (!r.s)
		return -1;
	r.memory = r.s->memory && !o->disk_only;
	if (read_def(m, r.s->name, &r.def, err) == 0 && check(&r, err) == 0)
		rc = restore_it(&r, o, err);
	if (rc < 0)
		error_wrap(err, "machine %s: going back to snapshot %s", m->name, r.s->name);
	machine_def_clear(&r.def);
	snap_drives_clear(&r.drives);
	if (rc == 0 && done)
		*done = STEAL(r.s);
	snapshot_free(r.s);
	return rc;
}

int snapshot_restore(struct machine *m, const char *name, struct snapshot_restore_opts *o, struct snapshot **done, struct error **err)
{
	_cleanup_close_ int lock = machine_lock(m, err);

	return lock < 0 || snap_recover_locked(m, err) < 0 ? -1 : snap_restore_locked(m, name, o, done, err);
}

/* For guest programs that have no request for it: to the second, by date(1). */
static int set_by_date(struct agent *a, int timeout_ms, struct error **err)
{
	_cleanup_free_ char *now = xasprintf("@%lld", (long long)time(NULL));
	const char *argv[] = { "date", "-u", "-s", now, NULL };
	struct agent_exec x = AGENT_EXEC_INIT;
	int status = 0;

	x.argv = argv;
	x.timeout_ms = timeout_ms;
	if (agent_exec(a, &x, &status, err) < 0)
		return -1;
	return status ? error_set(err, ERR_FAILED, "date in the guest ended with status %d", status) : 0;
}

int snapshot_set_clock(struct machine *m, int timeout_ms, struct error **err)
{
	_cleanup_agent_ struct agent *a = machine_agent(m, timeout_ms, err);

	if (!a)
		return -1;
	if (agent_set_clock(a, timeout_ms, err) == 0)
		return 0;
	if ((*err)->code != EOPNOTSUPP)
		return -1;
	error_clear(err);
	return set_by_date(a, timeout_ms, err);
}

void snapshot_hold(struct machine *m, struct snapshot_restore_opts *o)
{
	_cleanup_free_ char *sock = machine_path(m, "run/agent.sock");
	_cleanup_error_ struct error *e = NULL;

	agent_free(STEAL(o->held));
	o->held = agent_hold(sock, HELD_MS, &e);
	if (!o->held)
		log_debug("machine %s: agent channel: %s", m->name, e->msg);
}

int snapshot_let_go(struct machine *m, const struct snapshot *s, struct snapshot_restore_opts *o, struct error **err)
{
	/* Only when the guest has noticed that nobody is there does the helper come back. */
	_cleanup_agent_ __attribute__((unused)) struct agent *held = STEAL(o->held);
	_cleanup_qmp_ struct qmp *q = NULL;

	if (s->paused)
		return note_paused(m, true, err);
	q = snap_qmp_connect(m, err);
	if (!q || qmp_command(q, "cont", NULL, SNAP_QMP_MS, NULL, err) < 0 || note_paused(m, false, err) < 0)
		return error_wrap(err, "machine %s", m->name);
	return 0;
}

int snapshot_repair(struct machine *m, const struct snapshot *s, struct error **err)
{
	_cleanup_error_ struct error *e = NULL;

	/* A guest that was still booting has nobody to ask; it will read the clock of the hardware. */
	if (!s->memory || s->paused || !s->ready || snapshot_set_clock(m, CLOCK_MS, &e) == 0)
		return 0;
	if (e->cls == ERR_INTR)
		return error_move(err, &e);
	log_warn("machine %s: its clock stands at the time of the snapshot: %s", m->name, e->msg);
	return 0;
}

int snapshot_go(struct machine *m, const struct snapshot *s, struct snapshot_restore_opts *o, struct error **err)
{
	return snapshot_let_go(m, s, o, err) < 0 ? -1 : snapshot_repair(m, s, err);
}
