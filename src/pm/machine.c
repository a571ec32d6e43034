/* SPDX-License-Identifier: Apache-2.0 */
/* The loop of the state machine process: timers, messages of the watcher, turns. */
#include "pm/machine.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "pm/pm_main.h"
#include "pm/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct machine machine = { .sock = -1, .epfd = -1 };

/* A message that the watcher's socket had no room for. */
struct outgoing {
	struct outgoing *next;
	struct wire m;
	size_t n, nfds;
	int fds[WIRE_FDS];
	char more[];
};
#define IDLE_AFTER_MS 3000 /* of --until-idle: so long is waited for the first unit */
#define HELD_OFF_MS 20	   /* and so long until it is seen again whether a hand-over is under way */

static bool upgrading;
static bool listed; /* the watcher has told what there is */
static struct outgoing *out_first, **out_last = &out_first;

static uint64_t clock_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Not before it is known what there is: a unit that is to start may have been started by our predecessor. */
static void settle(void)
{
	if (listed)
		core_settle(&machine.core);
}

/* Timers: a heap by time. */

static void put_timer(uint32_t at, struct timer t)
{
	machine.timers[at] = t;
	*t.place = at + 1;
}

static void sift(uint32_t at, struct timer t)
{
	while (at > 0 && machine.timers[(at - 1) / 2].due > t.due) {
		put_timer(at, machine.timers[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	for (uint32_t child; (child = at * 2 + 1) < machine.ntimers; at = child) {
		if (child + 1 < machine.ntimers && machine.timers[child + 1].due < machine.timers[child].due)
			child++;
		if (machine.timers[child].due >= t.due)
			break;
		put_timer(at, machine.timers[child]);
	}
	put_timer(at, t);
}

void machine_timer(struct unit *u, enum timer_kind kind, uint32_t *place, uint32_t ms)
{
	if (*place) {
		uint32_t at = *place - 1;
		struct timer last = machine.timers[--machine.ntimers];

		*place = 0;
		if (at < machine.ntimers)
			sift(at, last);
	}
	if (!ms)
		return;
	if (machine.ntimers == machine.cap_timers) {
		machine.cap_timers = machine.cap_timers ? machine.cap_timers * 2 : 16;
		machine.timers = xreallocarray(machine.timers, machine.cap_timers, sizeof(*machine.timers));
	}
	machine.ntimers++;
	sift(machine.ntimers - 1, (struct timer){ machine.now + ms, u, place, kind });
}

static void run_timers(void)
{
	while (machine.ntimers && machine.timers[0].due <= machine.now) {
		struct timer t = machine.timers[0];

		machine_timer(t.u, t.kind, t.place, 0);
		if (t.kind == TIMER_LAUNCH)
			launch_timer(t.u);
		else
			core_event(&machine.core, t.u, PM_EV_TIMEOUT,
				t.u->state == PM_STARTING || t.u->state == PM_STOPPING || t.u->state == PM_SCHE_START ? "time-out" :
				t.u->up ? "back-off is over" : "fail-keep is over");
		settle();
	}
}

int machine_watch_fd(int fd, uint32_t events, enum seen kind, uint32_t index)
{
	struct epoll_event ev = { .events = events, .data.u64 = (uint64_t)kind << 32 | index };

	if (epoll_ctl(machine.epfd, EPOLL_CTL_MOD, fd, &ev) == 0)
		return 0;
	return errno == ENOENT ? epoll_ctl(machine.epfd, EPOLL_CTL_ADD, fd, &ev) : -1;
}

void machine_unwatch_fd(int fd)
{
	epoll_ctl(machine.epfd, EPOLL_CTL_DEL, fd, NULL);
}

/* To the watcher. */

static void close_fds(const int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		close(fds[i]);
}

void machine_send(const struct wire *m, const void *more, size_t n, const int *fds, size_t nfds)
{
	struct outgoing *o;

	if (!out_first && wire_send(machine.sock, m, more, n, fds, nfds) == 0) {
		close_fds(fds, nfds);
		return;
	}
	if (!out_first && errno != EAGAIN) {
		if (errno != EPIPE && errno != ECONNRESET)
			log_line("cannot tell the watcher: %s", strerror(errno));
		close_fds(fds, nfds);
		return; /* it is gone: reading tells so too, and deals with it */
	}
	o = xmalloc(sizeof(*o) + n);
	*o = (struct outgoing){ .m = *m, .n = n, .nfds = nfds };
	memcpy(o->more, more, n);
	if (nfds)
		memcpy(o->fds, fds, nfds * sizeof(*fds));
	if (!out_first)
		machine_watch_fd(machine.sock, EPOLLIN | EPOLLOUT, SEEN_WATCHER, 0);
	*out_last = o;
	out_last = &o->next;
}

static void send_waiting(void)
{
	while (out_first) {
		struct outgoing *o = out_first;

		if (wire_send(machine.sock, &o->m, o->more, o->n, o->fds, o->nfds) < 0 && errno == EAGAIN)
			return;
		close_fds(o->fds, o->nfds);
		out_first = o->next;
		if (!out_first)
			out_last = &out_first;
		free(o);
	}
	machine_watch_fd(machine.sock, EPOLLIN, SEEN_WATCHER, 0);
}

void machine_shutdown(const char *why)
{
	if (machine.core.closing)
		return;
	log_line("shutting down: %s", why);
	machine.core.closing = true;
	for (uint32_t i = 0; i < machine.core.nunits; i++) {
		struct unit *u = machine.core.units[i];

		if (u && u->defined && (u->up || u->state != PM_STOPPED))
			core_event(&machine.core, u, PM_EV_STOP, why);
	}
}

void machine_upgrade(void)
{
	struct wire m = { .op = WIRE_UPGRADE, .version = WIRE_VERSION };

	log_line("upgrade: %s is executed anew", machine.self);
	home_flush();
	upgrading = true;
	machine_send(&m, NULL, 0, NULL, 0);
}

/*
 * The watcher is gone, and with it the parent of all units. We become the watcher ourselves: its table is made from what we
 * know, and goes with the pipes over an exec of this program.
 */
static void become_watcher(void)
{
	char number[16], *argv[32];
	size_t n = 0;
	int fd;

	if (upgrading) /* it is the new program already, and starts our successor */
		exit(0);
	if (machine.core.closing || machine.kill_on_fatal) {
		for (uint32_t i = 0; i < machine.core.nunits; i++)
			if (machine.core.units[i] && machine.core.units[i]->pid > 0)
				kill(-machine.core.units[i]->pid, SIGKILL);
		log_line("the watcher was killed; all is ended");
		exit(1);
	}
	log_line("the watcher was killed; pm takes its place, units are kept");
	home_flush();
	fd = (int)syscall(SYS_memfd_create, "pm-slots", 0);
	for (uint32_t i = 0; i < machine.core.nunits; i++) {
		struct unit *u = machine.core.units[i];
		struct slot s = { .used = 1, .log_fd = -1, .pidfd = -1 };

		if (!u || u->pid <= 0)
			continue;
		s.unit = core_hash(u->id);
		s.job = u->job;
		s.pid = u->pid;
		s.start = watch_start_of(u->pid);
		s.flags = WIRE_GROUP;
		s.log_fd = u->log_fd;
		if (u->log_fd >= 0)
			fcntl(u->log_fd, F_SETFD, 0);
		if (write(fd, &s, sizeof(s)) != sizeof(s))
			log_line("%s: out of memory, it is not watched any more", u->id);
	}
	for (; machine.args[n] && n < 30; n++)
		argv[n] = machine.args[n];
	argv[1] = (char *)"main";
	snprintf(number, sizeof(number), "--resume=%d", fd);
	argv[n++] = number;
	argv[n] = NULL;
	execv(machine.self, argv);
	log_line("cannot execute %s: %s", machine.self, strerror(errno));
	exit(1);
}

/* From the watcher. */

static void message(const struct wire *m, int *fds, size_t nfds)
{
	struct unit *u = core_by_hash(&machine.core, m->unit);
	int fd = nfds ? STEAL_FD(fds[0]) : -1;

	/* Meant for our predecessor, and not to be acknowledged before we know the unit's job: LIST tells it all again. */
	if (!listed && (m->op == WIRE_SPAWNED || m->op == WIRE_EXITED)) {
		if (fd >= 0)
			close(fd);
		return;
	}
	switch (m->op) {
	case WIRE_SPAWNED:
		if (u)
			launch_spawned(u, m, fd);
		break;
	case WIRE_EXITED:
		if (u) {
			launch_exited(u, m);
		} else {
			struct wire ack = { .op = WIRE_ACK, .version = WIRE_VERSION, .job = m->job, .role = m->role };

			machine_send(&ack, NULL, 0, NULL, 0);
		}
		break;
	case WIRE_CHILD:
		adopt_child(m, fd);
		break;
	case WIRE_END:
		listed = true;
		adopt_end();
		break;
	case WIRE_SIGNAL:
		if (m->value == SIGTERM || m->value == SIGINT)
			machine_shutdown(m->value == SIGTERM ? "SIGTERM" : "SIGINT");
		break;
	default:
		log_line("message %d of the watcher is unknown", m->op);
	}
}

static void read_watcher(void)
{
	static union {
		struct wire m;
		char bytes[sizeof(struct wire) + 64];
	} in;
	int fds[WIRE_FDS];
	size_t nfds;

	for (int i = 0; i < 256; i++) {
		long n = wire_recv(machine.sock, &in, sizeof(in), fds, &nfds);

		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EPROTO))
			become_watcher();
		if (n < 0)
			break;
		message(&in.m, fds, nfds);
		settle();
	}
}

static void dispatch(const struct epoll_event *ev)
{
	enum seen kind = (enum seen)(ev->data.u64 >> 32);
	uint32_t index = (uint32_t)ev->data.u64;
	struct unit *u = NULL;

	if (kind == SEEN_LOG || kind == SEEN_AUX_LOG || kind == SEEN_STATUS || kind == SEEN_READY_FD || kind == SEEN_SOCKET) {
		u = index < machine.core.nunits ? machine.core.units[index] : NULL;
		if (!u || (kind != SEEN_LOG && !u->launch))
			return;
	}
	switch (kind) {
	case SEEN_WATCHER:
		if (ev->events & EPOLLOUT)
			send_waiting();
		read_watcher();
		break;
	case SEEN_LOG:
		if (u->log_fd >= 0)
			log_read(u, &u->log_fd);
		break;
	case SEEN_AUX_LOG:
		if (u->launch->aux_log >= 0)
			log_read(u, &u->launch->aux_log);
		break;
	case SEEN_STATUS:
		launch_status(u);
		break;
	case SEEN_READY_FD:
		ready_fd(u);
		break;
	case SEEN_SOCKET:
		socket_ready(u);
		break;
	case SEEN_NOTIFY:
		ready_notify();
		break;
	case SEEN_MOUNTS:
	case SEEN_LINKS:
		kernel_changed();
		break;
	case SEEN_INPUT:
	case SEEN_LISTEN:
	case SEEN_CLIENT:
		server_event(kind, index, ev->events);
		break;
	}
	settle();
}

static uint32_t units_up(void)
{
	uint32_t n = 0;

	for (int s = 0; s < PM_NSTATES; s++)
		if (s != PM_STOPPED && s != PM_FAIL && s != PM_STARTING_FAIL)
			n += machine.core.count[s];
	return n;
}

/* A unit of --until-idle that is down and shall be has had its time. */
static void forget_ended(void)
{
	for (uint32_t i = 0; i < machine.core.nunits && machine.core.count[PM_STOPPED]; i++) {
		_cleanup_error_ struct error *e = NULL;
		struct unit *u = machine.core.units[i];

		if (!u || !u->defined || u->up || u->state != PM_STOPPED)
			continue;
		home_forget(u);
		if (core_remove(&machine.core, u, &e) < 0)
			log_line("%s", e->msg);
	}
}

/* How long --until-idle still waits for its first unit; 0: no longer, or there was one. */
static uint64_t patience(void)
{
	uint64_t waited = machine.now - machine.began;

	machine.had_unit |= machine.core.live != 0;
	return machine.had_unit || waited >= IDLE_AFTER_MS ? 0 : IDLE_AFTER_MS - waited;
}

/* Nothing to supervise, time enough for the first to come, and nobody who is about to bring something. */
static bool idle(void)
{
	uint64_t wait = patience();

	if (!machine.until_idle || server_has_clients())
		return false;
	forget_ended();
	return !machine.core.live && !wait && home_leave();
}

/* ms until something is due without an event, -1: nothing is. */
static int due(void)
{
	uint64_t now = clock_ms(), wait = UINT64_MAX;

	if (kernel_pending())
		return 0;
	if (machine.ntimers)
		wait = machine.timers[0].due <= now ? 0 : machine.timers[0].due - now;
	if (machine.until_idle && !machine.core.live && !server_has_clients()) {
		uint64_t end = patience() ? patience() : HELD_OFF_MS;

		wait = end < wait ? end : wait;
	}
	return wait == UINT64_MAX ? -1 : wait > 1000000 ? 1000000 : (int)wait;
}

/* All is down and we are asked to end. */
static bool finished(void)
{
	return (machine.core.closing && !units_up()) || idle();
}

static void loop(void)
{
	struct epoll_event ev[64];

	while (!finished()) {
		int n = epoll_wait(machine.epfd, ev, 64, due());

		machine.now = clock_ms();
		for (int i = 0; i < n; i++)
			dispatch(&ev[i]);
		run_timers();
		if (listed)
			kernel_look();
		settle();
		if (machine.shall_end)
			machine_shutdown("a unit has ended with which pm shall end");
		settle();
		home_flush();
		server_flush();
	}
}

static void end(void)
{
	struct wire m = { .op = WIRE_EXIT, .version = WIRE_VERSION, .value = machine.quit_status };

	log_line("all is stopped; the end");
	home_flush();
	server_flush();
	unlink("socket");
	unlink("input");
	unlink("notify");
	if (machine.until_idle && !machine.core.live)
		home_remove();
	machine_send(&m, NULL, 0, NULL, 0);
}

static int set_up(struct error **err)
{
	struct rlimit l;
	struct wire m = { .op = WIRE_LIST, .version = WIRE_VERSION };

	signal(SIGPIPE, SIG_IGN);
	signal(SIGINT, SIG_IGN); /* the terminal's goes to the watcher */
	if (getrlimit(RLIMIT_NOFILE, &l) == 0) {
		l.rlim_cur = l.rlim_max;
		setrlimit(RLIMIT_NOFILE, &l);
	}
	fcntl(machine.sock, F_SETFD, FD_CLOEXEC);
	machine.epfd = epoll_create1(EPOLL_CLOEXEC);
	if (machine.epfd < 0 || machine_watch_fd(machine.sock, EPOLLIN, SEEN_WATCHER, 0) < 0)
		return error_errno(err, errno, "epoll");
	machine.now = machine.began = clock_ms();
	core_init(&machine.core, &launch_ops, NULL);
	home_load();
	machine_send(&m, NULL, 0, NULL, 0);
	return 0;
}

int machine_main(int argc, char **argv)
{
	struct error *e = NULL;
	struct main_options o;

	machine.args = argv;
	if (main_options(argc, argv, &o, &e) == 0) {
		machine.home = o.home;
		machine.self = o.self;
		machine.kill_on_fatal = o.kill_on_fatal;
		machine.until_idle = o.until_idle;
		machine.init_stream = o.init_stream;
		machine.sock = WATCH_MACHINE_FD;
		set_up(&e);
	}
	if (e) {
		log_line("%s", e->msg);
		return 1;
	}
	loop();
	end();
	core_free(&machine.core);
	main_options_free(&o);
	return 0;
}
