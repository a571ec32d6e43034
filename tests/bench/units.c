/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Both sides of the service managers' benchmark (pm.sh).
 *
 *	units FIFO ...		the unit: tells its pid and the time on the FIFO, keeps it open, waits for the signal that ends it
 *	units --meter FIFO	the meter: reads requests on stdin, one a line, and answers each with microseconds
 *		start N COMMAND	runs the command; until N units have told that they run
 *		stop COMMAND	runs it; until no unit is left (the FIFO's last writer has gone)
 *		kill N		N times: SIGKILL to a unit that has run for a while; from there to the start of its replacement; all N
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX 20000
#define GIVE_UP_MS 120000

struct record {
	int pid;
	int pad;
	long long at; /* ns */
};
static int pids[MAX];
static int npids;

static long long now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int unit(const char *fifo)
{
	struct record r = { getpid(), 0, now() };
	int fd = open(fifo, O_WRONLY);

	if (fd < 0 || write(fd, &r, sizeof(r)) != sizeof(r))
		return 1;
	for (;;)
		pause();
}

static int next(int fd, struct record *r)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	if (poll(&p, 1, GIVE_UP_MS) <= 0 || read(fd, r, sizeof(*r)) != sizeof(*r)) {
		fprintf(stderr, "units: no unit has started for long\n");
		return -1;
	}
	return 0;
}

static pid_t run(const char *command)
{
	pid_t pid = fork();

	if (pid == 0) {
		execl("/bin/sh", "sh", "-c", command, NULL);
		_exit(127);
	}
	return pid;
}

static int start(int fd, int n, const char *command)
{
	long long began = now();
	pid_t pid = run(command);
	struct record r;

	npids = 0;
	for (int i = 0; i < n; i++) {
		if (next(fd, &r) < 0)
			return -1;
		pids[npids++] = r.pid;
	}
	printf("%lld\n", (now() - began) / 1000);
	waitpid(pid, NULL, 0);
	return 0;
}

static int stop(int fd, const char *command)
{
	struct pollfd p = { .fd = fd, .events = 0 };
	long long began = now();
	pid_t pid = run(command);

	/* Only a hang-up is waited for. */
	if (poll(&p, 1, GIVE_UP_MS) <= 0) {
		fprintf(stderr, "units: some unit does not end\n");
		return -1;
	}
	printf("%lld\n", (now() - began) / 1000);
	waitpid(pid, NULL, 0);
	return 0;
}

static int kill_some(int fd, int n)
{
	for (int i = 0; i < n; i++) {
		struct timespec rest = { 0, 20000000 };
		long long began;
		struct record r;

		nanosleep(&rest, NULL);
		began = now();
		if (i >= npids || kill(pids[i], SIGKILL) < 0 || next(fd, &r) < 0)
			return -1;
		printf("%lld%c", (r.at - began) / 1000, i == n - 1 ? '\n' : ' ');
		pids[i] = r.pid;
	}
	return 0;
}

/* A reader that has seen the last writer go is told of that for ever: a new one is not. */
static int listen_on(const char *fifo, int old)
{
	int fd = open(fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (old >= 0)
		close(old);
	return fd;
}

static int meter(const char *fifo)
{
	int fd = listen_on(fifo, -1), r = 0;
	static char line[1 << 20]; /* commands that name all units */

	setvbuf(stdout, NULL, _IOLBF, 0);
	while (fd >= 0 && r == 0 && fgets(line, sizeof(line), stdin)) {
		char *end;

		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, "start ", 6) == 0) {
			long n = strtol(line + 6, &end, 10);

			r = n > MAX ? -1 : start(fd, (int)n, end);
		} else if (strncmp(line, "stop ", 5) == 0) {
			r = stop(fd, line + 5);
			fd = listen_on(fifo, fd);
		} else if (strncmp(line, "kill ", 5) == 0) {
			r = kill_some(fd, atoi(line + 5));
		} else {
			r = -1;
		}
	}
	return fd < 0 || r < 0;
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "--meter") == 0)
		return meter(argv[2]);
	return argc >= 2 ? unit(argv[1]) : 2;
}
