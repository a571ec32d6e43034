/* SPDX-License-Identifier: Apache-2.0 */
/* DHCP and DNS answers, byte by byte, without a process. */
#include "../test.h"
#include "base/mem.h"
#include "net/ip.h"
#include "net/zone.h"

#include <strings.h>

struct fixture {
	struct net net;
	struct zone zone;
	struct port sn, alice;
};

static struct fixture *fixture(void)
{
	static struct fixture f;

	f = (struct fixture){ 0 };
	f.zone = (struct zone){ .net = &f.net,
		.name = (char *)"lan",
		.domain = (char *)"g.croft",
		.prefix = 0x0a010200,
		.mask = 0xffffff00,
		.gateway = 0x0a010201,
		.ports = &f.sn };
	f.sn = (struct port){ .zone = &f.zone,
		.node = (char *)"sn",
		.mac = { 0x52, 0x54, 0, 0, 0, 1 },
		.ip = 0x0a01020a,
		.fd = -1,
		.next = &f.alice };
	f.alice = (struct port){ .zone = &f.zone,
		.node = (char *)"alice-ood1",
		.mac = { 0x52, 0x54, 0, 0, 0, 2 },
		.ip = 0x0a01020b,
		.fd = -1 };
	strv_add(&f.sn.names, "sn");
	strv_add(&f.sn.names, "sn.g.croft");
	strv_add(&f.alice.names, "alice-ood1");
	return &f;
}

static void fixture_end(struct fixture *f)
{
	strv_free(&f->sn.names);
	strv_free(&f->alice.names);
}

/* A client's message with options appended; returns its length. */
static size_t dhcp(
	uint8_t *m, const struct port *p, uint16_t flags, const uint8_t *options, size_t n)
{
	memset(m, 0, 240);
	m[0] = m[1] = 1;
	m[2] = 6;
	put32(m + 4, 0x12345678);
	put16(m + 10, flags);
	memcpy(m + 28, p->mac, 6);
	put32(m + 236, 0x63825363);
	memcpy(m + 240, options, n);
	return 240 + n;
}

static const uint8_t *find_option(const uint8_t *m, size_t len, uint8_t code)
{
	for (size_t at = 240; at + 1 < len && m[at] != 255; at += m[at] ? (size_t)m[at + 1] + 2 : 1)
		if (m[at] == code)
			return m + at + 1;
	return NULL;
}

static const uint8_t discover[] = { 53, 1, 1, 255 };

static void discover_gets_the_fixed_address(void **s)
{
	struct fixture *f = fixture();
	uint8_t m[600], out[1472];
	bool broadcast;
	size_t n = dhcp_answer(&f->alice, m, dhcp(m, &f->alice, 0x8000, discover, sizeof(discover)),
		out, sizeof(out), &broadcast);

	assert_true(n >= 300);
	assert_true(broadcast);
	assert_int_equal(out[0], 2);
	assert_int_equal(get32(out + 4), 0x12345678);
	assert_int_equal(get32(out + 16), 0x0a01020b);
	assert_int_equal(find_option(out, n, 53)[1], 2);
	assert_int_equal(get32(find_option(out, n, 1) + 1), 0xffffff00);
	assert_int_equal(get32(find_option(out, n, 3) + 1), 0x0a010201);
	assert_int_equal(get32(find_option(out, n, 6) + 1), 0x0a010201);
	assert_int_equal(get32(find_option(out, n, 51) + 1), 0xffffffff);
	assert_memory_equal(find_option(out, n, 12), "\012alice-ood1", 11);
	fixture_end(f);
}

