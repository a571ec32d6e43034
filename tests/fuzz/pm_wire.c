/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What comes over pm's sockets: messages to the watcher, as far as they are looked at before a process is made of them, and answers to
 * a client, as far as the list that it prints.
 */
#include "pm/watch_spawn.c"

#include "base/cleanup.h"
#include "pm/pm_main.h"

#include <stdio.h>
#include <sys/socket.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	return freopen("/dev/null", "w", stdout) ? 0 : 1; /* where lists are printed */
}

static void to_the_watcher(const uint8_t *p, size_t n)
{
	static char message[WIRE_MAX];
	int pair[2], fds[WIRE_FDS];
	size_t nfds;
	long got;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		abort();
	if (send(pair[0], p, n, MSG_DONTWAIT) == (ssize_t)n && (got = wire_recv(pair[1], message, sizeof(message), fds, &nfds)) > 0) {
		const struct wire *m = (const struct wire *)(void *)message;

		if ((size_t)got < sizeof(*m) || nfds)
			abort();
		if (cut(m, message + sizeof(*m), (size_t)got - sizeof(*m)) == 0) {
			size_t k = 0;

			/* As execve would read it. */
			for (char **s = job.argv; *s; s++)
				k += strlen(*s) + 1;
			for (char **s = job.envp; *s; s++)
				k += strlen(*s) + 1;
			if (k + strlen(job.path) + 1 > (size_t)got - sizeof(*m))
				abort();
		}
	}
	close(pair[0]);
	close(pair[1]);
}

static void to_a_client(const uint8_t *p, size_t n)
{
	struct client_conn c = { .fd = -1 };
	_cleanup_buf_ struct buf data = BUF_INIT;
	struct error *e = NULL;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		abort();
	if (send(pair[0], p, n, MSG_DONTWAIT) == (ssize_t)n) {
		close(pair[0]);
		pair[0] = -1;
		c.fd = pair[1];
		client_follow(&c, &data, false, 1000, &e);
		show_list(buf_str(&data), "json");
		show_list(buf_str(&data), "table");
	}
	error_clear(&e);
	buf_free(&c.in);
	if (pair[0] >= 0)
		close(pair[0]);
	close(pair[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	if (!n)
		return 0;
	to_the_watcher(p, n);
	to_a_client(p, n);
	return 0;
}
