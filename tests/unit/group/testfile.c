/* SPDX-License-Identifier: Apache-2.0 */
#include "group/testfile.h"
#include "../test.h"

static struct group *group;

static int setup(void **state)
{
	struct error *err = NULL;

	if (test_dir_setup(state) < 0 || chdir(*state) < 0)
		return -1;
	setenv("CROFT_HOME", *state, 1);
	assert_ok(file_writef("g.json", 0600, &err, "{\"nodes\": {\"a-1\": {\"node_id\": \"a\"}, \"b\": {}}}"), err);
	return group_load("g", &group, &err);
}

static int teardown(void **state)
{
	group_free(group);
	return test_dir_teardown(state);
}

static struct test_file *load(const char *text, struct error **err)
{
	struct error *e = NULL;

	assert_ok(file_writef("t.yaml", 0600, &e, "%s", text), e);
	return test_file_load(group, "t.yaml", err);
}

static void test_steps(void **state)
{
	struct error *err = NULL;
	_cleanup_test_file_ struct test_file *t = load(
		"setup: [{app: install, node: b, timeout: 2m}]\ncases:\n- name: one\n  steps:\n"
		"  - {node: a, run: 'ping {{b.ip}}', expect: 3, contains: x, lacks: [y, z], within: 20s}\n  - {net: cut a-1 b}\n  - {wait: 1.5s}\n"
		"  - {host: 'true', expect: any}\n- {name: two, snapshot: s, steps: [{wait: 1s}]}\n",
		&err);

	if (!t)
		fail_msg("%s", err->msg);
	assert_string_equal(t->name, "t.yaml");
	assert_int_equal(t->setup.n, 1);
	assert_int_equal(t->setup.v[0].timeout_ms, 120000);
	assert_int_equal(t->ncases, 2);
	assert_string_equal(t->cases[0].steps.v[0].node, "a-1");
	assert_non_null(strstr(t->cases[0].steps.v[0].text, group->nodes[1].address));
	assert_int_equal(t->cases[0].steps.v[0].status, 3);
	assert_int_equal(t->cases[0].steps.v[0].hasnt.len, 2);
	assert_int_equal(t->cases[0].steps.v[0].within_ms, 20000);
	assert_int_equal(t->cases[0].steps.v[0].line, 5);
	assert_int_equal(t->cases[0].steps.v[1].kind, STEP_NET);
	assert_int_equal(t->cases[0].steps.v[2].timeout_ms, 1500);
	assert_int_equal(t->cases[0].steps.v[3].status, -1);
	assert_string_equal(t->cases[1].snapshot, "s");
}

static void test_wrong(void **state)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{ "cases: []\n", "no cases" },
		{ "{}\n", "no cases" },
		{ "cases: [{steps: [{wait: 1s}]}]\n", "t.yaml:1:9: a case needs a name" },
		{ "cases: [{name: x}]\n", "no steps" },
		{ "cases: [{name: x, steps: [{run: 'true'}]}]\n", "on which node" },
		{ "cases: [{name: x, steps: [{node: a, run: 'true', host: y}]}]\n", "one thing" },
		{ "cases: [{name: x, steps: [{node: c, run: 'true'}]}]\n", "no node 'c'" },
		{ "cases: [{name: x, steps: [{node: a, runs: 'true'}]}]\n", "did you mean 'run'" },
		{ "cases: [{name: x, steps: [{node: a, run: '{{c.ip}}'}]}]\n", "{{c.ip}}" },
		{ "cases: [{name: x, steps: [{node: a, run: 'true', within: soon}]}]\n", "duration" },
		{ "cases: [{name: x, steps: [{node: a, run: 'true', expect: 300}]}]\n", "expect" },
		{ "cases: [{name: x, steps: [{net: heal, node: a}]}]\n", "only run and app" },
		{ "cases: [{name: x, steps: [{wait: 1s}]}, {name: x, steps: [{wait: 1s}]}]\n", "another case" },
		{ "snapshot: '../x'\ncases: [{name: x, steps: [{wait: 1s}]}]\n", "snapshot" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error *err = NULL;
		_cleanup_free_ char *text = NULL;

		assert_null(load(cases[i].text, &err));
		text = error_text(err);
		assert_int_equal(err->cls, ERR_USAGE);
		if (!strstr(text, cases[i].says))
			fail_msg("%s: %s", cases[i].text, text);
		error_clear(&err);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_steps), cmocka_unit_test(test_wrong) };

	return cmocka_run_group_tests(tests, setup, teardown);
}
