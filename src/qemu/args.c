/* SPDX-License-Identifier: Apache-2.0 */
#include "qemu/args.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/mem.h"

#include <jansson.h>
#include <string.h>

/* QEMU's cache words as -blockdev and the devices have them (qemu-img(1), "Notes", cache modes). */
static const struct {
	const char *name;
	bool direct, no_flush, write_through;
} caches[] = {
	{ "writeback", false, false, false },
	{ "none", true, false, false },
	{ "writethrough", false, false, true },
	{ "directsync", true, false, true },
	{ "unsafe", false, true, false },
};
const char *const qemu_caches_known[] = { "writeback", "none", "writethrough", "directsync", "unsafe", NULL };
const char *const qemu_buses_known[] = { "virtio", "scsi", "sata", "ide", "nvme", "usb", NULL };

static const struct {
	const char *name, *device;
} nics[] = {
	{ "virtio", "virtio-net-pci" },
	{ "e1000", "e1000" },
	{ "e1000e", "e1000e" },
	{ "rtl8139", "rtl8139" },
};
const char *const qemu_nics_known[] = { "virtio", "e1000", "e1000e", "rtl8139", NULL };

char *qemu_quote(const char *value)
{
	struct buf b = BUF_INIT;

	buf_adds(&b, "");
	for (; *value; value++) {
		buf_addc(&b, *value);
		if (*value == ',')
			buf_addc(&b, ',');
	}
	return buf_steal(&b);
}

static int add_node(struct strv *argv, unsigned index, const struct qemu_disk *d, size_t cache, struct error **err)
{
	const char *discard = d->discard ? "unmap" : "ignore";
	bool readonly = d->media == QEMU_CDROM || d->readonly;
	char node[24];
	json_t *o;
	char *text;

	snprintf(node, sizeof(node), "disk%u", index);
	o = json_pack("{s:s, s:s, s:b, s:s, s:{s:b, s:b}, s:{s:s, s:s, s:s, s:b, s:{s:b, s:b}}}", "node-name", node, "driver",
		d->format, "read-only", (int)readonly, "discard", discard, "cache", "direct", (int)caches[cache].direct,
		"no-flush", (int)caches[cache].no_flush, "file", "driver", "file", "filename", d->path, "discard", discard,
		"read-only", (int)readonly, "cache", "direct", (int)caches[cache].direct, "no-flush", (int)caches[cache].no_flush);
	text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	json_decref(o);
	if (!text)
		return error_set(err, ERR_USAGE, "disk %u: %s: a path that is not UTF-8 cannot be given to QEMU", index, d->path);
	strv_add(argv, "-blockdev");
	strv_add(argv, text);
	free(text);
	return 0;
}

static void add_device(struct strv *argv, const char *device)
{
	strv_add(argv, "-device");
	strv_add(argv, device);
}

void qemu_need_usb(struct strv *argv, struct qemu_buses *b)
{
	if (b->usb++ == 0)
		add_device(argv, "qemu-xhci,id=usb");
}

/* The two drives of the one floppy controller, which q35 has none of. */
static int place_floppy(struct strv *argv, struct qemu_buses *b, int boot, struct buf *dev, struct error **err)
{
	if (b->floppy == 2)
		return error_set(err, ERR_USAGE, "more than 2 floppies");
	if (b->floppy == 0 && b->q35)
		add_device(argv, "isa-fdc");
	/* The controller knows the boot order, not the drive. */
	if (boot >= 0) {
		strv_add(argv, "-global");
		strv_addf(argv, "isa-fdc.bootindex%c=%d", b->floppy ? 'B' : 'A', boot);
	}
	buf_addf(dev, "floppy,unit=%u", b->floppy++);
	return 0;
}

/* Device name and place for the disk's bus, controllers made when they are first needed. */
static int place(struct strv *argv, struct qemu_buses *b, const struct qemu_disk *d, struct buf *dev, struct error **err)
{
	bool cdrom = d->media == QEMU_CDROM;
	const char *bus = cdrom && (!strcmp(d->bus, "virtio") || !strcmp(d->bus, "nvme")) ? "sata" : d->bus;
	const char *kind = cdrom ? "cd" : "hd";

	if (d->media == QEMU_FLOPPY)
		return place_floppy(argv, b, d->boot, dev, err);
	if (!strcmp(bus, "virtio")) {
		buf_adds(dev, "virtio-blk-pci");
	} else if (!strcmp(bus, "nvme")) {
		buf_adds(dev, "nvme");
	} else if (!strcmp(bus, "scsi")) {
		if (b->scsi == 0)
			add_device(argv, "virtio-scsi-pci,id=scsi");
		buf_addf(dev, "scsi-%s,bus=scsi.0,scsi-id=%u", kind, b->scsi++);
	} else if (!strcmp(bus, "usb")) {
		qemu_need_usb(argv, b);
		/* usb-storage shows a disk whatever it is given; a CD drive stands behind a bridge */
		if (cdrom) {
			strv_add(argv, "-device");
			strv_addf(argv, "usb-bot,id=bridge%u,bus=usb.0", b->usb);
			buf_addf(dev, "scsi-cd,bus=bridge%u.0", b->usb);
		} else {
			buf_adds(dev, "usb-storage,bus=usb.0");
		}
	} else if (!strcmp(bus, "ide") && !b->q35) {
		if (b->ide == 4)
			return error_set(err, ERR_USAGE, "more than 4 disks on the ide bus");
		buf_addf(dev, "ide-%s,bus=ide.%u,unit=%u", kind, b->ide / 2, b->ide % 2);
		b->ide++;
	} else {
		if (b->sata == 6)
			return error_set(err, ERR_USAGE, "more than 6 disks on the sata bus");
		if (b->sata == 0 && !b->q35)
			add_device(argv, "ich9-ahci,id=sata");
		buf_addf(dev, "ide-%s,bus=%s.%u", kind, b->q35 ? "ide" : "sata", b->sata);
		b->sata++;
	}
	return 0;
}

