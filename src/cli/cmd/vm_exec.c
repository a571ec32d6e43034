/* SPDX-License-Identifier: Apache-2.0 */
/* croft vm exec, croft vm shell */
#include "cli/cli.h"
#include "cli/cmd/cmd.h"

#include "base/cleanup.h"
#include "machine/machine.h"

#include <string.h>

const char *const cmd_login_shell[] = { "sh", "-c",
	"command -v bash >/dev/null 2>&1 && exec bash -l; exec sh -l", NULL };

static int exec_in(const char *name, struct agent_exec *x, int wait_ms, struct error **err)
{
	_cleanup_machine_ struct machine *m = machine_open(name, err);
	_cleanup_agent_ struct agent *agent = NULL;
	int status = -1;

	if (!m)
		return -1;
	agent = machine_agent_awake(m, wait_ms, err);
	if (!agent)
		return -1;
	x->in_fd = 0;
	x->out_fd = 1;
	x->err_fd = 2;
	if (agent_exec(agent, x, &status, err) < 0)
		return error_wrap(err, "machine %s", name);
	return status;
}

int cmd_env_check(const struct strv *env, struct error **err)
{
	for (size_t i = 0; i < env->len; i++)
		if (!strchr(env->v[i], '=') || env->v[i][0] == '=')
			return error_set(err, ERR_USAGE, "option --env: '%s' is not NAME=VALUE", env->v[i]);
	return 0;
}

static int vm_exec_run(const struct cmd_args *a, struct error **err)
{
	const struct strv *words = arg_words(a), *env = arg_list(a, "env");
	struct agent_exec x = AGENT_EXEC_INIT;
	int wait_ms;

	x.argv = (const char *const *)words->v + 1;
	x.env = (const char *const *)env->v;
	x.cwd = arg_str(a, "cwd");
	x.user = arg_str(a, "user");
	x.tty = arg_flag(a, "tty");
	if (cmd_env_check(env, err) < 0)
		return -1;
	if (x.tty && (!isatty(0) || !isatty(1)))
		return error_set(err, ERR_USAGE, "option --tty: standard input and output are not a terminal");
	if (arg_timeout(a, "timeout", -1, &x.timeout_ms, err) < 0 ||
		arg_timeout(a, "wait", -1, &wait_ms, err) < 0)
		return -1;
	return exec_in(words->v[0], &x, wait_ms, err);
}

static const struct opt exec_opts[] = {
	{ 't', "tty", OPT_FLAG, NULL, "Give it a terminal", NULL },
	{ 'u', "user", OPT_STRING, "USER", "Run it as USER; default root", NULL },
	{ 'e', "env", OPT_LIST, "NAME=VALUE", "Set a variable of its environment", NULL },
	{ 'C', "cwd", OPT_STRING, "DIR", "Run it in this directory", NULL },
	{ 0, "timeout", OPT_STRING, "TIME", "Kill it after TIME (status 124)", NULL },
	{ 'w', "wait", OPT_STRING, "TIME", "How long to wait for the guest; default 120s without progress", NULL },
	OPT_END,
};

const struct command cmd_vm_exec = {
	.path = "vm exec",
	.args = "NAME [--] CMD [ARG]...",
	.summary = "Run a command in a machine",
	.help = "Standard input, output and error are those of croft, apart from one another; Ctrl-C and SIGTERM go to the command. "
		"The exit status is that of the command, 128 + N when signal N ended it, 126 when it cannot be executed, 127 when "
		"there is none of that name. No shell is involved: use `sh -c '...'` for one.",
	.opts = exec_opts,
	.min_words = 2,
	.max_words = -1,
	.complete = "machine",
	.passthrough = true,
	.run = vm_exec_run,
	.examples = "  croft vm exec t1 -- uname -a\n  tar c . | croft vm exec t1 -- tar x -C /srv",
};

static int vm_shell_run(const struct cmd_args *a, struct error **err)
{
	struct agent_exec x = AGENT_EXEC_INIT;
	int wait_ms;

	x.argv = cmd_login_shell;
	x.user = arg_str(a, "user");
	x.tty = isatty(0) && isatty(1);
	if (arg_timeout(a, "wait", -1, &wait_ms, err) < 0)
		return -1;
	return exec_in(arg_words(a)->v[0], &x, wait_ms, err);
}

static const struct opt shell_opts[] = {
	{ 'u', "user", OPT_STRING, "USER", "As USER; default root", NULL },
	{ 'w', "wait", OPT_STRING, "TIME", "How long to wait for the guest; default 120s without progress", NULL },
	OPT_END,
};

const struct command cmd_vm_shell = {
	.path = "vm shell",
	.args = "NAME",
	.summary = "Open a shell in a machine",
	.help = "bash when the guest has it, else sh; its exit status is croft's.",
	.opts = shell_opts,
	.min_words = 1,
	.max_words = 1,
	.complete = "machine",
	.run = vm_shell_run,
};
