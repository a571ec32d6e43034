/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CROFT_BASE_PORTFREE_H
#define CROFT_BASE_PORTFREE_H

#include "base/error.h"
#include <netinet/in.h>
#include <stdbool.h>

struct listen_at {
	bool udp;
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} at;
};

/* From an address of IPv4 or IPv6; false: it is none. */
bool listen_at_set(struct listen_at *l, const char *host, unsigned port);
/* Whether a socket could listen there now; else an error that says who has the port, as far as /proc shows it. what: for whom. */
int port_check_free(const char *what, const struct listen_at *l, struct error **err);

#endif
