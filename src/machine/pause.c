/* SPDX-License-Identifier: Apache-2.0 */
/* Processors halted and let go, QEMU's `stop` and `cont`. The file run/paused says it to those who only read files. */
#include "base/cleanup.h"
#include "base/file.h"
#include "internal.h"

#include <stdlib.h>

#define QMP_MS 10000

static int runs(struct machine *m, struct error **err)
{
	struct proc_id id;

	if (machine_qemu(m, &id))
		return 0;
	error_set(err, ERR_STATE, "machine %s: it is not running", m->name);
	return error_hint(err, "start it: croft vm start %s", m->name);
}

int machine_pause(struct machine *m, struct error **err)
{
	_cleanup_free_ char *mark = machine_path(m, "run/paused"), *answer = NULL;
	_cleanup_close_ int lock = machine_lock(m, err);

	/* The mark first: whoever is killed in between leaves a machine that resume puts right. */
	if (lock < 0 || runs(m, err) < 0 || file_write(mark, "", 0, 0600, err) < 0)
		return -1;
	answer = machine_qmp(m, "stop", NULL, QMP_MS, err);
	return answer ? 0 : -1;
}

int machine_resume(struct machine *m, struct error **err)
{
	_cleanup_free_ char *mark = machine_path(m, "run/paused"), *answer = NULL;
	_cleanup_close_ int lock = machine_lock(m, err);

	if (lock < 0 || runs(m, err) < 0)
		return -1;
	answer = machine_qmp(m, "cont", NULL, QMP_MS, err);
	return answer ? file_unlink(mark, err) : -1;
}

struct agent *machine_agent_awake(struct machine *m, int timeout_ms, struct error **err)
{
	if (machine_state(m) != MACHINE_PAUSED) {
		struct agent *a = machine_agent(m, timeout_ms, err);

		if (a)
			machine_renew(m, a);
		return a;
	}
	error_set(err, ERR_STATE, "machine %s: it is paused", m->name);
	error_hint(err, "let it go on: croft vm resume %s", m->name);
	return NULL;
}
