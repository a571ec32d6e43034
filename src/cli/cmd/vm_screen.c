/* SPDX-License-Identifier: Apache-2.0 */
/* croft vm screenshot, type */
#include "cli/cli.h"
#include "cli/cmd/cmd.h"

#include "base/cleanup.h"
#include "machine/machine.h"

static int vm_screenshot_run(const struct cmd_args *a, struct error **err)
{
	_cleanup_machine_ struct machine *m = machine_open(arg_words(a)->v[0], err);

	return m ? machine_screenshot(m, arg_words(a)->v[1], err) : -1;
}

const struct command cmd_vm_screenshot = {
	.path = "vm screenshot",
	.args = "NAME FILE",
	.summary = "Save what is on a machine's screen as a PNG picture",
	.help = "The machine needs a screen: `croft vm set NAME video=std`, or a display.",
	.min_words = 2,
	.max_words = 2,
	.complete = "machine|file",
	.run = vm_screenshot_run,
	.examples = "  croft vm screenshot win now.png",
};

static int vm_type_run(const struct cmd_args *a, struct error **err)
{
	_cleanup_machine_ struct machine *m = machine_open(arg_words(a)->v[0], err);
	int interval;

	if (!m || arg_timeout(a, "interval", -1, &interval, err) < 0)
		return -1;
	return machine_type(m, arg_words(a)->v[1], arg_str(a, "layout"), interval, err);
}

static const struct opt type_opts[] = {
	{ 'l', "layout", OPT_STRING, "LAYOUT", "Keyboard layout that the guest uses; default the machine's keyboard, else us",
		"us|uk|de|fr|es|ru" },
	{ 0, "interval", OPT_STRING, "TIME", "Pause after each press and release; default 25ms", NULL },
	OPT_END,
};

const struct command cmd_vm_type = {
	.path = "vm type",
	.args = "NAME TEXT",
	.summary = "Type text on a machine's keyboard",
	.help = "Keys by name stand in angle brackets, as in Packer's boot_command: <enter> <esc> <tab> <bs> <del> <spacebar> <insert> <home> "
		"<end> <pageUp> <pageDown> <up> <down> <left> <right> <menu> <f1> to <f12>; <leftCtrlOn> holds a key, <leftCtrlOff> lets it go "
		"(leftAlt rightAlt leftCtrl rightCtrl leftShift rightShift leftSuper rightSuper, or any other key); <wait> waits a second, "
		"<wait5> five, <wait1m30s> by units; <lt> is the character <.\n\n"
		"The whole text is checked before the first key is pressed.",
	.opts = type_opts,
	.min_words = 2,
	.max_words = 2,
	.complete = "machine",
	.run = vm_type_run,
	.examples = "  croft vm type t1 'root<enter><wait2>poweroff<enter>'\n"
		    "  croft vm type win '<leftCtrlOn><leftAltOn><del><leftAltOff><leftCtrlOff>'",
};
