/* SPDX-License-Identifier: Apache-2.0 */
#include "qemu/qmp.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/loop.h"
#include "base/mem.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#define LINE_MAX_BYTES (16u << 20)
#define EVENTS_MAX 64

struct qmp {
	int fd;
	char *sock;
	struct buf in;
	json_t *events; /* array */
	unsigned next_id;
};

static int ended(struct qmp *q, struct error **err)
{
	return error_set(err, ERR_STATE, "%s: QEMU closed the connection", q->sock);
}

/* One more piece of input. */
static int fill(struct qmp *q, uint64_t end, const char *waiting_for, struct error **err)
{
	for (;;) {
		struct pollfd p = { .fd = q->fd, .events = POLLIN };
		uint64_t now = loop_now();
		ssize_t n;
		int r;

		if (end && now >= end)
			return error_set(err, ERR_TIMEOUT, "%s: no answer to %s in time", q->sock, waiting_for);
		r = poll(&p, 1, end ? (int)((end - now + 999999) / 1000000) : -1);
		if (r < 0 && errno != EINTR)
			return error_errno(err, errno, "poll");
		if (r <= 0)
			continue;
		n = recv(q->fd, buf_reserve(&q->in, 65536), 65536, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return ended(q, err);
		q->in.len += (size_t)n;
		q->in.data[q->in.len] = '\0';
		return 0;
	}
}

/* The next object that QEMU sent, or NULL. */
static json_t *next_object(struct qmp *q, uint64_t end, const char *waiting_for, struct error **err)
{
	size_t seen = 0;

	for (;;) {
		char *nl = q->in.len > seen ? memchr(q->in.data + seen, '\n', q->in.len - seen) : NULL;
		json_error_t je;
		json_t *o;

		if (!nl) {
			seen = q->in.len;
			if (seen > LINE_MAX_BYTES) {
				error_set(err, ERR_FAILED, "%s: QEMU sent a line of over %u MiB", q->sock, LINE_MAX_BYTES >> 20);
				return NULL;
			}
			if (fill(q, end, waiting_for, err) < 0)
				return NULL;
			continue;
		}
		o = json_loadb(q->in.data, (size_t)(nl - q->in.data), 0, &je);
		buf_consume(&q->in, (size_t)(nl - q->in.data) + 1);
		if (!json_is_object(o)) {
			json_decref(o);
			error_set(err, ERR_FAILED, "%s: what QEMU sent is not QMP: %s", q->sock, o ? "no object" : je.text);
			return NULL;
		}
		return o;
	}
}

static void keep_event(struct qmp *q, json_t *o)
{
	if (json_array_size(q->events) == EVENTS_MAX)
		json_array_remove(q->events, 0);
	json_array_append(q->events, o);
}

static uint64_t deadline(int timeout_ms)
{
	return timeout_ms < 0 ? 0 : loop_now() + (uint64_t)timeout_ms * 1000000 + 1;
}

static int send_command(struct qmp *q, const char *command, json_t *args, unsigned id, struct error **err)
{
	json_t *o = json_pack("{s:s, s:i}", "execute", command, "id", (int)id);
	char *text;
	int rc = 0, failed = fault(FAULT_QMP);

	if (failed) {
		json_decref(o);
		return error_errno(err, failed, "%s: %s", q->sock, command);
	}
	if (o && args)
		json_object_set(o, "arguments", args);
	text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	json_decref(o);
	if (!text)
		return error_set(err, ERR_USAGE, "%s: not valid UTF-8", command);
	for (size_t at = 0, n = strlen(text); rc == 0 && at < n;) {
		ssize_t w = send(q->fd, text + at, n - at, MSG_NOSIGNAL);

		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0)
			rc = ended(q, err);
		else
			at += (size_t)w;
	}
	free(text);
	return rc;
}

static int await_answer(struct qmp *q, const char *command, unsigned id, uint64_t end, json_t **ret, struct error **err)
{
	for (;;) {
		json_t *o = next_object(q, end, command, err), *e;
		int rc = 0;

		if (!o)
			return -1;
		if (json_object_get(o, "event"))
			keep_event(q, o);
		/* Answers to an earlier command that was not waited for have another id. */
		if (json_object_get(o, "event") || json_integer_value(json_object_get(o, "id")) != (json_int_t)id) {
			json_decref(o);
			continue;
		}
		e = json_object_get(o, "error");
		if (e) {
			const char *desc = json_string_value(json_object_get(e, "desc"));

			rc = error_set(err, ERR_FAILED, "QEMU refused %s: %s", command, desc ? desc : "no reason given");
		} else if (ret) {
			*ret = json_incref(json_object_get(o, "return"));
		}
		json_decref(o);
		return rc;
	}
}

static int command_until(struct qmp *q, const char *command, json_t *args, uint64_t end, json_t **ret, struct error **err)
{
	unsigned id = q->next_id++;

	return send_command(q, command, args, id, err) < 0 ? -1 : await_answer(q, command, id, end, ret, err);
}

int qmp_send(struct qmp *q, const char *command, struct error **err)
{
	return send_command(q, command, NULL, q->next_id++, err);
}

int qmp_answer(struct qmp *q, int timeout_ms, struct error **err)
{
	return await_answer(q, "the last command", q->next_id - 1, deadline(timeout_ms), NULL, err);
}

struct qmp *qmp_connect(const char *sock, int timeout_ms, struct error **err)
{
	_cleanup_qmp_ struct qmp *q = xcalloc(1, sizeof(*q));
	uint64_t end = deadline(timeout_ms);
	json_t *greeting;
	bool is_qmp;

	q->sock = xstrdup(sock);
	q->events = json_array();
	q->fd = unix_connect(sock, err);
	if (q->fd < 0) {
		if ((*err)->code == ECONNREFUSED || (*err)->code == ENOENT)
			(*err)->cls = ERR_STATE;
		return NULL;
	}
	greeting = next_object(q, end, "the connection", err);
	if (!greeting) {
		if ((*err)->cls == ERR_TIMEOUT)
			error_hint(err, "another command may hold the monitor: it serves one at a time");
		return NULL;
	}
	is_qmp = json_object_get(greeting, "QMP") != NULL;
	json_decref(greeting);
	if (!is_qmp) {
		error_set(err, ERR_FAILED, "%s: who listens there does not speak QMP", sock);
		return NULL;
	}
	if (command_until(q, "qmp_capabilities", NULL, end, NULL, err) < 0)
		return NULL;
	return STEAL(q);
}

void qmp_free(struct qmp *q)
{
	if (!q)
		return;
	cleanup_close(&q->fd);
	buf_free(&q->in);
	json_decref(q->events);
	free(q->sock);
	free(q);
}

int qmp_command(struct qmp *q, const char *command, json_t *args, int timeout_ms, json_t **ret, struct error **err)
{
	return command_until(q, command, args, deadline(timeout_ms), ret, err);
}

int qmp_wait_event(struct qmp *q, const char *name, int timeout_ms, json_t **ret, struct error **err)
{
	uint64_t end = deadline(timeout_ms);

	for (;;) {
		json_t *o;

		for (size_t i = 0; i < json_array_size(q->events); i++) {
			const char *is = json_string_value(json_object_get(json_array_get(q->events, i), "event"));

			if (!is || strcmp(is, name))
				continue;
			if (ret)
				*ret = json_incref(json_array_get(q->events, i));
			json_array_remove(q->events, i);
			return 0;
		}
		o = next_object(q, end, name, err);
		if (!o)
			return -1;
		if (json_object_get(o, "event"))
			keep_event(q, o);
		json_decref(o);
	}
}
