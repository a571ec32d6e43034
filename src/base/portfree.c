/* SPDX-License-Identifier: Apache-2.0 */
#include "base/portfree.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

bool listen_at_set(struct listen_at *l, const char *host, unsigned port)
{
	if (strchr(host, ':')) {
		l->at.v6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };
		return inet_pton(AF_INET6, host, &l->at.v6.sin6_addr) == 1;
	}
	l->at.v4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	return inet_pton(AF_INET, host, &l->at.v4.sin_addr) == 1;
}

static unsigned port_of(const struct listen_at *l)
{
	return ntohs(l->at.any.sa_family == AF_INET6 ? l->at.v6.sin6_port : l->at.v4.sin_port);
}

/* The inode in a line of /proc/net/tcp or udp (proc(5)) of a socket that is bound to this port, on this address or on all; 0: another. */
static uint64_t inode_in(const char *line, const struct listen_at *l)
{
	char addr[40];
	unsigned port, state, v4 = 0;
	uint64_t inode;

	if (sscanf(line, " %*u: %39[0-9A-F]:%x %*[0-9A-F]:%*x %x %*x:%*x %*x:%*x %*x %*u %*u %" SCNu64, addr, &port, &state, &inode) != 4 ||
		port != port_of(l) || (!l->udp && state != 10))
		return 0;
	/* An IPv6 socket may hold the port for IPv4 as well. */
	if (strlen(addr) > 8 || l->at.any.sa_family == AF_INET6)
		return inode;
	sscanf(addr, "%x", &v4);
	return !v4 || !l->at.v4.sin_addr.s_addr || v4 == l->at.v4.sin_addr.s_addr ? inode : 0;
}

static uint64_t inode_of(const struct listen_at *l)
{
	static const char *const tables[2][2] = { { "/proc/net/tcp", "/proc/net/tcp6" }, { "/proc/net/udp", "/proc/net/udp6" } };

	for (int i = 0; i < 2; i++) {
		_cleanup_fclose_ FILE *t = fopen(tables[l->udp][i], "re");
		char line[512];

		while (t && fgets(line, sizeof(line), t)) {
			uint64_t inode = inode_in(line, l);

			if (inode)
				return inode;
		}
	}
	return 0;
}

static bool has_socket(const char *pid, const char *want)
{
	_cleanup_free_ char *dir = xasprintf("/proc/%s/fd", pid);
	_cleanup_closedir_ DIR *d = opendir(dir);

	for (struct dirent *e; d && (e = readdir(d));) {
		_cleanup_free_ char *link = path_join(dir, e->d_name);
		char to[64];
		ssize_t n = readlink(link, to, sizeof(to) - 1);

		if (n <= 0)
			continue;
		to[n] = '\0';
		if (!strcmp(to, want))
			return true;
	}
	return false;
}

/* "process 123 (nginx)" as far as /proc shows it to us, or NULL. */
static char *holder(const struct listen_at *l)
{
	uint64_t inode = inode_of(l);
	_cleanup_free_ char *want = xasprintf("socket:[%" PRIu64 "]", inode);
	_cleanup_closedir_ DIR *d = inode ? opendir("/proc") : NULL;

	for (struct dirent *e; d && (e = readdir(d));) {
		_cleanup_free_ char *comm = NULL;
		_cleanup_buf_ struct buf b = BUF_INIT;
		_cleanup_error_ struct error *err = NULL;

		if (!isdigit((unsigned char)e->d_name[0]) || !has_socket(e->d_name, want))
			continue;
		comm = xasprintf("/proc/%s/comm", e->d_name);
		if (file_read(comm, 64, &b, &err) < 0)
			return xasprintf("process %s", e->d_name);
		return xasprintf("process %s (%.*s)", e->d_name, (int)strcspn(b.data, "\n"), b.data);
	}
	return NULL;
}

int port_check_free(const char *what, const struct listen_at *l, struct error **err)
{
	bool v6 = l->at.any.sa_family == AF_INET6;
	_cleanup_close_ int fd = socket(l->at.any.sa_family, (l->udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
	int one = 1, code = 0;
	char host[INET6_ADDRSTRLEN] = "";

	if (fd < 0)
		return error_errno(err, errno, "socket");
	if (!l->udp)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, &l->at.any, v6 ? sizeof(l->at.v6) : sizeof(l->at.v4)) < 0 || (!l->udp && listen(fd, 1) < 0))
		code = errno;
	if (!code)
		return 0;
	inet_ntop(l->at.any.sa_family, v6 ? (const void *)&l->at.v6.sin6_addr : &l->at.v4.sin_addr, host, sizeof(host));
	error_errno(err, code, "port %s:%u for %s", host, port_of(l), what);
	if (code == EADDRINUSE) {
		_cleanup_free_ char *who = holder(l);

		error_hint(err, "%s has it; end that or choose another port", who ? who : "another process");
	} else if (code == EACCES) {
		error_hint(err, "ports below 1024 need privileges; choose a higher one");
	}
	return -1;
}
