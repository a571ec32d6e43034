/* SPDX-License-Identifier: Apache-2.0 */
/* Real programs as machines: wire 0 is a tap in a network namespace of the test's own, where they run. */
#ifndef TAPS_H
#define TAPS_H

#include "wires.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

/* A tap with the machine's MAC; -1: no rights. */
static int tap(void)
{
	struct ifreq r = { .ifr_flags = IFF_TAP | IFF_NO_PI };
	int fd, s;

	if (unshare(CLONE_NEWNET) < 0)
		return -1;
	fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	strcpy(r.ifr_name, "t0");
	if (fd < 0 || ioctl(fd, TUNSETIFF, &r) < 0)
		return -1;
	s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	r.ifr_hwaddr.sa_family = 1;
	memcpy(r.ifr_hwaddr.sa_data, wires[0].mac, 6);
	if (s < 0 || ioctl(s, SIOCSIFHWADDR, &r) < 0)
		return -1;
	r.ifr_flags = IFF_UP;
	if (ioctl(s, SIOCSIFFLAGS, &r) < 0)
		return -1;
	close(s);
	return fd;
}

/* What the programs need is not here. cmocka's own way of skipping counts as a failure where its output is read. */
static _unused_ void tap_absent(void)
{
	fprintf(stderr, "skipped: needs root, /dev/net/tun, and the program\n");
}

/* Frames go both ways until the client ends; what it wrote is in out. Returns its status. */
static int tap_run(int fd, const char *const *argv, char *out, size_t cap)
{
	int p[2], status = -1;
	size_t n = 0;
	pid_t pid;

	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		dup2(p[1], 1);
		execvp(argv[0], (char *const *)argv);
		_exit(127);
	}
	close(p[1]);
	for (;;) {
		static uint8_t f[70000];
		struct pollfd w[3] = { { fd, POLLIN, 0 }, { wires[0].fd, POLLIN, 0 }, { p[0], POLLIN, 0 } };
		ssize_t k;

		assert_true(poll(w, 3, 60000) > 0);
		if (w[0].revents && (k = read(fd, f, sizeof(f))) > 0)
			wire_write(0, f, (size_t)k);
		if (w[1].revents) {
			k = (ssize_t)wire_frame(0, f, sizeof(f), true);
			assert_int_equal(write(fd, f, (size_t)k), k);
		}
		if (w[2].revents) {
			k = read(p[0], out + n, cap - 1 - n);
			if (k <= 0)
				break;
			n += (size_t)k;
		}
	}
	out[n] = '\0';
	close(p[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static char tap_out[65536];

/* A shell's commands on the machine; its status, -1: it can't be done here. What they say is in tap_out. */
static _unused_ int on_machine(const char *program, const char *commands)
{
	_cleanup_free_ char *there = xasprintf("command -v busybox >/dev/null && command -v %s >/dev/null", program);
	_cleanup_free_ char *text = xasprintf("exec 2>&1; busybox ip link set lo up; %s", commands);
	const char *argv[] = { "unshare", "-m", "sh", "-c", text, NULL };
	int fd = nwires && system(there) == 0 ? tap() : -1, status;

	if (fd < 0) {
		tap_absent();
		return -1;
	}
	status = tap_run(fd, argv, tap_out, sizeof(tap_out));
	close(fd);
	return status;
}

static _unused_ void said(const char *text)
{
	if (!strstr(tap_out, text)) {
		fprintf(stderr, "%s\n", tap_out);
		fail_msg("'%s' is not in it", text);
	}
}

#endif
