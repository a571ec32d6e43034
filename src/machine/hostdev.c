/* SPDX-License-Identifier: Apache-2.0 */
/* What a definition takes from the host's hardware: is it there, is it free, may we use it? Asked before QEMU would say less. */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "hostdev.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The first line of a file of sysfs, or NULL. */
static char *sys_line(const char *dir, const char *name)
{
	_cleanup_free_ char *path = path_join(dir, name);
	_cleanup_error_ struct error *e = NULL;
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (file_read(path, 4096, &b, &e) < 0)
		return NULL;
	return xstrndup(b.data, strcspn(b.data, "\n"));
}

/* Last part of what a link of sysfs points to, or NULL. */
static char *sys_link(const char *dir, const char *name)
{
	_cleanup_free_ char *path = path_join(dir, name);
	char to[4096];
	ssize_t n = readlink(path, to, sizeof(to) - 1);

	if (n <= 0)
		return NULL;
	to[n] = '\0';
	return xstrdup(path_basename(to));
}

int hostdev_check_hugepages(uint64_t page, uint64_t memory, struct error **err)
{
	_cleanup_free_ char *dir = xasprintf("/sys/kernel/mm/hugepages/hugepages-%" PRIu64 "kB", page >> 10);
	_cleanup_free_ char *text = sys_line(dir, "free_hugepages");
	uint64_t have = text ? strtoull(text, NULL, 10) : 0, want = memory / page;

	if (!text)
		return error_set(err, ERR_NOT_FOUND, "this host has no huge pages of %" PRIu64 "M", page >> 20);
	if (have >= want)
		return 0;
	error_set(err, ERR_STATE, "%" PRIu64 " huge pages of %" PRIu64 "M are needed, %" PRIu64 " are free", want, page >> 20, have);
	return error_hint(err, "as root: echo %" PRIu64 " > %s/nr_hugepages", want - have, dir);
}

/* /sys/bus/usb/devices/NAME of "1234:abcd" or "1.2", or NULL. */
static char *find_usb(const char *device)
{
	static const char top[] = "/sys/bus/usb/devices";
	_cleanup_closedir_ DIR *d = opendir(top);
	const char *dot = strchr(device, '.');
	_cleanup_free_ char *name = dot ? xasprintf("%.*s-%s", (int)(dot - device), device, dot + 1) : NULL;

	for (struct dirent *e; d && (e = readdir(d));) {
		_cleanup_free_ char *dir = path_join(top, e->d_name), *vendor = sys_line(dir, "idVendor"), *product = sys_line(dir, "idProduct");
		_cleanup_free_ char *id = vendor && product ? xasprintf("%s:%s", vendor, product) : NULL;

		if (name ? !strcmp(e->d_name, name) : id && !strcasecmp(id, device))
			return STEAL(dir);
	}
	return NULL;
}

int hostdev_check_usb(const char *device, struct error **err)
{
	_cleanup_free_ char *dir = find_usb(device), *bus = dir ? sys_line(dir, "busnum") : NULL, *number = dir ? sys_line(dir, "devnum") : NULL;
	_cleanup_free_ char *node = bus && number ? xasprintf("/dev/bus/usb/%03d/%03d", atoi(bus), atoi(number)) : NULL;

	if (!dir) {
		error_set(err, ERR_NOT_FOUND, "usb %s: no such device is plugged into this host", device);
		return error_hint(err, "`lsusb` lists what is");
	}
	if (node && access(node, R_OK | W_OK) == 0)
		return 0;
	error_errno(err, errno, "usb %s: %s cannot be opened", device, node ? node : dir);
	return error_hint(err, "give yourself access to it, e.g. by a udev rule or `setfacl -m u:$USER:rw %s` as root", node ? node : dir);
}

int hostdev_check_pci(const char *device, struct error **err)
{
	_cleanup_free_ char *full = xasprintf("%s%s", strlen(device) == 7 ? "0000:" : "", device), *dir = path_join("/sys/bus/pci/devices", full);
	_cleanup_free_ char *driver = sys_link(dir, "driver"), *group = sys_link(dir, "iommu_group");
	_cleanup_free_ char *node = group ? path_join("/dev/vfio", group) : NULL;

	if (!file_exists(dir)) {
		error_set(err, ERR_NOT_FOUND, "pci %s: this host has no such device", device);
		return error_hint(err, "`lspci -D` lists what it has");
	}
	if (!group) {
		error_set(err, ERR_STATE, "pci %s: it is in no IOMMU group", device);
		return error_hint(err, "switch on the IOMMU in the firmware and start this host with intel_iommu=on or amd_iommu=on");
	}
	if (!driver || strcmp(driver, "vfio-pci")) {
		error_set(err, ERR_STATE, "pci %s: it is used by %s%s", device, driver ? "the driver " : "no driver", driver ? driver : "");
		return error_hint(err, "bind it to vfio-pci as root: driverctl set-override %s vfio-pci", full);
	}
	if (access(node, R_OK | W_OK) == 0)
		return 0;
	error_errno(err, errno, "pci %s: %s cannot be opened", device, node);
	return error_hint(err, "give yourself access to it, as root: chown $USER %s", node);
}
