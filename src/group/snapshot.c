/* SPDX-License-Identifier: Apache-2.0 */
#include "group/snapshot.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "group/guard.h"
#include "group/ports.h"
#include "machine/snapshot.h"
#include "net/net.h"
#include "snapint.h"

#include <dirent.h>
#include <string.h>
#include <time.h>

#define NET_MS 10000

struct part {
	struct machine *m;
	struct snapshot_task *task;
	char *name; /* of what was committed */
};
struct taking {
	const char *group;
	struct group_snapshot *s;
	char *folder; /* ".new-S" */
	struct part *parts;
	size_t n;
};

int gsnap_members(const char *group, struct strv *ret, struct error **err)
{
	if (name_check("group", group, err) < 0 || machine_names(group, ret, err) < 0)
		return -1;
	if (ret->len)
		return 0;
	error_set(err, ERR_NOT_FOUND, "group %s: it has no machines", group);
	return error_hint(err, "create them: croft group %s up", group);
}

/* Free in the group and with each of its machines. */
static int choose_name(struct taking *x, const char *name, struct error **err)
{
	_cleanup_(group_snapshots_clear) struct group_snapshots l = { 0 };
	_cleanup_snapshots_ struct snapshots all = { 0 };
	char *chosen;

	if (name && name_check("snapshot", name, err) < 0)
		return -1;
	if (group_snapshot_list(x->group, &l, err) < 0)
		return -1;
	for (size_t i = 0; name && i < l.len; i++)
		if (!strcmp(l.v[i]->name, name)) {
			error_set(err, ERR_STATE, "group %s: there is a snapshot %s already", x->group, name);
			return error_hint(err, "take another name, or remove it first: croft group %s unsnapshot %s", x->group, name);
		}
	for (size_t i = 0; i < x->n; i++)
		if (snapshot_list(x->parts[i].m, &all, err) < 0)
			return -1;
	chosen = name ? xstrdup(name) : snapshot_auto_name(&all);
	x->s->name = chosen;
	x->folder = xasprintf(".new-%s", chosen);
	if (l.len)
		x->s->parent = xstrdup(l.v[l.len - 1]->name);
	return 0;
}

/* The group's file and record as they are now: what a fork is made from. */
static int copy_record(const struct taking *x, struct error **err)
{
	_cleanup_free_ char *dir = group_record_dir(x->group), *record = path_join(dir, "group.json");
	_cleanup_free_ char *to = gsnap_path(x->group, x->folder, "group.json");
	_cleanup_doc_ struct doc *doc = NULL;
	const char *file = NULL;

	if (!file_exists(record))
		return 0;
	doc = doc_load(record, err);
	if (!doc || node_str(doc_root(doc), "file", &file, err) < 0 || file_copy(record, to, 0600, err) < 0)
		return -1;
	if (file && file_exists(file)) {
		const char *ext = strrchr(path_basename(file), '.');
		_cleanup_free_ char *name = xasprintf("file%s", ext ? ext : ""), *copy = gsnap_path(x->group, x->folder, name);

		return file_copy(file, copy, 0600, err);
	}
	return 0;
}

static int open_parts(struct taking *x, struct error **err)
{
	_cleanup_strv_ struct strv names = STRV_INIT;

	if (gsnap_members(x->group, &names, err) < 0)
		return -1;
	x->parts = xcalloc(names.len, sizeof(*x->parts));
	for (size_t i = 0; i < names.len; i++) {
		x->parts[i].m = machine_open(names.v[i], err);
		if (!x->parts[i].m)
			return -1;
		x->n++;
		strv_add(&x->s->nodes, path_basename(names.v[i]));
	}
	return 0;
}

/* Before they are halted: which ports their guests listen on, for diff. */
static void note_ports(const struct taking *x, const char *dir)
{
	_cleanup_free_ struct machine **m = xcalloc(x->n + 1, sizeof(*m));

	for (size_t i = 0; i < x->n; i++)
		m[i] = x->parts[i].m;
	ports_note(dir, m, (const char *const *)x->s->nodes.v, x->n);
}

