/* SPDX-License-Identifier: Apache-2.0 */
#include "group/guard.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* `croft vm show` finds the journal of what was interrupted. */
static void look_at(const char *machine)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		execl("/proc/self/exe", "croft", "vm", "show", machine, (char *)NULL);
		_exit(127);
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
}

/* Holds nothing of its parent's: neither locks, which would keep the machines from being looked at, nor its output. */
static _Noreturn void stand_by(int fd, const struct strv *machines)
{
	int null = open("/dev/null", O_RDWR);
	char end;

	setsid();
	for (int i = 0; i < 3 && null >= 0; i++)
		dup2(null, i);
	dup2(fd, 3);
	close_range(4, ~0u, 0);
	fcntl(3, F_SETFD, FD_CLOEXEC);
	if (read(3, &end, 1) == 1)
		_exit(0);
	unsetenv("CROFT_FAULT"); /* it was our parent's */
	for (size_t i = 0; i < machines->len; i++)
		look_at(machines->v[i]);
	_exit(0);
}

void guard_begin(struct guard *g, const struct strv *machines)
{
	const char *fault = getenv("CROFT_FAULT");
	int p[2];

	*g = (struct guard){ .fd = -1 };
	if (fault && strncmp(fault, "qmp:", 4)) /* a sweep over what croft writes looks at what is left itself */
		return;
	if (pipe2(p, O_CLOEXEC) < 0) {
		log_debug("no process stands by: %s", strerror(errno));
		return;
	}
	fflush(NULL);
	g->pid = fork();
	if (g->pid == 0) {
		close(p[1]);
		stand_by(p[0], machines);
	}
	close(p[0]);
	g->fd = p[1];
	if (g->pid < 0) {
		log_debug("no process stands by: %s", strerror(errno));
		close(p[1]);
		*g = (struct guard){ .fd = -1 };
	}
}

void guard_end(struct guard *g)
{
	int status;

	if (!g->pid)
		return;
	if (write(g->fd, "", 1) < 0)
		log_debug("who stood by has gone");
	close(g->fd);
	while (waitpid(g->pid, &status, 0) < 0 && errno == EINTR)
		;
	*g = (struct guard){ .fd = -1 };
}
