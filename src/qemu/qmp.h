/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QEMU: finding it, its accelerators, its command line by nouns (args.h), its monitor. Knows nothing of machines as
 * croft keeps them; machine/ puts the pieces together.
 *
 * This header: QMP, the monitor protocol (QEMU docs/interop/qmp-spec.txt): one JSON object a line, blocking with time-outs.
 */
#ifndef CROFT_QEMU_QMP_H
#define CROFT_QEMU_QMP_H

#include "base/error.h"
#include <jansson.h>

struct qmp;
/*
 * Connects, waits for the greeting and leaves capabilities negotiation. QEMU serves one client at a time, others wait
 * in line; so a time-out here means that another command holds the monitor. ERR_STATE: nobody listens, or QEMU ended.
 */
struct qmp *qmp_connect(const char *sock, int timeout_ms, struct error **err);
void qmp_free(struct qmp *q); /* NULL allowed */
static inline void qmp_freep(struct qmp **q)
{
	qmp_free(*q);
}
#define _cleanup_qmp_ __attribute__((cleanup(qmp_freep)))
/*
 * One command. args: borrowed, an object or NULL. *ret, when ret isn't NULL: the "return" value, a new reference.
 * QEMU's own refusal is ERR_FAILED with its description. Events that come meanwhile are kept (the last 64).
 */
int qmp_command(struct qmp *q, const char *command, json_t *args, int timeout_ms, json_t **ret, struct error **err);
/* The same in two halves, for commands to several QEMUs at one instant; nothing else between them. */
int qmp_send(struct qmp *q, const char *command, struct error **err);
int qmp_answer(struct qmp *q, int timeout_ms, struct error **err);
/* The next event of that name (kept or to come); *ret, when not NULL, is the whole event object. */
int qmp_wait_event(struct qmp *q, const char *name, int timeout_ms, json_t **ret, struct error **err);

#endif
