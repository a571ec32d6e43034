/* SPDX-License-Identifier: Apache-2.0 */
/* croft group NAME ..., and as the personality: devtest NAME ... */
#include "cli/cli.h"
#include "cli/cmd/cmd.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/mem.h"
#include "group/group.h"
#include "machine/machine.h"

#include <string.h>

struct group *cmd_group_load(const struct cmd_args *a, struct error **err)
{
	struct group *g = NULL;

	if (group_load(arg_words(a)->v[0], &g, err) < 0)
		return NULL;
	for (size_t i = 0; i < g->warnings.len; i++)
		log_warn("%s", g->warnings.v[i]);
	return g;
}

static int up(const struct cmd_args *a, const struct group_up_opts *how, struct error **err)
{
	_cleanup_group_ struct group *g = cmd_group_load(a, err);
	struct group_up_opts o = *how;

	if (!g)
		return -1;
	o.accel = arg_str(a, "accel");
	cli_left("machines of group %s may be running; `croft group %s up` goes on, `croft group %s clean_vms` removes them",
		g->name, arg_words(a)->v[0], arg_words(a)->v[0]);
	if (group_up(g, &o, err) < 0)
		return -1;
	cli_left(NULL);
	return 0;
}

static int group_up_run(const struct cmd_args *a, struct error **err)
{
	if (arg_flag(a, "plan")) {
		_cleanup_group_ struct group *g = cmd_group_load(a, err);

		return g ? cmd_group_plan_print(g, err) : -1;
	}
	return up(a, &(struct group_up_opts){ .apps = !arg_flag(a, "no-apps"), .prune = arg_flag(a, "prune"),
			 .adopt = arg_flag(a, "adopt") }, err);
}

static int group_create_run(const struct cmd_args *a, struct error **err)
{
	return up(a, &(struct group_up_opts){ 0 }, err);
}

static int group_start_run(const struct cmd_args *a, struct error **err)
{
	return up(a, &(struct group_up_opts){ .machines_only = true }, err);
}

static int group_down_run(const struct cmd_args *a, struct error **err)
{
	_cleanup_free_ char *name = group_name_of(arg_words(a)->v[0], err);
	int timeout_ms;

	if (!name || arg_timeout(a, "timeout", 60000, &timeout_ms, err) < 0)
		return -1;
	cli_left("machines of group %s may go on stopping", name);
	if (group_down(name, timeout_ms, err) < 0)
		return -1;
	cli_left(NULL);
	return 0;
}

static int group_clean_run(const struct cmd_args *a, struct error **err)
{
	_cleanup_free_ char *name = group_name_of(arg_words(a)->v[0], err);

	if (!name)
		return -1;
	/* Scripts that were written for devtest say clean_vms and nothing more; only a person is asked. */
	if (isatty(0) && isatty(2) && group_exists(name) &&
		cli_confirm(arg_flag(a, "force"), err, "Remove all machines of group %s with their disks", name) < 0)
		return -1;
	cli_left("a part of group %s; `croft group %s clean_vms` removes the rest", name, name);
	if (group_clean(name, err) < 0)
		return -1;
	cli_left(NULL);
	return 0;
}

static int group_info_run(const struct cmd_args *a, struct error **err)
{
	_cleanup_group_ struct group *g = cmd_group_load(a, err);
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (!g || group_info(g, &b, err) < 0)
		return -1;
	/* devtest's answer has always been JSON, and programs read it. */
	if (cli_format == FORMAT_TABLE && strcmp(cli_program, "devtest") == 0)
		cli_format = FORMAT_JSON;
	return print_json(buf_str(&b), err);
}

static int group_run_run(const struct cmd_args *a, struct error **err)
{
	_cleanup_group_ struct group *g = cmd_group_load(a, err);
	const struct strv *w = arg_words(a);
	struct strv commands_ = { w->v + 2, w->len - 2, 0 };
	int status = -1;

	if (!g || group_run(g, w->v[1], &commands_, &status, err) < 0)
		return -1;
	return status;
}

static int group_vars_run(const struct cmd_args *a, struct error **err)
{
	_cleanup_group_ struct group *g = cmd_group_load(a, err);
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (!g)
		return -1;
	vars_to_json(g->vars, &b);
	return print_json(buf_str(&b), err);
}

/* How many members exist and how many of them run; NULL when they cannot be told. */
static char *members(const char *name)
{
	_cleanup_strv_ struct strv names = STRV_INIT;
	_cleanup_error_ struct error *err = NULL;
	size_t running = 0;

	if (machine_names(name, &names, &err) < 0)
		return NULL;
	for (size_t i = 0; i < names.len; i++) {
		_cleanup_error_ struct error *e = NULL;
		_cleanup_machine_ struct machine *m = machine_open(names.v[i], &e);

		running += m && machine_state(m) != MACHINE_STOPPED && machine_state(m) != MACHINE_CRASHED;
	}
	return xasprintf("%zu of %zu", running, names.len);
}

