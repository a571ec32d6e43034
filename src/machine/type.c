/* SPDX-License-Identifier: Apache-2.0 */
/* Keys for a machine: input-send-event on its monitor. */
#include "base/cleanup.h"
#include "base/intr.h"
#include "internal.h"
#include "qemu/keys.h"
#include "qemu/qmp.h"

#include <poll.h>
#include <string.h>

#define INTERVAL_MS 25
#define QMP_MS 10000
#define END_MS 2000 /* from the monitor's end to that of QEMU */
#define HOLD_MS 200 /* longer waits give the monitor to others meanwhile */

static int pause_ms(unsigned ms, struct error **err)
{
	while (ms && !intr_signal) {
		unsigned part = ms < 100 ? ms : 100;

		poll(NULL, 0, (int)part);
		ms -= part;
	}
	return intr_check(err);
}

static int send(struct qmp *q, const struct key_event *e, struct error **err)
{
	json_t *args = json_pack("{s:[{s:s, s:{s:b, s:{s:s, s:s}}}]}", "events", "type", "key", "data", "down", e->kind == KEY_DOWN,
		"key", "type", "qcode", "data", e->code);
	int rc = qmp_command(q, "input-send-event", args, QMP_MS, NULL, err);

	json_decref(args);
	return rc;
}

/* A key that made the guest power off or reboot was typed, though nobody is left to whom its release could be sent. */
static bool ended_by_key(const struct machine *m, const struct keys *k, size_t i)
{
	struct proc_id id;

	for (; i < k->len; i++)
		if (k->v[i].kind == KEY_DOWN)
			return false;
	machine_wait_end(m, END_MS);
	return !machine_qemu(m, &id);
}

static int type_all(const struct machine *m, const struct keys *k, unsigned interval, struct error **err)
{
	_cleanup_free_ char *sock = machine_path(m, "run/qmp.sock");
	_cleanup_qmp_ struct qmp *q = NULL;

	for (size_t i = 0; i < k->len; i++) {
		const struct key_event *e = &k->v[i];

		if (e->kind == KEY_WAIT && e->ms >= HOLD_MS) {
			qmp_free(STEAL(q));
			if (pause_ms(e->ms, err) < 0)
				return -1;
			continue;
		}
		if ((!q && !(q = qmp_connect(sock, QMP_MS, err))) || (e->kind != KEY_WAIT && send(q, e, err) < 0)) {
			if (!ended_by_key(m, k, i))
				return -1;
			error_clear(err);
			return 0;
		}
		if (pause_ms(e->kind == KEY_WAIT ? e->ms : interval, err) < 0)
			return -1;
	}
	return 0;
}

int machine_type(struct machine *m, const char *text, const char *layout, int interval_ms, struct error **err)
{
	_cleanup_keys_ struct keys k = { 0 };
	struct proc_id id;

	if (keys_parse(&k, text, layout ? layout : m->def.keyboard, err) < 0)
		return -1;
	if (machine_need_virtual(m, err) < 0)
		return -1;
	if (!machine_qemu(m, &id)) {
		error_set(err, ERR_STATE, "machine %s: it is not running", m->name);
		return error_hint(err, "start it: croft vm start %s", m->name);
	}
	if (machine_ensure_helper(m, err) < 0 || type_all(m, &k, interval_ms < 0 ? INTERVAL_MS : (unsigned)interval_ms, err) < 0)
		return error_wrap(err, "machine %s", m->name);
	return 0;
}
