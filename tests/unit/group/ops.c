/* SPDX-License-Identifier: Apache-2.0 */
#include "group/ops.h"
#include "base/path.h"
#include "conf/interp.h"
#include "group/group.h"
#include "../test.h"

static int setup(void **state)
{
	return test_dir_setup(state) < 0 ? -1 : setenv("CROFT_HOME", *state, 1);
}

static size_t count(struct ops *l)
{
	struct error *err = NULL;

	ops_clear(l);
	assert_ok(ops_list(l, &err), err);
	return l->n;
}

/* A failure stays; the same operation goes on with what the first run has noted, and its end leaves nothing. */
static void test_failed_and_repeated(void **state)
{
	_cleanup_ops_ struct ops l = { 0 };
	struct error *err = NULL;
	struct op *o = op_begin("g", "up");

	assert_false(o->resumed);
	op_member(o, "a", "absent");
	op_member(o, "b", "running");
	assert_ok(op_write(o, &err), err);
	assert_int_equal(count(&l), 1);
	assert_true(l.v[0]->running);
	op_note("a", false);
	op_note("b", true);
	op_note("nobody", true);
	error_set(&err, ERR_SOME, "1 of 2 failed: b");
	assert_int_equal(op_end(o, -1, &err), -1);
	assert_non_null(strstr(err->hint, "croft ops rollback g.up"));
	error_clear(&err);
	assert_int_equal(count(&l), 1);
	assert_true(l.v[0]->failed);
	assert_string_equal(l.v[0]->members[0].state, "done");
	assert_string_equal(l.v[0]->members[1].state, "failed");

	o = op_begin("g", "up");
	assert_true(o->resumed);
	op_member(o, "a", "running");
	op_member(o, "b", "running");
	assert_string_equal(o->members[0].was, "absent");
	assert_ok(op_write(o, &err), err);
	assert_ok(op_end(o, 0, &err), err);
	assert_int_equal(count(&l), 0);
}

/* What an earlier run was about, and this one is not, is still to be done. */
static void test_others_stay(void **state)
{
	_cleanup_ops_ struct ops l = { 0 };
	struct error *err = NULL;
	struct op *o = op_begin("g", "install");

	op_member(o, "a", "");
	assert_ok(op_write(o, &err), err);
	op_note("a", true);
	error_set(&err, ERR_FAILED, "a failed");
	assert_int_equal(op_end(o, -1, &err), -1);
	error_clear(&err);
	o = op_begin("g", "install");
	op_member(o, "b", "");
	assert_ok(op_write(o, &err), err);
	assert_ok(op_end(o, 0, &err), err);
	assert_int_equal(count(&l), 1);
	assert_ok(ops_forget("other", &err), err);
	assert_int_equal(count(&l), 1);
	assert_ok(ops_forget("g", &err), err);
	assert_int_equal(count(&l), 0);
	assert_int_equal(ops_rollback("g.install", &err), -1);
	assert_int_equal(err->cls, ERR_NOT_FOUND);
	error_clear(&err);
}

/* A machine that the record names and the file no longer does is a node; one that somebody else made is none. */
static void test_gone_nodes(void **state)
{
	_cleanup_group_ struct group *g = NULL;
	_cleanup_free_ char *file = path_join(*state, "w.json"), *dir = path_join(*state, "groups/w");
	static const char *const machines[] = { "a", "old", "foreign" };
	struct error *err = NULL;

	for (size_t i = 0; i < 3; i++) {
		_cleanup_free_ char *m = xasprintf("%s/machines/w/%s", (char *)*state, machines[i]), *json = path_join(m, "machine.json");

		assert_ok(file_mkdirs(m, 0700, &err), err);
		assert_ok(file_writef(json, 0600, &err, "{\"name\":\"w/%s\"}", machines[i]), err);
	}
	{
		_cleanup_free_ char *json = path_join(dir, "group.json"), *applied = path_join(dir, "applied");

		assert_ok(file_mkdirs(dir, 0700, &err), err);
		assert_ok(file_writef(json, 0600, &err,
				  "{\"name\":\"w\",\"file\":\"%s\",\"prefix\":\"10.9.9.0/24\",\"zones\":{\"lan\":\"10.9.9.0/24\"},"
				  "\"addresses\":{\"a\":\"10.9.9.20\",\"old\":\"10.9.9.21\"}}", file), err);
		assert_ok(file_writef(applied, 0600, &err, "{\"nodes\":{\"a\":{},\"old\":{\"directories\":{\"logs\":\"/l\"}}}}"), err);
	}
	assert_ok(file_writef(file, 0600, &err, "{\"nodes\":{\"a\":{},\"new\":{\"init_commands\":[\"ping {{old.ip}}\"]}}}"), err);
	assert_ok(group_load(file, &g, &err), err);
	assert_int_equal(g->nnodes, 3);
	assert_string_equal(g->nodes[2].name, "old");
	assert_true(g->nodes[2].gone);
	assert_string_equal(g->nodes[2].address, "10.9.9.21");
	assert_string_equal(map_get(&g->nodes[2].directories, "logs"), "/l");
	assert_string_equal(g->nodes[0].address, "10.9.9.20");
	group_free(STEAL(g));
	/* Its address may be given to another one. */
	assert_ok(file_writef(file, 0600, &err, "{\"nodes\":{\"a\":{\"network\":{\"ip\":\"10.9.9.21\"}}}}"), err);
	assert_ok(group_load(file, &g, &err), err);
	assert_string_equal(g->nodes[0].address, "10.9.9.21");
	assert_string_not_equal(g->nodes[1].address, "10.9.9.21");
}

static void test_layered_variables(void **state)
{
	struct vars *base = vars_new(), *v = vars_over(base);
	struct error *err = NULL;
	char *text;

	vars_set(base, "sn", "ip", "1.2.3.4");
	vars_set(v, "app", "dir", "/d");
	text = vars_expand(v, "{{sn.ip}} {{app.dir}}", NULL, "x", &err);
	assert_string_equal(text, "1.2.3.4 /d");
	free(text);
	assert_null(vars_expand(base, "{{app.dir}}", NULL, "x", &err));
	error_clear(&err);
	assert_null(vars_expand(v, "{{snn.ip}}", NULL, "x", &err));
	assert_non_null(strstr(err->hint, "'sn'"));
	error_clear(&err);
	vars_free(v);
	vars_free(base);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_failed_and_repeated, setup, test_dir_teardown),
		cmocka_unit_test_setup_teardown(test_others_stay, setup, test_dir_teardown),
		cmocka_unit_test_setup_teardown(test_gone_nodes, setup, test_dir_teardown),
		cmocka_unit_test(test_layered_variables),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
