/* SPDX-License-Identifier: Apache-2.0 */
#include "bundleint.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define IMG_MS 60000

struct exporting {
	struct machine *m;
	struct bundle_out *b;
	struct strv images;
};

struct bundle_outside *bundle_outside_of(struct machine_def *d, size_t *n)
{
	struct bundle_outside *ret = xcalloc(d->ndisks + 4, sizeof(*ret));
	char **fields[] = { &d->kernel, &d->initrd, &d->nvram };
	static const char *const keys[] = { "kernel", "initrd", "nvram" };

	*n = 0;
	for (size_t i = 0; i < d->ndisks; i++)
		if (d->disks[i].path) {
			struct bundle_outside *o = &ret[(*n)++];

			o->field = &d->disks[i].path;
			snprintf(o->key, sizeof(o->key), "disk-%zu", i);
			o->qcow2 = !d->disks[i].format || !strcmp(d->disks[i].format, "qcow2");
			if (d->disks[i].media && !strcmp(d->disks[i].media, "cdrom") && !d->disks[i].format)
				o->qcow2 = false;
		}
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		if (*fields[i]) {
			struct bundle_outside *o = &ret[(*n)++];

			o->field = fields[i];
			snprintf(o->key, sizeof(o->key), "%s", keys[i]);
			o->qcow2 = i == 2;
		}
	return ret;
}

int bundle_backing(const char *file, char **ret, struct error **err)
{
	const char *argv[] = { "qemu-img", "info", "-f", "qcow2", "--output=json", file, NULL };
	_cleanup_buf_ struct buf out = BUF_INIT;
	const char *data;
	json_t *info;

	*ret = NULL;
	if (proc_run(argv, IMG_MS, &out, NULL, err) < 0)
		return error_wrap(err, "%s", file);
	info = json_loadb(buf_str(&out), out.len, 0, NULL);
	if (!json_is_object(info))
		return error_set(err, ERR_FAILED, "%s: what qemu-img says of it is not JSON", file);
	*ret = xstrdup(json_string_value(json_object_get(info, "backing-filename")));
	data = json_string_value(
		json_object_get(json_object_get(json_object_get(info, "format-specific"), "data"), "data-file"));
	if (data)
		error_set(err, ERR_STATE, "%s: keeps its data in another file, %s", file, data);
	json_decref(info);
	return data ? -1 : 0;
}

