/* SPDX-License-Identifier: Apache-2.0 */
/* croft vm clone; group NAME fork */
#include "cli/cli.h"
#include "cli/cmd/cmd.h"

#include "base/cleanup.h"
#include "group/group.h"
#include "group/snapshot.h"
#include "machine/clone.h"

#include <string.h>

static int vm_clone_run(const struct cmd_args *a, struct error **err)
{
	const struct strv *w = arg_words(a);
	const struct clone_opts o = { .snapshot = arg_str(a, "snapshot"), .full = arg_flag(a, "full") };
	_cleanup_machine_ struct machine *m = NULL;

	if (o.full && arg_flag(a, "linked"))
		return error_set(err, ERR_USAGE, "--full and --linked exclude each other");
	m = machine_open(w->v[0], err);
	return m ? machine_clone(m, w->v[1], &o, err) : -1;
}

static const struct opt clone_opts_[] = {
	{ 0, "linked", OPT_FLAG, NULL, "Share the image, copy what the machine has written; the default", NULL },
	{ 0, "full", OPT_FLAG, NULL, "Copy everything, so that the image is not needed any more", NULL },
	{ 0, "snapshot", OPT_STRING, "SNAPSHOT", "As it was then (LAST: the newest); the machine may run", NULL },
	OPT_END,
};

const struct command cmd_vm_clone = {
	.path = "vm clone",
	.args = "NAME NEW",
	.summary = "Make a machine from another one",
	.help = "The new one has a name, MAC, UUID and host name of its own, and depends on the old one in nothing. Its machine-id and "
		"ssh host keys are made anew when its guest program is first reached. Without --snapshot the machine must be stopped.",
	.opts = clone_opts_,
	.min_words = 2,
	.max_words = 2,
	.complete = "machine",
	.run = vm_clone_run,
	.examples = "  croft vm clone t1 t2\n  croft vm clone t1 t3 --snapshot clean",
};

static int group_fork_run(const struct cmd_args *a, struct error **err)
{
	const struct strv *w = arg_words(a);
	_cleanup_free_ char *group = group_name_of(w->v[0], err);

	if (!group)
		return -1;
	if (strcmp(w->v[2], "as"))
		return error_set(err, ERR_USAGE, "fork SNAPSHOT as OTHER: '%s' stands where 'as' should", w->v[2]);
	cli_left("a part of group %s; `croft group %s clean_vms` removes it", w->v[3], w->v[3]);
	if (group_fork(group, w->v[1], w->v[3], err) < 0)
		return -1;
	cli_left(NULL);
	return 0;
}

const struct command cmd_group_fork = {
	.path = "group NAME fork",
	.args = "SNAPSHOT as OTHER",
	.summary = "Run a second group from a snapshot beside the first",
	.help = "Its machines have the same names and addresses, in a network of their own, and go on at the instant of the snapshot. To them it is the same "
		"world; the two never meet. Ports that are forwarded from the host stay with the first group.",
	.min_words = 4,
	.max_words = 4,
	.run = group_fork_run,
	.examples = "  croft group 2zone_sn fork ready as try1\n  croft group try1 run sn hostname",
};
