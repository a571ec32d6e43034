/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/interp.h"
#include "../test.h"

static char *dynamic(const char *attr, void *arg)
{
	return strcmp(attr, "HELLO") ? NULL : xasprintf("dynamic %s", attr);
}

static struct vars *make(void)
{
	struct vars *v = vars_new();

	vars_set(v, "sn", "ip", "wrong");
	vars_set(v, "sn", "ip", "10.0.0.1");
	vars_append(v, "sn", "ips", "1");
	vars_append(v, "sn", "ips", "2");
	vars_set(v, "alice-ood1", "ip", "10.0.0.2");
	vars_set(v, "a", "x", "short");
	vars_set(v, "a.b", "c", "long");
	vars_set(v, "loop", "v", "{{sn.ip}}");
	vars_dynamic(v, "dyn", dynamic, NULL);
	return v;
}

/* tests/data/conf-interp.data, a case a line. */
static void test_table(void **state)
{
	struct vars *v = make();
	FILE *f = fopen(TEST_DATA "/conf-interp.data", "re");
	char line[512];
	int cases = 0;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		struct error *err = NULL;
		char *mark, *text;
		bool good;

		line[strcspn(line, "\n")] = '\0';
		if (line[0] == '#' || !line[0])
			continue;
		good = (mark = strstr(line, " => ")) != NULL;
		if (!mark)
			mark = strstr(line, " =! ");
		assert_non_null(mark);
		*mark = '\0';
		text = vars_expand(v, line, NULL, "here", &err);
		if (good && (!text || strcmp(text, mark + 4)))
			fail_msg("'%s' gives '%s', wanted '%s'", line, text ? text : err->msg, mark + 4);
		if (!good && (text || err->cls != ERR_USAGE || strncmp(err->msg, "here: ", 6) || !strstr(err->msg, mark + 4)))
			fail_msg("'%s' gives '%s', wanted error '%s'", line, text ? text : err->msg, mark + 4);
		free(text);
		error_clear(&err);
		cases++;
	}
	fclose(f);
	vars_free(v);
	assert_true(cases > 15);
}

static void test_position(void **state)
{
	static const char text[] = "a:\n  - 'x {{sm.ip}}'\n";
	struct vars *v = make();
	struct error *err = NULL;
	_cleanup_doc_ struct doc *d = doc_parse("f.yaml", text, strlen(text), &err);
	const struct node *at = node_get(doc_root(d), "a")->items[0];

	assert_null(vars_expand(v, at->text, at, NULL, &err));
	assert_non_null(strstr(err->msg, "f.yaml:2:5: "));
	assert_non_null(strstr(err->hint, "'sn'"));
	error_clear(&err);
	vars_free(v);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_table), cmocka_unit_test(test_position) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
