/* SPDX-License-Identifier: Apache-2.0 */
/* Push and pull: the streams of guest/tree.h to and from files. */
#include "guest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Wider than the first window: the port should never wait for a credit to travel back. */
#define PUSH_WINDOW (1024 * 1024)
#define CREDIT_STEP (128 * 1024)

struct push {
	struct tree_in *in;
	size_t consumed; /* since the last credit */
};

static void push_destroy(struct stream *s)
{
	struct push *p = s->data;

	tree_in_free(p->in);
	free(p);
}

static void push_data(struct guest *g, struct stream *s, const uint8_t *p, size_t n)
{
	struct push *push = s->data;
	struct tree_error e;

	if (tree_in_write(push->in, p, n, &e) < 0) {
		stream_error(g, s, e.code, e.text);
		return;
	}
	push->consumed += n;
	if (push->consumed < CREDIT_STEP)
		return;
	stream_credit(g, s, push->consumed);
	push->consumed = 0;
}

static void push_eof(struct guest *g, struct stream *s)
{
	struct push *push = s->data;
	struct tree_error e;

	if (tree_in_finish(push->in, &e) < 0)
		stream_error(g, s, e.code, e.text);
	else
		stream_exit(g, s, 0);
}

static const struct stream_ops push_ops = {
	.data = push_data, .eof = push_eof, .destroy = push_destroy
};

void push_open(struct guest *g, struct stream *s)
{
	char *path = stream_string(s, FRAME_K_PATH), *into = stream_string(s, FRAME_K_INTO);
	char *owner = stream_string(s, FRAME_K_OWNER);
	struct tree_in_opts o = { .into = into, .uid = (uid_t)-1, .gid = (gid_t)-1, .mode = -1,
		.mask = 07777, .dirs = stream_has(s, FRAME_K_TREE) };
	struct push *p = calloc(1, sizeof(*p));
	struct frame_item it;
	struct tree_error e;
	size_t pos = 0;

	if (stream_item(s, &pos, FRAME_K_MODE, &it) && it.length == 4)
		o.mode = (int)(frame_get32(it.data) & 07777);
	if (!p || !path || !*path) {
		stream_error(g, s, p ? EINVAL : ENOMEM, p ? "no destination" : "out of memory");
		free(p);
	} else if (owner && strcmp(owner, "keep") && owner_parse(owner, &o.uid, &o.gid) < 0) {
		stream_error(g, s, ENOENT, "no such user or group in the guest");
		free(p);
	} else {
		o.ids = owner && !strcmp(owner, "keep");
		p->in = tree_in_open(path, &o, &e);
		s->data = p;
		s->ops = &push_ops;
		if (p->in)
			stream_credit(g, s, PUSH_WINDOW - FRAME_WINDOW);
		else
			stream_error(g, s, e.code, e.text);
	}
	free(path);
	free(into);
	free(owner);
}

struct pull {
	struct tree_out *out;
};

static void pull_destroy(struct stream *s)
{
	struct pull *p = s->data;

	tree_out_free(p->out);
	free(p);
}

/* One frame a turn, so that other streams get their share. */
static void pull_run(struct guest *g, struct stream *s, const struct pollfd *fds, size_t nfds)
{
	struct pull *pull = s->data;
	struct tree_error e;
	ssize_t r;
	size_t n;
	uint8_t *p;

	/* tree_out_read() needs some room; a client that grants less waits for its own credit. */
	p = out_begin(g, s, &n);
	if (!p || n < 8192)
		return;
	r = tree_out_read(pull->out, p, n, &e);
	if (r > 0)
		out_end(g, s, 1, (size_t)r);
	else if (r == 0)
		stream_exit(g, s, 0);
	else
		stream_error(g, s, e.code, e.text);
}

static size_t pull_wait(struct guest *g, struct stream *s, struct pollfd *p, int *timeout_ms)
{
	if (s->credit >= 8192 && out_waiting(g) < OUT_BUSY)
		*timeout_ms = 0;
	return 0;
}

static const struct stream_ops pull_ops = {
	.wait = pull_wait, .run = pull_run, .destroy = pull_destroy
};

void pull_open(struct guest *g, struct stream *s)
{
	char *path = stream_string(s, FRAME_K_PATH);
	struct pull *p = calloc(1, sizeof(*p));
	struct tree_error e;

	if (!p || !path || !*path) {
		stream_error(g, s, p ? EINVAL : ENOMEM, p ? "no source" : "out of memory");
		free(p);
	} else {
		p->out = tree_out_open(path, stream_has(s, FRAME_K_TREE), stream_has(s, FRAME_K_ATTRS), &e);
		s->data = p;
		s->ops = &pull_ops;
		if (!p->out)
			stream_error(g, s, e.code, e.text);
	}
	free(path);
}
