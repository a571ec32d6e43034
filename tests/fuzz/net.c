/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames into a zone with a router, NAT and everything that answers: ARP, IPv4, IPv6, ICMP, TCP, UDP, DHCP, DNS, NDP, PCP, SSDP. Each frame:
 * a byte (who sends it; what is put right, so that it gets further), two of length, bytes.
 */
#include "base/mem.h"
#include "net/faults.h"
#include "net/filter6.h"
#include "net/frag.h"
#include "net/ip.h"
#include "net/ip6.h"
#include "net/nat.h"
#include "net/zone.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct net net;
static struct zone wan, home;
static struct router router;
static struct port ports[6];

static struct port *put(struct zone *z, struct port *p, enum port_kind kind, const char *node, uint32_t ip)
{
	*p = (struct port){ .zone = z, .kind = kind, .node = xstrdup(node), .ip = ip, .fd = -1 };
	memcpy(p->mac, (uint8_t[]){ 0x52, 0x54, 0, 0, 0, (uint8_t)(p - ports) }, 6);
	strv_add(&p->names, node);
	p->has_ip6 = true;
	ip6_address(z->prefix6, p->mac, p->ip6);
	p->next = z->ports;
	z->ports = p;
	return p;
}

static void begin(void)
{
	struct nat_config c;

	net.loop = loop_new();
	net.dir = xstrdup("/nonexistent");
	net.faults = faults_new(&net);
	home = (struct zone){ .net = &net, .name = xstrdup("home"), .domain = xstrdup("g.croft"), .prefix = 0x0a010000, .mask = 0xffffff00,
		.gateway = 0x0a010001, .prefix_len = 24, .mtu = 1500, .v6 = true, .prefix6 = { 0xfd, 0, 0, 1 }, .next = &wan };
	wan = (struct zone){ .net = &net, .name = xstrdup("wan"), .domain = xstrdup("g.croft"), .prefix = 0x0a020000, .mask = 0xffffff00,
		.gateway = 0x0a020001, .prefix_len = 24, .mtu = 1300, .v6 = true, .prefix6 = { 0xfd, 0, 0, 2 } };
	net.zones = &home;
	put(&home, &ports[0], PORT_MACHINE, "a", 0x0a01000a);
	put(&home, &ports[1], PORT_MACHINE, "b", 0x0a01000b);
	home.gw = put(&home, &ports[2], PORT_GATEWAY, "gateway", home.gateway);
	put(&wan, &ports[3], PORT_MACHINE, "c", 0x0a02000a);
	router.outer = put(&wan, &ports[4], PORT_ROUTER, "home-router", 0x0a020009);
	wan.gw = put(&wan, &ports[5], PORT_GATEWAY, "gateway", wan.gateway);
	memcpy(home.gateway_mac, home.gw->mac, 6);
	memcpy(wan.gateway_mac, wan.gw->mac, 6);
	router.inside = &home;
	router.to = &wan;
	ports[4].router = home.router = &router;
	nat_config_init(&c);
	c.external = 0x0a020009;
	c.filtering = NAT_ADDRESS;
	c.max_flows = 4096;
	router.nat = nat_new(&c);
	router.filter6 = filter6_new();
	router.pcp = router.upnp = true;
	nat_map(router.nat, IPPROTO_UDP, 53, 0x0a01000a, 53, 0, 0);
}

static void mend6(uint8_t *f, size_t n, const struct port *from, bool gateway)
{
	uint8_t *h = f + ETH_BYTES, *t = h + IP6_BYTES, *sum;
	size_t len;

	if (n < ETH_BYTES + IP6_BYTES + 8)
		return;
	len = n - ETH_BYTES - IP6_BYTES;
	h[0] = 0x60;
	put16(h + 4, (uint16_t)len);
	memcpy(h + 8, from->ip6, 16);
	if (gateway)
		memcpy(h + 24, from->zone->gw->ip6, 16);
	sum = h[6] == IPPROTO_ICMPV6 ? t + 2 : h[6] == IPPROTO_UDP ? t + 6 : NULL;
	if (h[6] == IPPROTO_UDP)
		put16(t + 4, (uint16_t)len);
	if (sum) {
		put16(sum, 0);
		put16(sum, inet_checksum(t, len, pseudo6(h + 8, h + 24, h[6], len)));
	}
}

/* Sums as they should be, for what looks like a packet. */
static void mend(uint8_t *f, size_t n, const struct port *from, bool gateway)
{
	uint8_t *h = f + ETH_BYTES, *t;
	size_t hlen, len;

	if (n > ETH_BYTES && get16(f + 12) == ETHERTYPE_IPV6)
		mend6(f, n, from, gateway);
	if (n < ETH_BYTES + IP4_BYTES || get16(f + 12) != ETHERTYPE_IPV4)
		return;
	hlen = (size_t)(h[0] & 15) * 4;
	len = get16(h + 2);
	if (hlen < IP4_BYTES || len < hlen || len > n - ETH_BYTES)
		return;
	put16(h + 10, 0);
	put16(h + 10, inet_checksum(h, hlen, 0));
	t = h + hlen;
	if (h[9] == IPPROTO_ICMP && len - hlen >= 4) {
		put16(t + 2, 0);
		put16(t + 2, inet_checksum(t, len - hlen, 0));
	}
	if (h[9] == IPPROTO_UDP && len - hlen >= 8)
		put16(t + 6, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int senders[] = { 0, 1, 3, 3 };

	if (!net.loop)
		begin();
	while (size >= 3) {
		struct port *from = &ports[senders[data[0] & 3]];
		size_t n = get16(data + 1) % 2048;
		uint8_t how = data[0], *f;

		data += 3;
		size -= 3;
		if (n > size)
			n = size;
		f = xmalloc(n ? n : 1);
		memcpy(f, data, n);
		if ((how & 4) && n >= ETH_BYTES) {
			memcpy(f, how & 8 ? from->zone->gw->mac : how & 16 ? ports[4].mac : f, 6);
			memcpy(f + 6, from->mac, 6);
			if (n >= ETH_BYTES + IP4_BYTES && get16(f + 12) == ETHERTYPE_IPV4 && (how & 32))
				put32(f + ETH_BYTES + 12, from->ip);
		}
		if (how & 64)
			mend(f, n, from, how & 128);
		zone_input(from->zone, from, f, n);
		if (net.hops)
			abort(); /* all rooms are given back */
		free(f);
		data += n;
		size -= n;
	}
	nat_expire(router.nat, loop_now() + 10000000000000u); /* each input finds none of the former ones */
	return 0;
}
