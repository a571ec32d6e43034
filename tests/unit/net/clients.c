/* SPDX-License-Identifier: Apache-2.0 */
/* What a gateway offers beside DHCP, asked by the programs that people have: dig, getent, systemd-resolved, upnpc. Skipped without root, or without them. */
#include "taps.h"

#define ADDRESSED "busybox ip addr add 10.1.0.10/24 dev t0; busybox ip route add default via 10.1.0.1; "
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

/* The same, croft-net in a network of the test's own that has an address. */
static bool hosted;
static int begin_hosted(void **state)
{
	hosted = unshare(CLONE_NEWNET) == 0 && system("busybox ip link set lo up && busybox ip addr add 203.0.113.5/32 dev lo") == 0;
	return begin(state);
}

static void names_by_tcp(void **state)
{
	int status = on_machine("dig", ADDRESSED "dig +tcp +short +tries=1 n1 @10.1.0.1; dig +tcp +short +tries=1 -x 10.1.0.11 @10.1.0.1; "
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
	int status = on_machine("getent", ADDRESSED "unshare -m sh -c 'mount -t tmpfs t /mnt; echo nameserver 10.1.0.1 >/mnt/r; mount --bind /mnt/r /etc/resolv.conf; "
					      "getent hosts n1; getent hosts 10.1.0.11; getent ahosts n1.g.croft; getent hosts nobody.g.croft || echo nobody'");
	if (status < 0)
		return;
	assert_int_equal(status, 0);
	said("10.1.0.11       n1\n10.1.0.11       n1\n");
	said("\nnobody\n");
}

static char resolved[] = "/tmp/croft-resolved.XXXXXX/lib/systemd/systemd-resolved";

/* Installed it would take the place of this computer's own resolver: it is unpacked, while there is a network. */
static int get_resolved(void **state)
{
	_cleanup_free_ char *get = NULL;
	char *end = resolved + strlen("/tmp/croft-resolved.XXXXXX");

	if (access("/lib/systemd/systemd-resolved", X_OK) == 0) {
		strcpy(resolved, "/lib/systemd/systemd-resolved");
		return 0;
	}
	*end = '\0';
	if (!mkdtemp(resolved)) {
		*resolved = '\0';
		return 0;
	}
	get = xasprintf("cd %s && timeout 60 apt-get download -q systemd-resolved >/dev/null 2>&1 && dpkg-deb -x *.deb . && rm *.deb", resolved);
	if (system(get) != 0) {
		rmdir(resolved);
		*resolved = '\0';
		return 0;
	}
	*end = '/';
	return 0;
}

static int drop_resolved(void **state)
{
	_cleanup_free_ char *drop = NULL;

	if (strncmp(resolved, "/tmp/", 5))
		return 0;
	resolved[strlen("/tmp/croft-resolved.XXXXXX")] = '\0';
	drop = xasprintf("rm -r %s", resolved);
	return system(drop);
}

/* With the gateway as its server and EDNS, as it asks by itself. */
static void names_by_resolved(void **state)
{
	_cleanup_free_ char *commands = xasprintf(ADDRESSED "unshare -m sh -c 'mount -t tmpfs t /mnt; mount -t tmpfs t /run; mkdir -p /run/systemd/resolve; chown 996:996 /run/systemd/resolve; "
		"{ cat /etc/passwd; echo systemd-resolve:x:996:996::/:/bin/false; } >/mnt/p; mount --bind /mnt/p /etc/passwd; "
		"printf \"[Resolve]\\nDNS=10.1.0.1\\nResolveUnicastSingleLabel=yes\\n\" >/mnt/c; mkdir -p /etc/systemd; touch /etc/systemd/resolved.conf; mount --bind /mnt/c /etc/systemd/resolved.conf; "
		"%s >/mnt/log 2>&1 & pid=$!; n=0; until dig +tries=1 +time=1 +short n1 @127.0.0.53 | grep -q 10.1 || [ $((n += 1)) = 20 ]; do sleep 0.2; done; "
		"dig +tries=1 +short n1 @127.0.0.53; dig +tries=1 +short -x 10.1.0.11 @127.0.0.53; dig +tries=1 nobody.g.croft @127.0.0.53; cat /mnt/log; kill $pid'", resolved);
	int status;

	if (!*resolved) {
		fprintf(stderr, "skipped: there is no systemd-resolved, and it can't be downloaded\n");
		return;
	}
	status = on_machine("dig", commands);
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
	status = on_machine("upnpc", ADDRESSED "u='upnpc -u http://10.1.0.1:5000/igd.xml'; upnpc -s; $u -e 'my web' -a 10.1.0.10 80 8080 TCP 600; "
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
	assert_null(strstr(strstr(tap_out, "\nagain\n"), "8080->"));
	assert_non_null(strstr(strstr(tap_out, "\nagain\n"), "UDP    53->10.1.0.10:53 "));
}

/* From another address of this computer than the loopback's, to a machine behind NAT: the answers go back by the forward, not by NAT. */
static void a_forward_from_elsewhere(void **state)
{
	_cleanup_free_ char *ask = xasprintf("cd '%s'; n=0; until timeout 2 busybox wget -q -O a http://203.0.113.5:8085/; do [ $((n += 1)) -lt 100 ] || break; sleep 0.1; done; touch done",
		(char *)*state);
	_cleanup_free_ char *serve = xasprintf(ADDRESSED "cd '%s'; mkdir www; echo from the machine >www/index.html; busybox httpd -f -p 80 -h www & "
					       "n=0; until [ -e done ] || [ $((n += 1)) = 300 ]; do sleep 0.1; done; cat a; kill $!; true", (char *)*state);
	pid_t pid;
	int status;

	if (!hosted)
		return;
	free(wires_ask("{\"op\":\"forward\",\"host\":\"203.0.113.5\",\"host_port\":8085,\"node\":\"n0\",\"port\":80}"));
	pid = fork();
	if (pid == 0) {
		execlp("sh", "sh", "-c", ask, NULL);
		_exit(127);
	}
	status = on_machine("busybox", serve);
	waitpid(pid, NULL, 0);
	if (status < 0)
		return;
	assert_int_equal(status, 0);
	said("from the machine\n");
}

/* What a map was asked for is told by the process that takes the place of one that was killed. */
static void maps_and_their_texts_outlive_the_process(void **state)
{
	_cleanup_free_ char *file = path_join(*state, "saved"), *save = xasprintf("{\"op\":\"save\",\"file\":\"%s\"}", file),
			    *to = path_join(wires_dir, "net.state");
	struct error *e = NULL;

	if (on_machine("upnpc", ADDRESSED "upnpc -u http://10.1.0.1:5000/igd.xml -e 'my \303\274ber web' -a 10.1.0.10 80 8080 TCP 600") < 0)
		return;
	free(wires_ask(save));
	/* What the process would have written by itself within seconds. */
	assert_ok(file_copy(file, to, 0600, &e), e);
	wires_kill();
	on_machine("upnpc", ADDRESSED "upnpc -u http://10.1.0.1:5000/igd.xml -l");
	said("TCP  8080->10.1.0.10:80    'my \303\274ber web' ''");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(names_by_tcp, begin, wires_end),
		cmocka_unit_test_setup_teardown(names_by_getent, begin, wires_end),
		cmocka_unit_test_setup_teardown(names_by_resolved, begin, wires_end),
		cmocka_unit_test_setup_teardown(port_maps_by_upnp, begin, wires_end),
		cmocka_unit_test_setup_teardown(a_forward_from_elsewhere, begin_hosted, wires_end),
		cmocka_unit_test_setup_teardown(maps_and_their_texts_outlive_the_process, begin, wires_end),
	};

	return cmocka_run_group_tests(tests, get_resolved, drop_resolved);
}
