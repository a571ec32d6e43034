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

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define MIB ((uint64_t)1 << 20)
#define LOW_MEMORY (2048 * MIB)	    /* all of it is there below 4 GiB on every board */
#define FIRMWARE_MEMORY (16 * MIB) /* at its end */
#define KERNEL_MEMORY (96 * MIB)   /* at its begin */

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
		const struct machine_disk *k = &d->disks[i];
		_cleanup_error_ struct error *e = NULL;
		_cleanup_image_ struct image *img = k->image ? image_open(k->image, &e) : NULL;

		if (!strcmp(k->bus, "sata") || !strcmp(k->bus, "ide") || machine_disk_is_cdrom(img) || (k->media && !strcmp(k->media, "cdrom")))
			return false;
	}
	return strstr(d->type, "q35") != NULL;
}

static bool is_x86(const struct machine_def *d)
{
	return !strcmp(d->arch, "x86_64") || !strcmp(d->arch, "i386");
}

/*
 * TCG runs "rep movsb" and "rep stosb" a byte at a time, and systems take them for all copying and clearing of memory where the processor
 * calls them fast (ERMS). Without that word they take eight bytes at a time: tiny boots in an eighth less of processor time.
 */
static const char *default_cpu(const struct machine_def *d, const char *accel)
{
	return !strcmp(accel, "kvm") ? "host" : is_x86(d) ? "max,-erms" : "max";
}

static void add_cpu(struct strv *argv, const struct machine_def *d, const char *accel)
{
	const char *model = d->cpu ? d->cpu : default_cpu(d, accel);
	unsigned cpus = machine_cpus(d), max = d->max_cpus > cpus ? d->max_cpus : cpus;

	strv_add(argv, "-cpu");
	strv_addf(argv, "%s%s", model, d->hide_hypervisor ? ",kvm=off,-hypervisor" : "");
	strv_add(argv, "-smp");
	/* Room for more: whole sockets of the same shape. */
	if (max > cpus)
		strv_addf(argv, "cpus=%u,maxcpus=%u,sockets=%u,cores=%u,threads=%u", cpus, max, max / (d->cores * d->threads), d->cores,
			d->threads);
	else
		strv_addf(argv, "cpus=%u,sockets=%u,cores=%u,threads=%u", cpus, d->sockets, d->cores, d->threads);
}

static bool has_virtiofs(const struct machine_def *d)
{
	for (size_t i = 0; i < d->nshares; i++)
		if (!strcmp(d->shares[i].kind, "virtiofs"))
			return true;
	return false;
}

/* A guestfwd with a command is the one thing that QEMU starts programs for. */
static bool runs_commands(const struct machine_def *d)
{
	for (size_t i = 0; i < d->nnics; i++)
		for (size_t k = 0; k < d->nics[i].guestforwards.len; k++)
			if (strstr(d->nics[i].guestforwards.v[k], "-cmd:"))
				return true;
	return false;
}

/*
 * What TCG has translated is kept until its buffer is full, by default a gigabyte a machine, whatever the machine's own memory: many small
 * machines would take all of the host's. Half of the machine's memory is more than its code ever is; a kernel's boot is 60 MB translated.
 */
static void add_accel(struct strv *argv, const struct machine_def *d, const char *accel)
{
	uint64_t half = d->memory / 2 >> 20;

	strv_add(argv, "-accel");
	if (!strcmp(accel, "tcg"))
		strv_addf(argv, "tcg,thread=multi,tb-size=%" PRIu64, half < 64 ? 64 : half > 1024 ? 1024 : half);
	else
		strv_add(argv, accel);
}

static int add_board(struct strv *argv, const struct machine *m, const struct qemu *q, const char *accel, struct error **err)
{
	const struct machine_def *d = &m->def;
	struct qemu_memory memory = { .size = d->memory, .max = d->max_memory, .hugepages = d->hugepages, .shared = has_virtiofs(d) };
	_cleanup_free_ char *nvram = machine_nvram_path(m);
	const char *flash = "", *backend;

	if (machine_is_uefi(d) && qemu_add_uefi(argv, d->arch, machine_is_secure(d), nvram, &flash, err) < 0)
		return -1;
	backend = qemu_add_memory(argv, &memory);
	strv_add(argv, "-machine");
	strv_addf(argv, "%s%s%s%s%s", d->type, is_x86(d) ? ",usb=off,vmport=off" : "", sata_unused(d) ? ",sata=off" : "", flash, backend);
	add_accel(argv, d, accel);
	add_cpu(argv, d, accel);
	if (d->boot_menu)
		add2(argv, "-boot", "menu=on,splash-time=5000");
	for (size_t i = 0; i < d->smbios.len; i++)
		add2(argv, "-smbios", d->smbios.v[i]);
	if (q->sandbox)
		add2(argv, "-sandbox", runs_commands(d) ? QEMU_SANDBOX_SPAWN : QEMU_SANDBOX);
	return 0;
}

