/* SPDX-License-Identifier: Apache-2.0 */
/* croft group NAME diff, as the program croft-image runs it: it has the library for file systems. */
#include "cli/cli.h"
#include "cli/cmd/cmd.h"

#include "base/cleanup.h"
#include "group/diff.h"
#include "group/group.h"

static void row(void *arg, const struct group_change *c)
{
	table_row(arg, (const char *const[]){ c->node, c->kind, c->change, c->name, c->detail });
}

int group_diff_run(const struct cmd_args *a, struct error **err)
{
	static const char *const keys[] = { "node", "kind", "change", "name", "detail", NULL };
	static const char *const titles[] = { "NODE", "KIND", "CHANGE", "NAME", "DETAIL", NULL };
	const struct strv *w = arg_words(a);
	_cleanup_free_ char *group = group_name_of(w->v[0], err);
	struct table *t;
	int rc;

	if (!group)
		return -1;
	t = table_new(keys, titles);
	rc = group_diff(group, w->v[1], w->v[2], row, t, err);
	table_print(t); /* also what was found before an error */
	return rc;
}
