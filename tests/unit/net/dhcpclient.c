/* SPDX-License-Identifier: Apache-2.0 */
/* Real DHCP clients, on a tap in a network namespace of the test's own; skipped without the rights for that, or without the client. */
#include "wires.h"
#include "base/path.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

static int begin(void **state)
{
	nwires = 0;
	wire_add("home", 0x0a01000a, 0x0a010001);
	return wires_start(state, "{\"name\":\"home\",\"prefix\":\"10.1.0.0/24\",\"gateway\":\"10.1.0.1\",\"domain\":\"g.croft\",\"mtu\":1400,"
				  "\"dhcp\":{\"ntp\":[\"10.1.0.3\"],\"domain\":\"x.test\"},\"routes\":[{\"prefix\":\"10.9.0.0/16\",\"via\":\"10.1.0.7\"}]}");
}

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

/* Frames go both ways until the client ends; what it wrote is in out. Returns its status. */
static int run(int fd, const char *const *argv, char *out, size_t cap)
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

static void udhcpc_gets_it_all(void **state)
{
	_cleanup_free_ char *script = path_join(*state, "told");
	const char *argv[] = { "busybox", "udhcpc", "-i", "t0", "-n", "-q", "-f", "-O", "mtu", "-O", "staticroutes", "-O", "ntpsrv", "-s", script, NULL };
	struct error *e = NULL;
	char out[4096];
	int fd = system("busybox udhcpc --help >/dev/null 2>&1") == 0 ? tap() : -1;

	if (fd < 0)
		skip();
	assert_ok(file_writef(script, 0700, &e, "#!/bin/sh\n[ \"$1\" = bound ] && echo \"<$ip $subnet $router $dns $ntpsrv $domain $mtu $staticroutes>\"\nexit 0\n"), e);
	assert_int_equal(run(fd, argv, out, sizeof(out)), 0);
	if (!strstr(out, "<10.1.0.10 255.255.255.0 10.1.0.1 10.1.0.1 10.1.0.3 x.test 1400 10.9.0.0/16 10.1.0.7 0.0.0.0/0 10.1.0.1>"))
		fail_msg("udhcpc was told: %s", out);
	close(fd);
}

static void dhclient_gets_its_address(void **state)
{
	_cleanup_free_ char *script = path_join(*state, "told"), *leases = path_join(*state, "leases"), *pid = path_join(*state, "pid"),
			    *conf = path_join(*state, "conf");
	const char *argv[] = { "dhclient", "-1", "-d", "-sf", script, "-lf", leases, "-pf", pid, "-cf", conf, "t0", NULL };
	struct error *e = NULL;
	char out[8192];
	int fd = system("command -v dhclient >/dev/null") == 0 ? tap() : -1;

	if (fd < 0)
		skip();
	assert_ok(file_writef(conf, 0600, &e, "request subnet-mask, routers, domain-name-servers;\n"), e);
	/* It stays as a daemon would: its script ends it when it is bound. */
	assert_ok(file_writef(script, 0700, &e,
			  "#!/bin/sh\n[ \"$reason\" = BOUND ] && { echo \"<$new_ip_address $new_subnet_mask $new_routers>\"; kill $PPID; }\nexit 0\n"),
		e);
	run(fd, argv, out, sizeof(out));
	if (!strstr(out, "<10.1.0.10 255.255.255.0 10.1.0.1>"))
		fail_msg("dhclient was told: %s", out);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(udhcpc_gets_it_all, begin, wires_end),
		cmocka_unit_test_setup_teardown(dhclient_gets_its_address, begin, wires_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
