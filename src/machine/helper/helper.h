/* SPDX-License-Identifier: Apache-2.0 */
/*
 * croft-machine: one small process beside each running QEMU. It starts QEMU (or takes a running one back),
 * notes how it ended, keeps the console log and lets many clients share the one console and the one
 * agent channel. It speaks no QMP and reads no JSON, which keeps it small: base and the frames only.
 *
 * Layout of DIR/run is in machine/machine.h. Everything runs in one event loop; nothing here may block.
 */
#ifndef CROFT_MACHINE_HELPER_HELPER_H
#define CROFT_MACHINE_HELPER_HELPER_H

#include "base/buf.h"
#include "base/error.h"
#include "base/loop.h"
#include "base/proc.h"
#include "base/strv.h"
#include "guest/proto.h"
#include <stdbool.h>
#include <stdint.h>

/* Numbers under which QEMU finds its listening sockets; machine/argv.c writes the same. */
enum { HELPER_FD_QMP = 10, HELPER_FD_CONSOLE = 11, HELPER_FD_AGENT = 12, HELPER_FD_RUN = 13, HELPER_FD_NET = 20, HELPER_NETS_MAX = 32,
	HELPER_FD_SIDE = 60, HELPER_SIDES_MAX = 20 };
/* DIR/run, whatever its length: a socket's path may have 107 bytes only. */
#define HELPER_RUN_PATH "/proc/self/fd/13"

/* Bytes on their way to a socket that is full at the moment. A zeroed struct is empty. */
struct outq {
	struct buf b;
	size_t off; /* of b that is written already */
};
size_t outq_len(const struct outq *q);
void outq_free(struct outq *q);
/* Writes head and body at once as far as fd takes them, keeps the rest. -1: the other side is gone. fd doesn't block. */
int outq_send(struct outq *q, int fd, const void *head, size_t nhead, const void *body, size_t nbody);
int outq_flush(struct outq *q, int fd);
/* Accepts with CLOEXEC and NONBLOCK; -1 when there is none. */
int helper_accept(int listener);
/* unix_connect that does not block later. */
int helper_connect(const char *path, struct error **err);

struct console;
/* Connects to DIR/run/qemu-console.sock, serves DIR/run/console.sock. NULL with *err. */
struct console *console_new(struct loop *l, const char *dir, bool adopted, struct error **err);
void console_free(struct console *c);

struct mux;
/* adopted: QEMU ran before us, so the guest may be in the middle of an older conversation. */
struct mux *mux_new(struct loop *l, const char *dir, bool adopted, struct error **err);
/* Tells all clients that the machine ended and why. */
void mux_ended(struct mux *m, const char *why);
void mux_free(struct mux *m);

struct side {
	pid_t pid;
	int pidfd;
};
struct sides {
	struct side v[HELPER_SIDES_MAX];
	size_t n;
};
/* Starts what DIR/run/side-0, side-1 ... say. On failure those that run are still in s. */
int sides_start(const char *dir, struct sides *s, struct error **err);
/* QEMU has ended: so do they, or are killed after a moment. */
void sides_end(struct sides *s);
/* Arguments from a file, each ended by a NUL. */
int helper_read_argv(const char *path, struct strv *argv, struct error **err);

struct qemu_child {
	pid_t pid;
	int pidfd;
	bool adopted; /* not our child: its status can't be had */
	struct sides sides;
};
/* Starts what DIR/run/argv says, with its sockets bound; writes run/qemu.pid. */
int qemu_child_start(const char *dir, struct qemu_child *q, struct error **err);
int qemu_child_adopt(const char *dir, struct qemu_child *q, struct error **err);
/* It has ended: how, new string. */
char *qemu_child_end(struct qemu_child *q);

#endif
