/* SPDX-License-Identifier: Apache-2.0 */
/* Displays, shares, devices of the host: what QEMU is told. */
#include "../test.h"
#include "qemu/args.h"

static void says(struct strv *argv, const char *want)
{
	_cleanup_free_ char *text = strv_join(argv, " ");

	strv_free(argv);
	assert_string_equal(text, want);
}

static void displays_are_never_open(void **state)
{
	struct qemu_display d = { .kind = "spice", .socket = "/s,1", .secret = "/p", .video = "none" };
	struct qemu_buses b = { 0 };
	struct strv argv = STRV_INIT;
	struct error *e = NULL;
#define AGENT " -chardev spicevmc,id=vdagent,name=vdagent -device virtserialport,bus=agents.0,chardev=vdagent,name=com.redhat.spice.0"

	assert_ok(qemu_add_display(&argv, &b, "x86_64", &d, &e), e);
	says(&argv, "-display none -spice unix=on,addr=/s,,1,disable-ticketing=on" AGENT);
	d.listen = "[::1]:5901";
	assert_ok(qemu_add_display(&argv, &b, "x86_64", &d, &e), e);
	says(&argv, "-display none -object secret,id=display-password,file=/p -spice addr=::1,port=5901,password-secret=display-password" AGENT);
	d.tls = "/t";
	assert_ok(qemu_add_display(&argv, &b, "x86_64", &d, &e), e);
	says(&argv, "-display none -object secret,id=display-password,file=/p -spice "
		    "addr=::1,tls-port=5901,x509-dir=/t,password-secret=display-password" AGENT);
	d.kind = "vnc";
	d.layout = "uk";
	assert_ok(qemu_add_display(&argv, &b, "x86_64", &d, &e), e);
	says(&argv, "-display none -object secret,id=display-password,file=/p -object "
		    "tls-creds-x509,id=display-tls,endpoint=server,verify-peer=off,dir=/t -vnc "
		    "[::1]:1,password-secret=display-password,tls-creds=display-tls -k en-gb");
	d = (struct qemu_display){ .kind = "vnc", .socket = "/v", .video = "std" };
	assert_ok(qemu_add_display(&argv, &b, "x86_64", &d, &e), e);
	says(&argv, "-display none -vnc unix:/v -device VGA -device qemu-xhci,id=usb -device usb-tablet,bus=usb.0");
	d = (struct qemu_display){ .kind = "gtk", .video = "virtio" };
	assert_ok(qemu_add_display(&argv, &b, "aarch64", &d, &e), e);
	says(&argv, "-display gtk -device virtio-gpu-pci -device usb-tablet,bus=usb.0 -device usb-kbd,bus=usb.0");
}

static void wrong_addresses_are_refused(void **state)
{
	static const char *const wrong[] = { "5900", "localhost", "::1:5900", ":5900", "a b:5900", "h:0", "h:70000", "h:x", "[::1]", "h,password=:1" };
	struct qemu_display d = { .kind = "vnc", .video = "none", .secret = "/p" };
	struct qemu_buses b = { 0 };
	struct error *e = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		_cleanup_strv_ struct strv argv = STRV_INIT;

		d.listen = wrong[i];
		assert_err(qemu_add_display(&argv, &b, "x86_64", &d, &e), e, ERR_USAGE, "display_listen");
	}
	d.listen = "localhost:5899";
	{
		_cleanup_strv_ struct strv argv = STRV_INIT;

		assert_err(qemu_add_display(&argv, &b, "x86_64", &d, &e), e, ERR_USAGE, "begin at 5900");
	}
}

static void devices_of_the_host(void **state)
{
	static const char *const usb[] = { "951:1666", "0951:166", "0951;1666", "xyzw:1666", "1", "1.", ".1", "1.2,x=y", "" };
	static const char *const pci[] = { "1:0.0", "01:00", "01:00.8", "0000:01:00.0x", "0000-01:00.0", "01:00.0,x" };
	struct qemu_buses b = { 0 };
	struct strv argv = STRV_INIT;
	struct error *e = NULL;

	assert_ok(qemu_add_usb_host(&argv, &b, "0951:16aE", &e), e);
	assert_ok(qemu_add_usb_host(&argv, &b, "1.2.3", &e), e);
	says(&argv, "-device qemu-xhci,id=usb -device usb-host,bus=usb.0,vendorid=0x0951,productid=0x16aE "
		    "-device usb-host,bus=usb.0,hostbus=1,hostport=2.3");
	assert_ok(qemu_add_pci_host(&argv, "01:00.0", &e), e);
	assert_ok(qemu_add_pci_host(&argv, "0001:0a:1f.7", &e), e);
	says(&argv, "-device vfio-pci,host=0000:01:00.0 -device vfio-pci,host=0001:0a:1f.7");
	for (size_t i = 0; i < ARRAY_SIZE(usb); i++)
		assert_err(qemu_add_usb_host(&argv, &b, usb[i], &e), e, ERR_USAGE, "is not VENDOR:PRODUCT");
	for (size_t i = 0; i < ARRAY_SIZE(pci); i++)
		assert_err(qemu_add_pci_host(&argv, pci[i], &e), e, ERR_USAGE, "is not a PCI address");
	assert_int_equal(argv.len, 0);
}

static void shares_memory_and_others(void **state)
{
	struct strv argv = STRV_INIT;

	qemu_add_9p(&argv, 0, "in", "/a,b", false);
	qemu_add_9p(&argv, 1, "out", "/o", true);
	says(&argv, "-fsdev local,id=share0,path=/a,,b,security_model=none,multidevs=remap,readonly=on "
		    "-device virtio-9p-pci,id=dev-share0,fsdev=share0,mount_tag=in "
		    "-fsdev local,id=share1,path=/o,security_model=none,multidevs=remap "
		    "-device virtio-9p-pci,id=dev-share1,fsdev=share1,mount_tag=out");
	assert_string_equal(qemu_add_memory(&argv, &(struct qemu_memory){ .size = 512 << 20 }), "");
	assert_string_equal(qemu_add_memory(&argv, &(struct qemu_memory){ .size = 512 << 20, .max = 1ull << 30 }), "");
	says(&argv, "-m 512M -m size=512M,slots=16,maxmem=1024M");
	assert_string_equal(qemu_add_memory(&argv, &(struct qemu_memory){ .size = 512 << 20, .hugepages = 2 << 20 }), ",memory-backend=ram");
	says(&argv, "-m 512M -object memory-backend-memfd,id=ram,size=512M,share=on,hugetlb=on,hugetlbsize=2M");
	qemu_add_tpm(&argv, "x86_64", "/t");
	qemu_add_watchdog(&argv, "none");
	qemu_add_sound(&argv, "none");
	qemu_add_watchdog(&argv, "reset");
	says(&argv, "-chardev socket,id=tpm,path=/t -tpmdev emulator,id=tpm0,chardev=tpm -device tpm-crb,tpmdev=tpm0 "
		    "-device i6300esb,id=watchdog -action watchdog=reset");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(displays_are_never_open),
		cmocka_unit_test(wrong_addresses_are_refused),
		cmocka_unit_test(devices_of_the_host),
		cmocka_unit_test(shares_memory_and_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
