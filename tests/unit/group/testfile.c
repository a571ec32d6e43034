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

/* ---- in Lua ---- */

static struct test_file *load_lua(const char *text, struct error **err)
{
	struct error *e = NULL;

	assert_ok(file_writef("t.lua", 0600, &e, "%s", text), e);
	return test_file_load(group, "t.lua", err);
}

/* What steps were asked for, as text; those whose command is "fail" fail, others say what they are. */
static int note_step(void *arg, const struct test_step *s, int *status, struct buf *out, struct buf *why, struct error **err)
{
	struct buf *log = arg;

	buf_addf(log, "%d %s %s %d;", s->kind, s->node ? s->node : "-", s->text, s->kind == STEP_WAIT ? s->timeout_ms : s->within_ms);
	buf_addf(out, "ü \"%s\"\n", s->text);
	*status = 3;
	if (strcmp(s->text, "fail"))
		return 1;
	buf_adds(why, "status 3 instead of 0");
	return 0;
}

static int run_case(const struct test_file *t, size_t n, struct buf *log, struct buf *why)
{
	struct error *err = NULL;
	int rc = test_lua_run(group, t, n, &(struct test_lua_runner){ note_step, log }, why, &err);

	if (rc < 0)
		fail_msg("%s", err->msg);
	return rc;
}

static void test_lua(void **state)
{
	struct error *err = NULL;
	_cleanup_buf_ struct buf log = BUF_INIT, why = BUF_INIT;
	_cleanup_test_file_ struct test_file *t = load_lua(
		"suite{name = 'all', snapshot = 'base'}\nlocal n = 0\nsetup(function() app('install', {timeout = '5m'}) end)\n"
		"case('one', function()\n\tlocal out, status = run('a', 'echo {{b.ip}}', {within = '2s', contains = {'x', 'y'}})\n"
		"\texpect(status == 3 and out:find('ü \"echo'), out)\n\tcut('a-1', 'b')\n\theal()\n\twait('1s')\n\tn = n + 1\nend)\n"
		"case('two', {snapshot = 's'}, function()\n\texpect(n == 0, 'a variable of another case')\n"
		"\texpect(not pcall(run, 'b', 'fail'))\n\thost('fail')\nend)\ncase('three', function() run('nobody', 'true') end)\n"
		"case('four', function() os.exit(7) end)\ncase('five', function() run('b', 'true', {expct = 0}) end)\n", &err);
	_cleanup_free_ char *first = NULL;

	if (!t)
		fail_msg("%s", err->msg);
	assert_string_equal(t->name, "all");
	assert_string_equal(t->snapshot, "base");
	assert_true(t->lua_setup);
	assert_int_equal(t->ncases, 5);
	assert_string_equal(t->cases[1].snapshot, "s");
	assert_int_equal(run_case(t, 0, &log, &why), 1);
	assert_string_equal(buf_str(&log), "3 - install 0;");
	buf_clear(&log);
	assert_int_equal(run_case(t, t->cases[0].script, &log, &why), 1);
	first = xasprintf("0 a-1 echo %s 2000;2 - cut a-1 b 0;2 - heal 0;4 -  1000;", group->nodes[1].address);
	assert_string_equal(buf_str(&log), first);
	assert_int_equal(run_case(t, t->cases[1].script, &log, &why), 0);
	assert_string_equal(buf_str(&why), "t.lua:15: status 3 instead of 0");
	buf_clear(&why);
	assert_int_equal(run_case(t, t->cases[2].script, &log, &why), 0);
	assert_non_null(strstr(buf_str(&why), "t.lua:17: "));
	assert_non_null(strstr(buf_str(&why), "nobody"));
	buf_clear(&why);
	assert_int_equal(run_case(t, t->cases[3].script, &log, &why), 0);
	assert_non_null(strstr(buf_str(&why), "exited with status 7"));
	buf_clear(&why);
	assert_int_equal(run_case(t, t->cases[4].script, &log, &why), 0);
	assert_non_null(strstr(buf_str(&why), "expct"));
}

static void test_lua_wrong(void **state)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{ "x = = 1\n", "t.lua:1: unexpected symbol" },
		{ "\ncase('a')\n", "t.lua:2: bad argument" },
		{ "print('only this')\n", "there are no cases" },
		{ "case('a', function() end)\ncase('a', function() end)\n", "t.lua:2: there is another case 'a'" },
		{ "case('', function() end)\n", "t.lua:1: a case needs a name" },
		{ "case('a', {snapshot = '../x'}, function() end)\n", "t.lua:1" },
		{ "nosuch()\n", "nosuch" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error *err = NULL;

		assert_null(load_lua(cases[i].text, &err));
		if (!strstr(err->msg, cases[i].says))
			fail_msg("%s: %s", cases[i].text, err->msg);
		error_clear(&err);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_steps), cmocka_unit_test(test_wrong), cmocka_unit_test(test_lua),
		cmocka_unit_test(test_lua_wrong) };

	return cmocka_run_group_tests(tests, setup, teardown);
}