static int begin_all(struct taking *x, bool disk_only, struct error **err)
{
	const struct snapshot_opts o = { .name = x->s->name, .kind = disk_only ? SNAPSHOT_DISK : SNAPSHOT_AUTO, .text = x->s->text,
		.group = x->s->name };

	for (size_t i = 0; i < x->n; i++) {
		x->parts[i].task = snapshot_begin(x->parts[i].m, &o, err);
		if (!x->parts[i].task)
			return -1;
	}
	return 0;
}

static int save_net(const struct taking *x, struct error **err)
{
	_cleanup_free_ char *net = group_net_dir(x->group), *file = gsnap_path(x->group, x->folder, "net.state"), *answer = NULL;
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (!net_running(net))
		return 0;
	buf_adds(&b, "{\"op\":\"save\",\"file\":");
	json_quote(&b, file);
	buf_addc(&b, '}');
	answer = net_request(net, b.data, NET_MS, err);
	return answer ? 0 : error_wrap(err, "network");
}

/* Everything between the first halt and the last resume. */
static int save_all(struct taking *x, bool disk_only, struct error **err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < x->n; i++)
		rc = snapshot_pause_start(x->parts[i].task, err);
	for (size_t i = 0; rc == 0 && i < x->n; i++)
		rc = snapshot_pause_wait(x->parts[i].task, err);
	if (rc == 0 && !disk_only)
		rc = save_net(x, err);
	for (size_t i = 0; rc == 0 && i < x->n; i++)
		rc = snapshot_save_start(x->parts[i].task, err);
	for (size_t i = 0; rc == 0 && i < x->n; i++)
		rc = snapshot_save_wait(x->parts[i].task, err);
	for (size_t i = 0; rc == 0 && i < x->n; i++)
		rc = snapshot_resume(x->parts[i].task, err);
	return rc;
}

/* All are kept, or none is. */
static int finish_all(struct taking *x, bool ok, uint64_t *halted_ns, struct error **err)
{
	for (size_t i = 0; i < x->n; i++) {
		struct part *p = &x->parts[i];
		_cleanup_error_ struct error *e = NULL;
		struct snapshot_task *t = STEAL(p->task);

		if (!t)
			continue;
		if (snapshot_task_paused(t) > *halted_ns)
			*halted_ns = snapshot_task_paused(t);
		if (snapshot_finish(t, ok, &e) == 0) {
			if (ok)
				p->name = x->s->name;
			continue;
		}
		if (ok)
			error_move(err, &e);
		ok = false;
	}
	for (size_t i = 0; !ok && i < x->n; i++) {
		_cleanup_error_ struct error *e = NULL;

		if (x->parts[i].name && snapshot_remove(x->parts[i].m, x->s->name, x->s->name, &e) < 0)
			log_warn("%s", e->msg);
	}
	return ok ? 0 : -1;
}

static int take(struct taking *x, const struct strv *names, const struct group_snapshot_opts *o, uint64_t *halted_ns, struct error **err)
{
	_cleanup_free_ char *dir = NULL, *end = NULL;
	struct guard guard = { .fd = -1 };
	struct timespec now;
	struct tm tm;
	char text[32];
	bool ok;

	if (open_parts(x, err) < 0 || choose_name(x, o->name, err) < 0)
		return -1;
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	x->s->created = xstrdup(text);
	x->s->taken = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	dir = gsnap_path(x->group, x->folder, NULL);
	end = gsnap_path(x->group, x->s->name, NULL);
	if (file_mkdirs(dir, 0700, err) < 0 || gsnap_write(x->group, x->folder, x->s, err) < 0 || copy_record(x, err) < 0) {
		ok = false;
	} else {
		note_ports(x, dir);
		guard_begin(&guard, names);
		ok = begin_all(x, o->disk_only, err) == 0 && save_all(x, o->disk_only, err) == 0;
	}
	ok = finish_all(x, ok, halted_ns, err) == 0;
	guard_end(&guard);
	if (ok && file_rename(dir, end, err) == 0)
		return 0;
	/* The machines' parts are gone, or go now. */
	{
		_cleanup_error_ struct error *e = NULL;

		if (group_snapshot_recover(x->group, &e) < 0)
			log_warn("%s; the next command tries again", e->msg);
	}
	return -1;
}

