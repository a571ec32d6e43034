/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/doc.h"
#include "../test.h"

static struct doc *parse(const char *name, const char *text, struct error **err)
{
	return doc_parse(name, text, strlen(text), err);
}

static void test_positions(void **state)
{
	static const char text[] = "a: 1\nlist:\n  - x\n  - {k: v}\n";
	struct error *err = NULL;
	_cleanup_doc_ struct doc *d = parse("f.yaml", text, &err);
	struct node *list, *map;

	assert_non_null(d);
	assert_int_equal(node_get(doc_root(d), "a")->line, 1);
	assert_int_equal(node_get(doc_root(d), "a")->col, 4);
	assert_int_equal(node_key(doc_root(d), "list")->line, 2);
	assert_int_equal(node_key(doc_root(d), "list")->col, 1);
	list = node_get(doc_root(d), "list");
	assert_int_equal(list->len, 2);
	assert_int_equal(list->items[0]->line, 3);
	assert_int_equal(list->items[0]->col, 5);
	map = list->items[1];
	assert_int_equal(node_get(map, "k")->line, 4);
	assert_int_equal(node_get(map, "k")->col, 9);
}

static void test_types(void **state)
{
	static const struct {
		const char *text;
		enum node_type type;
	} cases[] = {
		{ "1", NODE_NUMBER }, { "-1.5e3", NODE_NUMBER }, { "0x10", NODE_STRING }, { "\"1\"", NODE_STRING }, { "true", NODE_BOOL },
		{ "yes", NODE_STRING }, { "~", NODE_NULL }, { "null", NODE_NULL }, { "10G", NODE_STRING }, { "1.2.3", NODE_STRING },
		{ "[]", NODE_LIST }, { "{}", NODE_MAP }, { "-", NODE_STRING }, { "1e", NODE_STRING },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		_cleanup_free_ char *text = xasprintf("v: %s\n", cases[i].text);
		struct error *err = NULL;
		_cleanup_doc_ struct doc *d = parse("t.yaml", text, &err);

		/* "v: -" is a list of nothing to YAML. */
		if (!strcmp(cases[i].text, "-")) {
			error_clear(&err);
			continue;
		}
		if (!d)
			fail_msg("%s: %s", text, err->msg);
		if (node_get(doc_root(d), "v")->type != cases[i].type)
			fail_msg("%s: is %s", text, node_type_name(node_get(doc_root(d), "v")->type));
	}
}

/* The fast reader of croft's own files gives the same tree; what it cannot take is said with its place. */
static void test_own(void **state)
{
	static const char text[] = "{\"a\": [1, -2.5, true, false, null, \"x\\u00e9\\n\"], \"b\": {\"c\": {}, \"d\": []}, \"n\": 18014398509481984}\n";
	_cleanup_free_ char *path = xasprintf("%s/own.json", (char *)*state);
	_cleanup_buf_ struct buf one = BUF_INIT, two = BUF_INIT;
	_cleanup_doc_ struct doc *own = NULL, *doc = NULL;
	struct error *e = NULL;

	assert_ok(file_write(path, text, strlen(text), 0600, &e), e);
	own = doc_load_own(path, &e);
	doc = doc_load(path, &e);
	assert_non_null(own);
	assert_non_null(doc);
	node_to_json(doc_root(own), &one);
	node_to_json(doc_root(doc), &two);
	assert_string_equal(buf_str(&one), buf_str(&two));
	assert_ok(file_write(path, "{\n\"a\": ]", 8, 0600, &e), e);
	assert_null(doc_load_own(path, &e));
	assert_non_null(strstr(e->msg, "own.json:2:"));
	error_clear(&e);
}

