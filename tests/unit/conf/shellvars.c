/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/shellvars.h"
#include "../test.h"
#include "base/buf.h"

/* "\n" in the table is a new line. */
static char *unescape(const char *s)
{
	struct buf b = BUF_INIT;

	buf_adds(&b, "");
	for (; *s; s++) {
		if (s[0] == '\\' && s[1] == 'n') {
			buf_addc(&b, '\n');
			s++;
		} else {
			buf_addc(&b, *s);
		}
	}
	return buf_steal(&b);
}

static char *vars_text(const struct shellvars *v)
{
	static const char *const names[] = { "A", "B", "C", "D", "CLR" };
	struct buf b = BUF_INIT;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const struct strv *l = shellvars_list(v, names[i]);

		if (!l)
			continue;
		buf_addf(&b, "%s%s=", b.len ? " " : "", names[i]);
		for (size_t k = 0; k < l->len; k++)
			buf_addf(&b, "[%s]", l->v[k]);
	}
	buf_adds(&b, "");
	return buf_steal(&b);
}

static void each_line_of_the_table(void **state)
{
	FILE *f = fopen(TEST_DATA "/conf-shellvars.data", "re");
	char line[512];
	int cases = 0;

	assert_non_null(f);
	setenv("HOME", "/h", 1);
	while (fgets(line, sizeof(line), f)) {
		_cleanup_shellvars_ struct shellvars *v = shellvars_new();
		_cleanup_free_ char *text = NULL, *got = NULL, *want = NULL;
		struct error *err = NULL;
		char *mark;
		bool good;

		line[strcspn(line, "\n")] = '\0';
		if (line[0] == '#' && line[1] == ' ' && line[2] == 'f')
			continue;
		good = (mark = strstr(line, " => ")) != NULL;
		if (!mark)
			mark = strstr(line, " =! ");
		assert_non_null(mark);
		*mark = '\0';
		text = unescape(line);
		want = good ? unescape(mark + 4) : xstrdup(mark + 4);
		shellvars_set(v, "X", "x y");
		if (shellvars_parse(v, "f", text, strlen(text), &err) == 0)
			got = vars_text(v);
		if (good && (!got || strcmp(got, want)))
			fail_msg("'%s' gives '%s', wanted '%s'", text, got ? got : err->msg, want);
		if (!good && (got || err->cls != ERR_USAGE || !strstr(err->msg, want)))
			fail_msg("'%s' gives '%s', wanted error '%s'", text, got ? got : err->msg, want);
		/* a file is taken wholly or not at all */
		if (!good)
			assert_null(shellvars_get(v, "A"));
		error_clear(&err);
		cases++;
	}
	fclose(f);
	assert_true(cases > 50);
}

static void words_of_command_lines(void **state)
{
	static const char text[] = "# more devices\n-device \"a b,c\" \\\n  -foo $HOME/x'y' # end\n\n-bar";
	_cleanup_shellvars_ struct shellvars *v = shellvars_new();
	_cleanup_strv_ struct strv words = STRV_INIT;
	_cleanup_free_ char *all = NULL;
	struct error *e = NULL;

	setenv("HOME", "/h", 1);
	assert_ok(shellvars_words(v, "vm.defaults", text, strlen(text), &words, &e), e);
	all = strv_join(&words, "|");
	assert_string_equal(all, "-device|a b,c|-foo|/h/xy|-bar");
	assert_err(shellvars_words(v, "vm.defaults", "a\n;b", 4, &words, &e), e, ERR_USAGE, "vm.defaults:2:1: ';'");
	assert_err(shellvars_words(v, "vm.defaults", "a )", 3, &words, &e), e, ERR_USAGE, "vm.defaults:1:3: ')'");
	assert_err(shellvars_words(v, "x", "a\0b", 3, &words, &e), e, ERR_USAGE, "x:1:2: a NUL byte");
}

static void growth_ends(void **state)
{
	_cleanup_shellvars_ struct shellvars *v = shellvars_new();
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct error *e = NULL;

	buf_adds(&b, "A=0123456789\n");
	for (int i = 0; i < 40; i++)
		buf_adds(&b, "A=$A$A\n");
	assert_err(shellvars_parse(v, "f", b.data, b.len, &e), e, ERR_USAGE, "longer than 1 MiB");
	buf_clear(&b);
	buf_adds(&b, "A=( x )\n");
	for (int i = 0; i < 40; i++)
		buf_adds(&b, "A=( \"${A[@]}\" \"${A[@]}\" )\n");
	assert_err(shellvars_parse(v, "f", b.data, b.len, &e), e, ERR_USAGE, "more than 65536 words");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_line_of_the_table),
		cmocka_unit_test(words_of_command_lines),
		cmocka_unit_test(growth_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
