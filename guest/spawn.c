/* SPDX-License-Identifier: Apache-2.0 */
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

int spawn_lookup(const char *name, const char *path, char *out, size_t size)
{
	int found = ENOENT;
	struct stat st;

	/* Ourselves, wherever we are installed. */
	if (strcmp(name, "croft-guest") == 0)
		name = "/proc/self/exe";
	if (strchr(name, '/')) {
		if ((size_t)snprintf(out, size, "%s", name) >= size) {
			errno = ENAMETOOLONG;
			return -1;
		}
		return 0; /* execve says what is wrong, after chdir */
	}
	while (*name && path && *path) {
		size_t n = strcspn(path, ":");

		if (n > 0 && (size_t)snprintf(out, size, "%.*s/%s", (int)n, path, name) < size) {
			if (access(out, X_OK) == 0 && stat(out, &st) == 0 && S_ISREG(st.st_mode))
				return 0;
			if (errno == EACCES)
				found = EACCES;
		}
		path += n;
		path += *path == ':';
	}
	errno = found;
	return -1;
}

/*
 * Runs in the child of a vfork: the parent's memory, so nothing but system calls and locals. Returns
 * the errno of what failed.
 */
static int child(const struct spawn *sp, const sigset_t *none, const char *const *sh_argv)
{
	const struct account *a = sp->account;
	struct sigaction dfl = { .sa_handler = SIG_DFL };

	setsid();
	if (sp->tty >= 0 && ioctl(sp->tty, TIOCSCTTY, 0) < 0)
		return errno;
	if (dup2(sp->in, 0) < 0 || dup2(sp->out, 1) < 0 || dup2(sp->err, 2) < 0)
		return errno;
	/* All other fds are CLOEXEC. dup2 onto itself would have kept the flag. */
	for (int fd = 0; fd < 3; fd++)
		fcntl(fd, F_SETFD, 0);
	for (int s = 1; s < NSIG; s++)
		sigaction(s, &dfl, NULL);
	sigprocmask(SIG_SETMASK, none, NULL);
	umask(022);
	if (a && (setgroups(a->ngroups, a->groups) < 0 || setresgid(a->gid, a->gid, a->gid) < 0 ||
			 setresuid(a->uid, a->uid, a->uid) < 0))
		return errno;
	if (sp->cwd && chdir(sp->cwd) < 0)
		return errno;
	execve(sp->path, (char *const *)(uintptr_t)sp->argv, (char *const *)(uintptr_t)sp->envp);
	if (errno == ENOEXEC) /* a script without #!, as execvp does */
		execve("/bin/sh", (char *const *)(uintptr_t)sh_argv,
			(char *const *)(uintptr_t)sp->envp);
	return errno;
}

static pid_t start(
	const struct spawn *sp, const sigset_t *none, const char *const *sh_argv, volatile int *failed)
{
	pid_t pid = vfork();

	if (pid == 0) {
		*failed = child(sp, none, sh_argv);
		_exit(127);
	}
	return pid;
}

pid_t spawn(const struct spawn *sp)
{
	volatile int failed = 0;
	sigset_t all, none, old;
	const char **sh_argv;
	size_t n = 0;
	pid_t pid;

	while (sp->argv[n])
		n++;
	sh_argv = calloc(n + 2, sizeof(*sh_argv));
	if (!sh_argv)
		return -1;
	sh_argv[0] = "sh";
	sh_argv[1] = sp->path;
	for (size_t i = 1; i < n; i++)
		sh_argv[i + 1] = sp->argv[i];
	sigfillset(&all);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &all, &old);
	pid = start(sp, &none, sh_argv, &failed);
	sigprocmask(SIG_SETMASK, &old, NULL);
	free(sh_argv);
	if (pid > 0 && failed) {
		/* It is a zombie that the loop reaps; nobody waits for its status. */
		errno = failed;
		return -1;
	}
	return pid;
}
