/* SPDX-License-Identifier: Apache-2.0 */
/*
 * IPv6 of zones that have a prefix: machines make their addresses of it and of their MAC (RFC 4862), the gateway advertises it. Zones
 * are routed, never translated, but where they lead out to the host's network: what leaves there is a socket of the host's; behind a router with NAT a filter lets in only answers (RFC 6092).
 */
#ifndef CROFT_NET_IP6_H
#define CROFT_NET_IP6_H

#include "net/zone.h"

/* Prefix (64 bits) and MAC to an address (RFC 4291, appendix A). */
void ip6_address(const uint8_t prefix[16], const uint8_t mac[6], uint8_t ret[16]);
void ip6_link_local(const struct port *p, uint8_t ret[16]);
/* A packet of n bytes behind an Ethernet header's room in `frame`, from self to a MAC of its zone. */
void ip6_send(struct port *self, const uint8_t *mac, uint8_t *frame, size_t n);
/* From the host's network (outside.c), into the zone. */
void ip6_from_outside(struct zone *z, const uint8_t *ip, size_t n);
/* What is sent to a gateway's port or a router's outer side. */
void ip6_deliver(struct port *self, const uint8_t *frame, size_t len);
/* The gateway says who it is: to all, or to the one who asked. */
void ip6_advertise(struct zone *z, const uint8_t *mac);

#endif
