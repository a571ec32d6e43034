/* SPDX-License-Identifier: Apache-2.0 */
#include "../test.h"
#include "base/buf.h"
#include "base/strv.h"
#include "qemu/keys.h"

static char *events_text(const struct keys *k)
{
	struct strv parts = STRV_INIT;
	char *text;

	for (size_t i = 0; i < k->len; i++)
		if (k->v[i].kind == KEY_WAIT)
			strv_addf(&parts, "~%u", k->v[i].ms);
		else
			strv_addf(&parts, "%c%s", k->v[i].kind == KEY_DOWN ? '+' : '-', k->v[i].code);
	text = strv_join(&parts, " ");
	strv_free(&parts);
	return text;
}

/* tests/data/qemu-keys.data, a case a line. */
static void each_line_of_the_table(void **state)
{
	FILE *f = fopen(TEST_DATA "/qemu-keys.data", "re");
	char line[512];
	int cases = 0;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		_cleanup_keys_ struct keys k = { 0 };
		_cleanup_free_ char *text = NULL;
		struct error *err = NULL;
		char *mark, *bar = strchr(line, '|');
		bool good;

		line[strcspn(line, "\n")] = '\0';
		if (line[0] == '#')
			continue;
		good = (mark = strstr(line, " => ")) != NULL;
		if (!mark)
			mark = strstr(line, " =! ");
		assert_non_null(mark);
		assert_non_null(bar);
		*mark = *bar = '\0';
		if (keys_parse(&k, bar + 1, line, &err) == 0)
			text = events_text(&k);
		if (good && (!text || strcmp(text, mark + 4)))
			fail_msg("'%s' gives '%s', wanted '%s'", bar + 1, text ? text : err->msg, mark + 4);
		if (!good && (text || err->cls != ERR_USAGE || !strstr(err->msg, mark + 4)))
			fail_msg("'%s' gives '%s', wanted error '%s'", bar + 1, text ? text : err->msg, mark + 4);
		error_clear(&err);
		cases++;
	}
	fclose(f);
	assert_true(cases > 40);
}

static void every_name_is_a_key(void **state)
{
	for (size_t i = 0; keys_names[i]; i++) {
		_cleanup_free_ char *text = xasprintf("<%s><%sOn><%sOff>", keys_names[i], keys_names[i], keys_names[i]);
		_cleanup_keys_ struct keys k = { 0 };
		struct error *e = NULL;

		assert_ok(keys_parse(&k, text, NULL, &e), e);
		assert_int_equal(k.len, 4);
		assert_string_equal(k.v[0].code, k.v[3].code);
	}
}

/* What is printable in ASCII can be typed on each layout that has Latin letters, and the letters of its own are all there. */
static void layouts_are_whole(void **state)
{
	for (size_t i = 0; keys_layouts[i]; i++) {
		struct error *e = NULL;

		assert_non_null(keys_layout_qemu(keys_layouts[i]));
		for (char c = ' '; c < 0x7f && strcmp(keys_layouts[i], "ru"); c++) {
			char text[2] = { c };
			_cleanup_keys_ struct keys k = { 0 };

			assert_ok(keys_parse(&k, text, keys_layouts[i], &e), e);
			assert_true(k.len >= 2);
		}
	}
	assert_null(keys_layout_qemu("xx"));
}

static void broken_text_is_refused(void **state)
{
	_cleanup_keys_ struct keys k = { 0 };
	struct error *e = NULL;

	assert_err(keys_parse(&k, "ab\xff", NULL, &e), e, ERR_USAGE, "character 3: the text is not UTF-8");
	assert_err(keys_parse(&k, "\xe2\x82", NULL, &e), e, ERR_USAGE, "not UTF-8");
	assert_err(keys_parse(&k, "\x07", NULL, &e), e, ERR_USAGE, "byte 0x07 is no key");
	assert_ok(keys_parse(&k, "a\n\t", NULL, &e), e);
	assert_string_equal(k.v[2].code, "ret");
	assert_string_equal(k.v[4].code, "tab");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_line_of_the_table),
		cmocka_unit_test(every_name_is_a_key),
		cmocka_unit_test(layouts_are_whole),
		cmocka_unit_test(broken_text_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
