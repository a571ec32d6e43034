/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fault hook for tests. CROFT_FAULT=OP:N:HOW in the environment makes the n-th
 * call of OP (write, fsync, rename, fork, or any: all counted together) in this process
 * fail: HOW is an errno name (ENOSPC, EIO) or "die" (SIGKILL to ourselves).
 * A fifth OP, qmp, is a command to QEMU; it does not count for any.
 * CROFT_FAULT_COUNT=FILE appends the number of calls at exit, and "struck" when a call fails, so that a sweep knows its end
 * also where several processes count, each from what its parent had counted.
 */
#ifndef CROFT_BASE_FAULT_H
#define CROFT_BASE_FAULT_H

enum fault_op { FAULT_WRITE, FAULT_FSYNC, FAULT_RENAME, FAULT_FORK, FAULT_QMP, FAULT_NOPS };
/* 0 to go on, or the errno that the call shall fail with. Does not return for "die". */
int fault(enum fault_op op);

#endif
