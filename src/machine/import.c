/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All parts go into folders beside the places of the machine and of its images. When the stream was whole, definitions and links to
 * images are made to fit, and the folders are renamed, the machine's last. What comes in a stream is not trusted: it names no
 * file and no device of this host.
 */
#include "bundleint.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define IMG_MS 60000
#define SHA_SHOWN 8

/* An image of the stream. */
struct coming {
	char *was, *name; /* there; here */
	char *dir;	  /* where it is put; NULL: the same is here already */
	char *disk, *format;
};
struct importing {
	struct bundle_in *b;
	const struct machine_import_opts *o;
	char *was, *name, *dir, *final;
	char *host_was; /* the host name there */
	struct coming *images;
	size_t nimages;
	int images_lock;
};

static struct coming *image_of(const struct importing *p, const char *was, size_t len)
{
	for (size_t i = 0; was && i < p->nimages; i++)
		if (strlen(p->images[i].was) == len && !strncmp(p->images[i].was, was, len))
			return &p->images[i];
	return NULL;
}

/* Another image of that name here: then it is called NAME-SHA. */
static int place_image(struct importing *p, const char *was, const char *sha, struct error **err)
{
	struct coming *c;

	if (name_check("image", was, err) < 0)
		return -1;
	p->images = xreallocarray(p->images, p->nimages + 1, sizeof(*p->images));
	c = &p->images[p->nimages++];
	*c = (struct coming){ .was = xstrdup(was), .name = xstrdup(was) };
	for (int n = 0; n < 2; n++) {
		_cleanup_error_ struct error *none = NULL;
		_cleanup_image_ struct image *img = image_open(c->name, &none);

		if (!img) {
			c->dir = image_adopt_begin(c->name, &p->images_lock, err);
			return c->dir ? 0 : -1;
		}
		if (*sha && img->sha256 && !strcmp(img->sha256, sha)) {
			c->disk = xstrdup(img->disk);
			c->format = xstrdup(img->format);
			return 0;
		}
		free(c->name);
		c->name = xasprintf("%.40s-%.*s", was, SHA_SHOWN, *sha ? sha : "other");
	}
	return error_set(err, ERR_STATE, "images %s and %s: both are here, and are other ones", was, c->name);
}

static int read_about(struct importing *p, struct error **err)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct bundle_part part;
	const char *kind = NULL, *name = NULL, *version = "";
	json_t *o = NULL, *images, *img;
	size_t i;
	int rc = bundle_next(p->b, &part, err), format = 0;

	if (rc < 0)
		return -1;
	if (rc == 0 || strcmp(part.name, BUNDLE_ABOUT))
		return error_set(err, ERR_USAGE, "it holds no machine");
	if (bundle_get_bytes(p->b, &b, err) < 0)
		return -1;
	o = json_loads(buf_str(&b), 0, NULL);
	if (json_unpack(o, "{s:i, s:s, s:s, s:o, s?s}", "format", &format, "kind", &kind, "name", &name, "images", &images, "croft", &version) < 0 ||
		strcmp(kind, "machine"))
		rc = error_set(err, ERR_USAGE, "it holds no machine");
	else if (format != BUNDLE_FORMAT)
		rc = error_set(err, ERR_USAGE, "it was written by a newer croft (%s), in format %d", version, format);
	if (rc > 0) {
		p->was = xstrdup(name);
		p->name = xstrdup(p->o->name ? p->o->name : path_basename(name));
		json_array_foreach(images, i, img)
		{
			const char *was = json_string_value(json_object_get(img, "name")), *sha = json_string_value(json_object_get(img, "sha256"));

			if (rc > 0 && place_image(p, was ? was : "", sha ? sha : "", err) < 0)
				rc = -1;
		}
	}
	json_decref(o);
	return rc < 0 ? -1 : 0;
}

/* The folder of the machine to be. */
static int begin(struct importing *p, struct error **err)
{
	_cleanup_free_ char *parent = NULL, *log = NULL;

	if (machine_name_check(p->name, err) < 0)
		return -1;
	p->final = machine_dir_of(p->name);
	if (file_exists(p->final)) {
		error_set(err, ERR_STATE, "%s: a machine or group of that name exists", p->name);
		return error_hint(err, "take another name: --name NAME");
	}
	parent = path_dirname(p->final);
	if (file_mkdirs(parent, 0700, err) < 0)
		return -1;
	machine_sweep(parent);
	p->dir = xasprintf("%s/.tmp-%d-%s", parent, (int)getpid(), path_basename(p->final));
	log = path_join(p->dir, "log");
	return file_remove_tree(p->dir, err) < 0 ? -1 : file_mkdirs(log, 0700, err);
}

