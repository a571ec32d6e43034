/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest program's handling of frames: streams opened, fed, credited, closed in any order. What would act on
 * this machine (commands, files, network, power) is replaced by a stream that echoes its input.
 */
#include "guest.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void echo_data(struct guest *g, struct stream *s, const uint8_t *p, size_t n)
{
	size_t room;
	uint8_t *at = out_begin(g, s, &room);

	if (at) {
		if (room > n)
			room = n;
		memcpy(at, p, room);
		out_end(g, s, 1, room);
	}
	stream_credit(g, s, n);
}

static void echo_eof(struct guest *g, struct stream *s)
{
	stream_exit(g, s, 0);
}

static void echo_destroy(struct stream *s)
{
	free(s->data);
}

static const struct stream_ops echo = {
	.data = echo_data, .eof = echo_eof, .destroy = echo_destroy
};

static void echo_open(struct guest *g, struct stream *s)
{
	s->data = stream_string(s, FRAME_K_ARG);
	s->ops = &echo;
	if (stream_has(s, FRAME_K_TTY))
		stream_error(g, s, 1, "refused");
}

void exec_open(struct guest *g, struct stream *s)
{
	echo_open(g, s);
}
void push_open(struct guest *g, struct stream *s)
{
	echo_open(g, s);
}
void pull_open(struct guest *g, struct stream *s)
{
	echo_open(g, s);
}
void net_open(struct guest *g, struct stream *s)
{
	echo_open(g, s);
}
void power_open(struct guest *g, struct stream *s)
{
	echo_open(g, s);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct guest g = { .port = -1, .ready = true };
	int pair[2];
	char drain[65536];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0 || serve_init(&g) < 0)
		abort();
	serve_set_port(&g, pair[0]);
	while (n > 0) {
		size_t take = n < 4096 ? n : 4096;

		if (send(pair[1], p, take, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			break;
		p += take;
		n -= take;
		if (serve_turn(&g, 0, NULL, 0) < 0)
			break;
		while (recv(pair[1], drain, sizeof(drain), MSG_DONTWAIT) > 0)
			;
	}
	shutdown(pair[1], SHUT_WR);
	for (int i = 0; i < 4 && g.port >= 0; i++)
		if (serve_turn(&g, 0, NULL, 0) < 0)
			break;
	if (g.port >= 0)
		abort(); /* the other side's end must end the session */
	serve_close(&g);
	close(pair[1]);
	return 0;
}
