/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A way into a group's network for browsers: SOCKS5 (RFC 1928, CONNECT, without authentication) and HTTP CONNECT on one port. Names
 * are resolved inside.
 */
#ifndef CROFT_NET_PROXY_H
#define CROFT_NET_PROXY_H

#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>

struct proxy;
/* Listens on "ADDRESS:PORT" (port 0: any). zone NULL: that of each machine. `verbose`: each connection is told in the log. */
struct proxy *proxy_new(const char *dir, const char *listen, const char *zone, struct error **err);
unsigned proxy_port(const struct proxy *p);
/* Until a signal (base/intr.h; success) or the network's end. */
int proxy_run(struct proxy *p, struct error **err);
void proxy_free(struct proxy *p);

/*
 * The request at the begin of a connection: how many bytes it takes and what it asks for; 0: more are needed, -1: no such request.
 * A SOCKS5 greeting has no host and answers itself.
 */
struct proxy_request {
	enum { PROXY_GREETING, PROXY_SOCKS, PROXY_HTTP } kind;
	char host[256];
	unsigned port;
	bool acceptable; /* else what is asked for is not done here */
};
int proxy_parse(const unsigned char *p, size_t n, bool greeted, struct proxy_request *ret);

#endif
