/* SPDX-License-Identifier: Apache-2.0 */
#include "group/app.h"
#include "base/path.h"
#include "group/clog_merge.h"
#include "../test.h"

static void put(const char *path, const char *text)
{
	_cleanup_free_ char *dir = path_dirname(path);
	struct error *err = NULL;

	assert_ok(file_mkdirs(dir, 0700, &err), err);
	assert_ok(file_writef(path, 0600, &err, "%s", text), err);
}

static const char group_text[] =
	"{\"nodes\": {\"n1\": {\"apps\": {\"web\": {\"who\": \"one\"}, \"db\": {}}}, \"n2\": {\"apps\": {\"web\": {\"who\": \"two\"}, \"old\": null}},"
	" \"n3\": {}}}";
static const char web_text[] =
	"{\"name\": \"web\", \"directories\": {\"source\": \"dist\", \"target\": \"/opt/{{web.who}}\"}, \"depends\": \"db\","
	" \"commands\": {\"build_all\": \"echo {{web.who}} >dist\", \"build\": [\"a\", \"b\"], \"start\": \"x {{n2.ip}}\"}}";
static const char db_text[] = "{\"name\": \"db\", \"commands\": {\"start\": \"y\"}, \"ready\": {\"port\": 5432, \"timeout\": \"5s\"}}";

static int setup(void **state)
{
	if (test_dir_setup(state) < 0 || chdir(*state) < 0)
		return -1;
	return setenv("CROFT_HOME", *state, 1);
}

static struct group *load(const char *web, const char *db)
{
	struct group *g = NULL;
	struct error *err = NULL;

	put("src/dev_configs/g.json", group_text);
	put("src/dev_configs/apps/web.json", web);
	put("src/dev_configs/apps/db.json", db);
	assert_ok(group_load("g", &g, &err), err);
	return g;
}

static void test_files(void **state)
{
	_cleanup_group_ struct group *g = load(web_text, db_text);
	_cleanup_free_ char *dir = app_project_dir(g);
	_cleanup_strv_ struct strv lines = STRV_INIT;
	struct error *err = NULL;
	struct app *a = app_load(g, &g->nodes[0], "web", &err);

	assert_non_null(a);
	assert_string_equal(a->target, "/opt/one");
	assert_non_null(strstr(a->source, "/src/dist"));
	assert_null(strstr(dir, "/src"));
	assert_int_equal(app_command(a, "build", &lines, &err), 1);
	assert_int_equal(lines.len, 2);
	assert_int_equal(app_command(a, "nosuch", &lines, &err), 0);
	app_free(a);
	a = app_load(g, &g->nodes[0], "db", &err);
	assert_int_equal(a->ready, READY_PORT);
	assert_string_equal(a->ready_what, "5432");
	assert_int_equal(a->ready_ms, 5000);
	app_free(a);
}

static void test_choice_and_order(void **state)
{
	_cleanup_group_ struct group *g = load(web_text, db_text);
	struct strv web = STRV_INIT, wrong = STRV_INIT;
	struct app_set s = { 0 };
	struct error *err = NULL;

	assert_ok(app_select(g, NULL, NULL, &s, &err), err);
	assert_int_equal(s.n, 3);
	assert_string_equal(s.v[0]->name, "db"); /* though web stands first */
	assert_int_equal(app_level(&s, s.v[0]), 0);
	assert_int_equal(app_level(&s, s.v[1]), 1);
	assert_int_equal(app_level(&s, s.v[2]), 1); /* n2's web waits for n1's db */
	app_set_free(&s);
	strv_add(&web, "web");
	assert_ok(app_select(g, "n2", &web, &s, &err), err);
	assert_int_equal(s.n, 1);
	app_set_free(&s);
	strv_add(&wrong, "wep");
	assert_err(app_select(g, NULL, &wrong, &s, &err), err, ERR_NOT_FOUND, "wep");
	assert_err(app_select(g, "n3", NULL, &s, &err), err, ERR_NOT_FOUND, "node n3 has no apps");
	assert_err(app_select(g, "n3", &web, &s, &err), err, ERR_NOT_FOUND, "node n3 has no app 'web'");
	strv_free(&web);
	strv_free(&wrong);
}

