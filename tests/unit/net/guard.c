/* SPDX-License-Identifier: Apache-2.0 */
/* What a machine may send: frames as an attacker would write them. */
#include "../test.h"
#include "net/guard.h"
#include "net/ip.h"

static struct zone zone;
static struct port gateway, mallory, alice;
static uint8_t frame[256];

#define OWN "\x52\x54\x00\x00\x00\x01"
#define HERS "\x52\x54\x00\x00\x00\x02"
#define OWN_IP 0x0a01020au
#define HER_IP 0x0a01020bu
#define OWN_LL "\xfe\x80\0\0\0\0\0\0\x50\x54\x00\xff\xfe\x00\x00\x01"
#define HER_LL "\xfe\x80\0\0\0\0\0\0\x50\x54\x00\xff\xfe\x00\x00\x02"
#define GW_LL "\xfe\x80\0\0\0\0\0\0\x50\x55\x0a\xff\xfe\x01\x02\x01"
#define FREE_LL "\xfe\x80\0\0\0\0\0\0\x12\x34\x56\x78\x9a\xbc\xde\xf0"
#define NONE "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
#define ALL_NODES "\xff\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\x01"

static int setup(void **state)
{
	zone = (struct zone){ .prefix = 0x0a010200, .mask = 0xffffff00, .gateway = 0x0a010201, .ports = &gateway, .gw = &gateway };
	gateway = (struct port){ .zone = &zone, .kind = PORT_GATEWAY, .mac = { 0x52, 0x55, 10, 1, 2, 1 }, .ip = zone.gateway, .next = &mallory };
	mallory = (struct port){ .zone = &zone, .mac = { 0x52, 0x54, 0, 0, 0, 1 }, .ip = OWN_IP, .next = &alice };
	alice = (struct port){ .zone = &zone, .mac = { 0x52, 0x54, 0, 0, 0, 2 }, .ip = HER_IP };
	return 0;
}

/* So that ASan sees a read past the end. */
static bool allowed(size_t len)
{
	uint8_t *exact = xmemdup(frame, len);
	bool ret = guard_allows(&mallory, exact, len);

	free(exact);
	return ret;
}

static uint8_t *ethernet(uint16_t type)
{
	memset(frame, 0, sizeof(frame));
	memcpy(frame, "\xff\xff\xff\xff\xff\xff" OWN, 12);
	put16(frame + 12, type);
	return frame + 14;
}

static uint8_t *arp(uint16_t op, const char *mac, uint32_t ip)
{
	uint8_t *a = ethernet(ETHERTYPE_ARP);

	memcpy(a, "\0\1\x08\0\6\4", 6);
	put16(a + 6, op);
	memcpy(a + 8, mac, 6);
	put32(a + 14, ip);
	return a;
}

static void arp_speaks_for_its_sender_alone(void **state)
{
	arp(1, OWN, OWN_IP);
	assert_true(allowed(42));
	assert_false(allowed(41));
	arp(1, OWN, 0);
	assert_true(allowed(42));
	arp(2, OWN, OWN_IP);
	assert_true(allowed(42));
	arp(2, OWN, 0);
	assert_false(allowed(42));
	for (uint16_t op = 1; op < 12; op++) {
		arp(op, OWN, HER_IP);
		assert_false(allowed(42));
		arp(op, HERS, OWN_IP);
		assert_false(allowed(42));
		arp(op, OWN, zone.gateway);
		assert_false(allowed(42));
	}
	/* Lengths that would put the addresses where they are not looked for. */
	arp(2, OWN, OWN_IP)[4] = 8;
	assert_false(allowed(60));
	arp(2, OWN, OWN_IP)[5] = 16;
	assert_false(allowed(60));
	memcpy(arp(2, OWN, OWN_IP), "\0\6", 2);
	assert_false(allowed(60));
	ethernet(ETHERTYPE_RARP);
	assert_false(allowed(60));
}

