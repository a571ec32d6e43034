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
	"  croft-guest --port FD|PATH   serve a socket: an open descriptor's number, or a path to listen on\n"
	"  croft-guest --stdio [--machine]\n"
	"                               serve stdin and stdout; what croft runs over ssh, on real computers and in machines\n"
	"  croft-guest --identity       take the name that croft gave to this machine; for a service manager at boot\n"
	"  croft-guest --sync-list DIR [STAGE], --sync-apply STAGE DIR [--delete] [--old OLD], --sync-keep FILE OLD,\n"
	"  --sync-back OLD PATH\n"
	"                               the guest's part of croft's pushes of apps\n"
	"  croft-guest --connect ADDRESS PORT\n"
	"                               join stdin and stdout to a TCP connection\n"
	"  croft-guest --version\n"
	"\n"
	"As PID 1 it boots the machine; called as sudo, hostnamectl or nohup it stands for them in the tiny guest.\n";

/* A listening socket at a path, or -1. */
static int listen_at(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd, code;

	if (strlen(path) >= sizeof(sa.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(sa.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0 && listen(fd, 8) == 0))
		return fd;
	code = errno;
	close(fd);
	errno = code;
	return -1;
}

static int serve_socket(const char *arg)
{
	struct guest g = { .port = -1, .ready = true };
	int listener = -1, fd;
	char *end;
	long number = strtol(arg, &end, 10);

	if (serve_init(&g) < 0) {
		fprintf(stderr, "croft-guest: %s\n", strerror(errno));
		return 1;
	}
	if (!*arg || *end)
		fd = listener = listen_at(arg);
	else
		fd = fcntl((int)number, F_SETFD, FD_CLOEXEC) < 0 ? -1 : (int)number;
	if (fd < 0) {
		fprintf(stderr, "croft-guest: %s: %s\n", arg, strerror(errno));
		serve_close(&g);
		return 1;
	}
	if (listener < 0)
		serve_set_port(&g, fd);
	while (!g.power) {
		struct pollfd p = { .fd = g.port < 0 ? listener : -1, .events = POLLIN };

		if (serve_turn(&g, -1, &p, 1) < 0 && listener < 0)
			break;
		if ((p.revents & POLLIN) && (fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0)
			serve_set_port(&g, fd);
	}
	serve_close(&g);
	if (listener >= 0)
		close(listener);
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
	const char *called = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];

	/* The kernel hands words of its command line on to init: only our options count there. */
	if (getpid() == 1 && (argc < 2 || strncmp(argv[1], "--", 2) != 0))
		return boot_main();
	if (strcmp(called, "sudo") == 0)
		return sudo_main(argc, argv);
	if (strcmp(called, "hostnamectl") == 0)
		return hostnamectl_main(argc, argv);
	if (strcmp(called, "nohup") == 0)
		return nohup_main(argc, argv);
	if (getuid() != geteuid()) {
		fputs("croft-guest: only for root\n", stderr);
		return 1;
	}
	if (argc > 2 && strncmp(argv[1], "--sync-", 7) == 0)
		return sync_main(argc, argv);
	if (argc == 4 && strcmp(argv[1], "--connect") == 0)
		return relay_main(argv[2], argv[3]);
	if (argc == 2 && strcmp(argv[1], "--service") == 0)
		return service();
	if (argc == 2 && strcmp(argv[1], "--stdio") == 0)
		return stdio_main(false);
	if (argc == 3 && strcmp(argv[1], "--stdio") == 0 && strcmp(argv[2], "--machine") == 0)
		return stdio_main(true);
	if (argc == 2 && strcmp(argv[1], "--identity") == 0)
		return identity_main();
	if (argc == 3 && strcmp(argv[1], "--port") == 0)
		return serve_socket(argv[2]);
	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		puts(CROFT_VERSION);
		return 0;
	}
	fputs(usage, argc == 2 && strcmp(argv[1], "--help") == 0 ? stdout : stderr);
	return argc == 2 && strcmp(argv[1], "--help") == 0 ? 0 : 2;
}
