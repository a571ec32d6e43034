/* SPDX-License-Identifier: Apache-2.0 */
/* croft group NAME install, update, start, stop, uninstall, exec, history */
#include "cli/cli.h"
#include "cli/cmd/cmd.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "group/group.h"

#include <jansson.h>
#include <string.h>
#include <time.h>

static const char *node_of(const struct cmd_args *a)
{
	return arg_words(a)->len > 1 ? arg_words(a)->v[1] : NULL;
}

bool cmd_timing(const struct cmd_args *a)
{
	if (!arg_flag(a, "timing"))
		return false;
	group_timing_begin();
	return true;
}

void cmd_timing_end(bool *on)
{
	double all, theirs;

	if (!*on)
		return;
	group_timing_end(&all, &theirs);
	log_info("%.2f s in all: %.2f s in commands of apps, %.2f s croft's own", all, theirs, all - theirs);
}

static int deploy(const struct cmd_args *a, bool update, struct error **err)
{
	_cleanup_timing_ bool timing = cmd_timing(a);
	_cleanup_group_ struct group *g = cmd_group_load(a, err);

	if (!g)
		return -1;
	cli_left("apps of group %s may be installed in part; the same command goes on", g->name);
	if (group_app_deploy(g, node_of(a), arg_list(a, "apps"),
		    &(struct group_deploy){ .update = update, .force = arg_flag(a, "force"), .delete = arg_flag(a, "delete") }, err) < 0)
		return -1;
	cli_left(NULL);
	return 0;
}

static int do_command(const struct cmd_args *a, const char *command, struct error **err)
{
	_cleanup_timing_ bool timing = cmd_timing(a);
	_cleanup_group_ struct group *g = cmd_group_load(a, err);

	return g ? group_app_do(g, node_of(a), arg_list(a, "apps"), command, err) : -1;
}

static int install_run(const struct cmd_args *a, struct error **err)
{
	return deploy(a, false, err);
}

static int update_run(const struct cmd_args *a, struct error **err)
{
	return deploy(a, true, err);
}

static int start_run(const struct cmd_args *a, struct error **err)
{
	return do_command(a, "start", err);
}

static int stop_run(const struct cmd_args *a, struct error **err)
{
	return do_command(a, "stop", err);
}

static int uninstall_run(const struct cmd_args *a, struct error **err)
{
	return do_command(a, "uninstall", err);
}

static int exec_run(const struct cmd_args *a, struct error **err)
{
	_cleanup_group_ struct group *g = cmd_group_load(a, err);
	const struct strv *w = arg_words(a);
	struct strv params = { w->v + 2, w->len - 2, 0 };
	int status = 0;

	if (!g || group_app_exec(g, w->v[1], arg_str(a, "device"), &params, &status, err) < 0)
		return -1;
	return status;
}

static void history_row(struct table *t, json_t *row)
{
	double time = json_number_value(json_object_get(row, "time"));
	time_t seconds = (time_t)time;
	char when[64] = "", status[24], ms[24];
	struct tm tm;

	if (localtime_r(&seconds, &tm))
		strftime(when, sizeof(when), "%F %T", &tm);
	snprintf(status, sizeof(status), "%lld", (long long)json_integer_value(json_object_get(row, "status")));
	snprintf(ms, sizeof(ms), "%lld", (long long)json_integer_value(json_object_get(row, "ms")));
	table_row(t, (const char *const[]){ when, json_string_value(json_object_get(row, "node")),
			     json_string_value(json_object_get(row, "app")), json_string_value(json_object_get(row, "command")), status, ms });
}

