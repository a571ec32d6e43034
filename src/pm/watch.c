/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The watcher: parent and sub-reaper of every process of every unit. It must not fail, so it does little: no heap, no
 * parser, fixed tables (pages that are not touched cost nothing). What it keeps for the machine: exit statuses until they are
 * acknowledged, and the read ends of the units' output.
 *
 * A process is reaped only after the rest of its group was killed: the zombie holds the number, so no other process can
 * have it.
 */
#include "pm/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TELL_SPAWNED 1
#define TELL_EXITED 2
#define KILL_SECONDS 20	   /* for processes to end that were killed */
#define KILL_AGAIN_MS 50
#define CRASHES 3	   /* in */
#define CRASH_SECONDS 60 /* and it is given up */

static struct slot slots[WATCH_SLOTS];
static uint32_t nslots; /* all beyond are unused */
static int32_t first_free = -1; /* list through `pid` */
static char message[WIRE_MAX];
static const struct watch_options *opts;
static int sock = -1, epfd = -1, sigfd = -1;
static pid_t machine;
static bool ending, told_all, asked_to_end;
static int end_status;
static time_t crashes[CRASHES];

enum { SEEN_SOCK = -1, SEEN_SIGNAL = -2 };

static void say(const char *what)
{
	char line[256] = "pm: watcher: ";
	size_t n = strlen(line), m = strlen(what);

	if (m > sizeof(line) - n - 1)
		m = sizeof(line) - n - 1;
	memcpy(line + n, what, m);
	line[n + m] = '\n';
	if (write(2, line, n + m + 1) < 0)
		return; /* nobody to tell */
}

static struct slot *slot_new(void)
{
	struct slot *s;

	if (first_free >= 0) {
		s = &slots[first_free];
		first_free = s->pid;
	} else if (nslots < WATCH_SLOTS) {
		s = &slots[nslots++];
	} else {
		return NULL;
	}
	*s = (struct slot){ .used = 1, .log_fd = -1, .pidfd = -1 };
	return s;
}

static void slot_free(struct slot *s)
{
	if (s->log_fd >= 0)
		close(s->log_fd);
	if (s->pidfd >= 0)
		close(s->pidfd);
	*s = (struct slot){ .pid = first_free };
	first_free = (int32_t)(s - slots);
}

static struct slot *slot_find(uint32_t job, uint8_t role)
{
	for (uint32_t i = 0; i < nslots; i++)
		if (slots[i].used && slots[i].job == job && slots[i].role == role)
			return &slots[i];
	return NULL;
}

static struct slot *slot_of_pid(pid_t pid)
{
	for (uint32_t i = 0; i < nslots; i++)
		if (slots[i].used && slots[i].pid == pid && !(slots[i].flags & WIRE_GONE))
			return &slots[i];
	return NULL;
}

static int send_slot(uint8_t op, const struct slot *s, bool with_fd)
{
	struct wire m = { .op = op, .version = WIRE_VERSION, .role = s->role, .flags = s->flags, .job = s->job, .unit = s->unit,
		.start = s->start, .pid = s->pid, .value = s->status };

	return wire_send(sock, &m, NULL, 0, &s->log_fd, with_fd && s->log_fd >= 0 ? 1 : 0);
}

static void watch_writable(bool on)
{
	struct epoll_event ev = { .events = EPOLLIN | (on ? EPOLLOUT : 0), .data.u64 = (uint64_t)(int64_t)SEEN_SOCK };

	epoll_ctl(epfd, EPOLL_CTL_MOD, sock, &ev);
}

/* What could not be sent at once; everything when the machine's socket takes it again. */
static void tell(struct slot *s)
{
	if (sock < 0)
		return;
	if ((s->tell & TELL_SPAWNED) && send_slot(WIRE_SPAWNED, s, true) == 0)
		s->tell &= (uint8_t)~TELL_SPAWNED;
	if (s->tell == TELL_EXITED && send_slot(WIRE_EXITED, s, false) == 0)
		s->tell = 0;
	if (s->tell && told_all) {
		told_all = false;
		watch_writable(true);
	}
}

static void tell_all(void)
{
	told_all = true;
	for (uint32_t i = 0; i < nslots && told_all; i++)
		if (slots[i].used && slots[i].tell)
			tell(&slots[i]);
	if (told_all)
		watch_writable(false);
}

static void slot_gone(struct slot *s, int status)
{
	s->status = status;
	s->flags |= WIRE_GONE;
	s->tell |= TELL_EXITED;
	if (s->pidfd >= 0) {
		close(s->pidfd);
		s->pidfd = -1;
	}
	tell(s);
}

/* Machine starts, ends of processes. */

