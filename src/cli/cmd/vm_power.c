/* SPDX-License-Identifier: Apache-2.0 */
/* croft vm start, stop, kill, wait */
#include "cli/cli.h"
#include "cli/cmd/cmd.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/loop.h"
#include "conf/settings.h"
#include "machine/machine.h"

#include <poll.h>
#include <string.h>

struct start {
	struct machine_start_opts o;
	bool wait;
	int timeout_ms;
};

static int start_one(const char *name, void *arg, struct error **err)
{
	const struct start *s = arg;
	_cleanup_machine_ struct machine *m = machine_open(name, err);
	bool already = false;

	if (!m)
		return -1;
	cli_left("machine %s may be starting; `croft vm kill %s` ends it", name, name);
	if (machine_start(m, &s->o, &already, err) < 0)
		return -1;
	if (already)
		log_info("machine %s: is running already", name);
	if (s->wait && machine_wait_ready(m, s->timeout_ms, err) < 0)
		return -1;
	cli_left(NULL);
	return 0;
}

static int vm_start_run(const struct cmd_args *a, struct error **err)
{
	const char *accel = arg_str(a, "accel");
	struct start s = { .o = { .accel = accel ? accel : settings_get("accel"), .paused = arg_flag(a, "paused") },
		.wait = arg_flag(a, "wait") };

	if (arg_timeout(a, "timeout", -1, &s.timeout_ms, err) < 0)
		return -1;
	return for_each_word(arg_words(a), start_one, &s);
}

static const struct opt start_opts[] = {
	{ 'w', "wait", OPT_FLAG, NULL, "Return only when the guest answers", NULL },
	{ 't', "timeout", OPT_STRING, "TIME", "With --wait: give up after TIME; default 120s without progress", NULL },
	{ 0, "accel", OPT_STRING, "ACCEL", "auto (the default: KVM when it works), kvm or tcg", "auto|kvm|tcg" },
	{ 0, "paused", OPT_FLAG, NULL, "Do not let the processors run yet", NULL },
	OPT_END,
};

const struct command cmd_vm_start = {
	.path = "vm start",
	.args = "NAME...",
	.summary = "Start machines",
	.help = "Returns when QEMU runs. `croft vm exec` and others wait for the guest by themselves. A machine that runs "
		"already is left as it is.",
	.opts = start_opts,
	.min_words = 1,
	.max_words = -1,
	.complete = "machine",
	.run = vm_start_run,
	.examples = "  croft vm start --wait t1",
};

static int stop_one(const char *name, void *arg, struct error **err)
{
	_cleanup_machine_ struct machine *m = machine_open(name, err);
	const char *how = NULL;

	if (!m)
		return -1;
	cli_left("machine %s may go on stopping", name);
	if (machine_stop(m, *(int *)arg, &how, err) < 0)
		return -1;
	if (how && !strcmp(how, "killed"))
		log_warn("machine %s: did not stop in time and was killed", name);
	cli_left(NULL);
	return 0;
}

static int vm_stop_run(const struct cmd_args *a, struct error **err)
{
	int timeout_ms;

	if (arg_timeout(a, "timeout", (int)settings_number("stop_timeout"), &timeout_ms, err) < 0)
		return -1;
	return for_each_word(arg_words(a), stop_one, &timeout_ms);
}

static const struct opt stop_opts[] = {
	{ 't', "timeout", OPT_STRING, "TIME", "Kill it after TIME; default 60s (setting stop_timeout)", NULL },
	OPT_END,
};

const struct command cmd_vm_stop = {
	.path = "vm stop",
	.args = "NAME...",
	.summary = "Stop machines in an orderly way",
	.help = "The guest is asked first, then its power button is pressed (ACPI), and when the time is over it is killed. A "
		"stopped machine is success.",
	.opts = stop_opts,
	.min_words = 1,
	.max_words = -1,
	.complete = "machine",
	.run = vm_stop_run,
};

static int kill_one(const char *name, void *arg, struct error **err)
{
	_cleanup_machine_ struct machine *m = machine_open(name, err);

	return m ? machine_kill(m, err) : -1;
}

static int vm_kill_run(const struct cmd_args *a, struct error **err)
{
	return for_each_word(arg_words(a), kill_one, NULL);
}

const struct command cmd_vm_kill = {
	.path = "vm kill",
	.args = "NAME...",
	.summary = "End machines at once, as by pulling the plug",
	.min_words = 1,
	.max_words = -1,
	.complete = "machine",
	.run = vm_kill_run,
};

static int pause_one(const char *name, void *arg, struct error **err)
{
	_cleanup_machine_ struct machine *m = machine_open(name, err);

	return m ? machine_pause(m, err) : -1;
}

static int vm_pause_run(const struct cmd_args *a, struct error **err)
{
	return for_each_word(arg_words(a), pause_one, NULL);
}

static int resume_one(const char *name, void *arg, struct error **err)
{
	_cleanup_machine_ struct machine *m = machine_open(name, err);

	return m ? machine_resume(m, err) : -1;
}

static int vm_resume_run(const struct cmd_args *a, struct error **err)
{
	return for_each_word(arg_words(a), resume_one, NULL);
}

const struct command cmd_vm_pause = {
	.path = "vm pause",
	.args = "NAME...",
	.summary = "Halt the processors of machines; their memory stays",
	.min_words = 1,
	.max_words = -1,
	.complete = "machine",
	.run = vm_pause_run,
};
const struct command cmd_vm_resume = {
	.path = "vm resume",
	.args = "NAME...",
	.summary = "Let paused machines go on",
	.min_words = 1,
	.max_words = -1,
	.complete = "machine",
	.run = vm_resume_run,
};

/* State is in files only (machine.h), so this looks again ten times a second. */
static int wait_stopped(struct machine *m, int timeout_ms, struct error **err)
{
	uint64_t end = loop_now() + (uint64_t)(timeout_ms < 0 ? 0 : timeout_ms) * 1000000;

	for (;;) {
		enum machine_state s = machine_state(m);

		if (s == MACHINE_STOPPED || s == MACHINE_CRASHED)
			return 0;
		if (cli_interrupted())
			return error_set(err, ERR_INTR, "machine %s: still %s", m->name, machine_state_name(s));
		if (timeout_ms >= 0 && loop_now() >= end)
			return error_set(err, ERR_TIMEOUT, "machine %s: still %s after %d ms", m->name,
				machine_state_name(s), timeout_ms);
		poll(NULL, 0, 100);
	}
}

static int vm_wait_run(const struct cmd_args *a, struct error **err)
{
	const char *what = arg_str(a, "for");
	_cleanup_machine_ struct machine *m = machine_open(arg_words(a)->v[0], err);
	int timeout_ms;

	if (!m || arg_timeout(a, "timeout", -1, &timeout_ms, err) < 0)
		return -1;
	if (what && !strcmp(what, "stopped"))
		return wait_stopped(m, timeout_ms, err);
	return machine_wait_ready(m, timeout_ms, err);
}

static const struct opt wait_opts[] = {
	{ 0, "for", OPT_STRING, "STATE", "ready (the default: the guest answers) or stopped", "ready|stopped" },
	{ 't', "timeout", OPT_STRING, "TIME", "Give up after TIME", NULL },
	OPT_END,
};

const struct command cmd_vm_wait = {
	.path = "vm wait",
	.args = "NAME",
	.summary = "Wait until a machine is ready, or has stopped",
	.opts = wait_opts,
	.min_words = 1,
	.max_words = 1,
	.complete = "machine",
	.run = vm_wait_run,
};
