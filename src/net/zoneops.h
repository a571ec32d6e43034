/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CROFT_NET_ZONEOPS_H
#define CROFT_NET_ZONEOPS_H

#include "net/zone.h"

/* The answer to a request about zones, or NULL: with an error it has failed, without one the operation is somebody else's. */
json_t *zone_op(struct net *n, const char *op, const json_t *request, struct error **err);
/* Where the zone leads and by which router; null: nowhere. */
json_t *zone_router_status(const struct zone *z);

#endif
