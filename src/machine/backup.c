/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/backup.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/path.h"
#include "backupint.h"

#include <dirent.h>
#include <inttypes.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

struct backup_task {
	struct machine *m;
	struct store *s;
	const struct backup_opts *o;
	struct snap_drives drives;
	struct backup_source *sources;
	struct backup *last; /* or NULL */
	char *name, *bitmap;
	struct buf definition;
	struct store_part *parts;
	struct store_range **ranges;
	struct strv texts; /* what parts point into */
	size_t nparts;
	struct qmp *q; /* until the disks can be read */
	int lock;
	bool runs, halted, journaled;
	struct backup_rest rest;
	struct timespec point;
	uint64_t halted_at, halted_ns;
};

static int choose_name(struct backup_task *t, struct error **err)
{
	_cleanup_backups_ struct backups l = { 0 };
	_cleanup_snapshots_ struct snapshots names = { 0 };

	if (t->o->name && name_check("backup", t->o->name, err) < 0)
		return -1;
	if (t->o->name && !strcmp(t->o->name, SNAPSHOT_LAST))
		return error_set(err, ERR_USAGE, "backup LAST: that is the newest one's other name");
	if (backup_list(t->s, t->m->name, &l, err) < 0)
		return -1;
	for (size_t i = 0; i < l.len; i++) {
		struct snapshot *s = xcalloc(1, sizeof(*s));

		if (t->o->name && !strcmp(l.v[i]->name, t->o->name)) {
			free(s);
			error_set(err, ERR_STATE, "machine %s: there is a backup %s already", t->m->name, t->o->name);
			return error_hint(err, "take another name, or forget it first: croft vm forget %s %s", t->m->name, t->o->name);
		}
		s->name = xstrdup(l.v[i]->name);
		names.v = xreallocarray(names.v, names.len + 1, sizeof(*names.v));
		names.v[names.len++] = s;
	}
	t->name = t->o->name ? xstrdup(t->o->name) : snapshot_auto_name(&names);
	if (l.len)
		t->last = STEAL(l.v[l.len - 1]);
	return 0;
}

static int read_source(void *arg, void *p, size_t n, uint64_t off, struct error **err)
{
	return nbd_read(((struct backup_source *)arg)->nbd, p, n, off, err);
}

static const char *keep(struct backup_task *t, char *text)
{
	strv_take(&t->texts, text);
	return text;
}

/* What is to be read: with a base what may have changed, without one where data is. */
static void add_disk(struct backup_task *t, struct backup_source *src, struct backup_result *ret)
{
	bool base = t->last && src->tracked;
	struct store_range *r = xcalloc(src->nextents + 1, sizeof(*r));
	size_t n = 0;

	for (size_t i = 0; i < src->nextents; i++) {
		const struct nbd_extent *e = &src->extents[i];

		if (base ? !e->dirty : e->zero)
			continue;
		r[n++] = (struct store_range){ e->start, e->len, e->zero };
		ret->read += e->zero ? 0 : e->len;
	}
	t->ranges[t->nparts] = r;
	t->parts[t->nparts++] = (struct store_part){ .name = src->part, .read = read_source, .arg = src, .size = nbd_size(src->nbd),
		.ranges = r, .nranges = n, .base = base ? keep(t, xasprintf("%s/%s", t->last->ref, src->part)) : NULL };
	ret->size += nbd_size(src->nbd);
	ret->whole |= !base;
}

static int add_tpm(struct backup_task *t, struct error **err)
{
	_cleanup_free_ char *dir = machine_path(t->m, "tpm");
	_cleanup_closedir_ DIR *d = opendir(dir);

	for (struct dirent *e; d && (e = readdir(d));) {
		if (e->d_name[0] == '.' || t->nparts > t->drives.len + 16)
			continue;
		t->parts[t->nparts++] = (struct store_part){ .name = keep(t, xasprintf("tpm-%s", e->d_name)),
			.path = keep(t, path_join(dir, e->d_name)) };
	}
	return 0;
}

static void put_text(json_t *o, const char *key, const char *value)
{
	if (value)
		json_object_set_new(o, key, json_string(value));
}

static char *describe(const struct backup_task *t, struct timespec now, struct error **err)
{
	json_t *o = json_object();
	struct tm tm;
	char created[32];
	char *text;

	gmtime_r(&now.tv_sec, &tm);
	strftime(created, sizeof(created), "%Y-%m-%dT%H:%M:%SZ", &tm);
	put_text(o, "machine", t->m->name);
	put_text(o, "name", t->name);
	put_text(o, "text", t->o->text);
	put_text(o, "group", t->o->group);
	put_text(o, "created", created);
	put_text(o, "bitmap", t->bitmap);
	json_object_set_new(o, "taken", json_integer((json_int_t)now.tv_sec * 1000000000 + now.tv_nsec));
	text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	if (!text)
		error_set(err, ERR_USAGE, "the description is not UTF-8");
	return text;
}

