/* SPDX-License-Identifier: Apache-2.0 */
/* The helper's agent channel: this test is QEMU with its guest, and the clients. */
#include "../test.h"
#include "base/path.h"
#include "machine/helper/helper.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

struct peer {
	int fd;
	struct frame_decoder in;
};
struct scene {
	char *dir;
	int qemu; /* listening */
	struct loop *loop;
	struct mux *mux;
	struct peer guest, a, b;
};

static void peer_is(struct peer *p, int fd)
{
	assert_true(fd >= 0);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	p->fd = fd;
	assert_int_equal(frame_decoder_init(&p->in, 0), 0);
}

static void peer_close(struct peer *p)
{
	cleanup_close(&p->fd);
	p->fd = -1;
	frame_decoder_free(&p->in);
}

/* The next frame that arrives while the mux works; false: the other side has hung up. */
static bool next(struct scene *s, struct peer *p, struct frame *f)
{
	for (int turn = 0; turn < 500; turn++) {
		size_t room;
		uint8_t *at;
		ssize_t n;

		if (frame_next(&p->in, f) > 0)
			return true;
		at = frame_space(&p->in, &room);
		n = read(p->fd, at, room);
		if (n == 0 || (n < 0 && errno != EAGAIN))
			return false;
		if (n > 0)
			frame_filled(&p->in, (size_t)n);
		else
			loop_once(s->loop, 10);
	}
	fail_msg("nothing comes");
	return false;
}

static void expect(struct scene *s, struct peer *p, int type, uint32_t stream, uint32_t value, const char *payload)
{
	struct frame f;

	assert_true(next(s, p, &f));
	assert_int_equal(f.type, type);
	assert_int_equal(f.stream, stream);
	assert_int_equal(f.value, value);
	if (payload) {
		assert_int_equal(f.length, strlen(payload));
		assert_memory_equal(f.data, payload, f.length);
	}
}

static void put(struct peer *p, int type, int channel, uint32_t stream, uint32_t value, const char *payload)
{
	struct frame f = { .type = (uint8_t)type, .channel = (uint8_t)channel, .stream = stream, .value = value,
		.length = (uint32_t)strlen(payload) };
	uint8_t head[FRAME_HEADER];

	frame_header(head, &f);
	assert_int_equal(write(p->fd, head, sizeof(head)), sizeof(head));
	assert_int_equal(write(p->fd, payload, strlen(payload)), (ssize_t)strlen(payload));
}

/* The guest's HELLO; channel 1: as an answer. */
static void hello(struct peer *p, uint8_t channel)
{
	uint8_t b[128];
	size_t n = sizeof(FRAME_HELLO_TEXT) - 1;

	memcpy(b, FRAME_HELLO_TEXT, n);
	assert_int_equal(frame_item_add(b, sizeof(b) - 1, &n, FRAME_K_VERSION, "7.7", 3), 0);
	{
		struct frame f = { .type = FRAME_HELLO, .channel = channel, .value = FRAME_VERSION, .length = (uint32_t)n };
		uint8_t head[FRAME_HEADER];

		frame_header(head, &f);
		assert_int_equal(write(p->fd, head, sizeof(head)), sizeof(head));
		assert_int_equal(write(p->fd, b, n), (ssize_t)n);
	}
}

static void client(struct scene *s, struct peer *p)
{
	_cleanup_free_ char *sock = path_join(s->dir, "run/agent.sock");
	struct error *e = NULL;

	peer_is(p, unix_connect(sock, &e));
}

static bool ready(struct scene *s)
{
	_cleanup_free_ char *p = path_join(s->dir, "run/ready");

	return file_exists(p);
}

static int setup(void **state)
{
	struct scene *s = xcalloc(1, sizeof(*s));
	_cleanup_free_ char *run = NULL, *sock = NULL;
	struct error *e = NULL;

	if (test_dir_setup((void **)&s->dir) < 0)
		return -1;
	*state = s;
	run = path_join(s->dir, "run");
	sock = path_join(run, "qemu-agent.sock");
	s->guest.fd = s->a.fd = s->b.fd = -1;
	s->loop = loop_new();
	if (file_mkdirs(run, 0700, &e) < 0 || (s->qemu = unix_listen(sock, 4, &e)) < 0)
		return -1;
	s->mux = mux_new(s->loop, s->dir, false, &e);
	if (!s->mux)
		return -1;
	peer_is(&s->guest, accept(s->qemu, NULL, NULL));
	return 0;
}

static int teardown(void **state)
{
	struct scene *s = *state;

	mux_free(s->mux);
	loop_free(s->loop);
	close(s->qemu);
	peer_close(&s->guest);
	peer_close(&s->a);
	peer_close(&s->b);
	test_dir_teardown((void **)&s->dir);
	free(s);
	return 0;
}

