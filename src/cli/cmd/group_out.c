/* SPDX-License-Identifier: Apache-2.0 */
/* croft group NAME clog, ssh-config, inventory, graph */
#include "cli/cli.h"
#include "cli/cmd/cmd.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/units.h"
#include "group/group.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

/* devtest's place, where scripts look; ours is new each time. */
static char *clog_dir(const struct group *g)
{
	time_t now = time(NULL);
	char when[32] = "now";
	struct tm tm;

	if (strcmp(cli_program, "devtest") == 0)
		return xstrdup("/tmp/clogs");
	if (localtime_r(&now, &tm))
		strftime(when, sizeof(when), "%Y%m%d-%H%M%S", &tm);
	return xasprintf("clogs/%s-%s", g->name, when);
}

static int clog_run(const struct cmd_args *a, struct error **err)
{
	_cleanup_group_ struct group *g = cmd_group_load(a, err);
	_cleanup_free_ char *dir = !g ? NULL : arg_str(a, "dir") ? xstrdup(arg_str(a, "dir")) : clog_dir(g);

	if (!g || group_clog(g, arg_words(a)->len > 1 ? arg_words(a)->v[1] : NULL, dir, err) < 0)
		return -1;
	return arg_flag(a, "merge") ? group_clog_merge(dir, STDOUT_FILENO, err) : 0;
}

static int logs_run(const struct cmd_args *a, struct error **err)
{
	_cleanup_group_ struct group *g = cmd_group_load(a, err);
	uint64_t last = 10;

	if (!g || (arg_str(a, "lines") && parse_u64("option --lines", arg_str(a, "lines"), 0, 1000000, &last, err) < 0))
		return -1;
	return group_logs(g, arg_words(a)->len > 1 ? arg_words(a)->v[1] : NULL, (unsigned)last, arg_flag(a, "follow"), err);
}

static int text_of(const struct cmd_args *a, int (*make)(const struct group *, struct buf *, struct error **), struct error **err)
{
	_cleanup_group_ struct group *g = cmd_group_load(a, err);
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (!g || make(g, &b, err) < 0)
		return -1;
	fputs(buf_str(&b), stdout);
	return 0;
}

static int ssh_config_run(const struct cmd_args *a, struct error **err)
{
	return text_of(a, group_ssh_config, err);
}

static int inventory_run(const struct cmd_args *a, struct error **err)
{
	return text_of(a, group_inventory, err);
}

static int graph_run(const struct cmd_args *a, struct error **err)
{
	return text_of(a, arg_flag(a, "svg") ? group_graph_svg : group_graph, err);
}

static const struct opt clog_opts[] = {
	{ 'd', "dir", OPT_STRING, "DIR", "Where to; default: clogs/GROUP-DATE-TIME (devtest: /tmp/clogs)", "file" },
	{ 'm', "merge", OPT_FLAG, NULL, "Print all lines in the order of their times", NULL },
	OPT_END,
};

const struct command cmd_group_clog = {
	.path = "group NAME clog",
	.args = "[NODE]",
	.summary = "Collect the logs of a group's nodes",
	.help = "Pulls the folder that each node's `directories` calls `logs`, all nodes at the same time. With --merge the lines of all files are "
		"printed in the order of the times that they begin with; errors of the guests' clocks are taken out.",
	.opts = clog_opts,
	.min_words = 1,
	.max_words = 2,
	.run = clog_run,
};
static const struct opt logs_opts[] = {
	{ 'f', "follow", OPT_FLAG, NULL, "Go on with what is written, until Ctrl-C", NULL },
	{ 'n', "lines", OPT_STRING, "N", "The last N lines of each file; default 10", NULL },
	OPT_END,
};
const struct command cmd_group_logs = {
	.path = "group NAME logs",
	.args = "[NODE]",
	.summary = "Show the ends of the logs of a group's nodes, and follow them",
	.help = "Of the folder that each node's `directories` calls `logs`, all files of all nodes: NODE | FILE | LINE.",
	.opts = logs_opts,
	.min_words = 1,
	.max_words = 2,
	.run = logs_run,
	.examples = "  croft group 2zone_sn logs -f",
};
const struct command cmd_group_ssh_config = {
	.path = "group NAME ssh-config",
	.summary = "Print an ssh configuration that reaches the machines",
	.help = "ssh, scp, rsync, editors and Ansible reach every machine that has an ssh server by its name. Connections go through croft's own "
		"channel into the guest: no address of the group needs to be reachable from here.",
	.min_words = 1,
	.max_words = 1,
	.run = ssh_config_run,
	.examples = "  croft group 2zone_sn ssh-config > ssh.conf; ssh -F ssh.conf alice-ood1",
};
const struct command cmd_group_inventory = {
	.path = "group NAME inventory",
	.summary = "Print the group as an inventory for Ansible",
	.min_words = 1,
	.max_words = 1,
	.run = inventory_run,
};
static const struct opt graph_opts[] = {
	{ 's', "svg", OPT_FLAG, NULL, "A picture (SVG) instead", NULL },
	OPT_END,
};
const struct command cmd_group_graph = {
	.path = "group NAME graph",
	.summary = "Print the group as a graph in the DOT language, or as a picture",
	.help = "Zones with what their routers lead to, machines with their addresses, apps and what they depend on.",
	.opts = graph_opts,
	.min_words = 1,
	.max_words = 1,
	.run = graph_run,
	.examples = "  croft group 2zone_sn graph --svg > 2zone_sn.svg\n  croft group 2zone_sn graph | dot -Tpdf > 2zone_sn.pdf",
};
