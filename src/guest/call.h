/* SPDX-License-Identifier: Apache-2.0 */
/* One request of a client: a stream from OPEN to EXIT. Shared by the files of agent_*; not for others. */
#ifndef CROFT_GUEST_CALL_H
#define CROFT_GUEST_CALL_H

#include "guest/agent.h"
#include "guest/proto.h"

#include <poll.h>
#include <signal.h>

/* No more is produced for the socket while this much waits there. */
#define CALL_BUSY (256 * 1024)
#define CALL_FDS 4

struct agent {
	int fd;
	struct frame_decoder in;
	struct buf out;
	size_t out_pos; /* of out: what was written */
	uint32_t next;	/* stream id */
	bool ready, ended;
	unsigned states; /* how many STATE frames came */
	char *text; /* of the last STATE, for messages */
};

struct call {
	struct agent *a;
	uint32_t id;
	uint64_t credit;   /* payload bytes that may be sent */
	uint64_t window;   /* payload bytes that the guest may send */
	uint64_t consumed; /* not given back yet */
	bool open;	   /* the guest knows the stream */
	bool over;	   /* EXIT came */
	uint32_t status;   /* of EXIT */
	uint64_t deadline; /* ns of loop_now(); 0: none */
	const char *what;  /* for messages: "command", "copy" */
	/* A piece of DATA; must give its length back by call_credit(), at once or later. */
	int (*on_data)(struct call *c, int channel, const uint8_t *p, size_t n, struct error **err);
	/* A signal that came; NULL: SIGINT and SIGTERM end the call with ERR_INTR. */
	int (*on_signal)(struct call *c, int signo, struct error **err);
	void *arg;
	int sigfd;
	sigset_t old_mask;
};

/* Items of an OPEN. */
void item_add(struct buf *b, uint8_t key, const void *p, size_t n);
void item_str(struct buf *b, uint8_t key, const char *s); /* NULL: left out */
void item_u32(struct buf *b, uint8_t key, uint32_t v);

/* Opens a stream; a, what, on_data, on_signal, arg are set by the caller before. timeout_ms -1: none. */
int call_begin(
	struct call *c, enum frame_kind kind, const struct buf *items, int timeout_ms, struct error **err);
/*
 * Waits once for the socket, signals and the given fds (at most CALL_FDS; revents are filled in), and handles
 * what came. wait false: does not block.
 */
int call_turn(struct call *c, struct pollfd *fds, size_t n, bool wait, struct error **err);
void call_send(struct call *c, uint8_t type, uint32_t value, const void *p, size_t n);
size_t call_waiting(const struct call *c); /* bytes not written to the socket yet */
void call_credit(struct call *c, size_t n);
/* CLOSE when it isn't over; puts the signal mask back. */
void call_end(struct call *c);
/* Turns until EXIT; a status other than 0 is an error. */
int call_finish(struct call *c, struct error **err);

/* Waits for the socket and takes frames; c may be NULL. timeout_ms as for poll. */
int agent_io(struct agent *a, struct call *c, struct pollfd *fds, size_t n, int timeout_ms,
	struct error **err);

#endif
