/* SPDX-License-Identifier: Apache-2.0 */
/* Whether the host ports of a machine's forwards are free, asked before QEMU would fail with less of an explanation. */
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/portfree.h"
#include "base/units.h"
#include "internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

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
	return port_check_free(what, &l, err);
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
	return l.at.v4.sin_port ? port_check_free(what, &l, err) : 0; /* 0: QEMU takes any */
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
