/* SPDX-License-Identifier: Apache-2.0 */
#include "net/stream.h"
#include "base/cleanup.h"
#include "base/mem.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

struct stream {
	int fd;
	struct loop_src *src;
	uint8_t *ring;
	size_t cap, at, len;
	void (*gone)(void *arg);
	void *arg;
};

static void on_client(void *arg, uint32_t events)
{
	struct stream *s = arg;
	char c[256];

	/* It says nothing more; the end of what it says is its end. */
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
		ssize_t n = recv(s->fd, c, sizeof(c), MSG_DONTWAIT);

		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
			s->gone(s->arg);
			return;
		}
	}
	if (events & EPOLLOUT)
		stream_push(s);
}

struct stream *stream_new(struct loop *loop, int fd, size_t capacity, void (*gone)(void *), void *arg)
{
	struct stream *s = xcalloc(1, sizeof(*s));

	s->fd = fd;
	s->cap = capacity;
	s->ring = xmalloc(capacity);
	s->gone = gone;
	s->arg = arg;
	s->src = loop_fd(loop, fd, EPOLLIN, on_client, s);
	return s;
}

void stream_free(struct stream *s)
{
	if (!s)
		return;
	loop_remove(s->src);
	close(s->fd);
	free(s->ring);
	free(s);
}

bool stream_room(const struct stream *s, size_t n)
{
	return s->cap - s->len >= n;
}

void stream_put(struct stream *s, const void *p, size_t n)
{
	size_t end = (s->at + s->len) % s->cap, first = s->cap - end < n ? s->cap - end : n;

	memcpy(s->ring + end, p, first);
	memcpy(s->ring, (const uint8_t *)p + first, n - first);
	s->len += n;
}

void stream_push(struct stream *s)
{
	while (s->len) {
		size_t first = s->cap - s->at < s->len ? s->cap - s->at : s->len;
		ssize_t n = send(s->fd, s->ring + s->at, first, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break; /* full, or gone: the loop says which */
		s->at = (s->at + (size_t)n) % s->cap;
		s->len -= (size_t)n;
	}
	loop_fd_events(s->src, s->len ? EPOLLIN | EPOLLOUT : EPOLLIN);
}
