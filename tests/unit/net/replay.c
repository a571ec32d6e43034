/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A run that was recorded and is played again through the same code gives the same output, byte for byte: the times at which frames
 * came in and the frames are all that there is to know. Also that nothing is allocated on the way.
 */
#include "../test.h"
#include "base/loop.h"
#include "base/path.h"
#include "net/faults.h"
#include "net/ip.h"
#include "net/nat.h"

#include <sys/socket.h>

/* Every allocation of croft's goes through these; the linker leads them here first. */
static size_t allocations;
#define WRAP(name, parameters, arguments)                                                                                         \
	void *__real_##name parameters;                                                                                           \
	void *__wrap_##name parameters;                                                                                           \
	void *__wrap_##name parameters                                                                                            \
	{                                                                                                                         \
		allocations++;                                                                                                    \
		return __real_##name arguments;                                                                                   \
	}
WRAP(xmalloc, (size_t n), (n))
WRAP(xcalloc, (size_t n, size_t size), (n, size))
WRAP(xrealloc, (void *p, size_t n), (p, n))
WRAP(xreallocarray, (void *p, size_t n, size_t size), (p, n, size))

#define MACHINES 4
#define FRAMES 4000

struct world {
	struct net net;
	int fds[MACHINES]; /* the machines' ends */
	uint64_t digest[MACHINES], bytes[MACHINES];
};

static void put_config(const char *dir, uint64_t seed)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_free_ char *path = path_join(dir, "net.json");
	struct error *e = NULL;

	buf_addf(&b, "{\"group\":\"g\",\"seed\":%llu,\"zones\":[{\"name\":\"lan\",\"prefix\":\"10.1.2.0/24\",\"gateway\":\"10.1.2.1\","
		     "\"domain\":\"g.croft\"}],\"ports\":[", (unsigned long long)seed);
	for (int i = 0; i < MACHINES; i++)
		buf_addf(&b,
			"%s{\"node\":\"n%d\",\"zone\":\"lan\",\"mac\":\"52:54:00:00:00:0%d\",\"address\":\"10.1.2.1%d\",\"names\":[\"n%d\"],"
			"\"socket\":\"/nowhere\"}",
			i ? "," : "", i, i + 1, i, i);
	buf_adds(&b, "],\"links\":["
		     "{\"node\":\"n0\",\"out\":{\"delay\":\"3ms\",\"jitter\":\"2ms\",\"distribution\":\"normal\",\"loss\":\"3%\"}},"
		     "{\"node\":\"n1\",\"in\":{\"delay\":\"5ms\",\"reorder\":\"10%\",\"duplicate\":\"5%\"},\"out\":{\"corrupt\":\"10%\"}},"
		     "{\"node\":\"n2\",\"in\":{\"rate\":\"8mbit\",\"queue\":\"8\"},\"out\":{\"loss\":\"10%\",\"burst\":\"4\"}}]}");
	assert_ok(file_write(path, b.data, b.len, 0600, &e), e);
}

static struct port *port_named(struct net *n, int i)
{
	char name[8];

	snprintf(name, sizeof(name), "n%d", i);
	for (struct zone *z = n->zones; z; z = z->next)
		for (struct port *p = z->ports; p; p = p->next)
			if (!strcmp(p->node, name))
				return p;
	return NULL;
}

static void nothing(void *arg, uint32_t events)
{
}

