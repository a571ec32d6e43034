/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scope-bound ownership. A variable marked _cleanup_X_ is released when its
 * scope ends; STEAL() hands it on instead. One owner for each resource.
 */
#ifndef CROFT_BASE_CLEANUP_H
#define CROFT_BASE_CLEANUP_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void cleanup_free(void *p)
{
	free(*(void **)p);
}
static inline void cleanup_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}
static inline void cleanup_fclose(FILE **f)
{
	if (*f)
		fclose(*f);
}
static inline void cleanup_closedir(DIR **d)
{
	if (*d)
		closedir(*d);
}

#define _cleanup_(f) __attribute__((cleanup(f)))
#define _cleanup_free_ _cleanup_(cleanup_free)
#define _cleanup_close_ _cleanup_(cleanup_close)
#define _cleanup_fclose_ _cleanup_(cleanup_fclose)
#define _cleanup_closedir_ _cleanup_(cleanup_closedir)

/* Gives the pointer away: the variable becomes NULL, the caller owns the value. */
#define STEAL(p)                                                                                   \
	({                                                                                         \
		__typeof__(p) steal_ = (p);                                                        \
		(p) = NULL;                                                                        \
		steal_;                                                                            \
	})
/* The same for a file descriptor. */
#define STEAL_FD(fd)                                                                               \
	({                                                                                         \
		int steal_ = (fd);                                                                 \
		(fd) = -1;                                                                         \
		steal_;                                                                            \
	})

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define _unused_ __attribute__((unused))

#endif
