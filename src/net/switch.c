/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The switch. Each port's MAC and address are fixed by the group, so there is nothing to learn and
 * no table that a guest could fill: a frame that its sender may not send (guard.c) is dropped and counted.
 */
#include "net/capture.h"
#include "net/faults.h"
#include "net/guard.h"
#include "net/ip.h"
#include "net/kernel.h"
#include "net/zone.h"

#include <string.h>

struct port *zone_by_mac(const struct zone *z, const uint8_t mac[6])
{
	for (struct port *p = z->ports; p; p = p->next)
		if (!memcmp(p->mac, mac, 6))
			return p;
	return NULL;
}

struct port *zone_by_ip(const struct zone *z, uint32_t ip)
{
	for (struct port *p = z->ports; p; p = p->next)
		if (p->ip == ip)
			return p;
	return NULL;
}

/* Machines in a bridge of the kernel's have heard each other; from others it takes one frame for all. */
static void flood_bridge(struct zone *z, const struct port *from, const uint8_t *f, size_t len)
{
	for (struct port *p = z->ports; p; p = p->next)
		if (p != from && p->kind != PORT_MACHINE)
			port_send(p, f, len);
	if (from->kind != PORT_MACHINE)
		kernel_send(z, f, len);
}

static void flood(struct zone *z, const struct port *from, const uint8_t *f, size_t len)
{
	if (z->tap) {
		flood_bridge(z, from, f, len);
		return;
	}
	for (struct port *p = z->ports; p; p = p->next)
		if (p != from)
			port_send(p, f, len);
}

void zone_forward(struct zone *z, struct port *from, const uint8_t *f, size_t len)
{
	struct port *to;

	if (f[0] & 1) {
		flood(z, from, f, len);
		return;
	}
	to = zone_by_mac(z, f);
	if (z->tap && to && to->kind == PORT_MACHINE && from->kind == PORT_MACHINE)
		return; /* the bridge has done it */
	if (to && to != from)
		port_send(to, f, len);
}

void zone_input(struct zone *z, struct port *from, const uint8_t *f, size_t len)
{
	uint32_t *origin = &z->net->origin, was = *origin;

	if (len < ETH_BYTES)
		return;
	if (from->kind == PORT_MACHINE && !guard_allows(from, f, len)) {
		from->spoofed++;
		if (z->net->captures)
			capture_frame(z->net, from, CAPTURE_FROM, f, len, "dropped: not the machine's own address");
		return;
	}
	/* Of a tap it has been seen already, see kernelwatch.c. */
	if (z->net->captures && !from->tap)
		capture_frame(z->net, from, CAPTURE_FROM, f, len, NULL);
	/* What a router leads on stays that of the machine that sent it. */
	if (!was)
		*origin = from->id;
	if (from->links[FAULT_OUT])
		link_input(from->links[FAULT_OUT], *origin, f, len);
	else
		zone_forward(z, from, f, len);
	*origin = was;
}
