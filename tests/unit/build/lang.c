/* SPDX-License-Identifier: Apache-2.0 */
/* The small languages in templates: {{functions}}, times, durations, boot commands, checksums. Cases: tests/data/build-lang.data. */
#include "../test.h"
#include "base/buf.h"
#include "base/strv.h"
#include "build/boot.h"
#include "build/funcs.h"
#include "build/gotime.h"
#include "build/iso.h"

#define NOW 1615107906

static char *run_tmpl(const char *in, struct error **err)
{
	struct map vars = { 0 }, fields = { 0 };
	struct funcs f = { .vars = &vars, .build_name = "web", .build_type = "croft", .now = NOW };
	char *out = NULL;

	map_set(&vars, "name", (void *)(uintptr_t)"croft");
	map_set(&vars, "empty", (void *)(uintptr_t)"");
	map_set(&vars, "n", (void *)(uintptr_t)"3");
	map_set(&fields, "Name", (void *)(uintptr_t)"disk");
	map_set(&fields, "Vars", (void *)(uintptr_t)"A='b'");
	funcs_expand(&f, &fields, in, &out, err);
	map_free(&vars);
	map_free(&fields);
	return out;
}

static char *run_time(const char *in, struct error **err)
{
	return go_time_format(NOW, 250000000, in);
}

static char *run_dur(const char *in, struct error **err)
{
	int64_t ns;

	return go_duration("x", in, &ns, err) < 0 ? NULL : xasprintf("%lld", (long long)ns);
}

static char *run_boot(const char *in, struct error **err)
{
	_cleanup_boot_ struct boot b = { 0 };
	_cleanup_strv_ struct strv out = STRV_INIT;

	if (boot_parse(&b, in, err) < 0)
		return NULL;
	for (size_t i = 0; i < b.len; i++) {
		const struct boot_event *e = &b.v[i];

		if (e->kind == BOOT_WAIT)
			strv_addf(&out, "~%lld", (long long)(e->ns / 1000000));
		else if (e->kind == BOOT_EXPECT && e->ns)
			strv_addf(&out, "?%s/%lld", e->text, (long long)(e->ns / 1000000));
		else if (e->kind == BOOT_EXPECT)
			strv_addf(&out, "?%s", e->text);
		else
			strv_addf(&out, "%c%x/%s", e->kind == BOOT_DOWN ? '+' : '-', e->symbol, e->code ? e->code : "-");
	}
	return strv_join(&out, " ");
}

static char *run_sum(const char *in, struct error **err)
{
	const char *type, *hex;

	return iso_checksum_parse(in, &type, &hex, err) < 0 ? NULL : xstrdup(type ? type : "-");
}

static char *run_find(const char *in, struct error **err)
{
	char *hex = iso_checksum_find(in, "a.iso");

	return hex ? hex : xstrdup("-");
}

static const struct {
	const char *kind;
	char *(*run)(const char *in, struct error **err);
} kinds[] = { { "tmpl", run_tmpl }, { "time", run_time }, { "dur", run_dur }, { "boot", run_boot }, { "sum", run_sum }, { "find", run_find } };

static void unescape(char *s)
{
	char *to = s;

	for (; *s; s++) {
		bool newline = s[0] == '\\' && s[1] == 'n';

		*to++ = newline ? '\n' : *s;
		s += newline;
	}
	*to = '\0';
}

static void one_case(char *line)
{
	char *bar = strchr(line, '|'), *mark = strstr(line, " => "), *out = NULL;
	struct error *err = NULL;
	bool good = mark != NULL;
	size_t k = 0;

	if (!mark)
		mark = strstr(line, " =! ");
	if (!bar || !mark)
		fail_msg("no case: %s", line);
	*bar = *mark = '\0';
	while (k < ARRAY_SIZE(kinds) && strcmp(kinds[k].kind, line))
		k++;
	assert_true(k < ARRAY_SIZE(kinds));
	if (!strcmp(line, "find"))
		unescape(bar + 1);
	out = kinds[k].run(bar + 1, &err);
	if (good && (!out || strcmp(out, mark + 4)))
		fail_msg("%s '%s' gives '%s', wanted '%s'", line, bar + 1, out ? out : err->msg, mark + 4);
	if (!good) {
		char *text = err ? error_text(err) : NULL;

		if (out || !text || err->cls != ERR_USAGE || !strstr(text, mark + 4))
			fail_msg("%s '%s' gives '%s', wanted error '%s'", line, bar + 1, out ? out : text, mark + 4);
		free(text);
	}
	error_clear(&err);
	free(out);
}

static void each_line_of_the_table(void **state)
{
	FILE *f = fopen(TEST_DATA "/build-lang.data", "re");
	char line[1024];
	int cases = 0;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		if (line[0] == '#')
			continue;
		one_case(line);
		cases++;
	}
	fclose(f);
	assert_true(cases > 90);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(each_line_of_the_table) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
