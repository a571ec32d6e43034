/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A TCP connection from inside the guest, joined to stdin and stdout: the way of ssh's ProxyCommand, of proxies and of the question
 * whether a port answers (status 0 with no input: it does). Addresses are numbers: a static program has no resolver.
 */
#include "guest.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int connected(const char *host, const char *port)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6 };
	struct sockaddr_in four = { .sin_family = AF_INET };
	char *end;
	long n = strtol(port, &end, 10);
	int fd, r;

	if (!*port || *end || n < 1 || n > 65535) {
		errno = EINVAL;
		return -1;
	}
	four.sin_port = six.sin6_port = htons((uint16_t)n);
	if (strcmp(host, "localhost") == 0)
		host = "127.0.0.1";
	if (inet_pton(AF_INET, host, &four.sin_addr) == 1) {
		fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		r = fd < 0 ? -1 : connect(fd, (struct sockaddr *)&four, sizeof(four));
	} else if (inet_pton(AF_INET6, host, &six.sin6_addr) == 1) {
		fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
		r = fd < 0 ? -1 : connect(fd, (struct sockaddr *)&six, sizeof(six));
	} else {
		errno = EINVAL;
		return -1;
	}
	return r < 0 ? -1 : fd;
}

static int write_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t r = write(fd, p, n);

		if (r < 0 && errno != EINTR)
			return -1;
		p += r > 0 ? r : 0;
		n -= r > 0 ? (size_t)r : 0;
	}
	return 0;
}

int relay(int fd, bool whole)
{
	static char buf[65536];
	struct pollfd p[2] = { { .fd = 0, .events = POLLIN }, { .fd = fd, .events = POLLIN } };

	while (poll(p, 2, -1) >= 0 || errno == EINTR) {
		ssize_t n;

		if (p[0].revents) {
			n = read(0, buf, sizeof(buf));
			if (n <= 0 && whole)
				return 0;
			if (n <= 0) {
				/* The other side may still have much to say. */
				shutdown(fd, SHUT_WR);
				p[0].fd = -1;
			} else if (write_all(fd, buf, (size_t)n) < 0) {
				return 1;
			}
		}
		if (p[1].revents) {
			n = read(fd, buf, sizeof(buf));
			if (n <= 0)
				return n < 0;
			if (write_all(1, buf, (size_t)n) < 0)
				return 1;
		}
	}
	return 1;
}

int relay_main(const char *host, const char *port)
{
	int fd = connected(host, port), one = 1;

	if (fd < 0) {
		fprintf(stderr, "%s port %s: %s\n", host, port, strerror(errno));
		return 1;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return relay(fd, false);
}
