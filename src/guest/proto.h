/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wire between the guest program, the machine helper and croft's commands. Frames over a
 * byte stream; many streams at once; libc only, because the guest program is linked statically.
 *
 * FRAME: 16 bytes header, little-endian, then `length` bytes of payload (at most FRAME_PAYLOAD).
 *
 *	0  u32 length    4  u8 type   5  u8 channel   6  u16 FRAME_MAGIC
 *	8  u32 stream    12 u32 value (its meaning is the type's)
 *
 * A decoder takes any bytes. What isn't a frame puts it into an error state that it never leaves:
 * the connection is closed and made anew. Types that it does not know are errors too; HELLO carries
 * the version. Stream 0 is the connection itself (HELLO, STATE); other ids are chosen by the side
 * that opens (always the host's), ascending, never used twice in one connection.
 *
 * STREAM, as client (C) and guest (G) see it:
 *
 *	C OPEN     value: enum frame_kind; payload: items (see struct frame_item). channel 1: the
 *	           items go on in the next OPEN of the same stream (argv over 64 KiB), 0: last part.
 *	C DATA     channel 0: input. Allowed from OPEN on.
 *	C EOF      no more input. Payload none.
 *	C SIGNAL   value: signal number, to the process group
 *	C RESIZE   value: columns | rows << 16
 *	C CLOSE    the client has gone or lost interest: the guest kills the process group (or removes
 *	           the half-written file) and forgets the stream; it answers nothing.
 *	G DATA     channel 1 or 2: output
 *	G EXIT     value: exit status (128 + signal, 126, 127; 0 for push, pull, ...). The stream's end.
 *	G ERROR    value: errno; payload: text for people. The stream's end.
 *	CREDIT     both ways. value: so many more payload bytes of DATA may be sent.
 *
 * FLOW CONTROL: each stream has one window for each direction, over all its channels, FRAME_WINDOW
 * bytes at first. Payload bytes of DATA use it up, CREDIT from the receiver (sent as it consumes,
 * also sent early to widen the window) fills it. Sending without credit is an error: the receiver
 * ends that stream with ERROR EPROTO (guest) or CLOSE (client). Only DATA counts. The one who
 * relays needs no window of his own: he never holds more of a stream than its receiver granted.
 * Frames for a stream that one doesn't know (any more) are dropped without a word.
 *
 * GUEST (virtio-serial port FRAME_PORT): sends HELLO whenever it opens the port, whenever the host
 * side connects, and as the answer to each HELLO from the host. At each of these it ends all
 * streams first (kills their process groups). value: FRAME_VERSION; payload: FRAME_HELLO_TEXT
 * followed by items; channel 1 when it answers a HELLO of the host, else 0. After opening the port
 * it waits 100 ms for the host's HELLO, so that one that was there before is answered once only. Until the
 * host's HELLO comes it hunts: what comes before was meant for a program that was killed. When none comes within
 * 2 s after its own (twice as long each time), the host may wait for the rest of a frame that a killed program
 * began: FRAME_MAX zeros, which end any frame and are none, make it connect anew.
 * When the host side disconnects it ends all streams too and waits. When it reads garbage it closes the port and
 * opens it again.
 *
 * HELPER (croft-machine), between QEMU's chardev socket and clients on agent.sock:
 *
 *	- On connecting to the chardev it sends HELLO (value FRAME_VERSION, payload FRAME_HELLO_TEXT)
 *	  and puts its decoder in hunting (frame_hunt): what comes before the guest's HELLO is the rest
 *	  of an older connection and is dropped. Before that HELLO nothing else is sent to the guest.
 *	  No answer while the guest boots is normal. A helper that attaches to a QEMU that was already
 *	  running and hears nothing for 2 s disconnects, waits 100 ms and connects again (the guest may
 *	  be in the middle of a frame that the former helper never finished).
 *	- A HELLO of the guest with channel 0 means: all streams are gone, the guest program is new. It is answered with
 *	  a HELLO; the guest's answer to that, with channel 1, makes it ready. One with channel 1 that comes when the
 *	  guest was ready already means nothing: the helper's HELLO and the guest's own crossed. Other version than
 *	  ours: STATE ended.
 *	- A client gets STATE as the first frame on connecting, and at each change. value: enum
 *	  frame_state; payload: FRAME_READY: the items of the guest's HELLO (without FRAME_HELLO_TEXT);
 *	  otherwise text for people ("QEMU was killed by SIGKILL"). It needs to send no HELLO.
 *	- OPEN from a client: a new guest id is taken (ascending from 1) and remembered with (client, its
 *	  id). OPEN while not ready: ERROR EAGAIN to the client. A used id again: continuation if the last
 *	  OPEN had channel 1, else the client is disconnected. All other frames of known streams are
 *	  passed on with the id changed and nothing else. HELLO, another STATE from a client: disconnect it.
 *	- EXIT or ERROR from the guest, CLOSE from the client: passed on, mapping forgotten.
 *	- STATE with value FRAME_WAITING from a client: it is about to replace the guest's memory (going back to a snapshot).
 *	  The helper ends all streams, disconnects from the chardev and answers with STATE waiting; it connects again 100 ms after
 *	  that client has gone. What the guest's side then believes to be open ends as at every disconnection.
 *	- A client that vanishes or sends garbage: CLOSE to the guest for each of its streams.
 *	- The guest gone (chardev closed, new HELLO, garbage): ERROR ECONNRESET on every open stream, then
 *	  STATE. Garbage from the guest: disconnect from the chardev and connect again.
 *
 * A client connected directly to a guest program (tests) gets HELLO instead of STATE: it counts as ready.
 */
#ifndef CROFT_GUEST_PROTO_H
#define CROFT_GUEST_PROTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_VERSION 1
#define FRAME_PORT "org.croft.agent.0"
#define FRAME_MAGIC 0xc70f
#define FRAME_HEADER 16
#define FRAME_PAYLOAD 65536
#define FRAME_MAX (FRAME_HEADER + FRAME_PAYLOAD)
#define FRAME_WINDOW (256 * 1024)
/* All OPEN parts of one stream together. */
#define FRAME_OPEN_MAX (1024 * 1024)
/* First bytes of a HELLO's payload, so that hunting does not take other bytes for one. */
#define FRAME_HELLO_TEXT "croft guest program\r\n"

enum frame_type {
	FRAME_HELLO = 1,
	FRAME_STATE,
	FRAME_OPEN,
	FRAME_DATA,
	FRAME_EOF,
	FRAME_CREDIT,
	FRAME_EXIT,
	FRAME_SIGNAL,
	FRAME_RESIZE,
	FRAME_CLOSE,
	FRAME_ERROR,
	FRAME_TYPE_END, /* one more than the last */
};
enum frame_state { FRAME_WAITING = 0, FRAME_READY, FRAME_ENDED };
enum frame_kind {
	FRAME_EXEC = 1,
	FRAME_PUSH,
	FRAME_PULL,
	FRAME_FACTS,
	FRAME_NET,
	FRAME_POWER, /* FRAME_K_NAME "poweroff" or "reboot"; EXIT 0 when accepted */
	FRAME_CLOCK, /* FRAME_K_TIME: sets the wall clock */
	FRAME_FREEZE, /* file systems on disks stop writing; answered with CREDIT 1 when they have, until EOF or CLOSE, 10 s at most */
};

/* Keys of items in OPEN and HELLO. */
enum frame_key {
	FRAME_K_BOOT_ID = 1, /* HELLO */
	FRAME_K_VERSION,     /* HELLO: program version, text */
	FRAME_K_ARG,	     /* exec: one for each argument, in order */
	FRAME_K_ENV,	     /* exec: NAME=VALUE */
	FRAME_K_CWD,
	FRAME_K_USER,	/* exec: name or number */
	FRAME_K_TTY,	/* exec: present: pseudo terminal; value TERM */
	FRAME_K_SIZE,	/* exec: u32 columns | rows << 16, little-endian */
	FRAME_K_STDIN,	/* exec: present: input comes; absent: /dev/null */
	FRAME_K_PATH,	/* push: destination; pull: source */
	FRAME_K_INTO,	/* push: name used when PATH is a directory or ends in '/' */
	FRAME_K_OWNER,	/* push: user:group, or "keep": the numbers of the stream */
	FRAME_K_MODE,	/* push: u32 */
	FRAME_K_TREE,	/* push, pull: present: directories allowed */
	FRAME_K_MAC,	/* net */
	FRAME_K_ADDRESS,
	FRAME_K_GATEWAY,
	FRAME_K_DNS,
	FRAME_K_HOSTNAME,
	FRAME_K_NAME,  /* power */
	FRAME_K_SHELL, /* exec: command for bash -c (sh -c where there is none) instead of ARG */
	FRAME_K_TIME,  /* clock: "SECONDS.NANOSECONDS" since the epoch, nine digits behind the point */
	FRAME_K_ATTRS, /* pull: present: with extended attributes */
};

struct frame {
	uint8_t type, channel;
	uint32_t stream, value, length;
	const uint8_t *data; /* in the decoder's buffer, until the next frame_space() */
};

/* Fills in the header; returns FRAME_HEADER. f->data isn't looked at. */
size_t frame_header(uint8_t out[FRAME_HEADER], const struct frame *f);

/*
 * Incremental decoder. The caller reads into frame_space(), says how much with frame_filled(), and
 * takes frames with frame_next() until it returns 0. No payload is copied.
 */
struct frame_decoder {
	uint8_t *buf;
	size_t cap, start, end;
	bool hunting, failed;
};
/* size: bytes of buffer, made at least FRAME_MAX. -1: out of memory. */
int frame_decoder_init(struct frame_decoder *d, size_t size);
void frame_decoder_free(struct frame_decoder *d);
/* Forgets buffered bytes and the error state: for a new connection. */
void frame_decoder_reset(struct frame_decoder *d);
/* Drops everything up to the next HELLO instead of failing; ends by itself when that was found. */
void frame_hunt(struct frame_decoder *d);
/* Where to read to, *n bytes (never 0 when frame_next() returned 0 before). */
uint8_t *frame_space(struct frame_decoder *d, size_t *n);
void frame_filled(struct frame_decoder *d, size_t n);
/* 1: *f is the next frame; 0: needs more bytes; -1: garbage (stays so until reset). */
int frame_next(struct frame_decoder *d, struct frame *f);

/* Items: u8 key, u32 length (little-endian), bytes; one after the other. */
struct frame_item {
	uint8_t key;
	uint32_t length;
	const uint8_t *data; /* not NUL-terminated */
};
#define FRAME_ITEM_HEADER 5
/* Appends at *len; -1 when it doesn't fit into cap. */
int frame_item_add(
	uint8_t *buf, size_t cap, size_t *len, uint8_t key, const void *p, size_t n);
/* Takes the item at *pos and moves on. 1: *it is set; 0: end; -1: malformed. */
int frame_item_next(const uint8_t *p, size_t len, size_t *pos, struct frame_item *it);

static inline uint16_t frame_get16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}
static inline uint32_t frame_get32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}
static inline uint64_t frame_get64(const uint8_t *p)
{
	return frame_get32(p) | (uint64_t)frame_get32(p + 4) << 32;
}
static inline void frame_put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}
static inline void frame_put32(uint8_t *p, uint32_t v)
{
	frame_put16(p, (uint16_t)v);
	frame_put16(p + 2, (uint16_t)(v >> 16));
}
static inline void frame_put64(uint8_t *p, uint64_t v)
{
	frame_put32(p, (uint32_t)v);
	frame_put32(p + 4, (uint32_t)(v >> 32));
}

#endif
