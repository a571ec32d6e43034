/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CROFT_NET_FORWARDS_H
#define CROFT_NET_FORWARDS_H

#include "net/zone.h"

struct forward {
	bool udp, live; /* live: added by a request */
	uint32_t host;	/* the host's address, host byte order */
	uint16_t host_port, port;
	char *node;
	struct zone *zone; /* whose libslirp has it */
};

/* Those of net.json, in the place of former ones of its; live ones stay. A port that is taken is an error that says by whom. */
int forwards_load(struct net *n, const json_t *list, struct error **err);
void forwards_clear(struct net *n);
int forward_read(const json_t *j, struct forward *f, struct error **err);
/* {"proto":"tcp","host":"127.0.0.1","host_port":8080,"node":"sn","port":80}; proto and host may be absent. */
int forward_add(struct net *n, const json_t *j, struct error **err);
int forward_remove(struct net *n, const json_t *j, struct error **err); /* by proto, host, host_port */
json_t *forwards_json(const struct net *n, bool live);			/* live: only those */

#endif
