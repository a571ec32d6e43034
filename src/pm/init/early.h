/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first things that any process 1 does: the kernel's own file systems and a console. libc only: pm's init and croft's guest
 * program, which boots small guests, share it.
 */
#ifndef CROFT_PM_INIT_EARLY_H
#define CROFT_PM_INIT_EARLY_H

typedef void early_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* What is mounted already stays, what the kernel does not have is left out; other failures are said. Makes the directory. */
void early_mount(const char *type, const char *where, unsigned long flags, const char *options, early_say *say);
/* /dev with its links, the console as 0, 1 and 2, /proc, /sys, /run, /dev/pts, /dev/shm. */
void early_mounts(early_say *say);

#endif
