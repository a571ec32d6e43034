/* SPDX-License-Identifier: Apache-2.0 */
/* The watcher process; pm.h has the theory. No heap in any of its files. */
#ifndef CROFT_PM_WATCH_H
#define CROFT_PM_WATCH_H

#include "pm/wire.h"

#include <sys/types.h>

#define WATCH_SLOTS 65536    /* processes at a time */
#define WATCH_MACHINE_FD 3   /* the machine's end of the socketpair */

/* One process; the table goes over an exec as it is. */
struct slot {
	uint64_t unit, start;
	uint32_t job;
	int32_t pid, status; /* status: wait status, errno of a failed spawn, WIRE_LOST */
	int32_t log_fd, pidfd;
	uint8_t role, flags; /* enum wire_role, enum wire_flag */
	uint8_t used, tell;  /* tell: what the machine has not been sent yet */
};

struct watch_options {
	const char *self; /* absolute path of the program; the working directory is the home */
	bool kill_on_fatal;
	int lock_fd;   /* held as long as we live */
	int resume_fd; /* a memfd of struct slot, or -1 */
	char **args;		  /* of `pm .machine`, NULL-terminated */
	size_t nkeep;		  /* args from here on are for the first start only (the init stream) */
	char *const *resume_args; /* of `pm main` after an upgrade; the number of the memfd comes behind */
};
/* Runs until all is ended; the program's exit status. */
int watch_main(const struct watch_options *o);

/* watch_spawn.c */
int watch_spawn_init(void); /* limits, boot id; 0 or -1 */
/* Fills s->pid, start, log_fd. 0 or an errno; then nothing was started. */
int watch_spawn(const struct wire *m, char *strings, size_t n, const int *fds, size_t nfds, struct slot *s);
uint64_t watch_start_of(pid_t pid); /* start time from /proc/PID/stat; 0: there is none */
int watch_kill_children(pid_t but);  /* SIGKILL to each child of ours; how many there are */
void watch_slim(void);		     /* gives memory back that only the start needed */

#endif
