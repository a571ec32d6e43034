/* SPDX-License-Identifier: Apache-2.0 */
#include "helper.h"

#include "base/cleanup.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/uio.h>

size_t outq_len(const struct outq *q)
{
	return q->b.len - q->off;
}

void outq_free(struct outq *q)
{
	buf_free(&q->b);
	q->off = 0;
}

static void keep(struct outq *q, const void *p, size_t n)
{
	if (!n)
		return;
	/* Moved down only when half of it is spent, so that each byte moves once on average. */
	if (q->off && q->off >= q->b.len / 2) {
		buf_consume(&q->b, q->off);
		q->off = 0;
	}
	buf_add(&q->b, p, n);
}

int outq_flush(struct outq *q, int fd)
{
	while (outq_len(q)) {
		ssize_t n = send(fd, q->b.data + q->off, outq_len(q), MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : -1;
		q->off += (size_t)n;
	}
	/* The memory of a burst is given back. */
	outq_free(q);
	return 0;
}

int outq_send(struct outq *q, int fd, const void *head, size_t nhead, const void *body, size_t nbody)
{
	struct iovec iov[2] = { { (void *)head, nhead }, { (void *)body, nbody } };
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = 2 };
	ssize_t n = 0;

	if (!outq_len(q)) {
		while ((n = sendmsg(fd, &m, MSG_NOSIGNAL)) < 0 && errno == EINTR)
			;
		if (n < 0 && errno != EAGAIN)
			return -1;
		if (n < 0)
			n = 0;
	}
	if ((size_t)n < nhead) {
		keep(q, (const char *)head + n, nhead - (size_t)n);
		n = 0;
	} else {
		n -= (ssize_t)nhead;
	}
	keep(q, (const char *)body + n, nbody - (size_t)n);
	return 0;
}

int helper_accept(int listener)
{
	return accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
}

int helper_connect(const char *path, struct error **err)
{
	int fd = unix_connect(path, err);

	if (fd >= 0)
		fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}
