/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What kind of NAT is it? Found out as RFC 5780 has it, by a client behind the router and a server with two addresses and two ports,
 * against the real process; for each kind that can be configured.
 */
#include "wires.h"

#define CLIENT 0
#define NEIGHBOUR 1
#define SERVER 2
#define OTHER 3
#define WAN "{\"name\":\"wan\",\"prefix\":\"10.2.0.0/24\",\"gateway\":\"10.2.0.1\",\"domain\":\"g.croft\"}"
#define HOME(nat)                                                                                                                        \
	"{\"name\":\"home\",\"prefix\":\"10.1.0.0/24\",\"gateway\":\"10.1.0.1\",\"domain\":\"g.croft\",\"router\":{\"to\":\"wan\","       \
	"\"address\":\"10.2.0.9\",\"nat\":{" nat "}}}"
#define ROUTER 0x0a020009u
#define PORT_A 3478
#define PORT_B 3479

static int begin(void **state, const char *zones)
{
	nwires = 0;
	wire_add("home", 0x0a01000a, 0x0a010001);
	wire_add("home", 0x0a01000b, 0x0a010001);
	wire_add("wan", 0x0a02000a, 0x0a020001);
	wire_add("wan", 0x0a02000b, 0x0a020001);
	return wires_start(state, zones);
}

/* The client's question arrives at the server, which so knows its outside address. */
static void ask(uint16_t port, int server, uint16_t server_port, struct datagram *seen)
{
	udp_send(CLIENT, wires[CLIENT].ip, port, wires[server].ip, server_port, "?", 1);
	assert_true(udp_receive(server, seen, true));
	assert_int_equal(seen->src, ROUTER);
	assert_int_equal(seen->dst_port, server_port);
}

/* Does what the server sends there arrive at the client? */
static bool answered(int server, uint16_t server_port, uint16_t to_port, uint16_t client_port)
{
	struct datagram d;

	udp_send(server, wires[server].ip, server_port, ROUTER, to_port, "!", 1);
	wire_settle(server);
	if (!udp_receive(CLIENT, &d, false))
		return false;
	assert_int_equal(d.src, wires[server].ip);
	assert_int_equal(d.src_port, server_port);
	assert_int_equal(d.dst, wires[CLIENT].ip);
	assert_int_equal(d.dst_port, client_port);
	return true;
}

/* "independent", "address" or "address-port" (RFC 5780, 4.3). */
static const char *mapping(uint16_t port)
{
	struct datagram a, b, c;

	ask(port, SERVER, PORT_A, &a);
	ask(port, OTHER, PORT_A, &b);
	if (a.src_port == b.src_port)
		return "independent";
	ask(port, SERVER, PORT_B, &c);
	return a.src_port == c.src_port ? "address" : "address-port";
}

/* RFC 5780, 4.4 */
static const char *filtering(uint16_t port)
{
	struct datagram a;

	ask(port, SERVER, PORT_A, &a);
	assert_true(answered(SERVER, PORT_A, a.src_port, port));
	if (answered(OTHER, PORT_B, a.src_port, port))
		return "independent";
	return answered(SERVER, PORT_B, a.src_port, port) ? "address" : "address-port";
}

static bool hairpins(uint16_t port)
{
	struct datagram a, d;

	ask(port, SERVER, PORT_A, &a);
	/* The neighbour is a remote of the mapping as any other: the filter must know its outside address. */
	udp_send(NEIGHBOUR, wires[NEIGHBOUR].ip, 7000, wires[SERVER].ip, PORT_A, "n", 1);
	assert_true(udp_receive(SERVER, &d, true));
	udp_send(CLIENT, wires[CLIENT].ip, port, ROUTER, d.src_port, "c", 1);
	wire_settle(CLIENT);
	udp_receive(NEIGHBOUR, &d, false);
	udp_send(NEIGHBOUR, wires[NEIGHBOUR].ip, 7000, ROUTER, a.src_port, "h", 1);
	wire_settle(NEIGHBOUR);
	if (!udp_receive(CLIENT, &d, false))
		return false;
	assert_int_equal(d.src, ROUTER);
	return true;
}

