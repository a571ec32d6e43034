/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Event loop over epoll: fds, one-shot timers, signals. One loop a process,
 * one thread. Callbacks may add and remove any source, themselves included.
 */
#ifndef CROFT_BASE_LOOP_H
#define CROFT_BASE_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

struct loop;
struct loop_src; /* owned by the loop until loop_remove */

typedef void loop_fd_fn(void *arg, uint32_t events); /* EPOLLIN ... */
typedef void loop_timer_fn(void *arg);
typedef void loop_signal_fn(void *arg, int signo);

struct loop *loop_new(void);
void loop_free(struct loop *l);
/* The fd stays the caller's. */
struct loop_src *loop_fd(struct loop *l, int fd, uint32_t events, loop_fd_fn *fn, void *arg);
void loop_fd_events(struct loop_src *s, uint32_t events); /* change what is waited for; 0 = nothing */
/* Fires once, `ns` from now (CLOCK_MONOTONIC); the source stays and can be armed again. */
struct loop_src *loop_timer(struct loop *l, uint64_t ns, loop_timer_fn *fn, void *arg);
void loop_timer_arm(struct loop_src *s, uint64_t ns); /* from now; replaces the old time */
void loop_timer_disarm(struct loop_src *s);
/* Blocks the signal and delivers it here (signalfd). */
struct loop_src *loop_signal(struct loop *l, int signo, loop_signal_fn *fn, void *arg);
void loop_remove(struct loop_src *s); /* NULL is allowed */
int loop_run(struct loop *l);	       /* until loop_stop; returns its value */
void loop_stop(struct loop *l, int value);
bool loop_stopped(const struct loop *l); /* for those who turn it themselves */
/* One turn, waiting at most timeout_ms (-1: for ever). */
void loop_once(struct loop *l, int timeout_ms);
uint64_t loop_now(void); /* CLOCK_MONOTONIC, ns */

#endif