static int start_machine(void)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = (uint64_t)(int64_t)SEEN_SOCK };
	int pair[2], size = 4 << 20;
	sigset_t none;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	pid = vfork();
	if (pid == 0) {
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		dup2(pair[1], WATCH_MACHINE_FD);
		execv(opts->self, opts->args);
		_exit(127);
	}
	close(pair[1]);
	if (pid < 0) {
		close(pair[0]);
		return -1;
	}
	opts->args[opts->nkeep] = NULL;
	machine = pid;
	sock = pair[0];
	told_all = true;
	return epoll_ctl(epfd, EPOLL_CTL_ADD, sock, &ev);
}

/* Until a process ends; not for ever, for what is adopted by us comes without a word. */
static void await_an_end(void)
{
	struct signalfd_siginfo si;
	struct epoll_event ev[16];
	int n = epoll_wait(epfd, ev, 16, KILL_AGAIN_MS);

	for (int i = 0; i < n; i++) {
		int64_t what = (int64_t)ev[i].data.u64;

		if (what >= 0 && what < (int64_t)nslots && slots[what].pidfd >= 0) {
			close(slots[what].pidfd);
			slots[what].pidfd = -1;
		}
	}
	while (read(sigfd, &si, sizeof(si)) == sizeof(si))
		;
}

/* Every child and grandchild that came to us, but the machine, until none is left. */
static void kill_all(void)
{
	struct timespec now, end;

	if (sock >= 0)
		epoll_ctl(epfd, EPOLL_CTL_DEL, sock, NULL); /* what it still says is of no interest */
	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += KILL_SECONDS;
	do {
		pid_t pid;
		int n;

		while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
			if (pid == machine)
				machine = 0;
		n = watch_kill_children(machine);
		for (uint32_t i = 0; i < nslots; i++)
			if (slots[i].used && slots[i].pidfd >= 0 && !(slots[i].flags & WIRE_GONE)) {
				kill(-slots[i].pid, SIGKILL);
				syscall(SYS_pidfd_send_signal, slots[i].pidfd, SIGKILL, NULL, 0);
			}
		if (n == 0)
			return;
		await_an_end();
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (now.tv_sec < end.tv_sec);
	say("some processes cannot be killed");
}

static void read_machine(void);

static void machine_ended(int status)
{
	struct timespec now;
	bool often;

	machine = 0;
	while (sock >= 0 && !ending) /* its last words, up to the end */
		read_machine();
	if (sock >= 0)
		close(sock);
	sock = -1;
	if (ending)
		return;
	clock_gettime(CLOCK_MONOTONIC, &now);
	often = crashes[0] && now.tv_sec - crashes[0] < CRASH_SECONDS;
	memmove(crashes, crashes + 1, sizeof(crashes) - sizeof(crashes[0]));
	crashes[CRASHES - 1] = now.tv_sec;
	if (asked_to_end || opts->kill_on_fatal || often) {
		say(asked_to_end ? "pm died while shutting down; all is ended" :
			often	 ? "pm died too often; all is ended" : "pm died; all is ended");
		ending = true;
		end_status = 1;
		return;
	}
	say(WIFSIGNALED(status) ? "pm was killed; started again, its units are kept" : "pm died; started again, its units are kept");
	if (start_machine() < 0) {
		say("pm cannot be started again; all is ended");
		ending = true;
		end_status = 1;
	}
}

static void reap(void)
{
	siginfo_t si;

	for (;;) {
		struct slot *s;
		int status = 0;

		si.si_pid = 0;
		if (waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT) < 0 || si.si_pid == 0)
			return;
		s = slot_of_pid(si.si_pid);
		if (s && (s->flags & WIRE_GROUP))
			kill(-s->pid, SIGKILL);
		waitpid(si.si_pid, &status, 0);
		if (s)
			slot_gone(s, status);
		else if (si.si_pid == machine)
			machine_ended(status);
	}
}

/* Requests. */

static void do_spawn(const struct wire *m, char *strings, size_t n, const int *fds, size_t nfds)
{
	struct slot *s = slot_new(), failed = { .job = m->job, .unit = m->unit, .role = m->role, .log_fd = -1 };
	int code = s ? 0 : EAGAIN;

	if (s) {
		s->job = m->job;
		s->unit = m->unit;
		s->role = m->role;
		s->flags = m->flags & WIRE_GROUP;
		code = watch_spawn(m, strings, n, fds, nfds, s);
	}
	for (size_t i = 0; i < nfds; i++)
		close(fds[i]);
	if (code == 0) {
		s->tell = TELL_SPAWNED;
		tell(s);
		return;
	}
	/* A failure is kept like an end, so that it is not lost either. */
	failed.status = code;
	if (!s) {
		send_slot(WIRE_SPAWNED, &failed, false);
		return;
	}
	if (s->log_fd >= 0)
		close(s->log_fd);
	failed.used = 1;
	failed.pidfd = -1;
	failed.flags = WIRE_GONE;
	failed.tell = TELL_SPAWNED;
	*s = failed;
	tell(s);
}

