/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Client of a machine's guest program, by the machine helper's agent socket.
 * Many clients at once, many streams each; blocking calls with an own loop.
 */
#ifndef CROFT_GUEST_AGENT_H
#define CROFT_GUEST_AGENT_H

#include "base/buf.h"
#include "base/error.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

struct agent;

/*
 * Connects to the helper's socket (agent.sock in the machine's run directory) and waits until the guest program
 * has said HELLO, at most timeout_ms (-1: for ever). ERR_TIMEOUT when it does not, ERR_STATE when the machine ended.
 */
struct agent *agent_connect(const char *sock, int timeout_ms, struct error **err);
void agent_free(struct agent *a); /* ends what is still open; NULL allowed */
static inline void agent_freep(struct agent **a)
{
	agent_free(*a);
}
#define _cleanup_agent_ __attribute__((cleanup(agent_freep)))

struct agent_exec {
	const char *const *argv;
	const char *const *env; /* additions, or NULL */
	const char *cwd;	/* or NULL */
	const char *user;	/* NULL: root */
	bool tty;		/* pseudo terminal: raw mode on ours, resize forwarded */
	int in_fd, out_fd, err_fd; /* where the streams go; -1: in closed, out/err dropped */
	struct buf *out, *err;	   /* when set, collected here instead (16 MiB at most, then an error) */
	int timeout_ms;		   /* -1: none; the guest's process group is killed then */
	bool ends_on_signal;	   /* after SIGINT or SIGTERM, which is noted in intr_signal, the command has 5 s to end */
	/* Called with each piece of output when set (instead of fds); stream 1 or 2. */
	void (*on_output)(void *arg, int stream, const void *p, size_t n);
	void *arg;
};
#define AGENT_EXEC_INIT { .in_fd = -1, .out_fd = -1, .err_fd = -1, .timeout_ms = -1 }
/*
 * Runs a command to its end. *status: exit status, 128 + signal, 126 not executable, 127 not found. SIGINT and SIGTERM that croft
 * gets while it waits are passed on to the guest's process group. Ends when the command ends, though others may hold its pipes.
 */
int agent_exec(struct agent *a, const struct agent_exec *x, int *status, struct error **err);
/* sh -c through bash when the guest has it (the group format's commands are written for bash). */
int agent_shell_command(struct agent *a, const char *command, struct agent_exec *x, int *status,
	struct error **err);

struct agent_copy {
	bool recursive_ok;  /* directories allowed (push/pull of trees) */
	const char *owner;  /* "user:group" in the guest, "keep": the numbers of here, or NULL: those of who writes */
	int mode;	    /* -1: kept */
	void (*progress)(void *arg, uint64_t done, uint64_t total);
	void *arg;
	/* push: regular files that are sent; NULL: all. path is relative to src. */
	bool (*want)(void *arg, const char *path, const struct stat *st);
	void *want_arg;
};
#define AGENT_COPY_INIT { .recursive_ok = true, .mode = -1 }
/*
 * File or tree to the guest and back: modes, times, links, sparse files, extended attributes (guest/treeattr.h) kept. As cp -a: when dst is an existing
 * directory (or ends in '/'), src goes into it under its own name, otherwise dst is the new name. Files are
 * written under a temporary name and renamed.
 */
int agent_push(struct agent *a, const char *src, const char *dst, const struct agent_copy *c, struct error **err);
int agent_pull(struct agent *a, const char *src, const char *dst, const struct agent_copy *c, struct error **err);

/*
 * Makes the folder (or file) dst in the guest equal to src, sending only what differs. A file is taken for unchanged when
 * the guest's (inode, times, size) is what `memory` holds of the last sync, and so is the host's, or its contents: equal times and
 * sizes of different contents deceive nobody, restored snapshots neither. The new folder takes the place of
 * the old one in one step. What only the guest has stays, unless `delete`.
 */
struct agent_sync {
	const char *owner;	   /* "user:group" of what is sent, or "keep"; NULL: that of dst when it is there, else root */
	bool delete;		   /* what src hasn't got goes, but for `keep` */
	const char *const *keep;   /* paths below dst that are never deleted; or NULL */
	struct buf *memory;	   /* of the last sync with this dst; replaced. Empty: everything is sent */
	bool keep_old;		   /* what is replaced is kept until agent_sync_done or agent_sync_back */
	void (*progress)(void *arg, uint64_t done, uint64_t total);
	void *arg;
	uint64_t files, sent, bytes; /* out: files in src; those sent; their bytes */
	bool changed;		     /* out: something was replaced */
};
int agent_sync(struct agent *a, const char *src, const char *dst, struct agent_sync *o, struct error **err);
/*
 * After a sync with keep_old: what was there before takes its place again, or goes for good. back: 1, or 0 when nothing was kept
 * (nothing was replaced, or the folder could not be exchanged). done: memory (or NULL) is brought up to date.
 */
int agent_sync_back(struct agent *a, const char *src, const char *dst, struct error **err);
int agent_sync_done(struct agent *a, const char *src, const char *dst, struct buf *memory, struct error **err);

/* Facts of the guest as a JSON object: version, hostname, kernel, os, boot id, interfaces with addresses, uptime. New string. */
char *agent_facts(struct agent *a, int timeout_ms, struct error **err);
struct agent_net {
	const char *mac;	    /* which interface */
	const char *address;	    /* "10.1.2.3/24" */
	const char *gateway, *dns;  /* or NULL */
	const char *hostname;	    /* or NULL: kept */
};
int agent_network(struct agent *a, const struct agent_net *n, int timeout_ms, struct error **err);
/* Sets the guest's wall clock to ours. Error code EOPNOTSUPP: its guest program is older than this request. */
int agent_set_clock(struct agent *a, int timeout_ms, struct error **err);
/*
 * Has the guest stop the writing of its file systems, until the handle is ended or 10 s are over. EOPNOTSUPP as above. The agent can be
 * used for nothing else meanwhile.
 */
struct agent_freeze;
struct agent_freeze *agent_freeze(struct agent *a, int timeout_ms, struct error **err);
/* -1: it had been thawed before that, since it took too long. NULL allowed. */
int agent_thaw(struct agent_freeze *f, struct error **err);
/*
 * Makes the helper let go of the guest, whose memory is about to be replaced: all streams of all clients end. Lasts until the
 * handle is freed; it can be used for nothing else. Returns when it has.
 */
struct agent *agent_hold(const char *sock, int timeout_ms, struct error **err);
enum agent_power { AGENT_POWEROFF, AGENT_REBOOT };
/* Asks for an orderly end; returns when the guest has accepted. */
int agent_power(struct agent *a, enum agent_power what, int timeout_ms, struct error **err);

#endif
