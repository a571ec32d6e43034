/* SPDX-License-Identifier: Apache-2.0 */
/* Facts of a computer become a machine file that reads back; those of this one do, too. */
#include "../test.h"
#include "conf/doc.h"
#include "machine/learn.h"
#include "machine/machine.h"

static const char server[] = "croft-learn\t1\narch\tx86_64\nname\tr1\ndmi.sys_vendor\tHetzner, \"AG\"\ndmi.product_name\tAX41\nefi\t1\nsecureboot\t1\n"
			     "tpm\t1\nmemory\t65786424\ncpu.count\t12\ncpu.sockets\t1\ncpu.vendor_id\tAuthenticAMD\ncpu.cpu family\t23\ncpu.model\t113\n"
			     "cpu.model name\tAMD Ryzen 5 3600\ncpu.cpu cores\t6\ncpu.siblings\t12\ncpu.flags\tfpu vme sse2\n"
			     "disk\tnvme0n1 1000215216 /sys/devices/pci0000:00/nvme/nvme0/nvme0n1 S4EMNX0\n"
			     "disk\tsda 7814037168 /sys/devices/pci0000:00/0000:00:17.0/ata1/host0/sda\n"
			     "disk\tsdb 0 /sys/x\n"
			     "nic\taa:bb:cc:dd:ee:ff igb\nnic\taa:bb:cc:dd:ee:00 virtio_net\n";
static const char cloud[] = "croft-learn\t1\narch\tx86_64\nname\tc\nmemory\t1982000\ncpu.count\t2\ncpu.sockets\t2\ncpu.vendor_id\tGenuineIntel\n"
			    "cpu.cpu family\t6\ncpu.model\t85\ncpu.cpu cores\t1\ncpu.siblings\t1\ncpu.flags\tfpu hypervisor\n"
			    "disk\tvda 83886080 /sys/devices/pci0000:00/virtio1/vda\npci\t0000:00:00.0 0x060000 0x8086 0x1237\n";

static void describe(const char *facts, struct machine_def *d)
{
	_cleanup_buf_ struct buf yaml = BUF_INIT;
	_cleanup_doc_ struct doc *doc = NULL;
	struct error *e = NULL;

	machine_def_init(d);
	assert_ok(learn_describe(facts, &yaml, &e), e);
	doc = doc_parse("learned", yaml.data, yaml.len, &e);
	if (!doc || machine_def_read(d, doc_root(doc), &e) < 0)
		fail_msg("%s\n%s", e->msg, yaml.data);
}

static void a_rented_server(void **state)
{
	_cleanup_(machine_def_clear) struct machine_def d;

	describe(server, &d);
	assert_string_equal(d.type, "q35");
	assert_string_equal(d.firmware, "uefi-secure");
	assert_string_equal(d.cpu, "EPYC-Rome");
	assert_true(d.hide_hypervisor && d.tpm);
	assert_int_equal(d.sockets * 100 + d.cores * 10 + d.threads, 162);
	assert_int_equal(d.memory, 64ull << 30);
	assert_string_equal(d.smbios.v[0], "type=1,manufacturer=Hetzner,, \"AG\",product=AX41");
	assert_int_equal(d.ndisks, 2);
	assert_string_equal(d.disks[0].bus, "nvme");
	assert_string_equal(d.disks[0].serial, "S4EMNX0");
	assert_int_equal(d.disks[0].size, 1000215216ull * 512);
	assert_string_equal(d.disks[1].bus, "sata");
	assert_int_equal(d.nnics, 2);
	assert_string_equal(d.nics[0].model, "e1000e");
	assert_string_equal(d.nics[0].mac, "aa:bb:cc:dd:ee:ff");
	assert_string_equal(d.nics[1].model, "virtio");
}

static void a_cloud_machine(void **state)
{
	_cleanup_(machine_def_clear) struct machine_def d;

	describe(cloud, &d);
	assert_string_equal(d.type, "pc");
	assert_string_equal(d.firmware, "bios");
	assert_string_equal(d.cpu, "Skylake-Server");
	assert_false(d.hide_hypervisor);
	assert_int_equal(d.sockets, 2);
	assert_int_equal(d.memory, 2048ull << 20);
	assert_string_equal(d.disks[0].bus, "virtio");
}

static void this_computer(void **state)
{
	_cleanup_(machine_def_clear) struct machine_def d;
	_cleanup_buf_ struct buf facts = BUF_INIT;
	struct error *e = NULL;

	assert_ok(learn_run(NULL, &facts, &e), e);
	describe(facts.data, &d);
	assert_true(d.memory >= 64 << 20);
	assert_int_equal(d.sockets * d.cores * d.threads, sysconf(_SC_NPROCESSORS_ONLN));
}

static void other_answers_are_refused(void **state)
{
	_cleanup_buf_ struct buf yaml = BUF_INIT;
	struct error *e = NULL;

	assert_err(learn_describe("Welcome to x!\ncroft-learn\t1\n", &yaml, &e), e, ERR_FAILED, "it said 'Welcome to x!'");
	assert_err(learn_describe("", &yaml, &e), e, ERR_FAILED, "has not run the script");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_rented_server),
		cmocka_unit_test(a_cloud_machine),
		cmocka_unit_test(this_computer),
		cmocka_unit_test(other_answers_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
