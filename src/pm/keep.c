/* SPDX-License-Identifier: Apache-2.0 */
#include "keep.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "pm/stream.h"

#include <inttypes.h>

static char *run_key(const char *program, const char *const *args)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	buf_adds(&b, "run=");
	stream_quote(&b, program);
	for (; *args; args++) {
		buf_addc(&b, ' ');
		stream_quote(&b, *args);
	}
	return buf_steal(&b);
}

static int keep(const char *unit, const struct proc_id *id, const char *program, const char *const *args, struct error **err)
{
	_cleanup_free_ char *pm = path_libexec("pm", err), *exe = pm ? path_libexec(program, err) : NULL;
	_cleanup_free_ char *home = path_data("pm"), *run = exe ? run_key(exe, args) : NULL, *pid = xasprintf("%d", (int)id->pid),
			    *start = xasprintf("%" PRIu64, id->start);
	const char *argv[] = { pm, "adopt", "--home", home, "--begin", unit, pid, start, run, "restart=on-failure", "restart-max-delay=10s", NULL };
	_cleanup_proc_ struct proc p = PROC_INIT;

	if (!run)
		return -1;
	/* It may have to start pm, and nobody waits for that. */
	return proc_spawn(&(struct proc_opts){ .argv = argv, .cwd = "/", .detach = true }, &p, err);
}

void pm_keep(const char *unit, const struct proc_id *id, const char *program, const char *const *args)
{
	_cleanup_error_ struct error *e = NULL;

	if (keep(unit, id, program, args, &e) < 0)
		log_debug("%s: not watched by pm: %s", unit, e->msg);
}
