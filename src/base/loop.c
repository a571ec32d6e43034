/* SPDX-License-Identifier: Apache-2.0 */
#include "base/loop.h"
#include "base/mem.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum kind { KIND_FD, KIND_TIMER, KIND_SIGNAL };

struct loop_src {
	struct loop *loop;
	enum kind kind;
	int fd; /* own one for timers and signals */
	uint32_t events;
	bool dead, in_epoll;
	union {
		loop_fd_fn *fd_fn;
		loop_timer_fn *timer_fn;
		loop_signal_fn *signal_fn;
	};
	void *arg;
	struct loop_src *next, **prev;
};

struct loop {
	int epfd;
	bool stop;
	int value;
	struct loop_src *all, *dead; /* dead ones are freed after the turn: events may still point at them */
};

uint64_t loop_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

struct loop *loop_new(void)
{
	struct loop *l = xcalloc(1, sizeof(*l));

	l->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (l->epfd < 0)
		abort(); /* only for want of fds or memory at start */
	return l;
}

static void reap_dead(struct loop *l)
{
	while (l->dead) {
		struct loop_src *s = l->dead;

		l->dead = s->next;
		free(s);
	}
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	while (l->all)
		loop_remove(l->all);
	reap_dead(l);
	close(l->epfd);
	free(l);
}

static void watch(struct loop_src *s, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = s };

	s->events = events;
	if (!events) {
		/* Out of the set altogether: EPOLLHUP cannot be masked and would spin. */
		if (s->in_epoll)
			epoll_ctl(s->loop->epfd, EPOLL_CTL_DEL, s->fd, NULL);
		s->in_epoll = false;
		return;
	}
	if (epoll_ctl(s->loop->epfd, s->in_epoll ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, s->fd, &ev) == 0)
		s->in_epoll = true;
}

static struct loop_src *add(struct loop *l, enum kind kind, int fd, uint32_t events, void *arg)
{
	struct loop_src *s = xcalloc(1, sizeof(*s));

	s->loop = l;
	s->kind = kind;
	s->fd = fd;
	s->arg = arg;
	s->next = l->all;
	s->prev = &l->all;
	if (l->all)
		l->all->prev = &s->next;
	l->all = s;
	watch(s, events);
	return s;
}

struct loop_src *loop_fd(struct loop *l, int fd, uint32_t events, loop_fd_fn *fn, void *arg)
{
	struct loop_src *s = add(l, KIND_FD, fd, events, arg);

	s->fd_fn = fn;
	return s;
}

void loop_fd_events(struct loop_src *s, uint32_t events)
{
	if (events != s->events)
		watch(s, events);
}

struct loop_src *loop_timer(struct loop *l, uint64_t ns, loop_timer_fn *fn, void *arg)
{
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	struct loop_src *s;

	if (fd < 0)
		abort();
	s = add(l, KIND_TIMER, fd, EPOLLIN, arg);
	s->timer_fn = fn;
	loop_timer_arm(s, ns);
	return s;
}

void loop_timer_arm(struct loop_src *s, uint64_t ns)
{
	struct itimerspec t = { 0 };

	ns = ns ? ns : 1; /* zero would disarm */
	t.it_value.tv_sec = (time_t)(ns / 1000000000u);
	t.it_value.tv_nsec = (long)(ns % 1000000000u);
	timerfd_settime(s->fd, 0, &t, NULL);
}

void loop_timer_disarm(struct loop_src *s)
{
	struct itimerspec t = { 0 };

	timerfd_settime(s->fd, 0, &t, NULL);
}

struct loop_src *loop_signal(struct loop *l, int signo, loop_signal_fn *fn, void *arg)
{
	struct loop_src *s;
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, signo);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (fd < 0)
		abort();
	s = add(l, KIND_SIGNAL, fd, EPOLLIN, arg);
	s->signal_fn = fn;
	return s;
}

void loop_remove(struct loop_src *s)
{
	if (!s || s->dead)
		return;
	watch(s, 0);
	if (s->kind != KIND_FD)
		close(s->fd);
	*s->prev = s->next;
	if (s->next)
		s->next->prev = s->prev;
	s->dead = true;
	s->next = s->loop->dead;
	s->loop->dead = s;
}

static void dispatch(struct loop_src *s, uint32_t events)
{
	struct signalfd_siginfo si;
	uint64_t expirations;

	switch (s->kind) {
	case KIND_FD:
		s->fd_fn(s->arg, events);
		break;
	case KIND_TIMER:
		if (read(s->fd, &expirations, sizeof(expirations)) == (ssize_t)sizeof(expirations))
			s->timer_fn(s->arg);
		break;
	case KIND_SIGNAL:
		while (!s->dead && read(s->fd, &si, sizeof(si)) == (ssize_t)sizeof(si))
			s->signal_fn(s->arg, (int)si.ssi_signo);
		break;
	}
}

void loop_once(struct loop *l, int timeout_ms)
{
	struct epoll_event ev[32];
	int n = epoll_wait(l->epfd, ev, 32, timeout_ms);

	for (int i = 0; i < n; i++) {
		struct loop_src *s = ev[i].data.ptr;

		if (!s->dead && s->in_epoll)
			dispatch(s, ev[i].events);
	}
	reap_dead(l);
}

int loop_run(struct loop *l)
{
	l->stop = false;
	while (!l->stop)
		loop_once(l, -1);
	return l->value;
}

void loop_stop(struct loop *l, int value)
{
	l->stop = true;
	l->value = value;
}

bool loop_stopped(const struct loop *l)
{
	return l->stop;
}
