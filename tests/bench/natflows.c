/* SPDX-License-Identifier: Apache-2.0 */
/*
 * natflows FLOWS LIVE: makes FLOWS flows of UDP through NAT, each of a few packets in both directions, never more than LIVE of them
 * alive, with a clock of its own; prints seconds taken, and the most memory that the tables had, in bytes.
 */
#include "net/nat.h"
#include "net/zone.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint8_t packet[64];

static struct ip4 *udp(uint32_t src, uint16_t sport, uint32_t dst, uint16_t dport)
{
	static struct ip4 p;
	uint8_t *l4 = packet + IP4_BYTES;

	ip4_header(packet, IPPROTO_UDP, src, dst, 12);
	put16(l4, sport);
	put16(l4 + 2, dport);
	put16(l4 + 4, 12);
	put16(l4 + 6, 0);
	put16(l4 + 6, inet_checksum(l4, 12, pseudo4(src, dst, IPPROTO_UDP, 12)));
	return ip4_parse(packet, sizeof(packet), &p) ? &p : NULL;
}

static size_t resident(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	size_t total = 0, pages = 0;

	if (!f || fscanf(f, "%zu %zu", &total, &pages) != 2)
		exit(2);
	fclose(f);
	return pages * 4096;
}

int main(int argc, char **argv)
{
	size_t flows = argc == 3 ? strtoul(argv[1], NULL, 10) : 0, live = argc == 3 ? strtoul(argv[2], NULL, 10) : 0, before = resident();
	struct nat_config c;
	struct nat_stats s;
	struct nat *n;
	uint64_t begin, now = 1000000000;

	if (!flows || !live)
		return 2;
	nat_config_init(&c);
	c.external = 0x0a020009;
	c.udp_s = 10;
	n = nat_new(&c);
	begin = loop_now();
	for (size_t i = 0; i < flows; i++) {
		uint32_t inside = 0x0a010000 + (uint32_t)(i % 200), remote = 0x08000000 + (uint32_t)i;
		struct ip4 *p = udp(inside, (uint16_t)(2000 + i % 300), remote, 53);
		uint16_t ext;

		now += c.udp_s * 1000000000ull / live;
		if (nat_out(n, p, now) != NAT_OK)
			return 1;
		ext = get16(packet + IP4_BYTES);
		if (nat_in(n, udp(remote, 53, c.external, ext), now) != NAT_OK || nat_out(n, udp(inside, (uint16_t)(2000 + i % 300), remote, 53), now) != NAT_OK)
			return 1;
	}
	nat_stats(n, &s);
	printf("%.3f %zu %u\n", (double)(loop_now() - begin) / 1e9, resident() - before, s.flows);
	nat_expire(n, now + c.udp_s * 1000000000ull + 1);
	nat_stats(n, &s);
	return s.flows || s.expired != flows;
}
