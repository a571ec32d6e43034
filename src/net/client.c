/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/proc.h"
#include "net/net.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

#define START_MS 10000
#define REQUEST_MS 5000
#define STOP_MS 5000
#define LOG_MAX (1 << 20)

int net_process(const char *dir, struct proc_id *id, struct error **err)
{
	_cleanup_free_ char *path = path_join(dir, "net.pid");

	return proc_id_read(path, id, err);
}

int net_running(const char *dir)
{
	_cleanup_error_ struct error *e = NULL;
	struct proc_id id;

	return net_process(dir, &id, &e) == 0 && proc_id_alive(&id);
}

/* What there is, but not more than to the line's end: something else may follow it. A pipe can't be looked into first. */
static ssize_t read_to_newline(int fd, struct buf *b)
{
	char *p = buf_reserve(b, 4096), *end;
	ssize_t n = recv(fd, p, 4096, MSG_PEEK);

	if (n < 0 && errno == ENOTSOCK) {
		n = read(fd, p, 1);
	} else if (n > 0) {
		end = memchr(p, '\n', (size_t)n);
		n = read(fd, p, end ? (size_t)(end - p) + 1 : (size_t)n);
	}
	if (n > 0) {
		b->len += (size_t)n;
		b->data[b->len] = '\0';
	}
	return n;
}

/* One line from fd into b, without its end; the time is for the whole line. */
static int read_line(int fd, int timeout_ms, struct buf *b, const char *what, struct error **err)
{
	uint64_t end = loop_now() + (uint64_t)timeout_ms * 1000000;

	for (;;) {
		struct pollfd f = { .fd = fd, .events = POLLIN };
		uint64_t now = loop_now();
		ssize_t n;

		if (now >= end || poll(&f, 1, (int)((end - now + 999999) / 1000000)) == 0)
			return error_set(
				err, ERR_TIMEOUT, "%s has not answered in %d ms", what, timeout_ms);
		n = read_to_newline(fd, b);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_errno(err, errno, "%s", what);
		if (n == 0)
			return error_set(err, ERR_FAILED, "%s ended without an answer", what);
		if (b->data[b->len - 1] == '\n') {
			b->data[--b->len] = '\0';
			return 0;
		}
	}
}

/* An answer {"ok":false,...} as the error that it stands for. */
static bool refused(const char *answer, struct error **err)
{
	json_t *j = json_loads(answer, 0, NULL);
	const json_t *cls = json_object_get(j, "class");
	const char *msg = json_string_value(json_object_get(j, "error")), *hint = json_string_value(json_object_get(j, "hint"));
	bool ok = json_is_true(json_object_get(j, "ok"));

	if (!ok) {
		error_set(err, json_is_integer(cls) ? (enum error_class)json_integer_value(cls) : ERR_FAILED, "%s", msg ? msg : answer);
		if (hint)
			error_hint(err, "%s", hint);
	}
	json_decref(j);
	return !ok;
}

static int connect_to(const char *dir, struct error **err)
{
	_cleanup_free_ char *path = path_join(dir, "control.sock");
	uint64_t end = loop_now() + (uint64_t)START_MS * 1000000;

	/* One that was killed and has been started anew is there before it listens. */
	for (;;) {
		struct error *e = NULL;
		int fd;

		if (!net_running(dir))
			return error_set(err, ERR_STATE, "network of %s: it does not run", dir);
		fd = unix_connect(path, &e);
		if (fd >= 0)
			return fd;
		if (loop_now() >= end) {
			*err = e;
			return -1;
		}
		error_clear(&e);
		poll(NULL, 0, 20);
	}
}

char *net_ask(int fd, const char *json, int timeout_ms, struct error **err)
{
	_cleanup_free_ char *line = xasprintf("%s\n", json);
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (file_write_all(fd, line, strlen(line), "the group's network process", err) < 0 ||
		read_line(fd, timeout_ms, &b, "the group's network process", err) < 0)
		return NULL;
	return refused(b.data, err) ? NULL : buf_steal(&b);
}

char *net_request(const char *dir, const char *json, int timeout_ms, struct error **err)
{
	_cleanup_close_ int fd = connect_to(dir, err);

	return fd < 0 ? NULL : net_ask(fd, json, timeout_ms, err);
}

int net_open(const char *dir, const char *json, int timeout_ms, struct error **err)
{
	_cleanup_free_ char *answer = NULL;
	int fd = connect_to(dir, err);

	if (fd < 0)
		return -1;
	answer = net_ask(fd, json, timeout_ms, err);
	if (answer)
		return fd;
	close(fd);
	return -1;
}

