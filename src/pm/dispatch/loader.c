/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A command stream from any source to a pm. The source may go on for ever (a program that watches something else and says what
 * is to be done); answers are read beside it and only counted, but for failures.
 */
#include "base/cleanup.h"
#include "base/mem.h"
#include "pm/dispatch/dispatch.h"
#include "pm/pm.h"
#include "pm/pm_main.h"
#include "pm/stream.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct loader {
	struct client_conn conn;
	struct buf in;
	unsigned long number; /* of the line */
	unsigned long open;   /* answers that are to come */
	bool refused;
};

static void refuse(struct loader *l, unsigned long number, const char *why)
{
	fprintf(stderr, "pm: line %lu: %s\n", number, why);
	l->refused = true;
}

/* "@NUMBER = STATUS TEXT" ends one; all else is of no interest here. */
static void answer(struct loader *l, const char *line)
{
	unsigned long number;
	int status, at = 0;

	if (sscanf(line, "@%lu = %d %n", &number, &status, &at) < 2)
		return;
	l->open -= l->open > 0;
	if (status)
		refuse(l, number, line + at);
}

/* Waits up to timeout_ms for the first, takes all that are there. -1: pm has gone. */
static int answers(struct loader *l, int timeout_ms, struct error **err)
{
	for (;; timeout_ms = 0) {
		_cleanup_error_ struct error *e = NULL;
		char *line;
		int r = client_next(&l->conn, &line, timeout_ms, &e);

		if (r > 0) {
			answer(l, line);
			continue;
		}
		if (r < 0 && e->cls == ERR_TIMEOUT)
			return 0;
		if (r < 0)
			return error_move(err, &e);
		return error_set(err, ERR_FAILED, "pm ended before the commands did");
	}
}

static int send_line(struct loader *l, const char *text, size_t n, struct error **err)
{
	_cleanup_strv_ struct strv words = STRV_INIT, tagged = STRV_INIT;
	_cleanup_error_ struct error *e = NULL;
	char tag[24];

	l->number++;
	if (n > PM_LINE_MAX) {
		refuse(l, l->number, "longer than a line may be");
		return 0;
	}
	if (stream_split(text, n, &words, &e) < 0) {
		refuse(l, l->number, e->msg);
		return 0;
	}
	if (!words.len)
		return 0;
	snprintf(tag, sizeof(tag), "@%lu", l->number);
	strv_add(&tagged, tag);
	for (size_t i = 0; i < words.len; i++)
		strv_add(&tagged, words.v[i]);
	l->open++;
	return client_send(&l->conn, (const char *const *)tagged.v, tagged.len, NULL, err);
}

static int whole_lines(struct loader *l, bool last, struct error **err)
{
	char *at = l->in.data, *end = at + l->in.len, *nl;

	while (at < end && ((nl = memchr(at, '\n', (size_t)(end - at))) || last)) {
		size_t n = (size_t)((nl ? nl : end) - at);

		if (send_line(l, at, n, err) < 0)
			return -1;
		at += n + (nl != NULL);
		if (l->open >= 64 && answers(l, 0, err) < 0)
			return -1;
	}
	buf_consume(&l->in, (size_t)(at - l->in.data));
	if (l->in.len > 16 * PM_LINE_MAX)
		return error_set(err, ERR_FAILED, "line %lu has no end", l->number + 1);
	return 0;
}

/* 1: more may come. */
static int read_some(struct loader *l, int fd, const char *source, struct error **err)
{
	ssize_t n = read(fd, buf_reserve(&l->in, 65536), 65536);

	if (n < 0)
		return errno == EINTR || errno == EAGAIN ? 1 : error_errno(err, errno, "%s", source);
	l->in.len += (size_t)n;
	return whole_lines(l, n == 0, err) < 0 ? -1 : n > 0;
}

static int run(struct loader *l, int fd, const char *source, struct error **err)
{
	int r = 1;

	while (r > 0) {
		struct pollfd p[2] = { { .fd = fd, .events = POLLIN }, { .fd = l->conn.fd, .events = POLLIN } };

		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return error_errno(err, errno, "poll");
		if (p[1].revents && answers(l, 0, err) < 0)
			return -1;
		if (p[0].revents)
			r = read_some(l, fd, source, err);
	}
	while (r == 0 && l->open)
		r = answers(l, 3600 * 1000, err);
	return r;
}

int loader_run(const char *source, const char *home, struct error **err)
{
	static const char *const defer[] = { "defer" };
	struct loader l = { .in = BUF_INIT };
	struct open_source s;
	int r = client_open(&l.conn, home, err);

	if (r == 0)
		r = client_send(&l.conn, defer, 1, NULL, err) < 0 || client_follow(&l.conn, NULL, false, -1, err) ? -1 : 0;
	if (r == 0 && (r = source_open(source, &s, err)) == 0) {
		_cleanup_error_ struct error *e = NULL;

		r = run(&l, s.fd, source, err);
		if (source_close(&s, &e) < 0 && r == 0)
			r = error_move(err, &e);
	}
	client_close(&l.conn);
	buf_free(&l.in);
	return r < 0 ? -1 : l.refused ? ERR_USAGE : 0;
}
