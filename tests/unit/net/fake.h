/* SPDX-License-Identifier: Apache-2.0 */
/* A real croft-net between sockets that stand for machines n0, n1, ...: QEMU's side of the stream protocol. */
#ifndef FAKE_H
#define FAKE_H

#include "../test.h"
#include "base/path.h"
#include "base/proc.h"
#include "net/net.h"
#include "net/zone.h"

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

#define FAKES 3
static struct {
	int listener, fd;
	uint8_t mac[6];
} fakes[FAKES];
static char *fake_dir;

static void fake_accept(void)
{
	for (int i = 0; i < FAKES; i++) {
		struct pollfd p = { .fd = fakes[i].listener, .events = POLLIN };

		assert_int_equal(poll(&p, 1, 20000), 1);
		fakes[i].fd = accept4(fakes[i].listener, NULL, NULL, SOCK_CLOEXEC);
		assert_true(fakes[i].fd >= 0);
	}
}

/* net.json with `extra` members before its end. */
static char *fake_config(const char *base, const char *extra)
{
	struct buf json = BUF_INIT;

	buf_adds(&json, "{\"group\":\"g\",\"zones\":[{\"name\":\"lan\",\"prefix\":\"10.1.2.0/24\",\"gateway\":\"10.1.2.1\","
			"\"domain\":\"g.croft\",\"outside\":true}],\"ports\":[");
	for (int i = 0; i < FAKES; i++)
		buf_addf(&json,
			"%s{\"node\":\"n%d\",\"zone\":\"lan\",\"mac\":\"52:54:00:00:00:0%d\",\"address\":\"10.1.2.1%d\","
			"\"names\":[\"n%d\"],\"socket\":\"%s/port %d.sock\"}",
			i ? "," : "", i, i + 1, i, i, base, i);
	buf_addf(&json, "]%s}", extra);
	return buf_steal(&json);
}

static int fake_start(void **state, const char *extra)
{
	_cleanup_free_ char *json = NULL;
	struct error *e = NULL;

	if (test_dir_setup(state) < 0)
		return -1;
	fake_dir = path_join(*state, "net");
	for (int i = 0; i < FAKES; i++) {
		_cleanup_free_ char *sock = xasprintf("%s/port %d.sock", (char *)*state, i);

		memcpy(fakes[i].mac, (uint8_t[]){ 0x52, 0x54, 0, 0, 0, (uint8_t)(i + 1) }, 6);
		fakes[i].listener = unix_listen(sock, 4, &e);
	}
	json = fake_config(*state, extra);
	if (net_configure(fake_dir, json, &e) < 0 || net_start(fake_dir, &e) < 0) {
		fprintf(stderr, "%s\n", e->msg);
		return -1;
	}
	fake_accept();
	return 0;
}

static int fake_end(void **state)
{
	struct error *e = NULL;

	if (net_stop(fake_dir, &e) < 0 || net_running(fake_dir))
		return -1;
	free(fake_dir);
	for (int i = 0; i < FAKES; i++) {
		close(fakes[i].fd);
		close(fakes[i].listener);
	}
	return test_dir_teardown(state);
}

/* Kills the process as a bug would, starts another. */
static _unused_ void fake_kill(void)
{
	_cleanup_free_ char *pid = path_join(fake_dir, "net.pid");
	struct error *e = NULL;
	struct proc_id id;

	assert_ok(proc_id_read(pid, &id, &e), e);
	assert_int_equal(kill(id.pid, SIGKILL), 0);
	for (int i = 0; i < FAKES; i++) {
		struct pollfd p = { .fd = fakes[i].fd, .events = POLLIN };
		char c[4096];

		do
			assert_int_equal(poll(&p, 1, 20000), 1);
		while (read(fakes[i].fd, c, sizeof(c)) > 0);
		close(fakes[i].fd);
	}
	for (int i = 0; i < 2000 && net_running(fake_dir); i++)
		usleep(10000);
	assert_false(net_running(fake_dir));
	assert_ok(net_start(fake_dir, &e), e);
	fake_accept();
}

static void fake_send(int from, const uint8_t *frame, size_t n)
{
	uint8_t b[2048];

	put32(b, (uint32_t)n);
	memcpy(b + 4, frame, n);
	assert_int_equal(write(fakes[from].fd, b, n + 4), n + 4);
}

static void fake_read(int fd, void *p, size_t n)
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

static size_t fake_receive(int at, uint8_t *frame)
{
	uint8_t head[4];

	fake_read(fakes[at].fd, head, 4);
	assert_true(get32(head) <= 2048);
	fake_read(fakes[at].fd, frame, get32(head));
	return get32(head);
}

static const uint8_t fake_all[6] = { 255, 255, 255, 255, 255, 255 };

/* A frame of an experimental type (IEEE 802: 0x88b5) with a number in it; to < 0: to all. */
static void fake_plain(int from, int to, uint32_t number)
{
	uint8_t f[60] = { 0 };

	memcpy(f, to < 0 ? fake_all : fakes[to].mac, 6);
	memcpy(f + 6, fakes[from].mac, 6);
	put16(f + 12, 0x88b5);
	put32(f + 14, number);
	fake_send(from, f, sizeof(f));
}

/* The number of the next such frame. */
static uint32_t fake_number(int at)
{
	uint8_t f[2048];

	do
		fake_receive(at, f);
	while (get16(f + 12) != 0x88b5);
	return get32(f + 14);
}

/* Answer of a request that succeeds; new. */
static char *fake_ask(const char *request)
{
	struct error *e = NULL;
	char *answer = net_request(fake_dir, request, 20000, &e);

	if (!answer)
		fail_msg("%s: %s", request, e->msg);
	return answer;
}

static _unused_ void fake_do(const char *request)
{
	free(fake_ask(request));
}

#endif
