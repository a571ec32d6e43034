/* SPDX-License-Identifier: Apache-2.0 */
#include "qemu/nbd.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/wait.h>

#define SERVE_MS 10000

/* Has the server ended? Then the error says so in its own words. */
static bool ended(const struct nbd_serve *s, struct proc *server, struct error **err)
{
	char text[512] = "";
	int status;
	ssize_t got;

	if (waitpid(server->pid, &status, WNOHANG) != server->pid)
		return false;
	got = read(server->err, text, sizeof(text) - 1);
	server->pid = 0;
	text[got > 0 ? got : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
	error_set(err, ERR_FAILED, "%s: qemu-nbd %s: %s", s->disk, proc_status_text(status), text);
	return true;
}

static struct nbd *connect_to(const struct nbd_serve *s, const char *sock, struct proc *server, struct error **err)
{
	for (int ms = 0; ms < SERVE_MS; ms += 5) {
		_cleanup_error_ struct error *e = NULL;
		struct nbd *c = file_exists(sock) ? nbd_connect(sock, "disk", s->bitmap, &e) : NULL;

		if (c) {
			unlink(sock);
			return c;
		}
		if (e && e->code == 0) {
			error_move(err, &e);
			return NULL;
		}
		if (ended(s, server, err))
			return NULL;
		poll(NULL, 0, 5);
	}
	error_set(err, ERR_TIMEOUT, "%s: qemu-nbd does not answer in %d s", s->disk, SERVE_MS / 1000);
	return NULL;
}

struct nbd *nbd_serve(const struct nbd_serve *s, struct proc *server, struct error **err)
{
	/* By a descriptor of the folder, since the path of a socket can't be long. */
	_cleanup_close_ int fd = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_free_ char *sock = path_join(s->dir, s->sock), *path_there = xasprintf("/proc/self/fd/%d/%s", fd, s->sock);
	const char *argv[20] = { "qemu-nbd", "-t", "-x", "disk", "-k", path_there };
	size_t n = 6;

	if (fd < 0) {
		error_errno(err, errno, "%s", s->dir);
		return NULL;
	}
	argv[n++] = s->rw ? "--discard=unmap" : "-r";
	if (s->rw)
		argv[n++] = "--detect-zeroes=unmap";
	if (s->bitmap) {
		argv[n++] = "-B";
		argv[n++] = s->bitmap;
	}
	if (s->snapshot) {
		argv[n++] = "-l";
		argv[n++] = s->snapshot;
	}
	argv[n++] = s->format ? "-f" : "--image-opts";
	if (s->format)
		argv[n++] = s->format;
	argv[n++] = s->disk;
	argv[n] = NULL;
	unlink(sock);
	if (proc_spawn(&(struct proc_opts){ .argv = argv, .err = PROC_PIPE, .keep_fds = &fd, .nkeep_fds = 1, .die_with_us = true }, server,
		    err) < 0) {
		if ((*err)->cls == ERR_NOT_FOUND)
			error_hint(err, "install the package qemu-utils");
		return NULL;
	}
	return connect_to(s, sock, server, err);
}