static void do_kill(const struct wire *m)
{
	struct slot *s = slot_find(m->job, m->role);

	if (!s || (s->flags & WIRE_GONE) || s->pid <= 0)
		return;
	if (s->pidfd >= 0) { /* not ours: the number may have another owner by now */
		if (syscall(SYS_pidfd_send_signal, s->pidfd, m->value, NULL, 0) == 0 && (m->flags & WIRE_GROUP))
			kill(-s->pid, m->value);
		return;
	}
	if (!(m->flags & WIRE_GROUP) || kill(-s->pid, m->value) < 0)
		kill(s->pid, m->value);
}

/* Watches a process that is no child of ours, or one that has become our child. */
static void watch_pid(struct slot *s)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = (uint64_t)(s - slots) };
	siginfo_t si;

	s->flags &= (uint8_t)~WIRE_FOREIGN;
	if (waitid(P_PID, (id_t)s->pid, &si, WEXITED | WNOHANG | WNOWAIT) == 0)
		return;
	s->flags |= WIRE_FOREIGN;
	s->pidfd = (int)syscall(SYS_pidfd_open, s->pid, 0);
	if (s->pidfd >= 0 && watch_start_of(s->pid) == s->start && epoll_ctl(epfd, EPOLL_CTL_ADD, s->pidfd, &ev) == 0)
		return;
	slot_gone(s, WIRE_LOST);
}

static void do_adopt(const struct wire *m, const int *fds, size_t nfds)
{
	struct slot *s = slot_find(m->job, m->role);

	if (!s)
		s = slot_new();
	if (!s)
		return;
	s->job = m->job;
	s->unit = m->unit;
	s->role = m->role;
	s->pid = m->pid;
	s->start = m->start;
	s->status = 0;
	s->flags = m->flags & WIRE_GROUP;
	s->tell = 0;
	if (nfds > 0 && s->log_fd < 0)
		s->log_fd = fds[0];
	else if (nfds > 0)
		close(fds[0]);
	watch_pid(s);
}

/* Waits for room: the machine reads nothing else while it asks. */
static void do_list(void)
{
	struct wire end = { .op = WIRE_END, .version = WIRE_VERSION };
	struct epoll_event ev;
	uint32_t i = 0;

	while (i <= nslots) {
		int r = 0;

		if (i == nslots) {
			r = wire_send(sock, &end, NULL, 0, NULL, 0);
		} else if (slots[i].used) {
			r = send_slot(WIRE_CHILD, &slots[i], true);
			slots[i].tell = 0;
		}
		if (r == 0) {
			i++;
			continue;
		}
		if (errno != EAGAIN)
			return; /* it died; its successor asks again */
		watch_writable(true);
		while (epoll_wait(epfd, &ev, 1, -1) >= 0 && (int64_t)ev.data.u64 != SEEN_SOCK)
			if ((int64_t)ev.data.u64 == SEEN_SIGNAL)
				break;
		if ((int64_t)ev.data.u64 == SEEN_SIGNAL)
			nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
	}
	watch_writable(false);
}

/* The new program takes over the table through a memfd; children, pipes and the pid stay. */
static void do_upgrade(void)
{
	int fd = (int)syscall(SYS_memfd_create, "pm-slots", 0);
	static char number[16];
	char *digit = number + sizeof(number) - 1;
	char *argv[32];
	size_t n = 0;

	if (fd < 0 || write(fd, slots, nslots * sizeof(*slots)) != (ssize_t)(nslots * sizeof(*slots))) {
		say("upgrade: no memory");
		return;
	}
	for (uint32_t i = 0; i < nslots; i++)
		if (slots[i].used && slots[i].log_fd >= 0)
			fcntl(slots[i].log_fd, F_SETFD, 0);
	for (int v = fd; v > 0 || !*digit; v /= 10)
		*--digit = (char)('0' + v % 10);
	while (opts->resume_args[n] && n < 30) {
		argv[n] = opts->resume_args[n];
		n++;
	}
	argv[n] = digit;
	argv[n + 1] = NULL;
	fcntl(opts->lock_fd, F_SETFD, 0);
	execv(opts->self, argv);
	say("upgrade: the new program cannot be executed; the old one goes on");
	close(fd);
	fcntl(opts->lock_fd, F_SETFD, FD_CLOEXEC);
	for (uint32_t i = 0; i < nslots; i++)
		if (slots[i].used && slots[i].log_fd >= 0)
			fcntl(slots[i].log_fd, F_SETFD, FD_CLOEXEC);
	kill(machine, SIGKILL); /* it has prepared to go; a new one has not */
}

