/* SPDX-License-Identifier: Apache-2.0 */
/* The real croft-net between two sockets that stand for machines. */
#include "../test.h"
#include "base/path.h"
#include "base/proc.h"
#include "net/ip.h"
#include "net/net.h"
#include "net/zone.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

struct machine_end {
	int listener, fd;
	uint8_t mac[6];
};
static struct machine_end ends[2];
static char *dir;

static const uint8_t broadcast_mac[6] = { 255, 255, 255, 255, 255, 255 };

static void accept_both(void)
{
	for (int i = 0; i < 2; i++) {
		struct pollfd p = { .fd = ends[i].listener, .events = POLLIN };

		assert_int_equal(poll(&p, 1, 10000), 1);
		ends[i].fd = accept4(ends[i].listener, NULL, NULL, SOCK_CLOEXEC);
		assert_true(ends[i].fd >= 0);
	}
}

static int setup(void **state)
{
	struct error *e = NULL;
	_cleanup_buf_ struct buf json = BUF_INIT;

	if (test_dir_setup(state) < 0)
		return -1;
	dir = path_join(*state, "net");
	buf_adds(&json, "{\"group\":\"g\",\"zones\":[{\"name\":\"lan\",\"prefix\":\"10.1.2.0/"
			"24\",\"gateway\":\"10.1.2.1\","
			"\"domain\":\"g.croft\",\"outside\":true}],\"ports\":[");
	for (int i = 0; i < 2; i++) {
		_cleanup_free_ char *sock = xasprintf("%s/port %d.sock", (char *)*state, i);

		memcpy(ends[i].mac, (uint8_t[]){ 0x52, 0x54, 0, 0, 0, (uint8_t)(i + 1) }, 6);
		ends[i].listener = unix_listen(sock, 4, &e);
		buf_addf(&json,
			"%s{\"node\":\"n%d\",\"zone\":\"lan\",\"mac\":\"52:54:00:00:00:0%d\","
			"\"address\":\"10.1.2.1%d\","
			"\"names\":[\"n%d\"],\"socket\":\"%s\"}",
			i ? "," : "", i, i + 1, i, i, sock);
	}
	buf_adds(&json, "]}");
	if (net_configure(dir, json.data, &e) < 0 || net_start(dir, &e) < 0) {
		fprintf(stderr, "%s\n", e->msg);
		return -1;
	}
	accept_both();
	return 0;
}

static int teardown(void **state)
{
	struct error *e = NULL;

	if (net_stop(dir, &e) < 0 || net_running(dir))
		return -1;
	free(dir);
	for (int i = 0; i < 2; i++) {
		close(ends[i].fd);
		close(ends[i].listener);
	}
	return test_dir_teardown(state);
}

static void send_frame(int from, const uint8_t *frame, size_t n)
{
	uint8_t b[2048];

	put32(b, (uint32_t)n);
	memcpy(b + 4, frame, n);
	assert_int_equal(write(ends[from].fd, b, n + 4), n + 4);
}

static void read_exact(int fd, void *p, size_t n)
{
	for (size_t got = 0; got < n;) {
		struct pollfd f = { .fd = fd, .events = POLLIN };
		ssize_t r;

		assert_int_equal(poll(&f, 1, 10000), 1);
		r = read(fd, (char *)p + got, n - got);
		assert_true(r > 0);
		got += (size_t)r;
	}
}

static size_t receive(int at, uint8_t *frame)
{
	uint8_t head[4];

	read_exact(ends[at].fd, head, 4);
	assert_true(get32(head) <= 2048);
	read_exact(ends[at].fd, frame, get32(head));
	return get32(head);
}

/* An Ethernet frame of an experimental type (IEEE 802: 0x88b5) with a number in it. */
static void plain(int from, const uint8_t *src, const uint8_t *dst, uint32_t number)
{
	uint8_t f[60] = { 0 };

	memcpy(f, dst, 6);
	memcpy(f + 6, src, 6);
	put16(f + 12, 0x88b5);
	put32(f + 14, number);
	send_frame(from, f, sizeof(f));
}

static void frames_arrive_and_spoofed_ones_do_not(void **state)
{
	uint8_t f[2048];

	plain(0, ends[0].mac, ends[1].mac, 1);
	assert_int_equal(receive(1, f), 60);
	assert_int_equal(get32(f + 14), 1);
	plain(0, ends[1].mac, broadcast_mac, 2); /* says it were the other */
	plain(0, ends[0].mac, broadcast_mac, 3);
	receive(1, f);
	assert_int_equal(get32(f + 14), 3);
}

