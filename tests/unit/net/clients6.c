/* SPDX-License-Identifier: Apache-2.0 */
/*
 * IPv6 with programs that people have: the kernel's own SLAAC, systemd-networkd, dhclient -6, dig, getent, wget out to the host's network,
 * which is a namespace of the test's own with an address. Skipped without root, or without the program.
 */
#include "taps.h"

#define HOST "2001:db8:5::1"
#define WAIT_FOR_ADDRESS                                                                                                              \
	"n=0; until busybox ip -6 route | grep -q default && ! busybox ip -6 addr show dev t0 | grep -q tentative; do "              \
	"[ $((n += 1)) -lt 200 ] || break; sleep 0.1; done; "

static int begin(void **state)
{
	if (unshare(CLONE_NEWNET) < 0)
		return 0; /* the test will skip */
	if (system("busybox ip link set lo up && busybox ip -6 addr add " HOST "/128 dev lo && echo 0 2147483647 >/proc/sys/net/ipv4/ping_group_range") != 0)
		return 0;
	nwires = 0;
	wire_add("home", 0x0a01000a, 0x0a010001);
	wire_add("home", 0x0a01000b, 0x0a010001);
	return wires_start(state, "{\"name\":\"home\",\"prefix\":\"10.1.0.0/24\",\"gateway\":\"10.1.0.1\",\"domain\":\"g.croft\",\"mtu\":1400,"
				  "\"prefix6\":\"fd00:1::/64\",\"outside\":true}");
}

static int end(void **state)
{
	return nwires ? wires_end(state) : 0;
}

