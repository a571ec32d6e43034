/* SPDX-License-Identifier: Apache-2.0 */
/* croft vm snapshot, restore, snapshots, unsnapshot */
#include "cli/cli.h"
#include "cli/cmd/cmd.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/units.h"
#include "machine/snapshot.h"

#include <inttypes.h>
#include <string.h>

static int vm_snapshot_run(const struct cmd_args *a, struct error **err)
{
	const struct strv *w = arg_words(a);
	struct snapshot_opts o = { .name = w->len > 1 ? w->v[1] : NULL, .text = arg_str(a, "message") };
	_cleanup_machine_ struct machine *m = NULL;
	_cleanup_free_ char *name = NULL;

	if (arg_flag(a, "memory") && arg_flag(a, "disk-only"))
		return error_set(err, ERR_USAGE, "--memory and --disk-only exclude each other");
	if (arg_flag(a, "memory") || arg_flag(a, "disk-only"))
		o.kind = arg_flag(a, "memory") ? SNAPSHOT_MEMORY : SNAPSHOT_DISK;
	m = machine_open(w->v[0], err);
	if (!m)
		return -1;
	cli_left("the next command on machine %s takes the unfinished snapshot back", m->name);
	if (snapshot_take(m, &o, &name, err) < 0)
		return -1;
	cli_left(NULL);
	if (!o.name)
		printf("%s\n", name);
	return 0;
}

static const struct opt snapshot_opts[] = {
	{ 0, "memory", OPT_FLAG, NULL, "Save memory and devices too; the default for a running machine", NULL },
	{ 0, "disk-only", OPT_FLAG, NULL, "Save the disks only; the default for a stopped machine", NULL },
	{ 'm', "message", OPT_STRING, "TEXT", "Describe it", NULL },
	OPT_END,
};

const struct command cmd_vm_snapshot = {
	.path = "vm snapshot",
	.args = "NAME [SNAPSHOT]",
	.summary = "Save a machine's state in place",
	.help = "Disks, firmware variables, definition and, when it runs, memory: `croft vm restore` goes back to this instant. Without a name "
		"it is called S0, S1, ..., and that name is printed. A running machine is halted for as long as writing its memory takes; "
		"with --disk-only it is not halted, and the disks are as after a power cut.",
	.opts = snapshot_opts,
	.min_words = 1,
	.max_words = 2,
	.complete = "machine",
	.run = vm_snapshot_run,
	.examples = "  croft vm snapshot t1\n  croft vm snapshot t1 clean -m 'before the upgrade'",
};

static int vm_restore_run(const struct cmd_args *a, struct error **err)
{
	const struct strv *w = arg_words(a);
	struct snapshot_restore_opts o = { .disk_only = arg_flag(a, "disk-only") };
	_cleanup_machine_ struct machine *m = NULL;
	_cleanup_snapshot_ struct snapshot *s = NULL;

	if (arg_str(a, "from") && (w->len > 1 || o.disk_only))
		return error_set(err, ERR_USAGE, "--from names a backup; neither a snapshot nor --disk-only goes with it");
	if (arg_str(a, "from"))
		return vm_restore_from(a, w->v[0], arg_str(a, "from"), err);
	m = machine_open(w->v[0], err);
	if (!m)
		return -1;
	cli_left("the next command on machine %s completes going back", m->name);
	if (snapshot_restore(m, w->len > 1 ? w->v[1] : NULL, &o, &s, err) < 0)
		return -1;
	cli_left(NULL);
	if (w->len == 1 || !strcmp(w->v[1], SNAPSHOT_LAST))
		log_info("machine %s: is at snapshot %s", m->name, s->name);
	return 0;
}

static const struct opt restore_opts[] = {
	{ 0, "disk-only", OPT_FLAG, NULL, "Leave the memory out: the machine starts from the disks as after a power cut", NULL },
	{ 0, "from", OPT_STRING, "BACKUP", "Take the disks from this backup (LAST: the newest); makes the machine when it is not there", NULL },
	{ 0, "store", OPT_STRING, "PATH", "With --from: the store; default: croft's own", "file" },
	OPT_END,
};

const struct command cmd_vm_restore = {
	.path = "vm restore",
	.args = "NAME [SNAPSHOT]",
	.summary = "Go back to a snapshot",
	.help = "Without a name, or as LAST, the newest one. A snapshot with memory goes on at its instant: in the running QEMU when the hardware is "
		"still the same, else, and when the machine is stopped, in a new one. The guest's clock is set to now. What was changed since the "
		"last snapshot is lost. A snapshot of disks only is put into the stopped machine; one that runs is ended and started again. "
		"With --from the disks of a stopped machine become those of a backup, or a machine that was removed is made again.",
	.opts = restore_opts,
	.min_words = 1,
	.max_words = 2,
	.complete = "machine",
	.run = vm_restore_run,
	.examples = "  croft vm restore t1\n  croft vm restore t1 clean",
};

