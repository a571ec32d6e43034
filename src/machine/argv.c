/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "helper/helper.h"
#include "identity.h"
#include "internal.h"
#include "qemu/args.h"
#include "qemu/qemu.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void add2(struct strv *argv, const char *option, const char *value)
{
	strv_add(argv, option);
	strv_add(argv, value);
}

/* The same machine has the same UUID for life: a version 8 UUID (RFC 9562) of its full name. */
static void add_identity(struct strv *argv, const char *name)
{
	_cleanup_free_ char *seed = xasprintf("croft uuid %s", name);
	unsigned char h[32];

	identity_digest(seed, h);
	h[6] = (unsigned char)((h[6] & 0x0f) | 0x80);
	h[8] = (unsigned char)((h[8] & 0x3f) | 0x80);
	strv_add(argv, "-name");
	strv_addf(argv, "guest=%s", name);
	strv_add(argv, "-uuid");
	strv_addf(argv, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", h[0], h[1], h[2], h[3], h[4],
		h[5], h[6], h[7], h[8], h[9], h[10], h[11], h[12], h[13], h[14], h[15]);
}

/* q35's own AHCI controller costs a guest a second of probing its six ports under TCG. */
static bool sata_unused(const struct machine_def *d)
{
	for (size_t i = 0; i < d->ndisks; i++) {
		const char *bus = d->disks[i].bus;
		_cleanup_image_ struct image *img = d->disks[i].image ? image_open(d->disks[i].image, NULL) : NULL;

		if (!strcmp(bus, "sata") || !strcmp(bus, "ide") || machine_disk_is_cdrom(img))
			return false;
	}
	return strstr(d->type, "q35") != NULL;
}

static int add_board(struct strv *argv, const struct machine *m, const struct qemu *q, const char *accel, struct error **err)
{
	const struct machine_def *d = &m->def;
	_cleanup_free_ char *nvram = machine_path(m, "nvram.qcow2");
	const char *flash = "";

	if (!strcmp(d->firmware, "uefi") && qemu_add_uefi(argv, d->arch, nvram, &flash, err) < 0)
		return -1;
	strv_add(argv, "-machine");
	strv_addf(argv, "%s,usb=off,vmport=off%s%s", d->type, sata_unused(d) ? ",sata=off" : "", flash);
	add2(argv, "-accel", !strcmp(accel, "tcg") ? "tcg,thread=multi" : accel);
	add2(argv, "-cpu", d->cpu ? d->cpu : !strcmp(accel, "kvm") ? "host" : "max");
	strv_add(argv, "-smp");
	strv_addf(argv, "cpus=%u,sockets=%u,cores=%u,threads=%u", d->sockets * d->cores * d->threads, d->sockets, d->cores,
		d->threads);
	strv_add(argv, "-m");
	strv_addf(argv, "%" PRIu64 "M", d->memory >> 20);
	add2(argv, "-display", d->display);
	if (strcmp(d->display, "none"))
		add2(argv, "-device", "VGA");
	if (q->sandbox)
		add2(argv, "-sandbox", QEMU_SANDBOX);
	return 0;
}

/* Monitor, console and agent on sockets that the helper has bound; randomness, so that no guest waits for it. */
static void add_channels(struct strv *argv)
{
	qemu_add_chardev(argv, "qmp", HELPER_FD_QMP);
	add2(argv, "-mon", "chardev=qmp,mode=control");
	qemu_add_chardev(argv, "console", HELPER_FD_CONSOLE);
	add2(argv, "-serial", "chardev:console");
	qemu_add_chardev(argv, "agent", HELPER_FD_AGENT);
	add2(argv, "-device", "virtio-serial-pci,id=agents");
	add2(argv, "-device", "virtserialport,bus=agents.0,chardev=agent,name=" FRAME_PORT);
	add2(argv, "-object", "rng-random,id=random,filename=/dev/urandom");
	add2(argv, "-device", "virtio-rng-pci,rng=random");
}