static void open_world(struct world *w, char *dir)
{
	struct error *e = NULL;

	*w = (struct world){ .net = { .dir = dir } };
	w->net.loop = loop_new();
	w->net.retry = loop_timer(w->net.loop, 1, NULL, NULL);
	loop_timer_disarm(w->net.retry);
	w->net.faults = faults_new(&w->net);
	links_enter(w->net.faults->links, 1); /* links are set at the time that everything else counts from */
	assert_ok(net_load(&w->net, &e), e);
	links_leave(w->net.faults->links);
	for (int i = 0; i < MACHINES; i++) {
		struct port *p = port_named(&w->net, i);
		int pair[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
		w->fds[i] = pair[1];
		p->fd = pair[0];
		p->rest = xmalloc(FRAME_MAX_BYTES + 4);
		p->tx = xmalloc(TX_BYTES);
		p->src = loop_fd(w->net.loop, pair[0], EPOLLIN, nothing, p);
		w->digest[i] = 0xcbf29ce484222325u;
	}
}

static void close_world(struct world *w)
{
	net_clear(&w->net);
	faults_free(w->net.faults);
	records_free(&w->net.records);
	loop_free(w->net.loop);
	for (int i = 0; i < MACHINES; i++)
		close(w->fds[i]);
}

static void drain(struct world *w)
{
	static uint8_t b[1 << 16];

	for (int i = 0; i < MACHINES; i++)
		for (ssize_t n; (n = read(w->fds[i], b, sizeof(b))) > 0; w->bytes[i] += (uint64_t)n)
			for (ssize_t k = 0; k < n; k++)
				w->digest[i] = (w->digest[i] ^ b[k]) * 0x100000001b3u;
}

/* What has been recorded: when, from whom, the frame. */
struct recorded {
	uint64_t at;
	int from;
	size_t len;
	uint8_t frame[1514];
};
static struct recorded record[FRAMES];

static void make_record(void)
{
	uint64_t x = 88172645463325252u, at = 1000;

	for (int i = 0; i < FRAMES; i++) {
		struct recorded *r = &record[i];

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		at += x % 400000;
		*r = (struct recorded){ .at = at, .from = (int)(x >> 20 & 3), .len = 60 + (x >> 24) % 1455 };
		for (size_t k = 0; k < r->len; k++)
			r->frame[k] = (uint8_t)(x >> k % 8 * 8);
		memcpy(r->frame, (uint8_t[]){ 0x52, 0x54, 0, 0, 0, (uint8_t)(1 + (x >> 40 & 3)) }, 6);
		if (x >> 50 % 16 == 0)
			memset(r->frame, 255, 6);
		memcpy(r->frame + 6, (uint8_t[]){ 0x52, 0x54, 0, 0, 0, (uint8_t)(1 + r->from) }, 6);
		put16(r->frame + 12, 0x88b5);
	}
}

/* late: the timer fires long after frames are due, as on a busy computer. */
static void play(struct world *w, bool late)
{
	struct links *l = w->net.faults->links;

	for (int i = 0; i < FRAMES; i++) {
		struct recorded *r = &record[i];

		if (!late)
			links_run(l, r->at - 1);
		links_enter(l, r->at);
		zone_input(w->net.zones, port_named(&w->net, r->from), r->frame, r->len);
		links_leave(l);
		if (i % 16 == 0)
			drain(w);
	}
	links_run(l, UINT64_MAX - 1);
	drain(w);
}

static void a_replayed_run_gives_the_same_bytes(void **state)
{
	static struct world first, second, other;

	make_record();
	put_config(*state, 7);
	open_world(&first, *state);
	play(&first, false);
	close_world(&first);
	open_world(&second, *state);
	play(&second, true);
	close_world(&second);
	put_config(*state, 8);
	open_world(&other, *state);
	play(&other, false);
	close_world(&other);
	for (int i = 0; i < MACHINES; i++) {
		assert_true(first.bytes[i] > 100000);
		assert_int_equal(first.bytes[i], second.bytes[i]);
		assert_true(first.digest[i] == second.digest[i]);
	}
	assert_true(first.digest[1] != other.digest[1]);
}

static void nothing_is_allocated_on_the_way(void **state)
{
	static struct world w;

	make_record();
	put_config(*state, 7);
	open_world(&w, *state);
	assert_true(allocations > 10);
	allocations = 0;
	play(&w, false);
	assert_int_equal(allocations, 0);
	close_world(&w);
}

/* n0 and n1 at home behind NAT, n2 and n3 outside. */
static void put_homes(const char *dir, const char *nat, const char *link)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_free_ char *path = path_join(dir, "net.json");
	struct error *e = NULL;

	buf_adds(&b, "{\"group\":\"g\",\"zones\":[{\"name\":\"wan\",\"prefix\":\"10.2.0.0/24\",\"gateway\":\"10.2.0.1\",\"domain\":\"g.croft\"},"
		     "{\"name\":\"home\",\"prefix\":\"10.1.0.0/24\",\"gateway\":\"10.1.0.1\",\"domain\":\"g.croft\",\"router\":{\"to\":\"wan\","
		     "\"address\":\"10.2.0.9\",\"nat\":{");
	buf_addf(&b, "%s}}}],\"ports\":[", nat);
	for (int i = 0; i < MACHINES; i++)
		buf_addf(&b,
			"%s{\"node\":\"n%d\",\"zone\":\"%s\",\"mac\":\"52:54:00:00:00:0%d\",\"address\":\"10.%d.0.1%d\",\"names\":[\"n%d\"],"
			"\"socket\":\"/nowhere\"}",
			i ? "," : "", i, i < 2 ? "home" : "wan", i + 1, i < 2 ? 1 : 2, i, i);
	buf_addf(&b, "],\"seed\":7,\"links\":[%s]}", link);
	assert_ok(file_write(path, b.data, b.len, 0600, &e), e);
}

