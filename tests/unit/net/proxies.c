/* SPDX-License-Identifier: Apache-2.0 */
/* What clients of the proxy say, whole, in pieces and wrong. */
#include "../test.h"
#include "net/proxy.h"

struct said {
	const char *bytes;
	size_t n;
	bool greeted;
	int used; /* of all of it */
	const char *host;
	unsigned port;
	bool acceptable;
};
#define BYTES(s) s, sizeof(s) - 1

static const struct said cases[] = {
	{ BYTES("\x05\x01\x00"), false, 3, "", 0, true },
	{ BYTES("\x05\x02\x02\x00"), false, 4, "", 0, true },
	{ BYTES("\x05\x01\x02"), false, 3, "", 0, false },
	{ BYTES("\x05\x01\x00\x03\x02sn\x00\x50"), true, 9, "sn", 80, true },
	{ BYTES("\x05\x01\x00\x01\x0a\x01\x02\x03\x1f\x90"), true, 10, "10.1.2.3", 8080, true },
	{ BYTES("\x05\x02\x00\x03\x02sn\x00\x50"), true, 9, "sn", 80, false },	/* BIND */
	{ BYTES("\x05\x01\x00\x04" "0123456789abcdef\x00\x50"), true, 22, "", 80, false },
	{ BYTES("\x05\x01\x00\x03\x03s\"n\x00\x50"), true, 10, "s\"n", 80, false },
	{ BYTES("\x05\x01\x00\x03\x02sn\x00\x00"), true, 9, "sn", 0, false },
	{ BYTES("\x05\x01\x00\x07zzzzzzzz"), true, -1, "", 0, false },
	{ BYTES("\x04\x01\x00\x50"), false, -1, "", 0, false },
	{ BYTES("CONNECT sn:443 HTTP/1.1\r\nHost: sn\r\n\r\n"), false, 37, "sn", 443, true },
	{ BYTES("GET http://sn/ HTTP/1.1\r\n\r\n"), false, 27, "", 0, false },
	{ BYTES("CONNECT sn:99999 HTTP/1.1\r\n\r\n"), false, 29, "sn", 99999, false },
	{ BYTES("hello\r\n\r\n"), false, -1, "", 0, false },
};

static void requests_are_read_whole_and_not_before(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct said *c = &cases[i];
		struct proxy_request r;
		int used = proxy_parse((const unsigned char *)c->bytes, c->n, c->greeted, &r);

		if (used != c->used)
			fail_msg("case %zu: %d", i, used);
		if (used < 0)
			continue;
		if (strcmp(r.host, c->host) != 0 || r.port != c->port || r.acceptable != c->acceptable)
			fail_msg("case %zu: %s:%u %d", i, r.host, r.port, r.acceptable);
		for (size_t n = 0; n < (size_t)used; n++) {
			unsigned char *exact = xmemdup(c->bytes, n); /* so that ASan sees a read past the end */

			assert_int_equal(proxy_parse(exact, n, c->greeted, &r), 0);
			free(exact);
		}
	}
}

static void endless_headers_are_refused(void **state)
{
	static unsigned char b[10000];
	struct proxy_request r;

	memset(b, 'A', sizeof(b));
	assert_int_equal(proxy_parse(b, 8000, false, &r), 0);
	assert_int_equal(proxy_parse(b, sizeof(b), false, &r), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_are_read_whole_and_not_before),
		cmocka_unit_test(endless_headers_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