static int put_below(struct importing *p, const char *dir, const char *sub, struct error **err)
{
	_cleanup_free_ char *path = path_join(dir, sub), *parent = path_dirname(path);

	return file_mkdirs(parent, 0700, err) < 0 ? -1 : bundle_get_file(p->b, path, err);
}

/* Files of a machine's folder that nobody but croft writes here. */
static bool is_ours(const char *sub)
{
	return sub[0] == '.' || !strncmp(sub, "run/", 4) || !strncmp(sub, "log/", 4) || !strcmp(sub, "lock") || !strcmp(sub, "journal.json");
}

static int receive(struct importing *p, struct error **err)
{
	struct bundle_part part;
	int rc;

	while ((rc = bundle_next(p->b, &part, err)) > 0) {
		const char *sub = NULL;
		struct coming *img = NULL;

		if (!strncmp(part.name, BUNDLE_MACHINE, strlen(BUNDLE_MACHINE)))
			sub = part.name + strlen(BUNDLE_MACHINE);
		if (sub && !is_ours(sub)) {
			if (put_below(p, p->dir, sub, err) < 0)
				return -1;
			continue;
		}
		sub = NULL;
		if (!strncmp(part.name, BUNDLE_IMAGE, strlen(BUNDLE_IMAGE)))
			sub = strchr(part.name + strlen(BUNDLE_IMAGE), '/');
		if (sub)
			img = image_of(p, part.name + strlen(BUNDLE_IMAGE), (size_t)(sub - part.name) - strlen(BUNDLE_IMAGE));
		if (!sub || !img)
			return error_set(err, ERR_FAILED, "%s: no part of a machine", part.name);
		if ((img->dir ? put_below(p, img->dir, sub + 1, err) : bundle_skip(p->b, err)) < 0)
			return -1;
	}
	return rc;
}

static void leave_out(struct importing *p, struct strv *list, const char *what)
{
	if (list->len)
		log_info("machine %s: left out, since it was the other host's: %s", p->name, what);
	strv_free(list);
}

static void drop_text(char **field)
{
	free(STEAL(*field));
}

/* What belongs to the host where it was. */
static void leave_host(struct importing *p, struct machine_def *d)
{
	while (d->nshares) {
		log_info("machine %s: left out, since it was the other host's: share %s of %s", p->name, d->shares[0].tag, d->shares[0].path);
		machine_def_drop(d, "shares", 0);
	}
	leave_out(p, &d->usb, "USB devices");
	leave_out(p, &d->pci, "PCI devices");
	leave_out(p, &d->qemu_args, "arguments for QEMU");
	drop_text(&d->display_tls);
	drop_text(&d->display_listen);
	drop_text(&d->home);
	drop_text(&d->workdir);
	d->hugepages = 0;
	for (size_t i = 0; i < d->nnics; i++) {
		leave_out(p, &d->nics[i].guestforwards, "forwards to the host");
		if (!p->o->keep_identity)
			leave_out(p, &d->nics[i].forwards, "forwarded ports");
	}
}

/* Paths are those of here; files that did not come are none. */
static int fit_paths(struct importing *p, struct machine_def *d, struct error **err)
{
	size_t n;
	_cleanup_free_ struct bundle_outside *o = bundle_outside_of(d, &n);

	for (size_t i = 0; i < n; i++) {
		_cleanup_free_ char *file = xasprintf(BUNDLE_OUTSIDE "%s", o[i].key), *here = path_join(p->dir, file);

		if (!file_exists(here))
			return error_set(err, ERR_FAILED, "%s: %s is not in it", o[i].key, *o[i].field);
		free(*o[i].field);
		*o[i].field = path_join(p->final, file);
	}
	for (size_t i = 0; i < d->ndisks; i++) {
		struct coming *c = d->disks[i].image ? image_of(p, d->disks[i].image, strlen(d->disks[i].image)) : NULL;
		const char *file = d->disks[i].file;

		if (file && (!*file || *file == '.' || strchr(file, '/')))
			return error_set(err, ERR_FAILED, "disk %zu: '%s' is no file of the machine", i, file);
		if (d->disks[i].image && !c)
			return error_set(err, ERR_FAILED, "disk %zu: image %s is not in it", i, d->disks[i].image);
		if (c) {
			free(d->disks[i].image);
			d->disks[i].image = xstrdup(c->name);
		}
	}
	if (d->image) {
		struct coming *c = image_of(p, d->image, strlen(d->image));

		if (!c)
			return error_set(err, ERR_FAILED, "image %s is not in it", d->image);
		free(d->image);
		d->image = xstrdup(c->name);
	}
	return 0;
}