static int history_run(const struct cmd_args *a, struct error **err)
{
	static const char *const keys[] = { "time", "node", "app", "command", "status#", "ms#", NULL };
	static const char *const titles[] = { "TIME", "NODE", "APP", "COMMAND", "STATUS", "MS", NULL };
	_cleanup_group_ struct group *g = cmd_group_load(a, err);
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct table *t;
	json_t *all, *row;
	size_t i;

	if (!g || group_app_history(g, node_of(a), &b, err) < 0)
		return -1;
	all = json_loads(buf_str(&b), 0, NULL);
	if (!all)
		return error_set(err, ERR_FAILED, "group %s: the record of a node cannot be understood", g->name);
	t = table_new(keys, titles);
	json_array_foreach(all, i, row)
		history_row(t, row);
	table_print(t);
	json_decref(all);
	return 0;
}

#define FORCE_HELP "Build and push all, whatever was done before"
static const struct opt deploy_opts[] = {
	{ 'a', "apps", OPT_WORDS, "APP", "Only these apps", NULL },
	{ 'f', "force", OPT_FLAG, NULL, FORCE_HELP, NULL },
	{ 0, "delete", OPT_FLAG, NULL, "What the node has in the target and the source has not goes, but for what the app's `keep` names", NULL },
	TIMING_OPT,
	OPT_END,
};
static const struct opt apps_opts[] = {
	{ 'a', "apps", OPT_WORDS, "APP", "Only these apps", NULL },
	TIMING_OPT,
	OPT_END,
};
static const struct opt exec_opts[] = {
	{ 'd', "device", OPT_STRING, "NODE", "On this node; default: on each that has the app", NULL },
	OPT_END,
};

const struct command cmd_group_install = {
	.path = "group NAME install",
	.args = "[NODE]",
	.summary = "Build apps, push them to their nodes and install them",
	.help = "For each app: its command build_all on this computer (once for each distinct text, skipped when the app's `inputs` are what "
		"they were), `source` to `target` on the node (only what differs; the old folder is exchanged for the new one in one step), then "
		"its command install on the node. Nodes are worked on at the same time.",
	.opts = deploy_opts,
	.min_words = 1,
	.max_words = 2,
	.run = install_run,
	.examples = "  croft group 2zone_sn install\n  croft group 2zone_sn install alice-ood1 --apps discovery",
};
const struct command cmd_group_update = {
	.path = "group NAME update",
	.args = "[NODE]",
	.summary = "Build and push what changed of apps, then run their update",
	.help = "For each app: its command build on this computer, `source_bin` to `target_bin`, then its command update on the node.",
	.opts = deploy_opts,
	.min_words = 1,
	.max_words = 2,
	.run = update_run,
};
const struct command cmd_group_start = {
	.path = "group NAME start",
	.args = "[NODE]",
	.summary = "Start apps in the order of what they depend on, and wait until they are ready",
	.opts = apps_opts,
	.min_words = 1,
	.max_words = 2,
	.run = start_run,
};
const struct command cmd_group_stop = {
	.path = "group NAME stop",
	.args = "[NODE]",
	.summary = "Stop apps, those first that nothing depends on",
	.opts = apps_opts,
	.min_words = 1,
	.max_words = 2,
	.run = stop_run,
};
const struct command cmd_group_uninstall = {
	.path = "group NAME uninstall",
	.args = "[NODE]",
	.summary = "Run the uninstall command of apps",
	.opts = apps_opts,
	.min_words = 1,
	.max_words = 2,
	.run = uninstall_run,
};
const struct command cmd_group_exec = {
	.path = "group NAME exec",
	.args = "APP.COMMAND [PARAM...]",
	.summary = "Run any command of an app on a node; parameters are its $1 and so on",
	.opts = exec_opts,
	.min_words = 2,
	.max_words = -1,
	.run = exec_run,
	.examples = "  croft group 2zone_sn exec discovery.check --device sn",
};
const struct command cmd_group_history = {
	.path = "group NAME history",
	.args = "[NODE]",
	.summary = "Show what was run on the nodes, when, and with what result",
	.help = "The record is on the nodes: after a restore it tells what had been done then.",
	.min_words = 1,
	.max_words = 2,
	.run = history_run,
};
