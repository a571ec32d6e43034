/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What machines send beyond their group, each parser by itself: the first byte says which, and what of the rest is put right. Who talks to
 * whom (peers.c), pings by IPv6 to the host's network (ping6.c), TCP by IPv6 to a gateway and what libslirp answers (services.c). In a
 * network of its own, so that nothing leaves.
 */
#include "base/mem.h"
#include "net/faults.h"
#include "net/ip.h"
#include "net/ip6.h"
#include "net/peers.h"
#include "net/ping6.h"
#include "net/services.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static struct net net;
static struct zone home;
static struct port machine, gateway;
static struct peers *peers;
static char dir[] = "/tmp/croft-fuzz-XXXXXX";

static void end(void)
{
	services_free(&net);
	rmdir(dir);
}

/* Before the fuzzer has threads. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	if ((unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0) || !mkdtemp(dir)) {
		perror("a network of its own");
		exit(1);
	}
	return 0;
}

static void begin(void)
{
	net.loop = loop_new();
	net.dir = dir;
	net.faults = faults_new(&net);
	home = (struct zone){ .net = &net, .name = xstrdup("home"), .domain = xstrdup("g.croft"), .prefix = 0x0a010000, .mask = 0xffffff00,
		.gateway = 0x0a010001, .prefix_len = 24, .mtu = 1400, .v6 = true, .prefix6 = { 0xfd, 0, 0, 1 }, .gw = &gateway, .ports = &gateway,
		.has_outside = true };
	machine = (struct port){ .zone = &home, .node = xstrdup("n0"), .mac = { 0x52, 0x54, 0, 0, 0, 1 }, .ip = 0x0a01000a, .fd = -1, .has_ip6 = true,
		.ip6 = { 0xfd, 0, 0, 1, [15] = 9 } };
	gateway = (struct port){ .zone = &home, .kind = PORT_GATEWAY, .node = xstrdup("gateway"), .mac = { 0x52, 0x55 }, .ip = home.gateway, .fd = -1,
		.has_ip6 = true, .ip6 = { 0xfd, 0, 0, 1, [15] = 1 }, .next = &machine };
	strv_add(&machine.names, "n0");
	net.zones = &home;
	peers = peers_new();
	atexit(end);
}

/* A header that says what it is, from the machine, with the right sum. */
static void mend(uint8_t *h, size_t n, uint8_t proto)
{
	uint8_t *t = h + IP6_BYTES, *sum = proto == IPPROTO_TCP ? t + 16 : t + 2;
	size_t len = n - IP6_BYTES;

	if (n < IP6_BYTES + 20)
		return;
	h[0] = 0x60;
	h[6] = proto;
	put16(h + 4, (uint16_t)len);
	memcpy(h + 8, machine.ip6, 16);
	if (proto == IPPROTO_TCP) {
		memcpy(h + 24, gateway.ip6, 16);
		put16(t + 2, 53);
	} else {
		t[0] = 128;
	}
	put16(sum, 0);
	put16(sum, inet_checksum(t, len, pseudo6(h + 8, h + 24, proto, len)));
}

static void who(const uint8_t *m, size_t n)
{
	struct peer a, b;
	bool out = peer_of(m, n, false, &a), in = peer_of(m, n, true, &b);

	if (out != in || (peer_begins(m, n) && !out))
		abort();
	if (!out)
		return;
	peers_note(peers, &a);
	if (!peers_know(peers, &a) || a.port != b.remote_port || memcmp(a.inside, b.remote, sizeof(a.inside)))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t n = size - 1;
	uint8_t *m;

	if (!net.loop)
		begin();
	if (!size || n > 65535)
		return 0;
	m = xmalloc(n ? n : 1);
	memcpy(m, data + 1, n);
	switch (data[0] & 3) {
	case 0:
		who(m, n);
		break;
	case 1:
		if (data[0] & 4)
			mend(m, n, IPPROTO_ICMPV6);
		ping6_out(&home, m, n);
		break;
	case 2:
		if (data[0] & 4)
			mend(m, n, IPPROTO_TCP);
		if (services_input6(&machine, m, n))
			loop_once(net.loop, 0);
		break;
	default:
		if (n >= IP4_BYTES)
			services_answer6(&home, m, n);
		break;
	}
	free(m);
	if (net.hops)
		abort();
	return 0;
}
