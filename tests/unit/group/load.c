/* SPDX-License-Identifier: Apache-2.0 */
#include "group/group.h"
#include "base/path.h"
#include "../test.h"

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

static void test_example(void **state)
{
	_cleanup_group_ struct group *g = NULL, *again = NULL;
	struct error *err = NULL;
	char *text;

	assert_ok(group_load(EXAMPLES "/2zone_sn/2zone_sn.json", &g, &err), err);
	assert_string_equal(g->name, "2zone_sn");
	assert_int_equal(g->nnodes, 3);
	assert_int_equal(g->warnings.len, 0);
	assert_string_equal(g->nodes[1].name, "alice-ood1");
	assert_string_equal(g->nodes[1].full, "2zone_sn/alice-ood1");
	assert_true(g->nodes[1].memory == 256 << 20);
	text = vars_expand(g->vars, g->nodes[1].instance.v[0], NULL, "x", &err);
	assert_non_null(text);
	assert_null(strstr(text, "{{"));
	assert_non_null(strstr(text, g->nodes[0].address));
	free(text);
	/* Addresses depend on names alone. */
	assert_ok(group_load(EXAMPLES "/2zone_sn/2zone_sn.json", &again, &err), err);
	for (size_t i = 0; i < 3; i++)
		assert_string_equal(g->nodes[i].address, again->nodes[i].address);
}

static void test_yaml(void **state)
{
	_cleanup_group_ struct group *g = NULL;
	struct error *err = NULL;

	assert_ok(group_load(EXAMPLES "/pair/pair.yaml", &g, &err), err);
	assert_string_equal(g->prefix, "10.77.0.0/24");
	assert_string_equal(g->gateway, "10.77.0.1");
	assert_string_equal(g->nodes[1].address, "10.77.0.20");
}

static void test_lookup(void **state)
{
	static const char text[] = "{\"nodes\": {\"a\": {}}}";
	struct error *err = NULL;
	struct group *g = NULL;

	put("look.json", text);
	put("src/dev_configs/look.json", text);
	assert_ok(group_load("look", &g, &err), err);
	assert_non_null(strstr(g->file, "/src/dev_configs/look.json"));
	assert_string_equal(path_basename(g->base_dir), "src");
	group_free(STEAL(g));
	put("dev_configs/look.json", text);
	assert_ok(group_load("look", &g, &err), err);
	assert_null(strstr(g->file, "/src/"));
	group_free(STEAL(g));
	assert_ok(group_load("look.json", &g, &err), err);
	assert_string_equal(g->name, "look");
	group_free(STEAL(g));
	assert_err(group_load("lock", &g, &err), err, ERR_NOT_FOUND, "group lock: there is no dev_configs/lock.json");
}

