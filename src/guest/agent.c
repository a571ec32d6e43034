/* SPDX-License-Identifier: Apache-2.0 */
#include "call.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/intr.h"
#include "base/loop.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int flush(struct agent *a, struct error **err)
{
	while (a->out_pos < a->out.len) {
		/* MSG_NOSIGNAL: the helper's end is an error of ours, not our end. */
		ssize_t r = send(a->fd, a->out.data + a->out_pos, a->out.len - a->out_pos, MSG_NOSIGNAL);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0 && errno == EAGAIN)
			break;
		if (r < 0)
			return error_errno(err, errno, "machine's helper: write");
		a->out_pos += (size_t)r;
	}
	if (a->out_pos == a->out.len) {
		buf_clear(&a->out);
		a->out_pos = 0;
	} else if (a->out_pos > 4 * CALL_BUSY) {
		buf_consume(&a->out, a->out_pos);
		a->out_pos = 0;
	}
	return 0;
}

static int guest_error(struct call *c, const struct frame *f, struct error **err)
{
	_cleanup_free_ char *text = xstrndup((const char *)f->data, f->length);
	enum error_class cls = ERR_FAILED;
	int code = f->value < 4096 ? (int)f->value : EPROTO;

	/* It comes from the guest: nothing in it may drive the caller's terminal. */
	for (char *p = text; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	if (code == ENOENT)
		cls = ERR_NOT_FOUND;
	else if (code == ETIMEDOUT)
		cls = ERR_TIMEOUT;
	else if (code == EAGAIN)
		cls = ERR_STATE;
	c->open = false;
	c->over = true;
	error_set(err, cls, "guest: %s", *text ? text : strerror(code));
	(*err)->code = code;
	return -1;
}

static int stream_frame(struct call *c, const struct frame *f, struct error **err)
{
	switch (f->type) {
	case FRAME_DATA:
		if (f->length > c->window)
			return error_set(err, ERR_FAILED, "guest program sent more than it may");
		c->window -= f->length;
		return c->on_data ? c->on_data(c, f->channel, f->data, f->length, err) : 0;
	case FRAME_CREDIT:
		c->credit += f->value;
		return 0;
	case FRAME_EXIT:
		c->open = false;
		c->over = true;
		c->status = f->value;
		return 0;
	case FRAME_ERROR:
		return guest_error(c, f, err);
	default:
		return error_set(err, ERR_FAILED, "guest program: unexpected frame %u", f->type);
	}
}

static int state_frame(struct agent *a, const struct frame *f, struct error **err)
{
	free(a->text);
	a->text = xstrndup((const char *)f->data, f->value == FRAME_READY ? 0 : f->length);
	a->states++;
	a->ready = f->value == FRAME_READY;
	a->ended = f->value == FRAME_ENDED;
	if (a->ended)
		return error_set(err, ERR_STATE, "machine has ended%s%s", *a->text ? ": " : "",
			a->text);
	return 0;
}

static int take_frame(struct agent *a, struct call *c, const struct frame *f, struct error **err)
{
	if (f->type == FRAME_STATE && f->stream == 0)
		return state_frame(a, f, err);
	if (f->type == FRAME_HELLO && f->stream == 0) {
		/* A guest program without a helper between. */
		a->ready = true;
		if (f->value == FRAME_VERSION)
			return 0;
		return error_set(err, ERR_STATE,
			"guest program speaks protocol version %u, this croft speaks %u", f->value,
			FRAME_VERSION);
	}
	if (c && c->open && f->stream == c->id)
		return stream_frame(c, f, err);
	return 0; /* the tail of a stream that is over */
}

static int receive(struct agent *a, struct call *c, struct error **err)
{
	struct frame f;
	uint8_t *p;
	size_t n;
	ssize_t r;
	int got;

	p = frame_space(&a->in, &n);
	r = recv(a->fd, p, n, MSG_DONTWAIT);
	if (r < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (r < 0)
		return error_errno(err, errno, "machine's helper: read");
	if (r == 0) {
		a->ended = true;
		return error_set(err, ERR_STATE, "machine has ended: its helper closed the connection");
	}
	frame_filled(&a->in, (size_t)r);
	while ((got = frame_next(&a->in, &f)) > 0)
		if (take_frame(a, c, &f, err) < 0)
			return -1;
	if (got < 0) {
		a->ended = true;
		return error_set(err, ERR_FAILED, "machine's helper sent something that is no frame");
	}
	return 0;
}

int agent_io(struct agent *a, struct call *c, struct pollfd *fds, size_t n, int timeout_ms,
	struct error **err)
{
	struct pollfd p[CALL_FDS + 2];

	if (a->ended)
		return error_set(err, ERR_STATE, "machine has ended%s%s",
			a->text && *a->text ? ": " : "", a->text ? a->text : "");
	if (flush(a, err) < 0)
		return -1;
	p[0] = (struct pollfd){ .fd = a->fd,
		.events = (short)(POLLIN | (a->out_pos < a->out.len ? POLLOUT : 0)) };
	for (size_t i = 0; i < n; i++)
		p[i + 1] = fds[i];
	if (poll(p, n + 1, timeout_ms) < 0) {
		if (errno != EINTR)
			return error_errno(err, errno, "poll");
		if (intr_check(err) < 0)
			return -1;
		for (size_t i = 0; i <= n; i++)
			p[i].revents = 0;
	}
	for (size_t i = 0; i < n; i++)
		fds[i].revents = p[i + 1].revents;
	if (p[0].revents & (POLLIN | POLLHUP | POLLERR) && receive(a, c, err) < 0)
		return -1;
	return flush(a, err);
}

struct agent *agent_connect(const char *sock, int timeout_ms, struct error **err)
{
	_cleanup_agent_ struct agent *a = xcalloc(1, sizeof(*a));
	uint64_t end = loop_now() + (uint64_t)(timeout_ms < 0 ? 0 : timeout_ms) * 1000000;

	a->fd = unix_connect(sock, err);
	if (a->fd < 0)
		return NULL;
	a->next = 1;
	if (frame_decoder_init(&a->in, 4 * (size_t)FRAME_MAX) < 0) {
		error_errno(err, ENOMEM, "connect to the guest");
		return NULL;
	}
	fcntl(a->fd, F_SETFL, fcntl(a->fd, F_GETFL) | O_NONBLOCK);
	while (!a->ready) {
		uint64_t now = loop_now();

		if (timeout_ms >= 0 && now >= end) {
			error_set(err, ERR_TIMEOUT, "the guest program has not answered in %d.%d s",
				timeout_ms / 1000, timeout_ms % 1000 / 100);
			return NULL;
		}
		if (agent_io(a, NULL, NULL, 0,
			    timeout_ms < 0 ? -1 : (int)((end - now) / 1000000) + 1, err) < 0)
			return NULL;
	}
	return STEAL(a);
}

struct agent *agent_hold(const char *sock, int timeout_ms, struct error **err)
{
	_cleanup_agent_ struct agent *a = xcalloc(1, sizeof(*a));
	uint64_t end = loop_now() + (uint64_t)timeout_ms * 1000000;

	a->fd = unix_connect(sock, err);
	if (a->fd < 0)
		return NULL;
	if (frame_decoder_init(&a->in, 4 * (size_t)FRAME_MAX) < 0) {
		error_errno(err, ENOMEM, "connect to the helper");
		return NULL;
	}
	fcntl(a->fd, F_SETFL, fcntl(a->fd, F_GETFL) | O_NONBLOCK);
	buf_reserve(&a->out, FRAME_HEADER);
	a->out.len = frame_header((uint8_t *)a->out.data, &(struct frame){ .type = FRAME_STATE, .value = FRAME_WAITING });
	/* One STATE greets every client, the answer comes after it. */
	while (a->states < 2 || a->ready) {
		uint64_t now = loop_now();

		if (now >= end) {
			error_set(err, ERR_TIMEOUT, "machine's helper has not let go of the guest in %d ms", timeout_ms);
			return NULL;
		}
		if (agent_io(a, NULL, NULL, 0, (int)((end - now) / 1000000) + 1, err) < 0)
			return NULL;
	}
	return STEAL(a);
}

void agent_free(struct agent *a)
{
	if (!a)
		return;
	if (a->fd >= 0)
		close(a->fd); /* the other side closes what is open */
	frame_decoder_free(&a->in);
	buf_free(&a->out);
	free(a->text);
	free(a);
}