/* A datagram of n0's from its port `port` to n2, by its gateway. */
static void send_home(struct world *w, uint16_t port)
{
	uint8_t f[ETH_BYTES + IP4_BYTES + UDP_BYTES + 100] = { 0x52, 0x55, 10, 1, 0, 1, 0x52, 0x54, 0, 0, 0, 1 }, *udp = f + ETH_BYTES + IP4_BYTES;
	struct port *p = port_named(&w->net, 0);

	put16(f + 12, ETHERTYPE_IPV4);
	ip4_header(f + ETH_BYTES, IPPROTO_UDP, 0x0a01000a, 0x0a02000c, UDP_BYTES + 100);
	put16(udp, port);
	put16(udp + 2, 7);
	put16(udp + 4, UDP_BYTES + 100);
	zone_input(p->zone, p, f, sizeof(f));
}

static void nothing_is_allocated_through_nat(void **state)
{
	static struct world w;

	put_homes(*state, "", "{\"node\":\"n0\",\"out\":{\"delay\":\"3ms\"}}");
	open_world(&w, *state);
	allocations = 0;
	for (unsigned i = 0; i < 2000; i++) {
		links_enter(w.net.faults->links, 1000000 * (uint64_t)(i + 1));
		send_home(&w, (uint16_t)(2000 + i));
		links_leave(w.net.faults->links);
		if (i % 16 == 0)
			drain(&w);
	}
	links_run(w.net.faults->links, UINT64_MAX - 1);
	drain(&w);
	/* They came to n2, each of a flow of its own. */
	assert_int_equal(w.bytes[2], 2000 * (4 + ETH_BYTES + IP4_BYTES + UDP_BYTES + 100));
	assert_int_equal(allocations, 0);
	close_world(&w);
}

/* Datagrams and pieces of TCP connections of few ports, from both sides of the NAT; few outside ports, and flows that soon end. */
static void make_record_of_flows(void)
{
	uint64_t x = 88172645463325252u, at = 1000;

	for (int i = 0; i < FRAMES; i++) {
		struct recorded *r = &record[i];
		uint8_t *f = r->frame, *t = f + ETH_BYTES + IP4_BYTES;
		bool tcp;
		size_t len;

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		at += x % 40000000;
		tcp = x >> 50 & 1;
		len = tcp ? TCP_BYTES : UDP_BYTES + 8;
		*r = (struct recorded){ .at = at, .from = (int)(x >> 20 & 3), .len = ETH_BYTES + IP4_BYTES + len };
		memcpy(f, r->from < 2 ? (uint8_t[]){ 0x52, 0x55, 10, 1, 0, 1 } : (uint8_t[]){ 0x52, 0x55, 10, 2, 0, 9 }, 6);
		memcpy(f + 6, (uint8_t[]){ 0x52, 0x54, 0, 0, 0, (uint8_t)(1 + r->from) }, 6);
		put16(f + 12, ETHERTYPE_IPV4);
		ip4_header(f + ETH_BYTES, tcp ? IPPROTO_TCP : IPPROTO_UDP, (r->from < 2 ? 0x0a01000au : 0x0a02000au) + (uint32_t)r->from,
			r->from < 2 ? 0x0a02000cu + (x >> 30 & 1) : 0x0a020009, len);
		put16(t, (uint16_t)(r->from < 2 ? 1000 + (x >> 31 & 31) : 7 + (x >> 31 & 3)));
		put16(t + 2, (uint16_t)(r->from < 2 ? 7 + (x >> 36 & 3) : 40000 + (x >> 36 & 63)));
		if (tcp) {
			t[12] = 5 << 4;
			t[13] = (uint8_t)(uint8_t[]){ 2, 0x12, 0x10, 0x11 }[x >> 52 & 3];
			put32(t + 4, (uint32_t)i);
			put16(t + 16, inet_checksum(t, len, pseudo4(get32(f + ETH_BYTES + 12), get32(f + ETH_BYTES + 16), IPPROTO_TCP, len)));
		} else {
			put16(t + 4, (uint16_t)len);
			put32(t + 8, (uint32_t)i);
		}
	}
}

