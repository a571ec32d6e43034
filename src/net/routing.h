/* SPDX-License-Identifier: Apache-2.0 */
/*
 * IPv4 through gateways and routers. A packet that is led on is in memory of its own (net_hop), with room for an Ethernet
 * header in front of it.
 */
#ifndef CROFT_NET_ROUTING_H
#define CROFT_NET_ROUTING_H

#include "net/ip.h"
#include "net/zone.h"

/*
 * Room for a frame of FRAME_MAX_BYTES while a packet goes through a router, for it may go through another before this one has
 * done: none is left (NULL) after HOPS_MAX of them. Given back by net_hop_end.
 */
uint8_t *net_hop(struct net *n);
void net_hop_end(struct net *n);

/* The time of the packet that is on its way: what becomes of it is the same when a recorded run is replayed. */
uint64_t net_now(const struct net *n);
/* Where a packet for dst goes next from a gateway or router that is at `self` in its zone; NULL: nowhere. */
struct port *route_next(const struct port *self, uint32_t dst);
/* Whether the zone, or one behind it without NAT, has that address. */
bool route_covers(const struct zone *z, uint32_t dst);
/* One hop less to live: false, and the sender is told, when it was the last. `mac`: where the packet came from in self's zone. */
bool route_age(struct port *self, const uint8_t *mac, struct ip4 *p);
/* Whether it fits into the zone, or may be cut; if not, the sender is told. */
bool route_fits(const struct zone *into, struct port *self, const uint8_t *mac, const struct ip4 *p);
/* Puts fragments together: true when p is whole, in its place. p must be in room for the largest packet (net_hop). */
bool route_whole(struct net *n, struct ip4 *p);
/* To the port, from self, in as many frames as it needs. */
void route_send(struct port *self, const struct port *to, struct ip4 *p);
/* An error about p from self to where it came from. */
void route_refuse(struct port *self, const uint8_t *mac, const struct ip4 *p, uint8_t type, uint8_t code, uint32_t extra);
/* Answers a ping to the address that it was sent to. */
void route_answer_ping(struct port *self, const uint8_t *mac, const struct ip4 *p);
/* Answers the question who has self's address. */
void route_answer_arp(struct port *self, const uint8_t *frame, size_t len);
/* From the gateway to the router of its zone and on. */
void router_out(struct router *r, const uint8_t *mac, struct ip4 *p);
/* Whether the packet answers what came in by a forward. */
bool outside_answers(const struct outside *o, const struct ip4 *p);
/* An IPv4 packet from the host's network (outside.c), into the zone. */
void gateway_from_outside(struct zone *z, const uint8_t *ip, size_t len);

#endif
