/* SPDX-License-Identifier: Apache-2.0 */
/* The QEMU of this host: where, which version, what it can. All of it is cached, so that a start asks only once. */
#ifndef CROFT_QEMU_QEMU_H
#define CROFT_QEMU_QEMU_H

#include "base/error.h"
#include "base/strv.h"
#include <stdbool.h>

struct qemu {
	char *path;
	char *arch;
	unsigned major, minor, micro;
	char *package; /* "Debian 1:7.2+..." or "" */
	bool sandbox;  /* built with seccomp */
	struct strv machines; /* its machine types and their other names, sorted */
};
/*
 * qemu-system-ARCH from PATH (CROFT_QEMU names another program), at least 7.2. ERR_NOT_FOUND or ERR_FAILED tell
 * what was found and which package to install. The answer is kept in the cache for this path, time and size.
 */
int qemu_find(const char *arch, struct qemu *q, struct error **err);
void qemu_clear(struct qemu *q);
#define _cleanup_qemu_ __attribute__((cleanup(qemu_clear)))

/*
 * Resolves "auto", NULL, "kvm" or "tcg" to what will be used (a literal), or NULL with *err. auto takes KVM only when a
 * guest has proved to run under it: a /dev/kvm that opens, makes VMs and never runs them exists.
 */
const char *qemu_accel(const struct qemu *q, const char *want, struct error **err);
/* Runs the probe guest under this accelerator: 1 it ran, 0 it did not, -1 error. */
int qemu_accel_probe(const struct qemu *q, const char *accel, struct error **err);

/* Value of -sandbox: what croft's QEMUs may not do. */
#define QEMU_SANDBOX "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
/* The same for a machine whose definition has QEMU start programs. */
#define QEMU_SANDBOX_SPAWN "on,obsolete=deny,elevateprivileges=deny,spawn=allow,resourcecontrol=deny"

#endif
