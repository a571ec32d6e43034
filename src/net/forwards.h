/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CROFT_NET_FORWARDS_H
#define CROFT_NET_FORWARDS_H

#include "net/ip.h"
#include "net/zone.h"

struct forward {
	bool udp, live; /* live: added by a request */
	bool reverse;	/* from `port` of the gateway of `node` ("*": of any machine) to host_port of the host's loopback */
	uint32_t host;	/* the host's address, host byte order */
	bool v6;	/* or this one */
	uint8_t host6[16];
	uint16_t host_port, port;
	char *node;
	struct zone *zone; /* whose libslirp has it; of the reverse none */
};

/* Those of net.json, in the place of former ones of its; live ones stay. A port that is taken is an error that says by whom. */
int forwards_load(struct net *n, const json_t *list, struct error **err);
void forwards_clear(struct net *n);
int forward_read(const json_t *j, struct forward *f, struct error **err);
/* {"proto":"tcp","host":"127.0.0.1","host_port":8080,"node":"sn","port":80}; proto and host may be absent; "reverse":true. */
int forward_add(struct net *n, const json_t *j, struct error **err);
int forward_remove(struct net *n, const json_t *j, struct error **err); /* by proto, host, host_port; the reverse by proto, node, port */
/*
 * The reverse, packet by packet: one of the machine's to its gateway becomes one to the host's port (true: it is to go out), and what
 * comes back one from the port that the machine has asked.
 */
bool forward_out(const struct port *from, struct ip4 *p);
void forward_back(const struct port *to, struct ip4 *p);
json_t *forwards_json(const struct net *n, bool live);			/* live: only those */

#endif
