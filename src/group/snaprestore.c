/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A group goes back: first its network stops handing out frames, so that nothing of what is then the future is under way;
 * all machines are put back in parallel and halted; the network gets its state back and connects anew; all run again.
 */
#include "group/snapshot.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "machine/snapshot.h"
#include "net/net.h"
#include "snapint.h"

#include <jansson.h>
#include <poll.h>
#include <string.h>

#define NET_MS 10000
#define DRAIN_TRIES 100 /* of 5 ms */

struct back {
	char *full;
	const char *name;
	bool disk_only;
};

static int bring_back(struct worker *w, void *arg, struct error **err)
{
	const struct back *b = arg;
	_cleanup_machine_ struct machine *m = machine_open(b->full, err);
	struct snapshot_restore_opts o = { .disk_only = b->disk_only, .hold = true };
	_cleanup_snapshot_ struct snapshot *s = NULL;

	worker_state(w, "going back");
	if (!m || snapshot_restore(m, b->name, &o, &s, err) < 0)
		return -1;
	agent_free(o.held);
	worker_done(w, s->memory && !b->disk_only ? "is where it was" : "its disks are as they were");
	return 0;
}

static int repair(struct worker *w, void *arg, struct error **err)
{
	const struct back *b = arg;
	_cleanup_machine_ struct machine *m = machine_open(b->full, err);
	_cleanup_snapshot_ struct snapshot *s = m ? snapshot_open(m, b->name, err) : NULL;

	return s ? snapshot_repair(m, s, err) : -1;
}

/* The machines that are there are those that the snapshot holds. */
static int check_members(const char *group, const struct group_snapshot *s, struct strv *members, struct error **err)
{
	if (gsnap_members(group, members, err) < 0)
		return -1;
	for (size_t i = 0; i < members->len; i++)
		if (!strv_has(&s->nodes, path_basename(members->v[i]))) {
			error_set(err, ERR_STATE, "group %s: %s was not there when snapshot %s was taken", group, path_basename(members->v[i]), s->name);
			return error_hint(err, "remove it first: croft vm remove %s", members->v[i]);
		}
	for (size_t i = 0; i < s->nodes.len; i++) {
		_cleanup_free_ char *full = xasprintf("%s/%s", group, s->nodes.v[i]);

		if (!strv_has(members, full))
			return error_set(err, ERR_STATE, "group %s: %s, which snapshot %s holds, is no longer there", group, s->nodes.v[i], s->name);
	}
	return 0;
}

/* Until QEMU has taken everything that was handed to it; it does so at once while the machines run. */
static int pause_net(const char *net, struct error **err)
{
	for (int i = 0; i < DRAIN_TRIES; i++) {
		_cleanup_free_ char *answer = net_request(net, "{\"op\":\"pause\"}", NET_MS, err);
		json_t *o = answer ? json_loads(answer, 0, NULL) : NULL;
		json_int_t left = json_integer_value(json_object_get(o, "unread"));

		json_decref(o);
		if (!answer)
			return error_wrap(err, "network");
		if (!left)
			return 0;
		poll(NULL, 0, 5);
	}
	return 0;
}

static int ask_net(const char *net, const char *request, struct error **err)
{
	_cleanup_free_ char *answer = net_request(net, request, NET_MS, err);

	return answer ? 0 : error_wrap(err, "network");
}

static int resume_net(const char *group, const char *net, const char *name, bool disk_only, struct error **err)
{
	_cleanup_free_ char *json = path_join(net, "net.json"), *state = gsnap_path(group, name, "net.state");
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (!file_exists(json))
		return 0;
	if (group_net_start(group, net, err) < 0)
		return -1;
	if (!disk_only && file_exists(state)) {
		buf_adds(&b, "{\"op\":\"load\",\"file\":");
		json_quote(&b, state);
		buf_addc(&b, '}');
		if (ask_net(net, b.data, err) < 0)
			return -1;
	}
	return ask_net(net, "{\"op\":\"resume\"}", err) < 0 ? -1 : ask_net(net, "{\"op\":\"attach\"}", err);
}

