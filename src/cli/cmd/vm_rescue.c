/* SPDX-License-Identifier: Apache-2.0 */
/* croft vm rescue */
#include "machine/rescue.h"
#include "cli/cli.h"
#include "cli/cmd/cmd.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/mem.h"
#include "conf/settings.h"
#include "machine/machine.h"

#include <string.h>

#define READY_MS 120000
#define OFF_MS 30000

static int end(struct machine *m, struct error **err)
{
	int rc = rescue_end_kept(m, err);

	if (rc > 0) {
		error_set(err, ERR_STATE, "machine %s: no rescue system runs", m->name);
		return -1;
	}
	return rc;
}

static int call(struct agent *a, const char *const *argv, const char *const *env, bool shown, int *status, struct error **err)
{
	struct agent_exec x = AGENT_EXEC_INIT;

	x.argv = argv;
	x.env = env;
	x.in_fd = shown ? 0 : -1;
	x.out_fd = shown ? 1 : -1;
	x.err_fd = 2;
	x.tty = shown && isatty(0) && isatty(1);
	return agent_exec(a, &x, status, err);
}

/* The command, or a shell, beside the mounted system; its status. */
static int work(struct agent *a, struct rescue *r, const struct cmd_args *args, struct error **err)
{
	static const char *const shell[] = { "bash", "-l", NULL }, *const done[] = { "croft-job", "done", NULL };
	const char *const env[] = { arg_flag(args, "rw") ? "RESCUE_RO=" : "RESCUE_RO=1", NULL };
	const char *mount[5] = { "mount-system" }, *const *cmd = (const char *const *)arg_words(args)->v + 1;
	_cleanup_error_ struct error *e = NULL;
	int status = 0, unused = 0, rc;

	if (arg_str(args, "root")) {
		mount[1] = "-d";
		mount[2] = arg_str(args, "root");
	}
	/* Without a system that can be mounted there is all the more to repair. */
	if (!arg_flag(args, "no-mount") && call(a, mount, env, false, &status, err) < 0)
		return -1;
	if (status == 127)
		log_warn("the rescue image is of an older croft; make it again: croft image make rescue");
	else if (status)
		log_warn("nothing is mounted");
	rc = call(a, *cmd ? cmd : shell, env, true, &status, err);
	if (machine_state(rescue_machine(r)) == MACHINE_RUNNING && call(a, done, NULL, false, &unused, &e) < 0)
		log_warn("%s", e->msg);
	return rc < 0 ? -1 : status;
}

static int vm_rescue_run(const struct cmd_args *a, struct error **err)
{
	_cleanup_machine_ struct machine *m = machine_open(arg_words(a)->v[0], err);
	_cleanup_rescue_ struct rescue *r = NULL;
	_cleanup_agent_ struct agent *agent = NULL;
	_cleanup_error_ struct error *e = NULL;
	_cleanup_close_ int key = -1;
	struct rescue_opts o = { .image = arg_str(a, "image"), .discard = !arg_flag(a, "rw"), .keep = false, .accel = settings_get("accel"),
		.firmware = arg_flag(a, "uefi") ? "uefi" : arg_flag(a, "bios") ? "bios" : NULL };
	int status;

	if (arg_flag(a, "uefi") && arg_flag(a, "bios"))
		return error_set(err, ERR_USAGE, "--uefi and --bios exclude each other");
	if (!m)
		return -1;
	if (arg_flag(a, "end"))
		return end(m, err);
	if (arg_str(a, "luks-key") && (key = rescue_read_key(m, arg_str(a, "luks-key"), err)) < 0)
		return -1;
	r = rescue_open(m, err);
	if (!r)
		return -1;
	cli_left("the next command on machine %s ends its rescue system", m->name);
	if (rescue_start(r, m, &o, err) < 0 || rescue_wait(r, err) < 0)
		return -1;
	agent = machine_agent(rescue_machine(r), READY_MS, err);
	if (!agent || (key >= 0 && rescue_give_key(agent, key, err) < 0))
		return -1;
	if (isatty(2))
		log_info("machine %s: %s", m->name,
			o.discard ? "what is written to its disks is thrown away at the end (--rw: it stays)" : "its disks are writable");
	status = work(agent, r, a, err);
	if (status < 0)
		rescue_explain(r, err);
	if (!rescue_runs(r) && rescue_end(STEAL(r), status < 0 ? 0 : OFF_MS, &e) < 0)
		log_warn("%s", e->msg);
	cli_left(NULL);
	return status;
}

static const struct opt rescue_opts[] = {
	{ 0, "rw", OPT_FLAG, NULL, "What is written to the disks stays", NULL },
	{ 0, "root", OPT_STRING, "DEVICE", "The system's root: a path, UUID=, LABEL=, PARTUUID=; default: found by probing", NULL },
	{ 0, "luks-key", OPT_STRING, "FILE", "Opens encrypted disks (LUKS) with the passphrase in FILE; -: of standard input", "file" },
	{ 0, "no-mount", OPT_FLAG, NULL, "Mount nothing", NULL },
	{ 'u', "uefi", OPT_FLAG, NULL, "Start the rescue system by UEFI", NULL },
	{ 0, "bios", OPT_FLAG, NULL, "By BIOS, which is quicker", NULL },
	{ 0, "image", OPT_STRING, "IMAGE", "Another rescue image", "image" },
	{ 0, "end", OPT_FLAG, NULL, "End the rescue system that a job has left (croft job run --keep)", NULL },
	OPT_END,
};

const struct command cmd_vm_rescue = {
	.path = "vm rescue",
	.args = "NAME [--] [CMD [ARG]...]",
	.summary = "Work on a machine's disks from the rescue system",
	.help = "Starts croft's rescue system (`croft image make rescue`) beside the disks of a machine that does not run, mounts the installed system with "
		"all that its fstab names at /mnt/system1, and opens a shell, or runs CMD; the exit status is that of it.\n\n"
		"The system is found by probing: on partitions, LVM, RAID, btrfs subvolumes. It is mounted read-only, and whatever is written to the "
		"disks is thrown away at the end, unless --rw is given. With several systems on the disks --root names one; `mount-system -l` "
		"lists them.",
	.opts = rescue_opts,
	.min_words = 1,
	.max_words = -1,
	.complete = "machine",
	.passthrough = true,
	.run = vm_rescue_run,
	.examples = "  croft vm rescue web\n  croft vm rescue web -- cat /mnt/system1/etc/fstab\n  croft vm rescue web --rw -- chroot /mnt/system1 update-grub",
};
