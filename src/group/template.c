/* SPDX-License-Identifier: Apache-2.0 */
/* From vm_template and vm_params to a machine's definition. */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/units.h"
#include "conf/settings.h"
#include "image/image.h"
#include "internal.h"

#include <string.h>

static void take(struct group_node *n, char *image, char *taken)
{
	free(n->image);
	free(n->taken);
	n->image = image;
	n->taken = taken;
}

static int take_default(struct group_node *n, const char *why, struct error **err)
{
	const char *name = settings_get("image.default");
	_cleanup_image_ struct image *img = image_open(name, err);

	if (!img)
		return error_wrap(err, "%s", n->full);
	take(n, xstrdup(name), xasprintf("image %s (%s)", name, why));
	return 0;
}

/* Foreign images that boot by themselves are taken for cloud images: without cloud-init nothing could be done with them at all. */
static bool understands_cloud_init(const char *image)
{
	_cleanup_error_ struct error *e = NULL;
	_cleanup_image_ struct image *img = image_open(image, &e);

	return img && img->disk && (img->cloud_init || (!img->agent && !img->kernel && !(img->format && !strcmp(img->format, "iso"))));
}

/* templates/T.yaml is cloud-init user-data. What it asks for is not done to croft's images, which is said once. */
static int take_cloud_init(struct group *g, struct group_node *n, const char *path, struct error **err)
{
	_cleanup_doc_ struct doc *d = doc_load(path, err);
	_cleanup_free_ char *why = xasprintf("setting image.default, for template %s", n->template), *text = NULL;

	if (!d || take_default(n, why, err) < 0)
		return -1;
	if (understands_cloud_init(n->image)) {
		free(n->cloud_init);
		n->cloud_init = xstrdup(path);
		free(n->taken);
		n->taken = xasprintf("image %s (setting image.default) with %s", n->image, path);
		return 0;
	}
	text = xasprintf("template %s is cloud-init user-data: %s is taken, the user-data is not applied: it has no cloud-init", n->template, n->image);
	if (!strv_has(&g->warnings, text))
		strv_add(&g->warnings, text);
	return 0;
}

static int take_machine_file(struct group_node *n, const char *path, struct error **err)
{
	_cleanup_doc_ struct doc *d = doc_load(path, err);
	struct machine_def def;
	int rc;

	if (!d)
		return -1;
	machine_def_init(&def);
	rc = machine_def_read(&def, doc_root(d), err) < 0 ? -1 : machine_def_check(&def, doc_root(d), err);
	if (rc == 0) {
		n->machine_file = xstrdup(path);
		take(n, xstrdup(def.image), xasprintf("machine file %s", path));
	}
	machine_def_clear(&def);
	return rc;
}

static int resolve(struct group *g, struct group_node *n, struct error **err)
{
	static const char *const ends[] = { "", ".yaml", ".yml", ".json" };
	_cleanup_free_ char *cloud = xasprintf("%s/templates/%s.yaml", g->dir, n->template ? n->template : "");
	_cleanup_strv_ struct strv all = STRV_INIT;
	_cleanup_error_ struct error *e = NULL;
	_cleanup_free_ char *list = NULL;
	_cleanup_image_ struct image *img = NULL;

	if (n->host) {
		take(n, NULL, xasprintf("real computer %s", n->host));
		return 0;
	}
	if (!n->template)
		return take_default(n, "setting image.default", err);
	if (file_exists(cloud))
		return take_cloud_init(g, n, cloud, err);
	img = image_open(n->template, &e);
	if (img) {
		take(n, xstrdup(n->template), xasprintf("image %s", n->template));
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		_cleanup_free_ char *name = xasprintf("%s%s", n->template, ends[i]), *path = path_join(g->dir, name);

		if (file_exists(path) && !file_is_dir(path))
			return take_machine_file(n, path, err);
	}
	error_clear(&e);
	image_names(&all, &e);
	list = strv_join(&all, ", ");
	node_error(node_get(n->at, "vm_template"), err, "vm_template: '%s' is neither %s nor an image nor a machine file", n->template, cloud);
	return error_hint(err, "images are: %s", all.len ? list : "none yet; make one with croft image make tiny");
}

/* The node before it in the file, when that has the same template. */
static const struct group_node *like(const struct group *g, size_t i)
{
	const struct group_node *a = i ? &g->nodes[i - 1] : NULL, *b = &g->nodes[i];

	return a && a->taken && !a->host && !b->host && a->template && b->template && !strcmp(a->template, b->template) ? a : NULL;
}