/* Monitor, console and agent on sockets that the helper has bound; randomness, so that no guest waits for it. */
static void add_channels(struct strv *argv, const struct machine_def *d)
{
	qemu_add_chardev(argv, "qmp", HELPER_FD_QMP);
	add2(argv, "-mon", "chardev=qmp,mode=control");
	qemu_add_chardev(argv, "console", HELPER_FD_CONSOLE);
	add2(argv, "-serial", "chardev:console");
	qemu_add_chardev(argv, "agent", HELPER_FD_AGENT);
	add2(argv, "-device", "virtio-serial-pci,id=agents");
	add2(argv, "-device", "virtserialport,bus=agents.0,chardev=agent,name=" FRAME_PORT);
	if (d->rng) {
		add2(argv, "-object", "rng-random,id=random,filename=/dev/urandom");
		add2(argv, "-device", "virtio-rng-pci,rng=random");
	}
	if (d->balloon)
		add2(argv, "-device", "virtio-balloon-pci,id=balloon,deflate-on-oom=on");
}

/* Needs the virtio-serial bus of add_channels. */
static int add_screen(struct strv *argv, const struct machine *m, struct qemu_buses *buses, struct error **err)
{
	const struct machine_def *d = &m->def;
	bool spice = !strcmp(d->display, "spice"), none = !strcmp(d->display, "none");
	_cleanup_free_ char *secret = machine_path(m, "display.password");
	struct qemu_display q = { .kind = d->display, .listen = d->display_listen, .tls = d->display_tls, .secret = secret,
		.socket = spice ? HELPER_RUN_PATH "/spice.sock" : HELPER_RUN_PATH "/vnc.sock",
		.video = d->video ? d->video : none ? "none" : !is_x86(d) ? "virtio" : spice ? "qxl" : "std",
		.layout = d->keyboard };

	return qemu_add_display(argv, buses, d->arch, &q, err);
}

static int add_shares(struct strv *argv, const struct machine_def *d)
{
	size_t side = d->tpm;

	for (size_t i = 0; i < d->nshares; i++) {
		const struct machine_share *s = &d->shares[i];
		_cleanup_free_ char *socket = NULL;

		if (!strcmp(s->kind, "virtiofs")) {
			socket = machine_side_socket(side++);
			qemu_add_virtiofs(argv, (unsigned)i, s->tag, socket);
		} else {
			qemu_add_9p(argv, (unsigned)i, s->tag, s->path, s->rw);
		}
	}
	return 0;
}

static int add_extras(struct strv *argv, const struct machine *m, struct qemu_buses *buses, struct error **err)
{
	const struct machine_def *d = &m->def;
	_cleanup_free_ char *tpm = machine_side_socket(0);

	/* q35's own bus takes nothing while it runs; these do. */
	for (int i = 0; i < d->hotplug && strstr(d->type, "q35"); i++) {
		strv_add(argv, "-device");
		strv_addf(argv, "pcie-root-port,id=hot%d,chassis=%d", i, i + 1);
	}
	if (d->tpm)
		qemu_add_tpm(argv, d->arch, tpm);
	if (d->sound)
		qemu_add_sound(argv, d->sound);
	if (d->watchdog)
		qemu_add_watchdog(argv, d->watchdog);
	for (size_t i = 0; i < d->usb.len; i++)
		if (qemu_add_usb_host(argv, buses, d->usb.v[i], err) < 0)
			return -1;
	for (size_t i = 0; i < d->pci.len; i++)
		if (qemu_add_pci_host(argv, d->pci.v[i], err) < 0)
			return -1;
	return add_shares(argv, d);
}

static int add_disk(struct strv *argv, const struct machine *m, struct qemu_buses *buses, size_t i, struct error **err)
{
	const struct machine_disk *d = &m->def.disks[i];
	_cleanup_free_ char *path = d->snapshot ? machine_snap_path(m, i) : machine_disk_path(m, i);
	_cleanup_image_ struct image *img = d->image ? image_open(d->image, err) : NULL;
	struct qemu_disk q = { .path = path, .format = d->path && d->format ? d->format : "qcow2", .bus = d->bus, .cache = d->cache,
		.serial = d->serial, .boot = d->boot, .discard = d->discard, .readonly = d->readonly };

	if (d->image && !img)
		return -1;
	if (machine_disk_is_cdrom(img)) {
		q.path = img->disk;
		q.format = "raw";
		q.media = QEMU_CDROM;
	}
	if (d->media && !strcmp(d->media, "cdrom")) {
		q.media = QEMU_CDROM;
		q.format = d->format ? d->format : "raw";
	} else if (d->media && !strcmp(d->media, "floppy")) {
		q.media = QEMU_FLOPPY;
	}
	/* Something to install from: first in the first run, gone afterwards. The drive stays. */
	if (q.media == QEMU_CDROM && d->eject) {
		if (machine_is_first_run(m))
			q.boot = 0;
		else
			q.path = NULL;
	}
	return qemu_add_disk(argv, buses, (unsigned)i, &q, err);
}

