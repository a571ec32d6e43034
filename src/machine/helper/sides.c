/* SPDX-License-Identifier: Apache-2.0 */
/* Programs that serve one machine beside QEMU: swtpm, virtiofsd. Each ends by itself when QEMU's connection to it does. */
#include "helper.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#define END_MS 2000

static int start_one(const char *dir, size_t n, const struct strv *argv, struct side *s, struct error **err)
{
	int number = HELPER_FD_SIDE + (int)n;
	_cleanup_free_ char *name = xasprintf("run/side-%zu.sock", n), *sock = path_join(dir, name), *log = path_join(dir, "log/side.log");
	_cleanup_close_ int fd = unix_listen(sock, 4, err), logfd = -1;
	struct proc p = PROC_INIT;

	if (fd < 0)
		return -1;
	logfd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | (n ? 0 : O_TRUNC), 0600);
	if (logfd < 0)
		return error_errno(err, errno, "%s", log);
	if (dup3(fd, number, O_CLOEXEC) < 0)
		return error_errno(err, errno, "%s: cannot move to descriptor %d", sock, number);
	cleanup_close(&fd);
	fd = number;
	/* As QEMU: it outlives us. */
	if (proc_spawn(&(struct proc_opts){ .argv = (const char *const *)argv->v, .cwd = dir, .out = PROC_FD, .err = PROC_FD,
			       .out_fd = logfd, .err_fd = logfd, .keep_fds = &number, .nkeep_fds = 1, .detach = true },
		    &p, err) < 0)
		return -1;
	*s = (struct side){ .pid = p.pid, .pidfd = STEAL_FD(p.pidfd) };
	return 0;
}

int sides_start(const char *dir, struct sides *s, struct error **err)
{
	for (s->n = 0; s->n < HELPER_SIDES_MAX; s->n++) {
		_cleanup_free_ char *name = xasprintf("run/side-%zu", s->n), *path = path_join(dir, name);
		_cleanup_strv_ struct strv argv = STRV_INIT;

		if (!file_exists(path))
			return 0;
		if (helper_read_argv(path, &argv, err) < 0 || start_one(dir, s->n, &argv, &s->v[s->n], err) < 0)
			return -1;
	}
	return 0;
}

void sides_end(struct sides *s)
{
	while (s->n) {
		struct side *one = &s->v[--s->n];

		if (one->pidfd < 0 || poll(&(struct pollfd){ .fd = one->pidfd, .events = POLLIN }, 1, END_MS) <= 0)
			kill(one->pid, SIGKILL);
		while (waitpid(one->pid, NULL, 0) < 0 && errno == EINTR)
			;
		cleanup_close(&one->pidfd);
	}
}
