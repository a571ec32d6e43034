/* SPDX-License-Identifier: Apache-2.0 */
/* Whether the host ports of a machine's forwards are free, asked before QEMU would fail with less of an explanation. */
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/units.h"
#include "internal.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define TABLE_MAX (16u << 20)

struct listen_at {
	bool udp;
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} at;
};

static unsigned port_of(const struct listen_at *l)
{
	return ntohs(l->at.any.sa_family == AF_INET6 ? l->at.v6.sin6_port : l->at.v4.sin_port);
}

/* "tcp:127.0.0.1:8080-:80", the host side of it (QEMU documentation, -netdev user, hostfwd). */
static int parse(const char *text, struct listen_at *f, struct error **err)
{
	char proto[8] = "", host[64] = "";
	unsigned port = 0;
	const char *host_end, *rest = strchr(text, ':');

	*f = (struct listen_at){ .at.v4.sin_family = AF_INET };
	if (rest && rest - text < (ptrdiff_t)sizeof(proto))
		memcpy(proto, text, (size_t)(rest - text));
	host_end = rest ? strchr(rest + 1, ':') : NULL;
	if (host_end && host_end - rest - 1 < (ptrdiff_t)sizeof(host))
		memcpy(host, rest + 1, (size_t)(host_end - rest - 1));
	f->udp = !strcmp(proto, "udp");
	if (!host_end || (strcmp(proto, "tcp") && strcmp(proto, "udp") && *proto) || sscanf(host_end + 1, "%u-", &port) != 1 ||
		port > 65535 || !strchr(host_end, '-') || (*host && inet_pton(AF_INET, host, &f->at.v4.sin_addr) != 1)) {
		error_set(err, ERR_USAGE, "forward '%s': not understood", text);
		return error_hint(err, "write PROTOCOL:HOST-ADDRESS:HOST-PORT-GUEST-ADDRESS:GUEST-PORT, as tcp:127.0.0.1:8080-:80");
	}
	f->at.v4.sin_port = htons((uint16_t)port);
	return 0;
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

static int check_free(const char *what, const struct listen_at *l, struct error **err)
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

int machine_check_listen(const char *what, const char *host, unsigned port, struct error **err)
{
	struct addrinfo *list = NULL, hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE };
	struct listen_at l = { 0 };
	int code = getaddrinfo(host, NULL, &hints, &list);

	if (code)
		return error_set(err, ERR_USAGE, "%s: address '%s': %s", what, host, gai_strerror(code));
	memcpy(&l.at, list->ai_addr, list->ai_addrlen < sizeof(l.at) ? list->ai_addrlen : sizeof(l.at));
	freeaddrinfo(list);
	if (l.at.any.sa_family == AF_INET6)
		l.at.v6.sin6_port = htons((uint16_t)port);
	else
		l.at.v4.sin_port = htons((uint16_t)port);
	return check_free(what, &l, err);
}

char *machine_forward_parse(const char *text, struct error **err)
{
	_cleanup_strv_ struct strv p = STRV_INIT;
	const char *proto = "tcp", *address = "127.0.0.1";
	uint64_t host, guest;
	size_t i = 0;

	strv_split(&p, text, ":");
	if (p.len && (!strcmp(p.v[0], "tcp") || !strcmp(p.v[0], "udp")))
		proto = p.v[i++];
	if (p.len == i + 3)
		address = p.v[i++];
	if (p.len != i + 2) {
		error_set(err, ERR_USAGE, "'%s' is not [tcp:|udp:][ADDRESS:]HOSTPORT:GUESTPORT", text);
		return NULL;
	}
	if (parse_u64("host port", p.v[i], 1, 65535, &host, err) < 0 || parse_u64("guest port", p.v[i + 1], 1, 65535, &guest, err) < 0)
		return NULL;
	return xasprintf("%s:%s:%u-:%u", proto, address, (unsigned)host, (unsigned)guest);
}

static int check_forward(const char *text, struct error **err)
{
	_cleanup_free_ char *what = xasprintf("forward %s", text);
	struct listen_at l;

	if (parse(text, &l, err) < 0)
		return -1;
	return port_of(&l) ? check_free(what, &l, err) : 0; /* 0: QEMU takes any */
}

int machine_check_ports(const struct machine_def *d, struct error **err)
{
	for (size_t i = 0; i < d->nnics; i++) {
		const struct machine_nic *n = &d->nics[i];

		for (size_t k = 0; !strcmp(n->net, "user") && k < n->forwards.len; k++)
			if (check_forward(n->forwards.v[k], err) < 0)
				return -1;
	}
	return 0;
}