static void every_kind_is_what_it_says(void **state)
{
	static const struct {
		const char *zones, *mapping, *filtering;
		bool hairpin;
	} kinds[] = {
		{ WAN "," HOME("\"mapping\":\"independent\",\"filtering\":\"independent\""), "independent", "independent", true },
		{ WAN "," HOME("\"mapping\":\"independent\",\"filtering\":\"address\""), "independent", "address", true },
		{ WAN "," HOME("\"mapping\":\"independent\",\"filtering\":\"address-port\""), "independent", "address-port", true },
		{ WAN "," HOME("\"mapping\":\"address\",\"filtering\":\"address\",\"hairpin\":false"), "address", "address", false },
		{ WAN "," HOME("\"mapping\":\"address\",\"filtering\":\"independent\",\"hairpin\":false"), "address", "independent", false },
		{ WAN "," HOME("\"mapping\":\"address-port\",\"filtering\":\"address-port\",\"hairpin\":false"), "address-port", "address-port",
			false },
		{ WAN "," HOME("\"mapping\":\"address-port\",\"filtering\":\"independent\",\"hairpin\":false"), "address-port", "independent",
			false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		void *dir = NULL;

		assert_int_equal(begin(&dir, kinds[i].zones), 0);
		assert_string_equal(mapping(5000), kinds[i].mapping);
		assert_string_equal(filtering(5001), kinds[i].filtering);
		assert_int_equal(hairpins(5002), kinds[i].hairpin);
		assert_int_equal(wires_end(&dir), 0);
	}
	*state = NULL;
}

static int begin_home(void **state)
{
	return begin(state, WAN "," HOME("\"pcp\":true,\"maps\":[{\"proto\":\"udp\",\"port\":8053,\"address\":\"10.1.0.11\",\"to_port\":53},"
					 "{\"proto\":\"tcp\",\"port\":80,\"address\":\"10.1.0.11\",\"to_port\":8080}]"));
}

static void a_port_map_lets_in(void **state)
{
	struct datagram d;

	udp_send(OTHER, wires[OTHER].ip, 999, ROUTER, 8053, "x", 1);
	assert_true(udp_receive(NEIGHBOUR, &d, true));
	assert_int_equal(d.dst_port, 53);
	assert_int_equal(d.src, wires[OTHER].ip);
	/* The answer comes from where the question went. */
	udp_send(NEIGHBOUR, wires[NEIGHBOUR].ip, 53, d.src, d.src_port, "y", 1);
	assert_true(udp_receive(OTHER, &d, true));
	assert_int_equal(d.src, ROUTER);
	assert_int_equal(d.src_port, 8053);
	/* From inside by the outside address too. */
	udp_send(CLIENT, wires[CLIENT].ip, 4444, ROUTER, 8053, "z", 1);
	assert_true(udp_receive(NEIGHBOUR, &d, true));
	assert_int_equal(d.src, ROUTER);
}

static void ports_are_kept_and_never_shared(void **state)
{
	struct datagram a, b;

	ask(6000, SERVER, PORT_A, &a);
	assert_int_equal(a.src_port, 6000);
	udp_send(NEIGHBOUR, wires[NEIGHBOUR].ip, 6000, wires[SERVER].ip, PORT_A, "?", 1);
	assert_true(udp_receive(SERVER, &b, true));
	assert_int_not_equal(b.src_port, 6000);
}

/* An error about a packet quotes what its sender had sent, and comes to it alone. */
static void errors_come_back_through_nat(void **state)
{
	static uint8_t f[70000];
	uint8_t e[8 + 28] = { 3, 3 };
	struct datagram d;
	struct ip4 p;
	size_t n;

	ask(6100, SERVER, PORT_A, &d);
	ip4_header(e + 8, IPPROTO_UDP, ROUTER, wires[SERVER].ip, 9);
	put16(e + 28, d.src_port);
	put16(e + 30, PORT_A);
	put16(e + 32, 9);
	put16(e + 34, 0x1234);
	wire_send4(SERVER, IPPROTO_ICMP, wires[SERVER].ip, ROUTER, e, sizeof(e));
	do
		n = wire_frame(CLIENT, f, sizeof(f), true);
	while (get16(f + 12) != ETHERTYPE_IPV4 || f[23] != IPPROTO_ICMP);
	assert_true(ip4_parse(f + 14, n - 14, &p));
	assert_int_equal(p.dst, wires[CLIENT].ip);
	assert_int_equal(inet_checksum(p.h + 20, p.len - 20, 0), 0);
	assert_int_equal(p.h[20], 3);
	assert_int_equal(get32(p.h + 28 + 12), wires[CLIENT].ip);
	assert_int_equal(get16(p.h + 28 + 20), 6100);
	assert_int_equal(inet_checksum(p.h + 28, 20, 0), 0);
	/* About what was never sent: dropped. */
	put16(e + 30, PORT_B);
	wire_send4(SERVER, IPPROTO_ICMP, wires[SERVER].ip, ROUTER, e, sizeof(e));
	wire_settle(SERVER);
	assert_false(udp_receive(CLIENT, &d, false));
}

static void pings_have_ids_of_their_own(void **state)
{
	static uint8_t f[70000];
	uint16_t id[2];

	for (int i = 0; i < 2; i++) {
		uint8_t m[16] = { 8, 0, 0, 0, 0x12, 0x34 };

		wire_send4(i, IPPROTO_ICMP, wires[i].ip, wires[SERVER].ip, m, sizeof(m));
		do
			assert_true(wire_frame(SERVER, f, sizeof(f), true) > 0);
		while (f[23] != IPPROTO_ICMP || f[34] != 8);
		id[i] = get16(f + 38);
		assert_int_equal(get32(f + 26), ROUTER);
	}
	assert_int_not_equal(id[0], id[1]);
	for (int i = 0; i < 2; i++) {
		uint8_t m[16] = { 0 };

		put16(m + 4, id[i]);
		wire_send4(SERVER, IPPROTO_ICMP, wires[SERVER].ip, ROUTER, m, sizeof(m));
		do
			assert_true(wire_frame(i, f, sizeof(f), true) > 0);
		while (get16(f + 12) != ETHERTYPE_IPV4 || f[23] != IPPROTO_ICMP || f[34] != 0);
		assert_int_equal(get16(f + 38), 0x1234);
		assert_int_equal(get32(f + 30), wires[i].ip);
	}
}

/* 3000 bytes in three fragments, the last one first: one datagram for NAT, and on in fragments again. */
static void fragments_pass(void **state)
{
	static uint8_t l4[3008], f[70000], got[3100];
	size_t at[] = { 2960, 0, 1480 }, left = sizeof(l4);
	uint16_t sum;

	for (size_t i = 8; i < sizeof(l4); i++)
		l4[i] = (uint8_t)(i * 7);
	put16(l4, 6200);
	put16(l4 + 2, PORT_A);
	put16(l4 + 4, sizeof(l4));
	put16(l4 + 6, 0);
	sum = inet_checksum(l4, sizeof(l4), pseudo4(wires[CLIENT].ip, wires[SERVER].ip, IPPROTO_UDP, sizeof(l4)));
	put16(l4 + 6, sum);
	for (int i = 0; i < 3; i++) {
		size_t n = sizeof(l4) - at[i] < 1480 ? sizeof(l4) - at[i] : 1480;

		put16(f, 0x5255);
		put32(f + 2, wires[CLIENT].gateway);
		memcpy(f + 6, wires[CLIENT].mac, 6);
		put16(f + 12, ETHERTYPE_IPV4);
		ip4_header(f + 14, IPPROTO_UDP, wires[CLIENT].ip, wires[SERVER].ip, n);
		put16(f + 18, 77);
		put16(f + 20, (uint16_t)((at[i] + n < sizeof(l4) ? IP4_MF : 0) | at[i] / 8));
		put16(f + 24, 0);
		put16(f + 24, inet_checksum(f + 14, 20, 0));
		memcpy(f + 34, l4 + at[i], n);
		wire_write(CLIENT, f, 34 + n);
	}
	while (left) {
		struct ip4 p;
		size_t n = wire_frame(SERVER, f, sizeof(f), true);

		if (get16(f + 12) != ETHERTYPE_IPV4 || f[23] != IPPROTO_UDP)
			continue;
		assert_true(n <= 1514 && ip4_parse(f + 14, n - 14, &p));
		memcpy(got + (size_t)(p.frag & IP4_OFFSET) * 8, p.h + p.hlen, p.len - p.hlen);
		left -= p.len - p.hlen;
	}
	assert_int_equal(inet_checksum(got, sizeof(l4), pseudo4(ROUTER, wires[SERVER].ip, IPPROTO_UDP, sizeof(l4))), 0);
	assert_memory_equal(got + 8, l4 + 8, sizeof(l4) - 8);
}

static size_t ask_router(const uint8_t *m, size_t n, struct datagram *d)
{
	udp_send(CLIENT, wires[CLIENT].ip, 5350, wires[CLIENT].gateway, 5351, m, n);
	assert_true(udp_receive(CLIENT, d, true));
	assert_int_equal(d->src_port, 5351);
	return d->n;
}

static void maps_on_request(void **state)
{
	uint8_t pmp[12] = { 0, 1 }, m[60] = { 2, 1 };
	struct datagram d;

	assert_int_equal(ask_router((uint8_t[]){ 0, 0 }, 2, &d), 12);
	assert_int_equal(get32(d.data + 8), ROUTER);
	put16(pmp + 4, 7000);
	put16(pmp + 6, 7001);
	put32(pmp + 8, 600);
	assert_int_equal(ask_router(pmp, 12, &d), 16);
	assert_int_equal(get16(d.data + 2), 0);
	assert_int_equal(get16(d.data + 10), 7001);
	assert_true(answered(OTHER, 1234, 7001, 7000));
	put32(pmp + 8, 0);
	ask_router(pmp, 12, &d);
	assert_int_equal(get16(d.data + 2), 0);
	/* The flow that came in by it lives on, others no longer come in. */
	assert_false(answered(SERVER, 1234, 7001, 7000));
	put32(m + 4, 600);
	m[18] = m[19] = 0xff;
	put32(m + 20, wires[CLIENT].ip);
	m[36] = IPPROTO_UDP;
	put16(m + 40, 7100);
	put16(m + 42, 7101);
	assert_int_equal(ask_router(m, sizeof(m), &d), 60);
	assert_int_equal(d.data[3], 0);
	assert_int_equal(get16(d.data + 42), 7101);
	assert_int_equal(get32(d.data + 56), ROUTER);
	assert_true(answered(OTHER, 1234, 7101, 7100));
	put32(m + 20, wires[NEIGHBOUR].ip); /* another's ports */
	put16(m + 40, 7200);
	ask_router(m, sizeof(m), &d);
	assert_int_equal(d.data[3], 12);
	m[0] = 9;
	ask_router(m, sizeof(m), &d);
	assert_int_equal(d.data[3], 1);
}

static void what_is_inside_cannot_be_named_from_outside(void **state)
{
	uint8_t f[42], l4[9] = { 0 };
	struct datagram d;

	/* To the inside address, by the router's MAC and by the zone's gateway. */
	put16(l4 + 2, 53);
	put16(l4 + 4, 9);
	wire_send4(SERVER, IPPROTO_UDP, wires[SERVER].ip, wires[NEIGHBOUR].ip, l4, 9);
	memset(f, 0, sizeof(f));
	put16(f, 0x5256);
	put32(f + 2, ROUTER);
	memcpy(f + 6, wires[SERVER].mac, 6);
	put16(f + 12, ETHERTYPE_IPV4);
	ip4_header(f + 14, IPPROTO_UDP, wires[SERVER].ip, wires[NEIGHBOUR].ip, 8);
	put16(f + 36, 53);
	put16(f + 38, 8);
	wire_write(SERVER, f, sizeof(f));
	wire_settle(SERVER);
	assert_false(udp_receive(NEIGHBOUR, &d, false));
}

static void a_killed_process_goes_on_with_its_tables(void **state)
{
	_cleanup_free_ char *file = path_join(*state, "saved"), *save = xasprintf("{\"op\":\"save\",\"file\":\"%s\"}", file),
			    *load = xasprintf("{\"op\":\"load\",\"file\":\"%s\"}", file), *to = path_join(wires_dir, "net.state");
	struct datagram a, d;
	struct error *e = NULL;

	ask(6300, SERVER, PORT_A, &a);
	ask(6301, SERVER, PORT_A, &d);
	free(wires_ask(save));
	/* What the process would have written by itself within seconds. */
	assert_ok(file_copy(file, to, 0600, &e), e);
	wires_kill();
	assert_true(answered(SERVER, PORT_A, a.src_port, 6300));
	assert_false(answered(OTHER, PORT_A, a.src_port, 6300));
	free(wires_ask(load));
	assert_true(answered(SERVER, PORT_A, a.src_port, 6300));
}

static void times_end_flows(void **state)
{
	void *dir = NULL;
	struct datagram a;

	assert_int_equal(begin(&dir, WAN "," HOME("\"udp\":1")), 0);
	ask(6400, SERVER, PORT_A, &a);
	/* It ends by itself, however long that takes here. */
	for (bool there = true; there;) {
		_cleanup_free_ char *answer = wires_ask("{\"op\":\"zones\"}");

		there = !strstr(answer, "\"flows\":0");
		usleep(20000);
	}
	assert_false(answered(SERVER, PORT_A, a.src_port, 6400));
	assert_int_equal(wires_end(&dir), 0);
}

/* A carrier's NAT in front of the home's. */
static void two_in_a_row(void **state)
{
	void *dir = NULL;
	struct datagram d;

	nwires = 0;
	wire_add("home", 0x0a01000a, 0x0a010001);
	wire_add("wan", 0x0a02000a, 0x0a020001);
	assert_int_equal(wires_start(&dir,
				 WAN ",{\"name\":\"isp\",\"prefix\":\"100.64.0.0/24\",\"gateway\":\"100.64.0.1\",\"domain\":\"g.croft\","
				     "\"router\":{\"to\":\"wan\",\"address\":\"10.2.0.9\",\"nat\":{}}},"
				     "{\"name\":\"home\",\"prefix\":\"10.1.0.0/24\",\"gateway\":\"10.1.0.1\",\"domain\":\"g.croft\","
				     "\"router\":{\"to\":\"isp\",\"address\":\"100.64.0.7\",\"nat\":{}}}"),
		0);
	udp_send(0, wires[0].ip, 5000, wires[1].ip, 7, "a", 1);
	assert_true(udp_receive(1, &d, true));
	assert_int_equal(d.src, ROUTER);
	udp_send(1, wires[1].ip, 7, d.src, d.src_port, "b", 1);
	assert_true(udp_receive(0, &d, true));
	assert_int_equal(d.dst_port, 5000);
	assert_int_equal(wires_end(&dir), 0);
}

/* Without NAT both sides know each other's addresses; a packet that has gone round too often is told of. */
static void routed_zones(void **state)
{
	static uint8_t f[70000];
	uint8_t l4[9] = { 0 };
	void *dir = NULL;
	struct datagram d;

	nwires = 0;
	wire_add("lab", 0x0a01000a, 0x0a010001);
	wire_add("wan", 0x0a02000a, 0x0a020001);
	assert_int_equal(wires_start(&dir, WAN ",{\"name\":\"lab\",\"prefix\":\"10.1.0.0/24\",\"gateway\":\"10.1.0.1\",\"domain\":\"g.croft\","
					       "\"mtu\":1000,\"router\":{\"to\":\"wan\",\"address\":\"10.2.0.9\"}}"),
		0);
	udp_send(0, wires[0].ip, 5000, wires[1].ip, 7, "a", 1);
	assert_true(udp_receive(1, &d, true));
	assert_int_equal(d.src, wires[0].ip);
	udp_send(1, wires[1].ip, 7, wires[0].ip, 5000, "b", 1);
	assert_true(udp_receive(0, &d, true));
	assert_int_equal(d.src, wires[1].ip);
	/* Nobody has this one. */
	put16(l4 + 4, 9);
	wire_send4(1, IPPROTO_UDP, wires[1].ip, 0x0a0100c8, l4, 9);
	do
		wire_frame(1, f, sizeof(f), true);
	while (get16(f + 12) != ETHERTYPE_IPV4 || f[23] != IPPROTO_ICMP);
	assert_int_equal(f[34], 3);
	assert_int_equal(f[35], 1);
	/* Too large for the lab and not to be cut. */
	memset(f, 0, 1400);
	put16(f, 0x5255);
	put32(f + 2, wires[1].gateway);
	memcpy(f + 6, wires[1].mac, 6);
	put16(f + 12, ETHERTYPE_IPV4);
	ip4_header(f + 14, IPPROTO_UDP, wires[1].ip, wires[0].ip, 1200);
	put16(f + 20, IP4_DF);
	put16(f + 24, 0);
	put16(f + 24, inet_checksum(f + 14, 20, 0));
	wire_write(1, f, 34 + 1200);
	do
		wire_frame(1, f, sizeof(f), true);
	while (get16(f + 12) != ETHERTYPE_IPV4 || f[23] != IPPROTO_ICMP);
	assert_int_equal(f[34], 3);
	assert_int_equal(f[35], 4);
	assert_int_equal(get32(f + 38), 1000);
	assert_int_equal(wires_end(&dir), 0);
}

/* What `croft net show --table` reads: every flow once, however many pages. */
static void the_table_shows_flows(void **state)
{
	struct datagram d;
	size_t seen = 0;
	json_t *next = json_integer(0);

	for (unsigned port = 2000; port < 3200; port++)
		udp_send(CLIENT, wires[CLIENT].ip, (uint16_t)port, wires[SERVER].ip, PORT_A, "?", 1);
	wire_settle(CLIENT);
	while (udp_receive(SERVER, &d, false))
		;
	for (int pages = 0; next; pages++) {
		_cleanup_free_ char *request = xasprintf("{\"op\":\"table\",\"zone\":\"home\",\"from\":%lld}", (long long)json_integer_value(next)),
				    *answer = wires_ask(request);
		json_t *j = json_loads(answer, 0, NULL), *f;
		size_t i;

		json_array_foreach(json_object_get(j, "flows"), i, f)
		{
			seen++;
			assert_string_equal(json_string_value(json_object_get(f, "proto")), "udp");
			assert_memory_equal(json_string_value(json_object_get(f, "inside")), "10.1.0.10:", 10);
			assert_string_equal(json_string_value(json_object_get(f, "remote")), "10.2.0.10:3478");
			assert_in_range(json_integer_value(json_object_get(f, "seconds_left")), 1, 300);
		}
		json_decref(next);
		next = json_incref(json_object_get(j, "next"));
		json_decref(j);
		assert_true(pages < 4);
	}
	assert_int_equal(seen, 1200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_is_what_it_says),
		cmocka_unit_test_setup_teardown(a_port_map_lets_in, begin_home, wires_end),
		cmocka_unit_test_setup_teardown(ports_are_kept_and_never_shared, begin_home, wires_end),
		cmocka_unit_test_setup_teardown(errors_come_back_through_nat, begin_home, wires_end),
		cmocka_unit_test_setup_teardown(pings_have_ids_of_their_own, begin_home, wires_end),
		cmocka_unit_test_setup_teardown(fragments_pass, begin_home, wires_end),
		cmocka_unit_test_setup_teardown(maps_on_request, begin_home, wires_end),
		cmocka_unit_test_setup_teardown(what_is_inside_cannot_be_named_from_outside, begin_home, wires_end),
		cmocka_unit_test_setup_teardown(a_killed_process_goes_on_with_its_tables, begin_home, wires_end),
		cmocka_unit_test_setup_teardown(the_table_shows_flows, begin_home, wires_end),
		cmocka_unit_test(times_end_flows),
		cmocka_unit_test(two_in_a_row),
		cmocka_unit_test(routed_zones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