/* The kernel makes its address of the advertisement; then out by TCP to a server of the host's, and to the gateway's DNS. */
static void out_to_the_host(void **state)
{
	_cleanup_free_ char *www = xasprintf("%s/www", (char *)*state), *serve = xasprintf("mkdir '%s'; echo hello six >'%s/index.html'; exec busybox httpd -f -p '[" HOST "]:8080' -h '%s'", www, www, www);
	pid_t pid = nwires ? fork() : -1;

	if (pid == 0) {
		execlp("sh", "sh", "-c", serve, NULL);
		_exit(127);
	}
	int status = on_machine("dig", WAIT_FOR_ADDRESS
				       "busybox ip -6 addr show dev t0; busybox ip -6 route; busybox wget -q -O - 'http://[" HOST "]:8080/'; "
				       "dig +tries=1 +short n1 AAAA @fd00:1::1; dig +tries=1 +short n1 @fd00:1::1; "
				       "dig +tcp +tries=1 +short n1 @fd00:1::1; dig +tcp +keepopen +tries=1 +short -x 10.1.0.11 @fd00:1::1 n0 AAAA @fd00:1::1; "
				       "busybox ping -6 -c 2 -W 5 -s 1000 " HOST "; busybox ping -6 -c 1 -W 1 2001:db8:5::9; "
				       "busybox wget -q -O - 'http://[::ffff:127.0.0.1]:8080/'; busybox wget -q -O - 'http://[fd00:1::1]:8080/'; true");
	if (pid > 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	if (status < 0)
		return;
	assert_int_equal(status, 0);
	said("fd00:1::5054:ff:fe00:1/64");
	said("hello six\nfd00:1::5054:ff:fe00:2\n10.1.0.11\n10.1.0.11\nn1.\nfd00:1::5054:ff:fe00:1\n");
	said("1008 bytes from " HOST ": seq=1");
	said("2 packets received, 0% packet loss");
	said("100% packet loss"); /* nobody is there */
	/* Once: neither IPv4's loopback written as IPv6 nor the gateway's address lead to the server. */
	assert_null(strstr(strstr(tap_out, "hello six") + 1, "hello six"));
}

/* From a port of the host's loopback, and from another address of its, to the machine, until they are taken back. */
static void in_by_forwards(void **state)
{
	static const char *const forwards[] = { "\"host\":\"::1\",\"host_port\":8085", "\"host\":\"" HOST "\",\"host_port\":8086" };
	_cleanup_free_ char *ask = xasprintf("cd '%s'; n=0; until timeout 2 busybox wget -q -O a 'http://[::1]:8085/'; do [ $((n += 1)) -lt 100 ] || break; sleep 0.1; done; "
					     "timeout 5 busybox wget -q -O b 'http://[" HOST "]:8086/'; timeout 1 busybox wget -q -O c http://127.0.0.1:8085/; touch done", (char *)*state);
	_cleanup_free_ char *serve = xasprintf(WAIT_FOR_ADDRESS "cd '%s'; mkdir www; echo from the machine >www/index.html; busybox httpd -f -p '[::]:80' -h www & "
					       "n=0; until [ -e done ] || [ $((n += 1)) = 300 ]; do sleep 0.1; done; cat a b c; kill $!; true", (char *)*state);
	pid_t pid;
	int status;

	for (size_t i = 0; nwires && i < ARRAY_SIZE(forwards); i++) {
		_cleanup_free_ char *request = xasprintf("{\"op\":\"forward\",%s,\"node\":\"n0\",\"port\":80}", forwards[i]);

		free(wires_ask(request));
	}
	pid = nwires ? fork() : -1;
	if (pid == 0) {
		execlp("sh", "sh", "-c", ask, NULL);
		_exit(127);
	}
	status = on_machine("busybox", serve);
	if (pid > 0)
		waitpid(pid, NULL, 0);
	if (status < 0)
		return;
	assert_int_equal(status, 0);
	said("from the machine\nfrom the machine\n");
	assert_null(strstr(strstr(strstr(tap_out, "from the machine") + 1, "from the machine") + 1, "from the machine"));
	for (size_t i = 0; i < ARRAY_SIZE(forwards); i++) {
		_cleanup_free_ char *request = xasprintf("{\"op\":\"unforward\",%s}", forwards[i]);
		_cleanup_free_ char *list = NULL;

		free(wires_ask(request));
		list = wires_ask("{\"op\":\"forwards\"}");
		assert_int_equal(!!strstr(list, "8086"), !i);
	}
}

static void networkd(void **state)
{
	int status = on_machine("/lib/systemd/systemd-networkd",
		"mount -t tmpfs tmpfs /run; mkdir -p /run/systemd/network; mount -t sysfs -o ro sysfs /sys; "
		"printf '[Match]\\nName=t0\\n[Network]\\nDHCP=ipv4\\nIPv6AcceptRA=yes\\n' >/run/systemd/network/t0.network; "
		"/lib/systemd/systemd-networkd >/run/log 2>&1 & n=0; until grep -qs ^DNS=.*10.1.0.1 /run/systemd/netif/links/* && grep -qs '^DNS=.*fd00:1::1' /run/systemd/netif/links/*; "
		"do [ $((n += 1)) -lt 150 ] || break; sleep 0.1; done; cat /run/systemd/netif/links/*; busybox ip addr show dev t0; busybox ip -6 route; cat /run/log; kill %1 2>/dev/null || kill $!");

	if (status < 0)
		return;
	said("10.1.0.10/24");
	said("fd00:1::5054:ff:fe00:1/64");
	said("fd00:1::1");
	said("DOMAINS=");
}

static void dhclient6(void **state)
{
	_cleanup_free_ char *text = xasprintf("printf '#!/bin/sh\\necho \"<$reason $new_ip6_address $new_dhcp6_name_servers $new_dhcp6_domain_search>\"\\n"
					      "case $reason in BOUND6) kill $PPID;; PREINIT6) busybox ip link set t0 up; sleep 3;; esac\\n' >'%s/told'; cd '%s'; chmod +x told; "
					      "touch leases leases2; dhclient -6 -1 -d -sf \"$PWD/told\" -lf \"$PWD/leases\" -pf ./pid -cf /dev/null t0; "
					      "dhclient -6 -S -1 -d -sf \"$PWD/told\" -lf \"$PWD/leases2\" -pf ./pid2 -cf /dev/null t0 & sleep 4; kill $!; true",
		(char *)*state, (char *)*state);

	if (on_machine("dhclient", text) < 0)
		return;
	said("<BOUND6 fd00:1::5054:ff:fe00:1 fd00:1::1 g.croft.>");
	said("fd00:1::1 g.croft.>");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(out_to_the_host, begin, end),
		cmocka_unit_test_setup_teardown(in_by_forwards, begin, end),
		cmocka_unit_test_setup_teardown(networkd, begin, end),
		cmocka_unit_test_setup_teardown(dhclient6, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
