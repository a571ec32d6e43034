/* SPDX-License-Identifier: Apache-2.0 */
/* Ports out of proc_net_tcp(5). */
#include "../test.h"
#include "group/ports.h"

static void tables_become_lines(void **state)
{
	_cleanup_strv_ struct strv l = STRV_INIT;

	ports_parse(
		"#tcp\n"
		"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
		"   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0\n"
		"   1: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2 1 0 100 0 0 10 0\n"
		"   2: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 3 1 0 100 0 0 10 0\n"
		"   3: 0F02000A:0016 0202000A:C350 01 00000000:00000000 02:000A7214 00000000     0        0 4 2 0 20 4 31 10 -1\n"
		"#tcp6\n  sl  local\n"
		"   0: 00000000000000000000000000000000:0016 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 1\n"
		"   1: B80D0120000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 1\n"
		"#udp\n  sl  local\n"
		"  10: 00000000:0043 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 5 2 0 0\n"
		"  11: 0100007F:0035 0100007F:1111 01 00000000:00000000 00:00000000 00000000     0        0 6 2 0 0\n",
		&l);
	assert_int_equal(l.len, 5);
	assert_string_equal(l.v[0], "tcp 0.0.0.0:22");
	assert_string_equal(l.v[1], "tcp 127.0.0.1:8080");
	assert_string_equal(l.v[2], "tcp [2001:db8::1]:80");
	assert_string_equal(l.v[3], "tcp [::]:22");
	assert_string_equal(l.v[4], "udp 0.0.0.0:67");
}

static void nonsense_is_left_out(void **state)
{
	_cleanup_strv_ struct strv l = STRV_INIT;

	ports_parse("#\n\n#aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n 0: 123:22 00:0 0A\n 1: ZZ:0016 00000000:0000 0A\n 2: 00000000:0016", &l);
	ports_parse("", &l);
	assert_int_equal(l.len, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(tables_become_lines), cmocka_unit_test(nonsense_is_left_out) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
