/* SPDX-License-Identifier: Apache-2.0 */
/* Whether the host ports of a machine's forwards are free, asked before QEMU would fail with less of an explanation. */
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "internal.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define TABLE_MAX (16u << 20)

struct forward {
	bool udp;
	struct sockaddr_in at;
};

/* "tcp:127.0.0.1:8080-:80", the host side of it (QEMU documentation, -netdev user, hostfwd). */
static int parse(const char *text, struct forward *f, struct error **err)
{
	char proto[8] = "", host[64] = "";
	unsigned port = 0;
	const char *host_end, *rest = strchr(text, ':');

	*f = (struct forward){ .at.sin_family = AF_INET };
	if (rest && rest - text < (ptrdiff_t)sizeof(proto))
		memcpy(proto, text, (size_t)(rest - text));
	host_end = rest ? strchr(rest + 1, ':') : NULL;
	if (host_end && host_end - rest - 1 < (ptrdiff_t)sizeof(host))
		memcpy(host, rest + 1, (size_t)(host_end - rest - 1));
	f->udp = !strcmp(proto, "udp");
	if (!host_end || (strcmp(proto, "tcp") && strcmp(proto, "udp") && *proto) || sscanf(host_end + 1, "%u-", &port) != 1 ||
		port > 65535 || !strchr(host_end, '-') || (*host && inet_pton(AF_INET, host, &f->at.sin_addr) != 1)) {
		error_set(err, ERR_USAGE, "forward '%s': not understood", text);
		return error_hint(err, "write PROTOCOL:HOST-ADDRESS:HOST-PORT-GUEST-ADDRESS:GUEST-PORT, as tcp:127.0.0.1:8080-:80");
	}
	f->at.sin_port = htons((uint16_t)port);
	return 0;
}

/* The socket's inode from /proc/net/tcp or udp (proc(5)): the one bound to this port, on this address or on all. */
static uint64_t inode_of(const struct forward *f)
{
	_cleanup_fclose_ FILE *t = fopen(f->udp ? "/proc/net/udp" : "/proc/net/tcp", "re");
	char line[512];

	while (t && fgets(line, sizeof(line), t)) {
		unsigned addr, port, state;
		uint64_t inode;

		if (sscanf(line, " %*u: %x:%x %*x:%*x %x %*x:%*x %*x:%*x %*x %*u %*u %" SCNu64, &addr, &port, &state, &inode) == 4 &&
			port == ntohs(f->at.sin_port) && (f->udp || state == 10) &&
			(!addr || !f->at.sin_addr.s_addr || addr == f->at.sin_addr.s_addr))
			return inode;
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
static char *holder(const struct forward *f)
{
	uint64_t inode = inode_of(f);
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

static int check_port(const char *text, struct error **err)
{
	struct forward f;
	_cleanup_close_ int fd = -1;
	int one = 1, code = 0;
	char host[INET_ADDRSTRLEN] = "";

	if (parse(text, &f, err) < 0)
		return -1;
	if (!f.at.sin_port)
		return 0; /* QEMU takes any */
	fd = socket(AF_INET, (f.udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return error_errno(err, errno, "socket");
	if (!f.udp)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&f.at, sizeof(f.at)) < 0 || (!f.udp && listen(fd, 1) < 0))
		code = errno;
	if (!code)
		return 0;
	inet_ntop(AF_INET, &f.at.sin_addr, host, sizeof(host));
	error_errno(err, code, "port %s:%u for forward %s", host, ntohs(f.at.sin_port), text);
	if (code == EADDRINUSE) {
		_cleanup_free_ char *who = holder(&f);

		error_hint(err, "%s has it; end that or choose another port", who ? who : "another process");
	} else if (code == EACCES) {
		error_hint(err, "ports below 1024 need privileges; choose a higher one");
	}
	return -1;
}

int machine_check_ports(const struct machine_def *d, struct error **err)
{
	for (size_t i = 0; i < d->nnics; i++) {
		const struct machine_nic *n = &d->nics[i];

		for (size_t k = 0; !strcmp(n->net, "user") && k < n->forwards.len; k++)
			if (check_port(n->forwards.v[k], err) < 0)
				return -1;
	}
	return 0;
}
