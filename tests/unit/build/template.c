/* SPDX-License-Identifier: Apache-2.0 */
/* Templates that are valid, and that are not: what is said about them. Cases: tests/data/build-template.data. */
#include "../test.h"
#include "base/buf.h"
#include "base/strv.h"
#include "build/build.h"
#include "build/fixers.h"

static char *dir;

struct test_case {
	char *name, *want;
	struct strv vars;
	struct buf text;
};

/* What is said, all in one; NULL: it is valid. */
static char *validate(const struct test_case *c, struct strv *warnings)
{
	struct template_opts o = { .vars = &c->vars };
	struct build_opts b = { 0 };
	struct error *err = NULL;
	struct template *t;
	FILE *f = fopen("t", "we");
	char *said = NULL;

	/* not file_write: nothing here has to survive a power cut */
	assert_non_null(f);
	assert_int_equal(fwrite(c->text.data, 1, c->text.len, f), c->text.len);
	fclose(f);
	t = template_load("t", &o, &err);
	if (t && build_validate(t, &b, warnings, &err) == 0)
		strv_addv(warnings, t->warnings.v ? (const char *const *)t->warnings.v : (const char *const[]){ NULL });
	if (err)
		said = error_text(err);
	error_clear(&err);
	template_free(t);
	return said;
}

static void run_case(struct test_case *c)
{
	_cleanup_strv_ struct strv warnings = STRV_INIT;
	_cleanup_free_ char *said = validate(c, &warnings), *all = strv_join(&warnings, "\n");

	if (!strncmp(c->want, "error ", 6) && (!said || !strstr(said, c->want + 6)))
		fail_msg("%s: said '%s', wanted '%s'", c->name, said ? said : "valid", c->want + 6);
	if (!strncmp(c->want, "valid", 5) && said)
		fail_msg("%s: said '%s', wanted that it is valid", c->name, said);
	if (!strncmp(c->want, "valid ", 6) && !strstr(all, c->want + 6))
		fail_msg("%s: warned '%s', wanted '%s'", c->name, all, c->want + 6);
}

static void end_case(struct test_case *c)
{
	if (c->name)
		run_case(c);
	free(c->name);
	free(c->want);
	strv_free(&c->vars);
	buf_free(&c->text);
	*c = (struct test_case){ 0 };
}

static void each_case_of_the_file(void **state)
{
	FILE *f = fopen(TEST_DATA "/build-template.data", "re");
	struct test_case c = { 0 };
	char line[2048];
	int cases = 0;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		if (!strncmp(line, "== ", 3)) {
			end_case(&c);
			c.name = xstrdup(line + 3);
			cases++;
		} else if (c.name && !strncmp(line, "@VAR ", 5)) {
			strv_add(&c.vars, line + 5);
		} else if (c.name && !c.want) {
			c.want = xstrdup(line);
		} else if (c.name) {
			buf_addf(&c.text, "%s\n", line);
		}
	}
	end_case(&c);
	fclose(f);
	assert_true(cases > 50);
}

static struct val *parse(const char *text, struct doc **d)
{
	struct error *err = NULL;

	*d = doc_parse("t", text, strlen(text), &err);
	if (!*d)
		fail_msg("%s", err->msg);
	return val_from(doc_root(*d));
}

static void old_spellings_become_new_ones(void **state)
{
	struct strv notes = STRV_INIT;
	struct doc *d;
	struct val *v = parse("{\"builders\": [{\"type\": \"virtualbox\", \"iso_md5\": \"aa\", \"ssh_key_path\": \"k\", \"guest_additions_attach\": true,"
			      " \"vm_name\": \"x-{{ .CreateTime }}-y\"}, {\"type\": \"qemu\", \"disk_size\": 100, \"iso_checksum_type\": \"none\"}],"
			      " \"post-processors\": [[{\"type\": \"manifest\", \"filename\": \"m\"}]]}",
		&d);
	struct buf b = BUF_INIT;

	fixers_apply(v, &notes);
	val_json(v, &b);
	for (const char *const *want = (const char *const[]){ "\"type\": \"virtualbox-iso\"", "\"iso_checksum\": \"md5:aa\"",
		     "\"ssh_private_key_file\": \"k\"", "\"guest_additions_mode\": \"attach\"", "\"x-{{timestamp}}-y\"", "\"disk_size\": \"100M\"",
		     "\"iso_checksum\": \"none\"", "\"output\": \"m\"", NULL };
		*want; want++)
		if (!strstr(b.data, *want))
			fail_msg("%s is not in %s", *want, b.data);
	assert_null(strstr(b.data, "iso_md5"));
	assert_int_equal(notes.len, 8);
	buf_free(&b);
	strv_free(&notes);
	val_free(v);
	doc_free(d);
}

/* A text where a list is wanted is split on its commas; lists of one stay whole. */
static void a_text_is_split_into_a_list(void **state)
{
	struct error *err = NULL;
	struct doc *d;
	struct val *v = parse("{\"inline\": \"a,b c\", \"valid_exit_codes\": [0, 7], \"environment_vars\": [\"A=1,2\"]}", &d);
	struct funcs f = { 0 };
	struct conf c = { 0 };
	struct strv l = STRV_INIT;
	const struct component *shell = component_find(PART_PROVISIONER, "shell", v, &err);

	assert_non_null(shell);
	assert_ok(conf_read(shell, v, &f, NULL, &c, &err), err);
	conf_list(&c, "inline", &l);
	conf_list(&c, "valid_exit_codes", &l);
	conf_list(&c, "environment_vars", &l);
	assert_int_equal(l.len, 5);
	assert_string_equal(l.v[0], "a");
	assert_string_equal(l.v[1], "b c");
	assert_string_equal(l.v[3], "7");
	assert_string_equal(l.v[4], "A=1,2");
	assert_string_equal(conf_text(&c, "remote_folder"), "/tmp");
	strv_free(&l);
	conf_clear(&c);
	val_free(v);
	doc_free(d);
}

static void the_environment_is_quoted_and_sorted(void **state)
{
	struct error *err = NULL;
	struct doc *d;
	struct val *v = parse("{\"environment_vars\": [\"Z=it's\", \"A=x=y\"], \"inline\": \"x\"}", &d);
	struct funcs f = { 0 };
	struct conf c = { 0 };
	struct build b = { .name = "web" };
	char *text;

	assert_ok(conf_read(component_find(PART_PROVISIONER, "shell", v, &err), v, &f, NULL, &c, &err), err);
	text = build_env(&b, &c, NULL, &err);
	assert_string_equal(text, "A='x=y' PACKER_BUILDER_TYPE='' PACKER_BUILD_NAME='web' Z='it'\"'\"'s' ");
	free(text);
	conf_clear(&c);
	val_free(v);
	doc_free(d);
}

static int setup(void **state)
{
	int rc = test_dir_setup(state);

	dir = *state;
	return rc ? rc : chdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_case_of_the_file),
		cmocka_unit_test(old_spellings_become_new_ones),
		cmocka_unit_test(a_text_is_split_into_a_list),
		cmocka_unit_test(the_environment_is_quoted_and_sorted),
	};

	return cmocka_run_group_tests(tests, setup, test_dir_teardown);
}
