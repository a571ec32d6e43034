/* SPDX-License-Identifier: Apache-2.0 */
#include "call.h"

#include "base/cleanup.h"
#include "base/intr.h"
#include "base/loop.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* Credits go back in pieces of this size: one small frame for each two of data. */
#define CREDIT_STEP (128 * 1024)

void item_add(struct buf *b, uint8_t key, const void *p, size_t n)
{
	size_t len = 0;
	uint8_t *at = (uint8_t *)buf_reserve(b, FRAME_ITEM_HEADER + n);

	frame_item_add(at, FRAME_ITEM_HEADER + n, &len, key, p, n);
	b->len += len;
}

void item_str(struct buf *b, uint8_t key, const char *s)
{
	if (s)
		item_add(b, key, s, strlen(s));
}

void item_u32(struct buf *b, uint8_t key, uint32_t v)
{
	uint8_t p[4];

	frame_put32(p, v);
	item_add(b, key, p, sizeof(p));
}

static void send_frame(struct agent *a, const struct frame *f)
{
	uint8_t *p = (uint8_t *)buf_reserve(&a->out, FRAME_HEADER + f->length);

	frame_header(p, f);
	if (f->length)
		memcpy(p + FRAME_HEADER, f->data, f->length);
	a->out.len += FRAME_HEADER + f->length;
}

void call_send(struct call *c, uint8_t type, uint32_t value, const void *p, size_t n)
{
	if (c->open)
		send_frame(c->a, &(struct frame){ .type = type, .stream = c->id, .value = value,
					 .length = (uint32_t)n, .data = p });
}

size_t call_waiting(const struct call *c)
{
	return c->a->out.len - c->a->out_pos;
}

void call_credit(struct call *c, size_t n)
{
	c->consumed += n;
	if (c->consumed < CREDIT_STEP || !c->open)
		return;
	c->window += c->consumed;
	call_send(c, FRAME_CREDIT, (uint32_t)c->consumed, NULL, 0);
	c->consumed = 0;
}

/* SIGINT and SIGTERM are the call's for as long as it lasts, SIGWINCH too. */
static int take_signals(struct call *c, struct error **err)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGWINCH);
	pthread_sigmask(SIG_BLOCK, &set, &c->old_mask);
	c->sigfd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (c->sigfd >= 0)
		return 0;
	error_errno(err, errno, "signalfd");
	pthread_sigmask(SIG_SETMASK, &c->old_mask, NULL);
	return -1;
}

int call_begin(
	struct call *c, enum frame_kind kind, const struct buf *items, int timeout_ms, struct error **err)
{
	size_t done = 0;

	c->sigfd = -1;
	if (items->len > FRAME_OPEN_MAX)
		return error_set(err, ERR_USAGE, "%s: arguments longer than 1 MiB", c->what);
	/* What came since the last call: the guest may have gone and come back. */
	if (agent_io(c->a, NULL, NULL, 0, 0, err) < 0)
		return -1;
	if (!c->a->ready)
		return error_set(err, ERR_STATE, "%s: the guest program does not answer%s%s", c->what,
			c->a->text && *c->a->text ? ": " : "", c->a->text ? c->a->text : "");
	if (take_signals(c, err) < 0)
		return -1;
	c->id = c->a->next++;
	c->credit = c->window = FRAME_WINDOW;
	c->consumed = 0;
	c->open = true;
	c->over = false;
	c->deadline = timeout_ms < 0 ? 0 : loop_now() + (uint64_t)timeout_ms * 1000000;
	do {
		size_t n = items->len - done < FRAME_PAYLOAD ? items->len - done : FRAME_PAYLOAD;

		send_frame(c->a, &(struct frame){ .type = FRAME_OPEN,
					 .channel = done + n < items->len,
					 .stream = c->id,
					 .value = kind,
					 .length = (uint32_t)n,
					 .data = (const uint8_t *)items->data + done });
		done += n;
	} while (done < items->len);
	return 0;
}

static int signals(struct call *c, struct error **err)
{
	struct signalfd_siginfo si;

	while (read(c->sigfd, &si, sizeof(si)) == sizeof(si)) {
		if (c->on_signal) {
			if (c->on_signal(c, (int)si.ssi_signo, err) < 0)
				return -1;
		} else if (si.ssi_signo != SIGWINCH) {
			/* As the program's own handler would have noted it. */
			intr_signal = (int)si.ssi_signo;
			return error_set(err, ERR_INTR, "%s interrupted", c->what);
		}
	}
	return 0;
}

int call_turn(struct call *c, struct pollfd *fds, size_t n, bool wait, struct error **err)
{
	struct pollfd p[CALL_FDS + 1];
	int timeout = wait ? -1 : 0;

	if (c->deadline) {
		uint64_t now = loop_now(), left;

		if (now >= c->deadline)
			return error_set(err, ERR_TIMEOUT, "%s timed out", c->what);
		left = (c->deadline - now) / 1000000 + 1;
		if (wait)
			timeout = left > INT_MAX ? INT_MAX : (int)left;
	}
	for (size_t i = 0; i < n; i++)
		p[i] = fds[i];
	p[n] = (struct pollfd){ .fd = c->sigfd, .events = POLLIN };
	if (agent_io(c->a, c, p, n + 1, timeout, err) < 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		fds[i].revents = p[i].revents;
	return p[n].revents ? signals(c, err) : 0;
}

void call_end(struct call *c)
{
	struct error *ignored = NULL;

	if (c->open && !c->a->ended) {
		call_send(c, FRAME_CLOSE, 0, NULL, 0);
		c->open = false;
		agent_io(c->a, NULL, NULL, 0, 0, &ignored);
		error_clear(&ignored);
	}
	if (c->sigfd < 0)
		return;
	close(c->sigfd);
	c->sigfd = -1;
	pthread_sigmask(SIG_SETMASK, &c->old_mask, NULL);
}

int call_finish(struct call *c, struct error **err)
{
	while (!c->over)
		if (call_turn(c, NULL, 0, true, err) < 0)
			return -1;
	if (c->status != 0)
		return error_set(err, ERR_FAILED, "%s ended with status %u", c->what, c->status);
	return 0;
}
