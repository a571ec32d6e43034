/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ctrl-C in libraries. The program's handler sets the flag and breaks blocking calls; whoever waits long looks here when a
 * call was broken off, and unwinds with ERR_INTR.
 */
#ifndef CROFT_BASE_INTR_H
#define CROFT_BASE_INTR_H

#include "error.h"
#include <signal.h>

extern volatile sig_atomic_t intr_signal; /* SIGINT, SIGTERM or SIGHUP when it has come; else 0 */
/* -1 with ERR_INTR "interrupted" when a signal has come. */
int intr_check(struct error **err);

#endif
