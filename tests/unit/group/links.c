/* SPDX-License-Identifier: Apache-2.0 */
/* "seed", "links" and "names" of a group's file: what the network is told, and where it is wrong. */
#include "group/group.h"
#include "base/path.h"
#include "../test.h"

static int setup(void **state)
{
	if (test_dir_setup(state) < 0 || chdir(*state) < 0)
		return -1;
	return setenv("CROFT_HOME", *state, 1);
}

static struct group *load(const char *more, struct error **err)
{
	struct group *g = NULL;
	struct error *e = NULL;

	assert_ok(file_writef("g.yaml", 0600, &e, "nodes:\n  sn: {}\n  bob: {node_id: b}\n%s\n", more), e);
	return group_load("g.yaml", &g, err) < 0 ? NULL : g;
}

static void what_is_written_reaches_the_network(void **state)
{
	struct error *err = NULL;
	_cleanup_group_ struct group *g = load("seed: 7\n"
					       "links:\n"
					       "  sn: {delay: 80ms, loss: 2%, in: {loss: 0}}\n"
					       "  b@lan: {out: {rate: 1mbit, queue: 50}}\n"
					       "names:\n"
					       "  api.example.org: 10.1.2.3\n"
					       "  v6.example.org: [fd00::1, 10.1.2.4]\n"
					       "  '*.apps.example.org': b\n"
					       "  www.example.org: debian.org\n"
					       "  _db._tcp.example.org: {srv: 1 2 5432 sn}\n"
					       "  example.org: {txt: 'a \"b\"'}\n",
		&err);

	if (!g)
		fail_msg("%s", err->msg);
	assert_string_equal(g->net_extra,
		",\"seed\":7,\"links\":[{\"node\":\"sn\",\"out\":{\"delay\":\"80ms\",\"loss\":\"2%\"},\"in\":{\"delay\":\"80ms\"}},"
		"{\"node\":\"bob\",\"zone\":\"lan\",\"out\":{\"rate\":\"1mbit\",\"queue\":\"50\"},\"in\":{}}],"
		"\"records\":[{\"name\":\"api.example.org\",\"type\":\"A\",\"value\":\"10.1.2.3\"},"
		"{\"name\":\"v6.example.org\",\"type\":\"AAAA\",\"value\":\"fd00::1\"},"
		"{\"name\":\"v6.example.org\",\"type\":\"A\",\"value\":\"10.1.2.4\"},"
		"{\"name\":\"*.apps.example.org\",\"type\":\"CNAME\",\"value\":\"bob.g.croft\"},"
		"{\"name\":\"www.example.org\",\"type\":\"CNAME\",\"value\":\"debian.org\"},"
		"{\"name\":\"_db._tcp.example.org\",\"type\":\"SRV\",\"priority\":1,\"weight\":2,\"port\":5432,\"value\":\"sn.g.croft\"},"
		"{\"name\":\"example.org\",\"type\":\"TXT\",\"value\":\"a \\\"b\\\"\"}]");
}

static void nothing_written_is_nothing_set(void **state)
{
	struct error *err = NULL;
	_cleanup_group_ struct group *g = load("", &err);

	assert_non_null(g);
	assert_string_equal(g->net_extra, ",\"links\":[],\"records\":[]");
}

static void what_is_wrong_has_its_place(void **state)
{
	static const char *const cases[][2] = {
		{ "links:\n  snn: {delay: 1ms}", "g.yaml:5:3: links: group g has no node 'snn'" },
		{ "links:\n  sn: {delay: 80}", "g.yaml:5:15: delay: '80' is not a time" },
		{ "links:\n  sn: {dealy: 80ms}", "g.yaml:5:15: 'dealy' is nothing that a link has" },
		{ "links:\n  sn: 80ms", "g.yaml:5:7: links: sn: settings are needed" },
		{ "links:\n  sn: {reorder: 5%}", "g.yaml:5:7: reorder" },
		{ "links:\n  sn: {in: {loss: [1]}}", "g.yaml:5:19: loss: one value" },
		{ "seed: -1", "g.yaml:4:7" },
		{ "names:\n  a b: 10.1.2.3", "g.yaml:5:3: names: 'a b' is no domain name" },
		{ "names:\n  sn: 10.1.2.3", "g.yaml:5:3: names: sn is a node" },
		{ "names:\n  x.org: 'a b'", "g.yaml:5:10: names: 'a b' is neither an address nor a name" },
		{ "names:\n  x.org: {srv: 0 0 sn}", "g.yaml:5:16: srv: '0 0 sn'" },
		{ "names:\n  x.org: {mx: sn}", "g.yaml:5:11" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error *err = NULL;

		if (load(cases[i][0], &err))
			fail_msg("taken: %s", cases[i][0]);
		if (strncmp(err->msg, cases[i][1], strlen(cases[i][1])) != 0)
			fail_msg("%s: %s", cases[i][0], err->msg);
		assert_int_equal(err->cls, ERR_USAGE);
		error_clear(&err);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_reaches_the_network),
		cmocka_unit_test(nothing_written_is_nothing_set),
		cmocka_unit_test(what_is_wrong_has_its_place),
	};

	return cmocka_run_group_tests(tests, setup, test_dir_teardown);
}
