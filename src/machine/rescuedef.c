/* SPDX-License-Identifier: Apache-2.0 */
/* The rescue system's definition: of the machine it has disks, board and firmware; everything else is its own. */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "rescueint.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define MEMORY (1ull << 30)
#define CD_MEMORY (2ull << 30)
#define CPUS_MAX 2

static void text(char **field, const char *value)
{
	free(*field);
	*field = value ? xstrdup(value) : NULL;
}

const char *rescue_firmware(const struct machine *m, const struct rescue_opts *o)
{
	return o->firmware ? o->firmware : machine_is_uefi(&m->def) ? "uefi" : "bios";
}

/* CDs and floppies belong to the system that is on the disks. */
static bool is_disk(const struct machine_disk *k, const struct image *img)
{
	return !machine_disk_is_cdrom(img) && (!k->media || !strcmp(k->media, "disk"));
}

static int add_disk(struct rescue *r, const struct machine *m, size_t i, const struct rescue_opts *o, struct error **err)
{
	const struct machine_disk *from = &m->def.disks[i];
	_cleanup_image_ struct image *img = from->image ? image_open(from->image, err) : NULL;
	_cleanup_free_ char *path = NULL, *name = xasprintf("disk-%zu.qcow2", i), *over = machine_path(r->m, name);
	struct machine_disk *k;

	if (from->image && !img)
		return -1;
	if (!is_disk(from, img))
		return 0;
	path = machine_disk_path(m, i);
	if (!file_exists(path))
		return error_set(err, ERR_NOT_FOUND, "%s is not there", path);
	k = machine_def_add_disk(&r->m->def);
	text(&k->bus, from->bus);
	text(&k->cache, from->cache);
	k->discard = from->discard;
	k->readonly = from->readonly;
	/* its own guest would take that disk for its root */
	if (from->serial && strcmp(from->serial, "croft-root"))
		k->serial = xstrdup(from->serial);
	if (o->discard || from->snapshot) {
		if (file_unlink(over, err) < 0 ||
			machine_make_overlay(over, path, from->path && from->format ? from->format : "qcow2", 0, err) < 0)
			return -1;
		k->file = STEAL(name);
		k->size = 1; /* that of the file */
		return 0;
	}
	text(&k->format, from->path && from->format ? from->format : "qcow2");
	k->path = STEAL(path);
	return 0;
}

static int add_disks(struct rescue *r, const struct machine *m, const struct rescue_opts *o, struct error **err)
{
	size_t n = 0;

	for (size_t i = 0; i < m->def.ndisks; i++)
		if (add_disk(r, m, i, o, err) < 0)
			return error_wrap(err, "disk %zu", i);
	for (size_t i = 0; i < r->m->def.ndisks; i++)
		n += r->m->def.disks[i].media == NULL;
	return n ? 0 : error_set(err, ERR_STATE, "it has no disk");
}

/* Secure boot's build refuses kernels that nobody signed for it; the plain one reads the same variables and ignores the keys. */
static int add_firmware(struct rescue *r, const struct machine *m, const struct rescue_opts *o, struct error **err)
{
	_cleanup_free_ char *own = machine_nvram_path(m), *temp = machine_path(r->m, "nvram.qcow2");
	const char *firmware = rescue_firmware(m, o);

	text(&r->m->def.firmware, firmware);
	text(&r->m->def.nvram, NULL);
	if (strcmp(firmware, "uefi"))
		return 0;
	if (machine_is_uefi(&m->def) && !o->discard) {
		text(&r->m->def.nvram, own);
		return 0;
	}
	if (file_unlink(temp, err) < 0)
		return -1;
	return machine_is_uefi(&m->def) ? machine_make_overlay(temp, own, "qcow2", 0, err) : machine_make_nvram(m->def.arch, temp, err);
}

static int add_image(struct rescue *r, const struct rescue_opts *o, const char *firmware, struct error **err)
{
	_cleanup_image_ struct image *img = image_open(o->image ? o->image : RESCUE_IMAGE, err);
	_cleanup_free_ char *efi = img ? path_join(img->dir, "vmlinuz") : NULL;
	struct machine_def *d = &r->m->def;

	if (!img)
		return error_hint(err, "make it: croft image make rescue");
	if (img->arch && strcmp(img->arch, d->arch))
		return error_set(err, ERR_USAGE, "image %s: is for %s, the machine is %s", img->name, img->arch, d->arch);
	if (!img->kernel || !img->initrd || !img->agent)
		return error_set(err, ERR_USAGE, "image %s: is not started by a kernel with croft's guest program; rescue systems are", img->name);
	if (!strcmp(firmware, "uefi") && !file_exists(efi)) {
		error_set(err, ERR_NOT_FOUND, "image %s: has no kernel that UEFI can start", img->name);
		return error_hint(err, "make it again: croft image make rescue --force; or start it by BIOS");
	}
	text(&d->kernel, strcmp(firmware, "uefi") ? img->kernel : efi);
	text(&d->initrd, img->initrd);
	free(d->kernel_args);
	d->kernel_args = xasprintf("%s%scroft.hostname=rescue", img->cmdline ? img->cmdline : "", img->cmdline && *img->cmdline ? " " : "");
	return 0;
}