static void test_wrong(void **state)
{
	static const struct {
		const char *name, *text, *want;
	} cases[] = {
		{ "a.json", "{\"a\": 1, \"a\": 2}", "a.json:1:10: 'a' stands here a second time" },
		{ "a.yaml", "a: 1\nb: 2\na: 3\n", "a.yaml:3:1: 'a' stands here a second time (first on line 1)" },
		{ "a.json", "{\"a\": 1", "a.json:" },
		{ "a.json", "{\"a\": 1} x", "a.json:1" },
		{ "a.json", "{\"a\": 1,\n // no\n \"b\": 2}", "a.json:2" },
		{ "a.yaml", "", "a.yaml:1:1: the document is empty" },
		{ "a.json", "", "a.json:1:1: " },
		{ "a.yaml", "a: *b\n", "*b: no value is named &b above" },
		{ "a.yaml", "a: [1\n", "a.yaml:" },
		{ "a.yaml", "a:\n\t- 1\n", "a.yaml:" },
		{ "a.yaml", "%\327", "a.yaml:1:2: not UTF-8 (byte 0xd7)" },
		{ "a.yaml", "a: \303\251\nb: \300\200\n", "a.yaml:2:4: not UTF-8" },
		{ "a.yaml", "--- 1\n--- 2\n", "a second document" },
		{ "a.yaml", "? [a, b]\n: 1\n", "a key must be a word" },
		{ "a.yaml", "a: \"\\0\"\n", "NUL character" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct error *err = NULL;
		_cleanup_doc_ struct doc *d = parse(cases[i].name, cases[i].text, &err);

		if (d)
			fail_msg("accepted: %s", cases[i].text);
		if (err->cls != ERR_USAGE || !strstr(err->msg, cases[i].want))
			fail_msg("'%s': '%s', wanted '%s'", cases[i].text, err->msg, cases[i].want);
		error_clear(&err);
	}
}

static void test_hostile(void **state)
{
	_cleanup_buf_ struct buf deep = BUF_INIT, bomb = BUF_INIT;
	struct error *err = NULL;

	for (int i = 0; i < 100; i++)
		buf_addc(&deep, '[');
	for (int i = 0; i < 100; i++)
		buf_addc(&deep, ']');
	assert_null(parse("deep.yaml", deep.data, &err));
	assert_non_null(strstr(err->msg, "nested more than 64 deep"));
	error_clear(&err);

	buf_adds(&bomb, "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
	for (int i = 1; i < 12; i++) {
		buf_addf(&bomb, "a%d: &a%d [", i, i);
		for (int k = 0; k < 10; k++)
			buf_addf(&bomb, "%s*a%d", k ? "," : "", i - 1);
		buf_adds(&bomb, "]\n");
	}
	assert_null(parse("bomb.yaml", bomb.data, &err));
	assert_non_null(strstr(err->msg, "too large"));
	error_clear(&err);

	assert_null(doc_parse("nul", "a: \0b", 5, &err));
	assert_non_null(strstr(err->msg, "NUL"));
	error_clear(&err);
}

static void test_access(void **state)
{
	static const char text[] = "{name: x, n: 5, big: 10G, on: true, list: [1], map: {}}";
	static const char *const known[] = { "name", "n", "big", "on", "list", NULL };
	struct error *err = NULL;
	_cleanup_doc_ struct doc *d = parse("t.yaml", text, &err);
	const struct node *root = doc_root(d);
	const char *s = "default";
	uint64_t n = 0;
	bool on = false;

	assert_ok(node_str(root, "name", &s, &err), err);
	assert_string_equal(s, "x");
	s = "default";
	assert_ok(node_str(root, "absent", &s, &err), err);
	assert_string_equal(s, "default");
	assert_ok(node_u64(root, "n", 1, 5, &n, &err), err);
	assert_int_equal(n, 5);
	assert_err(node_u64(root, "n", 1, 4, &n, &err), err, ERR_USAGE, "t.yaml:1:14");
	assert_ok(node_size(root, "big", &n, &err), err);
	assert_true(n == 10ull << 30);
	assert_ok(node_bool(root, "on", &on, &err), err);
	assert_true(on);
	assert_err(node_bool(root, "name", &on, &err), err, ERR_USAGE, "true or false is needed");
	assert_err(node_str(root, "list", &s, &err), err, ERR_USAGE, "this is a list");
	assert_err(node_known(root, "thing", known, &err), err, ERR_USAGE, "unknown key 'map'");
}

static void test_emit(void **state)
{
	static const char text[] = "a: 'q\"\n  x'\nn: 01\nt: [true, null, 1.5]\nm: {}\n";
	struct error *err = NULL;
	_cleanup_doc_ struct doc *d = parse("t.yaml", text, &err), *again = NULL;
	_cleanup_buf_ struct buf json = BUF_INIT, yaml = BUF_INIT, back = BUF_INIT;

	assert_non_null(d);
	node_to_json(doc_root(d), &json);
	assert_string_equal(json.data, "{\"a\":\"q\\\" x\",\"n\":\"01\",\"t\":[true,null,1.5],\"m\":{}}");
	node_to_yaml(doc_root(d), &yaml);
	again = parse("again.yaml", yaml.data, &err);
	assert_non_null(again);
	node_to_json(doc_root(again), &back);
	assert_string_equal(back.data, json.data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_positions),
		cmocka_unit_test(test_types),
		cmocka_unit_test(test_own), cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_access),
		cmocka_unit_test(test_emit),
	};

	return cmocka_run_group_tests(tests, test_dir_setup, test_dir_teardown);
}
