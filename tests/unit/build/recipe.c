/* SPDX-License-Identifier: Apache-2.0 */
/* Recipes as they are read: what each package and pass runs, and what is wrong with a document. */
#include "../test.h"
#include "base/path.h"
#include "build/recipe.h"

#define SUM "31e066137a962676e89f69d1b65382de95a7ef7d914b8cb956f41ea72e0f516b"
#define HEAD "recipe: r\nstart: { release: bookworm }\n"
#define TAIL "output: [ { file: x } ]\n"

static struct recipe *load(void **state, const char *text, struct error **err)
{
	_cleanup_free_ char *path = path_join(*state, "recipe.yaml");

	assert_int_equal(file_write(path, text, strlen(text), 0644, err), 0);
	return recipe_load(*state, err);
}

static void stages_come_from_pass_package_and_default(void **state)
{
	static const char text[] = HEAD "sources: { gcc-core-12.2.0: { sha256: " SUM " } }\n"
		"packages: [ { gcc-core-12.2.0: 1 }, { gcc-core-12.2.0: 2 }, { files-1: 1 } ]\n"
		"build:\n"
		"  default: { make: make all }\n"
		"  gcc-core:\n"
		"    configure: { prefix: CC=x, suffix: --with-y }\n"
		"    make: { suffix: V=1 }\n"
		"    pass 2: { configure: ../configure, test: [ a, b ], install: '' }\n"
		"  files: { post: echo, network: true }\n" TAIL;
	struct error *e = NULL;
	_cleanup_recipe_ struct recipe *r = load(state, text, &e);
	const struct recipe_step *s;

	assert_ok(r ? 0 : -1, e);
	assert_int_equal(r->nsteps, 3);
	s = &r->steps[0];
	assert_string_equal(s->name, "gcc-core");
	assert_string_equal(s->version, "12.2.0");
	assert_string_equal(s->script[STAGE_CONFIGURE], "CC=x ./configure --prefix=/usr --with-y\n");
	assert_string_equal(s->script[STAGE_MAKE], "make all V=1\n");
	assert_string_equal(s->script[STAGE_INSTALL], "make install\n");
	assert_null(s->script[STAGE_TEST]);
	s = &r->steps[1];
	assert_int_equal(s->pass, 2);
	assert_string_equal(s->script[STAGE_CONFIGURE], "../configure\n");
	assert_string_equal(s->script[STAGE_TEST], "a\nb\n");
	assert_null(s->script[STAGE_INSTALL]);
	s = &r->steps[2];
	assert_null(s->source);
	assert_true(s->network);
	assert_null(s->script[STAGE_CONFIGURE]);
	assert_string_equal(s->script[STAGE_POST], "echo\n");
}

static void what_is_wrong_is_said_with_its_place(void **state)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{ "recipe: r\n", "start: is missing" },
		{ "recipe: r\nstart: { release: a, root: b }\n", "only one of release, root, image" },
		{ HEAD TAIL, "the table is missing" },
		{ HEAD "packages: [ { x: 1 } ]\n" TAIL, "recipe.yaml:3:13: packages: 'x' is not NAME-VERSION" },
		{ HEAD "packages: [ { x-1: 0 } ]\nbuild: { x: { post: a } }\n" TAIL, "'0' is no pass" },
		{ HEAD "packages: [ { x-1: 1 } ]\n" TAIL, "neither an entry in sources nor one in build" },
		{ HEAD "packages: [ { x-1: 1 }, { x-1: 1 } ]\nbuild: { x: { post: a } }\n" TAIL, "x-1 pass 1 is there twice" },
		{ HEAD "sources: { x-1: { sha256: abc } }\npackages: [ { x-1: 1 } ]\n" TAIL, "sha256 must be given" },
		{ HEAD "packages: [ { x-1: 1 } ]\nbuild: { x: { instal: a } }\n" TAIL, "no stage 'instal'" },
		{ HEAD "packages: [ { x-1: 1 } ]\nbuild: { x: { test: { prefix: a } } }\n" TAIL, "has no command" },
		{ HEAD "packages: [ { x-1: 1 } ]\nbuild: { x: { post: a } }\n", "output: is missing" },
		{ HEAD "packages: [ { x-1: 1 } ]\nbuild: { x: { post: a } }\noutput: [ { file: a/b } ]\n", "must be the name of a file" },
		{ HEAD "pakages: []\n" TAIL, "has no key 'pakages'" },
		{ HEAD "vars: { 1A: b }\n" TAIL, "vars: '1A' must be a name" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error *e = NULL;

		assert_null(load(state, cases[i].text, &e));
		assert_err(-1, e, ERR_USAGE, cases[i].says);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stages_come_from_pass_package_and_default),
		cmocka_unit_test(what_is_wrong_is_said_with_its_place),
	};

	return cmocka_run_group_tests(tests, test_dir_setup, test_dir_teardown);
}
