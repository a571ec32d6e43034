/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "pm/machine.h"
#include "pm/pm_main.h"
#include "pm/stream.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

int client_open(struct client_conn *c, const char *home, struct error **err)
{
	_cleanup_free_ char *path = xasprintf("%s/socket", home);

	*c = (struct client_conn){ .fd = -1 };
	c->fd = unix_connect(path, err);
	if (c->fd >= 0)
		return 0;
	if ((*err)->code == ENOENT || (*err)->code == ECONNREFUSED) {
		error_set(err, ERR_STATE, "no pm runs for the home %s", home);
		error_hint(err, "start one: pm main --home %s --detach", home);
	}
	return -1;
}

void client_close(struct client_conn *c)
{
	if (c->fd >= 0)
		close(c->fd);
	buf_free(&c->in);
}

int client_send(struct client_conn *c, const char *const *words, size_t n, const int fds[3], struct error **err)
{
	_cleanup_buf_ struct buf line = BUF_INIT;
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(3 * sizeof(int))];
	} control = { 0 };
	struct iovec iov;
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t done;

	for (size_t i = 0; i < n; i++) {
		if (i)
			buf_addc(&line, ' ');
		stream_quote(&line, words[i]);
	}
	buf_addc(&line, '\n');
	iov = (struct iovec){ line.data, line.len };
	if (fds) {
		struct cmsghdr *cm;

		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control);
		cm = CMSG_FIRSTHDR(&msg);
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(3 * sizeof(int));
		memcpy(CMSG_DATA(cm), fds, 3 * sizeof(int));
	}
	while (line.len) {
		done = sendmsg(c->fd, &msg, MSG_NOSIGNAL);
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return error_errno(err, errno, "cannot send the command");
		buf_consume(&line, (size_t)done);
		iov = (struct iovec){ line.data, line.len };
		msg.msg_control = NULL;
		msg.msg_controllen = 0;
	}
	return 0;
}

static long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

volatile sig_atomic_t client_signal;

int client_next(struct client_conn *c, char **ret, int timeout_ms, struct error **err)
{
	long until = timeout_ms >= 0 ? now_ms() + timeout_ms : 0;
	char *nl;

	while (c->at == c->in.len || !(nl = memchr(c->in.data + c->at, '\n', c->in.len - c->at))) {
		struct pollfd p = { .fd = c->fd, .events = POLLIN };
		long left = timeout_ms >= 0 ? until - now_ms() : -1;
		ssize_t n;

		if (timeout_ms >= 0 && left < 0)
			left = 0;
		n = poll(&p, 1, client_signal ? 0 : (int)left);
		if (n <= 0 && client_signal)
			return error_set(err, ERR_INTR, "interrupted; the command goes on");
		if (n == 0)
			return error_set(err, ERR_TIMEOUT, "no end within %d.%d s; the command goes on", timeout_ms / 1000,
				timeout_ms % 1000 / 100);
		if (n < 0 && errno == EINTR)
			continue;
		buf_consume(&c->in, c->at);
		c->at = 0;
		n = read(c->fd, buf_reserve(&c->in, 65536), 65536);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_errno(err, errno, "cannot read the answer");
		if (n == 0)
			return 0;
		c->in.len += (size_t)n;
	}
	*nl = '\0';
	*ret = c->in.data + c->at;
	c->at = (size_t)(nl - c->in.data) + 1;
	return **ret;
}

int client_follow(struct client_conn *c, struct buf *data, bool progress, int timeout_ms, struct error **err)
{
	char *line, *text;
	int mark, status;

	while ((mark = client_next(c, &line, timeout_ms, err)) > 0) {
		text = line + (line[1] ? 2 : 1);
		if (mark == '-' && data) {
			buf_adds(data, text);
			buf_addc(data, '\n');
		} else if (mark == ':' && progress) {
			fprintf(stderr, "%s\n", text);
		} else if (mark == '=') {
			status = (int)strtol(text, &text, 10);
			if (status)
				error_set(err, (enum error_class)status, "%s", *text ? text + 1 : "");
			return status;
		}
	}
	if (mark == 0)
		error_set(err, ERR_FAILED, "pm ended before the command did");
	return -1;
}

/* The parameters of a unit of that home; false: there is no such unit. */
static bool unit_of_home(const char *home, const char *id, struct params *ps)
{
	_cleanup_error_ struct error *e = NULL;
	_cleanup_buf_ struct buf path = BUF_INIT, text = BUF_INIT;

	buf_addf(&path, "%s/units/", home);
	home_name(&path, id);
	buf_adds(&path, "/parameter");
	return file_read(path.data, 1 << 20, &text, &e) == 0 && params_parse(buf_str(&text), text.len, ps, &e) == 0;
}

bool client_has_unit(const char *home, const char *id)
{
	_cleanup_params_ struct params ps = PARAMS_INIT;

	return unit_of_home(home, id, &ps);
}

int client_address(char **home, char **address, struct error **err)
{
	for (int depth = 0; depth < 32; depth++) {
		_cleanup_params_ struct params whole = PARAMS_INIT;
		bool found = false;

		if (unit_of_home(*home, *address, &whole))
			return 0;
		for (char *dot = strchr(*address, '.'); dot && !found; dot = strchr(dot + 1, '.')) {
			_cleanup_free_ char *first = xstrndup(*address, (size_t)(dot - *address));
			_cleanup_params_ struct params ps = PARAMS_INIT;
			const char *type, *root;

			if (!unit_of_home(*home, first, &ps) || !(type = params_get(&ps, "type")) || strcmp(type, "pm") != 0)
				continue;
			root = params_get(&ps, "root");
			free(*home);
			*home = xasprintf("%s%s", root ? root : "", params_get(&ps, "home"));
			memmove(*address, dot + 1, strlen(dot + 1) + 1);
			found = true;
			break;
		}
		if (!found) /* the pm that is asked says that it is not there */
			return 0;
	}
	return error_set(err, ERR_USAGE, "%s: more than 32 pms deep", *address);
}
