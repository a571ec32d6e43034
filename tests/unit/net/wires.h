/* SPDX-License-Identifier: Apache-2.0 */
/* A real croft-net with zones and routers between sockets that stand for machines: what the tests of routers share. */
#ifndef WIRES_H
#define WIRES_H

#include "../test.h"
#include "base/path.h"
#include "base/proc.h"
#include "net/ip.h"
#include "net/net.h"
#include "net/zone.h"

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

#define WIRES_MAX 8
struct wire {
	const char *zone;
	uint32_t ip, gateway;
	int listener, fd;
	uint8_t mac[6];
};
static struct wire wires[WIRES_MAX];
static int nwires;
static char *wires_dir;

static int wire_add(const char *zone, uint32_t ip, uint32_t gateway)
{
	struct wire *w = &wires[nwires];

	*w = (struct wire){ .zone = zone, .ip = ip, .gateway = gateway, .fd = -1 };
	memcpy(w->mac, (uint8_t[]){ 0x52, 0x54, 0, 0, 0, (uint8_t)(nwires + 1) }, 6);
	return nwires++;
}

static char *wires_json(const char *base, const char *zones)
{
	struct buf b = BUF_INIT;

	buf_addf(&b, "{\"group\":\"g\",\"zones\":[%s],\"ports\":[", zones);
	for (int i = 0; i < nwires; i++)
		buf_addf(&b,
			"%s{\"node\":\"n%d\",\"zone\":\"%s\",\"mac\":\"52:54:00:00:00:%02x\",\"address\":\"%u.%u.%u.%u\",\"names\":[\"n%d\"],"
			"\"socket\":\"%s/%d.sock\"}",
			i ? "," : "", i, wires[i].zone, i + 1, wires[i].ip >> 24, wires[i].ip >> 16 & 255, wires[i].ip >> 8 & 255,
			wires[i].ip & 255, i, base, i);
	buf_adds(&b, "]}");
	return buf_steal(&b);
}

static void wires_accept(void)
{
	for (int i = 0; i < nwires; i++) {
		struct pollfd p = { .fd = wires[i].listener, .events = POLLIN };

		assert_int_equal(poll(&p, 1, 20000), 1);
		wires[i].fd = accept4(wires[i].listener, NULL, NULL, SOCK_CLOEXEC);
		assert_true(wires[i].fd >= 0);
	}
}

static int wires_start(void **state, const char *zones)
{
	_cleanup_free_ char *json = NULL;
	struct error *e = NULL;

	if (test_dir_setup(state) < 0)
		return -1;
	wires_dir = path_join(*state, "net");
	for (int i = 0; i < nwires; i++) {
		_cleanup_free_ char *sock = xasprintf("%s/%d.sock", (char *)*state, i);

		wires[i].listener = unix_listen(sock, 4, &e);
	}
	json = wires_json(*state, zones);
	if (net_configure(wires_dir, json, &e) < 0 || net_start(wires_dir, &e) < 0) {
		fprintf(stderr, "%s\n", e->msg);
		return -1;
	}
	wires_accept();
	return 0;
}

static int wires_end(void **state)
{
	struct error *e = NULL;

	if (net_stop(wires_dir, &e) < 0 || net_running(wires_dir))
		return -1;
	free(STEAL(wires_dir));
	for (int i = 0; i < nwires; i++) {
		close(wires[i].fd);
		close(wires[i].listener);
	}
	nwires = 0;
	return test_dir_teardown(state);
}

/* Killed as by a bug; another begins. */
static _unused_ void wires_kill(void)
{
	_cleanup_free_ char *pid = path_join(wires_dir, "net.pid");
	struct error *e = NULL;
	struct proc_id id;
	int fd;

	assert_ok(proc_id_read(pid, &id, &e), e);
	fd = proc_id_open(&id);
	assert_int_equal(kill(id.pid, SIGKILL), 0);
	if (fd >= 0) {
		struct pollfd p = { .fd = fd, .events = POLLIN };

		assert_int_equal(poll(&p, 1, 20000), 1);
		close(fd);
	}
	for (int i = 0; i < nwires; i++)
		close(wires[i].fd);
	assert_ok(net_start(wires_dir, &e), e);
	wires_accept();
}

static _unused_ char *wires_ask(const char *request)
{
	struct error *e = NULL;
	char *answer = net_request(wires_dir, request, 20000, &e);

	if (!answer)
		fail_msg("%s: %s", request, e->msg);
	return answer;
}

