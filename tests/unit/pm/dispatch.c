/* SPDX-License-Identifier: Apache-2.0 */
/* Documents, and what `pm dispatch` and `pm load` do to a real pm. */
#include "../test.h"

#include "base/proc.h"
#include "pm/dispatch/dispatch.h"

static char *home, *file;
static struct buf out;

/* The program with these arguments, --home last; its status, what it printed in out. */
static int pm(const char *a, const char *b, const char *c)
{
	const char *argv[] = { PM_PROGRAM, a, b ? b : "--home", b ? c ? c : "--home" : home, b ? c ? "--home" : home : NULL,
		b && c ? home : NULL, NULL };
	struct proc_opts o = { .argv = argv, .out = PROC_PIPE, .err = PROC_INHERIT };
	_cleanup_proc_ struct proc p = PROC_INIT;
	struct error *err = NULL;
	int status;
	ssize_t n;

	buf_clear(&out);
	assert_ok(proc_spawn(&o, &p, &err), err);
	while ((n = read(p.out, buf_reserve(&out, 4096), 4096)) > 0) {
		out.len += (size_t)n;
		out.data[out.len] = '\0';
	}
	assert_ok(proc_wait(&p, 60000, &status, &err), err);
	return WEXITSTATUS(status);
}

static void document(const char *text)
{
	struct error *err = NULL;

	assert_ok(file_write(file, text, strlen(text), 0600, &err), err);
}

static void assert_plan(const char *text, const char *want)
{
	document(text);
	assert_int_equal(pm("dispatch", file, "--plan"), 0);
	assert_string_equal(buf_str(&out), want);
}

static int setup(void **state)
{
	if (test_dir_setup(state) < 0)
		return -1;
	home = xasprintf("%s/home", (char *)*state);
	file = xasprintf("%s/d.pm", (char *)*state);
	return pm("main", "--detach", NULL);
}

static int teardown(void **state)
{
	int r = pm("shutdown", NULL, NULL);

	free(home);
	free(file);
	return r || test_dir_teardown(state);
}

static void documents(void **state)
{
	static const struct {
		const char *text, *want;
	} wrong[] = { { "unti a run=x", "d: line 1: 'unti'" }, { "# c\n\nunit", "d: line 3: unit: no name" },
		{ "unit a run=x\nunit a run=y\n", "d: line 2: unit a is there" }, { "unit a run='x\n", "no closing '" },
		{ "unit a\n\tgoal=sideways", "d: line 1: a: goal: 'sideways'" }, { "unit a rum=x\n", "no such key" },
		{ "unit -a run=x\n", "does not begin with" } };
	_cleanup_document_ struct document d = { 0 }, again = { 0 };
	_cleanup_buf_ struct buf b = BUF_INIT;
	static const char text[] = "# c\nunit a run=x\n\t# inside\n\ttitle=\"two words\"\n   env='A=\"b\"' goal=down\nunit b run=y";
	struct error *err = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		_cleanup_document_ struct document w = { 0 };

		assert_err(document_parse(&w, wrong[i].text, strlen(wrong[i].text), "d", &err), err, ERR_USAGE, wrong[i].want);
	}
	assert_ok(document_parse(&d, text, sizeof(text) - 1, "d", &err), err);
	assert_int_equal(d.n, 2);
	assert_false(d.units[0].up);
	assert_string_equal(params_get(&d.units[0].params, "env"), "A=\"b\"");
	assert_true(d.units[1].up);
	document_format(&d, &b);
	assert_ok(document_parse(&again, b.data, b.len, "again", &err), err);
	assert_int_equal(again.n, 2);
	assert_string_equal(params_get(&again.units[0].params, "title"), "two words");
	assert_false(again.units[0].up);
}

