/* SPDX-License-Identifier: Apache-2.0 */
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static const char usage[] =
	"croft-guest " CROFT_VERSION ": croft's program inside a machine\n"
	"\n"
	"  croft-guest --service        serve croft's port; for a service manager to start\n"
	"  croft-guest --port FD|PATH   serve this socket (an open descriptor's number, or a path to connect to)\n"
	"  croft-guest --version\n"
	"\n"
	"As PID 1 it boots the machine.\n";

static int open_socket(const char *arg)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	char *end;
	long fd = strtol(arg, &end, 10);

	if (*arg && !*end) {
		if (fcntl((int)fd, F_SETFD, FD_CLOEXEC) < 0)
			return -1;
		return (int)fd;
	}
	if (strlen(arg) >= sizeof(sa.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(sa.sun_path, arg, strlen(arg) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect((int)fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		int code = errno;

		close((int)fd);
		errno = code;
		return -1;
	}
	return (int)fd;
}

static int serve_socket(const char *arg)
{
	struct guest g = { .port = -1, .ready = true };
	int fd = open_socket(arg);

	if (fd < 0) {
		fprintf(stderr, "croft-guest: %s: %s\n", arg, strerror(errno));
		return 1;
	}
	if (serve_init(&g) < 0) {
		fprintf(stderr, "croft-guest: %s\n", strerror(errno));
		return 1;
	}
	serve_set_port(&g, fd);
	while (!g.power && serve_turn(&g, -1, NULL, 0) == 0)
		;
	serve_close(&g);
	return 0;
}

static int service(void)
{
	struct guest g = { .port = -1, .ready = true };
	bool told = false;

	if (serve_init(&g) < 0) {
		fprintf(stderr, "croft-guest: %s\n", strerror(errno));
		return 1;
	}
	while (g.power != 'x') {
		if (g.port < 0 && serve_open_port(&g) < 0 && !told) {
			fprintf(stderr, "croft-guest: no virtio-serial port " FRAME_PORT
					" yet; waiting for it\n");
			told = true;
		}
		serve_turn(&g, g.power ? 10 : g.port < 0 ? 1000 : -1, NULL, 0);
		if ((g.power == 'p' || g.power == 'r') &&
			(out_waiting(&g) == 0 || now_ms() >= g.power_at)) {
			power_off(&g, g.power);
			g.power = 0;
		}
	}
	serve_close(&g);
	return 0;
}

int main(int argc, char **argv)
{
	/* The kernel hands words of its command line on to init: only our options count there. */
	if (getpid() == 1 && (argc < 2 || strncmp(argv[1], "--", 2) != 0))
		return boot_main();
	if (argc == 2 && strcmp(argv[1], "--service") == 0)
		return service();
	if (argc == 3 && strcmp(argv[1], "--port") == 0)
		return serve_socket(argv[2]);
	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		puts(CROFT_VERSION);
		return 0;
	}
	fputs(usage, argc == 2 && strcmp(argv[1], "--help") == 0 ? stdout : stderr);
	return argc == 2 && strcmp(argv[1], "--help") == 0 ? 0 : 2;
}
