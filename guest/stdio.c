/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest program at the end of an ssh connection, of a real computer or, with --machine, of a virtual one: frames on stdin and stdout, which may be pipes. A child serves one end of a
 * socket, we pass on between the other and stdio. The end of either side is the end of both, and of what was begun for it.
 */
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* machine: we act for the whole machine, as over its port. */
static void serve(int fd, bool machine)
{
	struct guest g = { .port = -1, .ready = true };
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	/* Nobody that it starts may hold the connection open. */
	dup2(null, 0);
	dup2(null, 1);
	if (serve_init(&g) < 0)
		_exit(1);
	serve_set_port(&g, fd);
	g.socket = !machine;
	while (!g.power && serve_turn(&g, -1, NULL, 0) >= 0)
		;
	while (g.power && out_waiting(&g) && now_ms() < g.power_at && serve_turn(&g, 10, NULL, 0) >= 0)
		;
	if (g.power)
		power_off(&g, g.power);
	serve_close(&g);
	_exit(0);
}

int stdio_main(bool machine)
{
	int sp[2], status;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sp) < 0 || (pid = fork()) < 0) {
		fprintf(stderr, "croft-guest: %s\n", strerror(errno));
		return 1;
	}
	if (pid == 0) {
		close(sp[0]);
		serve(sp[1], machine);
	}
	close(sp[1]);
	signal(SIGPIPE, SIG_IGN);
	relay(sp[0], true);
	close(sp[0]);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
