/* SPDX-License-Identifier: Apache-2.0 */
#include "apply.h"
#include "ops.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/units.h"
#include "conf/settings.h"
#include "net/net.h"

#include <stdio.h>
#include <string.h>

#define NET_MS 10000
#define AGENT_MS 30000

struct member {
	const struct group *g;
	const struct group_node *n;
	const struct group_up_opts *o;
	const char *net_dir;
};

bool group_node_exists(const struct group_node *n)
{
	_cleanup_free_ char *sub = xasprintf("machines/%s/machine.json", n->full), *path = path_data(sub);

	return file_exists(path);
}

/* Something of it is there that the file names no longer. */
static bool group_has_gone(const struct group *g)
{
	for (size_t i = 0; i < g->nnodes; i++)
		if (g->nodes[i].gone || g->nodes[i].old_apps.len)
			return true;
	return false;
}

static int start_net(const struct group *g, const char *dir, struct error **err)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	group_net_json(g, &b);
	if (g->kernel && geteuid() != 0) {
		error_set(err, ERR_STATE, "group %s: engine: the kernel's needs root, for bridges and taps", g->name);
		return error_hint(err, "leave `engine: kernel` out of %s: the default engine needs no privileges", doc_name(g->doc));
	}
	if (file_mkdirs(dir, 0700, err) < 0 || net_configure(dir, b.data, err) < 0 || group_net_start(g->name, dir, err) < 0)
		return error_wrap(err, "group %s: network", g->name);
	return 0;
}

static int attach(const char *net_dir, struct error **err)
{
	_cleanup_free_ char *answer = net_request(net_dir, "{\"op\":\"attach\"}", NET_MS, err);

	return answer ? 0 : error_wrap(err, "network");
}

static int create(const struct member *x, struct error **err)
{
	_cleanup_free_ char *path = path_join(x->g->record, "create.lock");
	/* One after the other: each creation sweeps away what it takes for the rest of a dead one. */
	_cleanup_close_ int lock = file_lock(path, true, -1, err);
	struct machine_def d;
	int rc = lock < 0 ? -1 : 0;

	if (rc < 0)
		return -1;
	rc = group_machine_def(x->g, x->n, &d, err);

	if (rc == 0 && d.ndisks && x->n->has_disk && d.disks[0].size > x->n->disk) {
		char a[16], b[16];

		log_info("%s: disk: %s is less than the image has, %s is taken", x->n->name, format_size(x->n->disk, a),
			format_size(d.disks[0].size, b));
	}
	if (rc == 0)
		rc = machine_create(&d, err);
	machine_def_clear(&d);
	return rc;
}

/* The guest program greets before the network is set up, and answers the first question after that. */
static int wait_for_network(struct machine *m, struct error **err)
{
	_cleanup_agent_ struct agent *a = machine_agent(m, AGENT_MS, err);
	_cleanup_free_ char *facts = a ? agent_facts(a, AGENT_MS, err) : NULL;

	return facts ? 0 : -1;
}

static int bring_up(struct worker *w, void *arg, struct error **err)
{
	const struct member *x = arg;
	_cleanup_machine_ struct machine *m = NULL;
	struct machine_start_opts so = { .accel = x->o->accel };
	uint64_t begin = loop_now();
	bool already = false;

	if (!group_node_exists(x->n)) {
		worker_state(w, "creating");
		if (create(x, err) < 0)
			return -1;
	}
	m = machine_open(x->n->full, err);
	if (m && !x->o->machines_only && group_apply_node(x->g, x->n, m, err) < 0)
		return -1;
	/* It may be another one now. */
	machine_free(m);
	m = machine_open(x->n->full, err);
	if (!m)
		return -1;
	worker_state(w, "starting");
	if (machine_start(m, &so, &already, err) < 0 || attach(x->net_dir, err) < 0)
		return -1;
	worker_state(w, "booting");
	if (machine_wait_ready(m, -1, err) < 0 || wait_for_network(m, err) < 0)
		return -1;
	if (!x->o->machines_only && group_run_commands(x->g, x->n, "init", m, w, err) < 0)
		return -1;
	worker_done(w, "%s in %.1f s, %s", already ? "was running, ready" : "ready", (double)(loop_now() - begin) / 1e9, x->n->address);
	return 0;
}

static int run_instance(struct worker *w, void *arg, struct error **err)
{
	const struct member *x = arg;
	_cleanup_machine_ struct machine *m = machine_open(x->n->full, err);

	if (!m || group_run_commands(x->g, x->n, "instance", m, w, err) < 0)
		return -1;
	worker_done(w, "instance_commands done");
	return 0;
}

/* One machine after the other, as the file orders; a failure does not keep the later ones from theirs. */
static int run_instances(const struct group *g, const struct group_up_opts *o, struct error **err)
{
	size_t failures = 0;

	for (size_t i = 0; i < g->order.len; i++) {
		_cleanup_error_ struct error *e = NULL;
		const struct group_node *n = group_node(g, g->order.v[i], &e);
		struct member x = { .g = g, .n = n, .o = o };
		struct work work = { .label = n->name, .arg = &x, .fn = run_instance };

		if (!group_commands_left(n, "instance"))
			continue;
		if (work_run(&work, 1, g->name, &e) == 0)
			continue;
		if (e->cls == ERR_INTR)
			return error_move(err, &e);
		failures++;
		if (!*err)
			error_move(err, &e);
	}
	return failures ? -1 : 0;
}