int qemu_add_disk(struct strv *argv, struct qemu_buses *b, unsigned index, const struct qemu_disk *d, struct error **err)
{
	_cleanup_buf_ struct buf dev = BUF_INIT;
	size_t c = 0;

	while (d->cache && c < ARRAY_SIZE(caches) && strcmp(d->cache, caches[c].name))
		c++;
	if (c == ARRAY_SIZE(caches))
		return error_set(err, ERR_USAGE, "disk %u: cache '%s' is not known", index, d->cache);
	if (d->path && add_node(argv, index, d, c, err) < 0)
		return -1;
	if (place(argv, b, d, &dev, err) < 0)
		return error_wrap(err, "disk %u", index);
	if (d->path)
		buf_addf(&dev, ",drive=disk%u", index);
	buf_addf(&dev, ",id=dev-disk%u", index);
	if (caches[c].write_through && d->media == QEMU_DISK)
		buf_adds(&dev, ",write-cache=off");
	if ((d->serial && d->media != QEMU_FLOPPY) || (!strcmp(d->bus, "nvme") && d->media == QEMU_DISK)) {
		_cleanup_free_ char *made = xasprintf("disk%u", index), *q = qemu_quote(d->serial ? d->serial : made);

		buf_addf(&dev, ",serial=%s", q);
	}
	if (d->boot >= 0 && d->media != QEMU_FLOPPY)
		buf_addf(&dev, ",bootindex=%d", d->boot);
	add_device(argv, dev.data);
	return 0;
}

static void add_rules(struct buf *b, const char *key, const struct strv *rules)
{
	for (size_t i = 0; rules && i < rules->len; i++) {
		_cleanup_free_ char *q = qemu_quote(rules->v[i]);

		buf_addf(b, ",%s=%s", key, q);
	}
}

static void add_netdev(struct strv *argv, unsigned index, const struct qemu_nic *n)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (n->kind == QEMU_NIC_STREAM) {
		buf_addf(&b, "stream,id=net%u,server=on,addr.type=fd,addr.str=%d", index, n->fd);
	} else if (n->kind == QEMU_NIC_TAP) {
		_cleanup_free_ char *tap = qemu_quote(n->tap);

		buf_addf(&b, "tap,id=net%u,ifname=%s,script=no,downscript=no", index, tap);
	} else {
		buf_addf(&b, "user,id=net%u", index);
		add_rules(&b, "hostfwd", n->forwards);
		add_rules(&b, "guestfwd", n->guestforwards);
	}
	strv_add(argv, "-netdev");
	strv_add(argv, b.data);
}

int qemu_add_nic(struct strv *argv, unsigned index, const struct qemu_nic *n, struct error **err)
{
	_cleanup_free_ char *mac = qemu_quote(n->mac);
	_cleanup_buf_ struct buf dev = BUF_INIT;
	size_t m = 0;

	while (m < ARRAY_SIZE(nics) && strcmp(n->model, nics[m].name))
		m++;
	if (m == ARRAY_SIZE(nics))
		return error_set(err, ERR_USAGE, "NIC %u: model '%s' is not known", index, n->model);
	if (n->kind != QEMU_NIC_NONE)
		add_netdev(argv, index, n);
	buf_addf(&dev, "%s,id=nic%u,mac=%s", nics[m].device, index, mac);
	if (n->kind != QEMU_NIC_NONE)
		buf_addf(&dev, ",netdev=net%u", index);
	/* Without its boot ROM the firmware is done sooner. */
	buf_adds(&dev, n->netboot ? ",bootindex=9000" : ",romfile=");
	add_device(argv, dev.data);
	return 0;
}

void qemu_add_chardev(struct strv *argv, const char *id, int fd)
{
	strv_add(argv, "-chardev");
	strv_addf(argv, "socket,id=%s,fd=%d,server=on,wait=off", id, fd);
}
