/* SPDX-License-Identifier: Apache-2.0 */
/* croft vm display */
#include "cli/cli.h"
#include "cli/cmd/cmd.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "machine/display.h"

static int vm_display_run(const struct cmd_args *a, struct error **err)
{
	_cleanup_machine_ struct machine *m = machine_open(arg_words(a)->v[0], err);
	_cleanup_(display_clear) struct display d = { 0 };
	struct proc p = PROC_INIT;

	if (!m || display_open(m, &d, err) < 0)
		return -1;
	if (arg_flag(a, "print") || !display_have_screen() || !d.program) {
		if (!arg_flag(a, "print"))
			log_info("machine %s: %s; where there is one, type:", m->name,
				d.program ? "here is no screen" : "no viewer is installed");
		display_print(&d, stdout);
		return 0;
	}
	if (display_spawn(&d, &p, err) < 0)
		return -1;
	p.detach = true; /* the window stays */
	proc_release(&p);
	return 0;
}

static const struct opt display_opts[] = {
	{ 0, "print", OPT_FLAG, NULL, "Print the viewer's command line and start nothing", NULL },
	OPT_END,
};

const struct command cmd_vm_display = {
	.path = "vm display",
	.args = "NAME",
	.summary = "Show a machine's screen in a window",
	.help = "Starts remote-viewer where there is a screen, and prints its command line elsewhere. The machine needs display=spice or "
		"display=vnc. They listen on a socket in the machine's folder, which nobody else may enter, or with display_listen=ADDRESS:PORT "
		"on a port, then always with a password (or TLS: display_tls=FOLDER).",
	.opts = display_opts,
	.min_words = 1,
	.max_words = 1,
	.complete = "machine",
	.run = vm_display_run,
	.examples = "  croft vm set win display=spice\n"
		    "  croft vm display win",
};
