/* SPDX-License-Identifier: Apache-2.0 */
/* The builders qemu and virtualbox-iso: a disk, a medium to install from, files by HTTP, and a keyboard. */
#include "build/http.h"
#include "build/iso.h"
#include "build/media.h"
#include "guest/ssh.h"
#include "qemuargs.h"
#include "vbox.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/portfree.h"
#include "base/qcow2.h"
#include "base/units.h"
#include "qemu/args.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>

static void set_text(char **field, const char *value)
{
	free(*field);
	*field = xstrdup(value);
}

/* ---- hardware ---- */

static int memory(struct build *b, struct box *v)
{
	long long mib = conf_number(&b->conf, "memory");

	v->def.memory = (uint64_t)(mib < 10 ? 512 : mib) << 20;
	return 0;
}

static void processors(struct build *b, struct box *v)
{
	long long cpus = conf_number(&b->conf, "cpus"), sockets = conf_number(&b->conf, "sockets"), cores = conf_number(&b->conf, "cores");
	long long threads = conf_number(&b->conf, "threads");

	v->def.threads = threads > 0 ? (unsigned)threads : 1;
	v->def.sockets = sockets > 0 ? (unsigned)sockets : 1;
	v->def.cores = cores > 0 ? (unsigned)cores : cpus > 0 ? (unsigned)(cpus / v->def.sockets / v->def.threads) : 1;
	v->def.cores = v->def.cores ? v->def.cores : 1;
}

static int nic_model(struct build *b, struct box *v, const char *device, struct error **err)
{
	static const char *const models[][2] = { { "virtio-net", "virtio" }, { "virtio-net-pci", "virtio" }, { "e1000", "e1000" },
		{ "e1000e", "e1000e" }, { "rtl8139", "rtl8139" }, { "virtio", "virtio" } };
	struct machine_nic *n = machine_def_add_nic(&v->def);

	for (size_t i = 0; i < ARRAY_SIZE(models); i++)
		if (!strcmp(device, models[i][0])) {
			set_text(&n->model, models[i][1]);
			return 0;
		}
	return val_error(conf_at(&b->conf, "net_device"), err, "net_device '%s' is not known to croft; known are virtio-net, e1000, e1000e, rtl8139",
		device);
}

/* qemu-system-ARCH: the architecture; a program elsewhere is taken as it is. */
static void binary(struct build *b, struct box *v)
{
	const char *path = conf_text(&b->conf, "qemu_binary"), *base = path_basename(path);

	if (!strncmp(base, "qemu-system-", 12) && base[12])
		set_text(&v->def.arch, base + 12);
	if (strchr(path, '/'))
		setenv("CROFT_QEMU", path, 1);
}

static bool wants_efi(const struct conf *c)
{
	return conf_bool(c, "efi_boot") || conf_given(c, "efi_firmware_code") || conf_given(c, "efi_firmware_vars") ||
		(!strcmp(c->c->type, "virtualbox-iso") && !strncmp(conf_text(c, "firmware"), "efi", 3));
}

static int board(struct build *b, struct box *v, struct error **err)
{
	const struct conf *c = &b->conf;
	bool vbox = !strcmp(c->c->type, "virtualbox-iso");

	memory(b, v);
	processors(b, v);
	set_text(&v->def.type, "pc");
	if (!vbox) {
		binary(b, v);
		set_text(&v->def.type, conf_text(c, "machine_type"));
		/* QEMU's own default, which Packer's guests have; under TCG it starts faster than one with all features */
		set_text(&v->def.cpu, *conf_text(c, "cpu_model") ? conf_text(c, "cpu_model") : "qemu64");
		v->def.tpm = conf_bool(c, "vtpm");
	}
	if (wants_efi(c))
		set_text(&v->def.firmware, "uefi");
	set_text(&v->def.display, "vnc");
	if (!vbox && *conf_text(c, "vga"))
		set_text(&v->def.video, conf_text(c, "vga"));
	if (!vbox && conf_given(c, "firmware") && *conf_text(c, "firmware")) {
		strv_add(&v->def.qemu_args, "-bios");
		strv_add(&v->def.qemu_args, conf_text(c, "firmware"));
	}
	return nic_model(b, v, vbox ? vbox_nic(c) : conf_text(c, "net_device"), err);
}

