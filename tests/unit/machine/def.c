/* SPDX-License-Identifier: Apache-2.0 */
#include "../test.h"
#include "machine/machine.h"

static int read_text(struct machine_def *d, const char *text, struct error **err)
{
	_cleanup_doc_ struct doc *doc = doc_parse("m.yaml", text, strlen(text), err);

	return doc ? machine_def_read(d, doc_root(doc), err) : -1;
}

static void what_is_written_reads_the_same(void **s)
{
	static const char text[] =
		"image: tiny\ntype: pc\nfirmware: uefi\ncpu: 'max,-vmx'\nsockets: 2\ncores: 3\nthreads: 1\nmemory: 1.5G\n"
		"kernel_args: 'a=\"b, c\" \xc3\xbc'\nqemu_args: ['-device', 'x,y=\"z\"']\n"
		"disks:\n- {image: a, size: 10G, bus: scsi, cache: none, discard: false, serial: 's,1', boot: 2, snapshot: true}\n"
		"- {size: 1M}\n"
		"nics:\n- {model: e1000, mac: '52:54:00:aa:bb:cc', net: group, address: 10.1.2.3/24, gateway: 10.1.2.1, dns: 10.1.2.1}\n"
		"- {forwards: ['tcp:127.0.0.1:8080-:80']}\n";
	_cleanup_(machine_def_clear) struct machine_def a, b;
	_cleanup_buf_ struct buf first = BUF_INIT, second = BUF_INIT;
	struct error *e = NULL;

	machine_def_init(&a);
	machine_def_init(&b);
	assert_ok(read_text(&a, text, &e), e);
	machine_def_to_json(&a, &first);
	assert_ok(read_text(&b, first.data, &e), e);
	machine_def_to_json(&b, &second);
	assert_string_equal(first.data, second.data);
	assert_int_equal(b.memory, 1536ull << 20);
	assert_int_equal(b.ndisks, 2);
	assert_int_equal(b.disks[0].boot, 2);
	assert_true(b.disks[0].snapshot);
	assert_false(b.disks[0].discard);
	assert_true(b.disks[1].discard);
	assert_string_equal(b.disks[0].serial, "s,1");
	assert_string_equal(b.qemu_args.v[1], "x,y=\"z\"");
	assert_string_equal(b.nics[0].dns, "10.1.2.1");
	assert_string_equal(b.nics[1].forwards.v[0], "tcp:127.0.0.1:8080-:80");
}

static void mistakes_have_a_position(void **s)
{
	static const struct {
		const char *text, *says;
	} rows[] = {
		{ "memroy: 1G\n", "m.yaml:1:1: " },
		{ "image: a\ndisks:\n- {size: 1G, bus: scuzi}\n", "m.yaml:3:19: bus 'scuzi' is not known" },
		{ "nics:\n- {mac: '52:54:00'}\n", "m.yaml:2:" },
		{ "cores: 0\n", "m.yaml:1:8: " },
		{ "cores: many\n", "m.yaml:1:8: " },
		{ "memory: -1\n", "m.yaml:1:9: " },
		{ "disks: 10G\n", "m.yaml:1:8: " },
		{ "disks: [10G]\n", "a disk is a map" },
		{ "firmware: efi\n", "known are bios, uefi" },
		{ "- a\n", "a machine is a map" },
		{ "qemu_args: [[a]]\n", "qemu_args" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_(machine_def_clear) struct machine_def d;
		struct error *e = NULL;

		machine_def_init(&d);
		assert_err(read_text(&d, rows[i].text, &e), e, ERR_USAGE, rows[i].says);
	}
}

static int check_text(const char *text, struct error **err)
{
	_cleanup_doc_ struct doc *doc = doc_parse("m.yaml", text, strlen(text), err);
	_cleanup_(machine_def_clear) struct machine_def d;

	machine_def_init(&d);
	return doc && machine_def_read(&d, doc_root(doc), err) == 0 ? machine_def_check(&d, doc_root(doc), err) : -1;
}

static void what_no_start_would_take_has_a_position(void **s)
{
	static const struct {
		const char *text, *says;
	} rows[] = {
		{ "display: sdl\n", "m.yaml:1:10: display 'sdl' is not known; known are none, spice, vnc" },
		{ "memory: 1G\ndisplay_listen: here\n", "m.yaml:2:17: display_listen 'here' is not ADDRESS:PORT" },
		{ "usb: ['0951:1666', keyboard]\n", "m.yaml:1:20: usb 'keyboard' is not VENDOR:PRODUCT" },
		{ "pci:\n- 01:00.0\n- gpu\n", "m.yaml:3:3: pci 'gpu' is not a PCI address" },
	};
	struct error *e = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_err(check_text(rows[i].text, &e), e, ERR_USAGE, rows[i].says);
	assert_ok(check_text("display: vnc\nusb: ['1.2']\npci: ['0000:01:00.0']\ntype: q35\n", &e), e);
	/* An architecture whose QEMU nobody has: its types are not known, which is no reason to refuse one. */
	assert_ok(check_text("arch: vax\ntype: '780'\n", &e), e);
}

static void macs_are_functions_of_names(void **s)
{
	char a[18], b[18];

	machine_mac("g/sn", 0, a);
	machine_mac("g/sn", 0, b);
	assert_string_equal(a, b);
	assert_memory_equal(a, "52:54:00:", 9);
	machine_mac("g/sn", 1, b);
	assert_string_not_equal(a, b);
	machine_mac("sn", 0, b);
	assert_string_not_equal(a, b);
}

static void hosts_have_parts(void **s)
{
	static const struct {
		const char *text, *user, *host;
		unsigned port;
	} good[] = { { "a", NULL, "a", 0 }, { "me@a.example:2222", "me", "a.example", 2222 }, { "fe80::1", NULL, "fe80::1", 0 },
		{ "me@[fe80::1]:22", "me", "fe80::1", 22 }, { "[::1]", NULL, "::1", 0 }, { "d@o@a", "d@o", "a", 0 } };
	static const char *const bad[] = { "", "@a", "me@", "me@:22", "a:0", "a:65536", "a:b", "[::1", "[::1]x", "-oX", "me@-x", "a b", "a'b" };

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		_cleanup_free_ char *user = NULL, *host = NULL;
		_cleanup_error_ struct error *e = NULL;
		unsigned port = 9;

		assert_int_equal(machine_host_parse(good[i].text, &user, &host, &port, &e), 0);
		assert_string_equal(host, good[i].host);
		assert_int_equal(port, good[i].port);
		assert_true(good[i].user ? user && !strcmp(user, good[i].user) : !user);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		_cleanup_free_ char *user = NULL, *host = NULL;
		_cleanup_error_ struct error *e = NULL;
		unsigned port;

		assert_int_equal(machine_host_parse(bad[i], &user, &host, &port, &e), -1);
		assert_int_equal(e->cls, ERR_USAGE);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_reads_the_same),
		cmocka_unit_test(mistakes_have_a_position),
		cmocka_unit_test(hosts_have_parts),
		cmocka_unit_test(what_no_start_would_take_has_a_position),
		cmocka_unit_test(macs_are_functions_of_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
