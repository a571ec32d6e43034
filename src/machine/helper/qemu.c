/* SPDX-License-Identifier: Apache-2.0 */
#include "helper.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/strv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#define ARGV_MAX (4u << 20)

struct sockets {
	int fds[4 + HELPER_NETS_MAX];
	size_t n;
};

static void sockets_close(struct sockets *s)
{
	while (s->n)
		close(s->fds[--s->n]);
}

/*
 * The socket listens before QEMU exists, so nobody has to wait for QEMU to make it. It is moved to the number that the
 * command line names; everything else of ours is below HELPER_FD_QMP at this time.
 */
static int socket_at(struct sockets *s, const char *run, const char *name, int number, struct error **err)
{
	_cleanup_free_ char *path = path_join(run, name);
	_cleanup_close_ int fd = unix_listen(path, 16, err);

	if (fd < 0)
		return -1;
	if (dup3(fd, number, O_CLOEXEC) < 0)
		return error_errno(err, errno, "%s: cannot move to descriptor %d", path, number);
	s->fds[s->n++] = number;
	return 0;
}

/* What QEMU itself binds or connects to below run. */
static int run_at(struct sockets *s, const char *run, struct error **err)
{
	_cleanup_close_ int fd = open(run, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || dup3(fd, HELPER_FD_RUN, O_CLOEXEC) < 0)
		return error_errno(err, errno, "%s: cannot open", run);
	s->fds[s->n++] = HELPER_FD_RUN;
	return 0;
}

static int bind_sockets(struct sockets *s, const char *run, const struct strv *argv, struct error **err)
{
	if (socket_at(s, run, "qmp.sock", HELPER_FD_QMP, err) < 0 ||
		socket_at(s, run, "qemu-console.sock", HELPER_FD_CONSOLE, err) < 0 ||
		socket_at(s, run, "qemu-agent.sock", HELPER_FD_AGENT, err) < 0 || run_at(s, run, err) < 0)
		return -1;
	for (size_t i = 0; i < argv->len; i++) {
		char name[32];
		unsigned nic;

		if (sscanf(argv->v[i], "stream,id=net%u,", &nic) != 1)
			continue;
		if (nic >= HELPER_NETS_MAX)
			return error_set(err, ERR_FAILED, "%s: more than %d NICs", run, HELPER_NETS_MAX);
		snprintf(name, sizeof(name), "net%u.sock", nic);
		if (socket_at(s, run, name, HELPER_FD_NET + (int)nic, err) < 0)
			return -1;
	}
	return 0;
}

int helper_read_argv(const char *path, struct strv *argv, struct error **err)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (file_read(path, ARGV_MAX, &b, err) < 0)
		return -1;
	for (size_t i = 0; i < b.len; i += strlen(b.data + i) + 1)
		strv_add(argv, b.data + i);
	if (!argv->len)
		return error_set(err, ERR_FAILED, "%s: holds no command line", path);
	return 0;
}

/* Where QEMU runs: DIR/run, or the folder that DIR/run/cwd names. */
static char *working_dir(const char *run)
{
	_cleanup_free_ char *path = path_join(run, "cwd");
	_cleanup_error_ struct error *e = NULL;
	_cleanup_buf_ struct buf b = BUF_INIT;

	return file_exists(path) && file_read(path, 65536, &b, &e) == 0 ? buf_steal(&b) : xstrdup(run);
}

static int note_pid(const char *run, pid_t pid, struct error **err)
{
	_cleanup_free_ char *path = path_join(run, "qemu.pid");
	struct proc_id id;

	if (proc_id_of(pid, &id, err) < 0)
		return -1;
	return proc_id_write(path, &id, err);
}

static int start(const char *dir, struct qemu_child *q, struct error **err)
{
	_cleanup_free_ char *run = path_join(dir, "run"), *log = path_join(dir, "log/qemu.log"), *file = path_join(run, "argv");
	_cleanup_free_ char *cwd = working_dir(run);
	_cleanup_strv_ struct strv argv = STRV_INIT;
	_cleanup_(sockets_close) struct sockets s = { .n = 0 };
	_cleanup_close_ int logfd = -1;
	struct proc p = PROC_INIT;

	if (helper_read_argv(file, &argv, err) < 0 || sides_start(dir, &q->sides, err) < 0 || bind_sockets(&s, run, &argv, err) < 0)
		return -1;
	logfd = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	if (logfd < 0)
		return error_errno(err, errno, "%s", log);
	/* A session of its own, and no death signal: QEMU outlives us and is taken back by the next helper. */
	if (proc_spawn(&(struct proc_opts){ .argv = (const char *const *)argv.v, .cwd = cwd, .out = PROC_FD,
			       .err = PROC_FD, .out_fd = logfd, .err_fd = logfd, .keep_fds = s.fds,
			       .nkeep_fds = s.n, .detach = true },
		    &p, err) < 0)
		return -1;
	q->pid = p.pid;
	q->pidfd = STEAL_FD(p.pidfd);
	if (q->pidfd < 0 || note_pid(run, q->pid, err) < 0) {
		/* An unknown QEMU is worse than none. */
		p.detach = false;
		proc_release(&p);
		cleanup_close(&q->pidfd);
		return *err ? -1 : error_set(err, ERR_FAILED, "pidfd_open: needs Linux 5.3 or newer");
	}
	return 0;
}

int qemu_child_start(const char *dir, struct qemu_child *q, struct error **err)
{
	*q = (struct qemu_child){ .pidfd = -1 };
	if (start(dir, q, err) == 0)
		return 0;
	if (q->pid <= 0)
		sides_end(&q->sides);
	return -1;
}

int qemu_child_adopt(const char *dir, struct qemu_child *q, struct error **err)
{
	_cleanup_free_ char *path = path_join(dir, "run/qemu.pid");
	struct proc_id id;

	if (proc_id_read(path, &id, err) < 0)
		return -1;
	*q = (struct qemu_child){ .pid = id.pid, .pidfd = proc_id_open(&id), .adopted = true };
	if (q->pidfd < 0)
		return error_set(err, ERR_STATE, "%s: QEMU runs no longer", path);
	return 0;
}

char *qemu_child_end(struct qemu_child *q)
{
	char *how = NULL;
	int status;

	close(STEAL_FD(q->pidfd));
	while (!q->adopted && !how) {
		if (waitpid(q->pid, &status, 0) >= 0)
			how = xstrdup(proc_status_text(status));
		else if (errno != EINTR)
			break;
	}
	sides_end(&q->sides);
	return how ? how : xstrdup("ended, its exit status was not seen");
}
