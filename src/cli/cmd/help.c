/* SPDX-License-Identifier: Apache-2.0 */
/* croft help [COMMAND]... */
#include "cli/cli.h"
#include "cli/cmd/cmd.h"

#include "base/cleanup.h"

#include <string.h>

static int help_run(const struct cmd_args *a, struct error **err)
{
	const struct strv *w = arg_words(a);
	_cleanup_free_ char *typed = NULL;

	if (!w->len) {
		help_program(stdout);
		return 0;
	}
	typed = strv_join(w, " ");
	for (const struct command *const *c = commands; *c; c++)
		if (!strcmp((*c)->path, typed)) {
			help_command(stdout, *c);
			return 0;
		}
	if (!help_has_prefix((const char *const *)w->v, w->len)) {
		error_set(err, ERR_USAGE, "help: no command '%s'", typed);
		return error_hint(err, "`croft help` lists them");
	}
	help_prefix(stdout, (const char *const *)w->v, w->len);
	return 0;
}

const struct command cmd_help = {
	.path = "help",
	.args = "[COMMAND]...",
	.summary = "Show help",
	.max_words = -1,
	.run = help_run,
};
