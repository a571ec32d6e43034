/* SPDX-License-Identifier: Apache-2.0 */
/*
 * croft-guest: the program inside machines. PID 1 of the tiny image, or a service elsewhere; serves
 * the frames of guest/proto.h on a virtio-serial port. One thread, one poll loop, libc only (static),
 * so that it runs in an initramfs and on any distribution.
 */
#ifndef CROFT_GUEST_H
#define CROFT_GUEST_H

#include "guest/proto.h"
#include "guest/tree.h"

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define STREAMS_MAX 256
#define STREAM_FDS 4
/* Streams add output only while less than this waits for the port; control frames always may. */
#define OUT_BUSY (192 * 1024)
/* Above this nothing is read from the port: the host floods us and does not read. */
#define OUT_STUCK (1024 * 1024)

struct guest;
struct stream;

struct stream_ops {
	void (*data)(struct guest *g, struct stream *s, const uint8_t *p, size_t n);
	void (*eof)(struct guest *g, struct stream *s);
	void (*signal)(struct guest *g, struct stream *s, int signo);
	void (*resize)(struct guest *g, struct stream *s, uint32_t size);
	/* Which fds to wait for, at most STREAM_FDS; lowers *timeout_ms to its own deadline. */
	size_t (*wait)(struct guest *g, struct stream *s, struct pollfd *p, int *timeout_ms);
	/* After each turn of the loop, with those entries. */
	void (*run)(struct guest *g, struct stream *s, const struct pollfd *p, size_t n);
	/* A child was reaped. */
	void (*child)(struct guest *g, struct stream *s, pid_t pid, int status);
	void (*destroy)(struct stream *s); /* abandons what still runs */
};
struct stream {
	struct stream *next;
	uint32_t id;
	uint32_t kind;
	bool opening;	 /* more OPEN parts come */
	bool over;	 /* forgotten at the end of the turn */
	uint8_t *items;	 /* of OPEN */
	size_t nitems;
	uint64_t credit; /* payload bytes that we may send */
	uint64_t window; /* payload bytes that the client may send */
	const struct stream_ops *ops; /* NULL: nothing runs */
	void *data;
};
struct guest {
	int port;	/* -1: none yet */
	bool connected; /* host side of the port is open */
	bool greeted;	/* HELLO was sent on this connection */
	bool socket;	/* the port is a socket (tests): its end is our end */
	bool pid1;
	bool ready;	/* commands may run: before, only HELLO is answered */
	uint64_t greet_at; /* ms: when to say HELLO without being asked */
	uint64_t provoke_at; /* ms: when to make the host connect anew, because it did not answer; 0: never */
	unsigned provoked;   /* how often already */
	struct frame_decoder in;
	uint8_t *out;
	size_t out_cap, out_start, out_end;
	struct stream *streams;
	size_t nstreams;
	int sigfd;
	int power;	/* 0, or 'p', 'r': shut down when the answer has gone out */
	uint64_t power_at; /* ms: at the latest then */
	char *boot_id;
};

/* serve.c */
int serve_init(struct guest *g);
/* Finds and opens the agent's port by name; -1 when there is none (errno). */
int serve_open_port(struct guest *g);
void serve_set_port(struct guest *g, int fd);
/* One turn; waits at most timeout_ms. extra: more fds to wait for, revents are filled in. -1: port's end (socket). */
int serve_turn(struct guest *g, int timeout_ms, struct pollfd *extra, size_t nextra);
void serve_close(struct guest *g);
/* One decoded frame; also the fuzzer's entry. */
void serve_frame(struct guest *g, const struct frame *f);

/* stream.c */
struct stream *stream_find(struct guest *g, uint32_t id);
void stream_open(struct guest *g, const struct frame *f);
void stream_end_all(struct guest *g);
void stream_collect(struct guest *g); /* frees those that are over */
void stream_child(struct guest *g, pid_t pid, int status);
void stream_exit(struct guest *g, struct stream *s, uint32_t status);
void stream_error(struct guest *g, struct stream *s, int code, const char *text);
void stream_credit(struct guest *g, struct stream *s, size_t n); /* n bytes were consumed */
/* Next item with this key, from *pos on; false when there is none. */
bool stream_item(const struct stream *s, size_t *pos, uint8_t key, struct frame_item *it);
/* The first one as a new string, NULL when absent. */
char *stream_string(const struct stream *s, uint8_t key);
bool stream_has(const struct stream *s, uint8_t key);