static int bring_all_up(struct group *g, const struct group_up_opts *o, struct error **err)
{
	_cleanup_free_ char *net_dir = group_net_dir(g->name), *what = xasprintf("group %s", g->name);
	struct member *m = xcalloc(g->nnodes, sizeof(*m));
	struct work *work = xcalloc(g->nnodes, sizeof(*work));
	int rc = start_net(g, net_dir, err);
	size_t n = 0;

	for (size_t i = 0; i < g->nnodes; i++) {
		/* What the file names no longer is left as it is; `start_vms` is about what is there. */
		if ((g->nodes[i].gone && !o->machines_only) || (o->only && !strv_has(o->only, g->nodes[i].name)))
			continue;
		m[n] = (struct member){ g, &g->nodes[i], o, net_dir };
		work[n] = (struct work){ .label = g->nodes[i].name, .arg = &m[n], .fn = bring_up };
		n++;
	}
	if (rc == 0)
		rc = work_run(work, n, what, err);
	if (rc < 0 && (*err)->cls != ERR_INTR && !o->machines_only && g->order.len)
		error_hint(err, "instance_commands wait until all machines are ready; `croft group %s up` goes on", g->name);
	if (rc == 0 && !o->machines_only)
		rc = run_instances(g, o, err);
	free(work);
	free(m);
	return rc;
}

/* Two files of one name are two groups, of which there can be one here. A file that was moved is not where it was. */
static bool is_of_another_file(const struct group *g, struct error **err)
{
	const struct node *file = g->recorded ? node_get(doc_root(g->recorded), "file") : NULL;

	if (!file || !file->text || !strcmp(file->text, g->file) || !file_exists(file->text))
		return false;
	error_set(err, ERR_STATE, "group %s: it was made from %s, and this is %s", g->name, file->text, g->file);
	error_hint(err, "`up --adopt` makes of it what this file says; else give one of the files another name");
	return true;
}

/* All that can be known before anything is started. */
static int prepare(struct group *g, const struct group_up_opts *o, struct error **err)
{
	_cleanup_free_ char *sub = xasprintf("machines/%s/machine.json", g->name), *machine = path_data(sub);

	if (file_exists(machine)) {
		error_set(err, ERR_STATE, "group %s: a machine of that name exists", g->name);
		return error_hint(err, "remove it (croft vm remove %s), or name the group's file otherwise", g->name);
	}
	if (!o->machines_only && !o->adopt && is_of_another_file(g, err))
		return -1;
	for (size_t i = 0; o->machines_only && i < g->nnodes; i++)
		if (!group_node_exists(&g->nodes[i])) {
			error_set(err, ERR_STATE, "group %s: %s was not created yet", g->name, g->nodes[i].name);
			return error_hint(err, "croft group %s up", g->name);
		}
	if (!o->machines_only && group_templates(g, err) < 0)
		return -1;
	return group_check_resources(g, err);
}

/* Warnings from `first` on: those from reading the file are shown by whoever read it. */
static void tell(const struct group *g, const struct group_up_opts *o, size_t first)
{
	for (size_t i = first; i < g->warnings.len; i++)
		log_warn("%s", g->warnings.v[i]);
	for (size_t i = 0; i < g->nnodes; i++)
		if (g->nodes[i].gone && !o->prune)
			log_warn("%s: the file names it no longer; its machine stays as it is until --prune", g->nodes[i].name);
	for (size_t i = 0; i < g->nnodes; i++)
		if (g->nodes[i].taken && !group_node_exists(&g->nodes[i]))
			log_info("%s: %s", g->nodes[i].name, g->nodes[i].taken);
}

static const char *state_before(const struct group_node *n)
{
	_cleanup_error_ struct error *e = NULL;
	_cleanup_machine_ struct machine *m = group_node_exists(n) ? machine_open(n->full, &e) : NULL;
	enum machine_state s = m ? machine_state(m) : MACHINE_STOPPED;

	return !group_node_exists(n) ? "absent" : s == MACHINE_STOPPED || s == MACHINE_CRASHED ? "stopped" : "running";
}

static int up_locked(struct group *g, const struct group_up_opts *o, struct error **err)
{
	if ((o->prune && group_prune(g, err) < 0) || group_write_record(g, err) < 0 || bring_all_up(g, o, err) < 0)
		return -1;
	if (o->machines_only)
		return 0;
	if ((o->prune && group_prune_apps(g, err) < 0) || (o->apps && group_apply_apps(g, err) < 0))
		return -1;
	return o->prune || !group_has_gone(g) ? group_write_applied(g, err) : 0;
}

int group_up(struct group *g, const struct group_up_opts *o, struct error **err)
{
	static const struct group_up_opts none;
	size_t warned = g->warnings.len;
	_cleanup_close_ int lock = -1;
	struct op *op;

	if (!o)
		o = &none;
	if (prepare(g, o, err) < 0)
		return -1;
	tell(g, o, warned);
	lock = group_lock(g->name, err);
	if (lock < 0)
		return -1;
	op = op_begin(g->name, o->machines_only ? "start_vms" : "up");
	for (size_t i = 0; i < g->nnodes; i++)
		if (o->machines_only ? !o->only || strv_has(o->only, g->nodes[i].name) : !g->nodes[i].gone)
			op_member(op, g->nodes[i].name, state_before(&g->nodes[i]));
	return op_end(op, op_write(op, err) < 0 ? -1 : up_locked(g, o, err), err);
}
