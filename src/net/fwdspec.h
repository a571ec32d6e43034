/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A forward as people write it. "[PROTO:][HOST-ADDRESS:]PORT-NODE[:PORT]": a port of the host leads to a machine's; addresses of IPv6
 * in brackets.
 * "[PROTO:]NODE:PORT-127.0.0.1[:PORT]", the reverse: a port of the gateway, as NODE sees it (*: any machine), leads to one of the host's
 * loopback.
 */
#ifndef CROFT_NET_FWDSPEC_H
#define CROFT_NET_FWDSPEC_H

#include "base/error.h"
#include <jansson.h>
#include <netinet/in.h>
#include <stdbool.h>

struct forward_spec {
	bool udp, reverse, has_host; /* has_host: the address was written */
	char host[INET6_ADDRSTRLEN]; /* 127.0.0.1 when it was not */
	unsigned host_port, port;
	char *node; /* "*" only in the reverse */
};
/* node is new, NULL on error; the error has a hint that shows the form. */
int forward_spec_parse(const char *text, struct forward_spec *ret, struct error **err);
void forward_spec_clear(struct forward_spec *f);
/* As croft-net's requests and net.json have it; new. */
json_t *forward_spec_json(const struct forward_spec *f);

#endif