/* out.c */
int out_frame(struct guest *g, const struct frame *f);
/* Bytes that are no frame. */
int out_bytes(struct guest *g, const uint8_t *data, size_t n);
size_t out_waiting(const struct guest *g);
/* Where to put payload for DATA of s, and how much (*n); NULL when the port is busy or there is no credit. */
uint8_t *out_begin(struct guest *g, struct stream *s, size_t *n);
void out_end(struct guest *g, struct stream *s, uint8_t channel, size_t n);
int out_flush(struct guest *g); /* -1: port broken */
void out_drop(struct guest *g);

/* exec.c, push.c, pull.c, facts.c, net.c, power.c, clock.c, freeze.c: begin what OPEN asks for. */
void exec_open(struct guest *g, struct stream *s);
void push_open(struct guest *g, struct stream *s);
void pull_open(struct guest *g, struct stream *s);
void facts_open(struct guest *g, struct stream *s);
void net_open(struct guest *g, struct stream *s);
void power_open(struct guest *g, struct stream *s);
void clock_open(struct guest *g, struct stream *s);
void freeze_open(struct guest *g, struct stream *s);

/* spawn.c */
struct spawn {
	const char *path; /* full */
	const char *const *argv;
	const char *const *envp;
	const char *cwd;
	const struct account *account; /* NULL: as we are */
	int in, out, err; /* become 0, 1, 2 */
	int tty;	  /* becomes the controlling terminal, -1: none */
};
/* The pid, or -1 with errno of what failed in the child, exec included. The child leads a session. */
pid_t spawn(const struct spawn *sp);
/* The program's path as the shell would find it, in out; -1 with errno. */
int spawn_lookup(const char *name, const char *path, char *out, size_t size);

/* users.c */
struct account {
	char name[64], home[256], shell[128];
	uid_t uid;
	gid_t gid;
	gid_t groups[64];
	size_t ngroups;
};
/* By name or number, from /etc/passwd and /etc/group; -1 with ENOENT. */
int account_find(const char *name, struct account *a);
/* "user", "user:group", ":group", names or numbers; what is absent stays -1. */
int owner_parse(const char *s, uid_t *uid, gid_t *gid);

/* net.c */
struct net_config {
	char mac[32], address[48], gateway[48], dns[128], domain[128], hostname[128];
};
int net_apply(const struct net_config *c, char *why, size_t size); /* -1: errno, why is set */
void net_loopback(void);
int net_set_hostname(const char *name);
int net_find(const char *mac, char ifname[32]);
void net_resolv(const char *dns, const char *domain);

/* power.c */
void power_off(struct guest *g, int what); /* orderly; PID 1: does not return */

/* identity.c */
/* Value of NAME=VALUE among the OEM strings of a raw SMBIOS table (type 11); false when there is none. */
bool identity_find(const uint8_t *table, size_t n, const char *name, char *out, size_t size);
int identity_main(void);

/* sudo.c */
int sudo_main(int argc, char **argv);

/* sync.c: --sync-list, --sync-apply */
int sync_main(int argc, char **argv);

/* relay.c: --connect HOST PORT */
int relay_main(const char *host, const char *port);
/* Joins stdin and stdout to a socket until that has ended. whole: the end of stdin is the end too. Exit status. */
int relay(int fd, bool whole);

/* stdio.c: --stdio */
int stdio_main(bool machine);

/* hostnamectl.c, nohup.c */
int hostnamectl_main(int argc, char **argv);
int nohup_main(int argc, char **argv);

/* boot.c */
int boot_main(void); /* PID 1 */

/* util.c */
uint64_t now_ms(void);
/* The file's first size - 1 bytes as a string without trailing newline; -1. */
ssize_t read_text(const char *path, char *buf, size_t size);
int write_text(const char *path, const char *text, mode_t mode);
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* to the console */

#endif