static int add_cd(struct rescue *r, const struct rescue_opts *o, struct error **err)
{
	struct machine_disk *k;

	if (!file_exists(o->iso))
		return error_set(err, ERR_NOT_FOUND, "the rescue CD %s is not there", o->iso);
	if (file_is_dir(o->iso))
		return error_set(err, ERR_USAGE, "the rescue CD %s is a folder; an ISO image is needed", o->iso);
	k = machine_def_add_disk(&r->m->def);
	text(&k->media, "cdrom");
	text(&k->format, "raw");
	text(&k->bus, strstr(r->m->def.type, "q35") ? "sata" : "ide");
	text(&k->path, o->iso);
	k->boot = 0;
	return 0;
}

static void add_share(struct machine_def *d, const char *tag, const char *path, bool rw)
{
	struct machine_share *s;

	if (!path)
		return;
	s = machine_def_add_share(d);
	s->tag = xstrdup(tag);
	s->path = xstrdup(path);
	s->rw = rw;
}

/* A free port of the loopback interface: bound for a moment, so that the kernel chooses it. */
static int free_port(unsigned *port, struct error **err)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(at);
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&at, n) < 0 || getsockname(fd, (struct sockaddr *)&at, &n) < 0)
		return error_errno(err, errno, "a port for ssh");
	*port = ntohs(at.sin_port);
	return 0;
}

/* Its own way to the network, whatever the machine has. */
static int add_net(struct rescue *r, const struct rescue_opts *o, struct error **err)
{
	struct machine_nic *n = machine_def_add_nic(&r->m->def);
	char mac[18];

	machine_mac(r->m->name, 0, mac);
	n->mac = xstrdup(mac);
	for (size_t i = 0; o->forwards && i < o->forwards->len; i++)
		strv_add(&n->forwards, o->forwards->v[i]);
	if (!o->ssh)
		return 0;
	if (free_port(&r->ssh, err) < 0)
		return -1;
	strv_addf(&n->forwards, "tcp:127.0.0.1:%u-:22", r->ssh);
	return 0;
}

int rescue_define(struct rescue *r, const struct machine *m, const struct rescue_opts *o, struct error **err)
{
	struct machine_def *d = &r->m->def;
	unsigned cpus = machine_cpus(&m->def);

	machine_def_clear(d);
	machine_def_init(d);
	text(&d->name, r->m->name);
	text(&d->hostname, "rescue");
	text(&d->type, m->def.type);
	/* Croft's own takes the quickest processor that there is, a 64-bit one, whatever the machine pretends to have. */
	text(&d->arch, !o->iso && !strcmp(m->def.arch, "i386") ? "x86_64" : m->def.arch);
	text(&d->cpu, o->iso ? m->def.cpu : NULL);
	d->cores = o->cpus ? o->cpus : cpus < CPUS_MAX ? cpus : CPUS_MAX;
	d->memory = o->memory ? o->memory : o->iso ? CD_MEMORY : MEMORY;
	d->hotplug = 0;
	if (add_firmware(r, m, o, err) < 0 || (o->iso ? add_cd(r, o, err) : add_image(r, o, d->firmware, err)) < 0 || add_disks(r, m, o, err) < 0 ||
		add_net(r, o, err) < 0)
		return -1;
	add_share(d, "in", o->in, false);
	add_share(d, "out", o->out, true);
	add_share(d, "mirror", o->mirror, false);
	for (size_t i = 0; i < o->nshares; i++)
		add_share(d, o->shares[i].tag, o->shares[i].path, o->shares[i].rw);
	/* a system that restarts has broken down */
	strv_add(&d->qemu_args, "-no-reboot");
	return 0;
}

int rescue_undefine(const struct rescue *r, struct error **err)
{
	_cleanup_closedir_ DIR *d = opendir(r->m->dir);

	for (struct dirent *e; d && (e = readdir(d));) {
		size_t n = strlen(e->d_name);
		_cleanup_free_ char *path = path_join(r->m->dir, e->d_name);

		if (n > 6 && !strcmp(e->d_name + n - 6, ".qcow2") && file_unlink(path, err) < 0)
			return -1;
	}
	return 0;
}
