/* SPDX-License-Identifier: Apache-2.0 */
/* IPv6 between zones: advertisement, neighbours, the filter of a router, errors. */
#include "wires.h"
#include "net/ip6.h"

#define HOME 0
#define WAN 1
#define UDP_PORT 4000

static uint8_t home_prefix[16] = { 0xfd, 0, 0, 1 }, wan_prefix[16] = { 0xfd, 0, 0, 2 }, ll_prefix[16] = { 0xfe, 0x80 };
static uint8_t frame[70000];

static int begin(void **state)
{
	nwires = 0;
	wire_add("home", 0x0a01000a, 0x0a010001);
	wire_add("wan", 0x0a02000a, 0x0a020001);
	return wires_start(state, "{\"name\":\"wan\",\"prefix\":\"10.2.0.0/24\",\"gateway\":\"10.2.0.1\",\"domain\":\"g.croft\",\"prefix6\":\"fd00:2::/64\"},"
				  "{\"name\":\"home\",\"prefix\":\"10.1.0.0/24\",\"gateway\":\"10.1.0.1\",\"domain\":\"g.croft\",\"prefix6\":"
				  "\"fd00:1::/64\",\"router\":{\"to\":\"wan\",\"address\":\"10.2.0.9\",\"nat\":{}}}");
}

static void address(int w, uint8_t r[16])
{
	ip6_address(w == HOME ? home_prefix : wan_prefix, wires[w].mac, r);
}

static void send6(int from, const uint8_t *src, const uint8_t *dst, uint8_t proto, uint8_t hops, uint8_t *l4, size_t n)
{
	uint8_t f[2048] = { 0x52, 0x55 };
	size_t at = proto == IPPROTO_UDP ? 6 : 2;

	if (dst[0] == 0xff)
		memcpy(f, (uint8_t[]){ 0x33, 0x33, dst[12], dst[13], dst[14], dst[15] }, 6);
	else
		put32(f + 2, wires[from].gateway);
	memcpy(f + 6, wires[from].mac, 6);
	put16(f + 12, ETHERTYPE_IPV6);
	f[14] = 0x60;
	put16(f + 18, (uint16_t)n);
	f[20] = proto;
	f[21] = hops;
	memcpy(f + 22, src, 16);
	memcpy(f + 38, dst, 16);
	put16(l4 + at, 0);
	put16(l4 + at, inet_checksum(l4, n, pseudo6(src, dst, proto, n)));
	memcpy(f + 54, l4, n);
	wire_write(from, f, 54 + n);
}

/* The next IPv6 packet of that protocol (and ICMP type) in `frame`; 0: none is there. */
static size_t receive6(int at, uint8_t proto, int type, bool wait)
{
	for (;;) {
		size_t n = wire_frame(at, frame, sizeof(frame), wait);

		if (!n)
			return 0;
		if (n < 62 || get16(frame + 12) != ETHERTYPE_IPV6 || frame[20] != proto || (type >= 0 && frame[54] != type))
			continue;
		assert_int_equal(inet_checksum(frame + 54, get16(frame + 18), pseudo6(frame + 22, frame + 38, proto, get16(frame + 18))), 0);
		return n;
	}
}

static void udp6(int from, const uint8_t *src, uint16_t sport, const uint8_t *dst, uint16_t dport, uint8_t hops)
{
	uint8_t l4[12] = { 0 };

	put16(l4, sport);
	put16(l4 + 2, dport);
	put16(l4 + 4, sizeof(l4));
	send6(from, src, dst, IPPROTO_UDP, hops, l4, sizeof(l4));
}

static void a_router_is_advertised(void **state)
{
	static const uint8_t all_routers[16] = { 0xff, 2, [15] = 2 };
	uint8_t ll[16], m[16] = { 133 };

	ip6_address(ll_prefix, wires[HOME].mac, ll);
	m[8] = 1;
	m[9] = 1;
	memcpy(m + 10, wires[HOME].mac, 6);
	send6(HOME, ll, all_routers, IPPROTO_ICMPV6, 255, m, sizeof(m));
	assert_int_equal(receive6(HOME, IPPROTO_ICMPV6, 134, true), 14 + 40 + 64 + 24 + 24);
	assert_int_equal(frame[21], 255);
	assert_true(get16(frame + 54 + 6) > 0);
	assert_memory_equal(frame + 54 + 48, home_prefix, 16);
	assert_int_equal(frame[54 + 35], 0xc0);
	/* Name server and search domain (RFC 8106). */
	assert_memory_equal(frame + 54 + 64, ((uint8_t[]){ 25, 3, 0, 0, 0, 0, 7, 8, 0xfd, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1 }), 24);
	assert_memory_equal(frame + 54 + 88, "\x1f\x03\0\0\0\0\x07\x08\x01g\x05" "croft\0\0\0\0\0\0\0\0", 24);
}