static void the_difference_becomes_commands(void **state)
{
	static const char two[] = "unit db run='sleep 1000'\nunit web run='sleep 1001'\n\tneeds=db\nunit off run=true goal=down\n";

	assert_plan(two, "unit db \"run=sleep 1000\"\nunit web \"run=sleep 1001\" needs=db\nunit off run=true\nstart db web\n");
	assert_int_equal(pm("dispatch", file, NULL), 0);
	assert_int_equal(pm("list", NULL, NULL), 0);
	assert_non_null(strstr(out.data, "web   RUNNING"));
	assert_non_null(strstr(out.data, "off   STOPPED"));
	assert_plan(two, "");
	/* What pm alone uses changes without a restart. */
	assert_plan("unit db run='sleep 1000' restart=always\nunit web run='sleep 1001'\n\tneeds=db\nunit off run=true goal=down\n",
		"unit db \"run=sleep 1000\" restart=always\n");
	assert_plan("unit db run='sleep 1000'\nunit web run='sleep 1002' needs=db\nunit off run=true\n",
		"unit web \"run=sleep 1002\" needs=db\ntry-restart web\nstart off\n");
	assert_plan("unit db run='sleep 1000'\nunit web run='sleep 1001' needs=db goal=down\n", "stop off web\nremove off\n");
	/* Units that no document brought stay. */
	document("start db\nunit mine run='sleep 5'\n");
	assert_int_equal(pm("load", file, NULL), 0);
	assert_plan("", "stop db web off\nremove db web off\n");
	assert_int_equal(pm("dispatch", file, NULL), 0);
	assert_int_equal(pm("list", NULL, NULL), 0);
	assert_null(strstr(out.data, "web"));
	assert_non_null(strstr(out.data, "mine"));
	/* A wrong one changes nothing. */
	document("unit new run=x\nunti x\n");
	assert_int_equal(pm("dispatch", file, NULL), 2);
	assert_int_equal(pm("list", NULL, NULL), 0);
	assert_null(strstr(out.data, "new"));
}

static void sources(void **state)
{
	_cleanup_free_ char *dir = xasprintf("%s/docs", (char *)*state), *a = xasprintf("%s/1.pm", dir), *b = xasprintf("%s/2.pm", dir);
	_cleanup_free_ char *not = xasprintf("%s/readme", dir);
	struct error *err = NULL;

	assert_ok(file_mkdirs(dir, 0700, &err), err);
	assert_ok(file_writef(a, 0600, &err, "unit a run=x goal=down\n"), err);
	assert_ok(file_writef(b, 0600, &err, "unit b run=y goal=down\n"), err);
	assert_ok(file_writef(not, 0600, &err, "nothing\n"), err);
	assert_int_equal(pm("dispatch", dir, "--plan"), 0);
	assert_string_equal(out.data, "unit a run=x\nunit b run=y\n");
	assert_int_equal(pm("dispatch", "!echo unit c run=z goal=down", "--plan"), 0);
	assert_string_equal(out.data, "unit c run=z\n");
	assert_int_equal(pm("dispatch", "!echo unit c run=z; exit 3", "--plan"), 1);
	assert_int_equal(pm("dispatch", "/no/such/file", "--plan"), 3);
	assert_int_equal(pm("dispatch", "--watch", "-"), 2);
	assert_int_equal(pm("dispatch", NULL, NULL), 2);
	assert_int_equal(pm("load", "!echo unit loaded run=z", NULL), 0);
	assert_int_equal(pm("load", "!echo start no-such-unit", NULL), 3);
}

static void a_watched_document(void **state)
{
	const char *argv[] = { PM_PROGRAM, "dispatch", file, "--watch", "--name", "watched", "--home", home, NULL };
	struct proc_opts o = { .argv = argv };
	_cleanup_proc_ struct proc p = PROC_INIT;
	struct error *err = NULL;

	document("unit w1 run='sleep 1000'\n");
	assert_ok(proc_spawn(&o, &p, &err), err);
	while (pm("list", NULL, NULL) || !strstr(out.data, "w1") || !strstr(out.data, "RUNNING"))
		usleep(10000);
	for (int turn = 0; turn < 3; turn++) {
		char text[64], name[8];

		snprintf(name, sizeof(name), "x%d", turn);
		snprintf(text, sizeof(text), "unit %s run='sleep 1000'\n", name);
		document(text); /* replaced by rename, as editors do */
		while (pm("list", NULL, NULL) || !strstr(out.data, name) || strstr(out.data, "w1"))
			usleep(10000);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(documents),
		cmocka_unit_test_setup_teardown(the_difference_becomes_commands, setup, teardown),
		cmocka_unit_test_setup_teardown(sources, setup, teardown),
		cmocka_unit_test_setup_teardown(a_watched_document, setup, teardown),
	};
	int r = cmocka_run_group_tests(tests, NULL, NULL);

	buf_free(&out);
	return r;
}