int group_templates(struct group *g, struct error **err)
{
	for (size_t i = 0; i < g->nnodes; i++) {
		struct group_node *n = &g->nodes[i];
		const struct group_node *same = n->gone ? n : like(g, i);

		if (!same && resolve(g, n, err) < 0)
			return -1;
		if (same && same != n) {
			take(n, xstrdup(same->image), xstrdup(same->taken));
			free(n->machine_file);
			n->machine_file = xstrdup(same->machine_file);
			free(n->cloud_init);
			n->cloud_init = xstrdup(same->cloud_init);
		}
	}
	return 0;
}

/* The image's disk, as large as the file says; an image is never cut. */
static int set_disk(const struct group_node *n, struct machine_def *d, struct error **err)
{
	_cleanup_image_ struct image *img = image_open(d->image, err);
	uint64_t size = n->disk;

	if (!img)
		return -1;
	if (!img->disk || (img->format && !strcmp(img->format, "iso")) || d->ndisks)
		return 0;
	if (size < img->disk_size)
		size = img->disk_size;
	d->disks = xcalloc(1, sizeof(*d->disks));
	d->disks[d->ndisks++] = (struct machine_disk){ .image = xstrdup(d->image), .size = size, .discard = true, .boot = -1 };
	return 0;
}

/* The group's NICs in the order of the file; what a machine file says of models stays. The first has the way out. */
static void set_nics(const struct group *g, const struct group_node *n, struct machine_def *d)
{
	for (size_t i = 0; i < n->nnics; i++) {
		const struct group_zone *z = &g->zones[n->nics[i].zone];
		struct machine_nic *nic;

		if (i == d->nnics) {
			d->nics = xreallocarray(d->nics, d->nnics + 1, sizeof(*d->nics));
			d->nics[d->nnics++] = (struct machine_nic){ 0 };
		}
		nic = &d->nics[i];
		free(nic->mac);
		free(nic->net);
		free(STEAL(nic->tap));
		free(nic->address);
		free(nic->gateway);
		free(nic->dns);
		nic->mac = xstrdup(n->nics[i].mac);
		nic->net = xstrdup("group");
		if (g->kernel) {
			char tap[16];

			group_tap_name(n, i, tap);
			nic->tap = xstrdup(tap);
		}
		nic->address = xasprintf("%s/%u", n->nics[i].address, g->zones[n->nics[i].zone].bits);
		nic->gateway = i ? NULL : xstrdup(z->gateway);
		nic->dns = i ? NULL : xstrdup(z->gateway);
	}
}

int group_machine_def(const struct group *g, const struct group_node *n, struct machine_def *d, struct error **err)
{
	machine_def_init(d);
	if (n->host) {
		free(d->name);
		d->name = xstrdup(n->full);
		d->host = xstrdup(n->host);
		d->ssh_key = n->ssh_key ? xstrdup(n->ssh_key) : NULL;
		return 0;
	}
	if (n->machine_file) {
		_cleanup_doc_ struct doc *doc = doc_load(n->machine_file, err);

		if (!doc || machine_def_read(d, doc_root(doc), err) < 0)
			return -1;
	}
	free(d->name);
	d->name = xstrdup(n->full);
	if (!d->image && n->image)
		d->image = xstrdup(n->image);
	if (!n->machine_file || n->has_cpu) {
		d->sockets = d->threads = 1;
		d->cores = (unsigned)n->cpu;
	}
	if (!n->machine_file || n->has_memory)
		d->memory = n->memory;
	if (!d->hostname)
		d->hostname = xstrdup(n->name);
	if (n->ssh) {
		free(d->ssh);
		d->ssh = xstrdup(n->ssh);
	}
	set_nics(g, n, d);
	if (!d->cloud_init && d->image && (n->cloud_init || understands_cloud_init(d->image)))
		d->cloud_init = xstrdup(n->cloud_init ? n->cloud_init : "on");
	if (n->ssh && !d->cloud_init) {
		error_set(err, ERR_USAGE, "node %s: ssh: %s knows no cloud-init, by which croft's key gets there", n->name, n->taken ? n->taken : "its image");
		return error_hint(err, "without `ssh` a machine is reached by croft's guest program");
	}
	return d->image ? set_disk(n, d, err) : 0;
}