/* One definition, of the machine or of a snapshot of it, rewritten. */
static int fit_def(struct importing *p, const char *path, struct machine_def *d, struct error **err)
{
	_cleanup_doc_ struct doc *doc = doc_load(path, err);
	_cleanup_buf_ struct buf b = BUF_INIT;

	machine_def_init(d);
	if (!doc || machine_def_read(d, doc_root(doc), err) < 0)
		return -1;
	free(d->name);
	d->name = xstrdup(p->name);
	leave_host(p, d);
	if (fit_paths(p, d, err) < 0)
		return -1;
	if (!p->host_was)
		p->host_was = xstrdup(d->hostname ? d->hostname : path_basename(p->was));
	if (!p->o->keep_identity)
		machine_new_identity(d, p->was);
	machine_def_to_json(d, &b);
	return file_write(path, b.data, b.len, 0600, err);
}

/* A qcow2 file refers to nothing but the image that it shall lie over. */
static int fit_file(struct importing *p, const char *path, const struct coming *over, struct error **err)
{
	_cleanup_free_ char *backing = NULL, *final = NULL;
	const char *argv[] = { "qemu-img", "rebase", "-q", "-u", "-f", "qcow2", "-F", over ? over->format : NULL, "-b", NULL, path, NULL };

	if (bundle_backing(path, &backing, err) < 0)
		return -1;
	if (!backing)
		return 0;
	if (!over || !over->disk)
		return error_set(err, ERR_FAILED, "%s: lies over a file that is not in it, %s", path_basename(path), backing);
	if (over->dir) {
		_cleanup_free_ char *images = path_data("images"), *dir = path_join(images, over->name);

		final = path_join(dir, over->disk);
	}
	argv[9] = final ? final : over->disk;
	if (!strcmp(backing, argv[9]))
		return 0;
	return proc_run(argv, IMG_MS, NULL, NULL, err) < 0 ? -1 : snap_sync(path, err);
}

static int fit_disks(struct importing *p, const struct machine_def *d, struct error **err)
{
	struct machine m = { .name = p->name, .dir = p->dir };
	_cleanup_free_ char *nvram = path_join(p->dir, "nvram.qcow2");

	m.def = *d;
	for (size_t i = 0; i < d->ndisks; i++) {
		_cleanup_free_ char *outside = xasprintf("%s/" BUNDLE_OUTSIDE "disk-%zu", p->dir, i);
		_cleanup_free_ char *path = d->disks[i].path ? xstrdup(outside) : machine_disk_path(&m, i);
		const struct coming *over = NULL;

		for (size_t k = 0; d->disks[i].image && k < p->nimages; k++)
			if (!strcmp(p->images[k].name, d->disks[i].image))
				over = &p->images[k];
		if (d->disks[i].path && ((d->disks[i].media && !strcmp(d->disks[i].media, "cdrom")) ||
						(d->disks[i].format && strcmp(d->disks[i].format, "qcow2"))))
			continue;
		if (file_exists(path) && fit_file(p, path, over, err) < 0)
			return -1;
	}
	return file_exists(nvram) ? fit_file(p, nvram, NULL, err) : 0;
}