static void neighbours_and_pings_are_answered(void **state)
{
	uint8_t src[16], dst[16], m[32] = { 135 }, group[16] = { 0xff, 2, [11] = 1, [12] = 0xff, [15] = 1 };

	address(HOME, src);
	memcpy(dst, home_prefix, 16);
	dst[15] = 1;
	memcpy(m + 8, dst, 16);
	m[24] = 1;
	m[25] = 1;
	memcpy(m + 26, wires[HOME].mac, 6);
	send6(HOME, src, group, IPPROTO_ICMPV6, 255, m, sizeof(m));
	receive6(HOME, IPPROTO_ICMPV6, 136, true);
	assert_memory_equal(frame + 54 + 8, dst, 16);
	assert_memory_equal(frame + 54 + 26, ((uint8_t[]){ 0x52, 0x55, 10, 1, 0, 1 }), 6);
	memset(m, 0, sizeof(m));
	m[0] = 128;
	send6(HOME, src, dst, IPPROTO_ICMPV6, 64, m, 16);
	receive6(HOME, IPPROTO_ICMPV6, 129, true);
	assert_memory_equal(frame + 22, dst, 16);
}

/* From a port of [::1] to the machine behind the filter, and its answers back; not after the forward is gone. */
static void udp_by_a_forward(void **state)
{
	struct sockaddr_in6 to = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	int held = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0), fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct pollfd p = { .fd = fd, .events = POLLIN };
	_cleanup_free_ char *request = NULL, *end = NULL;
	socklen_t n = sizeof(to);
	uint8_t home[16], src[16], b[16];

	if (held < 0 || bind(held, (struct sockaddr *)&to, sizeof(to)) < 0)
		skip_test("this computer has no IPv6 loopback");
	assert_int_equal(getsockname(held, (struct sockaddr *)&to, &n), 0);
	close(held);
	address(HOME, home);
	request = xasprintf("{\"op\":\"forward\",\"proto\":\"udp\",\"host\":\"::1\",\"host_port\":%u,\"node\":\"n0\",\"port\":53}", ntohs(to.sin6_port));
	free(wires_ask(request));
	for (int i = 0; i < 2; i++) {
		assert_int_equal(sendto(fd, "ask", 3, 0, (struct sockaddr *)&to, sizeof(to)), 3);
		assert_int_not_equal(receive6(HOME, IPPROTO_UDP, -1, true), 0);
		assert_memory_equal(frame + 38, home, 16);
		assert_int_equal(get16(frame + 56), 53);
		assert_memory_equal(frame + 62, "ask", 3);
		memcpy(src, frame + 22, 16);
		udp6(HOME, home, 53, src, get16(frame + 54), 64);
		assert_int_equal(poll(&p, 1, 20000), 1);
		assert_int_equal(recv(fd, b, sizeof(b), 0), 4);
	}
	end = xasprintf("{\"op\":\"unforward\",\"proto\":\"udp\",\"host\":\"::1\",\"host_port\":%u,\"node\":\"n0\",\"port\":53}", ntohs(to.sin6_port));
	free(wires_ask(end));
	sendto(fd, "ask", 3, 0, (struct sockaddr *)&to, sizeof(to));
	wire_settle(HOME);
	assert_int_equal(receive6(HOME, IPPROTO_UDP, -1, false), 0);
	close(fd);
}

static void only_answers_come_in(void **state)
{
	uint8_t home[16], wan[16];

	address(HOME, home);
	address(WAN, wan);
	udp6(WAN, wan, 53, home, UDP_PORT, 64); /* nobody has asked */
	receive6(WAN, IPPROTO_ICMPV6, 1, true);
	assert_int_equal(frame[55], 1);
	wire_settle(WAN);
	assert_int_equal(receive6(HOME, IPPROTO_UDP, -1, false), 0);
	udp6(HOME, home, UDP_PORT, wan, 53, 64);
	receive6(WAN, IPPROTO_UDP, -1, true);
	assert_memory_equal(frame + 22, home, 16);
	assert_int_equal(frame[21], 63);
	udp6(WAN, wan, 53, home, UDP_PORT, 64);
	receive6(HOME, IPPROTO_UDP, -1, true);
	udp6(WAN, wan, 54, home, UDP_PORT, 64); /* another port */
	receive6(WAN, IPPROTO_ICMPV6, 1, true);
}

static void errors_are_told(void **state)
{
	uint8_t home[16], wan[16], nobody[16] = { 0xfd, 0, 0, 9, [15] = 1 };

	address(HOME, home);
	address(WAN, wan);
	udp6(HOME, home, UDP_PORT, wan, 53, 1);
	receive6(HOME, IPPROTO_ICMPV6, 3, true);
	udp6(HOME, home, UDP_PORT, nobody, 53, 64);
	receive6(HOME, IPPROTO_ICMPV6, 1, true);
	assert_int_equal(frame[55], 0);
	memcpy(nobody, wan_prefix, 16);
	nobody[15] = 0x77;
	udp6(HOME, home, UDP_PORT, nobody, 53, 64);
	receive6(HOME, IPPROTO_ICMPV6, 1, true);
	assert_int_equal(frame[55], 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_router_is_advertised, begin, wires_end),
		cmocka_unit_test_setup_teardown(neighbours_and_pings_are_answered, begin, wires_end),
		cmocka_unit_test_setup_teardown(udp_by_a_forward, begin, wires_end),
		cmocka_unit_test_setup_teardown(only_answers_come_in, begin, wires_end),
		cmocka_unit_test_setup_teardown(errors_are_told, begin, wires_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
