/* SPDX-License-Identifier: Apache-2.0 */
/* croft ops list, rollback */
#include "cli/cli.h"
#include "cli/cmd/cmd.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "group/ops.h"

#include <string.h>

static const char *state_of(const struct op *o)
{
	return o->running ? "running" : o->failed ? "failed" : "interrupted";
}

/* "2 of 3; failed: bob" */
static char *members_of(const struct op *o)
{
	_cleanup_strv_ struct strv failed = STRV_INIT;
	_cleanup_free_ char *list = NULL;
	size_t done = 0;

	for (size_t i = 0; i < o->n; i++) {
		done += !strcmp(o->members[i].state, "done");
		if (!strcmp(o->members[i].state, "failed"))
			strv_add(&failed, o->members[i].name);
	}
	list = strv_join(&failed, ", ");
	return xasprintf("%zu of %zu%s%s", done, o->n, failed.len ? "; failed: " : "", list);
}

static int list_run(const struct cmd_args *a, struct error **err)
{
	static const char *const keys[] = { "id", "group", "verb", "state", "started", "done", NULL };
	static const char *const titles[] = { "ID", "GROUP", "COMMAND", "STATE", "STARTED", "DONE", NULL };
	_cleanup_ops_ struct ops all = { 0 };
	struct table *t;

	if (ops_list(&all, err) < 0)
		return -1;
	t = table_new(keys, titles);
	for (size_t i = 0; i < all.n; i++) {
		const struct op *o = all.v[i];
		_cleanup_free_ char *members = members_of(o);

		table_row(t, (const char *const[]){ path_basename(o->path), o->group, o->verb, state_of(o), o->started, members });
	}
	table_print(t);
	return 0;
}

static int rollback_run(const struct cmd_args *a, struct error **err)
{
	const struct strv *w = arg_words(a);

	cli_left("the operation may be taken back in part; the same command goes on");
	if (ops_rollback(w->len ? w->v[0] : NULL, err) < 0)
		return -1;
	cli_left(NULL);
	return 0;
}

const struct command cmd_ops_list = {
	.path = "ops list",
	.summary = "List operations on several machines that run, or did not end well",
	.help = "An operation that was killed, or that failed on some machines, stays here until the same command has completed it or `croft ops "
		"rollback` has taken it back.",
	.max_words = 0,
	.run = list_run,
};
const struct command cmd_ops_rollback = {
	.path = "ops rollback",
	.args = "[ID]",
	.summary = "Take back an operation that did not end well",
	.help = "Of `up`: machines that it made are removed, those that it started are stopped. Of `down`: what it stopped is started. Of `install` and "
		"`update`: files are put back as they were before. Of `start` and `stop`: the other one is run. ID is needed when there are several.",
	.max_words = 1,
	.run = rollback_run,
	.examples = "  croft ops list\n  croft ops rollback 2zone_sn.up",
};
