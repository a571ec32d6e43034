/* SPDX-License-Identifier: Apache-2.0 */
/* Where documents and command streams come from. */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "pm/dispatch/dispatch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define SOURCE_MAX (16 << 20)
#define SETTLE_MS 100 /* after a change: editors and copies make several */

static bool is_url(const char *s)
{
	return strncmp(s, "http://", 7) == 0 || strncmp(s, "https://", 8) == 0 || strncmp(s, "ftp://", 6) == 0;
}

bool source_is_path(const char *source)
{
	return strcmp(source, "-") != 0 && *source != '!' && !is_url(source);
}

static int read_fd(int fd, const char *what, struct buf *b, struct error **err)
{
	ssize_t n;

	while ((n = read(fd, buf_reserve(b, 65536), 65536)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_errno(err, errno, "%s", what);
		b->len += (size_t)n;
		b->data[b->len] = '\0';
		if (b->len > SOURCE_MAX)
			return error_set(err, ERR_FAILED, "%s: more than %d MiB", what, SOURCE_MAX >> 20);
	}
	return 0;
}

/* A program, and the end of the pipe that it prints into. Its own complaints go where ours do. */
static pid_t begin_program(const char *const *argv, const char *what, int *fd, struct error **err)
{
	int out[2], code;
	pid_t pid;

	if (pipe2(out, O_CLOEXEC) < 0) {
		error_errno(err, errno, "%s", what);
		return -1;
	}
	pid = fork();
	if (pid == 0) {
		dup2(out[1], 1);
		execvp(argv[0], (char *const *)argv);
		_exit(127);
	}
	code = errno;
	close(out[1]);
	*fd = out[0];
	if (pid > 0)
		return pid;
	close(out[0]);
	error_errno(err, code, "%s: fork", what);
	return -1;
}

/* What a program prints. Status 127: it does not exist. */
static int run_program(const char *const *argv, const char *what, struct buf *b, int *status, struct error **err)
{
	int fd, r;
	pid_t pid = begin_program(argv, what, &fd, err);

	if (pid < 0)
		return -1;
	r = read_fd(fd, what, b, err);
	close(fd);
	while (waitpid(pid, status, 0) < 0 && errno == EINTR)
		;
	return r;
}

static int command_failed(const char *command, int status, struct error **err)
{
	return error_set(err, ERR_FAILED, "!%s: it failed (%s %d)", command, WIFSIGNALED(status) ? "signal" : "status",
		WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

static int run_command(const char *command, struct buf *b, struct error **err)
{
	const char *argv[] = { "/bin/sh", "-c", command, NULL };
	int status = 0;

	if (run_program(argv, command, b, &status, err) < 0)
		return -1;
	return status ? command_failed(command, status, err) : 0;
}

static int fetch(const char *url, struct buf *b, struct error **err)
{
	const char *const with[][8] = { { "curl", "-fsSL", "--max-time", "60", "--", url, NULL },
		{ "wget", "-q", "-T", "60", "-O", "-", url, NULL } };
	int status = 127 << 8;

	for (size_t i = 0; i < ARRAY_SIZE(with) && WIFEXITED(status) && WEXITSTATUS(status) == 127; i++) {
		buf_clear(b);
		if (run_program(with[i], url, b, &status, err) < 0)
			return -1;
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127) {
		error_set(err, ERR_FAILED, "%s: neither curl nor wget is installed", url);
		return error_hint(err, "another way: '!COMMAND' that prints it");
	}
	if (status)
		return error_set(err, ERR_FAILED, "%s: could not be fetched", url);
	return 0;
}

int source_text(const char *source, struct buf *b, struct error **err)
{
	if (strcmp(source, "-") == 0)
		return read_fd(0, "standard input", b, err);
	if (*source == '!')
		return run_command(source + 1, b, err);
	if (is_url(source))
		return fetch(source, b, err);
	return file_read(source, SOURCE_MAX, b, err);
}

int source_open(const char *source, struct open_source *s, struct error **err)
{
	const char *argv[] = { "/bin/sh", "-c", source + 1, NULL };
	_cleanup_buf_ struct buf b = BUF_INIT;

	*s = (struct open_source){ .name = source };
	if (*source == '!')
		return (s->pid = begin_program(argv, source, &s->fd, err)) < 0 ? -1 : 0;
	if (is_url(source)) { /* whole or not at all */
		s->fd = memfd_create("pm-source", MFD_CLOEXEC);
		if (s->fd < 0)
			return error_errno(err, errno, "%s", source);
		if (fetch(source, &b, err) < 0 || file_write_all(s->fd, buf_str(&b), b.len, source, err) < 0)
			return -1;
		return lseek(s->fd, 0, SEEK_SET) < 0 ? -1 : 0;
	}
	s->fd = strcmp(source, "-") ? open(source, O_RDONLY | O_CLOEXEC) : 0;
	return s->fd < 0 ? error_errno(err, errno, "%s", source) : 0;
}

int source_close(struct open_source *s, struct error **err)
{
	int status = 0;

	if (s->fd > 0)
		close(s->fd);
	while (s->pid > 0 && waitpid(s->pid, &status, 0) < 0 && errno == EINTR)
		;
	return status ? command_failed(s->name + 1, status, err) : 0;
}

static int read_dir(const char *dir, struct document *d, struct error **err)
{
	_cleanup_closedir_ DIR *folder = opendir(dir);
	_cleanup_strv_ struct strv names = STRV_INIT;
	struct dirent *e;

	if (!folder)
		return error_errno(err, errno, "%s", dir);
	while ((e = readdir(folder))) {
		size_t n = strlen(e->d_name);

		if (e->d_name[0] != '.' && n > 3 && strcmp(e->d_name + n - 3, ".pm") == 0)
			strv_add(&names, e->d_name);
	}
	strv_sort(&names);
	for (size_t i = 0; i < names.len; i++) {
		_cleanup_free_ char *path = xasprintf("%s/%s", dir, names.v[i]);
		_cleanup_buf_ struct buf b = BUF_INIT;

		if (file_read(path, SOURCE_MAX, &b, err) < 0 || document_parse(d, buf_str(&b), b.len, path, err) < 0)
			return -1;
	}
	return 0;
}

int source_read(const char *source, struct document *d, struct error **err)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (*source != '!' && !is_url(source) && file_is_dir(source))
		return read_dir(source, d, err);
	if (source_text(source, &b, err) < 0)
		return -1;
	return document_parse(d, buf_str(&b), b.len, source, err);
}

static bool cannot_tell(const char *source)
{
	return *source == '!' || is_url(source);
}

int source_watch(const char *source, int *fd, struct error **err)
{
	_cleanup_free_ char *dir = xstrdup(source);
	char *slash = strrchr(dir, '/');

	*fd = -1;
	if (cannot_tell(source))
		return 0;
	/* Editors replace files: the directory tells of that too. */
	if (!file_is_dir(source)) {
		if (slash)
			slash[slash == dir] = '\0';
		else
			memcpy(dir, ".", *dir ? 2 : 1);
	}
	*fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (*fd >= 0 && inotify_add_watch(*fd, *dir ? dir : ".",
				IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_DELETE_SELF) >= 0)
		return 0;
	error_errno(err, errno, "%s: cannot be watched", dir);
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	return -1;
}

void source_wait(int fd, int every_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char events[4096];

	poll(&p, 1, fd < 0 ? every_ms : -1);
	if (fd < 0)
		return;
	do {
		while (read(fd, events, sizeof(events)) > 0)
			;
	} while (poll(&p, 1, SETTLE_MS) > 0);
}
