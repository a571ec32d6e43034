/* SPDX-License-Identifier: Apache-2.0 */
/* croft config show */
#include "cli/cli.h"
#include "cli/cmd/cmd.h"

#include "conf/settings.h"

static int config_show_run(const struct cmd_args *a, struct error **err)
{
	static const char *const keys[] = { "name", "value", "origin", "meaning", NULL };
	static const char *const titles[] = { "NAME", "VALUE", "ORIGIN", "MEANING", NULL };
	static const char *const short_keys[] = { "name", "value", NULL };
	static const char *const short_titles[] = { "NAME", "VALUE", NULL };
	bool origin = arg_flag(a, "origin");
	struct table *t = origin ? table_new(keys, titles) : table_new(short_keys, short_titles);

	for (const struct setting *s = settings_table; s->name; s++)
		table_row(t,
			(const char *const[]){ s->name, settings_get(s->name), settings_origin(s->name), s->help });
	table_print(t);
	return 0;
}

static const struct opt show_opts[] = {
	{ 0, "origin", OPT_FLAG, NULL, "Show where each value comes from, and what it means", NULL },
	OPT_END,
};

const struct command cmd_config_show = {
	.path = "config show",
	.summary = "Show the settings",
	.help = "Settings come, the later ones winning, from /etc/croft/croft.yaml, ~/.config/croft/croft.yaml, ./croft.yaml, and "
		"variables CROFT_*: accel is CROFT_ACCEL.",
	.opts = show_opts,
	.max_words = 0,
	.run = config_show_run,
};
