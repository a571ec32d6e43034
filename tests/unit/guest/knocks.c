/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for an ssh server behind a port that accepts whatever is behind it, as QEMU's does. */
#include "../test.h"
#include "guest/ssh.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>

#define BANNER "SSH-2.0-test\r\n"

struct server {
	int fd;
	unsigned port;
	int refuse, silent; /* so many connections are closed at once, then so many left alone */
	int seen;
	pthread_t thread;
};

static void *serve(void *arg)
{
	struct server *s = arg;
	int kept[16], n = 0, fd;

	while (n < 16 && (fd = accept(s->fd, NULL, NULL)) >= 0) {
		s->seen++;
		if (s->refuse-- > 0) {
			close(fd);
			continue;
		}
		kept[n++] = fd;
		if (s->silent-- <= 0 && write(fd, BANNER, strlen(BANNER)) < 0)
			break;
	}
	while (n)
		close(kept[--n]);
	return NULL;
}

static void begin(struct server *s)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);

	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(s->fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(s->fd, 16), 0);
	assert_int_equal(getsockname(s->fd, (struct sockaddr *)&a, &len), 0);
	s->port = ntohs(a.sin_port);
	assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void end(struct server *s)
{
	shutdown(s->fd, SHUT_RDWR);
	pthread_join(s->thread, NULL);
	close(s->fd);
}

/* The server's first words are still to be read. */
static void speaks(int fd)
{
	char text[64];

	assert_true(fd >= 0);
	assert_int_equal(read(fd, text, sizeof(text)), strlen(BANNER));
	assert_memory_equal(text, BANNER, strlen(BANNER));
	close(fd);
}

static void test_one_that_was_too_early(void **state)
{
	struct server s = { .silent = 1 };
	struct error *e = NULL;
	int fd;

	(void)state;
	begin(&s);
	fd = ssh_knock(s.port, 20000, &e);
	assert_null(e);
	speaks(fd);
	end(&s);
	assert_int_equal(s.seen, 2);
}

/* Not a storm: once the guest has refused some, the one that gets through is waited for alone. */
static void test_refused_at_first(void **state)
{
	struct server s = { .refuse = 3, .silent = 16 };
	struct error *e = NULL;

	(void)state;
	begin(&s);
	assert_int_equal(ssh_knock(s.port, 900, &e), -1);
	assert_int_equal(e->cls, ERR_TIMEOUT);
	error_clear(&e);
	end(&s);
	assert_int_equal(s.seen, 4);
}

static void test_nobody_there(void **state)
{
	struct server s = { .silent = 1 };
	struct error *e = NULL;

	(void)state;
	begin(&s);
	end(&s);
	assert_int_equal(ssh_knock(s.port, 20000, &e), -1);
	assert_int_equal(e->cls, ERR_STATE);
	assert_non_null(strstr(e->msg, "Connection refused"));
	error_clear(&e);
}

static void test_the_connection_is_given_away(void **state)
{
	struct server s = { .silent = 0 };
	struct error *e = NULL;
	struct ssh_opts o = { .host = "127.0.0.1", .user = "u", .password = "p", .timeout_ms = 300 };

	(void)state;
	begin(&s);
	o.port = s.port;
	o.fd = ssh_knock(s.port, 20000, &e);
	assert_true(o.fd > 0);
	assert_null(ssh_client_open(&o, &e)); /* it has said its name only */
	error_clear(&e);
	assert_int_equal(fcntl(o.fd, F_GETFD), -1);
	end(&s);
	assert_int_equal(s.seen, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_that_was_too_early),
		cmocka_unit_test(test_refused_at_first),
		cmocka_unit_test(test_nobody_there),
		cmocka_unit_test(test_the_connection_is_given_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
