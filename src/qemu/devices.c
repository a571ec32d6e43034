/* SPDX-License-Identifier: Apache-2.0 */
#include "qemu/args.h"

#include "base/cleanup.h"
#include "base/mem.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MEMORY_SLOTS 16

static void add2(struct strv *argv, const char *option, const char *value)
{
	strv_add(argv, option);
	strv_add(argv, value);
}

void qemu_add_9p(struct strv *argv, unsigned index, const char *tag, const char *path, bool rw)
{
	_cleanup_free_ char *p = qemu_quote(path), *t = qemu_quote(tag);

	strv_add(argv, "-fsdev");
	strv_addf(argv, "local,id=share%u,path=%s,security_model=none,multidevs=remap%s", index, p, rw ? "" : ",readonly=on");
	strv_add(argv, "-device");
	strv_addf(argv, "virtio-9p-pci,id=dev-share%u,fsdev=share%u,mount_tag=%s", index, index, t);
}

void qemu_add_virtiofs(struct strv *argv, unsigned index, const char *tag, const char *socket)
{
	_cleanup_free_ char *s = qemu_quote(socket), *t = qemu_quote(tag);

	strv_add(argv, "-chardev");
	strv_addf(argv, "socket,id=share%u,path=%s", index, s);
	strv_add(argv, "-device");
	strv_addf(argv, "vhost-user-fs-pci,id=dev-share%u,chardev=share%u,tag=%s", index, index, t);
}

void qemu_add_tpm(struct strv *argv, const char *arch, const char *socket)
{
	_cleanup_free_ char *s = qemu_quote(socket);

	strv_add(argv, "-chardev");
	strv_addf(argv, "socket,id=tpm,path=%s", s);
	add2(argv, "-tpmdev", "emulator,id=tpm0,chardev=tpm");
	add2(argv, "-device",
		!strcmp(arch, "x86_64") || !strcmp(arch, "i386") ? "tpm-crb,tpmdev=tpm0" : "tpm-tis-device,tpmdev=tpm0");
}

void qemu_add_sound(struct strv *argv, const char *sound)
{
	if (!strcmp(sound, "none"))
		return;
	/* Spice takes the sound when it is there; otherwise it goes nowhere, and the guest has its card. */
	add2(argv, "-audiodev", "none,id=sound");
	if (!strcmp(sound, "ac97")) {
		add2(argv, "-device", "AC97,audiodev=sound");
	} else {
		add2(argv, "-device", "intel-hda");
		add2(argv, "-device", "hda-duplex,audiodev=sound");
	}
}

void qemu_add_watchdog(struct strv *argv, const char *action)
{
	if (!strcmp(action, "none"))
		return;
	add2(argv, "-device", "i6300esb,id=watchdog");
	strv_add(argv, "-action");
	strv_addf(argv, "watchdog=%s", action);
}

static bool hex(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!isxdigit((unsigned char)s[i]))
			return false;
	return true;
}

static bool is_usb_id(const char *device)
{
	return strlen(device) == 9 && device[4] == ':' && hex(device, 4) && hex(device + 5, 4);
}

int qemu_check_usb(const char *device, struct error **err)
{
	const char *dot = strchr(device, '.');
	size_t digits = strspn(device, "0123456789");

	if (is_usb_id(device) || (digits && digits < 4 && dot == device + digits && dot[1] && strspn(dot + 1, "0123456789.") == strlen(dot + 1)))
		return 0;
	return error_set(err, ERR_USAGE, "usb '%s' is not VENDOR:PRODUCT (as lsusb prints them, 0951:1666) or BUS.PORT (1.2)", device);
}

int qemu_add_usb_host(struct strv *argv, struct qemu_buses *b, const char *device, struct error **err)
{
	size_t digits = strspn(device, "0123456789");

	if (qemu_check_usb(device, err) < 0)
		return -1;
	qemu_need_usb(argv, b);
	strv_add(argv, "-device");
	if (is_usb_id(device))
		strv_addf(argv, "usb-host,bus=usb.0,vendorid=0x%.4s,productid=0x%s", device, device + 5);
	else
		strv_addf(argv, "usb-host,bus=usb.0,hostbus=%.*s,hostport=%s", (int)digits, device, device + digits + 1);
	return 0;
}

int qemu_check_pci(const char *device, struct error **err)
{
	const char *s = strlen(device) == 12 && hex(device, 4) && device[4] == ':' ? device + 5 : device;

	if (strlen(s) != 7 || !hex(s, 2) || s[2] != ':' || !hex(s + 3, 2) || s[5] != '.' || s[6] < '0' || s[6] > '7')
		return error_set(err, ERR_USAGE, "pci '%s' is not a PCI address (as lspci -D prints them, 0000:01:00.0)", device);
	return 0;
}

int qemu_add_pci_host(struct strv *argv, const char *device, struct error **err)
{
	if (qemu_check_pci(device, err) < 0)
		return -1;
	strv_add(argv, "-device");
	strv_addf(argv, "vfio-pci,host=%s%s", strlen(device) == 7 ? "0000:" : "", device);
	return 0;
}

const char *qemu_add_memory(struct strv *argv, const struct qemu_memory *m)
{
	strv_add(argv, "-m");
	if (m->max > m->size)
		strv_addf(argv, "size=%" PRIu64 "M,slots=%d,maxmem=%" PRIu64 "M", m->size >> 20, MEMORY_SLOTS, m->max >> 20);
	else
		strv_addf(argv, "%" PRIu64 "M", m->size >> 20);
	if (!m->hugepages && !m->shared)
		return "";
	strv_add(argv, "-object");
	if (m->hugepages)
		strv_addf(argv, "memory-backend-memfd,id=ram,size=%" PRIu64 "M,share=on,hugetlb=on,hugetlbsize=%" PRIu64 "M", m->size >> 20,
			m->hugepages >> 20);
	else
		strv_addf(argv, "memory-backend-memfd,id=ram,size=%" PRIu64 "M,share=on", m->size >> 20);
	return ",memory-backend=ram";
}
