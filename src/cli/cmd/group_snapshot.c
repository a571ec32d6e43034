/* SPDX-License-Identifier: Apache-2.0 */
/* croft group NAME snapshot, restore, snapshots, unsnapshot, fork; as the personality: devtest NAME snapshot X, restore X */
#include "cli/cli.h"
#include "cli/cmd/cmd.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/units.h"
#include "group/group.h"
#include "group/snapshot.h"

#include <inttypes.h>
#include <string.h>

static int group_snapshot_run(const struct cmd_args *a, struct error **err)
{
	const struct strv *w = arg_words(a);
	struct group_snapshot_opts o = { .name = w->len > 1 ? w->v[1] : NULL, .text = arg_str(a, "message"),
		.disk_only = arg_flag(a, "disk-only") };
	_cleanup_free_ char *group = group_name_of(w->v[0], err), *name = NULL;
	uint64_t halted = 0;

	if (!group)
		return -1;
	cli_left("the next snapshot command on group %s takes the unfinished snapshot back", group);
	if (group_snapshot_take(group, &o, &name, &halted, err) < 0)
		return -1;
	cli_left(NULL);
	if (halted)
		log_info("group %s: snapshot %s: stood still for %.2f s", group, name, (double)halted / 1e9);
	if (!o.name)
		printf("%s\n", name);
	return 0;
}

static const struct opt snapshot_opts[] = {
	{ 0, "disk-only", OPT_FLAG, NULL, "Save the disks only, also of machines that run", NULL },
	{ 'm', "message", OPT_STRING, "TEXT", "Describe it", NULL },
	OPT_END,
};

const struct command cmd_group_snapshot = {
	.path = "group NAME snapshot",
	.args = "[SNAPSHOT]",
	.summary = "Save the state of all machines of a group at one instant",
	.help = "All machines that run are halted together, saved in parallel with their memory and the state of the group's network, and run again. "
		"All of them have the snapshot, or none. Without a name it is called S0, S1, ..., and that name is printed.",
	.opts = snapshot_opts,
	.min_words = 1,
	.max_words = 2,
	.run = group_snapshot_run,
	.examples = "  croft group 2zone_sn snapshot ready -m 'all installed'",
};

static int group_restore_run(const struct cmd_args *a, struct error **err)
{
	_cleanup_timing_ bool timing = cmd_timing(a);
	const struct strv *w = arg_words(a);
	_cleanup_free_ char *group = group_name_of(w->v[0], err);

	if (!group)
		return -1;
	cli_left("`croft group %s restore` goes back again", group);
	if (group_snapshot_restore(group, w->len > 1 ? w->v[1] : NULL, arg_flag(a, "disk-only"), err) < 0)
		return -1;
	cli_left(NULL);
	return 0;
}

static const struct opt restore_opts[] = {
	{ 0, "disk-only", OPT_FLAG, NULL, "Leave the memory out: machines start from their disks as after a power cut", NULL },
	TIMING_OPT,
	OPT_END,
};

const struct command cmd_group_restore = {
	.path = "group NAME restore",
	.args = "[SNAPSHOT]",
	.summary = "Go back to a snapshot of a group",
	.help = "Without a name, or as LAST, the newest one. Machines go on where they were, with their addresses and the connections among them; their "
		"clocks are set to now. Frames that were under way are lost, which TCP makes up for.",
	.opts = restore_opts,
	.min_words = 1,
	.max_words = 2,
	.run = group_restore_run,
	.examples = "  croft group 2zone_sn restore ready",
};

static int group_snapshots_run(const struct cmd_args *a, struct error **err)
{
	static const char *const keys[] = { "name", "created", "nodes", "memory", "text", NULL };
	static const char *const all[] = { "name", "created", "nodes#", "memory#", "text", NULL };
	static const char *const titles[] = { "NAME", "CREATED", "NODES", "MEMORY", "DESCRIPTION", NULL };
	_cleanup_free_ char *group = group_name_of(arg_words(a)->v[0], err);
	_cleanup_(group_snapshots_clear) struct group_snapshots l = { 0 };
	bool table = cli_format == FORMAT_TABLE;
	struct table *t;

	if (!group || group_snapshot_list(group, &l, err) < 0)
		return -1;
	if (!l.len && !group_exists(group))
		return error_set(err, ERR_NOT_FOUND, "group %s: there is no such group", group);
	t = table_new(table ? keys : all, titles);
	for (size_t i = 0; i < l.len; i++) {
		const struct group_snapshot *s = l.v[i];
		uint64_t bytes = group_snapshot_memory(group, s);
		_cleanup_free_ char *nodes = xasprintf("%zu", s->nodes.len), *exact = xasprintf("%" PRIu64, bytes);
		char human[16];

		table_row(t, (const char *const[]){ s->name, s->created, nodes, table ? format_size(bytes, human) : exact, s->text });
	}
	table_print(t);
	return 0;
}

const struct command cmd_group_snapshots = {
	.path = "group NAME snapshots",
	.summary = "List the snapshots of a group",
	.min_words = 1,
	.max_words = 1,
	.run = group_snapshots_run,
};

static int group_unsnapshot_run(const struct cmd_args *a, struct error **err)
{
	const struct strv *w = arg_words(a);
	_cleanup_free_ char *group = group_name_of(w->v[0], err);

	for (size_t i = 1; group && i < w->len; i++)
		if (group_snapshot_remove(group, w->v[i], err) < 0)
			return -1;
	return group ? 0 : -1;
}

const struct command cmd_group_unsnapshot = {
	.path = "group NAME unsnapshot",
	.args = "SNAPSHOT...",
	.summary = "Remove snapshots of a group",
	.min_words = 2,
	.max_words = -1,
	.run = group_unsnapshot_run,
};
