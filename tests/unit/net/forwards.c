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
	assert_non_null(strstr(e->msg, "there is no machine 'nobody'"));
	error_clear(&e);
	forward("unforward", "tcp", port, 0, 80);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&(struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) }, sizeof(struct sockaddr_in)), -1);
	close(fd);
	answer = wires_ask("{\"op\":\"forwards\"}");
	assert_non_null(strstr(answer, "\"forwards\":[]"));
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
		cmocka_unit_test_setup_teardown(a_forward_is_no_door_to_loopback, begin, wires_end),
		cmocka_unit_test_setup_teardown(they_come_back_after_a_kill, begin, wires_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
