/* SPDX-License-Identifier: Apache-2.0 */
/* The same work on several things, each in a process of its own: builds change this process's environment. */
#ifndef CROFT_BUILD_PARALLEL_H
#define CROFT_BUILD_PARALLEL_H

#include "base/error.h"
#include <stddef.h>

/*
 * Calls fn(item) for n items of `size` bytes each, at most `most` at a time (0: as many as there are processors), in children that end with its
 * result, 0 to 255; status[i] is that, or 128 + the signal that ended it. A signal to this process is handed on, and all are waited for. -1: a
 * process could not be made; those that run are waited for.
 */
int parallel_run(int (*fn)(void *item), void *items, size_t size, size_t n, unsigned most, int *status, struct error **err);

#endif
