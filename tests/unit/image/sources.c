/* SPDX-License-Identifier: Apache-2.0 */
/* The host's apt sources, in both forms. */
#include "../test.h"
#include "image/apt.h"

static void sources_are_read(void **s)
{
	static const struct {
		bool deb822;
		const char *text, *mirror, *keyring;
	} rows[] = {
		{ false, "deb http://a/debian bookworm main\n", "http://a/debian", NULL },
		{ false, "# deb http://a/debian bookworm main\n", NULL, NULL },
		{ false, "deb-src http://a/debian bookworm main\n", NULL, NULL },
		{ false, "deb http://a/debian trixie main\n", NULL, NULL },
		{ false, "deb http://a/debian bookworm contrib\n", NULL, NULL },
		{ false, "deb cdrom:[x]/ bookworm main\ndeb http://b bookworm contrib main", "http://b", NULL },
		{ false, "deb\t[arch=amd64 signed-by=/k.gpg]  https://a/d\tbookworm main", "https://a/d",
			"/k.gpg" },
		{ false, "deb [", NULL, NULL },
		{ false, "deb []", NULL, NULL },
		{ false, "deb", NULL, NULL },
		{ true,
			"Types: deb\n# c\nURIs: http://a\nSuites: bookworm bookworm-updates\n"
			"Components: main\nSigned-By: /k.gpg\n",
			"http://a", "/k.gpg" },
		{ true,
			"Types: deb\nURIs: http://s\nSuites: bookworm-security\nComponents: main\n\n"
			"Types: deb deb-src\nURIs: http://a\nSuites: bookworm\nComponents: main",
			"http://a", NULL },
		{ true,
			"Enabled: no\nTypes: deb\nURIs: http://a\nSuites: bookworm\nComponents: main\n",
			NULL, NULL },
		{ true, "Types: deb-src\nURIs: http://a\nSuites: bookworm\nComponents: main\n", NULL,
			NULL },
		{ true, "Types: deb\nSuites: bookworm\nComponents: main\n", NULL, NULL },
		{ true, "", NULL, NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_free_ char *mirror = NULL, *keyring = NULL;
		bool found = apt_sources_parse(
			rows[i].text, rows[i].deb822, "bookworm", &mirror, &keyring);

		if (found != !!rows[i].mirror)
			fail_msg("row %zu: found %d", i, found);
		if (found)
			assert_string_equal(mirror, rows[i].mirror);
		assert_int_equal(!!keyring, !!rows[i].keyring);
		if (keyring)
			assert_string_equal(keyring, rows[i].keyring);
	}
}

static void settings_come_before_the_host(void **s)
{
	struct apt_source a;

	setenv("CROFT_MIRROR", "http://set/debian//", 1);
	setenv("CROFT_KEYRING", "/set.gpg", 1);
	apt_source_init(&a, NULL, "bookworm", "amd64", false);
	assert_string_equal(a.mirror, "http://set/debian");
	assert_string_equal(a.keyring, "/set.gpg");
	apt_source_clear(&a);
	apt_source_init(&a, "http://said", "bookworm", "amd64", false);
	assert_string_equal(a.mirror, "http://said");
	apt_source_clear(&a);
	unsetenv("CROFT_MIRROR");
	unsetenv("CROFT_KEYRING");
	apt_source_init(&a, NULL, "no-such-release", "amd64", false);
	assert_string_equal(a.mirror, APT_DEFAULT_MIRROR);
	assert_string_equal(a.keyring, APT_DEFAULT_KEYRING);
	apt_source_clear(&a);
}

static void pools_are_those_of_the_mirror_and_of_security(void **s)
{
	_cleanup_strv_ struct strv set = STRV_INIT, none = STRV_INIT;

	setenv("CROFT_MIRROR", "http://set/debian/", 1);
	apt_pools(NULL, "bookworm", &set);
	apt_pools("http://said", NULL, &set);
	unsetenv("CROFT_MIRROR");
	assert_int_equal(set.len, 2);
	assert_string_equal(set.v[0], "http://set/debian/pool/main");
	assert_string_equal(set.v[1], "http://said/pool/main");
	apt_pools(NULL, "no-such-release", &none);
	assert_int_equal(none.len, 2);
	assert_string_equal(none.v[0], APT_DEFAULT_MIRROR "/pool/main");
	assert_string_equal(none.v[1], APT_SECURITY_MIRROR "/pool/updates/main");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sources_are_read),
		cmocka_unit_test(settings_come_before_the_host),
		cmocka_unit_test(pools_are_those_of_the_mirror_and_of_security),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
