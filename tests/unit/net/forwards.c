/* SPDX-License-Identifier: Apache-2.0 */
/* From a port of the host to a machine, in a zone with a way out and in one without. */
#include "wires.h"

#include <arpa/inet.h>

#define OUT 0
#define LAB 1

static int begin(void **state)
{
	nwires = 0;
	wire_add("out", 0x0a01000a, 0x0a010001);
	wire_add("lab", 0x0a02000a, 0x0a020001);
	return wires_start(state, "{\"name\":\"out\",\"prefix\":\"10.1.0.0/24\",\"gateway\":\"10.1.0.1\",\"domain\":\"g.croft\",\"outside\":true},"
				  "{\"name\":\"lab\",\"prefix\":\"10.2.0.0/24\",\"gateway\":\"10.2.0.1\",\"domain\":\"g.croft\"}");
}

/* A socket on a free port of loopback; the port is free again when it is closed. */
static int held(int type, uint16_t *port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(sa);
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &n), 0);
	*port = ntohs(sa.sin_port);
	return fd;
}

static uint16_t unused(int type)
{
	uint16_t port;

	close(held(type, &port));
	return port;
}

static void forward(const char *op, const char *proto, uint16_t host_port, int wire, unsigned port)
{
	_cleanup_free_ char *request = xasprintf("{\"op\":\"%s\",\"proto\":\"%s\",\"host_port\":%u,\"node\":\"n%d\",\"port\":%u}", op, proto, host_port,
		wire, port);

	free(wires_ask(request));
}

static struct sockaddr_in loopback(uint16_t port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

static void udp_both_ways(void **state)
{
	for (int w = OUT; w <= LAB; w++) {
		struct sockaddr_in to = loopback(unused(SOCK_DGRAM));
		int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		struct pollfd p = { .fd = fd, .events = POLLIN };
		struct datagram d;
		char b[16];

		forward("forward", "udp", ntohs(to.sin_port), w, 53);
		assert_int_equal(sendto(fd, "ask", 3, 0, (struct sockaddr *)&to, sizeof(to)), 3);
		assert_true(udp_receive(w, &d, true));
		assert_int_equal(d.src, wires[w].gateway);
		assert_int_equal(d.dst, wires[w].ip);
		assert_int_equal(d.dst_port, 53);
		assert_memory_equal(d.data, "ask", 3);
		udp_send(w, wires[w].ip, 53, d.src, d.src_port, "answer", 6);
		assert_int_equal(poll(&p, 1, 20000), 1);
		assert_int_equal(recv(fd, b, sizeof(b), 0), 6);
		close(fd);
	}
}

/* The next TCP segment with this flag. */
static void tcp_receive(int at, uint8_t flag, struct ip4 *p)
{
	static uint8_t f[70000];

	for (;;) {
		size_t n = wire_frame(at, f, sizeof(f), true);

		if (n >= 54 && get16(f + 12) == ETHERTYPE_IPV4 && f[23] == IPPROTO_TCP && ip4_parse(f + 14, n - 14, p) && (p->h[33] & flag))
			return;
	}
}

/* A segment that was answered by an ICMP error, not by a connection. */
static void tcp_or_refused(int at)
{
	static uint8_t f[70000];

	for (;;) {
		size_t n = wire_frame(at, f, sizeof(f), true);

		if (n < 54 || get16(f + 12) != ETHERTYPE_IPV4)
			continue;
		if (f[23] == IPPROTO_ICMP && f[34] == 3)
			return;
		if (f[23] == IPPROTO_TCP && get16(f + 34) != 5432)
			fail_msg("port %u answers", get16(f + 34));
	}
}

static void tcp_connects(void **state)
{
	for (int w = OUT; w <= LAB; w++) {
		struct sockaddr_in to = loopback(unused(SOCK_STREAM));
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		uint8_t l4[20] = { 0 };
		struct ip4 p;

		forward("forward", "tcp", ntohs(to.sin_port), w, 80);
		assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
		tcp_receive(w, 2, &p);
		assert_int_equal(p.src, wires[w].gateway);
		assert_int_equal(get16(p.h + 22), 80);
		put16(l4, 80);
		put16(l4 + 2, get16(p.h + 20));
		put32(l4 + 4, 1000);
		put32(l4 + 8, get32(p.h + 24) + 1);
		l4[12] = 0x50;
		l4[13] = 0x12;
		put16(l4 + 14, 1000);
		wire_send4(w, IPPROTO_TCP, wires[w].ip, p.src, l4, 20);
		assert_int_equal(write(fd, "hello", 5), 5);
		do
			tcp_receive(w, 16, &p);
		while (p.len - 40 < 5);
		assert_memory_equal(p.h + 40, "hello", 5);
		close(fd);
	}
}

static void a_port_that_is_taken_is_said(void **state)
{
	uint16_t port;
	int fd = held(SOCK_STREAM, &port);
	_cleanup_free_ char *request = xasprintf("{\"op\":\"forward\",\"host_port\":%u,\"node\":\"n0\",\"port\":80}", port), *answer = NULL;
	struct error *e = NULL;

	assert_int_equal(listen(fd, 1), 0);
	assert_null(net_request(wires_dir, request, 20000, &e));
	assert_non_null(strstr(e->msg, "127.0.0.1:"));
	error_clear(&e);
	close(fd);
	free(wires_ask(request));
	/* A second time, and one for nobody. */
	assert_null(net_request(wires_dir, request, 20000, &e));
	assert_non_null(strstr(e->msg, "already"));
	error_clear(&e);
	assert_null(net_request(wires_dir, "{\"op\":\"forward\",\"host_port\":1025,\"node\":\"nobody\",\"port\":80}", 20000, &e));
	assert_non_null(strstr(e->msg, "no node 'nobody'"));
	error_clear(&e);
	forward("unforward", "tcp", port, 0, 80);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&(struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) }, sizeof(struct sockaddr_in)), -1);
	close(fd);
	answer = wires_ask("{\"op\":\"forwards\"}");
	assert_non_null(strstr(answer, "\"forwards\":[]"));
}