/* Guest said HELLO, both clients know. */
static void begin(struct scene *s)
{
	expect(s, &s->guest, FRAME_HELLO, 0, FRAME_VERSION, FRAME_HELLO_TEXT);
	client(s, &s->a);
	expect(s, &s->a, FRAME_STATE, 0, FRAME_WAITING, "");
	assert_false(ready(s));
	/* The rest of an older conversation comes first and is dropped. */
	assert_int_equal(write(s->guest.fd, "rest of a frame", 15), 15);
	hello(&s->guest, 1);
	expect(s, &s->a, FRAME_STATE, 0, FRAME_READY, NULL);
	assert_true(ready(s));
	client(s, &s->b);
	expect(s, &s->b, FRAME_STATE, 0, FRAME_READY, NULL);
}

static void streams_do_not_mix(void **state)
{
	struct scene *s = *state;

	begin(s);
	put(&s->a, FRAME_OPEN, 0, 5, FRAME_EXEC, "from a");
	expect(s, &s->guest, FRAME_OPEN, 1, FRAME_EXEC, "from a");
	put(&s->b, FRAME_OPEN, 1, 5, FRAME_EXEC, "from b");
	expect(s, &s->guest, FRAME_OPEN, 2, FRAME_EXEC, "from b");
	put(&s->b, FRAME_OPEN, 0, 5, FRAME_EXEC, "more");
	expect(s, &s->guest, FRAME_OPEN, 2, FRAME_EXEC, "more");
	put(&s->guest, FRAME_DATA, 1, 2, 0, "to b");
	expect(s, &s->b, FRAME_DATA, 5, 0, "to b");
	put(&s->guest, FRAME_EXIT, 0, 1, 3, "");
	expect(s, &s->a, FRAME_EXIT, 5, 3, "");
	/* Ended: what is sent to it goes nowhere; the id is free again. */
	put(&s->a, FRAME_DATA, 0, 5, 0, "late");
	put(&s->a, FRAME_OPEN, 0, 5, FRAME_EXEC, "again");
	expect(s, &s->guest, FRAME_OPEN, 3, FRAME_EXEC, "again");
}

static void clients_that_vanish_close_their_streams(void **state)
{
	struct scene *s = *state;

	begin(s);
	put(&s->a, FRAME_OPEN, 0, 1, FRAME_EXEC, "x");
	expect(s, &s->guest, FRAME_OPEN, 1, FRAME_EXEC, "x");
	peer_close(&s->a);
	expect(s, &s->guest, FRAME_CLOSE, 1, 0, "");
	/* Garbage has the same end. */
	put(&s->b, FRAME_OPEN, 0, 1, FRAME_EXEC, "y");
	expect(s, &s->guest, FRAME_OPEN, 2, FRAME_EXEC, "y");
	assert_int_equal(write(s->b.fd, "GET / HTTP/1.1\r\n\r\n", 18), 18);
	expect(s, &s->guest, FRAME_CLOSE, 2, 0, "");
	{
		struct frame f;

		assert_false(next(s, &s->b, &f));
	}
}

static void a_used_id_ends_the_client(void **state)
{
	struct scene *s = *state;
	struct frame f;

	begin(s);
	put(&s->a, FRAME_OPEN, 0, 1, FRAME_EXEC, "x");
	put(&s->a, FRAME_OPEN, 0, 1, FRAME_EXEC, "x");
	expect(s, &s->guest, FRAME_OPEN, 1, FRAME_EXEC, "x");
	expect(s, &s->guest, FRAME_CLOSE, 1, 0, "");
	assert_false(next(s, &s->a, &f));
	put(&s->b, FRAME_STATE, 0, 0, FRAME_READY, "");
	assert_false(next(s, &s->b, &f));
}

static void a_guest_that_goes_is_told(void **state)
{
	struct scene *s = *state;

	begin(s);
	put(&s->a, FRAME_OPEN, 0, 9, FRAME_EXEC, "x");
	expect(s, &s->guest, FRAME_OPEN, 1, FRAME_EXEC, "x");
	hello(&s->guest, 0);
	expect(s, &s->a, FRAME_ERROR, 9, ECONNRESET, NULL);
	expect(s, &s->a, FRAME_STATE, 0, FRAME_WAITING, "");
	assert_false(ready(s));
	/* It hunts for a HELLO, and is ready when it has answered it. */
	expect(s, &s->guest, FRAME_HELLO, 0, FRAME_VERSION, FRAME_HELLO_TEXT);
	hello(&s->guest, 1);
	expect(s, &s->a, FRAME_STATE, 0, FRAME_READY, NULL);
	/* A second answer, when two of ours were under way, ends nothing. */
	put(&s->a, FRAME_OPEN, 0, 8, FRAME_EXEC, "x");
	expect(s, &s->guest, FRAME_OPEN, 2, FRAME_EXEC, "x");
	hello(&s->guest, 1);
	put(&s->guest, FRAME_EXIT, 0, 2, 0, "");
	expect(s, &s->a, FRAME_EXIT, 8, 0, "");
	peer_close(&s->guest);
	expect(s, &s->a, FRAME_STATE, 0, FRAME_WAITING, "");
	assert_false(ready(s));
	put(&s->a, FRAME_OPEN, 0, 10, FRAME_EXEC, "x");
	expect(s, &s->a, FRAME_ERROR, 10, EAGAIN, NULL);
	/* It comes back, and garbage makes the helper connect anew. */
	fcntl(s->qemu, F_SETFL, O_NONBLOCK);
	for (int round = 0; round < 2; round++) {
		int fd = -1;

		for (int i = 0; i < 500 && (fd = accept(s->qemu, NULL, NULL)) < 0; i++)
			loop_once(s->loop, 10);
		peer_is(&s->guest, fd);
		expect(s, &s->guest, FRAME_HELLO, 0, FRAME_VERSION, NULL);
		hello(&s->guest, 1);
		if (round == 0) {
			expect(s, &s->a, FRAME_STATE, 0, FRAME_READY, NULL);
			assert_int_equal(write(s->guest.fd, "not a frame at all, is it", 25), 25);
			expect(s, &s->a, FRAME_STATE, 0, FRAME_WAITING, "");
			peer_close(&s->guest);
		}
	}
	expect(s, &s->a, FRAME_STATE, 0, FRAME_READY, NULL);
}

