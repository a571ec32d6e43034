/* SPDX-License-Identifier: Apache-2.0 */
/* Real DHCP clients, on a tap in a network namespace of the test's own; skipped without the rights for that, or without the client. */
#include "taps.h"
#include "base/path.h"

static int begin(void **state)
{
	nwires = 0;
	wire_add("home", 0x0a01000a, 0x0a010001);
	return wires_start(state, "{\"name\":\"home\",\"prefix\":\"10.1.0.0/24\",\"gateway\":\"10.1.0.1\",\"domain\":\"g.croft\",\"mtu\":1400,"
				  "\"dhcp\":{\"ntp\":[\"10.1.0.3\"],\"domain\":\"x.test\"},\"routes\":[{\"prefix\":\"10.9.0.0/16\",\"via\":\"10.1.0.7\"}]}");
}

static void udhcpc_gets_it_all(void **state)
{
	_cleanup_free_ char *script = path_join(*state, "told");
	const char *argv[] = { "busybox", "udhcpc", "-i", "t0", "-n", "-q", "-f", "-O", "mtu", "-O", "staticroutes", "-O", "ntpsrv", "-s", script, NULL };
	struct error *e = NULL;
	char out[4096];
	int fd = system("busybox udhcpc --help >/dev/null 2>&1") == 0 ? tap() : -1;

	if (fd < 0) {
		tap_absent();
		return;
	}
	assert_ok(file_writef(script, 0700, &e, "#!/bin/sh\n[ \"$1\" = bound ] && echo \"<$ip $subnet $router $dns $ntpsrv $domain $mtu $staticroutes>\"\nexit 0\n"), e);
	assert_int_equal(tap_run(fd, argv, out, sizeof(out)), 0);
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

	if (fd < 0) {
		tap_absent();
		return;
	}
	assert_ok(file_writef(conf, 0600, &e, "request subnet-mask, routers, domain-name-servers;\n"), e);
	/* It stays as a daemon would: its script ends it when it is bound. */
	assert_ok(file_writef(script, 0700, &e,
			  "#!/bin/sh\n[ \"$reason\" = BOUND ] && { echo \"<$new_ip_address $new_subnet_mask $new_routers>\"; kill $PPID; }\nexit 0\n"),
		e);
	tap_run(fd, argv, out, sizeof(out));
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