struct tree {
	const struct snapshots *l;
	const char *current;
	struct table *t;
};

static void tree_row(const struct tree *x, const struct snapshot *s, const char *indent)
{
	char human[16], human2[16];
	_cleanup_free_ char *name = xasprintf("%s%s", indent, s->name);

	table_row(x->t, (const char *const[]){ name, s->created, s->memory ? format_size(s->memory_bytes, human) : NULL,
				format_size(s->disk_bytes, human2), x->current && !strcmp(x->current, s->name) ? "*" : "", s->text });
}

static bool is_there(const struct snapshots *l, const char *name)
{
	for (size_t i = 0; name && i < l->len; i++)
		if (!strcmp(l->v[i]->name, name))
			return true;
	return false;
}

static void tree_below(const struct tree *x, const char *parent, const char *indent, size_t depth)
{
	for (size_t i = 0; i < x->l->len && depth <= x->l->len; i++) {
		const struct snapshot *s = x->l->v[i];
		bool root = !is_there(x->l, s->parent);
		_cleanup_free_ char *deeper = xasprintf("%s  ", indent);

		if (parent ? !s->parent || strcmp(s->parent, parent) : !root)
			continue;
		tree_row(x, s, indent);
		tree_below(x, s->name, deeper, depth + 1);
	}
}

/* For programs: flat, with the parent's name, numbers in bytes. */
static void list_rows(const struct tree *x)
{
	for (size_t i = 0; i < x->l->len; i++) {
		const struct snapshot *s = x->l->v[i];
		_cleanup_free_ char *memory = xasprintf("%" PRIu64, s->memory_bytes), *disk = xasprintf("%" PRIu64, s->disk_bytes);
		bool current = x->current && !strcmp(x->current, s->name);

		table_row(x->t, (const char *const[]){ s->name, s->parent, s->created, s->memory ? memory : NULL, disk,
					current ? "yes" : "no", s->group, s->text });
	}
}

static int vm_snapshots_run(const struct cmd_args *a, struct error **err)
{
	static const char *const keys[] = { "name", "created", "memory", "disk", "current", "text", NULL };
	static const char *const titles[] = { "NAME", "CREATED", "MEMORY", "DISK", "HERE", "DESCRIPTION", NULL };
	static const char *const all[] = { "name", "parent", "created", "memory#", "disk#", "current", "group", "text", NULL };
	bool table = cli_format == FORMAT_TABLE;
	_cleanup_machine_ struct machine *m = machine_open(arg_words(a)->v[0], err);
	_cleanup_snapshots_ struct snapshots l = { 0 };
	_cleanup_free_ char *current = NULL;
	struct tree x;

	if (!m || snapshot_list(m, &l, err) < 0)
		return -1;
	current = snapshot_current(m);
	x = (struct tree){ &l, current, table_new(table ? keys : all, table ? titles : all) };
	if (table)
		tree_below(&x, NULL, "", 0);
	else
		list_rows(&x);
	table_print(x.t);
	return 0;
}

const struct command cmd_vm_snapshots = {
	.path = "vm snapshots",
	.args = "NAME",
	.summary = "List a machine's snapshots",
	.help = "Each one below the one that it was made from; the one that the machine is at, or descends from, is marked. MEMORY is the size of the saved "
		"memory on disk, DISK that of all of the machine's disks at that time.",
	.min_words = 1,
	.max_words = 1,
	.complete = "machine",
	.run = vm_snapshots_run,
};

static int vm_unsnapshot_run(const struct cmd_args *a, struct error **err)
{
	const struct strv *w = arg_words(a);
	_cleanup_machine_ struct machine *m = machine_open(w->v[0], err);

	if (!m)
		return -1;
	for (size_t i = 1; i < w->len; i++)
		if (snapshot_remove(m, w->v[i], NULL, err) < 0)
			return -1;
	return 0;
}

const struct command cmd_vm_unsnapshot = {
	.path = "vm unsnapshot",
	.args = "NAME SNAPSHOT...",
	.summary = "Remove snapshots of a machine",
	.help = "The machine stays as it is, and snapshots that were made from these stay too.",
	.min_words = 2,
	.max_words = -1,
	.complete = "machine",
	.run = vm_unsnapshot_run,
};
