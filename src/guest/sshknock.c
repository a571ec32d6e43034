/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting for an ssh server behind a forwarded port. QEMU's user network accepts at once, whatever
 * the guest does, and asks a guest whose network is not up yet again only after some 6 s: who keeps
 * to one connection that was begun too early loses those. So there is a new one now and then, and
 * the first on which a server speaks (RFC 4253, 4.2: it does so unasked) is the one. Once the guest
 * has refused one, its network is up: from then on a connection that is not refused has reached the
 * server, which needs no further ones, each of which would be a process of it, but time.
 */
#include "guest/ssh.h"

#include "base/cleanup.h"
#include "base/intr.h"
#include "base/loop.h"
#include "base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Fewer than a server's own limit of logins under way (sshd_config, MaxStartups: 10). */
#define AT_ONCE 8
#define MS 1000000ull
#define NEXT_NS (1500 * MS)           /* between two, while nothing is known of the guest */
#define NEXT_MAX_NS (5000 * MS)       /* the same when it takes long: a tenth of the time so far */
#define REFUSED_NEXT_NS (150 * MS)    /* after one that the guest has refused */
#define QEMU_GIVES_UP_NS (60000 * MS) /* later it is QEMU that has closed it, not the guest */
#define REACHED_NEXT_NS (10000 * MS)  /* after one that has reached a server */

struct knock {
	struct sockaddr_in to;
	struct pollfd fds[AT_ONCE]; /* fd -1: free */
	uint64_t since[AT_ONCE];
	size_t first; /* the one that is kept; AT_ONCE: none */
	uint64_t began;
	uint64_t up_until; /* for so long the guest's network is taken to be up */
	uint64_t next;     /* when the next one is due */
};

static void drop(struct knock *k, size_t i)
{
	cleanup_close(&k->fds[i].fd);
	k->fds[i].fd = -1;
	if (k->first == i)
		k->first = AT_ONCE;
}

static int refused(struct knock *k, size_t i, struct error **err)
{
	int code = errno;

	drop(k, i);
	return error_set(
		err, ERR_STATE, "127.0.0.1 port %u: %s", ntohs(k->to.sin_port), strerror(code));
}

/* One more connection in a free place. -1: nobody listens at the port. */
static int begin(struct knock *k, uint64_t now, struct error **err)
{
	int fd, one = 1;

	for (size_t i = 0; i < AT_ONCE; i++) {
		if (k->fds[i].fd >= 0)
			continue;
		fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (fd < 0)
			return error_errno(err, errno, "ssh: socket");
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		k->fds[i] = (struct pollfd){ .fd = fd, .events = POLLIN };
		k->since[i] = now;
		if (connect(fd, (struct sockaddr *)&k->to, sizeof(k->to)) < 0 &&
			errno != EINPROGRESS)
			return refused(k, i, err);
		if (k->first == AT_ONCE)
			k->first = i;
		return 0;
	}
	return 0;
}

/* 1: a server speaks on it. */
static int speaks(struct knock *k, size_t i, struct error **err)
{
	uint64_t now = loop_now();
	ssize_t n;
	char c;

	if (k->fds[i].fd < 0 || !k->fds[i].revents)
		return 0;
	n = recv(k->fds[i].fd, &c, 1, MSG_PEEK);
	if (n > 0)
		return 1;
	if (n < 0 && errno == ECONNREFUSED)
		return refused(k, i, err);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (now - k->since[i] < QEMU_GIVES_UP_NS) {
		k->up_until = now + REACHED_NEXT_NS;
		k->next = k->next > now + REFUSED_NEXT_NS ? now + REFUSED_NEXT_NS : k->next;
	}
	drop(k, i);
	return 0;
}

/* A place for one more: the oldest goes, but for the first, since some guests take long to say a
 * word. */
static void make_room(struct knock *k)
{
	size_t oldest = AT_ONCE;

	for (size_t i = 0; i < AT_ONCE; i++) {
		if (k->fds[i].fd < 0)
			return;
		if (i != k->first && (oldest == AT_ONCE || k->since[i] < k->since[oldest]))
			oldest = i;
	}
	drop(k, oldest);
}

static uint64_t until_next(const struct knock *k, uint64_t now)
{
	uint64_t tenth = (now - k->began) / 10;

	if (now < k->up_until)
		return REACHED_NEXT_NS;
	return tenth < NEXT_NS ? NEXT_NS : tenth > NEXT_MAX_NS ? NEXT_MAX_NS : tenth;
}

static int turn(struct knock *k, uint64_t end, struct error **err)
{
	uint64_t now = loop_now(), until;

	if (intr_check(err) < 0)
		return -1;
	if (now >= k->next) {
		k->next = now + until_next(k, now);
		make_room(k);
		if (begin(k, now, err) < 0)
			return -1;
	}
	until = k->next < end ? k->next : end;
	poll(k->fds, AT_ONCE, until > now ? (int)((until - now) / MS + 1) : 0);
	for (size_t i = 0; i < AT_ONCE; i++) {
		int rc = speaks(k, i, err);

		if (rc)
			return rc < 0 ? -1 : (int)i + 1;
	}
	return 0;
}

int ssh_knock(unsigned port, int timeout_ms, struct error **err)
{
	struct knock k = { .to = { .sin_family = AF_INET,
				   .sin_port = htons((uint16_t)port),
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) },
		.began = loop_now(),
		.first = AT_ONCE };
	uint64_t end = loop_now() + (uint64_t)timeout_ms * MS;
	int rc = 0, fd = -1;

	for (size_t i = 0; i < AT_ONCE; i++)
		k.fds[i].fd = -1;
	while (rc == 0 && loop_now() < end)
		rc = turn(&k, end, err);
	if (rc > 0)
		fd = STEAL_FD(k.fds[rc - 1].fd);
	for (size_t i = 0; i < AT_ONCE; i++)
		drop(&k, i);
	return rc ? fd
		  : error_set(err, ERR_TIMEOUT, "127.0.0.1 port %u: no ssh server has spoken yet",
			    port);
}
