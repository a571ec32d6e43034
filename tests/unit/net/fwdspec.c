/* SPDX-License-Identifier: Apache-2.0 */
#include "../test.h"
#include "net/fwdspec.h"

static void written_and_read(void **state)
{
	static const struct {
		const char *text, *host, *node;
		bool udp, reverse;
		unsigned host_port, port;
	} all[] = {
		{ "8080-sn:80", "127.0.0.1", "sn", false, false, 8080, 80 },
		{ "tcp:8080-sn", "127.0.0.1", "sn", false, false, 8080, 8080 },
		{ "udp:0.0.0.0:53-alice-ood1:5353", "0.0.0.0", "alice-ood1", true, false, 53, 5353 },
		{ "localhost:1-a:65535", "127.0.0.1", "a", false, false, 1, 65535 },
		{ "[::1]:8080-sn:80", "::1", "sn", false, false, 8080, 80 },
		{ "udp:[2001:DB8:0:0::1]:53-alice-ood1", "2001:db8::1", "alice-ood1", true, false, 53, 53 },
		{ "sn:5432-127.0.0.1:5433", "127.0.0.1", "sn", false, true, 5433, 5432 },
		{ "udp:alice-ood1:53-localhost", "127.0.0.1", "alice-ood1", true, true, 53, 53 },
		{ "tcp:*:80-127.0.0.1:8080", "127.0.0.1", "*", false, true, 8080, 80 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		struct forward_spec f;
		struct error *e = NULL;
		json_t *j;

		assert_ok(forward_spec_parse(all[i].text, &f, &e), e);
		assert_string_equal(f.host, all[i].host);
		assert_string_equal(f.node, all[i].node);
		assert_int_equal(f.udp, all[i].udp);
		assert_int_equal(f.reverse, all[i].reverse);
		assert_int_equal(f.host_port, all[i].host_port);
		assert_int_equal(f.port, all[i].port);
		j = forward_spec_json(&f);
		assert_int_equal(json_is_true(json_object_get(j, "reverse")), all[i].reverse);
		json_decref(j);
		forward_spec_clear(&f);
	}
}

static void what_is_none(void **state)
{
	static const char *const bad[] = { "", "-", "8080", "8080-", "0-sn", "65536-sn", "8080-sn:0", "8080-sn:x", "sctp:80-sn", "1.2.3:80-sn:80",
		"999.0.0.1:80-sn", "8080-*:80", "sn-127.0.0.1:80", ":80-127.0.0.1", "sn:5432-10.0.0.1:80", "sn:5432-127.0.0.1:", "sn:5432-127.0.0.1:0",
		"8080 -sn", "::1:8080-sn:80", "[::1]-sn", "[::1:8080-sn:80", "[]:8080-sn:80", "[127.0.0.1]:8080-sn:80", "sn:80-[::1]:80", "+80-sn" };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct forward_spec f;
		struct error *e = NULL;

		if (forward_spec_parse(bad[i], &f, &e) == 0)
			fail_msg("'%s' was taken for a forward", bad[i]);
		assert_null(f.node);
		assert_int_equal(e->cls, ERR_USAGE);
		assert_non_null(e->hint);
		error_clear(&e);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(written_and_read),
		cmocka_unit_test(what_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
