/* SPDX-License-Identifier: Apache-2.0 */
#include "build/parallel.h"

#include "base/cleanup.h"
#include "base/intr.h"
#include "base/mem.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t begin(int (*fn)(void *item), void *item)
{
	pid_t parent = getpid(), pid;

	fflush(NULL);
	pid = fork();
	if (pid)
		return pid;
	/* not longer than the one that started it, which a kill -9 may end */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(1);
	/* lines of several builds must not be cut by one another */
	setvbuf(stdout, NULL, _IOLBF, 0);
	{
		int rc = fn(item);

		fflush(NULL);
		_exit(rc & 255);
	}
}

static void tell_all(const pid_t *pids, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (pids[i] > 0)
			kill(pids[i], intr_signal);
}

/* One that has ended; -1: none has. */
static long reap(pid_t *pids, size_t n, int *status)
{
	int st;
	pid_t pid = waitpid(-1, &st, 0);

	for (size_t i = 0; pid > 0 && i < n; i++)
		if (pids[i] == pid) {
			pids[i] = 0;
			status[i] = WIFSIGNALED(st) ? 128 + WTERMSIG(st) : WEXITSTATUS(st);
			return (long)i;
		}
	return -1;
}

int parallel_run(int (*fn)(void *item), void *items, size_t size, size_t n, unsigned most, int *status, struct error **err)
{
	_cleanup_free_ pid_t *pids = xcalloc(n + 1, sizeof(pid_t));
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	size_t next = 0, running = 0;
	bool told = false;
	int rc = 0;

	most = most ? most : cpus > 0 ? (unsigned)cpus : 1;
	while (running || (next < n && rc == 0 && !intr_signal)) {
		if (next < n && running < most && rc == 0 && !intr_signal) {
			pids[next] = begin(fn, (char *)items + next * size);
			if (pids[next] < 0)
				rc = error_errno(err, errno, "a process for a build");
			else
				running++;
			next++;
			continue;
		}
		if (intr_signal && !told) {
			tell_all(pids, n);
			told = true;
		}
		if (reap(pids, n, status) >= 0)
			running--;
		else if (errno == ECHILD)
			break;
	}
	for (; next < n; next++)
		status[next] = 1;
	return rc;
}
