/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linked into a pm for tests (--wrap): its clocks. PM_CLOCK_SPEED: the monotonic clock and all waiting go so many times as fast.
 * PM_CLOCK_JUMP: a file with the seconds by which the wall clock is wrong, looked at each time.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

int __real_clock_gettime(clockid_t id, struct timespec *t);
int __wrap_clock_gettime(clockid_t id, struct timespec *t);
int __wrap_epoll_wait(int fd, struct epoll_event *ev, int n, int ms);
int __wrap_nanosleep(const struct timespec *t, struct timespec *left);

static long long speed(void)
{
	static long long known;
	const char *v = getenv("PM_CLOCK_SPEED");

	if (!known)
		known = v && atoll(v) > 0 ? atoll(v) : 1;
	return known;
}

static long long wrong_by(void)
{
	const char *path = getenv("PM_CLOCK_JUMP");
	char text[32] = "";
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;

	if (fd < 0)
		return 0;
	if (read(fd, text, sizeof(text) - 1) < 0)
		*text = '\0';
	close(fd);
	return atoll(text);
}

int __wrap_clock_gettime(clockid_t id, struct timespec *t)
{
	int rc = __real_clock_gettime(id, t);
	__int128 ns;

	if (rc == 0 && id == CLOCK_REALTIME)
		t->tv_sec += wrong_by();
	if (rc < 0 || id != CLOCK_MONOTONIC)
		return rc;
	ns = ((__int128)t->tv_sec * 1000000000 + t->tv_nsec) * speed();
	t->tv_sec = (time_t)(ns / 1000000000);
	t->tv_nsec = (long)(ns % 1000000000);
	return 0;
}

static struct timespec real(long long ns)
{
	ns = (ns + speed() - 1) / speed();
	return (struct timespec){ ns / 1000000000, ns % 1000000000 };
}

int __wrap_epoll_wait(int fd, struct epoll_event *ev, int n, int ms)
{
	struct timespec t = real((long long)ms * 1000000);

	return epoll_pwait2(fd, ev, n, ms < 0 ? NULL : &t, NULL);
}

int __wrap_nanosleep(const struct timespec *t, struct timespec *left)
{
	struct timespec r = real((long long)t->tv_sec * 1000000000 + t->tv_nsec);

	return clock_nanosleep(CLOCK_MONOTONIC, 0, &r, left) ? -1 : 0;
}
