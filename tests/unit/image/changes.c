/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of a Dockerfile, as they change the settings of a container's image. */
#include "../test.h"
#include "image/export/changes.h"

static char *applied(const char *const *lines, struct error **err)
{
	_cleanup_strv_ struct strv l = STRV_INIT;
	json_t *config = json_pack("{s:[s]}", "Env", "PATH=/bin");
	char *text = NULL;

	strv_addv(&l, lines);
	if (changes_apply(config, &l, err) == 0)
		text = json_dumps(config, JSON_COMPACT | JSON_SORT_KEYS);
	json_decref(config);
	return text;
}

static void lines_change_settings(void **s)
{
	static const struct {
		const char *line, *gives;
	} cases[] = {
		{ "CMD [\"/bin/a\", \"b c\"]", "{\"Cmd\":[\"/bin/a\",\"b c\"],\"Env\":[\"PATH=/bin\"]}" },
		{ "cmd run me", "{\"Cmd\":[\"/bin/sh\",\"-c\",\"run me\"],\"Env\":[\"PATH=/bin\"]}" },
		{ "ENTRYPOINT [\"/x\"]", "{\"Entrypoint\":[\"/x\"],\"Env\":[\"PATH=/bin\"]}" },
		{ "ENV A=b C=\"d e\" F=g\\ h", "{\"Env\":[\"PATH=/bin\",\"A=b\",\"C=d e\",\"F=g h\"]}" },
		{ "ENV PATH=/sbin", "{\"Env\":[\"PATH=/sbin\"]}" },
		{ "ENV NAME a value", "{\"Env\":[\"PATH=/bin\",\"NAME=a value\"]}" },
		{ "EXPOSE 80 53/udp", "{\"Env\":[\"PATH=/bin\"],\"ExposedPorts\":{\"53/udp\":{},\"80/tcp\":{}}}" },
		{ "VOLUME [\"/data\", \"/log\"]", "{\"Env\":[\"PATH=/bin\"],\"Volumes\":{\"/data\":{},\"/log\":{}}}" },
		{ "LABEL a.b='it is' c=d", "{\"Env\":[\"PATH=/bin\"],\"Labels\":{\"a.b\":\"it is\",\"c\":\"d\"}}" },
		{ "USER nobody:users", "{\"Env\":[\"PATH=/bin\"],\"User\":\"nobody:users\"}" },
		{ "WORKDIR /srv", "{\"Env\":[\"PATH=/bin\"],\"WorkingDir\":\"/srv\"}" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error *e = NULL;
		_cleanup_free_ char *text = applied((const char *const[]){ cases[i].line, NULL }, &e);

		assert_ok(text ? 0 : -1, e);
		assert_string_equal(text, cases[i].gives);
	}
}

static void wrong_lines_are_refused(void **s)
{
	static const struct {
		const char *line, *says;
	} cases[] = {
		{ "RUN make", "'RUN make': is no change" },
		{ "CMD", "says nothing" },
		{ "CMD [\"a\", 1]", "is no list of words" },
		{ "ENV =x", "a value without a name" },
		{ "EXPOSE [80", "is no list" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error *e = NULL;

		assert_null(applied((const char *const[]){ cases[i].line, NULL }, &e));
		assert_err(-1, e, ERR_USAGE, cases[i].says);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_change_settings),
		cmocka_unit_test(wrong_lines_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
