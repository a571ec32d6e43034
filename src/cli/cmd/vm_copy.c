/* SPDX-License-Identifier: Apache-2.0 */
/* croft vm push, croft vm pull */
#include "cli/cli.h"
#include "cli/cmd/cmd.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/progress.h"
#include "base/units.h"
#include "machine/machine.h"

#include <inttypes.h>
#include <string.h>

struct meter {
	struct progress *p;
	const char *label;
	uint64_t done;
};

static void on_progress(void *arg, uint64_t done, uint64_t total)
{
	struct meter *m = arg;

	if (!m->p)
		m->p = progress_start(m->label, total, 1);
	m->done = done;
	progress_update(m->p, done);
}

typedef int copy_fn(struct agent *a, const char *src, const char *dst, const struct agent_copy *c, struct error **err);

static int read_mode(const struct cmd_args *a, int *mode, struct error **err)
{
	const char *s = arg_str(a, "mode");
	char *end;
	long n;

	*mode = -1;
	if (!s)
		return 0;
	n = strtol(s, &end, 8);
	if (!*s || *end || n < 0 || n > 07777)
		return error_set(err, ERR_USAGE, "option --mode: '%s' is not an octal mode as 0644", s);
	*mode = (int)n;
	return 0;
}

/* NAME SRC... DST; with several sources DST must be a directory, which the trailing slash tells the other end. */
static int copy_all(const struct cmd_args *a, copy_fn *copy, struct error **err)
{
	const struct strv *w = arg_words(a);
	const char *dst = w->v[w->len - 1];
	_cleanup_free_ char *dir = NULL;
	struct agent_copy c = AGENT_COPY_INIT;
	_cleanup_machine_ struct machine *m = machine_open(w->v[0], err);
	_cleanup_agent_ struct agent *agent = NULL;
	int wait_ms;

	if (!m || read_mode(a, &c.mode, err) < 0 || arg_timeout(a, "wait", -1, &wait_ms, err) < 0)
		return -1;
	agent = machine_agent_awake(m, wait_ms, err);
	if (!agent)
		return -1;
	c.owner = arg_str(a, "owner");
	c.progress = on_progress;
	if (w->len > 3)
		dst = dir = xasprintf("%s/", dst);
	cli_left("files already copied are complete, no partial file was left under its name");
	for (size_t i = 1; i + 1 < w->len; i++) {
		struct meter meter = { .label = w->v[i] };
		char human[16];

		c.arg = &meter;
		if (copy(agent, w->v[i], dst, &c, err) < 0) {
			progress_end(meter.p, "failed");
			return error_wrap(err, "machine %s", m->name);
		}
		progress_end(meter.p, "%s", format_size(meter.done, human));
	}
	cli_left(NULL);
	return 0;
}

static int vm_push_run(const struct cmd_args *a, struct error **err)
{
	return copy_all(a, agent_push, err);
}

static int vm_pull_run(const struct cmd_args *a, struct error **err)
{
	return copy_all(a, agent_pull, err);
}

#define WAIT_OPT                                                                                                   \
	{                                                                                                          \
		'w', "wait", OPT_STRING, "TIME", "How long to wait for the guest; default 120s without progress", NULL \
	}

static const struct opt push_opts[] = {
	{ 'o', "owner", OPT_STRING, "USER[:GROUP]", "Owner in the guest; default root", NULL },
	{ 'm', "mode", OPT_STRING, "MODE", "Mode of the files, octal; default that of the source", NULL },
	WAIT_OPT,
	OPT_END,
};
static const struct opt pull_opts[] = { WAIT_OPT, OPT_END };

const struct command cmd_vm_push = {
	.path = "vm push",
	.args = "NAME SRC... DST",
	.summary = "Copy files and trees into a machine",
	.help = "As cp -a: when DST is a directory or ends in a slash, the source goes into it under its own name, else DST is "
		"the new name. Modes, times, links and holes are kept. A file appears under its name only when it is complete.",
	.opts = push_opts,
	.min_words = 3,
	.max_words = -1,
	.complete = "machine|file",
	.run = vm_push_run,
	.examples = "  croft vm push t1 ./dist /opt/app\n  croft vm push t1 --owner ubuntu --mode 0600 id_ed25519 /home/ubuntu/.ssh/",
};

const struct command cmd_vm_pull = {
	.path = "vm pull",
	.args = "NAME SRC... DST",
	.summary = "Copy files and trees out of a machine",
	.help = "The same rules as `croft vm push`, in the other direction.",
	.opts = pull_opts,
	.min_words = 3,
	.max_words = -1,
	.complete = "machine|file",
	.run = vm_pull_run,
	.examples = "  croft vm pull t1 /var/log ./logs",
};