/* Without its identity a machine cannot go on in a memory that knows the old one: the disks' part stays. */
static int fit_snapshots(struct importing *p, struct error **err)
{
	struct machine m = { .name = p->name, .dir = p->dir };
	_cleanup_snapshots_ struct snapshots l = { 0 };

	if (snapshot_list(&m, &l, err) < 0)
		return -1;
	for (size_t i = 0; i < l.len; i++) {
		_cleanup_free_ char *json = snap_path(&m, l.v[i]->name, "machine.json"), *memory = snap_path(&m, l.v[i]->name, "memory.qcow2");
		_cleanup_(machine_def_clear) struct machine_def d = { 0 };

		if (fit_def(p, json, &d, err) < 0)
			return error_wrap(err, "snapshot %s", l.v[i]->name);
		if (p->o->keep_identity && l.v[i]->memory && fit_file(p, memory, NULL, err) < 0)
			return -1;
		free(STEAL(l.v[i]->group)); /* the group is not here */
		if (!p->o->keep_identity && l.v[i]->memory) {
			log_info("machine %s: snapshot %s: its memory is left out: it knows the other machine's identity", p->name, l.v[i]->name);
			l.v[i]->memory = false;
			l.v[i]->memory_bytes = 0;
			if (file_unlink(memory, err) < 0)
				return -1;
		}
		if (snap_write(&m, l.v[i]->name, l.v[i], err) < 0)
			return -1;
	}
	return 0;
}

static int fit_images(struct importing *p, struct error **err)
{
	for (size_t i = 0; i < p->nimages; i++) {
		struct coming *c = &p->images[i];
		_cleanup_free_ char *disk = NULL, *backing = NULL;

		if (!c->dir)
			continue;
		if (image_adopt_check(c->dir, c->name, &c->disk, &c->format, err) < 0)
			return error_wrap(err, "image %s", c->was);
		disk = c->disk ? path_join(c->dir, c->disk) : NULL;
		if (disk && c->format && !strcmp(c->format, "qcow2") && bundle_backing(disk, &backing, err) < 0)
			return error_wrap(err, "image %s", c->was);
		if (backing)
			return error_set(err, ERR_FAILED, "image %s: lies over a file that is not in it, %s", c->was, backing);
	}
	return 0;
}

static int sync_all(const char *dir, struct error **err)
{
	_cleanup_close_ int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 || syncfs(fd) < 0 ? error_errno(err, errno, "%s", dir) : 0;
}

static int put_in_place(struct importing *p, struct error **err)
{
	size_t done = 0;

	if (sync_all(p->dir, err) < 0)
		return -1;
	for (; done < p->nimages; done++)
		if (p->images[done].dir && image_adopt(p->images[done].dir, p->images[done].name, err) < 0)
			break;
	if (done == p->nimages && file_rename(p->dir, p->final, err) == 0)
		return 0;
	while (done-- > 0) {
		_cleanup_error_ struct error *e = NULL;
		_cleanup_free_ char *images = path_data("images"), *dir = path_join(images, p->images[done].name);

		if (p->images[done].dir)
			file_remove_tree(dir, &e);
	}
	return -1;
}

static int import(struct importing *p, struct error **err)
{
	_cleanup_(machine_def_clear) struct machine_def d = { 0 };
	_cleanup_free_ char *json = NULL;

	if (read_about(p, err) < 0 || begin(p, err) < 0 || receive(p, err) < 0)
		return -1;
	json = path_join(p->dir, "machine.json");
	if (fit_images(p, err) < 0 || fit_def(p, json, &d, err) < 0 || fit_disks(p, &d, err) < 0 || fit_snapshots(p, err) < 0 ||
		(!p->o->keep_identity && machine_renew_later(p->dir, p->host_was, err) < 0))
		return -1;
	return put_in_place(p, err);
}

int machine_import(int fd, const char *what, const struct machine_import_opts *o, char **name, struct error **err)
{
	struct bundle_opts bo = { .what = what, .progress = o->progress, .arg = o->arg };
	struct importing p = { .o = o, .images_lock = -1 };
	_cleanup_error_ struct error *e = NULL;
	int rc = -1;

	p.b = bundle_open(fd, &bo, err);
	if (!p.b)
		return -1;
	rc = import(&p, err);
	if (rc == 0)
		*name = xstrdup(p.name);
	else
		error_wrap(err, "importing %s", what);
	bundle_in_free(p.b);
	if (p.dir)
		file_remove_tree(p.dir, &e);
	for (size_t i = 0; i < p.nimages; i++) {
		image_adopt_abort(p.images[i].dir);
		free(p.images[i].was);
		free(p.images[i].name);
		free(p.images[i].dir);
		free(p.images[i].disk);
		free(p.images[i].format);
	}
	free(p.images);
	cleanup_close(&p.images_lock);
	free(p.was);
	free(p.host_was);
	free(p.name);
	free(p.dir);
	free(p.final);
	return rc;
}
