/* SPDX-License-Identifier: Apache-2.0 */
/* OEM strings of SMBIOS tables, whole and broken. */
#include "../test.h"

#include "guest.h"

/* BIOS information with two strings, a structure without any, OEM strings with three. */
static const uint8_t table[] = "\x00\x06\x00\x00\x01\x02" "croft.a=no\0" "other\0" "\0"
			       "\x01\x04\x01\x00" "\0\0"
			       "\x0b\x05\x02\x00\x03" "plain\0" "croft.ab=1\0" "croft.a=two words\0" "\0"
			       "\x7f\x04\x03\x00" "\0";
#define LENGTH sizeof(table)

static void finds_a_value(void **state)
{
	char v[32];

	assert_true(identity_find(table, LENGTH, "croft.a", v, sizeof(v)));
	assert_string_equal(v, "two words");
	assert_true(identity_find(table, LENGTH, "croft.ab", v, sizeof(v)));
	assert_string_equal(v, "1");
	assert_false(identity_find(table, LENGTH, "croft", v, sizeof(v)));
	assert_false(identity_find(table, LENGTH, "plain", v, sizeof(v)));
}

/* Cut anywhere, the bytes in memory of that very size: sanitizers see each step too far. */
static void survives_cut_tables(void **state)
{
	char v[32];

	for (size_t n = 0; n < LENGTH; n++) {
		_cleanup_free_ uint8_t *part = xmalloc(n + !n);

		memcpy(part, table, n);
		if (n < 60)
			assert_false(identity_find(part, n, "croft.a", v, sizeof(v)));
		else
			identity_find(part, n, "croft.a", v, sizeof(v));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(finds_a_value), cmocka_unit_test(survives_cut_tables) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
