/* SPDX-License-Identifier: Apache-2.0 */
/* Zones, routers and addresses of group files. */
#include "group/internal.h"
#include "base/path.h"
#include "../test.h"

#include <jansson.h>

static void put(const char *path, const char *text)
{
	_cleanup_free_ char *dir = path_dirname(path);
	struct error *err = NULL;

	assert_ok(file_mkdirs(dir, 0700, &err), err);
	assert_ok(file_writef(path, 0600, &err, "%s", text), err);
}

static int setup(void **state)
{
	if (test_dir_setup(state) < 0 || chdir(*state) < 0)
		return -1;
	unsetenv("CROFT_NET_PREFIX");
	return setenv("CROFT_HOME", *state, 1);
}

static struct group *load(const char *text)
{
	struct error *err = NULL;
	struct group *g = NULL;

	put("z.yaml", text);
	assert_ok(group_load("z.yaml", &g, &err), err);
	return g;
}

static const struct group_zone *zone(const struct group *g, const char *name)
{
	for (size_t i = 0; i < g->nzones; i++)
		if (!strcmp(g->zones[i].name, name))
			return &g->zones[i];
	fail_msg("no zone %s", name);
	return NULL;
}

static const char *zone_of(const struct group *g, const char *node)
{
	struct error *err = NULL;

	return g->zones[group_node(g, node, &err)->nics[0].zone].name;
}

/* The way of files in the wild. */
static void lan_ids_are_zones(void **state)
{
	_cleanup_group_ struct group *g = load("nodes:\n  a: {network: {lan_id: lan, type: nat}}\n  sn: {network: {lan_id: wan, type: bridge}}\n"
					       "  b: {network: {lan_id: lan}}\n  pub: {network: {lan_id: dmz, type: bridge}}\n  x: {}\n");

	assert_int_equal(g->nzones, 3);
	assert_string_equal(zone(g, "wan")->to, "host");
	assert_null(zone(g, "wan")->kind);
	assert_string_equal(zone(g, "lan")->to, "wan");
	assert_string_equal(zone(g, "lan")->kind, "port-restricted");
	assert_string_equal(zone(g, "dmz")->to, "wan");
	assert_null(zone(g, "dmz")->kind);
	assert_string_equal(zone_of(g, "a"), "lan");
	assert_string_equal(zone_of(g, "b"), "lan");
	assert_string_equal(zone_of(g, "x"), "wan");
}

static void a_lone_nat_gets_an_internet(void **state)
{
	_cleanup_group_ struct group *g = load("nodes:\n  a: {network: {lan_id: home, type: nat}}\n");

	assert_int_equal(g->nzones, 2);
	assert_string_equal(zone(g, "home")->to, "internet");
	assert_string_equal(zone(g, "internet")->to, "host");
	assert_string_equal(zone_of(g, "a"), "home");
}

/* One zone has the prefix and the addresses that it always had, whatever it is called. */
static void one_zone_is_as_before(void **state)
{
	_cleanup_group_ struct group *plain = load("nodes:\n  a: {}\n  b: {network: {}}\n");
	_cleanup_group_ struct group *named = load("nodes:\n  a: {network: {lan_id: wan, type: bridge}}\n  b: {network: {lan_id: wan}}\n");

	assert_string_equal(plain->zones[0].name, "lan");
	assert_string_equal(plain->prefix, named->prefix);
	assert_string_equal(plain->nodes[0].address, named->nodes[0].address);
	assert_string_equal(plain->nodes[1].address, named->nodes[1].address);
}

#define SECTION                                                                                                                          \
	"zones:\n  internet: {}\n  home:\n    prefix6: auto\n    mtu: 1400\n    dhcp: {ntp: [10.3.0.2], routes: [10.9.0.0/16 via 10.7.7.7]}\n"   \
	"    prefix: 10.7.7.0/24\n    router: {to: internet, nat: symmetric, hairpin: false, timeouts: {udp: 30}, maps: ['80-alice:8080']}\n"  \
	"  lab: {router: none}\n"