static void requests_for_others_addresses_are_refused(void **s)
{
	uint8_t mine[] = { 53, 1, 3, 50, 4, 10, 1, 2, 11, 255 },
		other[] = { 53, 1, 3, 50, 4, 10, 1, 2, 10, 255 };
	uint8_t elsewhere[] = { 53, 1, 3, 50, 4, 10, 1, 2, 11, 54, 4, 9, 9, 9, 9, 255 };
	struct fixture *f = fixture();
	uint8_t m[600], out[1472];
	bool broadcast;
	size_t n = dhcp_answer(&f->alice, m, dhcp(m, &f->alice, 0, mine, sizeof(mine)), out,
		sizeof(out), &broadcast);

	assert_int_equal(find_option(out, n, 53)[1], 5);
	assert_false(broadcast);
	n = dhcp_answer(&f->alice, m, dhcp(m, &f->alice, 0, other, sizeof(other)), out, sizeof(out),
		&broadcast);
	assert_int_equal(find_option(out, n, 53)[1], 6);
	assert_true(broadcast);
	assert_int_equal(get32(out + 16), 0);
	assert_int_equal(
		dhcp_answer(&f->alice, m, dhcp(m, &f->alice, 0, elsewhere, sizeof(elsewhere)), out,
			sizeof(out), &broadcast),
		0);
	fixture_end(f);
}

static void cut_and_strange_dhcp_is_ignored(void **s)
{
	struct fixture *f = fixture();
	uint8_t m[600], out[1472];
	bool broadcast;
	size_t len = dhcp(m, &f->sn, 0, discover, sizeof(discover));

	for (size_t n = 0; n < 243; n++) {
		uint8_t *exact = xmemdup(m, n); /* so that ASan sees a read past the end */

		assert_int_equal(dhcp_answer(&f->sn, exact, n, out, sizeof(out), &broadcast), 0);
		free(exact);
	}
	assert_int_equal(dhcp_answer(&f->alice, m, len, out, sizeof(out), &broadcast),
		0);   /* another's MAC */
	m[241] = 200; /* option longer than the message */
	assert_int_equal(dhcp_answer(&f->sn, m, len, out, sizeof(out), &broadcast), 0);
	fixture_end(f);
}

static void a_zone_may_say_more(void **s)
{
	struct fixture *f = fixture();
	struct route route = { 0x0a090000, 0xffff0000, 0x0a010207 };
	uint8_t m[600], out[1472];
	bool broadcast;
	size_t n;

	f->zone.mtu = 1400;
	f->zone.routes = &route;
	f->zone.nroutes = 1;
	f->zone.dhcp = (struct dhcp_settings){ .dns = { 0x01010101, 0x02020202 }, .ndns = 2, .ntp = { 0x03030303 }, .nntp = 1,
		.boot_server = 0x0a010209, .boot_file = (char *)"pxelinux.0", .domain = (char *)"x.test" };
	n = dhcp_answer(&f->sn, m, dhcp(m, &f->sn, 0, discover, sizeof(discover)), out, sizeof(out), &broadcast);
	assert_memory_equal(find_option(out, n, 6), "\010\1\1\1\1\2\2\2\2", 9);
	assert_memory_equal(find_option(out, n, 42), "\4\3\3\3\3", 5);
	assert_memory_equal(find_option(out, n, 26), "\2\x05\x78", 3);
	assert_memory_equal(find_option(out, n, 15), "\6x.test", 7);
	assert_memory_equal(find_option(out, n, 67), "\012pxelinux.0", 11);
	assert_memory_equal(find_option(out, n, 66), "\01010.1.2.9", 9);
	/* The default route last, for those that look at nothing else (RFC 3442). */
	assert_memory_equal(find_option(out, n, 121), "\014\020\012\011\012\1\2\7\0\012\1\2\1", 13);
	assert_int_equal(get32(out + 20), 0x0a010209);
	assert_string_equal((char *)out + 108, "pxelinux.0");
	fixture_end(f);
}

/* "a.b" with type as a question with id 0xabcd. */
static size_t question(uint8_t *m, const char *name, uint16_t type)
{
	uint8_t *p = m + 12;

	memset(m, 0, 12);
	put16(m, 0xabcd);
	m[2] = 1;
	put16(m + 4, 1);
	while (*name) {
		size_t n = strcspn(name, ".");

		*p++ = (uint8_t)n;
		memcpy(p, name, n);
		p += n;
		name += n + (name[n] == '.');
	}
	*p++ = 0;
	put16(p, type);
	put16(p + 2, 1);
	return (size_t)(p + 4 - m);
}

