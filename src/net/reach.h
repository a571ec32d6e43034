/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ways in for one client of the control socket, gone when it is: {"op":"reach","to":"sn","port":80,"zone":"lan"} answers with a TCP
 * port of 127.0.0.1 that leads there. "to" is a name as the zone's machines know it, or an address; zone absent: that of the machine.
 */
#ifndef CROFT_NET_REACH_H
#define CROFT_NET_REACH_H

#include "net/zone.h"
#include <jansson.h>

struct reach; /* one client's; NULL is an empty one */
json_t *reach_op(struct net *n, struct reach **r, const json_t *request, struct error **err);
void reach_end(struct net *n, struct reach **r);

#endif