static int group_list_run(const struct cmd_args *a, struct error **err)
{
	static const char *const keys[] = { "name", "state", "running", "network", "file", NULL };
	static const char *const titles[] = { "NAME", "STATE", "RUNNING", "NETWORK", "FILE", NULL };
	_cleanup_strv_ struct strv names = STRV_INIT;
	struct table *t;

	if (group_names(&names, err) < 0)
		return -1;
	t = table_new(keys, titles);
	for (size_t i = 0; i < names.len; i++) {
		bool there = group_exists(names.v[i]);
		_cleanup_free_ char *running = there ? members(names.v[i]) : NULL, *prefix = NULL, *file = NULL;

		if (there)
			group_recorded(names.v[i], &prefix, &file);
		table_row(t, (const char *const[]){ names.v[i], there ? "created" : "described", running, prefix, file });
	}
	table_print(t);
	return 0;
}

#define ACCEL_OPT { 0, "accel", OPT_STRING, "ACCEL", "auto (the default: KVM when it works), kvm or tcg", "auto|kvm|tcg" }
static const struct opt up_opts[] = {
	ACCEL_OPT,
	{ 0, "adopt", OPT_FLAG, NULL, "The group may have been made from another file of this name", NULL },
	{ 0, "no-apps", OPT_FLAG, NULL, "Leave apps alone", NULL },
	{ 0, "plan", OPT_FLAG, NULL, "Only show what would be done", NULL },
	{ 0, "prune", OPT_FLAG, NULL, "Remove machines, with their disks, and apps that the file names no longer", NULL },
	OPT_END,
};
static const struct opt start_opts[] = {
	ACCEL_OPT,
	OPT_END,
};
static const struct opt down_opts[] = {
	{ 't', "timeout", OPT_STRING, "TIME", "Kill what has not stopped after TIME; default 60s", NULL },
	OPT_END,
};
static const struct opt clean_opts[] = {
	{ 'f', "force", OPT_FLAG, NULL, "Do not ask on a terminal", NULL },
	OPT_END,
};

#define UP_HELP                                                                                                               \
	"NAME is a file dev_configs/NAME.json, src/dev_configs/NAME.json, NAME.json or NAME.yaml below the working directory, or " \
	"a path. The file is checked as a whole before anything starts. Machines start in parallel; init_commands run on each as " \
	"soon as it answers, instance_commands in instance_order after all do. May be repeated at any time: what is done is not "  \
	"done again, what failed is. When the file has changed, a group that is there is changed with the least that is needed."

const struct command cmd_group_up = {
	.path = "group NAME up",
	.summary = "Create and start all machines of a group, install and start its apps",
	.help = UP_HELP " Then apps that are not installed are, and those that are not started.",
	.opts = up_opts,
	.min_words = 1,
	.max_words = 1,
	.run = group_up_run,
	.examples = "  croft group 2zone_sn up",
};
const struct command cmd_group_create_vms = {
	.path = "group NAME create_vms",
	.summary = "Create and start all machines of a group",
	.help = UP_HELP,
	.opts = start_opts,
	.min_words = 1,
	.max_words = 1,
	.run = group_create_run,
};
const struct command cmd_group_down = {
	.path = "group NAME down",
	.summary = "Stop all machines of a group and its network",
	.opts = down_opts,
	.min_words = 1,
	.max_words = 1,
	.run = group_down_run,
};
const struct command cmd_group_start_vms = {
	.path = "group NAME start_vms",
	.summary = "Start the machines of a group; run no commands",
	.opts = start_opts,
	.min_words = 1,
	.max_words = 1,
	.run = group_start_run,
};
const struct command cmd_group_stop_vms = {
	.path = "group NAME stop_vms",
	.summary = "The same as down",
	.opts = down_opts,
	.min_words = 1,
	.max_words = 1,
	.run = group_down_run,
};
const struct command cmd_group_info_vms = {
	.path = "group NAME info_vms",
	.summary = "Show states and addresses of a group",
	.min_words = 1,
	.max_words = 1,
	.run = group_info_run,
};
const struct command cmd_group_clean_vms = {
	.path = "group NAME clean_vms",
	.summary = "Remove all machines of a group with their disks",
	.help = "Leaves no file, process, socket or lock. Asks on a terminal.",
	.opts = clean_opts,
	.min_words = 1,
	.max_words = 1,
	.run = group_clean_run,
};
const struct command cmd_group_run = {
	.path = "group NAME run",
	.args = "NODE CMD...",
	.summary = "Run shell commands on a machine of a group",
	.help = "Each CMD is a line for the shell of the machine, run as root; the first that fails ends it, and its status is croft's.",
	.min_words = 3,
	.max_words = -1,
	.passthrough = true,
	.run = group_run_run,
	.examples = "  croft group 2zone_sn run alice-ood1 'ping -c 1 sn' 'cat /etc/resolv.conf'",
};
const struct command cmd_group_vars = {
	.path = "group NAME vars",
	.summary = "Show what {{OBJECT.ATTRIBUTE}} may be in a group's commands",
	.min_words = 1,
	.max_words = 1,
	.run = group_vars_run,
};
const struct command cmd_group_list = {
	.path = "group list",
	.summary = "List the groups that exist or are described here",
	.max_words = 0,
	.run = group_list_run,
};