/* ---- disks ---- */

static const char *disk_bus(const struct conf *c)
{
	const char *bus = conf_text(c, strcmp(c->c->type, "qemu") ? "hard_drive_interface" : "disk_interface");

	if (!strcmp(bus, "virtio-scsi"))
		return "scsi";
	return !strcmp(bus, "pcie") ? "nvme" : bus;
}

static void add_disk(struct build *b, struct box *v, int boot)
{
	struct machine_disk *d = machine_def_add_disk(&v->def);
	const char *cache = conf_text(&b->conf, "disk_cache");

	/* the place is known when the folder is */
	d->path = xstrdup("/");
	d->format = xstrdup("qcow2");
	d->bus = xstrdup(disk_bus(&b->conf));
	d->cache = xstrdup(cache);
	d->discard = conf_text(&b->conf, "disk_discard") && strcmp(conf_text(&b->conf, "disk_discard"), "ignore");
	d->boot = boot;
}

static void add_cd(struct box *v, const char *path, const char *bus, int boot)
{
	struct machine_disk *d = machine_def_add_disk(&v->def);

	d->path = xstrdup(path);
	d->format = xstrdup("raw");
	d->media = xstrdup("cdrom");
	d->bus = xstrdup(bus && *bus && strcmp(bus, "virtio") ? (!strcmp(bus, "virtio-scsi") ? "scsi" : bus) : strstr(v->def.type, "q35") ? "sata" : "ide");
	d->boot = boot;
	d->readonly = true;
}

static int more_disks(struct build *b, struct box *v, struct error **err)
{
	_cleanup_strv_ struct strv sizes = STRV_INIT;

	conf_list(&b->conf, "disk_additional_size", &sizes);
	for (size_t i = 0; i < sizes.len; i++) {
		size_t n = strlen(sizes.v[i]);
		_cleanup_free_ char *text = n && isdigit((unsigned char)sizes.v[i][n - 1]) ? xasprintf("%sM", sizes.v[i]) : xstrdup(sizes.v[i]);
		uint64_t size;

		if (parse_size("disk_additional_size", text, &size, err) < 0)
			return -1;
		box_add_disk(v, NULL, NULL, size);
		add_disk(b, v, -1);
	}
	return 0;
}

static int disks(struct build *b, struct box *v, const char *medium, struct error **err)
{
	const struct conf *c = &b->conf;
	bool qemu = !strcmp(c->c->type, "qemu"), is_disk = qemu && conf_bool(c, "disk_image");
	uint64_t size = 0;

	if (box_size(c, "disk_size", &size, err) < 0)
		return -1;
	if (is_disk && (conf_bool(c, "skip_resize_disk") || !conf_given(c, "disk_size")))
		size = 0;
	box_add_disk(v, is_disk ? medium : NULL, !is_disk ? NULL : qcow2_is(medium) ? "qcow2" : "raw", size);
	add_disk(b, v, 1);
	if (more_disks(b, v, err) < 0)
		return -1;
	/* the empty disk does not boot, so the medium does; once something is installed the disk does. 0 is for a -kernel of qemuargs */
	if (!is_disk)
		add_cd(v, medium, conf_text(c, qemu ? "cdrom_interface" : "iso_interface"), 2);
	return 0;
}

/* ---- key ---- */

static const char *const hashed[] = { "memory", "cpus", "sockets", "cores", "threads", "machine_type", "cpu_model", "vga", "disk_image", "disk_size",
	"skip_resize_disk", "disk_interface", "cdrom_interface", "efi_boot", "efi_firmware_code", "efi_firmware_vars", "firmware", "vtpm", "net_device",
	"qemu_binary", "communicator", "hard_drive_interface", "iso_interface", "nic_type", "chipset", "ssh_username" };
