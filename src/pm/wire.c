/* SPDX-License-Identifier: Apache-2.0 */
/* No heap: the watcher uses it. */
#include "pm/wire.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(WIRE_FDS * sizeof(int))];
};

int wire_send(int sock, const struct wire *m, const void *more, size_t n, const int *fds, size_t nfds)
{
	struct iovec iov[2] = { { (void *)(uintptr_t)m, sizeof(*m) }, { (void *)(uintptr_t)more, n } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = n ? 2 : 1 };
	union control control = { 0 };
	long r;

	if (nfds > 0) {
		struct cmsghdr *cm;

		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		cm = CMSG_FIRSTHDR(&msg);
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(cm), fds, nfds * sizeof(int));
	}
	do
		r = sendmsg(sock, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -1 : 0;
}

long wire_recv(int sock, void *buf, size_t size, int *fds, size_t *nfds)
{
	struct iovec iov = { buf, size };
	union control control;
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
	long r;

	*nfds = 0;
	do
		r = recvmsg(sock, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return -1;
	for (struct cmsghdr *cm = CMSG_FIRSTHDR(&msg); cm; cm = CMSG_NXTHDR(&msg, cm)) {
		size_t n = (cm->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (cm->cmsg_level != SOL_SOCKET || cm->cmsg_type != SCM_RIGHTS)
			continue;
		memcpy(fds, CMSG_DATA(cm), n * sizeof(int));
		*nfds = n;
	}
	if (r > 0 && ((size_t)r < sizeof(struct wire) || (msg.msg_flags & MSG_TRUNC))) {
		while (*nfds > 0)
			close(fds[--*nfds]);
		errno = EPROTO;
		return -1;
	}
	return r;
}