static int add_disk(struct strv *argv, const struct machine *m, struct qemu_buses *buses, size_t i, struct error **err)
{
	const struct machine_disk *d = &m->def.disks[i];
	_cleanup_free_ char *path = d->snapshot ? machine_snap_path(m, i) : machine_disk_path(m, i);
	_cleanup_image_ struct image *img = d->image ? image_open(d->image, err) : NULL;
	struct qemu_disk q = { .path = path, .format = "qcow2", .bus = d->bus, .cache = d->cache, .serial = d->serial,
		.boot = d->boot, .discard = d->discard };

	if (d->image && !img)
		return -1;
	if (machine_disk_is_cdrom(img)) {
		q.path = img->disk;
		q.format = "raw";
		q.cdrom = true;
	}
	return qemu_add_disk(argv, buses, (unsigned)i, &q, err);
}

static int add_nic(struct strv *argv, const struct machine_nic *n, size_t i, struct error **err)
{
	struct qemu_nic q = { .model = n->model, .mac = n->mac, .kind = QEMU_NIC_NONE, .forwards = &n->forwards };

	if (!strcmp(n->net, "user"))
		q.kind = QEMU_NIC_USER;
	if (!strcmp(n->net, "group")) {
		q.kind = QEMU_NIC_STREAM;
		q.fd = HELPER_FD_NET + (int)i;
	}
	return qemu_add_nic(argv, (unsigned)i, &q, err);
}

/* The guest program of an image with a kernel takes name and addresses from the kernel command line: it waits for nobody. */
static void add_kernel(struct strv *argv, const struct machine_def *d, const struct image *img)
{
	_cleanup_buf_ struct buf line = BUF_INIT;

	add2(argv, "-kernel", img->kernel);
	if (img->initrd)
		add2(argv, "-initrd", img->initrd);
	buf_addf(&line, "%s%scroft.hostname=%s", img->cmdline ? img->cmdline : "", img->cmdline && *img->cmdline ? " " : "",
		d->hostname);
	for (size_t i = 0; i < d->nnics; i++) {
		const struct machine_nic *n = &d->nics[i];

		if (n->address)
			buf_addf(&line, " croft.net=%s,%s,%s,%s", n->mac, n->address, n->gateway ? n->gateway : "",
				n->dns ? n->dns : "");
	}
	if (d->kernel_args && *d->kernel_args)
		buf_addf(&line, " %s", d->kernel_args);
	add2(argv, "-append", line.data);
}

static int add_all(struct strv *argv, const struct machine *m, const struct qemu *q, const char *accel, struct error **err)
{
	const struct machine_def *d = &m->def;
	struct qemu_buses buses = { .q35 = strstr(d->type, "q35") != NULL };
	_cleanup_image_ struct image *img = d->image ? image_open(d->image, err) : NULL;

	if (d->image && !img)
		return -1;
	strv_add(argv, q->path);
	strv_add(argv, "-nodefaults");
	strv_add(argv, "-no-user-config");
	add_identity(argv, m->name);
	if (add_board(argv, m, q, accel, err) < 0)
		return -1;
	add_channels(argv);
	for (size_t i = 0; i < d->ndisks; i++)
		if (add_disk(argv, m, &buses, i, err) < 0)
			return error_wrap(err, "disk %zu", i);
	for (size_t i = 0; i < d->nnics; i++)
		if (add_nic(argv, &d->nics[i], i, err) < 0)
			return -1;
	if (img && img->kernel)
		add_kernel(argv, d, img);
	strv_addv(argv, d->qemu_args.v ? (const char *const *)d->qemu_args.v : (const char *const[]){ NULL });
	return 0;
}

int machine_qemu_argv(const struct machine *m, const char *accel, struct strv *argv, struct error **err)
{
	_cleanup_qemu_ struct qemu q = { 0 };
	const char *use = NULL;

	if (qemu_find(m->def.arch, &q, err) == 0)
		use = qemu_accel(&q, accel, err);
	return use ? add_all(argv, m, &q, use, err) : -1;
}
