/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What machines say to a gateway, each parser by itself: the first byte says which, the rest is the message. DHCP, DHCPv6, DNS, NAT-PMP and
 * PCP, SSDP, SOAP with what it calls, NDP and IPv6 headers as guard.c reads them.
 */
#include "base/mem.h"
#include "net/faults.h"
#include "net/guard.h"
#include "net/igd.h"
#include "net/nat.h"
#include "net/pcp.h"
#include "net/upnp.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct net net;
static struct zone home, wan;
static struct router router;
static struct port machine, gateway, outer;

static void begin(void)
{
	struct nat_config c;

	net.loop = loop_new();
	net.dir = xstrdup("/nonexistent");
	net.faults = faults_new(&net);
	wan = (struct zone){ .net = &net, .name = xstrdup("wan"), .domain = xstrdup("g.croft"), .prefix = 0x0a020000, .mask = 0xffffff00, .mtu = 1500 };
	home = (struct zone){ .net = &net, .name = xstrdup("home"), .domain = xstrdup("g.croft"), .prefix = 0x0a010000, .mask = 0xffffff00,
		.gateway = 0x0a010001, .prefix_len = 24, .mtu = 1400, .v6 = true, .prefix6 = { 0xfd, 0, 0, 1 }, .router = &router, .gw = &gateway,
		.ports = &gateway, .next = &wan };
	machine = (struct port){ .zone = &home, .node = xstrdup("n0"), .mac = { 0x52, 0x54, 0, 0, 0, 1 }, .ip = 0x0a01000a, .fd = -1, .has_ip6 = true,
		.ip6 = { 0xfd, 0, 0, 1, [15] = 9 } };
	gateway = (struct port){ .zone = &home, .kind = PORT_GATEWAY, .node = xstrdup("gateway"), .mac = { 0x52, 0x55 }, .ip = home.gateway, .fd = -1,
		.has_ip6 = true, .ip6 = { 0xfd, 0, 0, 1, [15] = 1 }, .next = &machine };
	outer = (struct port){ .zone = &wan, .kind = PORT_ROUTER, .router = &router, .node = xstrdup("home-router"), .ip = 0x0a020009, .fd = -1 };
	strv_add(&machine.names, "n0");
	net.zones = &home;
	nat_config_init(&c);
	c.external = outer.ip;
	router = (struct router){ .inside = &home, .to = &wan, .outer = &outer, .nat = nat_new(&c), .pcp = true, .upnp = true };
}

/* As it lies in memory of its own size, so that every byte beyond it is seen. */
static void udp(const uint8_t *m, size_t n)
{
	uint8_t *p = xmalloc(28 + n);
	struct ip4 ip = { .h = p, .hlen = 20, .len = 28 + n, .src = machine.ip, .dst = SSDP_GROUP, .proto = IPPROTO_UDP };

	memset(p, 0, 28);
	put16(p + 20, 1900);
	put16(p + 22, 1900);
	put16(p + 24, (uint16_t)(8 + n));
	memcpy(p + 28, m, n);
	if (8 + n < 65536)
		upnp_search(&machine, &ip);
	free(p);
}

static void soap(const uint8_t *m, size_t n)
{
	struct buf out = BUF_INIT;
	struct soap_call c;

	if (soap_parse((const char *)m, n, &c)) {
		igd_call(&router, machine.ip, IGD_IP, &c, &out);
		/* So that the fuzzer gets to the actions without having to find out the name of their type. */
		strcpy(c.type, igd_types[IGD_IP]);
		igd_call(&router, machine.ip, IGD_IP, &c, &out);
	}
	buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t out[1472], *m;
	bool flag = false;
	size_t n;

	if (!net.loop)
		begin();
	if (!size)
		return 0;
	n = size - 1;
	m = xmalloc(n ? n : 1);
	memcpy(m, data + 1, n);
	switch (data[0] & 7) {
	case 0:
		dhcp_answer(&machine, m, n, out, sizeof(out), &flag);
		break;
	case 1:
		if (dhcp6_answer(&machine, m, n, out, sizeof(out)) > sizeof(out))
			abort();
		dhcp6_answer(&machine, m, n, out, 60);
		break;
	case 2:
		n = dns_answer(&home, m, n, out, sizeof(out), &flag);
		if (n > sizeof(out))
			abort();
		break;
	case 3:
		pcp_answer(&machine, m, n, out);
		break;
	case 4:
		udp(m, n);
		break;
	case 5:
		soap(m, n);
		break;
	case 6:
		guard_allows(&machine, m, n);
		guard_forget(&machine);
		break;
	default:
		/* To the gateway's IPv6 by itself. */
		if (n >= 40)
			gateway6_udp(&gateway, machine.mac, m, n);
		break;
	}
	free(m);
	if (net.hops)
		abort();
	if ((data[0] & 7) == 3 || (data[0] & 7) == 5)
		nat_reset(router.nat);
	return 0;
}
