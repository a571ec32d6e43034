/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state machine process. One instance, one thread, one epoll. Files:
 *	machine.c	the loop, timers, messages of the watcher
 *	launch.c	makes and ends processes for the core; ready.c: conditions of STARTING
 *	home.c		what is on disk; load.c: reading it; adopt.c: taking units back from disk and watcher
 *	kernel.c	what the kernel tells of mounts and links
 *	log.c		output of units, and pm's own messages
 *	server.c	FIFO and sockets; command.c: what the lines mean
 */
#ifndef CROFT_PM_MACHINE_H
#define CROFT_PM_MACHINE_H

#include "pm/core.h"
#include "pm/wire.h"

#include <stddef.h>
#include <sys/types.h>

/* What an epoll event is about: kind << 32 | index. */
enum seen { SEEN_WATCHER, SEEN_INPUT, SEEN_LISTEN, SEEN_NOTIFY, SEEN_CLIENT, SEEN_LOG, SEEN_AUX_LOG, SEEN_STATUS, SEEN_READY_FD,
	SEEN_SOCKET, SEEN_MOUNTS, SEEN_LINKS };
enum timer_kind { TIMER_STATE, TIMER_LAUNCH }; /* the state's time-out; ready polling, checks, timer units */

#define LAUNCH_SOCKETS 8
#define LAUNCH_STATUS_FD 250 /* where `pm .exec` finds the pipe for its failure */

struct timer {
	uint64_t due; /* ms, monotonic */
	struct unit *u;
	uint32_t *place; /* where our place in the heap + 1 is kept */
	enum timer_kind kind;
};

/* What is under way for a unit beside its main process; only units that have something have one. */
struct launch {
	uint32_t timer;
	uint8_t step;	  /* enum launch_step */
	bool aux_running; /* a helper command of role aux */
	bool forked;	  /* ready=pidfile: the first process has ended well, the daemon is not known yet */
	uint8_t want;	  /* enum ready_kind of ready.c */
	uint8_t aux;
	int aux_log;
	int status_fd; /* what `pm .exec` has to say */
	int ready_fd, port_fd;
	int socks[LAUNCH_SOCKETS]; /* socket unit */
	uint8_t nsocks;
	bool sleeping; /* socket unit: not watched while its unit is up */
	int given[3];  /* invoke: standard streams; -1 */
	uint32_t delay; /* of polling, ms */
};
enum launch_step { STEP_NONE, STEP_PRE, STEP_MAIN, STEP_READY, STEP_STOP };

struct machine {
	struct core core;
	const char *home, *self; /* absolute */
	const char *init_stream; /* or NULL */
	bool kill_on_fatal;
	bool until_idle; /* see main_options */
	bool had_unit;	 /* there was one to supervise, or one was to be handed over */
	int sock, epfd, notify_fd;
	uint32_t nsocket_units; /* defined ones of type socket */
	struct timer *timers;
	uint32_t ntimers, cap_timers;
	uint32_t last_job;
	uint64_t now; /* ms, monotonic; set once a turn */
	uint64_t began; /* ms */
	bool blocked; /* the watcher's socket is full: outgoing waits */
	bool quit;
	bool shall_end; /* a unit with when-ended=shutdown has ended */
	int quit_status;
	char *const *args; /* our own, for an exec of ourselves */
};
extern struct machine machine;

/* machine.c */
int machine_main(int argc, char **argv);
void machine_timer(struct unit *u, enum timer_kind kind, uint32_t *place, uint32_t ms); /* 0 takes it away */
int machine_watch_fd(int fd, uint32_t events, enum seen kind, uint32_t index);
void machine_unwatch_fd(int fd);
/* Sends to the watcher, in order, waiting in memory when it must. Takes the fds over. */
void machine_send(const struct wire *m, const void *more, size_t n, const int *fds, size_t nfds);
void machine_shutdown(const char *why);
void machine_upgrade(void);

/* launch.c */
extern const struct core_ops launch_ops;
void launch_spawned(struct unit *u, const struct wire *m, int log_fd);
void launch_exited(struct unit *u, const struct wire *m);
void launch_timer(struct unit *u);
void launch_status(struct unit *u);
void launch_free(struct unit *u);
struct launch *launch_of(struct unit *u); /* makes one */
void launch_kill(struct unit *u, int signo, bool group);
/* Starts a command of a unit. 0, or -1 with why. */
int launch_command(struct unit *u, enum wire_role role, const char *key, char why[160]);
void launch_poll(struct unit *u, uint32_t ms);
/* The fds that the next main process gets as 0, 1, 2 (invoke). Taken over. */
int launch_may_hold(const struct params *ps, struct error **err); /* a sub-pm of this kind */
void launch_give_fds(struct unit *u, const int fds[3]);
void launch_forked(struct unit *u, int32_t pid, uint64_t start); /* the daemon that the first process left */

