/* SPDX-License-Identifier: Apache-2.0 */
#include "../test.h"
#include "qemu/args.h"
#include <jansson.h>

static const char *after(const struct strv *l, const char *option, int nth)
{
	for (size_t i = 0; i + 1 < l->len; i++)
		if (!strcmp(l->v[i], option) && nth-- == 0)
			return l->v[i + 1];
	fail_msg("no %s", option);
	return "";
}

static void paths_stay_values_whatever_is_in_them(void **s)
{
	static const char path[] = "/a, b/\"q\"/\xc3\xbc,id=x\\n.qcow2";
	struct qemu_disk d = { .path = path, .format = "qcow2", .bus = "virtio", .cache = "none", .serial = "a,bootindex=9",
		.boot = 3, .discard = true };
	_cleanup_strv_ struct strv argv = STRV_INIT;
	struct qemu_buses b = { .q35 = true };
	struct error *e = NULL;
	json_t *o;

	assert_ok(qemu_add_disk(&argv, &b, 2, &d, &e), e);
	o = json_loads(after(&argv, "-blockdev", 0), 0, NULL);
	assert_string_equal(json_string_value(json_object_get(json_object_get(o, "file"), "filename")), path);
	assert_string_equal(json_string_value(json_object_get(o, "node-name")), "disk2");
	assert_true(json_is_true(json_object_get(json_object_get(o, "cache"), "direct")));
	json_decref(o);
	assert_string_equal(after(&argv, "-device", 0),
		"virtio-blk-pci,drive=disk2,id=dev-disk2,serial=a,,bootindex=9,bootindex=3");
	d.path = "/not-utf8-\xff";
	assert_err(qemu_add_disk(&argv, &b, 3, &d, &e), e, ERR_USAGE, "UTF-8");
}

static void each_bus_has_its_place(void **s)
{
	static const struct {
		const char *bus;
		bool q35, cdrom;
		const char *device;
	} rows[] = {
		{ "scsi", true, false, "scsi-hd,bus=scsi.0,scsi-id=0," },
		{ "sata", true, false, "ide-hd,bus=ide.0," },
		{ "sata", false, false, "ide-hd,bus=sata.0," },
		{ "ide", false, false, "ide-hd,bus=ide.0,unit=0," },
		{ "ide", true, false, "ide-hd,bus=ide.0," },
		{ "nvme", true, false, "nvme,drive=disk0,id=dev-disk0,serial=disk0" },
		{ "usb", true, false, "usb-storage,bus=usb.0," },
		{ "virtio", true, true, "ide-cd,bus=ide.0," },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct qemu_disk d = { .path = "/d", .format = "raw", .bus = rows[i].bus, .boot = -1, .media = rows[i].cdrom ? QEMU_CDROM : QEMU_DISK };
		_cleanup_strv_ struct strv argv = STRV_INIT;
		struct qemu_buses b = { .q35 = rows[i].q35 };
		struct error *e = NULL;
		const char *last;

		assert_ok(qemu_add_disk(&argv, &b, 0, &d, &e), e);
		last = argv.v[argv.len - 1];
		if (strncmp(last, rows[i].device, strlen(rows[i].device)))
			fail_msg("%s: %s", rows[i].bus, last);
	}
}

static void full_buses_are_errors(void **s)
{
	struct qemu_disk d = { .path = "/d", .format = "raw", .bus = "ide", .boot = -1 };
	_cleanup_strv_ struct strv argv = STRV_INIT;
	struct qemu_buses b = { 0 };
	struct error *e = NULL;

	for (unsigned i = 0; i < 4; i++)
		assert_ok(qemu_add_disk(&argv, &b, i, &d, &e), e);
	assert_err(qemu_add_disk(&argv, &b, 4, &d, &e), e, ERR_USAGE, "disk 4: more than 4");
	d.cache = "fast";
	assert_err(qemu_add_disk(&argv, &b, 5, &d, &e), e, ERR_USAGE, "'fast'");
}

static void nics_by_kind(void **s)
{
	_cleanup_strv_ struct strv argv = STRV_INIT, forwards = STRV_INIT;
	struct qemu_nic n = { .model = "virtio", .mac = "52:54:00:00:00:01", .kind = QEMU_NIC_STREAM, .fd = 21 };
	struct error *e = NULL;

	assert_ok(qemu_add_nic(&argv, 1, &n, &e), e);
	assert_string_equal(after(&argv, "-netdev", 0), "stream,id=net1,server=on,addr.type=fd,addr.str=21");
	assert_string_equal(after(&argv, "-device", 0), "virtio-net-pci,id=nic1,mac=52:54:00:00:00:01,netdev=net1,romfile=");
	strv_add(&forwards, "tcp:127.0.0.1:80-:80,smb=/");
	n.kind = QEMU_NIC_USER;
	n.forwards = &forwards;
	assert_ok(qemu_add_nic(&argv, 2, &n, &e), e);
	assert_string_equal(after(&argv, "-netdev", 1), "user,id=net2,hostfwd=tcp:127.0.0.1:80-:80,,smb=/");
	n.model = "ne2k";
	assert_err(qemu_add_nic(&argv, 3, &n, &e), e, ERR_USAGE, "'ne2k'");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths_stay_values_whatever_is_in_them),
		cmocka_unit_test(each_bus_has_its_place),
		cmocka_unit_test(full_buses_are_errors),
		cmocka_unit_test(nics_by_kind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