static int add_nic(struct strv *argv, const struct machine_nic *n, size_t i, struct error **err)
{
	struct qemu_nic q = { .model = n->model, .mac = n->mac, .kind = QEMU_NIC_NONE, .forwards = &n->forwards,
		.guestforwards = &n->guestforwards, .netboot = n->netboot };

	if (!strcmp(n->net, "user"))
		q.kind = QEMU_NIC_USER;
	if (!strcmp(n->net, "group")) {
		q.kind = n->tap ? QEMU_NIC_TAP : QEMU_NIC_STREAM;
		q.tap = n->tap;
		q.fd = HELPER_FD_NET + (int)i;
	}
	return qemu_add_nic(argv, (unsigned)i, &q, err);
}

/* The guest program of an image with a kernel takes name and addresses from the kernel command line: it waits for nobody. */
static void image_cmdline(struct buf *line, const struct machine_def *d, const struct image *img)
{
	buf_addf(line, "%s%scroft.hostname=%s", img->cmdline ? img->cmdline : "", img->cmdline && *img->cmdline ? " " : "",
		d->hostname);
	for (size_t i = 0; i < d->nnics; i++) {
		const struct machine_nic *n = &d->nics[i];

		if (n->address)
			buf_addf(line, " croft.net=%s,%s,%s,%s", n->mac, n->address, n->gateway ? n->gateway : "",
				n->dns ? n->dns : "");
	}
}

/*
 * With a TPM SeaBIOS takes more of the memory's end for ACPI's tables than the 160 KiB that QEMU leaves it there, and -initrd would be copied
 * over them. So it lies apart: where the kernel is told to look (initrdmem), in what it must not use (memmap) until it has made its own copy.
 */
static int add_initrd_apart(struct strv *argv, struct buf *line, const struct machine_def *d, const char *initrd, struct error **err)
{
	uint64_t end = d->memory < LOW_MEMORY ? d->memory : LOW_MEMORY, at;
	_cleanup_free_ char *path = qemu_quote(initrd);
	struct stat st;

	if (stat(initrd, &st) < 0)
		return error_errno(err, errno, "%s", initrd);
	if ((uint64_t)st.st_size + FIRMWARE_MEMORY + KERNEL_MEMORY > end)
		return error_set(err, ERR_USAGE, "memory: too little for %s beside a TPM", initrd);
	at = (end - FIRMWARE_MEMORY - (uint64_t)st.st_size) & ~(MIB - 1);
	strv_add(argv, "-device");
	strv_addf(argv, "loader,file=%s,addr=0x%" PRIx64 ",force-raw=on", path, at);
	buf_addf(line, " initrdmem=0x%" PRIx64 ",%" PRIu64 " memmap=0x%" PRIx64 "$0x%" PRIx64, at, (uint64_t)st.st_size,
		((uint64_t)st.st_size + MIB - 1) & ~(MIB - 1), at);
	return 0;
}

/* The machine's own kernel, else that of the image. */
static int add_kernel(struct strv *argv, const struct machine_def *d, const struct image *img, struct error **err)
{
	_cleanup_buf_ struct buf line = BUF_INIT;
	const char *initrd = d->kernel ? d->initrd : img->initrd;

	add2(argv, "-kernel", d->kernel ? d->kernel : img->kernel);
	if (img && img->kernel)
		image_cmdline(&line, d, img);
	if (d->kernel_args && *d->kernel_args)
		buf_addf(&line, "%s%s", line.len ? " " : "", d->kernel_args);
	if (initrd && !(d->tpm && !machine_is_uefi(d) && is_x86(d)))
		add2(argv, "-initrd", initrd);
	else if (initrd && add_initrd_apart(argv, &line, d, initrd, err) < 0)
		return -1;
	if (line.len)
		add2(argv, "-append", line.data);
	return 0;
}

/* One that boots from its own disk has them from the firmware, which systems everywhere can read (SMBIOS, OEM strings). */
static void add_oem_strings(struct strv *argv, const struct machine_def *d)
{
	strv_add(argv, "-smbios");
	strv_addf(argv, "type=11,value=croft.hostname=%s", d->hostname);
}

static void add_seed(struct strv *argv, const struct machine *m)
{
	_cleanup_free_ char *path = machine_path(m, "seed.img"), *quoted = qemu_quote(path);

	strv_add(argv, "-drive");
	strv_addf(argv, "if=none,id=seed,format=raw,readonly=on,file=%s", quoted);
	add2(argv, "-device", "virtio-blk-pci,drive=seed,serial=cidata");
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
	add_channels(argv, d);
	if (add_screen(argv, m, &buses, err) < 0)
		return -1;
	for (size_t i = 0; i < d->ndisks; i++)
		if (add_disk(argv, m, &buses, i, err) < 0)
			return error_wrap(err, "disk %zu", i);
	if (d->cloud_init)
		add_seed(argv, m);
	for (size_t i = 0; i < d->nnics; i++)
		if (add_nic(argv, &d->nics[i], i, err) < 0)
			return -1;
	if (!d->kernel && !(img && img->kernel))
		add_oem_strings(argv, d);
	else if (add_kernel(argv, d, img, err) < 0)
		return -1;
	if (add_extras(argv, m, &buses, err) < 0)
		return -1;
	/* The guest that installs itself ends with its reboot; the next start is the installed system's. */
	if (machine_is_first_run(m))
		strv_add(argv, "-no-reboot");
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