static void do_message(long n, const int *fds, size_t nfds)
{
	const struct wire *m = (const struct wire *)(void *)message;
	struct slot *s;

	switch (m->op) {
	case WIRE_SPAWN:
		do_spawn(m, message + sizeof(*m), (size_t)n - sizeof(*m), fds, nfds);
		return;
	case WIRE_ADOPT:
		do_adopt(m, fds, nfds);
		return;
	case WIRE_ACK:
		s = slot_find(m->job, m->role);
		if (s && (s->flags & WIRE_GONE))
			slot_free(s);
		return;
	case WIRE_KILL:
		do_kill(m);
		return;
	case WIRE_LIST:
		do_list();
		return;
	case WIRE_EXIT:
		ending = true;
		end_status = m->value;
		return;
	case WIRE_UPGRADE:
		do_upgrade();
		return;
	default:
		say("a message that this program does not know");
	}
}

static void read_machine(void)
{
	int fds[WIRE_FDS];
	size_t nfds;
	long n = 0;

	/* A bounded number, so that ends of processes are seen in between. */
	for (int i = 0; i < 64 && sock >= 0 && !ending; i++) {
		n = wire_recv(sock, message, sizeof(message), fds, &nfds);
		if (n <= 0)
			break;
		do_message(n, fds, nfds);
	}
	if ((n == 0 || (n < 0 && errno != EAGAIN) || (n < 0 && !machine)) && sock >= 0 && !ending) { /* it closed; SIGCHLD tells how it ended */
		close(sock);
		sock = -1;
	}
}

static void read_signals(void)
{
	struct signalfd_siginfo si;

	while (read(sigfd, &si, sizeof(si)) == sizeof(si)) {
		struct wire m = { .op = WIRE_SIGNAL, .version = WIRE_VERSION, .value = (int32_t)si.ssi_signo };

		if (si.ssi_signo == SIGCHLD)
			continue;
		if (si.ssi_signo == SIGTERM || si.ssi_signo == SIGINT) {
			if (asked_to_end && si.ssi_signo == SIGINT) { /* asked twice by hand */
				ending = true;
				end_status = 1;
			}
			asked_to_end = true;
		}
		if (sock >= 0)
			wire_send(sock, &m, NULL, 0, NULL, 0);
	}
	reap();
}

static void take_over(int fd)
{
	long n = lseek(fd, 0, SEEK_END), got;

	if (n < 0 || n > (long)sizeof(slots))
		n = 0;
	got = pread(fd, slots, (size_t)n, 0);
	nslots = got > 0 ? (uint32_t)((size_t)got / sizeof(*slots)) : 0;
	for (uint32_t i = 0; i < nslots; i++) {
		struct slot *s = &slots[i];

		if (!s->used) {
			s->pid = first_free;
			first_free = (int32_t)i;
			continue;
		}
		if (s->log_fd >= 0)
			fcntl(s->log_fd, F_SETFD, FD_CLOEXEC);
		s->pidfd = -1;
		s->tell = 0; /* LIST tells all */
		if (!(s->flags & WIRE_GONE))
			watch_pid(s);
	}
	close(fd);
}

static int set_up(void)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = (uint64_t)(int64_t)SEEN_SIGNAL };
	static const int signals[] = { SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGPWR, SIGWINCH };
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaddset(&set, signals[i]);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
		return -1;
	sigfd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	epfd = epoll_create1(EPOLL_CLOEXEC);
	if (sigfd < 0 || epfd < 0 || epoll_ctl(epfd, EPOLL_CTL_ADD, sigfd, &ev) < 0)
		return -1;
	return watch_spawn_init();
}

int watch_main(const struct watch_options *o)
{
	struct epoll_event ev[16];

	opts = o;
	if (set_up() < 0) {
		say(strerror(errno));
		return 1;
	}
	if (o->resume_fd >= 0)
		take_over(o->resume_fd);
	if (start_machine() < 0) {
		say("cannot start pm");
		return 1;
	}
	watch_slim();
	reap();
	while (!ending) {
		int n = epoll_wait(epfd, ev, 16, -1);

		for (int i = 0; i < n && !ending; i++) {
			int64_t what = (int64_t)ev[i].data.u64;

			if (what == SEEN_SIGNAL) {
				read_signals();
			} else if (what == SEEN_SOCK) {
				if ((ev[i].events & EPOLLOUT) && sock >= 0)
					tell_all();
				read_machine();
			} else if (what >= 0 && what < (int64_t)nslots && slots[what].pidfd >= 0) {
				if (slots[what].flags & WIRE_GROUP)
					kill(-slots[what].pid, SIGKILL);
				slot_gone(&slots[what], WIRE_LOST);
			}
		}
	}
	kill_all();
	return end_status;
}
