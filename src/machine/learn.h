/* SPDX-License-Identifier: Apache-2.0 */
/* Looking at a computer, this one or another one by ssh, and describing a machine that imitates it. */
#ifndef CROFT_MACHINE_LEARN_H
#define CROFT_MACHINE_LEARN_H

#include "base/buf.h"
#include "base/error.h"

/*
 * Facts as learn_run's script prints them: a line each, NAME, a tab, VALUE. host: NULL is this computer, else what ssh takes. Nothing is
 * written there; the script reads /proc and /sys.
 */
int learn_run(const char *host, struct buf *facts, struct error **err);
/* A machine file (YAML) with what was seen as comments, appended. ERR_FAILED: these are no such facts. */
int learn_describe(const char *facts, struct buf *yaml, struct error **err);

#endif
