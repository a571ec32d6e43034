/* SPDX-License-Identifier: Apache-2.0 */
/* croft group NAME capsule FILE, group open FILE */
#include "cli/cli.h"
#include "cli/cmd/cmd.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "group/capsule.h"

static int capsule_run(const struct cmd_args *a, struct error **err)
{
	_cleanup_group_ struct group *g = cmd_group_load(a, err);
	const struct capsule_opts o = { .snapshot = arg_str(a, "snapshot"), .text = arg_str(a, "message"), .with = arg_list(a, "with") };

	if (!g)
		return -1;
	cli_left("a group %s-capsule may be left; the next capsule removes it", g->name);
	if (group_capsule(g, arg_words(a)->v[1], &o, err) < 0)
		return -1;
	cli_left(NULL);
	return 0;
}

static int open_run(const struct cmd_args *a, struct error **err)
{
	_cleanup_free_ char *made = NULL;

	if (group_capsule_open(arg_words(a)->v[0], arg_str(a, "name"), &made, err) < 0)
		return -1;
	log_info("group %s goes on where it stood; what was collected is in groups/%s/capsule of croft's home", made, made);
	printf("%s\n", made);
	return 0;
}

static const struct opt capsule_opts[] = {
	{ 's', "snapshot", OPT_STRING, "SNAPSHOT", "Of that moment; default: now", NULL },
	{ 'w', "with", OPT_LIST, "FILE", "Put this file or folder in as well, a capture for example", "file" },
	{ 'm', "message", OPT_STRING, "TEXT", "Describe it", NULL },
	OPT_END,
};
static const struct opt open_opts[] = {
	{ 'n', "name", OPT_STRING, "NAME", "Name of the group here; default: that which it had", NULL },
	OPT_END,
};

const struct command cmd_group_capsule = {
	.path = "group NAME capsule",
	.args = "FILE",
	.summary = "Pack a group at one moment, with its logs, into one file for another computer",
	.help = "In it are a snapshot of all machines with their memory, the images below their disks, the group's file with its apps and templates, "
		"the nodes' logs, consoles, and the network's log. The group goes on running.",
	.opts = capsule_opts,
	.min_words = 2,
	.max_words = 2,
	.complete = "file",
	.run = capsule_run,
	.examples = "  croft group 2zone_sn capsule failure.croft -m 'bob does not find alice'",
};
const struct command cmd_group_open = {
	.path = "group open",
	.args = "FILE",
	.summary = "Make the group of a capsule and let it go on where it was",
	.help = "Prints the group's name. QEMU and the accelerator must be able to take the memory of the computer that the capsule is from.",
	.opts = open_opts,
	.min_words = 1,
	.max_words = 1,
	.complete = "file",
	.run = open_run,
	.examples = "  croft group open failure.croft --name failure\n  croft group failure run bob 'ss -t'",
};