static const char *const hashed_lists[] = { "boot_command", "boot_steps", "qemuargs", "vboxmanage", "disk_additional_size", "http_content" };

static int hash(struct build *b, struct sha *s, struct error **err)
{
	const char *dir = conf_text(&b->conf, "http_directory");

	for (size_t i = 0; i < ARRAY_SIZE(hashed); i++)
		sha_adds(s, conf_text(&b->conf, hashed[i]));
	for (size_t i = 0; i < ARRAY_SIZE(hashed_lists); i++) {
		const struct val *v = conf_val(&b->conf, hashed_lists[i]);
		_cleanup_buf_ struct buf json = BUF_INIT;

		if (v)
			val_json(v, &json);
		sha_adds(s, buf_str(&json));
	}
	if (dir && *dir && inputs_path(s, dir, err) < 0)
		return error_wrap(err, "http_directory");
	return media_hash(&b->conf, s, err);
}

int start_qemu(struct build *b, struct box *v, struct sha *s, struct error **err)
{
	_cleanup_free_ char *medium = NULL;

	if (hash(b, s, err) < 0 || iso_get(b, &medium, s, err) < 0 || board(b, v, err) < 0 || disks(b, v, medium, err) < 0)
		return -1;
	if (!strcmp(b->b->c->type, "virtualbox-iso") && vbox_apply(b, v, err) < 0)
		return -1;
	v->builder_id = xstrdup(strcmp(b->b->c->type, "qemu") ? "mitchellh.virtualbox" : "transcend.qemu");
	return 0;
}

/* ---- before it starts ---- */

/* A guest that goes on from a kept state knows the port of before. */
static struct http *serve_at(struct build *b, const char *dir, const struct val *content, const char *address, struct error **err)
{
	_cleanup_free_ char *path = box_path(b, "http-port");
	unsigned min = (unsigned)conf_number(&b->conf, "http_port_min"), max = (unsigned)conf_number(&b->conf, "http_port_max"), last = 0;
	_cleanup_error_ struct error *e = NULL, *e2 = NULL;
	_cleanup_fclose_ FILE *f = fopen(path, "re");
	struct http *h = NULL;

	if (f && fscanf(f, "%u", &last) == 1 && last >= min && last <= max)
		h = http_start(dir, content, address, last, last, &e);
	if (!h)
		h = http_start(dir, content, address, min, max, err);
	if (h)
		file_writef(path, 0600, &e2, "%u\n", http_port(h));
	return h;
}

static int start_http(struct build *b, struct box *v, struct error **err)
{
	const char *dir = conf_text(&b->conf, "http_directory"), *address = conf_text(&b->conf, "http_bind_address");
	const struct val *content = conf_val(&b->conf, "http_content");

	if (v->http || !((dir && *dir) || (content && content->len)))
		return 0;
	/* the guest's way to this computer, 10.0.2.2, ends at the loopback */
	if (!address || !*address || !strcmp(address, "0.0.0.0"))
		address = "127.0.0.1";
	v->http = serve_at(b, dir && *dir ? dir : NULL, content, address, err);
	if (!v->http)
		return -1;
	ui_say(b->ui, b->name, "Serving files to the guest at http://10.0.2.2:%u/", http_port(v->http));
	map_set(&b->facts, "PackerHTTPIP", xstrdup("10.0.2.2"));
	map_set(&b->facts, "PackerHTTPPort", xasprintf("%u", http_port(v->http)));
	map_set(&b->facts, "PackerHTTPAddr", xasprintf("10.0.2.2:%u", http_port(v->http)));
	return 0;
}