static void test_wrong(void **state)
{
	static const struct {
		const char *text, *want;
	} cases[] = {
		{ "{}", "w.json:1:1: nodes: a group needs one node" },
		{ "{\"nodes\": {}}", "a group needs one node" },
		{ "{\"nodez\": {}}", "w.json:1:2: group: unknown key 'nodez'" },
		{ "{\"nodes\": {\"a\": {\"vm_parms\": {}}}}", "w.json:1:18: a: unknown key 'vm_parms'" },
		{ "{\"nodes\": {\"a/b\": {}}}", "w.json:1:12: " },
		{ "{\"nodes\": {\"system\": {}}}", "a meaning of their own" },
		{ "{\"nodes\": {\"a\": {\"node_id\": \"b\"}, \"b\": {}}}", "its node_id 'b' is also that of b" },
		{ "{\"nodes\": {\"a\": {\"vm_params\": {\"memory\": \"1X\"}}}}", "w.json:1:" },
		{ "{\"nodes\": {\"a\": {\"vm_params\": {\"memory\": \"1M\"}}}}", "16M at least" },
		{ "{\"nodes\": {\"a\": {\"vm_params\": {\"cpu\": 0}}}}", "w.json:1:" },
		{ "{\"nodes\": {\"a\": {\"init_commands\": [1]}}}", "init_commands: a string is needed" },
		{ "{\"nodes\": {\"a\": {\"init_commands\": [\" \"]}}}", "the command is empty" },
		{ "{\"nodes\": {\"a\": {\"init_commands\": [\"x {{b.ip}}\"]}}}", "w.json:1:36: {{b.ip}}: nothing is named 'b'" },
		{ "{\"nodes\": {\"a\": {\"instance_commands\": [\"{{a.pi}}\"]}}}", "'a' has no 'pi'" },
		{ "{\"nodes\": {\"a\": {}}, \"instance_order\": [\"b\"]}", "instance_order: no node is named 'b'" },
		{ "{\"nodes\": {\"a\": {}}, \"instance_order\": [\"a\", \"a\"]}", "a second time" },
		{ "{\"nodes\": {\"a\": {\"apps\": {\"x\": {}}}}}", "app x: there is no file" },
		{ "{\"nodes\": {\"a\": {\"network\": {\"ip\": \"1.2.3\"}}}}", "is not an IPv4 address" },
		{ "{\"nodes\": {\"a\": {\"network\": {\"ip\": \"192.0.2.1\"}}}}", "is not in the group's network" },
		{ "{\"nodes\": {\"a\": {\"network\": {\"type\": \"brigde\"}}}}", "neither bridge nor nat" },
		{ "{\"nodes\": {\"a\": {}}, \"network\": {\"prefix\": \"10.0.0.1/24\"}}", "is not a network" },
		{ "{\"nodes\": {\"a\": {\"network\": {\"ip\": \"10.5.5.9\"}}, \"b\": {\"network\": {\"ip\": \"10.5.5.9\"}}},"
		  " \"network\": {\"prefix\": \"10.5.5.0/24\"}}",
			"a has the address 10.5.5.9 already" },
		{ "[1]", "a map is needed" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct error *err = NULL;
		struct group *g = NULL;

		put("w.json", cases[i].text);
		if (group_load("w.json", &g, &err) == 0)
			fail_msg("accepted: %s", cases[i].text);
		if (!strstr(err->msg, cases[i].want))
			fail_msg("%s: '%s', wanted '%s'", cases[i].text, err->msg, cases[i].want);
		error_clear(&err);
	}
}

static void test_warnings(void **state)
{
	_cleanup_group_ struct group *g = NULL;
	struct error *err = NULL;

	put("warn.yaml", "nodes:\n  a:\n    instance_commands: [x]\n    network: {lan_id: wan, type: bridge}\n"
			 "  b: {}\n");
	assert_ok(group_load("warn", &g, &err), err);
	assert_int_equal(g->warnings.len, 1);
	assert_non_null(strstr(g->warnings.v[0], "warn.yaml:3:5: a is not in instance_order"));
}

static void test_names(void **state)
{
	_cleanup_group_ struct group *g = NULL;
	struct error *err = NULL;

	put("ids.json", "{\"nodes\": {\"alice-ood1\": {\"node_id\": \"alice_ood1\","
			"\"init_commands\": [\"{{alice_ood1.ip}} {{alice-ood1.hostname}} {{system.base_dir}}\"]}}}");
	assert_ok(group_load("ids", &g, &err), err);
	assert_ptr_equal(group_node(g, "alice_ood1", &err), &g->nodes[0]);
	assert_ptr_equal(group_node(g, "alice-ood1", &err), &g->nodes[0]);
	assert_null(group_node(g, "alice", &err));
	assert_int_equal(err->cls, ERR_NOT_FOUND);
	error_clear(&err);
}

static void test_apps(void **state)
{
	struct error *err = NULL;
	struct group *g = NULL;

	put("dev_configs/apps/web.json", "{\"name\": \"web\", \"commands\": {\"start\": [\"run {{web.port}} {{app.dir}} {{a.ip}}\"]}}");
	put("dev_configs/app.json", "{\"nodes\": {\"a\": {\"apps\": {\"web\": {\"port\": 80}}}, \"b\": {\"apps\": {\"web\": null}}}}");
	assert_ok(group_load("app", &g, &err), err);
	assert_int_equal(g->nodes[0].apps.len, 1);
	assert_int_equal(g->nodes[1].apps.len, 0);
	group_free(STEAL(g));
	/* A parameter of one node is not another's. */
	put("dev_configs/app.json", "{\"nodes\": {\"a\": {\"apps\": {\"web\": {\"port\": 80}}}, \"b\": {\"apps\": {\"web\": {}}}}}");
	assert_err(group_load("app", &g, &err), err, ERR_USAGE, "dev_configs/apps/web.json:1:");
	put("other/web.json", "{\"name\": \"web\"}");
	put("dev_configs/app.json", "{\"app_configs\": {\"web\": \"other/web.json\"}, \"nodes\": {\"a\": {\"apps\": {\"web\": {}}}}}");
	assert_err(group_load("app", &g, &err), err, ERR_USAGE, "defined in apps/web.json as well");
}

/* What was recorded wins over what would be computed; a new node moves nobody. */
static void test_record(void **state)
{
	_cleanup_group_ struct group *g = NULL;
	struct error *err = NULL;

	put("rec.json", "{\"nodes\": {\"a\": {}, \"b\": {}}}");
	put("groups/rec/group.json", "{\"name\": \"rec\", \"prefix\": \"10.9.8.0/24\", \"addresses\": {\"a\": \"10.9.8.77\"}}");
	assert_ok(group_load("rec", &g, &err), err);
	assert_string_equal(g->prefix, "10.9.8.0/24");
	assert_string_equal(g->nodes[0].address, "10.9.8.77");
	assert_memory_equal(g->nodes[1].address, "10.9.8.", 7);
	assert_string_not_equal(g->nodes[1].address, "10.9.8.77");
	assert_true(group_exists("rec"));
	assert_false(group_exists("no"));
}

static void test_many(void **state)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_group_ struct group *g = NULL;
	struct error *err = NULL;

	buf_adds(&b, "nodes:\n");
	for (int i = 0; i < 200; i++)
		buf_addf(&b, "  n%d: {}\n", i);
	put("many.yaml", b.data);
	assert_ok(group_load("many", &g, &err), err);
	for (size_t i = 0; i < g->nnodes; i++)
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(g->nodes[i].address, g->nodes[k].address);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_example),
		cmocka_unit_test(test_yaml),
		cmocka_unit_test(test_lookup),
		cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_warnings),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_apps),
		cmocka_unit_test(test_record),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, setup, test_dir_teardown);
}