static void reverse(const char *op, const char *proto, uint16_t host_port, const char *node, unsigned port)
{
	_cleanup_free_ char *request = xasprintf("{\"op\":\"%s\",\"reverse\":true,\"proto\":\"%s\",\"host_port\":%u,\"node\":\"%s\",\"port\":%u}", op,
		proto, host_port, node, port);

	free(wires_ask(request));
}

/* A machine asks a port of its gateway, and a socket of the host's loopback hears it; both ways, with and without a way out. */
static void the_reverse_udp(void **state)
{
	for (int w = OUT; w <= LAB; w++) {
		uint16_t port;
		int fd = held(SOCK_DGRAM, &port);
		struct pollfd p = { .fd = fd, .events = POLLIN };
		struct sockaddr_in peer;
		socklen_t n = sizeof(peer);
		struct datagram d;
		char b[16];

		reverse("forward", "udp", port, w == OUT ? "n0" : "*", 777 + w);
		udp_send(w, wires[w].ip, 4000, wires[w].gateway, (uint16_t)(777 + w), "ask", 3);
		assert_int_equal(poll(&p, 1, 20000), 1);
		assert_int_equal(recvfrom(fd, b, sizeof(b), 0, (struct sockaddr *)&peer, &n), 3);
		assert_int_equal(sendto(fd, "answer", 6, 0, (struct sockaddr *)&peer, n), 6);
		assert_true(udp_receive(w, &d, true));
		assert_int_equal(d.src, wires[w].gateway);
		assert_int_equal(d.src_port, 777 + w); /* not that of the host's socket */
		assert_int_equal(d.dst_port, 4000);
		assert_memory_equal(d.data, "answer", 6);
		reverse("unforward", "udp", port, w == OUT ? "n0" : "*", 777 + w);
		udp_send(w, wires[w].ip, 4001, wires[w].gateway, (uint16_t)(777 + w), "ask", 3);
		wire_settle(w);
		assert_int_equal(poll(&p, 1, 100), 0);
		close(fd);
	}
}

static void the_reverse_tcp(void **state)
{
	uint16_t port;
	int fd = held(SOCK_STREAM, &port), c;
	uint8_t l4[20] = { 0 };
	struct ip4 p;

	assert_int_equal(listen(fd, 1), 0);
	reverse("forward", "tcp", port, "n0", 5432);
	put16(l4, 4000);
	put16(l4 + 2, 5432);
	put32(l4 + 4, 1000);
	l4[12] = 0x50;
	l4[13] = 2;
	put16(l4 + 14, 1000);
	wire_send4(OUT, IPPROTO_TCP, wires[OUT].ip, wires[OUT].gateway, l4, 20);
	tcp_receive(OUT, 2, &p);
	assert_int_equal(get16(p.h + 20), 5432);
	assert_int_equal(inet_checksum(p.h + 20, p.len - 20, pseudo4(p.src, p.dst, IPPROTO_TCP, p.len - 20)), 0);
	c = accept(fd, NULL, NULL);
	assert_true(c >= 0);
	/* The other machine has no such way, nor has this one one to another port of the host's. */
	wire_send4(LAB, IPPROTO_TCP, wires[LAB].ip, wires[LAB].gateway, l4, 20);
	tcp_or_refused(LAB);
	put16(l4 + 2, port);
	wire_send4(OUT, IPPROTO_TCP, wires[OUT].ip, wires[OUT].gateway, l4, 20);
	tcp_or_refused(OUT);
	close(c);
	close(fd);
}

