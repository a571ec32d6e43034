/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Machines that last as long as the process that made them. Each has a file DATA/throwaway/NAME that its process holds locked, made before
 * the machine and removed after it: a file that nobody holds names a machine whose process was killed, to be removed by the next one.
 */
#ifndef CROFT_MACHINE_THROWAWAY_H
#define CROFT_MACHINE_THROWAWAY_H

#include "machine/machine.h"

struct throwaway;

/* Makes a machine as d says, under a name of its own ("run-5f3a9c01"), which d gets; removes those that were left before. */
struct throwaway *throwaway_create(struct machine_def *d, struct error **err);
/* Lent; ends with t. */
struct machine *throwaway_machine(const struct throwaway *t);
/* Ends the machine at once and removes all of it; frees t. */
int throwaway_end(struct throwaway *t, struct error **err);
/* The same, a failure is only said. */
void throwaway_endp(struct throwaway **t);
#define _cleanup_throwaway_ __attribute__((cleanup(throwaway_endp)))

#endif