/* Nothing of the time before arrives after the pause, whatever it was on its way in. */
static void nothing_is_under_way_after_a_pause(void **state)
{
	struct error *e = NULL;
	uint8_t f[2048];
	char *answer;

	plain(0, ends[0].mac, ends[1].mac, 10);
	receive(1, f);
	answer = net_request(dir, "{\"op\":\"pause\"}", 5000, &e);
	assert_non_null(answer);
	assert_non_null(strstr(answer, "\"unread\":0"));
	free(answer);
	plain(0, ends[0].mac, ends[1].mac, 11);
	answer = net_request(dir, "{\"op\":\"resume\"}", 5000, &e);
	assert_non_null(answer);
	free(answer);
	/* It came anew; on the old connection there is only its end. */
	assert_int_equal(read(ends[1].fd, f, sizeof(f)), 0);
	for (int i = 0; i < 2; i++)
		close(ends[i].fd);
	accept_both();
	plain(0, ends[0].mac, ends[1].mac, 12);
	receive(1, f);
	assert_int_equal(get32(f + 14), 12);
}

static void gateway_answers_arp(void **state)
{
	uint8_t f[2048] = { 0 };

	memcpy(f, broadcast_mac, 6);
	memcpy(f + 6, ends[0].mac, 6);
	memcpy(f + 12, (uint8_t[]){ 8, 6, 0, 1, 8, 0, 6, 4, 0, 1 }, 10);
	memcpy(f + 22, ends[0].mac, 6);
	put32(f + 28, 0x0a01020a);
	put32(f + 38, 0x0a010201);
	send_frame(0, f, 42);
	do
		assert_true(receive(0, f) >= 42);
	while (get16(f + 12) != 0x0806 || get16(f + 20) != 2);
	assert_int_equal(get32(f + 28), 0x0a010201);
	assert_memory_equal(f + 22, ((uint8_t[]){ 0x52, 0x55, 10, 1, 2, 1 }), 6);
	/* The question was a broadcast: the other has heard it too. */
	assert_int_equal(receive(1, f), 42);
}

static void a_killed_network_comes_back(void **state)
{
	_cleanup_free_ char *pid = path_join(dir, "net.pid"), *status = NULL;
	struct error *e = NULL;
	struct proc_id id;
	uint8_t f[2048];

	assert_ok(proc_id_read(pid, &id, &e), e);
	assert_int_equal(kill(id.pid, SIGKILL), 0);
	for (int i = 0; i < 2; i++) {
		struct pollfd p = { .fd = ends[i].fd, .events = POLLIN };

		assert_int_equal(poll(&p, 1, 10000), 1);
		close(ends[i].fd);
	}
	for (int i = 0; i < 1000 && net_running(dir); i++)
		usleep(10000);
	assert_false(net_running(dir));
	assert_ok(net_start(dir, &e), e);
	accept_both();
	plain(1, ends[1].mac, ends[0].mac, 7);
	do
		receive(0, f);
	while (get16(f + 12) != 0x88b5);
	assert_int_equal(get32(f + 14), 7);
	status = net_request(dir, "{\"op\":\"status\"}", 5000, &e);
	assert_non_null(status);
	assert_non_null(strstr(status, "\"node\":\"n1\""));
	assert_null(net_request(dir, "{\"op\":\"dance\"}", 5000, &e));
	assert_non_null(strstr(e->msg, "not a request that is known"));
	error_clear(&e);
}

static void a_stream_of_garbage_ends_only_its_port(void **state)
{
	uint8_t junk[64], f[2048];
	char c;

	memset(junk, 0xff, sizeof(junk));
	assert_int_equal(write(ends[0].fd, junk, sizeof(junk)), sizeof(junk));
	assert_int_equal(read(ends[0].fd, &c, 1), 0);
	close(ends[0].fd);
	{
		struct pollfd p = { .fd = ends[0].listener, .events = POLLIN };

		assert_int_equal(poll(&p, 1, 10000), 1); /* it comes back by itself */
		ends[0].fd = accept4(ends[0].listener, NULL, NULL, SOCK_CLOEXEC);
	}
	plain(1, ends[1].mac, ends[0].mac, 9);
	do
		receive(0, f);
	while (get16(f + 12) != 0x88b5);
	assert_int_equal(get32(f + 14), 9);
}

/* UDP or TCP (a SYN) from machine 0, led to the gateway's MAC. */
static void to_host(uint8_t proto, uint32_t dst, uint16_t port)
{
	uint8_t f[ETH_BYTES + 40] = { 0x52, 0x55, 10, 1, 2, 1 }, *l4 = f + 34;
	size_t n = proto == IPPROTO_UDP ? 8 : 20;

	memcpy(f + 6, ends[0].mac, 6);
	put16(f + 12, ETHERTYPE_IPV4);
	ip4_header(f + 14, proto, 0x0a01020a, dst, n);
	put16(l4, 4000);
	put16(l4 + 2, port);
	if (proto == IPPROTO_UDP) {
		put16(l4 + 4, 8);
	} else {
		l4[12] = 0x50;
		l4[13] = 2;
		put16(l4 + 14, 1024);
		put16(l4 + 16, inet_checksum(l4, n, pseudo4(0x0a01020a, dst, proto, n)));
	}
	send_frame(0, f, 34 + n);
}