static int make_media(struct build *b, struct box *v, struct error **err)
{
	if (media_wants_floppy(&b->conf)) {
		_cleanup_free_ char *path = box_path(b, "floppy.img");
		struct machine_disk *d;

		ui_say(b->ui, b->name, "Making the floppy disk...");
		if (media_make_floppy(&b->conf, path, err) < 0)
			return -1;
		d = machine_def_add_disk(&v->def);
		d->path = STEAL(path);
		d->format = xstrdup("raw");
		d->media = xstrdup("floppy");
		d->readonly = true;
	}
	if (media_wants_cd(&b->conf)) {
		_cleanup_free_ char *path = box_path(b, "files.iso");

		ui_say(b->ui, b->name, "Making the CD with files...");
		if (media_make_cd(&b->conf, path, err) < 0)
			return -1;
		add_cd(v, path, strcmp(b->b->c->type, "qemu") ? "ide" : conf_text(&b->conf, "cdrom_interface"), -1);
	}
	return 0;
}

static int free_port(unsigned min, unsigned max)
{
	for (unsigned p = min; p <= max; p++) {
		struct listen_at at = { .at.v4 = { .sin_family = AF_INET, .sin_port = htons((uint16_t)p), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) } };
		_cleanup_error_ struct error *e = NULL;

		if (port_check_free("ssh", &at, &e) == 0)
			return (int)p;
	}
	return -1;
}

static int forward_ssh(struct build *b, struct box *v, unsigned *port, struct error **err)
{
	const char *type = conf_text(&b->conf, "communicator");
	int p;

	*port = 0;
	if ((type && *type && strcmp(type, "ssh")) || conf_bool(&b->conf, "skip_nat_mapping"))
		return 0;
	p = free_port((unsigned)conf_number(&b->conf, "host_port_min"), (unsigned)conf_number(&b->conf, "host_port_max"));
	if (p < 0)
		return error_set(err, ERR_STATE, "no port from host_port_min to host_port_max is free for ssh");
	*port = (unsigned)p;
	strv_addf(&v->def.nics[0].forwards, "tcp:127.0.0.1:%d-:%lld", p, conf_number(&b->conf, "ssh_port"));
	return 0;
}

/* A key of this machine's own, for templates that put {{.SSHPublicKey}} into the guest. */
static int make_key(struct build *b, struct error **err)
{
	const char *given = conf_text(&b->conf, "ssh_private_key_file");
	_cleanup_free_ char *path = box_path(b, "ssh-key"), *line = NULL;

	if (given && *given)
		line = given[0] == '~' ? xstrdup("") : ssh_client_public_key(given, "croft-build", err);
	else if (file_exists(path))
		line = ssh_client_public_key(path, "croft-build", err);
	else
		line = ssh_client_make_key(path, "croft-build", err);
	if (!line)
		return -1;
	map_set(&b->facts, "SSHPublicKey", STEAL(line));
	return 0;
}

static int apply_args(struct build *b, struct box *v, unsigned port, struct error **err)
{
	_cleanup_map_ struct map fields = { .free_value = free };
	const char *dir = conf_text(&b->conf, "http_directory");

	map_set(&fields, "HTTPIP", xstrdup("10.0.2.2"));
	map_set(&fields, "HTTPPort", xasprintf("%u", http_port(v->http)));
	map_set(&fields, "HTTPDir", xstrdup(dir ? dir : ""));
	map_set(&fields, "HTTPContent", xstrdup(""));
	map_set(&fields, "OutputDir", xstrdup(b->out));
	map_set(&fields, "Name", xstrdup(b->vm_name));
	map_set(&fields, "SSHHostPort", xasprintf("%u", port));
	return qemuargs_apply(b, v, &fields, err);
}

int qemu_serve(struct build *b, struct box *v, bool again, struct error **err)
{
	unsigned port;

	if (start_http(b, v, err) < 0 || make_key(b, err) < 0)
		return -1;
	if (again)
		return 0;
	if (make_media(b, v, err) < 0 || forward_ssh(b, v, &port, err) < 0)
		return -1;
	return strcmp(b->b->c->type, "qemu") ? 0 : apply_args(b, v, port, err);
}
