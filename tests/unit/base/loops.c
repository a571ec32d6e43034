/* SPDX-License-Identifier: Apache-2.0 */
#include "../test.h"
#include "base/loop.h"
#include <signal.h>

struct fixture {
	struct loop *loop;
	struct loop_src *a, *b;
	int count, fds[2];
	char order[8];
};

static void on_timer(void *arg)
{
	struct fixture *f = arg;

	if (++f->count < 3)
		loop_timer_arm(f->a, 1000000);
	else
		loop_stop(f->loop, 7);
}

static void timers_can_be_armed_again(void **s)
{
	struct fixture f = { .loop = loop_new() };

	f.a = loop_timer(f.loop, 1000000, on_timer, &f);
	assert_int_equal(loop_run(f.loop), 7);
	assert_int_equal(f.count, 3);
	loop_free(f.loop);
}

static void remove_both(void *arg, uint32_t events)
{
	struct fixture *f = arg;

	f->count++;
	loop_remove(f->a);
	loop_remove(f->b);
}

/* Both fds are ready in one turn; the first callback removes both, the second must not run. */
static void sources_may_remove_one_another(void **s)
{
	struct fixture f = { .loop = loop_new() };

	assert_int_equal(pipe(f.fds), 0);
	f.a = loop_fd(f.loop, f.fds[1], EPOLLOUT, remove_both, &f);
	f.b = loop_fd(f.loop, dup(f.fds[1]), EPOLLOUT, remove_both, &f);
	loop_once(f.loop, 1000);
	loop_once(f.loop, 0);
	assert_int_equal(f.count, 1);
	loop_free(f.loop);
	close(f.fds[0]);
	close(f.fds[1]);
	close(f.fds[1] + 1);
}

static void on_signal(void *arg, int signo)
{
	struct fixture *f = arg;

	f->count = signo;
	loop_stop(f->loop, 1);
}

static void signals_come_through_the_loop(void **s)
{
	struct fixture f = { .loop = loop_new() };

	loop_signal(f.loop, SIGUSR1, on_signal, &f);
	raise(SIGUSR1);
	assert_int_equal(loop_run(f.loop), 1);
	assert_int_equal(f.count, SIGUSR1);
	loop_free(f.loop);
}

/* A peer that hung up is not reported while nothing is waited for, and is afterwards. */
static void on_hup(void *arg, uint32_t events)
{
	struct fixture *f = arg;

	f->count++;
	loop_fd_events(f->a, 0);
}

static void silence_means_silence(void **s)
{
	struct fixture f = { .loop = loop_new() };

	assert_int_equal(pipe(f.fds), 0);
	f.a = loop_fd(f.loop, f.fds[0], EPOLLIN, on_hup, &f);
	close(f.fds[1]);
	for (int i = 0; i < 3; i++)
		loop_once(f.loop, 0);
	assert_int_equal(f.count, 1);
	loop_fd_events(f.a, EPOLLIN);
	loop_once(f.loop, 0);
	assert_int_equal(f.count, 2);
	loop_free(f.loop);
	close(f.fds[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(timers_can_be_armed_again),
		cmocka_unit_test(sources_may_remove_one_another),
		cmocka_unit_test(signals_come_through_the_loop),
		cmocka_unit_test(silence_means_silence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
