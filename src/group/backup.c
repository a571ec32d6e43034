/* SPDX-License-Identifier: Apache-2.0 */
#include "group/backup.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/units.h"
#include "group/guard.h"
#include "internal.h"
#include "machine/backup.h"
#include "machine/snapshot.h"

#include <string.h>

struct member {
	struct machine *m;
	const struct group_backup_opts *o;
	struct backup_opts opts;
	struct backup_task *task;
	struct worker *w;
	uint64_t said;
};

/* Every 16 MiB: who reads it is a person. */
static void on_progress(void *arg, uint64_t done)
{
	struct member *x = arg;
	char size[16];

	if (done - x->said < 16u << 20)
		return;
	x->said = done;
	worker_state(x->w, "%s", format_size(done, size));
}

static int copy_member(struct worker *w, void *arg, struct error **err)
{
	struct member *x = arg;
	_cleanup_store_ struct store *s = store_open(x->o->store, err); /* of this process: they lock by process */
	struct backup_result r;
	char read[16], stored[16];

	x->w = w;
	if (!s || backup_copy(x->task, s, &r, err) < 0)
		return -1;
	worker_done(w, "backup %s: %s read, %s stored%s", r.name, format_size(r.read, read), format_size(r.stored, stored),
		r.whole ? "" : ", what changed since the last one");
	free(r.name);
	return 0;
}

/* The instant: none goes on before all have fixed their point. */
static int at_one_instant(struct member *v, size_t n, uint64_t *halted_ns, struct error **err)
{
	int rc = 0;

	for (size_t i = 0; i < n; i++)
		backup_quiet(v[i].task);
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = backup_halt_start(v[i].task, err);
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = backup_halt_wait(v[i].task, err);
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = backup_point(v[i].task, err);
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = backup_go_on(v[i].task, err);
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = backup_offer(v[i].task, err);
	for (size_t i = 0; i < n; i++)
		if (backup_halted(v[i].task) > *halted_ns)
			*halted_ns = backup_halted(v[i].task);
	return rc;
}

static int begin_all(struct member *v, size_t n, const struct strv *names, struct store *s, struct error **err)
{
	for (size_t i = 0; i < n; i++) {
		v[i].m = machine_open(names->v[i], err);
		v[i].task = v[i].m ? backup_begin(v[i].m, s, &v[i].opts, err) : NULL;
		if (!v[i].task)
			return -1;
	}
	return 0;
}

/* All have it, or none. */
static void forget_all(const struct member *v, size_t n, struct store *s, const char *name)
{
	for (size_t i = 0; i < n; i++) {
		_cleanup_error_ struct error *e = NULL;
		_cleanup_backup_ struct backup *b = v[i].m ? backup_open(s, v[i].m->name, name, &e) : NULL;

		if (b && store_remove(s, b->ref, &e) < 0)
			log_warn("%s: %s", v[i].m->name, e->msg);
	}
}

/* One name for all: the one given, or S and a number that none of them has. */
static char *choose_name(struct store *s, const char *group, const struct strv *members, const char *given, struct error **err)
{
	_cleanup_backups_ struct backups l = { 0 };
	unsigned next = 0;

	if ((given && name_check("backup", given, err) < 0) || backup_list(s, NULL, &l, err) < 0)
		return NULL;
	for (size_t i = 0; i < l.len; i++) {
		const char *name = l.v[i]->name;
		size_t digits = name[0] == 'S' ? strspn(name + 1, "0123456789") : 0;

		if (!strv_has(members, l.v[i]->machine))
			continue;
		if (given && !strcmp(name, given)) {
			error_set(err, ERR_STATE, "group %s: %s has a backup %s already", group, l.v[i]->machine, given);
			error_hint(err, "take another name, or remove it: croft vm forget %s %s", l.v[i]->machine, given);
			return NULL;
		}
		if (digits && digits < 9 && !name[1 + digits] && (unsigned)atoi(name + 1) >= next)
			next = (unsigned)atoi(name + 1) + 1;
	}
	return given ? xstrdup(given) : xasprintf("S%u", next);
}

int group_backup(const char *group, const struct group_backup_opts *o, char **ret, struct error **err)
{
	_cleanup_strv_ struct strv members = STRV_INIT;
	_cleanup_store_ struct store *s = NULL;
	_cleanup_free_ struct member *args = NULL;
	_cleanup_free_ struct work *works = NULL;
	_cleanup_free_ char *name = NULL;
	struct guard guard = { .fd = -1 };
	uint64_t halted = 0;
	int rc;

	if (machine_names(group, &members, err) < 0)
		return -1;
	if (!members.len) {
		error_set(err, ERR_NOT_FOUND, "group %s: it has no machines", group);
		return error_hint(err, "create them: croft group %s up", group);
	}
	s = store_open(o->store, err);
	if (!s || !(name = choose_name(s, group, &members, o->name, err)))
		return -1;
	args = xcalloc(members.len, sizeof(*args));
	works = xcalloc(members.len, sizeof(*works));
	for (size_t i = 0; i < members.len; i++) {
		args[i] = (struct member){ .o = o, .opts = { .name = name, .text = o->text, .group = group, .progress = on_progress, .arg = &args[i] } };
		works[i] = (struct work){ .label = path_basename(members.v[i]), .arg = &args[i], .fn = copy_member };
	}
	guard_begin(&guard, &members);
	if (begin_all(args, members.len, &members, s, err) < 0 || at_one_instant(args, members.len, &halted, err) < 0)
		rc = -1;
	else if ((rc = work_run(works, members.len, "backup", err)) < 0)
		forget_all(args, members.len, s, name);
	for (size_t i = 0; i < members.len; i++) {
		backup_end(args[i].task);
		machine_free(args[i].m);
	}
	guard_end(&guard);
	if (rc == 0 && halted)
		log_info("group %s: stood still for %.2f s", group, (double)halted / 1e9);
	if (rc == 0)
		*ret = STEAL(name);
	return rc < 0 ? error_wrap(err, "group %s: backup %s", group, name) : 0;
}
