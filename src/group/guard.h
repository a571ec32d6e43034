/* SPDX-License-Identifier: Apache-2.0 */
/*
 * While machines are halted for an instant nobody may be left halted, whoever is killed: a process stands by that does nothing
 * but see its parent die, and then has croft look at each machine, which takes back what was begun and lets it go on.
 */
#ifndef CROFT_GROUP_GUARD_H
#define CROFT_GROUP_GUARD_H

#include "base/strv.h"

#include <sys/types.h>

struct guard {
	pid_t pid; /* 0: there is none */
	int fd;	   /* its end tells */
};

/* Without one, which is said in the log, the next command about a machine does the same. */
void guard_begin(struct guard *g, const struct strv *machines);
void guard_end(struct guard *g);

#endif
