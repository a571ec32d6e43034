/* SPDX-License-Identifier: Apache-2.0 */
/*
 * croft's own processes under pm. What croft has started itself is handed over: pm watches it and starts it again when it is
 * killed. The pm is that of the data folder (DATA/pm); it begins with the first process and ends, without a trace, when none
 * is left.
 */
#ifndef CROFT_PM_KEEP_H
#define CROFT_PM_KEEP_H

#include "base/proc.h"

/*
 * Hands the process over as unit `unit`. again: how to start it after it was killed, its program by name (see path_libexec); it must
 * end with status 0 when it is no longer wanted. Returns at once: that pm cannot be had harms nothing and is only logged.
 */
void pm_keep(const char *unit, const struct proc_id *id, const char *program, const char *const *args);

#endif