static uint8_t *ipv4(uint32_t src, uint32_t dst, uint8_t proto, size_t payload)
{
	uint8_t *h = ethernet(ETHERTYPE_IPV4);

	ip4_header(h, proto, src, dst, payload);
	return h;
}

static void ipv4_comes_from_its_address(void **state)
{
	uint8_t *h;

	ipv4(OWN_IP, HER_IP, IPPROTO_TCP, 20);
	assert_true(allowed(54));
	for (size_t n = 0; n < 54; n++)
		assert_false(allowed(n));
	ipv4(HER_IP, OWN_IP, IPPROTO_TCP, 20);
	assert_false(allowed(54));
	ipv4(zone.gateway, HER_IP, IPPROTO_TCP, 20);
	assert_false(allowed(54));
	ipv4(OWN_IP, HER_IP, IPPROTO_TCP, 20)[0] = 0x44; /* header of 16 bytes */
	assert_false(allowed(54));
	ipv4(OWN_IP, HER_IP, IPPROTO_TCP, 20)[0] = 0x4f; /* longer than the packet */
	assert_false(allowed(54));
	ipv4(OWN_IP, HER_IP, IPPROTO_TCP, 20)[0] = 0x65;
	assert_false(allowed(54));
	/* Nobody is who asks for an address, and nothing else. */
	ipv4(0, HER_IP, IPPROTO_ICMP, 20);
	assert_false(allowed(54));
	h = ipv4(0, 0xffffffff, IPPROTO_UDP, 20);
	put16(h + 20, 68);
	put16(h + 22, 67);
	assert_true(allowed(54));
	put16(h + 22, 53);
	assert_false(allowed(54));
	/* A DHCP server of its own. */
	h = ipv4(OWN_IP, 0xffffffff, IPPROTO_UDP, 20);
	put16(h + 20, 67);
	put16(h + 22, 68);
	assert_false(allowed(54));
	put16(h + 6, IP4_MF);
	assert_false(allowed(54));
}

static void vlan_tags_hide_nothing(void **state)
{
	static const uint16_t tags[] = { 0x8100, 0x88a8, 0x9100 };

	for (size_t i = 0; i < ARRAY_SIZE(tags); i++)
		for (int depth = 1; depth <= 3; depth++) {
			for (int own = 0; own < 2; own++) {
				arp(2, OWN, own ? OWN_IP : zone.gateway);
				for (int k = 0; k < depth; k++) {
					memmove(frame + 16, frame + 12, 64);
					put16(frame + 12, tags[i]);
					put16(frame + 14, 0);
				}
				assert_int_equal(allowed(42 + 4 * (size_t)depth), own && depth < 3);
			}
		}
	put16(frame + 12, 0x8100);
	assert_false(allowed(14));
	assert_false(allowed(17));
}

static uint8_t *ipv6(const char *src, uint8_t next, size_t payload)
{
	uint8_t *h = ethernet(ETHERTYPE_IPV6);

	h[0] = 0x60;
	put16(h + 4, (uint16_t)payload);
	h[6] = next;
	h[7] = 255;
	memcpy(h + 8, src, 16);
	memcpy(h + 24, ALL_NODES, 16);
	return h + 40;
}

static bool ndp(const char *src, uint8_t type, const char *target, const char *mac)
{
	uint8_t *m = ipv6(src, IPPROTO_ICMPV6, 32);

	m[0] = type;
	memcpy(m + 8, target, 16);
	m[24] = type == 136 ? 2 : 1;
	m[25] = 1;
	memcpy(m + 26, mac, 6);
	return allowed(14 + 40 + 32);
}

