/* SPDX-License-Identifier: Apache-2.0 */
/* The ends of groups go by name and by what is on disk: they work when the file is gone or wrong. */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "internal.h"
#include "net/net.h"
#include "ops.h"

#include <dirent.h>
#include <string.h>
#include <unistd.h>

struct ending {
	const char *full;
	int timeout_ms;
};

static int stop_one(struct worker *w, void *arg, struct error **err)
{
	const struct ending *x = arg;
	_cleanup_machine_ struct machine *m = machine_open(x->full, err);
	const char *how = NULL;
	enum machine_state was;

	if (!m)
		return -1;
	was = machine_state(m);
	worker_state(w, "stopping");
	if (machine_stop(m, x->timeout_ms, &how, err) < 0)
		return -1;
	if (was == MACHINE_STOPPED || was == MACHINE_CRASHED)
		worker_done(w, "was stopped");
	else
		worker_done(w, !strcmp(how, "killed") ? "killed: it did not stop in time" : "stopped");
	return 0;
}

static int remove_one(struct worker *w, void *arg, struct error **err)
{
	const struct ending *x = arg;

	worker_state(w, "removing");
	if (machine_remove(x->full, true, err) < 0)
		return -1;
	worker_done(w, "removed");
	return 0;
}

static int for_all(const char *name, const struct strv *members, int timeout_ms,
	int (*fn)(struct worker *, void *, struct error **), struct error **err)
{
	_cleanup_free_ char *what = xasprintf("group %s", name);
	struct ending *x = xcalloc(members->len + 1, sizeof(*x));
	struct work *work = xcalloc(members->len + 1, sizeof(*work));
	int rc;

	for (size_t i = 0; i < members->len; i++) {
		x[i] = (struct ending){ members->v[i], timeout_ms };
		work[i] = (struct work){ .label = path_basename(members->v[i]), .arg = &x[i], .fn = fn };
	}
	rc = work_run(work, members->len, what, err);
	free(work);
	free(x);
	return rc;
}

static int members_of(const char *name, struct strv *ret, struct error **err)
{
	if (name_check("group", name, err) < 0)
		return -1;
	return machine_names(name, ret, err);
}

static bool is_running(const char *full)
{
	_cleanup_error_ struct error *e = NULL;
	_cleanup_machine_ struct machine *m = machine_open(full, &e);
	enum machine_state s = m ? machine_state(m) : MACHINE_STOPPED;

	return s != MACHINE_STOPPED && s != MACHINE_CRASHED;
}

int group_down(const char *name, int timeout_ms, struct error **err)
{
	struct op *op;
	int rc;

	_cleanup_free_ char *net_dir = group_net_dir(name);
	_cleanup_strv_ struct strv members = STRV_INIT;
	_cleanup_close_ int lock = -1;

	if (members_of(name, &members, err) < 0)
		return -1;
	if (!members.len && !group_exists(name))
		return 0;
	lock = group_lock(name, err);
	if (lock < 0)
		return -1;
	op = op_begin(name, "down");
	for (size_t i = 0; i < members.len; i++)
		op_member(op, path_basename(members.v[i]), is_running(members.v[i]) ? "running" : "stopped");
	rc = op_write(op, err) < 0 ? -1 : for_all(name, &members, timeout_ms, stop_one, err);
	if (rc == 0 && net_stop(net_dir, err) < 0)
		rc = error_wrap(err, "group %s: network", name);
	return op_end(op, rc, err);
}

/* What is left of DATA/machines/NAME when its members are gone; a machine of that name is somebody else's. */
static int remove_rest(const char *name, struct error **err)
{
	_cleanup_free_ char *sub = path_join("machines", name), *dir = path_data(sub), *json = path_join(dir, "machine.json");

	return file_exists(json) ? 0 : file_remove_tree(dir, err);
}

/* The file that says that the group is there goes last but one; the lock last, while it is held: what is interrupted before can be said again. */
static int remove_record(const char *name, struct error **err)
{
	static const char *const last[] = { "group.json", "lock" };
	_cleanup_free_ char *dir = group_record_dir(name);
	_cleanup_closedir_ DIR *d = opendir(dir);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		_cleanup_free_ char *path = path_join(dir, e->d_name);

		if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..") && strcmp(e->d_name, last[0]) && strcmp(e->d_name, last[1]) &&
			file_remove_tree(path, err) < 0)
			return -1;
	}
	for (size_t i = 0; i < ARRAY_SIZE(last); i++) {
		_cleanup_free_ char *path = path_join(dir, last[i]);

		if (file_unlink(path, err) < 0)
			return -1;
	}
	rmdir(dir);
	return 0;
}

int group_clean(const char *name, struct error **err)
{
	_cleanup_free_ char *net_dir = group_net_dir(name), *dir = group_record_dir(name);
	_cleanup_strv_ struct strv members = STRV_INIT;
	_cleanup_close_ int lock = -1;
	struct op *op;
	int rc;

	if (members_of(name, &members, err) < 0)
		return -1;
	/* Interrupted in its last step, it has left no more than its own entry in the journal. */
	if (!members.len && !file_exists(dir))
		return ops_forget(name, err);
	lock = group_lock(name, err);
	if (lock < 0)
		return -1;
	/* Again, now that nobody else changes it. */
	strv_free(&members);
	if (members_of(name, &members, err) < 0)
		return -1;
	op = op_begin(name, "clean_vms");
	for (size_t i = 0; i < members.len; i++)
		op_member(op, path_basename(members.v[i]), is_running(members.v[i]) ? "running" : "stopped");
	rc = op_write(op, err) < 0 ? -1 : for_all(name, &members, 0, remove_one, err);
	if (rc == 0 && net_stop(net_dir, err) < 0)
		rc = error_wrap(err, "group %s: network", name);
	/* The record goes after the journal: while there is the one, the other is looked at. */
	if (rc == 0)
		rc = remove_rest(name, err) < 0 || ops_forget(name, err) < 0 ? -1 : remove_record(name, err);
	return op_end(op, rc, err);
}
