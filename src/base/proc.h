/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Subprocesses: the one place that forks. argv only, never a shell string;
 * every fd but those asked for is closed in the child; exec failure comes back
 * as an error with its errno, not as status 127; each child is its own process
 * group and is killed with its group when the handle is released.
 */
#ifndef CROFT_BASE_PROC_H
#define CROFT_BASE_PROC_H

#include "buf.h"
#include "error.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum proc_stdio {
	PROC_NULL = 0, /* /dev/null */
	PROC_INHERIT,
	PROC_PIPE, /* our end in p->in / p->out / p->err */
	PROC_FD,   /* the fd given in in_fd/out_fd/err_fd */
};
struct proc_opts {
	const char *const *argv; /* argv[0] is looked up in PATH */
	const char *const *env;	 /* additions "K=V" to our environment, or NULL */
	const char *cwd;	 /* or NULL */
	enum proc_stdio in, out, err;
	int in_fd, out_fd, err_fd;	    /* with PROC_FD */
	const int *keep_fds;		    /* these stay open under the same number */
	size_t nkeep_fds;
	bool detach;	   /* new session, survives us; the handle does not kill it */
	bool die_with_us;  /* SIGKILL when our process ends (PR_SET_PDEATHSIG) */
	bool same_group;   /* stay in our process group (gets the terminal's Ctrl-C) */
};
struct proc {
	pid_t pid; /* 0 when there is none */
	int pidfd;
	int in, out, err; /* our ends of pipes, -1 otherwise */
	bool detach, own_group;
};
#define PROC_INIT { 0, -1, -1, -1, -1, false, false }
#define _cleanup_proc_ __attribute__((cleanup(proc_release)))

int proc_spawn(const struct proc_opts *o, struct proc *p, struct error **err);
/*
 * Waits up to timeout_ms (-1: for ever). Returns the wait status (decode with
 * proc_status_text) in *status; ERR_TIMEOUT leaves the child running.
 */
int proc_wait(struct proc *p, int timeout_ms, int *status, struct error **err);
void proc_release(struct proc *p); /* closes; kills the group and reaps unless detached or reaped */
/* "exited with status 3", "killed by SIGSEGV"; static buffer per thread. */
const char *proc_status_text(int status);

/*
 * Runs to the end with captured output (at most 16 MiB each); either buffer may be NULL
 * (then that stream goes to /dev/null). A status other than 0 is an error that
 * carries the last lines of stderr.
 */
int proc_run(const char *const *argv, int timeout_ms, struct buf *out, struct buf *errout,
	struct error **err);

/* The same with any status (128 + signal when one ended it), in another environment and folder, both streams appended to out. */
int proc_output(const char *const *argv, const char *const *env, const char *cwd, int timeout_ms, int *status, struct buf *out,
	struct error **err);

/* A pid is never identity: pid and start time (field 22 of /proc/PID/stat) together are. */
struct proc_id {
	pid_t pid;
	uint64_t start; /* clock ticks since boot */
	char boot[40];  /* /proc/sys/kernel/random/boot_id */
};
int proc_id_of(pid_t pid, struct proc_id *id, struct error **err);
bool proc_id_alive(const struct proc_id *id); /* a zombie is not alive */
/* "PID START BOOTID\n", for pid files. */
int proc_id_write(const char *path, const struct proc_id *id, struct error **err);
int proc_id_read(const char *path, struct proc_id *id, struct error **err);
/* pidfd of the same process, or -1 when it is gone. */
int proc_id_open(const struct proc_id *id);

#endif