/* late: as above; somebody cleans up as seldom as state_tick would, at other times. A machine asks for maps that end. */
static void play_flows(struct world *w, bool late)
{
	struct links *l = w->net.faults->links;
	struct port *home = port_named(&w->net, 0), *wan = NULL;
	struct nat *nat = home->zone->router->nat;
	uint64_t tick = 0;

	for (struct zone *z = w->net.zones; z; z = z->next)
		for (struct port *p = z->ports; p; p = p->next)
			if (p->kind == PORT_ROUTER)
				wan = p;
	assert_non_null(wan);
	for (int i = 0; i < FRAMES; i++) {
		struct recorded *r = &record[i];
		struct port *from = port_named(&w->net, r->from);

		memcpy(r->frame, r->from < 2 ? home->zone->gateway_mac : wan->mac, 6);
		if (!late)
			links_run(l, r->at - 1);
		if (!late && r->at > tick) {
			nat_expire(nat, links_next(l) < r->at ? links_next(l) : r->at - 1);
			tick = r->at + 1000000000;
		}
		links_enter(l, r->at);
		if (i % 50 == 0)
			nat_map_any(nat, IPPROTO_UDP, (uint16_t)(40000 + i % 64), 0x0a01000a, (uint16_t)(2000 + i % 7), 2, r->at);
		zone_input(from->zone, from, r->frame, r->len);
		links_leave(l);
		if (i % 16 == 0)
			drain(w);
	}
	links_run(l, UINT64_MAX - 1);
	drain(w);
}

static void a_replayed_run_through_nat_gives_the_same_bytes(void **state)
{
	static struct world first, second;
	struct nat_stats st;

	make_record_of_flows();
	put_homes(*state,
		"\"mapping\":\"address-port\",\"filtering\":\"address\",\"port_min\":40000,\"port_max\":40063,\"preserve_ports\":false,"
		"\"udp\":1,\"tcp\":2,\"transitory\":1",
		"{\"node\":\"n0\",\"out\":{\"delay\":\"3ms\",\"jitter\":\"20ms\",\"loss\":\"3%\"}},"
		"{\"node\":\"n2\",\"out\":{\"delay\":\"200ms\",\"jitter\":\"150ms\",\"distribution\":\"exponential\"}}");
	open_world(&first, *state);
	play_flows(&first, false);
	nat_stats(port_named(&first.net, 0)->zone->router->nat, &st);
	assert_true(st.opened > 500 && st.expired > 500 && st.results[NAT_NO_MAPPING] > 100 && st.results[NAT_FILTERED] > 20);
	close_world(&first);
	open_world(&second, *state);
	play_flows(&second, true);
	close_world(&second);
	for (int i = 0; i < MACHINES; i++) {
		assert_true(first.bytes[i] > 5000);
		assert_int_equal(first.bytes[i], second.bytes[i]);
		assert_true(first.digest[i] == second.digest[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_replayed_run_gives_the_same_bytes, test_dir_setup, test_dir_teardown),
		cmocka_unit_test_setup_teardown(nothing_is_allocated_on_the_way, test_dir_setup, test_dir_teardown),
		cmocka_unit_test_setup_teardown(a_replayed_run_through_nat_gives_the_same_bytes, test_dir_setup, test_dir_teardown),
		cmocka_unit_test_setup_teardown(nothing_is_allocated_through_nat, test_dir_setup, test_dir_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