static int put(struct backup_task *t, struct timespec now, struct backup_result *ret, struct error **err)
{
	_cleanup_free_ char *info = describe(t, now, err), *ref = backup_ref(t->m->name, t->name);
	struct store_put_opts o = { .message = t->o->text, .progress = t->o->progress, .arg = t->o->arg };
	struct store_put_result r;

	if (!info)
		return -1;
	machine_def_to_json(&t->m->def, &t->definition);
	t->parts = xcalloc(t->drives.len + 20, sizeof(*t->parts));
	t->ranges = xcalloc(t->drives.len + 20, sizeof(*t->ranges));
	t->parts[t->nparts++] = (struct store_part){ .name = "machine", .data = t->definition.data, .size = t->definition.len };
	for (size_t i = 0; i < t->drives.len; i++)
		add_disk(t, &t->sources[i], ret);
	if (add_tpm(t, err) < 0 || store_put_set(t->s, ref, t->parts, t->nparts, info, &o, &r, err) < 0)
		return -1;
	ret->stored = r.stored;
	return 0;
}

/* Up to what changes the machine. */
static int begin(struct backup_task *t, struct error **err)
{
	struct snap_journal j = { .op = (char *)"backup", .name = t->name };
	uint64_t random;
	struct proc_id id;
	int runs = 0;

	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return error_set(err, ERR_FAILED, "getrandom: too little");
	t->bitmap = xasprintf(BACKUP_BITMAP "%016" PRIx64, random);
	t->runs = machine_qemu(t->m, &id);
	if (t->runs && (!(t->q = snap_qmp_connect(t->m, err)) || (runs = snap_qmp_runs(t->q, err)) < 0))
		return -1;
	j.resume = runs;
	/* Before it was begun, never later: a bitmap is named by its backup alone, so one that was not finished is never gone by. */
	if (snap_journal_write(t->m, &j, err) < 0)
		return -1;
	t->journaled = true;
	t->sources = xcalloc(t->drives.len + 1, sizeof(*t->sources));
	for (size_t i = 0; i < t->drives.len; i++) {
		t->sources[i].drive = &t->drives.v[i];
		t->sources[i].part = backup_part_of(&t->drives.v[i]);
		t->sources[i].server = (struct proc)PROC_INIT;
	}
	if (!t->runs)
		return 0;
	backup_dismantle(t->m, t->q, &t->drives);
	return backup_sources_prepare(t->m, t->q, t->last ? t->last->bitmap : NULL, t->sources, t->drives.len, err);
}

/* What may still be under way in QEMU and in the guest before the disks are copied. */
static void let_go(struct backup_task *t)
{
	_cleanup_error_ struct error *e = NULL;

	if (t->halted && qmp_command(t->q, "cont", NULL, SNAP_QMP_MS, NULL, &e) < 0)
		log_warn("machine %s: it is still halted: %s", t->m->name, e->msg);
	t->halted = false;
	backup_stir(t->m, &t->rest);
	qmp_free(STEAL(t->q));
}

/* The end, whichever it is. */
static int end(struct backup_task *t, bool made, struct error **err)
{
	_cleanup_error_ struct error *e = NULL;
	const char *kept = made ? t->bitmap : t->last ? t->last->bitmap : "";

	let_go(t);
	backup_sources_close(t->sources, t->drives.len);
	free(STEAL(t->sources));
	/* From here on the backup is there. Without its bitmap the next one only takes longer. */
	if ((t->runs ? backup_clean(t->m, &t->drives, kept, &e) : made ? backup_track(&t->drives, t->bitmap, &e) : 0) < 0)
		log_warn("machine %s: after the backup: %s", t->m->name, e->msg);
	error_clear(&e);
	t->journaled = false;
	if (snap_journal_end(t->m, &e) < 0 && made)
		return error_move(err, &e);
	return made ? 0 : -1;
}

struct backup_task *backup_begin(struct machine *m, struct store *s, const struct backup_opts *o, struct error **err)
{
	struct backup_task *t = xcalloc(1, sizeof(*t));

	*t = (struct backup_task){ .m = m, .s = s, .o = o, .lock = machine_lock(m, err) };
	snap_drives_of(m, &t->drives);
	if (t->lock < 0 || snap_recover_locked(m, err) < 0)
		;
	else if (t->drives.missing.len)
		error_set(err, ERR_NOT_FOUND, "%s", t->drives.missing.v[0]);
	else if (t->drives.impossible.len)
		error_set(err, ERR_STATE, "%s: only qcow2 can be backed up", t->drives.impossible.v[0]);
	else if (choose_name(t, err) == 0 && begin(t, err) == 0)
		return t;
	error_wrap(err, "machine %s: backup%s%s", m->name, t->name ? " " : "", t->name ? t->name : "");
	backup_end(t);
	return NULL;
}

void backup_quiet(struct backup_task *t)
{
	if (t->runs)
		backup_rest(t->m, &t->rest);
}

int backup_halt_start(struct backup_task *t, struct error **err)
{
	int runs = t->q ? snap_qmp_runs(t->q, err) : 0;

	if (runs <= 0)
		return runs;
	t->halted = true;
	t->halted_at = loop_now();
	return qmp_send(t->q, "stop", err);
}