static void names_of_the_group(void **s)
{
	static const struct {
		const char *name;
		uint16_t type, answers;
		unsigned rcode;
		bool forward;
	} cases[] = { { "sn", 1, 1, 0, false }, { "SN.G.Croft", 1, 1, 0, false },
		{ "alice-ood1", 1, 1, 0, false }, { "sn", 28, 0, 0, false },
		{ "nobody", 1, 0, 3, false }, { "x.g.croft", 1, 0, 3, false },
		{ "10.2.1.10.in-addr.arpa", 12, 1, 0, false },
		{ "99.2.1.10.in-addr.arpa", 12, 0, 3, false },
		{ "1.2.1.10.in-addr.arpa", 12, 1, 0, false }, { "debian.org", 1, 0, 0, true },
		{ "8.8.8.8.in-addr.arpa", 12, 0, 0, true }, { "notg.croft", 1, 0, 0, true } };
	struct fixture *f = fixture();
	uint8_t m[600], out[1472];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		bool forward = false;
		size_t len = question(m, cases[i].name, cases[i].type);
		size_t n = dns_answer(&f->zone, m, len, out, sizeof(out), &forward);

		if (forward != cases[i].forward)
			fail_msg("%s: forward is %d", cases[i].name, forward);
		if (forward)
			continue;
		assert_true(n >= len);
		assert_int_equal(get16(out), 0xabcd);
		assert_true(out[2] & 0x80);
		assert_int_equal(out[3] & 15, cases[i].rcode);
		assert_int_equal(get16(out + 6), cases[i].answers);
		if (cases[i].answers && cases[i].type == 1)
			assert_int_equal(get32(out + n - 4),
				!strcasecmp(cases[i].name, "alice-ood1") ? 0x0a01020b : 0x0a01020a);
	}
	fixture_end(f);
}

static void cut_and_strange_dns_is_no_harm(void **s)
{
	struct fixture *f = fixture();
	uint8_t m[600], out[1472];
	size_t len = question(m, "sn.g.croft", 1);
	bool forward = false;

	for (size_t n = 0; n < len; n++) {
		uint8_t *exact = xmemdup(m, n);
		size_t got = dns_answer(&f->zone, exact, n, out, sizeof(out), &forward);

		assert_int_equal(got, n < 12 ? 0 : 12);
		if (got)
			assert_int_equal(out[3] & 15, 1);
		free(exact);
	}
	m[12] = 0xc0; /* a compressed question, pointing at itself */
	m[13] = 12;
	assert_int_equal(dns_answer(&f->zone, m, len, out, sizeof(out), &forward), 12);
	m[2] |= 0x80; /* an answer is not answered: no loops */
	assert_int_equal(dns_answer(&f->zone, m, len, out, sizeof(out), &forward), 0);
	assert_false(forward);
	fixture_end(f);
}

static void checksums(void **s)
{
	/* RFC 1071, 3 */
	static const uint8_t data[] = { 0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7 };

	assert_int_equal(inet_checksum(data, 8, 0), (uint16_t)~0xddf2);
	assert_int_equal(inet_checksum(data, 7, 0), (uint16_t)~0xdcfb);
}

static const char extra[] = "[{\"name\":\"api.example.org\",\"type\":\"A\",\"value\":\"10.9.9.9\"},"
			    "{\"name\":\"api.example.org\",\"type\":\"AAAA\",\"value\":\"fd00::9\"},"
			    "{\"name\":\"*.apps.example.org\",\"type\":\"CNAME\",\"value\":\"sn.g.croft\"},"
			    "{\"name\":\"deep.apps.example.org\",\"type\":\"TXT\",\"value\":\"here\"},"
			    "{\"name\":\"away.example.org\",\"type\":\"CNAME\",\"value\":\"debian.org\"},"
			    "{\"name\":\"loop.example.org\",\"type\":\"CNAME\",\"value\":\"loop.example.org\"},"
			    "{\"name\":\"_db._tcp.example.org\",\"type\":\"SRV\",\"priority\":1,\"weight\":2,\"port\":5432,"
			    "\"value\":\"sn.g.croft\"}]";