/* What is of this host or of this run, or can be made anew. */
static bool stays_here(const char *name)
{
	static const char *const no[] = { "run", "log", "lock", "journal.json", "display.password", "machine.json" };

	for (size_t i = 0; i < ARRAY_SIZE(no); i++)
		if (!strcmp(name, no[i]))
			return true;
	return name[0] == '.';
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

/* All files below dir as parts "PREFIX/...". */
static int put_folder(struct exporting *e, const char *dir, const char *prefix, bool top, struct error **err)
{
	struct dirent **list = NULL;
	int n = scandir(dir, &list, NULL, by_name), rc = 0;

	if (n < 0)
		return error_errno(err, errno, "%s", dir);
	for (int i = 0; i < n; i++) {
		const char *name = list[i]->d_name;
		_cleanup_free_ char *path = path_join(dir, name), *part = xasprintf("%s/%s", prefix, name);
		struct stat st;

		if (rc == 0 && !(top ? stays_here(name) : name[0] == '.') && lstat(path, &st) == 0) {
			if (S_ISDIR(st.st_mode))
				rc = put_folder(e, path, part, false, err);
			else if (S_ISREG(st.st_mode))
				rc = bundle_put_file(e->b, part, path, err);
		}
		free(list[i]);
	}
	free(list);
	return rc;
}

static int put_about(struct exporting *e, struct error **err)
{
	json_t *o = json_object(), *images = json_array();
	char *text;
	int rc = 0;

	json_object_set_new(o, "format", json_integer(BUNDLE_FORMAT));
	json_object_set_new(o, "kind", json_string("machine"));
	json_object_set_new(o, "name", json_string(e->m->name));
	json_object_set_new(o, "croft", json_string(CROFT_VERSION));
	for (size_t i = 0; rc == 0 && i < e->images.len; i++) {
		_cleanup_image_ struct image *img = image_open(e->images.v[i], err);

		if (img)
			json_array_append_new(images, json_pack("{s:s, s:s}", "name", img->name, "sha256", img->sha256 ? img->sha256 : ""));
		rc = img ? 0 : -1;
	}
	json_object_set_new(o, "images", images);
	text = json_dumps(o, JSON_INDENT(2));
	json_decref(o);
	if (rc == 0)
		rc = bundle_put_bytes(e->b, BUNDLE_ABOUT, text, strlen(text), err);
	free(text);
	return rc;
}

static int put_images(struct exporting *e, struct error **err)
{
	for (size_t i = 0; i < e->images.len; i++) {
		_cleanup_image_ struct image *img = image_open(e->images.v[i], err);
		_cleanup_free_ char *prefix = xasprintf(BUNDLE_IMAGE "%s", e->images.v[i]), *backing = NULL;

		if (!img || (img->disk && !strcmp(img->format, "qcow2") && bundle_backing(img->disk, &backing, err) < 0))
			return -1;
		if (backing)
			return error_set(err, ERR_STATE, "image %s: its disk lies over another file, %s", img->name, backing);
		if (put_folder(e, img->dir, prefix, false, err) < 0)
			return error_wrap(err, "image %s", img->name);
	}
	return 0;
}

static int put_outside(struct exporting *e, struct error **err)
{
	size_t n;
	_cleanup_free_ struct bundle_outside *o = bundle_outside_of(&e->m->def, &n);

	for (size_t i = 0; i < n; i++) {
		_cleanup_free_ char *part = xasprintf(BUNDLE_MACHINE BUNDLE_OUTSIDE "%s", o[i].key), *backing = NULL;

		if (o[i].qcow2 && bundle_backing(*o[i].field, &backing, err) < 0)
			return -1;
		if (backing) {
			error_set(err, ERR_STATE, "%s: lies over another file, %s", *o[i].field, backing);
			return error_hint(err, "make it stand alone: qemu-img rebase -b '' %s", *o[i].field);
		}
		if (bundle_put_file(e->b, part, *o[i].field, err) < 0)
			return -1;
	}
	return 0;
}

static int put_all(struct exporting *e, struct error **err)
{
	_cleanup_buf_ struct buf def = BUF_INIT;

	machine_def_to_json(&e->m->def, &def);
	if (put_about(e, err) < 0 || put_images(e, err) < 0 ||
		bundle_put_bytes(e->b, BUNDLE_MACHINE "machine.json", def.data, def.len, err) < 0 ||
		put_folder(e, e->m->dir, "machine", true, err) < 0 || put_outside(e, err) < 0)
		return -1;
	return bundle_finish(e->b, err);
}

int machine_export(struct machine *m, int fd, const char *what, const struct machine_export_opts *o, struct error **err)
{
	_cleanup_close_ int lock = machine_lock(m, err);
	struct bundle_opts bo = { .what = what, .progress = o->progress, .arg = o->arg };
	struct exporting e = { .m = m };
	struct proc_id id;
	int rc = -1;

	if (lock < 0 || snap_recover_locked(m, err) < 0)
		return -1;
	if (machine_qemu(m, &id)) {
		error_set(err, ERR_STATE, "machine %s: it is running", m->name);
		return error_hint(err, "stop it first: croft vm stop %s; or export a clone of a snapshot of it", m->name);
	}
	if (m->def.image)
		strv_add(&e.images, m->def.image);
	for (size_t i = 0; i < m->def.ndisks; i++)
		if (m->def.disks[i].image && !strv_has(&e.images, m->def.disks[i].image))
			strv_add(&e.images, m->def.disks[i].image);
	e.b = bundle_create(fd, &bo, err);
	if (e.b)
		rc = put_all(&e, err);
	bundle_out_free(e.b);
	strv_free(&e.images);
	return rc < 0 ? error_wrap(err, "machine %s: exporting", m->name) : 0;
}