int backup_halt_wait(struct backup_task *t, struct error **err)
{
	return t->halted ? qmp_answer(t->q, SNAP_QMP_MS, err) : 0;
}

int backup_point(struct backup_task *t, struct error **err)
{
	clock_gettime(CLOCK_REALTIME, &t->point);
	return t->q ? backup_sources_fix(t->q, t->last ? t->last->bitmap : NULL, t->bitmap, t->sources, t->drives.len, err) : 0;
}

int backup_go_on(struct backup_task *t, struct error **err)
{
	if (t->halted) {
		if (qmp_command(t->q, "cont", NULL, SNAP_QMP_MS, NULL, err) < 0)
			return -1;
		t->halted = false;
		t->halted_ns = loop_now() - t->halted_at;
	}
	return 0;
}

int backup_offer(struct backup_task *t, struct error **err)
{
	backup_stir(t->m, &t->rest);
	if (t->q && backup_sources_export(t->q, t->sources, t->drives.len, err) < 0)
		return -1;
	qmp_free(STEAL(t->q)); /* the monitor is for others while the disks are read */
	return 0;
}

uint64_t backup_halted(const struct backup_task *t)
{
	return t->halted_ns;
}

int backup_copy(struct backup_task *t, struct store *s, struct backup_result *ret, struct error **err)
{
	int rc;

	*ret = (struct backup_result){ 0 };
	t->s = s;
	rc = backup_sources_open(t->m, t->runs, t->last ? t->last->bitmap : NULL, t->sources, t->drives.len, err);
	if (rc == 0)
		rc = put(t, t->point, ret, err);
	if (end(t, rc == 0, err) < 0)
		return error_wrap(err, "machine %s: backup %s", t->m->name, t->name);
	ret->name = xstrdup(t->name);
	return 0;
}

void backup_end(struct backup_task *t)
{
	_cleanup_free_ char *journal = NULL;
	_cleanup_error_ struct error *e = NULL;

	if (!t)
		return;
	let_go(t);
	journal = machine_path(t->m, "journal.json");
	/* Not copied, or by a process that died of it. */
	if (t->journaled && file_exists(journal) && snap_take_back(t->m, &e) < 0)
		log_warn("%s; the next command tries again", e->msg);
	if (t->sources)
		backup_sources_close(t->sources, t->drives.len);
	for (size_t i = 0; t->ranges && i < t->drives.len + 20; i++)
		free(t->ranges[i]);
	free(t->ranges);
	free(t->parts);
	free(t->sources);
	free(t->name);
	free(t->bitmap);
	buf_free(&t->definition);
	strv_free(&t->texts);
	backup_free(t->last);
	snap_drives_clear(&t->drives);
	cleanup_close(&t->lock);
	free(t);
}

int backup_give(struct store *s, const struct backup_given *g, struct error **err)
{
	struct machine m = { .name = (char *)g->machine };
	struct backup_opts o = { .name = g->name, .text = g->text };
	struct backup_task t = { .m = &m, .s = s, .o = &o };
	struct store_part parts[40] = { { .name = "machine" } };
	_cleanup_free_ char *info = NULL, *ref = backup_ref(g->machine, g->name);
	_cleanup_buf_ struct buf text = BUF_INIT;
	struct store_put_opts so = { .message = g->text };
	struct store_put_result r;
	size_t n = 1;
	int rc = -1;

	machine_def_to_json(g->def, &text);
	parts[0].data = text.data;
	parts[0].size = text.len;
	if (g->ndisks > ARRAY_SIZE(parts) - 2)
		return error_set(err, ERR_USAGE, "%zu disks: croft's machines have fewer", g->ndisks);
	for (size_t i = 0; i < g->ndisks; i++, n++)
		parts[n] = (struct store_part){ .name = keep(&t, xasprintf("disk-%zu", i)), .path = g->disks[i] };
	if (g->nvram)
		parts[n++] = (struct store_part){ .name = "nvram", .path = g->nvram };
	if (machine_name_check(g->machine, err) == 0 && choose_name(&t, err) == 0 && (info = describe(&t, (struct timespec){ .tv_sec = g->time }, err)))
		rc = store_put_set(s, ref, parts, n, info, &so, &r, err);
	free(t.name);
	strv_free(&t.texts);
	backup_free(t.last);
	return rc < 0 ? error_wrap(err, "machine %s: backup %s", g->machine, g->name) : 0;
}

int backup_take(struct machine *m, struct store *s, const struct backup_opts *o, struct backup_result *ret, struct error **err)
{
	struct backup_task *t = backup_begin(m, s, o, err);
	int rc = -1;

	*ret = (struct backup_result){ 0 };
	if (!t)
		return -1;
	backup_quiet(t);
	if (backup_point(t, err) < 0 || backup_offer(t, err) < 0)
		error_wrap(err, "machine %s: backup %s", m->name, t->name);
	else
		rc = backup_copy(t, s, ret, err);
	backup_end(t);
	return rc;
}
