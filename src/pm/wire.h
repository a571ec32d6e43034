/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What machine and watcher say to each other: one struct wire a message over a SEQPACKET socketpair, in SPAWN followed by
 * strings. Both are the same program file; after an upgrade of one half `version` tells.
 *
 *	machine to watcher			watcher to machine
 *	SPAWN	start a process			SPAWNED	pid and start, or value = errno; with WIRE_LOG the read end
 *	ACK	the exit is on disk; forget it		of its output as a file descriptor
 *	KILL	signal `value`			EXITED	value = wait status; kept until ACK
 *	ADOPT	watch this pid too		CHILD	one for each process, answer to LIST, with its output
 *	LIST	who is there?			END	after the last CHILD
 *	EXIT	end: kill what is left		SIGNAL	the watcher got signal `value`
 *	UPGRADE	become the new program
 *
 * A process is named by (job, role). `unit` is core_hash of the unit's name, so that a new machine finds the unit of a
 * process even when nothing could be written to disk.
 */
#ifndef CROFT_PM_WIRE_H
#define CROFT_PM_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_VERSION 1
#define WIRE_MAX (128 * 1024) /* bytes of a message */
#define WIRE_FDS 16

enum wire_op { WIRE_SPAWN = 1, WIRE_ACK, WIRE_KILL, WIRE_ADOPT, WIRE_LIST, WIRE_EXIT, WIRE_UPGRADE, WIRE_SPAWNED, WIRE_EXITED,
	WIRE_CHILD, WIRE_END, WIRE_SIGNAL };
/* What a process is to its unit. */
enum wire_role { ROLE_MAIN, ROLE_PRE, ROLE_STOP, ROLE_RELOAD, ROLE_CHECK, ROLE_READY, ROLE_NROLES };
enum wire_flag {
	WIRE_LOG = 1,	   /* SPAWN: standard output and error go to a pipe that the watcher makes */
	WIRE_GROUP = 2,	   /* SPAWN: when the process ends the rest of its group is killed; KILL: the whole group */
	WIRE_PIDFILE = 4,  /* SPAWN: the process writes jobs/JOB/pid before it becomes the program */
	WIRE_GONE = 8,	   /* CHILD: has ended, value is the wait status */
	WIRE_FOREIGN = 16, /* CHILD: not a child of the watcher; its exit status cannot be known */
};
#define WIRE_LOST -1 /* value of EXITED: the process is gone, nobody knows how it ended */

struct wire {
	uint8_t op, version, role, flags;
	uint32_t job;
	uint64_t unit;
	uint64_t start; /* start time of pid, as in /proc/PID/stat */
	int32_t pid, value;
	uint16_t argc, envc; /* SPAWN: strings behind: path, argv, env */
	uint8_t targets[WIRE_FDS]; /* SPAWN: the file descriptor numbers that the sent ones get */
};

/* Sends m and n bytes behind it. 0, or -1 with errno (EAGAIN: not now). */
int wire_send(int sock, const struct wire *m, const void *more, size_t n, const int *fds, size_t nfds);
/* Receives into buf, which begins with the struct. Bytes, 0 at the end, -1 with errno. fds: room for WIRE_FDS, CLOEXEC. */
long wire_recv(int sock, void *buf, size_t size, int *fds, size_t *nfds);

#endif