/* Those that were brought back with their memory run again, all as one. */
static int let_go(const struct back *all, size_t n, struct error **err)
{
	struct snapshot_restore_opts *o = xcalloc(n, sizeof(*o));
	struct machine **m = xcalloc(n, sizeof(struct machine *));
	struct snapshot **s = xcalloc(n, sizeof(struct snapshot *));
	int rc = 0;

	for (size_t i = 0; i < n; i++) {
		_cleanup_error_ struct error *e = NULL;

		m[i] = machine_open(all[i].full, &e);
		s[i] = m[i] ? snapshot_open(m[i], all[i].name, &e) : NULL;
		if (s[i] && s[i]->memory && machine_state(m[i]) == MACHINE_PAUSED)
			snapshot_hold(m[i], &o[i]);
	}
	for (size_t i = 0; i < n; i++)
		if (s[i] && s[i]->memory && machine_state(m[i]) == MACHINE_PAUSED) {
			_cleanup_error_ struct error *e = NULL;

			if (snapshot_let_go(m[i], s[i], &o[i], &e) < 0) {
				if (rc == 0)
					error_move(err, &e);
				rc = -1;
			}
		}
	for (size_t i = 0; i < n; i++) {
		agent_free(o[i].held);
		machine_free(m[i]);
		snapshot_free(s[i]);
	}
	free(o);
	free(m);
	free(s);
	return rc;
}

static int back_all(const char *group, const struct group_snapshot *s, struct back *all, const struct work *work, const struct work *after,
	size_t n, bool disk_only, struct error **err)
{
	_cleanup_free_ char *net = group_net_dir(group), *what = xasprintf("group %s: going back to snapshot %s", group, s->name);
	_cleanup_error_ struct error *first = NULL;
	bool net_ran = net_running(net) > 0;

	if (net_ran && pause_net(net, err) < 0)
		return -1;
	/* Even when one fails the others and the network go on. */
	work_run(work, n, what, &first);
	if (resume_net(group, net, s->name, disk_only, err) < 0) {
		log_error("%s", (*err)->msg);
		error_clear(err);
	}
	if (!disk_only && let_go(all, n, err) < 0 && !first)
		error_move(&first, err);
	error_clear(err);
	if (first)
		return error_move(err, &first);
	return disk_only ? 0 : work_run(after, n, what, err);
}

int gsnap_restore_locked(const char *group, const struct group_snapshot *s, bool disk_only, struct error **err)
{
	_cleanup_free_ char *journal = gsnap_path(group, "restore", NULL);
	_cleanup_strv_ struct strv members = STRV_INIT;
	struct back *all;
	struct work *work, *after;
	int rc;

	if (check_members(group, s, &members, err) < 0 ||
		file_writef(journal, 0600, err, "%s %s\n", s->name, disk_only ? "disk-only" : "all") < 0)
		return -1;
	all = xcalloc(members.len, sizeof(*all));
	work = xcalloc(members.len, sizeof(*work));
	after = xcalloc(members.len, sizeof(*after));
	for (size_t i = 0; i < members.len; i++) {
		const char *label = path_basename(members.v[i]);

		all[i] = (struct back){ members.v[i], s->name, disk_only };
		work[i] = (struct work){ .label = label, .arg = &all[i], .fn = bring_back };
		after[i] = (struct work){ .label = label, .arg = &all[i], .fn = repair };
	}
	rc = back_all(group, s, all, work, after, members.len, disk_only, err);
	free(all);
	free(work);
	free(after);
	if (rc == 0 || (*err)->cls != ERR_INTR) {
		_cleanup_error_ struct error *e = NULL;

		/* A failure was told and is over; only what was cut short is done again. */
		if (file_unlink(journal, &e) < 0 && rc == 0)
			return error_move(err, &e);
	}
	return rc;
}

int group_snapshot_restore(const char *group, const char *name, bool disk_only, struct error **err)
{
	_cleanup_group_snapshot_ struct group_snapshot *s = NULL;
	_cleanup_strv_ struct strv members = STRV_INIT;
	_cleanup_close_ int lock = -1;

	if (gsnap_members(group, &members, err) < 0)
		return -1;
	lock = group_lock(group, err);
	if (lock < 0 || group_snapshot_recover(group, err) < 0)
		return -1;
	s = group_snapshot_open(group, name, err);
	return s ? gsnap_restore_locked(group, s, disk_only, err) : -1;
}
