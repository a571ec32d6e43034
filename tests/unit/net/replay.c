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
static void put_homes(const char *dir)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_free_ char *path = path_join(dir, "net.json");
	struct error *e = NULL;

	buf_adds(&b, "{\"group\":\"g\",\"zones\":[{\"name\":\"wan\",\"prefix\":\"10.2.0.0/24\",\"gateway\":\"10.2.0.1\",\"domain\":\"g.croft\"},"
		     "{\"name\":\"home\",\"prefix\":\"10.1.0.0/24\",\"gateway\":\"10.1.0.1\",\"domain\":\"g.croft\",\"router\":{\"to\":\"wan\","
		     "\"address\":\"10.2.0.9\",\"nat\":{}}}],\"ports\":[");
	for (int i = 0; i < MACHINES; i++)
		buf_addf(&b,
			"%s{\"node\":\"n%d\",\"zone\":\"%s\",\"mac\":\"52:54:00:00:00:0%d\",\"address\":\"10.%d.0.1%d\",\"names\":[\"n%d\"],"
			"\"socket\":\"/nowhere\"}",
			i ? "," : "", i, i < 2 ? "home" : "wan", i + 1, i < 2 ? 1 : 2, i, i);
	buf_adds(&b, "],\"links\":[{\"node\":\"n0\",\"out\":{\"delay\":\"3ms\"}}]}");
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

	put_homes(*state);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_replayed_run_gives_the_same_bytes, test_dir_setup, test_dir_teardown),
		cmocka_unit_test_setup_teardown(nothing_is_allocated_on_the_way, test_dir_setup, test_dir_teardown),
		cmocka_unit_test_setup_teardown(nothing_is_allocated_through_nat, test_dir_setup, test_dir_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