static void test_circle(void **state)
{
	_cleanup_group_ struct group *g = load(web_text, "{\"name\": \"db\", \"depends\": [\"web\"]}");
	struct app_set s = { 0 };
	struct error *err = NULL;

	assert_err(app_select(g, NULL, NULL, &s, &err), err, ERR_USAGE, "web -> db -> web");
	app_set_free(&s);
}

/* Two builds into the same folder are not of the same round; one text for all is built once. */
static void test_rounds(void **state)
{
	_cleanup_group_ struct group *g = load(web_text, db_text);
	struct app_builds b = { 0 };
	struct app_set s = { 0 };
	struct error *err = NULL;

	assert_ok(app_select(g, NULL, NULL, &s, &err), err);
	assert_ok(app_builds(&s, "build_all", false, &b, &err), err);
	assert_int_equal(b.n, 2);
	assert_int_equal(b.rounds, 2);
	assert_int_equal(app_builds_round(&b, s.v[1], "build_all", false), 0);
	assert_int_equal(app_builds_round(&b, s.v[2], "build_all", false), 1);
	app_builds_free(&b);
	assert_ok(app_builds(&s, "build", true, &b, &err), err);
	assert_int_equal(b.n, 1);
	assert_int_equal(b.rounds, 1);
	app_builds_free(&b);
	app_set_free(&s);
}

static void test_wrong_files(void **state)
{
	static const struct {
		const char *web, *says;
	} cases[] = {
		{ "{\"name\": \"web\", \"target\": \"relative\"}", "absolute" },
		{ "{\"name\": \"web\", \"ready\": {\"port\": 1, \"file\": \"x\"}}", "one of command, port, http, file" },
		{ "{\"name\": \"web\", \"ready\": {\"timeout\": \"1s\"}}", "one of command, port, http, file" },
		{ "{\"name\": \"web\", \"ready\": {\"port\": 1, \"timeout\": \"soon\"}}", "duration" },
		{ "{\"name\": \"web\", \"source\": \"{{nosuch.x}}\"}", "nosuch" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_group_ struct group *g = load(cases[i].web, db_text);
		struct error *err = NULL;

		assert_null(app_load(g, &g->nodes[0], "web", &err));
		assert_int_equal(err->cls, ERR_USAGE);
		if (!strstr(err->msg, cases[i].says))
			fail_msg("%s", err->msg);
		error_clear(&err);
	}
}

static void test_times(void **state)
{
	static const struct {
		const char *line;
		double time;
	} cases[] = {
		{ "2026-11-21T10:03:25Z x", 1795255405 },
		{ "[2026-11-21 10:03:25.250] x", 1795255405.25 },
		{ "2026-11-21T12:03:25,5+02:00 x", 1795255405.5 },
		{ "2026-11-21T05:33:25-0430 x", 1795255405 },
		{ "1795255405.125 x", 1795255405.125 },
		{ "1795255405125 x", 1795255405.125 },
		{ "Nov 21 10:03:25 host x", 1795255405 },
		{ "Nov  1 10:03:25 host x", 1793527405 },
	};
	double t;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_true(clog_time(cases[i].line, 2026, &t));
		if (t < cases[i].time - 0.001 || t > cases[i].time + 0.001)
			fail_msg("%s: %f", cases[i].line, t);
	}
	assert_false(clog_time("", 2026, &t));
	assert_false(clog_time("2026", 2026, &t));
	assert_false(clog_time("Nov", 2026, &t));
	assert_false(clog_time("at java.lang", 2026, &t));
	assert_false(clog_time("12345 x", 2026, &t));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_choice_and_order),
		cmocka_unit_test(test_circle),
		cmocka_unit_test(test_rounds),
		cmocka_unit_test(test_wrong_files),
		cmocka_unit_test(test_times),
	};

	return cmocka_run_group_tests(tests, setup, test_dir_teardown);
}
