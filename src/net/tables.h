/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CROFT_NET_TABLES_H
#define CROFT_NET_TABLES_H

#include "net/zone.h"

/* A page of what the zone's router knows: port maps, flows through NAT, flows that the filter of IPv6 lets in; empty without a router. */
json_t *table_op(const struct zone *z, const json_t *request);

#endif