int group_snapshot_take(const char *group, const struct group_snapshot_opts *o, char **name, uint64_t *halted_ns, struct error **err)
{
	struct taking x = { .group = group, .s = xcalloc(1, sizeof(*x.s)) };
	_cleanup_strv_ struct strv names = STRV_INIT;
	_cleanup_close_ int lock = -1;
	int rc = -1;

	x.s->text = xstrdup(o->text);
	*halted_ns = 0;
	if (gsnap_members(group, &names, err) == 0 && (lock = group_lock(group, err)) >= 0 && group_snapshot_recover(group, err) == 0)
		rc = take(&x, &names, o, halted_ns, err);
	if (rc < 0)
		error_wrap(err, "group %s: snapshot%s%s", group, x.s->name ? " " : "", x.s->name ? x.s->name : "");
	else
		*name = xstrdup(x.s->name);
	for (size_t i = 0; i < x.n; i++)
		machine_free(x.parts[i].m);
	free(x.parts);
	free(x.folder);
	group_snapshot_free(x.s);
	return rc;
}

/* Out of every machine, then the folder. What is not there any more is as it should be. */
static int drop(const char *group, const char *folder, const char *name, struct error **err)
{
	_cleanup_free_ char *dir = gsnap_path(group, folder, NULL);
	_cleanup_strv_ struct strv names = STRV_INIT;

	if (machine_names(group, &names, err) < 0)
		return -1;
	for (size_t i = 0; i < names.len; i++) {
		_cleanup_machine_ struct machine *m = machine_open(names.v[i], err);
		_cleanup_error_ struct error *none = NULL;
		_cleanup_snapshot_ struct snapshot *s = m ? snapshot_open(m, name, &none) : NULL;

		if (!m)
			return -1;
		if (s && s->group && !strcmp(s->group, name) && snapshot_remove(m, name, name, err) < 0)
			return -1;
	}
	return file_remove_tree(dir, err);
}

static int recover_restore(const char *group, struct error **err)
{
	_cleanup_free_ char *path = gsnap_path(group, "restore", NULL);
	_cleanup_group_snapshot_ struct group_snapshot *s = NULL;
	_cleanup_buf_ struct buf b = BUF_INIT;
	size_t n;

	if (!file_exists(path))
		return 0;
	if (file_read(path, 256, &b, err) < 0)
		return -1;
	n = strcspn(b.data, " \n");
	b.data[n] = '\0';
	log_info("group %s: going back to snapshot %s was interrupted; doing it again", group, b.data);
	s = group_snapshot_open(group, b.data, err);
	return s ? gsnap_restore_locked(group, s, !strcmp(b.data + n + 1, "disk-only\n"), err) : -1;
}

int group_snapshot_recover(const char *group, struct error **err)
{
	_cleanup_free_ char *dir = gsnap_path(group, NULL, NULL);
	_cleanup_closedir_ DIR *d = opendir(dir);

	for (struct dirent *e; d && (e = readdir(d));) {
		bool made = !strncmp(e->d_name, ".new-", 5);

		if (!made && strncmp(e->d_name, ".del-", 5))
			continue;
		if (drop(group, e->d_name, e->d_name + 5, err) < 0)
			return error_wrap(err, "group %s: %s snapshot %s", group, made ? "taking back" : "removing", e->d_name + 5);
		log_debug("group %s: what was left of snapshot %s is removed", group, e->d_name + 5);
	}
	return recover_restore(group, err);
}

int group_snapshot_remove(const char *group, const char *name, struct error **err)
{
	_cleanup_close_ int lock = -1;
	_cleanup_group_snapshot_ struct group_snapshot *s = NULL;
	_cleanup_free_ char *from = NULL, *folder = NULL, *to = NULL;
	_cleanup_strv_ struct strv names = STRV_INIT;

	if (gsnap_members(group, &names, err) < 0)
		return -1;
	lock = group_lock(group, err);
	if (lock < 0 || group_snapshot_recover(group, err) < 0)
		return -1;
	s = group_snapshot_open(group, name, err);
	if (!s)
		return -1;
	folder = xasprintf(".del-%s", s->name);
	from = gsnap_path(group, s->name, NULL);
	to = gsnap_path(group, folder, NULL);
	return file_rename(from, to, err) < 0 || drop(group, folder, s->name, err) < 0 ?
		error_wrap(err, "group %s: snapshot %s: removing", group, s->name) : 0;
}