static void names_that_the_file_adds(void **s)
{
	static const struct {
		const char *name;
		uint16_t type, answers;
		bool forward;
	} cases[] = {
		{ "api.example.org", 1, 1, false },
		{ "API.example.org", 28, 1, false },
		{ "api.example.org", 255, 2, false },
		{ "api.example.org", 16, 0, false },
		{ "x.apps.example.org", 1, 2, false }, /* the alias and the machine's address */
		{ "y.x.apps.example.org", 5, 1, false },
		{ "deep.apps.example.org", 16, 1, false },
		{ "deep.apps.example.org", 1, 0, false }, /* the wildcard is for those that have nothing */
		{ "below.deep.apps.example.org", 1, 0, true },
		{ "apps.example.org", 1, 0, true },
		{ "away.example.org", 1, 1, false },
		{ "loop.example.org", 1, 8, false },
		{ "_db._tcp.example.org", 33, 1, false },
		{ "example.org", 1, 0, true },
	};
	struct fixture *f = fixture();
	json_t *list = json_loads(extra, 0, NULL);
	struct error *e = NULL;
	uint8_t m[600], out[1472];

	assert_ok(records_load(&f->net.records, list, &e), e);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		bool forward = false;
		size_t len = question(m, cases[i].name, cases[i].type);
		size_t n = dns_answer(&f->zone, m, len, out, sizeof(out), &forward);

		if (forward != cases[i].forward || (!forward && (get16(out + 6) != cases[i].answers || (out[3] & 15))))
			fail_msg("%s type %d: forward %d, %d answers, code %d", cases[i].name, cases[i].type, forward, get16(out + 6),
				out[3] & 15);
		if (cases[i].type == 33) {
			static const uint8_t srv[] = { 0, 1, 0, 2, 0x15, 0x38, 2, 's', 'n', 1, 'g', 5, 'c', 'r', 'o', 'f', 't', 0 };

			assert_memory_equal(out + n - sizeof(srv), srv, sizeof(srv));
		}
		if (!strcmp(cases[i].name, "x.apps.example.org"))
			assert_int_equal(get32(out + n - 4), 0x0a01020a);
	}
	records_free(&f->net.records);
	json_decref(list);
	fixture_end(f);
}

/* Cut to 512 bytes, to what EDNS says, whole over TCP. */
static void long_answers_are_cut_to_what_the_asker_takes(void **s)
{
	static const uint8_t opt[] = { 0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 0 };
	_cleanup_free_ char *long_text = xcalloc(1, 901);
	struct fixture *f = fixture();
	static uint8_t out[65535];
	struct error *e = NULL;
	bool forward = false;
	uint8_t m[600];
	json_t *list;
	size_t len, n;

	memset(long_text, 'x', 900);
	list = json_pack("[{s:s, s:s, s:s}]", "name", "t.example.org", "type", "TXT", "value", long_text);
	assert_ok(records_load(&f->net.records, list, &e), e);
	len = question(m, "t.example.org", 16);
	n = dns_answer(&f->zone, m, len, out, 1472, &forward);
	assert_int_equal(n, len);
	assert_true(out[2] & 2);
	assert_true(dns_answer(&f->zone, m, len, out, sizeof(out), &forward) > 900);
	assert_false(out[2] & 2);
	memcpy(m + len, opt, sizeof(opt));
	put16(m + 10, 1);
	n = dns_answer(&f->zone, m, len + sizeof(opt), out, 1472, &forward);
	assert_true(n > 900 && n <= 1232);
	assert_int_equal(get16(out + 10), 1);
	assert_int_equal(get16(out + n - 10), 41);
	records_free(&f->net.records);
	json_decref(list);
	fixture_end(f);
}

static void wrong_records_are_refused(void **s)
{
	static const char *const cases[] = { "[{}]", "[{\"name\":\"a..b\",\"type\":\"A\",\"value\":\"1.2.3.4\"}]",
		"[{\"name\":\"a\",\"type\":\"A\",\"value\":\"1.2.3\"}]", "[{\"name\":\"a\",\"type\":\"MX\",\"value\":\"b\"}]",
		"[{\"name\":\"a\",\"type\":\"SRV\",\"port\":70000,\"value\":\"b\"}]",
		"[{\"name\":\"a\",\"type\":\"CNAME\",\"value\":\"b\"},{\"name\":\"A\",\"type\":\"A\",\"value\":\"1.2.3.4\"}]" };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		json_t *list = json_loads(cases[i], 0, NULL);
		struct records r = { 0 };
		struct error *e = NULL;

		assert_int_equal(records_load(&r, list, &e), -1);
		assert_int_equal(e->cls, ERR_USAGE);
		error_clear(&e);
		json_decref(list);
	}
}

