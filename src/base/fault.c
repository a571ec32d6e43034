/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct {
	int op, how; /* op -1: any; how: errno, or -1 to die; 0: nothing asked for */
	unsigned long at, count[FAULT_NOPS], all;
} hook;

static void note(const char *line)
{
	int fd = open(getenv("CROFT_FAULT_COUNT"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	if (fd >= 0) {
		if (write(fd, line, strlen(line)) < 0)
			perror("CROFT_FAULT_COUNT");
		close(fd);
	}
}

static void report(void)
{
	char line[128];

	snprintf(line, sizeof(line), "write %lu fsync %lu rename %lu fork %lu any %lu\n",
		hook.count[FAULT_WRITE], hook.count[FAULT_FSYNC], hook.count[FAULT_RENAME],
		hook.count[FAULT_FORK], hook.all);
	note(line);
}

static void prepare(void)
{
	static const char *const ops[FAULT_NOPS] = { "write", "fsync", "rename", "fork", "qmp" };
	const char *spec = getenv("CROFT_FAULT");
	char op[16], how[16];

	hook.op = -1;
	if (getenv("CROFT_FAULT_COUNT"))
		atexit(report);
	if (!spec || sscanf(spec, "%15[a-z]:%lu:%15s", op, &hook.at, how) != 3)
		return;
	for (int i = 0; i < FAULT_NOPS; i++)
		if (!strcmp(op, ops[i]))
			hook.op = i;
	hook.how = !strcmp(how, "die") ? -1 : !strcmp(how, "EIO") ? EIO : ENOSPC;
}

int fault(enum fault_op op)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	unsigned long n, all, mine;

	pthread_once(&once, prepare);
	all = op == FAULT_QMP ? 0 : __atomic_add_fetch(&hook.all, 1, __ATOMIC_RELAXED);
	mine = __atomic_add_fetch(&hook.count[op], 1, __ATOMIC_RELAXED);
	if (!hook.how || (hook.op >= 0 && hook.op != (int)op))
		return 0;
	n = hook.op < 0 ? all : mine;
	if (n != hook.at)
		return 0;
	if (getenv("CROFT_FAULT_COUNT"))
		note("struck\n");
	if (hook.how < 0)
		kill(getpid(), SIGKILL);
	return hook.how;
}