int net_configure(const char *dir, const char *json, struct error **err)
{
	_cleanup_free_ char *path = path_join(dir, "net.json"), *answer = NULL;
	_cleanup_error_ struct error *absent = NULL;
	_cleanup_buf_ struct buf old = BUF_INIT;

	/* Reading it again ends the connections to the outside: not without need. */
	if (file_read(path, (size_t)64 << 20, &old, &absent) == 0 && !strcmp(old.data, json))
		return 0;
	if (file_mkdirs(dir, 0700, err) < 0 || file_write(path, json, strlen(json), 0600, err) < 0)
		return -1;
	if (!net_running(dir))
		return 0;
	answer = net_request(dir, "{\"op\":\"reload\"}", REQUEST_MS, err);
	return answer ? 0 : -1;
}

/* The log of former runs is kept as long as it is small. */
static int open_log(const char *dir, struct error **err)
{
	_cleanup_free_ char *path = path_join(dir, "net.log");
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	if (fd < 0)
		return error_errno(err, errno, "%s", path);
	if (lseek(fd, 0, SEEK_END) > LOG_MAX && ftruncate(fd, 0) < 0) {
		close(fd);
		return error_errno(err, errno, "%s", path);
	}
	return fd;
}

bool net_answers(const char *dir)
{
	_cleanup_free_ char *path = path_join(dir, "net.pid");

	for (int i = 0; i < 3 && net_running(dir); i++) {
		_cleanup_error_ struct error *e = NULL;
		_cleanup_free_ char *answer = NULL;
		_cleanup_close_ int fd = -1;
		struct pollfd f = { .events = POLLIN };
		struct proc_id id;

		if (proc_id_read(path, &id, &e) == 0)
			fd = proc_id_open(&id);
		error_clear(&e);
		answer = net_request(dir, "{\"op\":\"status\"}", REQUEST_MS, &e);
		if (answer)
			return true;
		f.fd = fd;
		if (fd >= 0)
			poll(&f, 1, STOP_MS);
	}
	return net_running(dir);
}

int net_start(const char *dir, struct error **err)
{
	_cleanup_free_ char *program = NULL;
	_cleanup_proc_ struct proc p = PROC_INIT;
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_close_ int log = -1;
	_cleanup_error_ struct error *e = NULL;
	int status;

	if (net_answers(dir))
		return 0;
	program = path_libexec("croft-net", err);
	log = program ? open_log(dir, err) : -1;
	if (log < 0)
		return -1;
	if (proc_spawn(&(struct proc_opts){ .argv = (const char *[]){ program, dir, NULL },
			       .out = PROC_PIPE,
			       .err = PROC_FD,
			       .err_fd = log,
			       .detach = true },
		    &p, err) < 0 ||
		read_line(p.out, START_MS, &b, "the group's network process", err) < 0)
		return -1;
	if (!strcmp(b.data, "ok"))
		return 0;
	/* Another was started meanwhile, by pm or by somebody else. */
	if (net_answers(dir))
		return 0;
	/* Its exit status is the error's class. */
	if (proc_wait(&p, REQUEST_MS, &status, &e) < 0 || !WIFEXITED(status) || WEXITSTATUS(status) < ERR_FAILED)
		status = 0;
	return error_set(err, status ? (enum error_class)WEXITSTATUS(status) : ERR_FAILED, "the group's network does not start: %s", b.data);
}

/* Bridges and rules of the kernel engine, see kernel.h; this program knows nothing of them but where they are written down. */
static int clean_kernel(const char *dir, struct error **err)
{
	_cleanup_free_ char *names = path_join(dir, "kernel.bridges"), *program = NULL;

	if (!file_exists(names))
		return 0;
	program = path_libexec("croft-net", err);
	return program ? proc_run((const char *[]){ program, "--clean", dir, NULL }, REQUEST_MS * 4, NULL, NULL, err) : -1;
}

int net_stop(const char *dir, struct error **err)
{
	_cleanup_free_ char *path = path_join(dir, "net.pid"),
			    *sock = path_join(dir, "control.sock"), *faults = path_join(dir, "faults.json"),
			    *state = path_join(dir, "net.state");
	_cleanup_error_ struct error *e = NULL;
	_cleanup_close_ int fd = -1;
	struct proc_id id;

	if (proc_id_read(path, &id, &e) == 0 && (fd = proc_id_open(&id)) >= 0) {
		struct pollfd f = { .fd = fd, .events = POLLIN };

		kill(id.pid, SIGTERM);
		if (poll(&f, 1, STOP_MS) == 0) {
			unlink(path); /* else pm would start it again */
			kill(id.pid, SIGKILL);
			poll(&f, 1, STOP_MS);
		}
	}
	/* What a killed one left; without its pid none is started again. */
	if (file_unlink(path, err) < 0 || clean_kernel(dir, err) < 0)
		return -1;
	return file_unlink(sock, err) < 0 || file_unlink(faults, err) < 0 ||
			       file_unlink(state, err) < 0
		       ? -1
		       : 0;
}