/* DHCPv6: the address that the machine would make itself; every message that is cut off somewhere is none, and read no further. */
static void dhcp6_answers(void **state)
{
	static const uint8_t request[] = { 3, 'a', 'b', 'c', 0, 1, 0, 10, 0, 3, 0, 1, 0x52, 0x54, 0, 0, 0, 1, 0, 2, 0, 10, 0, 3, 0, 1, 0x52, 0x55, 0, 0, 0, 0,
		0, 3, 0, 12, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 12, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 8, 0, 2, 0, 0 };
	static const uint8_t duids[] = { 0, 1, 0, 10, 0, 3, 0, 1, 0x52, 0x54, 0, 0, 0, 1, 0, 2, 0, 10, 0, 3, 0, 1, 0x52, 0x55, 0, 0, 0, 0 };
	struct fixture *f = fixture();
	struct port gw = { .zone = &f->zone, .ip6 = { 0xfd, [15] = 1 } };
	uint8_t out[512];
	size_t n;

	memcpy(f->zone.gateway_mac, (uint8_t[]){ 0x52, 0x55, 0, 0, 0, 0 }, 6);
	f->zone.gw = &gw;
	memcpy(f->sn.ip6, (uint8_t[]){ 0xfd, [15] = 9 }, 16);
	assert_int_equal(dhcp6_answer(&f->sn, request, sizeof(request), out, sizeof(out)), 0); /* the zone has no IPv6 */
	f->sn.has_ip6 = true;
	n = dhcp6_answer(&f->sn, request, sizeof(request), out, sizeof(out));
	assert_true(n > 32 + 44 + 22);
	assert_memory_equal(out, "\x07" "abc", 4);
	assert_memory_equal(out + 4, duids, sizeof(duids));
	assert_memory_equal(out + 32, "\0\3\0\x28\0\0\0\7", 8);
	assert_memory_equal(out + 32 + 16, "\0\5\0\x18", 4);
	assert_memory_equal(out + 32 + 20, f->sn.ip6, 16);
	/* A second one gets none: status 2. */
	assert_memory_equal(out + 76, "\0\3\0\x12\0\0\0\x08\0\0\0\0\0\0\0\0\0\x0d\0\2\0\2", 22);
	/* No answer is longer than its room. */
	for (size_t cap = 0; cap < n; cap++) {
		uint8_t *room = xmalloc(cap + 1);

		assert_int_equal(dhcp6_answer(&f->sn, request, sizeof(request), room, cap), 0);
		free(room);
	}
	for (size_t len = 0; len < sizeof(request); len++) {
		uint8_t *cut = xmalloc(len + 1);

		/* To the end of the memory. */
		memcpy(cut + 1, request, len);
		n = dhcp6_answer(&f->sn, cut + 1, len, out, sizeof(out));
		assert_true(n == 0 || len == 32 || len == 48 || len == 64 || len == 68);
		free(cut);
	}
	/* Another server's. */
	memcpy(out, request, 64);
	out[31] = 1;
	assert_int_equal(dhcp6_answer(&f->sn, out, 64, out + 100, 400), 0);
	fixture_end(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dhcp6_answers),
		cmocka_unit_test(discover_gets_the_fixed_address),
		cmocka_unit_test(requests_for_others_addresses_are_refused),
		cmocka_unit_test(cut_and_strange_dhcp_is_ignored),
		cmocka_unit_test(a_zone_may_say_more),
		cmocka_unit_test(names_of_the_group),
		cmocka_unit_test(names_that_the_file_adds),
		cmocka_unit_test(long_answers_are_cut_to_what_the_asker_takes),
		cmocka_unit_test(wrong_records_are_refused),
		cmocka_unit_test(cut_and_strange_dns_is_no_harm),
		cmocka_unit_test(checksums),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
