/* SPDX-License-Identifier: Apache-2.0 */
/* croft run */
#include "cli/cli.h"
#include "cli/cmd/cmd.h"
#include "cli/cmd/define.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "conf/settings.h"
#include "machine/throwaway.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#define MOUNT_MS 60000

/* "[rw:]DIR" of each --share into the definition. */
static int add_shares(struct machine_def *d, const struct strv *shares, struct error **err)
{
	for (size_t i = 0; i < shares->len; i++) {
		bool rw = !strncmp(shares->v[i], "rw:", 3);
		_cleanup_free_ char *path = realpath(shares->v[i] + (rw ? 3 : 0), NULL);
		struct machine_share *s;
		struct stat st;

		if (!path || stat(path, &st) < 0)
			return error_errno(err, errno, "option --share: %s", shares->v[i]);
		if (!S_ISDIR(st.st_mode) || !path[1])
			return error_set(err, ERR_USAGE, "option --share: %s is %s", path, path[1] ? "no folder" : "the guest's own root");
		s = machine_def_add_share(d);
		free(s->tag);
		s->tag = xasprintf("share%zu", i);
		free(s->path);
		s->path = STEAL(path);
		s->rw = rw;
	}
	return 0;
}

/* Each share at the path that it has here. */
static int mount_shares(struct agent *agent, const struct machine_def *d, struct error **err)
{
	for (size_t i = 0; i < d->nshares; i++) {
		const struct machine_share *s = &d->shares[i];
		const char *argv[] = { "sh", "-c",
			"mkdir -p \"$1\" && mount -t 9p -o \"trans=virtio,version=9p2000.L,msize=512000$2\" \"$0\" \"$1\"", s->tag, s->path,
			s->rw ? "" : ",ro", NULL };
		struct agent_exec x = AGENT_EXEC_INIT;
		int status = 0;

		x.argv = argv;
		x.in_fd = x.out_fd = -1;
		x.err_fd = 2;
		x.timeout_ms = MOUNT_MS;
		if (agent_exec(agent, &x, &status, err) < 0)
			return -1;
		if (status)
			return error_set(err, ERR_FAILED, "share %s: the guest could not mount it (status %d)", s->path, status);
	}
	return 0;
}

/* Where croft was called, when that is inside a share; new. */
static char *same_folder(const struct machine_def *d)
{
	_cleanup_free_ char *cwd = realpath(".", NULL);

	for (size_t i = 0; cwd && i < d->nshares; i++) {
		size_t n = strlen(d->shares[i].path);

		if (!strncmp(cwd, d->shares[i].path, n) && (!cwd[n] || cwd[n] == '/'))
			return STEAL(cwd);
	}
	return NULL;
}

/* The command, or a shell, in a machine that has been made; its status. */
static int run_in(struct machine *m, const struct cmd_args *a, struct agent_exec *x, struct error **err)
{
	const char *accel = arg_str(a, "accel");
	const struct machine_start_opts so = { .accel = accel ? accel : settings_get("accel") };
	const struct strv *words = arg_words(a);
	_cleanup_free_ char *cwd = same_folder(&m->def);
	_cleanup_agent_ struct agent *agent = NULL;
	int status = -1;

	if (machine_start(m, &so, NULL, err) < 0 || machine_wait_ready(m, -1, err) < 0)
		return -1;
	agent = machine_agent_awake(m, -1, err);
	if (!agent || mount_shares(agent, &m->def, err) < 0)
		return -1;
	x->argv = words->len > 1 ? (const char *const *)words->v + 1 : cmd_login_shell;
	x->cwd = arg_str(a, "cwd") ? arg_str(a, "cwd") : cwd;
	x->user = arg_str(a, "user");
	x->tty = isatty(0) && isatty(1);
	x->in_fd = 0;
	x->out_fd = 1;
	x->err_fd = 2;
	return agent_exec(agent, x, &status, err) < 0 ? -1 : status;
}

static int run_run(const struct cmd_args *a, struct error **err)
{
	const struct strv *env = arg_list(a, "env");
	_cleanup_(machine_def_clear) struct machine_def d;
	_cleanup_throwaway_ struct throwaway *t = NULL;
	struct agent_exec x = AGENT_EXEC_INIT;

	cmd_define_init(&d);
	d.image = xstrdup(arg_words(a)->v[0]);
	x.env = (const char *const *)env->v;
	if (cmd_env_check(env, err) < 0 || arg_timeout(a, "timeout", -1, &x.timeout_ms, err) < 0 || cmd_define(&d, a, err) < 0 ||
		add_shares(&d, arg_list(a, "share"), err) < 0)
		return -1;
	cli_left("the next `croft run` removes the machine of this one");
	t = throwaway_create(&d, err);
	if (!t)
		return -1;
	return run_in(throwaway_machine(t), a, &x, err);
}

static const struct opt run_opts[] = {
	DEFINE_OPTS,
	{ 's', "share", OPT_LIST, "[rw:]DIR", "Show the guest this folder at the same path; it can write to it with rw: only", "file" },
	{ 'u', "user", OPT_STRING, "USER", "Run the command as USER; default root", NULL },
	{ 'e', "env", OPT_LIST, "NAME=VALUE", "Set a variable of its environment", NULL },
	{ 'C', "cwd", OPT_STRING, "DIR", "Run it in this directory; default the one here, where it is in a share", NULL },
	{ 0, "timeout", OPT_STRING, "TIME", "Kill it after TIME (status 124)", NULL },
	{ 0, "accel", OPT_STRING, "ACCEL", "auto (the default: KVM when it works), kvm or tcg", "auto|kvm|tcg" },
	OPT_END,
};

const struct command cmd_run = {
	.path = "run",
	.args = "IMAGE [--] [CMD [ARG]...]",
	.summary = "Run a command in a machine that is there for it only",
	.help = "Makes a machine of the image, starts it, runs CMD, or a shell, and removes the machine. Standard input, output and error are "
		"those of croft, so that a machine can stand in a pipeline; the exit status is that of the command. With a terminal at both ends "
		"the command gets one.\n\nWhat is left when croft is killed, the next `croft run` removes.",
	.opts = run_opts,
	.min_words = 1,
	.max_words = -1,
	.complete = "image",
	.passthrough = true,
	.run = run_run,
	.examples = "  croft run tiny\n  croft run tiny -- uname -r\n  tar c . | croft run tiny -- sha256sum\n"
		    "  croft run debian -m 1G -s rw:. -- make test",
};