static void neighbours_are_not_spoken_for(void **state)
{
	assert_true(ndp(OWN_LL, 136, OWN_LL, OWN));
	assert_false(ndp(OWN_LL, 136, HER_LL, OWN));
	assert_false(ndp(OWN_LL, 136, GW_LL, OWN));
	assert_false(ndp(OWN_LL, 136, OWN_LL, HERS));
	assert_false(ndp(HER_LL, 136, HER_LL, HERS));
	assert_false(ndp(HER_LL, 135, OWN_LL, OWN));
	assert_true(ndp(OWN_LL, 135, HER_LL, OWN));
	assert_false(ndp(OWN_LL, 135, HER_LL, HERS));
	assert_true(ndp(NONE, 135, HER_LL, OWN)); /* is it free? */
	assert_false(ndp(OWN_LL, 134, OWN_LL, OWN));
	assert_false(ndp(OWN_LL, 137, OWN_LL, OWN));
}

static void ipv6_is_whose_was_first(void **state)
{
	char many[16];

	memcpy(alice.v6[0], FREE_LL, 16);
	alice.nv6 = 1;
	assert_false(ndp(FREE_LL, 135, HER_LL, OWN));
	assert_false(ndp(OWN_LL, 136, FREE_LL, OWN));
	guard_forget(&alice);
	assert_true(ndp(FREE_LL, 135, HER_LL, OWN));
	assert_false(guard_allows(&alice, frame, 86)); /* not her MAC */
	memcpy(frame + 6, HERS, 6);
	memcpy(frame + 14 + 40 + 26, HERS, 6);
	assert_false(guard_allows(&alice, frame, 86));
	/* A table that a guest could fill has an end. */
	memcpy(many, FREE_LL, 16);
	for (int i = 0; i < 1000; i++) {
		put16((uint8_t *)many + 14, (uint16_t)i);
		assert_true(ndp(many, 135, HER_LL, OWN));
	}
	assert_int_equal(mallory.nv6, PORT_V6_MAX);
}

static void extension_headers_hide_nothing(void **state)
{
	static const uint8_t kinds[] = { IPPROTO_HOPOPTS, IPPROTO_ROUTING, IPPROTO_DSTOPTS, IPPROTO_FRAGMENT };

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		uint8_t *m = ipv6(OWN_LL, kinds[i], 48);

		m[0] = IPPROTO_ICMPV6;
		m[8] = 134;
		assert_false(allowed(14 + 88));
		m[8] = 128;
		assert_true(allowed(14 + 88));
		m[8] = 136; /* in a fragment never (RFC 6980), otherwise when it is its own */
		memcpy(m + 16, OWN_LL, 16);
		m[32] = 2;
		m[33] = 1;
		memcpy(m + 34, OWN, 6);
		m[40] = 14;
		m[41] = 1;
		assert_int_equal(allowed(14 + 88), kinds[i] != IPPROTO_FRAGMENT);
		m[1] = 255; /* longer than the packet */
		if (kinds[i] != IPPROTO_FRAGMENT)
			assert_false(allowed(14 + 88));
	}
	for (size_t n = 0; n < 14 + 88; n++)
		assert_false(allowed(n));
	ipv6(NONE, IPPROTO_TCP, 20)[-16] = 0xfe; /* from nobody to somebody */
	assert_false(allowed(74));
	put16(ipv6(OWN_LL, IPPROTO_UDP, 20), 547);
	put16(frame + 14 + 42, 546);
	assert_false(allowed(74));
}

static void the_trusted_may_all(void **state)
{
	mallory.trusted = true;
	ipv4(HER_IP, OWN_IP, IPPROTO_TCP, 20);
	assert_true(allowed(54));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(arp_speaks_for_its_sender_alone, setup),
		cmocka_unit_test_setup(ipv4_comes_from_its_address, setup),
		cmocka_unit_test_setup(vlan_tags_hide_nothing, setup),
		cmocka_unit_test_setup(neighbours_are_not_spoken_for, setup),
		cmocka_unit_test_setup(ipv6_is_whose_was_first, setup),
		cmocka_unit_test_setup(extension_headers_hide_nothing, setup),
		cmocka_unit_test_setup(the_trusted_may_all, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