static void a_section_says_it_all(void **state)
{
	_cleanup_group_ struct group *g = load(SECTION "forwards: ['tcp:127.0.0.1:2222-alice:22', 'udp:53-sn']\n"
					       "nodes:\n  sn: {network: {zone: internet}}\n"
					       "  alice: {network: [{zone: home, ip: 10.7.7.5}, {zone: lab, spoofing: true}],"
					       " init_commands: ['{{alice.ip.1}} {{alice.zone.1}} {{alice.outer_ip}} {{sn.ip}}']}\n");
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct error *err = NULL;
	char *text = vars_expand(g->vars, g->nodes[1].init.v[0], NULL, "x", &err);
	json_t *j;

	assert_int_equal(g->nodes[1].nnics, 2);
	assert_string_equal(g->nodes[1].address, "10.7.7.5");
	assert_string_not_equal(g->nodes[1].nics[0].mac, g->nodes[1].nics[1].mac);
	assert_string_equal(zone(g, "home")->gateway, "10.7.7.1");
	assert_null(zone(g, "lab")->to);
	assert_non_null(text);
	assert_memory_equal(text, g->nodes[1].nics[1].address, strlen(g->nodes[1].nics[1].address));
	assert_non_null(strstr(text, " lab "));
	assert_non_null(strstr(text, zone(g, "home")->router));
	free(text);
	/* What the network process reads. */
	group_net_json(g, &b);
	j = json_loads(b.data, 0, NULL);
	assert_non_null(j);
	assert_int_equal(json_array_size(json_object_get(j, "zones")), 3);
	assert_int_equal(json_array_size(json_object_get(j, "ports")), 3);
	assert_int_equal(json_array_size(json_object_get(j, "forwards")), 2);
	assert_non_null(strstr(b.data, "\"maps\":[{\"proto\":\"tcp\",\"port\":80,\"address\":\"10.7.7.5\",\"to_port\":8080}]"));
	assert_non_null(strstr(b.data, "\"mapping\":\"address-port\""));
	assert_non_null(strstr(b.data, "\"routes\":[{\"prefix\":\"10.9.0.0/16\",\"via\":\"10.7.7.7\"}]"));
	assert_non_null(strstr(b.data, "net1.sock"));
	assert_non_null(strstr(b.data, "\"trusted\":true"));
	json_decref(j);
}

