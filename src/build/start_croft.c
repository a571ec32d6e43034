/* SPDX-License-Identifier: Apache-2.0 */
/* The builder croft: from an image of croft, a machine, a kernel, or a disk; nothing has to be typed. */
#include "box.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/proc.h"
#include "base/qcow2.h"
#include "base/units.h"
#include "image/image.h"
#include "machine/snapshot.h"

#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#define ROOT_SERIAL "croft-root" /* of the disk that tiny keeps its changes on */
#define IMG_MS 600000

static int hash_file(struct sha *s, const char *path, struct error **err)
{
	char hex[SHA_HEX];

	if (sha_file(path, hex, err) < 0)
		return -1;
	sha_adds(s, hex);
	return 0;
}

static void set_text(char **field, const char *value)
{
	free(*field);
	*field = xstrdup(value);
}

/* The system's own command line, and its name as croft gives it to machines of an image. */
static void use_kernel(struct box *v, const char *kernel, const char *initrd, const char *cmdline)
{
	v->kernel = path_absolute(kernel);
	v->initrd = initrd ? path_absolute(initrd) : NULL;
	v->cmdline = xstrdup(cmdline ? cmdline : "");
	set_text(&v->def.kernel, v->kernel);
	if (v->initrd)
		set_text(&v->def.initrd, v->initrd);
	free(v->def.kernel_args);
	v->def.kernel_args = xasprintf("%s%scroft.hostname=" BOX_NAME, v->cmdline, *v->cmdline ? " " : "");
}

static int from_image(struct build *b, struct box *v, struct sha *s, struct error **err)
{
	_cleanup_image_ struct image *img = image_open(conf_text(&b->conf, "image"), err);

	if (!img) {
		(*err)->cls = ERR_NOT_FOUND;
		return -1;
	}
	sha_adds(s, img->sha256);
	set_text(&v->def.arch, img->arch);
	if (img->kernel)
		use_kernel(v, img->kernel, img->initrd, img->cmdline);
	if (!img->disk)
		return 0;
	if (!strcmp(img->format, "iso"))
		return val_error(conf_at(&b->conf, "image"), err, "image %s is a CD; build from it with the builder qemu and iso_url", img->name);
	box_add_disk(v, img->disk, img->format, 0);
	if (img->firmware && !strcmp(img->firmware, "uefi"))
		set_text(&v->def.firmware, "uefi");
	return 0;
}

/* A file of the cache with the machine's disk as it is now, or was at a snapshot; the machine may change later. */
static int copy_disk(const char *disk, const char *snapshot, const char *key, char **ret, struct error **err)
{
	_cleanup_free_ char *name = xasprintf("builds/base-%.20s.qcow2", key), *path = path_cache(name), *temp = xasprintf("%s.new", path);
	_cleanup_free_ char *dir = path_dirname(path), *tag = xasprintf("snapshot.name=%s", snapshot ? snapshot : "");
	const char *argv[12] = { "qemu-img", "convert", "-O", "qcow2", "-f", "qcow2" };
	size_t n = 6;

	if (file_exists(path)) {
		*ret = STEAL(path);
		return 0;
	}
	if (snapshot) {
		argv[n++] = "-l";
		argv[n++] = tag;
	}
	argv[n++] = disk;
	argv[n++] = temp;
	if (file_mkdirs(dir, 0700, err) < 0 || proc_run(argv, IMG_MS, NULL, NULL, err) < 0 || file_rename(temp, path, err) < 0)
		return -1;
	*ret = STEAL(path);
	return 0;
}

static int machine_state_key(const struct machine *m, const char *snapshot, const char *disk, struct sha *s, struct error **err)
{
	struct stat st;

	sha_adds(s, m->name);
	if (snapshot) {
		_cleanup_snapshot_ struct snapshot *snap = snapshot_open(m, snapshot, err);

		if (!snap)
			return -1;
		sha_adds(s, snap->name);
		sha_add(s, &snap->taken, sizeof snap->taken);
		return 0;
	}
	if (machine_state(m) != MACHINE_STOPPED && machine_state(m) != MACHINE_CRASHED) {
		error_set(err, ERR_STATE, "machine %s: it runs", m->name);
		return error_hint(err, "stop it, or build from one of its snapshots: \"snapshot\"");
	}
	if (stat(disk, &st) < 0)
		return error_set(err, ERR_NOT_FOUND, "machine %s: it has no disk of its own (%s)", m->name, disk);
	sha_add(s, &st.st_size, sizeof st.st_size);
	sha_add(s, &st.st_mtim, sizeof st.st_mtim);
	return 0;
}

