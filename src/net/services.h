/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Services that a zone's gateway offers by TCP at its own address: DNS (dnstcp.c) and UPnP's HTTP (upnp.c). TCP itself is libslirp's:
 * it takes such a connection to an address that no machine can have (the zone's broadcast address, which is the gateway's to those
 * outside of libslirp) and hands it to DIR/gateway.sock, where this process listens itself. Packet and connection come one right after
 * the other, so it is known which machine is at the other end. libslirp has this for IPv4 alone: what comes by IPv6 is given to it as
 * IPv4 from the machine's address there, and its answers are turned back.
 */
#ifndef CROFT_NET_SERVICES_H
#define CROFT_NET_SERVICES_H

#include "base/buf.h"
#include "net/ip.h"
#include "net/zone.h"

struct service_conn {
	struct services *all;
	const struct service *service; /* NULL: free */
	struct zone *zone;
	uint32_t ip; /* the machine's */
	int fd;
	struct loop_src *src;
	struct buf in, out;
	bool closing; /* when all is written */
	uint64_t until;
	void *data; /* the service's */
};

struct service {
	uint16_t port;
	bool (*offered)(const struct zone *z);
	void (*input)(struct service_conn *c); /* something was added to c->in; may add to c->out and set closing */
	void (*end)(struct service_conn *c);   /* frees c->data; NULL: none */
};
extern const struct service service_dns, service_upnp;

/* A machine's TCP packet to its gateway. true: it is a service's, and was taken. */
bool services_input(struct port *from, struct ip4 *p);
/* The same by IPv6, `n` bytes in all: DNS alone. from NULL: nobody's. */
bool services_input6(struct port *from, const uint8_t *h, size_t n);
/* What libslirp says at outside_service_address6. */
void services_answer6(struct zone *z, const uint8_t *ip, size_t n);
/* Writes what was added to c->out, which may end c. */
void services_flush(struct service_conn *c);
void services_end(struct service_conn *c);
void services_tick(struct net *n); /* each second: ends what is idle */
void services_forget_zone(struct net *n, const struct zone *z);
void services_free(struct net *n);

/* outside.c: what service connections need of libslirp. */
uint32_t outside_service_address(const struct zone *z);
uint32_t outside_service_address6(const struct zone *z); /* of what came by IPv6: no machine can have the zone's first address either */
int outside_offer(struct outside *o, uint32_t address, uint16_t port, const char *socket); /* -1: no */
void outside_service_input(struct outside *o, const uint8_t *ip, size_t len);

#endif