static void wrong_sections_say_where(void **state)
{
	static const struct {
		const char *text, *want;
	} cases[] = {
		{ "zones: {a: {router: b}}\nnodes: {n: {}}\n", "z.yaml:1:21: router: no zone is named 'b'" },
		{ "zones: {a: {router: a}}\nnodes: {n: {}}\n", "leads to itself" },
		{ "zones: {a: {router: b}, b: {router: a}}\nnodes: {n: {}}\n", "in a circle" },
		{ "zones: {host: {}}\nnodes: {n: {}}\n", "a meaning of its own" },
		{ "zones: {a: {nat: x}}\nnodes: {n: {}}\n", "unknown key 'nat'" },
		{ "zones: {a: {}, b: {router: {to: a, nat: symetric}}}\nnodes: {n: {}}\n", "nat: 'symetric' is not known" },
		{ "zones: {a: {router: {to: host, nat: symmetric}}}\nnodes: {n: {}}\n", "without NAT of its own" },
		{ "zones: {a: {}, b: {router: {to: a, nat: full-cone, maps: ['80-n']}}}\nnodes: {n: {}}\n", "maps: n is not in zone b" },
		{ "zones: {a: {}, b: {router: {to: a, maps: ['80-n']}}}\nnodes: {n: {network: {zone: b}}}\n", "the router has no nat" },
		{ "zones: {a: {}}\nnodes: {n: {network: {zone: b}}}\n", "zone: no zone is named 'b'" },
		{ "zones: {a: {}}\nnodes: {n: {network: [{zone: a}, {zone: a}]}}\n", "n is in zone a already" },
		{ "zones: {a: {prefix: 10.1.1.0/24}, b: {prefix: 10.1.1.0/24}}\nnodes: {n: {}}\n", "has the network 10.1.1.0/24 already" },
		{ "zones: {a: {mtu: 100}}\nnodes: {n: {}}\n", "z.yaml:1:18: " },
		{ "zones: {a: {dhcp: {routes: [10.0.0.1]}}}\nnodes: {n: {}}\n", "is not a route" },
		{ "forwards: [8080]\nnodes: {n: {}}\n", "'8080' is not a forward" },
		{ "forwards: ['0-n']\nnodes: {n: {}}\n", "'0-n' is not a forward" },
		{ "forwards: ['70000-n']\nnodes: {n: {}}\n", "is not a forward" },
		{ "forwards: ['1.2.3:80-n']\nnodes: {n: {}}\n", "is not a forward" },
		{ "forwards: ['80-m']\nnodes: {n: {}}\n", "no node is named 'm'" },
		{ "forwards: ['80-n', 'tcp:80-n:81']\nnodes: {n: {}}\n", "port 80 has a forward already" },
		{ "nodes: {a: {network: {lan_id: x, type: nat}}, b: {network: {lan_id: x, type: bridge}}}\n", "zone x is nat at line 1" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error *err = NULL;
		struct group *g = NULL;

		put("z.yaml", cases[i].text);
		if (group_load("z.yaml", &g, &err) == 0)
			fail_msg("accepted: %s", cases[i].text);
		if (!strstr(err->msg, cases[i].want))
			fail_msg("%s: '%s', wanted '%s'", cases[i].text, err->msg, cases[i].want);
		error_clear(&err);
	}
}

/* What was there keeps its address when zones and nodes are added around it. */
static void records_hold(void **state)
{
	_cleanup_group_ struct group *g = load("zones:\n  a: {}\n  b: {router: {to: a, nat: symmetric}}\nnodes: {n: {network: {zone: b}}}\n"), *again;
	struct error *err = NULL;

	assert_ok(file_mkdirs(g->record, 0700, &err), err);
	assert_ok(group_write_record(g, &err), err);
	again = load("zones:\n  0: {}\n  a: {}\n  b: {router: {to: a, nat: symmetric}}\n  c: {router: a}\n"
		     "nodes: {l: {network: {zone: b}}, m: {network: {zone: a}}, n: {network: {zone: b}}}\n");
	assert_string_equal(zone(again, "a")->prefix, zone(g, "a")->prefix);
	assert_string_equal(zone(again, "b")->prefix, zone(g, "b")->prefix);
	assert_string_equal(zone(again, "b")->router, zone(g, "b")->router);
	assert_string_equal(again->nodes[2].address, g->nodes[0].address);
}

/* n nodes in one zone; more: the rest of the file. */
static char *many(unsigned n, const char *more)
{
	struct buf b = BUF_INIT;

	buf_addf(&b, "%s\nnodes:\n", more);
	for (unsigned i = 0; i < n; i++)
		buf_addf(&b, "  n%u: {}\n", i);
	return buf_steal(&b);
}

static void large_zones(void **state)
{
	static const struct {
		unsigned n;
		const char *bits;
	} all[] = { { 240, "/24" }, { 241, "/23" }, { 1000, "/22" }, { 1009, "/21" } };
	struct error *err = NULL;
	struct group *none = NULL;
	_cleanup_free_ char *with = many(500, "network: {prefix: 10.99.4.0/22}"), *small = many(500, "network: {prefix: 10.99.4.0/24}");

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		_cleanup_free_ char *text = many(all[i].n, "");
		_cleanup_group_ struct group *g = load(text);
		struct map seen = { 0 };

		assert_string_equal(strchr(g->zones[0].prefix, '/'), all[i].bits);
		assert_int_equal(g->zones[0].net & ((1u << (32 - g->zones[0].bits)) - 1), 0);
		for (size_t k = 0; k < g->nnodes; k++)
			map_set(&seen, g->nodes[k].address, g);
		assert_int_equal(seen.len, all[i].n);
		map_free(&seen);
	}
	group_free(load(with));
	put("z.yaml", small);
	assert_int_equal(group_load("z.yaml", &none, &err), -1);
	assert_non_null(strstr(err->msg, "500 machines and routers; its network 10.99.4.0/24 has addresses for 240"));
	error_clear(&err);
	put("z.yaml", "zones: {a: {prefix: 10.99.4.0/22}, b: {prefix: 10.99.7.0/24}}\nnodes: {x: {network: {zone: a}}}\n");
	assert_int_equal(group_load("z.yaml", &none, &err), -1);
	assert_non_null(strstr(err->msg, "zone a has the network 10.99.4.0/22 already"));
	error_clear(&err);
	group_free(load("zones: {a: {prefix: 10.99.4.0/22}}\nnodes: {x: {network: {zone: a, ip: 10.99.7.254}}, y: {network: {zone: a, ip: 10.99.4.255}}}\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(lan_ids_are_zones, setup, test_dir_teardown),
		cmocka_unit_test_setup_teardown(a_lone_nat_gets_an_internet, setup, test_dir_teardown),
		cmocka_unit_test_setup_teardown(one_zone_is_as_before, setup, test_dir_teardown),
		cmocka_unit_test_setup_teardown(a_section_says_it_all, setup, test_dir_teardown),
		cmocka_unit_test_setup_teardown(wrong_sections_say_where, setup, test_dir_teardown),
		cmocka_unit_test_setup_teardown(records_hold, setup, test_dir_teardown),
		cmocka_unit_test_setup_teardown(large_zones, setup, test_dir_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
