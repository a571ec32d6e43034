/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ping by IPv6 out to the host's network, which libslirp does not do: each machine's ping has a ping socket of the kernel's, for which
 * no privileges are needed where net.ipv4.ping_group_range lets this process have one (icmp(7); most distributions do).
 */
#ifndef CROFT_NET_PING6_H
#define CROFT_NET_PING6_H

#include "net/zone.h"

/* A packet that leads out of the zone. true: it was a ping that has gone; false: it was none, or it can't go. */
bool ping6_out(struct zone *z, const uint8_t *h, size_t n);
void pings6_tick(struct net *n); /* each second: ends what is over */
void pings6_forget_zone(struct net *n, const struct zone *z);
void pings6_free(struct net *n);

#endif
