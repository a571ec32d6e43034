/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The other engine ("engine":"kernel" in net.json), for root: a zone is a bridge of the kernel's, a machine's NIC a tap in it, so that
 * frames among the machines of a zone go at the kernel's speed and not through this process. What crosses zones, and what gateways
 * answer, comes to it by a tap of its own in each bridge and is dealt with as ever. nftables keeps machines from sending as others.
 * There are no faults: those are links of this process, or netem where a kernel has it.
 *
 * Bridges and rules are named after DIR, so a killed process finds its own again. Taps of machines are QEMU's and go with it.
 */
#ifndef CROFT_NET_KERNEL_H
#define CROFT_NET_KERNEL_H

#include "net/zone.h"

/* "cb" and a hash of DIR and the zone's name; 15 bytes at most. */
void kernel_bridge_name(const struct zone *z, char ret[16]);
/* After a (new) configuration: makes what is missing, takes away what is no longer named. */
int kernel_begin(struct net *n, struct error **err);
/* Puts machines' taps that are there into their bridges. */
void kernel_attach(struct net *n);
void kernel_send(struct zone *z, const uint8_t *frame, size_t len); /* into the zone's bridge */
void kernel_zone_free(struct zone *z);				     /* its tap; the bridge stays */
/* Takes all of DIR's away, whether the process runs or was killed. */
int kernel_clean(const char *dir, struct error **err);
/* Counters of a machine's tap: frames and bytes that it sent and was sent. */
void kernel_counters(const struct port *p, uint64_t ret[4]);

#endif