/* activate.c: units of type socket */
int socket_open(struct unit *u, char why[160]);
void socket_ready(struct unit *u);
void socket_watch(struct unit *u, bool on);
/* The sockets that u gets: fds into ret (not taken over), how many. */
size_t socket_fds_of(struct unit *u, int ret[LAUNCH_SOCKETS]);
void socket_target_down(struct unit *u); /* watched again */
const char *launch_status_text(int status); /* "exit 3", "signal TERM"; static buffer */

/* ready.c */
bool ready_is_exec(const struct unit *u);
void ready_begin(struct unit *u);		 /* main runs: the condition is looked at from now on */
void ready_poll(struct unit *u);		 /* the launch timer in STARTING */
void ready_fd(struct unit *u);			 /* the ready fd says something */
void ready_notify(void);			 /* the notify socket */
void ready_end(struct unit *u);			 /* no longer STARTING */
int ready_open(struct unit *u, int *write_end); /* ready=fd:N: number, or 0 */

/* home.c; all paths are below the working directory, which is the home */
int home_open(const char *path, struct error **err);	/* makes and enters it */
int home_lock(struct error **err);			/* fd of the lock, or -1 */
int home_lock_kept(void);
void home_note_self(void); /* pm.pid: for people and scripts, whom to send SIGTERM */
void home_path(struct buf *b, const char *dir, const char *id, const char *file);
void home_name(struct buf *b, const char *id);		/* ID as a file name */
bool home_id(const char *name, char id[PM_ID_MAX + 1]); /* and back */
void home_record(struct unit *u, const char *reason);	/* a transition; on disk after home_flush */
void home_flush(void);
int home_save(struct unit *u, bool sync, struct error **err);
void home_defer(struct unit *u); /* save at the next flush */
void home_forget(struct unit *u);
void home_job_begin(struct unit *u, const char *reason);
/* What a process writes itself when we start it: jobs/N/pid. */
void home_job_pid(uint32_t job, int32_t pid, uint64_t start);
void home_job_end(uint32_t job, const char *retcode);
void home_job_remove(uint32_t job);
bool home_leave(void);	/* nobody hands anything over, and from now on nobody does before we have ended */
void home_remove(void); /* all of it; the last thing that a pm does */
bool home_last(const char *id, struct buf *line); /* last complete line of the state */
const char *home_last_line(const char *text, size_t n, size_t *len); /* the same of what was read; NULL: there is none */
bool home_same_boot(void); /* whether what is in the home is of this boot; from now on it is */

/* load.c */
void home_load(void); /* all units, with the states that they were in if no reboot has come between */

/* adopt.c */
void adopt_process(struct unit *u, int32_t pid, uint64_t start); /* that nobody of us has started */
void adopt_child(const struct wire *m, int log_fd); /* one answer to LIST */
void adopt_end(void);				   /* END: what is left is judged */

/* kernel.c: mounts and links that go away by themselves */
void kernel_watch(const struct unit *u); /* it is RUNNING */
void kernel_changed(void);
bool kernel_pending(void); /* kernel_look has something to do */
void kernel_look(void);	   /* raises GONE */

/* log.c */
void log_read(struct unit *u, int *fd); /* closes it at its end */
void log_line(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
size_t log_time(char *to); /* "2026-11-21T09:30:00.123Z", 24 bytes */
void log_unit_note(struct unit *u, const char *text); /* a line of pm's own in the unit's log */

/* server.c: who asks, and who waits for what */
struct client;
struct reply {
	struct client *client; /* NULL: FIFO or stream; failures are logged */
	char tag[33];	       /* given back in front of each line of the answer */
	const char *line;      /* for the log */
};
enum wait_kind { WAIT_UP, WAIT_DOWN, WAIT_RELOAD, WAIT_END, WAIT_JOB };
int server_open(struct error **err);
void server_event(enum seen kind, uint32_t index, uint32_t events);
void server_changed(struct unit *u, enum pm_state from, const char *reason);
void server_reloaded(struct unit *u, const char *failure); /* NULL: it went well */
void server_flush(void);
bool server_has_clients(void);
/* What comes on this connection is not waited for until it is on disk. */
void reply_relax(struct reply *r);
bool reply_relaxed(const struct reply *r);
/* One line of an answer: data. */
void reply_text(struct reply *r, const char *text);
void reply_data(struct reply *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void reply_end(struct reply *r, int status, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void reply_error(struct reply *r, struct error **err);
/* The answer ends when all units have got there. */
void reply_wait(struct reply *r, enum wait_kind kind, struct unit *const *units, size_t n);
bool reply_take_fds(struct reply *r, int fds[3]); /* standard streams that came with the line */

/* command.c */
void command_line(struct reply *r, const char *line, size_t n);

#endif
