/* SPDX-License-Identifier: Apache-2.0 */
/* What a gateway offers beside DHCP, asked by the programs that people have: dig, getent, systemd-resolved, upnpc. Skipped without root, or without them. */
#include "taps.h"

#define ADDRESSED "busybox ip addr add 10.1.0.10/24 dev t0; busybox ip link set lo up; busybox ip route add default via 10.1.0.1; "
#define ROUTER "\"router\":{\"to\":\"wan\",\"address\":\"11.0.113.9\",\"nat\":{\"upnp\":true,\"maps\":[{\"proto\":\"tcp\",\"port\":443,\"address\":\"10.1.0.11\",\"to_port\":443}]}}"

static int begin(void **state)
{
	nwires = 0;
	wire_add("home", 0x0a01000a, 0x0a010001);
	wire_add("home", 0x0a01000b, 0x0a010001);
	wire_add("wan", 0x0b00710a, 0x0b007101);
	return wires_start(state, "{\"name\":\"home\",\"prefix\":\"10.1.0.0/24\",\"gateway\":\"10.1.0.1\",\"domain\":\"g.croft\"," ROUTER "},"
				  "{\"name\":\"wan\",\"prefix\":\"11.0.113.0/24\",\"gateway\":\"11.0.113.1\",\"domain\":\"g.croft\"}");
}

static char out[65536];

/* A shell's commands on a machine with an address; its status, -1: it can't be done here. */
static int on_machine(const char *program, const char *commands)
{
	_cleanup_free_ char *there = xasprintf("command -v busybox >/dev/null && command -v %s >/dev/null", program), *text = xasprintf(ADDRESSED "%s", commands);
	const char *argv[] = { "sh", "-c", text, NULL };
	int fd = system(there) == 0 ? tap() : -1, status;

	if (fd < 0) {
		tap_absent();
		return -1;
	}
	status = tap_run(fd, argv, out, sizeof(out));
	close(fd);
	return status;
}

static void said(const char *text)
{
	if (!strstr(out, text)) {
		fprintf(stderr, "%s\n", out);
		fail_msg("'%s' is not in it", text);
	}
}

static void names_by_tcp(void **state)
{
	int status;

	status = on_machine("dig", "dig +tcp +short +tries=1 n1 @10.1.0.1; dig +tcp +short +tries=1 -x 10.1.0.11 @10.1.0.1; "
					   "dig +tcp +tries=1 nobody.g.croft @10.1.0.1; dig +keepopen +tcp +short +tries=1 n0 @10.1.0.1 n1 @10.1.0.1");
	if (status < 0)
		return;
	assert_int_equal(status, 0);
	said("10.1.0.11\nn1.\n");
	said("status: NXDOMAIN");
	said("10.1.0.10\n10.1.0.11\n");
}

/* As the C library asks them. */
static void names_by_getent(void **state)
{
	int status;

	status = on_machine("getent", "unshare -m sh -c 'mount -t tmpfs t /mnt; echo nameserver 10.1.0.1 >/mnt/r; mount --bind /mnt/r /etc/resolv.conf; "
					      "getent hosts n1; getent hosts 10.1.0.11; getent ahosts n1.g.croft; getent hosts nobody.g.croft || echo nobody'");
	if (status < 0)
		return;
	assert_int_equal(status, 0);
	said("10.1.0.11       n1\n10.1.0.11       n1\n");
	said("\nnobody\n");
}

/* With the gateway as its server and EDNS, as it asks by itself. */
static void names_by_resolved(void **state)
{
	int status = on_machine("/lib/systemd/systemd-resolved",
		"unshare -m sh -c 'mount -t tmpfs t /mnt; mount -t tmpfs t /run; mkdir -p /run/systemd/resolve; chown 996:996 /run/systemd/resolve; "
		"{ cat /etc/passwd; echo systemd-resolve:x:996:996::/:/bin/false; } >/mnt/p; mount --bind /mnt/p /etc/passwd; "
		"printf \"[Resolve]\\nDNS=10.1.0.1\\nResolveUnicastSingleLabel=yes\\n\" >/mnt/c; mkdir -p /etc/systemd; touch /etc/systemd/resolved.conf; mount --bind /mnt/c /etc/systemd/resolved.conf; "
		"/lib/systemd/systemd-resolved >/mnt/log 2>&1 & pid=$!; n=0; until dig +tries=1 +time=1 +short n1 @127.0.0.53 | grep -q 10.1 || [ $((n += 1)) = 20 ]; do sleep 0.2; done; "
		"dig +tries=1 +short n1 @127.0.0.53; dig +tries=1 +short -x 10.1.0.11 @127.0.0.53; dig +tries=1 nobody.g.croft @127.0.0.53; cat /mnt/log; kill $pid'");

	if (status < 0)
		return;
	said("10.1.0.11\nn1.\n");
	said("status: NXDOMAIN");
}

/* miniupnpc takes a router whose own address is private or reserved for one that is not connected: this one has a public one. */
static void port_maps_by_upnp(void **state)
{
	int status;

	/* 8080 of the router leads here; the neighbour's, and that of the configuration, can't be taken. */
	status = on_machine("upnpc", "u='upnpc -u http://10.1.0.1:5000/igd.xml'; upnpc -s; $u -e 'my web' -a 10.1.0.10 80 8080 TCP 600; "
					     "$u -a 10.1.0.10 53 53 UDP; $u -l; $u -a 10.1.0.11 81 8081 TCP; $u -a 10.1.0.10 443 443 TCP; "
					     "$u -d 8080 TCP; $u -d 443 TCP; echo; echo again; $u -l");
	if (status < 0)
		return;
	assert_int_equal(status, 0);
	said("ExternalIPAddress = 11.0.113.9");
	said("external 11.0.113.9:8080 TCP is redirected to internal 10.1.0.10:80");
	said("TCP  8080->10.1.0.10:80    'my web' ''");
	said("UDP    53->10.1.0.10:53 ");
	said("TCP   443->10.1.0.11:443 ");
	said("failed with code 606");
	said("failed with code 718");
	said("UPNP_DeletePortMapping() returned : 0");
	said("UPNP_DeletePortMapping() failed with code : 606");
	assert_null(strstr(strstr(out, "\nagain\n"), "8080->"));
	assert_non_null(strstr(strstr(out, "\nagain\n"), "UDP    53->10.1.0.10:53 "));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(names_by_tcp, begin, wires_end),
		cmocka_unit_test_setup_teardown(names_by_getent, begin, wires_end),
		cmocka_unit_test_setup_teardown(names_by_resolved, begin, wires_end),
		cmocka_unit_test_setup_teardown(port_maps_by_upnp, begin, wires_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
