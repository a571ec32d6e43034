/* SPDX-License-Identifier: Apache-2.0 */
/* Quoting, and the file form of parameters. */
#include "../test.h"
#include "pm/stream.h"
#include "pm/param.h"

static void splits(void **state)
{
	static const struct {
		const char *line, *words; /* words joined by '|' */
	} cases[] = {
		{ "", "" },
		{ "  # all comment", "" },
		{ "start a b # c", "start|a|b" },
		{ "a#b", "a#b" },
		{ "unit x run='a \"b\" \\n'", "unit|x|run=a \"b\" \\n" },
		{ "unit x run=\"a 'b' \\\"c\\\" \\n\\x41\"", "unit|x|run=a 'b' \"c\" \nA" },
		{ "a\\ b \\# \\\\", "a b|#|\\" },
		{ "'' \"\"", "|" },
		{ "x''y", "xy" },
		{ "start a\r", "start|a" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_strv_ struct strv w = STRV_INIT;
		_cleanup_free_ char *joined = NULL;
		struct error *e = NULL;

		assert_ok(stream_split(cases[i].line, strlen(cases[i].line), &w, &e), e);
		joined = strv_join(&w, "|");
		assert_string_equal(joined ? joined : "", cases[i].words);
	}
}

static void refuses(void **state)
{
	static const struct {
		const char *line, *part;
		size_t n;
	} cases[] = {
		{ "a 'b", "column 3: no closing '", 4 },
		{ "a \"b\\\"", "column 3: no closing \"", 6 },
		{ "a\\", "backslash at the end", 2 },
		{ "\\x4", "two hexadecimal digits", 3 },
		{ "\\xg0", "two hexadecimal digits", 4 },
		{ "\\x00", "NUL", 4 },
		{ "a\0b", "NUL", 3 },
		{ "'a\0b'", "NUL", 5 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_strv_ struct strv w = STRV_INIT;
		struct error *e = NULL;

		assert_err(stream_split(cases[i].line, cases[i].n, &w, &e), e, ERR_USAGE, cases[i].part);
	}
}

/* Any bytes come back from a quoted word and from a parameter file. */
static void any_bytes(void **state)
{
	uint32_t seed = 7;

	for (int round = 0; round < 2000; round++) {
		_cleanup_strv_ struct strv w = STRV_INIT;
		_cleanup_buf_ struct buf b = BUF_INIT, file = BUF_INIT;
		_cleanup_params_ struct params ps = PARAMS_INIT, back = PARAMS_INIT;
		struct error *e = NULL;
		char word[24] = "";

		for (int i = 0; i < 20; i++) {
			seed = seed * 1103515245 + 12345;
			word[i] = round % 2 ? (char)(seed >> 16) : "\\'\" \n#a\tx4"[(seed >> 16) % 11];
			if (!word[i])
				break;
		}
		stream_quote(&b, word);
		assert_null(memchr(b.data, '\n', b.len));
		assert_ok(stream_split(b.data, b.len, &w, &e), e);
		assert_int_equal(w.len, 1);
		assert_string_equal(w.v[0], word);
		params_add(&ps, "run", word);
		params_add(&ps, "title", "x");
		params_format(&ps, &file);
		assert_ok(params_parse(file.data, file.len, &back, &e), e);
		assert_int_equal(back.n, ps.n);
		assert_memory_equal(back.p, ps.p, ps.n);
	}
}

static void parameters(void **state)
{
	_cleanup_params_ struct params ps = PARAMS_INIT;
	struct error *e = NULL;
	const char cut[] = "run=a\ntitle=", strange[] = "run=a\nnonsense\n";

	assert_ok(params_assign(&ps, "run=a b", &e), e);
	assert_ok(params_assign(&ps, "title=t", &e), e);
	assert_ok(params_assign(&ps, "run=c", &e), e);
	assert_string_equal(params_get(&ps, "run"), "c");
	assert_ok(params_assign(&ps, "run=", &e), e);
	assert_null(params_get(&ps, "run"));
	assert_string_equal(params_get(&ps, "title"), "t");
	assert_err(params_assign(&ps, "run", &e), e, ERR_USAGE, "KEY=VALUE is needed");
	assert_err(params_parse(cut, strlen(cut), &ps, &e), e, ERR_FAILED, "line 2 is cut off");
	assert_err(params_parse(strange, strlen(strange), &ps, &e), e, ERR_FAILED, "line 2 is not KEY=VALUE");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(splits),
		cmocka_unit_test(refuses),
		cmocka_unit_test(any_bytes),
		cmocka_unit_test(parameters),
	};

	return cmocka_run_group_tests_name("pm/stream", tests, NULL, NULL);
}