static void wire_write(int from, const void *frame, size_t n)
{
	static uint8_t b[70000];

	put32(b, (uint32_t)n);
	memcpy(b + 4, frame, n);
	assert_int_equal(write(wires[from].fd, b, n + 4), n + 4);
}

static void wire_read(int fd, void *p, size_t n)
{
	for (size_t got = 0; got < n;) {
		struct pollfd f = { .fd = fd, .events = POLLIN };
		ssize_t r;

		assert_int_equal(poll(&f, 1, 20000), 1);
		r = read(fd, (char *)p + got, n - got);
		assert_true(r > 0);
		got += (size_t)r;
	}
}

/* The next frame; 0 at once when none has come. */
static size_t wire_frame(int at, uint8_t *frame, size_t cap, bool wait)
{
	struct pollfd f = { .fd = wires[at].fd, .events = POLLIN };
	uint8_t head[4];

	if (!wait && poll(&f, 1, 0) == 0)
		return 0;
	wire_read(wires[at].fd, head, 4);
	assert_true(get32(head) <= cap);
	wire_read(wires[at].fd, frame, get32(head));
	return get32(head);
}

/* An IPv4 packet led to the wire's gateway. `l4` is completed with its checksum. */
static void wire_send4(int from, uint8_t proto, uint32_t src, uint32_t dst, uint8_t *l4, size_t n)
{
	static uint8_t f[70000];
	int at = proto == IPPROTO_TCP ? 16 : proto == IPPROTO_UDP ? 6 : 2;
	uint16_t sum;

	put16(f, 0x5255);
	put32(f + 2, wires[from].gateway);
	memcpy(f + 6, wires[from].mac, 6);
	put16(f + 12, ETHERTYPE_IPV4);
	ip4_header(f + 14, proto, src, dst, n);
	put16(l4 + at, 0);
	sum = inet_checksum(l4, n, proto == IPPROTO_ICMP ? 0 : pseudo4(src, dst, proto, n));
	put16(l4 + at, sum);
	memcpy(f + 34, l4, n);
	wire_write(from, f, 34 + n);
}

/* Each frame of a machine is dealt with in its order, wholly: when the answer is here, all before it has been. */
static _unused_ void wire_settle(int at)
{
	static uint8_t r[70000];
	uint8_t m[8] = { 8, 0, 0, 0, 0x77, 0x77 };

	wire_send4(at, IPPROTO_ICMP, wires[at].ip, wires[at].gateway, m, sizeof(m));
	do
		assert_true(wire_frame(at, r, sizeof(r), true) >= 34);
	while (get16(r + 12) != ETHERTYPE_IPV4 || r[23] != IPPROTO_ICMP || r[34] != 0 || get16(r + 38) != 0x7777);
}

struct datagram {
	uint32_t src, dst;
	uint16_t src_port, dst_port;
	size_t n;
	uint8_t data[2048];
};

static _unused_ void udp_send(int from, uint32_t src, uint16_t src_port, uint32_t dst, uint16_t dst_port, const void *data, size_t n)
{
	uint8_t l4[2048];

	put16(l4, src_port);
	put16(l4 + 2, dst_port);
	put16(l4 + 4, (uint16_t)(8 + n));
	memcpy(l4 + 8, data, n);
	wire_send4(from, IPPROTO_UDP, src, dst, l4, 8 + n);
}

/* The next datagram, its checksums right; false at once when none has come. */
static _unused_ bool udp_receive(int at, struct datagram *d, bool wait)
{
	static uint8_t f[70000];
	struct ip4 p;
	size_t n;

	for (;;) {
		n = wire_frame(at, f, sizeof(f), wait);
		if (!n)
			return false;
		if (n >= 42 && get16(f + 12) == ETHERTYPE_IPV4 && f[23] == IPPROTO_UDP)
			break;
	}
	assert_true(ip4_parse(f + 14, n - 14, &p));
	n = p.len - p.hlen;
	assert_int_equal(inet_checksum(p.h + p.hlen, n, pseudo4(p.src, p.dst, IPPROTO_UDP, n)), 0);
	*d = (struct datagram){ .src = p.src, .dst = p.dst, .src_port = get16(p.h + p.hlen), .dst_port = get16(p.h + p.hlen + 2), .n = n - 8 };
	memcpy(d->data, p.h + p.hlen + 8, n - 8 < sizeof(d->data) ? n - 8 : sizeof(d->data));
	return true;
}

#endif