/* Frames of one machine are dealt with in their order: when the answer is there, all before it has been. */
static void ping_gateway(void)
{
	uint8_t f[ETH_BYTES + IP4_BYTES + 8] = { 0x52, 0x55, 10, 1, 2, 1 }, r[2048];

	memcpy(f + 6, ends[0].mac, 6);
	put16(f + 12, ETHERTYPE_IPV4);
	ip4_header(f + 14, IPPROTO_ICMP, 0x0a01020a, 0x0a010201, 8);
	f[34] = 8;
	put16(f + 36, inet_checksum(f + 34, 8, 0));
	send_frame(0, f, sizeof(f));
	do
		assert_true(receive(0, r) >= 42);
	while (get16(r + 12) != ETHERTYPE_IPV4 || r[23] != IPPROTO_ICMP || r[34] != 0);
}

static void the_hosts_loopback_is_out_of_reach(void **state)
{
	/* The gateway (slirp's name for the host), loopback, "this host" and the link of clouds' credentials. */
	static const uint32_t doors[] = { 0x0a010201, 0x7f000001, 0x7f010203, 0, 0xffffffff, 0xa9fea9fe, 0x0a0102fe };
	struct sockaddr_in sa = { .sin_family = AF_INET };
	socklen_t sl = sizeof(sa);
	int tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	uint8_t b[64];

	assert_int_equal(bind(tcp, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(tcp, 8), 0);
	assert_int_equal(getsockname(tcp, (struct sockaddr *)&sa, &sl), 0);
	assert_int_equal(bind(udp, (struct sockaddr *)&sa, sizeof(sa)), 0);
	for (size_t i = 0; i < ARRAY_SIZE(doors); i++) {
		struct pollfd p = { .fd = tcp, .events = POLLIN };

		to_host(IPPROTO_TCP, doors[i], ntohs(sa.sin_port));
		to_host(IPPROTO_UDP, doors[i], ntohs(sa.sin_port));
		ping_gateway();
		if (recv(udp, b, sizeof(b), MSG_DONTWAIT) >= 0)
			fail_msg("UDP for %x came to the host", doors[i]);
		if (poll(&p, 1, 0))
			fail_msg("TCP for %x came to the host", doors[i]);
	}
	close(tcp);
	close(udp);
}

/* A QEMU that has stopped takes no connection; its queue is soon full and connect(2) would wait for ever. */
static void a_stopped_machine_stops_nobody_else(void **state)
{
	_cleanup_free_ char *other = path_join(*state, "other"), *sock = path_join(*state, "full.sock"), *answer = NULL;
	_cleanup_buf_ struct buf json = BUF_INIT;
	struct error *e = NULL;
	int listener = unix_listen(sock, 0, &e), waiting = unix_connect_now(sock, &e), fd;

	assert_true(listener >= 0 && waiting >= 0);
	assert_int_equal(unix_connect_now(sock, &e), -1);
	assert_int_equal(e->code, EAGAIN);
	error_clear(&e);
	buf_addf(&json,
		"{\"group\":\"g\",\"zones\":[{\"name\":\"lan\",\"prefix\":\"10.1.2.0/24\",\"gateway\":\"10.1.2.1\","
		"\"domain\":\"g.croft\"}],\"ports\":[{\"node\":\"n\",\"zone\":\"lan\",\"mac\":\"52:54:00:00:00:01\","
		"\"address\":\"10.1.2.9\",\"names\":[],\"socket\":\"%s\"}]}",
		sock);
	assert_ok(net_configure(other, json.data, &e), e);
	assert_ok(net_start(other, &e), e);
	answer = net_request(other, "{\"op\":\"attach\"}", 5000, &e);
	if (!answer)
		fail_msg("%s", e->msg);
	assert_non_null(strstr(answer, "\"connected\":false"));
	/* As soon as there is room it comes by itself. */
	close(accept(listener, NULL, NULL));
	fd = accept(listener, NULL, NULL);
	assert_true(fd >= 0);
	assert_ok(net_stop(other, &e), e);
	close(fd);
	close(waiting);
	close(listener);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_arrive_and_spoofed_ones_do_not),
		cmocka_unit_test(nothing_is_under_way_after_a_pause),
		cmocka_unit_test(gateway_answers_arp),
		cmocka_unit_test(the_hosts_loopback_is_out_of_reach),
		cmocka_unit_test(a_killed_network_comes_back),
		cmocka_unit_test(a_stream_of_garbage_ends_only_its_port),
		cmocka_unit_test(a_stopped_machine_stops_nobody_else),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
