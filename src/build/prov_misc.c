/* SPDX-License-Identifier: Apache-2.0 */
/* breakpoint and sleep. */
#include "build/build.h"

#include <stddef.h>

static int breakpoint(struct build *b, const struct conf *c, const struct funcs *f, struct error **err)
{
	const char *note = conf_text(c, "note");
	char answer;

	if (conf_bool(c, "disable")) {
		ui_say(b->ui, b->name, "Breakpoint provisioner with note '%s' disabled; continuing...", note ? note : "");
		return 0;
	}
	ui_say(b->ui, b->name, "Pausing at breakpoint provisioner%s%s%s.", note ? " with note \"" : "", note ? note : "", note ? "\"" : "");
	if (!ui_ask(b->ui, b->name, &answer, "Press enter to continue."))
		ui_message(b->ui, b->name, "there is no terminal to press enter at: going on");
	return 0;
}

static int do_sleep(struct build *b, const struct conf *c, const struct funcs *f, struct error **err)
{
	return build_sleep(conf_ns(c, "duration"), err);
}

const struct provisioner prov_breakpoint = { .type = "breakpoint", .run = breakpoint, .local = true };
const struct provisioner prov_sleep = { .type = "sleep", .run = do_sleep, .local = true };