static int from_machine(struct build *b, struct box *v, struct sha *s, struct error **err)
{
	_cleanup_machine_ struct machine *m = machine_open(conf_text(&b->conf, "machine"), err);
	const char *snapshot = conf_text(&b->conf, "snapshot");
	_cleanup_free_ char *disk = NULL, *base = NULL;
	_cleanup_image_ struct image *img = NULL;
	struct sha *own = sha_new();
	char key[SHA_HEX];
	int rc;

	disk = m ? m->def.ndisks && m->def.disks[0].path ? xstrdup(m->def.disks[0].path) : machine_path(m, "disk-0.qcow2") : NULL;
	rc = m ? machine_state_key(m, snapshot, disk, own, err) : -1;
	sha_end(own, key);
	if (rc < 0 || copy_disk(disk, snapshot, key, &base, err) < 0)
		return -1;
	sha_adds(s, key);
	img = m->def.image ? image_open(m->def.image, err) : NULL;
	if (m->def.image && !img)
		return -1;
	if (img && img->kernel)
		use_kernel(v, img->kernel, img->initrd, img->cmdline);
	set_text(&v->def.arch, m->def.arch);
	set_text(&v->def.type, m->def.type);
	set_text(&v->def.firmware, m->def.firmware);
	box_add_disk(v, base, "qcow2", 0);
	return 0;
}

static int from_kernel(struct build *b, struct box *v, struct sha *s, struct error **err)
{
	const char *kernel = conf_text(&b->conf, "kernel"), *initrd = conf_text(&b->conf, "initrd");

	if (conf_check_file(&b->conf, "kernel", kernel, err) < 0 || (initrd && conf_check_file(&b->conf, "initrd", initrd, err) < 0))
		return -1;
	if (hash_file(s, kernel, err) < 0 || (initrd && hash_file(s, initrd, err) < 0))
		return -1;
	sha_adds(s, conf_text(&b->conf, "cmdline"));
	use_kernel(v, kernel, initrd, conf_text(&b->conf, "cmdline"));
	return 0;
}

static int from_disk(struct build *b, struct box *v, struct sha *s, struct error **err)
{
	_cleanup_free_ char *path = path_absolute(conf_text(&b->conf, "disk_image"));

	if (conf_check_file(&b->conf, "disk_image", path, err) < 0 || hash_file(s, path, err) < 0)
		return -1;
	box_add_disk(v, path, qcow2_is(path) ? "qcow2" : "raw", 0);
	return 0;
}

static int hardware(struct build *b, struct box *v, struct sha *s, struct error **err)
{
	static const char *const keys[] = { "memory", "cpus", "firmware", "machine_type", "disk_size", "communicator", "arch" };
	const char *firmware = conf_text(&b->conf, "firmware"), *type = conf_text(&b->conf, "machine_type"), *arch = conf_text(&b->conf, "arch");
	uint64_t size = 0;

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		sha_adds(s, conf_text(&b->conf, keys[i]));
	if (box_size(&b->conf, "memory", &v->def.memory, err) < 0 || box_size(&b->conf, "disk_size", &size, err) < 0)
		return -1;
	v->def.cores = (unsigned)conf_number(&b->conf, "cpus");
	if (firmware)
		set_text(&v->def.firmware, firmware);
	if (type)
		set_text(&v->def.type, type);
	if (arch)
		set_text(&v->def.arch, arch);
	if (!v->ndisks && size)
		box_add_disk(v, NULL, NULL, size);
	else if (v->ndisks)
		v->disks[0].size = size;
	return 0;
}

int start_croft(struct build *b, struct box *v, struct sha *s, struct error **err)
{
	static int (*const from[])(struct build *, struct box *, struct sha *, struct error **) = { from_image, from_machine, from_kernel,
		from_disk };
	static const char *const keys[] = { "image", "machine", "kernel", "disk_image" };

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		/* a kernel may have a disk besides */
		if (conf_given(&b->conf, keys[i]) && from[i](b, v, s, err) < 0)
			return error_wrap(err, "%s", keys[i]);
	}
	if (hardware(b, v, s, err) < 0)
		return -1;
	for (size_t i = 0; i < v->ndisks; i++) {
		struct machine_disk *d = machine_def_add_disk(&v->def);

		/* the place is known when the folder is */
		d->path = xstrdup("/");
		d->format = xstrdup("qcow2");
		if (v->kernel && i == 0)
			d->serial = xstrdup(ROOT_SERIAL);
		else if (i == 0)
			d->boot = 0;
	}
	v->builder_id = xstrdup("croft");
	return 0;
}