static void what_the_reverse_can_not(void **state)
{
	static const char *const bad[] = {
		"{\"op\":\"forward\",\"reverse\":true,\"host\":\"10.0.0.1\",\"host_port\":80,\"node\":\"n0\",\"port\":80}",
		"{\"op\":\"forward\",\"reverse\":true,\"host_port\":53,\"node\":\"n0\",\"port\":53}",
		"{\"op\":\"forward\",\"reverse\":true,\"host_port\":80,\"node\":\"*\",\"port\":81}",
		"{\"op\":\"unforward\",\"reverse\":true,\"host_port\":80,\"node\":\"n1\",\"port\":80}",
	};

	reverse("forward", "tcp", 80, "n0", 80);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct error *e = NULL;

		assert_null(net_request(wires_dir, bad[i], 20000, &e));
		error_clear(&e);
	}
	/* A kill takes nothing of it. */
	wires_kill();
	_cleanup_free_ char *answer = wires_ask("{\"op\":\"forwards\"}");
	assert_non_null(strstr(answer, "\"reverse\":true"));
}

/* A machine that has a forward is no way to the host's loopback, whoever it answers. */
static void a_forward_is_no_door_to_loopback(void **state)
{
	uint16_t door, port = unused(SOCK_DGRAM);
	int secret = held(SOCK_DGRAM, &door), tcp, client = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in to = loopback(port);
	uint8_t syn[20] = { 0 };
	uint16_t tcp_door;
	struct datagram d;
	struct pollfd p;
	char b[16];

	forward("forward", "udp", port, OUT, 53);
	assert_int_equal(sendto(client, "ask", 3, 0, (struct sockaddr *)&to, sizeof(to)), 3);
	assert_true(udp_receive(OUT, &d, true));
	udp_send(OUT, wires[OUT].ip, 53, d.src, door, "in?", 3);
	wire_settle(OUT);
	assert_int_equal(recv(secret, b, sizeof(b), MSG_DONTWAIT), -1);
	tcp = held(SOCK_STREAM, &tcp_door);
	assert_int_equal(listen(tcp, 1), 0);
	put16(syn, 80);
	put16(syn + 2, tcp_door);
	syn[12] = 0x50;
	syn[13] = 2;
	wire_send4(OUT, IPPROTO_TCP, wires[OUT].ip, wires[OUT].gateway, syn, 20);
	wire_settle(OUT);
	p = (struct pollfd){ .fd = tcp, .events = POLLIN };
	assert_int_equal(poll(&p, 1, 0), 0);
	close(tcp);
	close(secret);
	close(client);
}

static void they_come_back_after_a_kill(void **state)
{
	struct sockaddr_in to = loopback(unused(SOCK_STREAM));
	_cleanup_free_ char *file = path_join(wires_dir, "net.state"), *answer = NULL;

	forward("forward", "tcp", ntohs(to.sin_port), LAB, 80);
	while (!file_exists(file))
		usleep(20000);
	wires_kill();
	answer = wires_ask("{\"op\":\"forwards\"}");
	assert_non_null(strstr(answer, "\"node\":\"n1\""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(udp_both_ways, begin, wires_end),
		cmocka_unit_test_setup_teardown(tcp_connects, begin, wires_end),
		cmocka_unit_test_setup_teardown(a_port_that_is_taken_is_said, begin, wires_end),
		cmocka_unit_test_setup_teardown(the_reverse_udp, begin, wires_end),
		cmocka_unit_test_setup_teardown(the_reverse_tcp, begin, wires_end),
		cmocka_unit_test_setup_teardown(what_the_reverse_can_not, begin, wires_end),
		cmocka_unit_test_setup_teardown(a_forward_is_no_door_to_loopback, begin, wires_end),
		cmocka_unit_test_setup_teardown(they_come_back_after_a_kill, begin, wires_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