/* Whoever replaces the guest's memory has it to himself; the others come back when he has gone. */
static void one_client_holds_the_guest(void **state)
{
	struct scene *s = *state;
	struct frame f;
	int fd = -1;

	begin(s);
	fcntl(s->qemu, F_SETFL, O_NONBLOCK);
	put(&s->a, FRAME_OPEN, 0, 9, FRAME_EXEC, "x");
	expect(s, &s->guest, FRAME_OPEN, 1, FRAME_EXEC, "x");
	put(&s->b, FRAME_STATE, 0, 0, FRAME_WAITING, "");
	expect(s, &s->a, FRAME_ERROR, 9, ECONNRESET, NULL);
	expect(s, &s->a, FRAME_STATE, 0, FRAME_WAITING, "");
	expect(s, &s->b, FRAME_STATE, 0, FRAME_WAITING, "");
	assert_false(next(s, &s->guest, &f));
	assert_false(ready(s));
	for (int i = 0; i < 30; i++) {
		loop_once(s->loop, 10);
		assert_true(accept(s->qemu, NULL, NULL) < 0);
	}
	/* A second one is turned away. */
	put(&s->a, FRAME_STATE, 0, 0, FRAME_WAITING, "");
	assert_false(next(s, &s->a, &f));
	peer_close(&s->b);
	for (int i = 0; i < 500 && (fd = accept(s->qemu, NULL, NULL)) < 0; i++)
		loop_once(s->loop, 10);
	peer_close(&s->guest);
	peer_is(&s->guest, fd);
	expect(s, &s->guest, FRAME_HELLO, 0, FRAME_VERSION, NULL);
	hello(&s->guest, 1);
	client(s, &s->b);
	expect(s, &s->b, FRAME_STATE, 0, FRAME_READY, NULL);
}

static void the_end_has_a_reason(void **state)
{
	struct scene *s = *state;

	begin(s);
	mux_ended(s->mux, "QEMU killed by SIGKILL");
	expect(s, &s->a, FRAME_STATE, 0, FRAME_ENDED, "QEMU killed by SIGKILL");
	assert_false(ready(s));
}

/* One client asks for much and does not read; the other is served all the same. */
static void a_client_that_does_not_read_harms_nobody(void **state)
{
	struct scene *s = *state;
	static char big[FRAME_PAYLOAD + 1];
	struct frame f;

	memset(big, 'x', FRAME_PAYLOAD);
	begin(s);
	put(&s->a, FRAME_OPEN, 0, 1, FRAME_EXEC, "x");
	expect(s, &s->guest, FRAME_OPEN, 1, FRAME_EXEC, "x");
	put(&s->b, FRAME_OPEN, 0, 1, FRAME_EXEC, "y");
	expect(s, &s->guest, FRAME_OPEN, 2, FRAME_EXEC, "y");
	fcntl(s->guest.fd, F_SETFL, 0);
	for (int i = 0; i < 200; i++) {
		put(&s->guest, FRAME_DATA, 1, 1, 0, big);
		loop_once(s->loop, 0);
		loop_once(s->loop, 0);
		put(&s->guest, FRAME_DATA, 1, 2, 0, "z");
		expect(s, &s->b, FRAME_DATA, 1, 0, "z");
	}
	fcntl(s->guest.fd, F_SETFL, O_NONBLOCK);
	/* It was disconnected at some point: its stream was closed. */
	assert_true(next(s, &s->guest, &f));
	assert_int_equal(f.type, FRAME_CLOSE);
	assert_int_equal(f.stream, 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(streams_do_not_mix),
		TEST(clients_that_vanish_close_their_streams),
		TEST(a_used_id_ends_the_client),
		TEST(a_guest_that_goes_is_told),
		TEST(one_client_holds_the_guest),
		TEST(the_end_has_a_reason),
		TEST(a_client_that_does_not_read_harms_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
