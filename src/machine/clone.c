/* SPDX-License-Identifier: Apache-2.0 */
/* A machine made from another one, or from a snapshot of it. Built beside its place and renamed, as machine_create does. */
#include "machine/clone.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "snapint.h"

#include <string.h>
#include <unistd.h>

#define CONVERT_MS (24 * 3600 * 1000) /* as long as it takes; a hanging disk is the host's */

struct cloning {
	struct machine *m;
	const struct clone_opts *o;
	struct snapshot *s; /* or NULL */
	struct machine copy; /* name and definition of the new one, dir: where it is built */
};

/* One qcow2 file, as it is or as it was at the snapshot. */
static int convert(const struct cloning *c, const char *node, const char *from, const char *to, const struct image *img, struct error **err)
{
	_cleanup_free_ char *at = c->s && strv_has(&c->s->nodes, node) ? xasprintf("snapshot.name=%s", c->s->name) : NULL;
	const char *argv[20] = { "qemu-img", "convert", "-q", "-f", "qcow2", "-O", "qcow2" };
	size_t n = 7;

	if (at) {
		/* A snapshot does not change, so that QEMU may have the file open. */
		argv[n++] = "-U";
		argv[n++] = "-l";
		argv[n++] = at;
	}
	if (img && img->disk && !c->o->full) {
		argv[n++] = "-B";
		argv[n++] = img->disk;
		argv[n++] = "-F";
		argv[n++] = img->format;
	}
	argv[n++] = from;
	argv[n++] = to;
	if (proc_run(argv, CONVERT_MS, NULL, NULL, err) < 0)
		return -1;
	if (c->o->same && at && snap_img("-c", c->s->name, to, err) < 0)
		return -1;
	return snap_sync(to, err);
}

static int clone_disks(const struct cloning *c, struct error **err)
{
	const struct machine_def *d = &c->copy.def;

	for (size_t i = 0; i < d->ndisks; i++) {
		_cleanup_free_ char *from = machine_disk_path(c->m, i), *to = machine_disk_path(&c->copy, i), *node = xasprintf("disk%zu", i);
		_cleanup_image_ struct image *img = d->disks[i].image ? image_open(d->disks[i].image, err) : NULL;

		if (d->disks[i].image && !img)
			return error_wrap(err, "disk %zu", i);
		if (d->disks[i].path && !d->disks[i].readonly && (!d->disks[i].media || strcmp(d->disks[i].media, "cdrom"))) {
			error_set(err, ERR_STATE, "disk %zu is %s, which two machines cannot both write", i, d->disks[i].path);
			return error_hint(err, "copy that file, and make the machine anew with it");
		}
		if (!d->disks[i].path && file_exists(from) && convert(c, node, from, to, img, err) < 0)
			return error_wrap(err, "disk %zu", i);
	}
	if (machine_is_uefi(d)) {
		_cleanup_free_ char *from = machine_nvram_path(c->m), *to = machine_path(&c->copy, "nvram.qcow2");

		if (d->nvram)
			return error_set(err, ERR_STATE, "its UEFI variables are %s, which two machines cannot both write", d->nvram);
		if (convert(c, "fw-vars", from, to, NULL, err) < 0)
			return -1;
	}
	return 0;
}

static const char *last_part(const char *full)
{
	const char *slash = strrchr(full, '/');

	return slash ? slash + 1 : full;
}

/* Another machine: what tells it from all others is made from its own name. */
void machine_new_identity(struct machine_def *d, const char *from)
{
	for (size_t i = 0; i < d->nnics; i++) {
		struct machine_nic *n = &d->nics[i];
		char mac[18];

		machine_mac(d->name, (unsigned)i, mac);
		free(n->mac);
		n->mac = xstrdup(mac);
		if (!strcmp(n->net, "group")) {
			log_info("machine %s: NIC %zu was in its group's network; it is plugged in nowhere", d->name, i);
			free(n->net);
			n->net = xstrdup("none");
		}
		free(STEAL(n->tap));
		free(STEAL(n->address));
		free(STEAL(n->gateway));
		free(STEAL(n->dns));
	}
	if (d->hostname && !strcmp(d->hostname, last_part(from))) {
		free(d->hostname);
		d->hostname = xstrdup(last_part(d->name));
	}
}

static void drop_forwards(struct machine_def *d)
{
	for (size_t i = 0; i < d->nnics; i++) {
		if (d->nics[i].forwards.len)
			log_info("machine %s: its forwarded ports are left out: they are the other machine's", d->name);
		strv_free(&d->nics[i].forwards);
	}
}

/* The snapshot itself, so that the copy can go back to it. */
static int carry_snapshot(const struct cloning *c, const struct buf *def, struct error **err)
{
	_cleanup_free_ char *dir = snap_path(&c->copy, c->s->name, NULL), *json = snap_path(&c->copy, c->s->name, "machine.json");
	_cleanup_free_ char *from = snap_path(c->m, c->s->name, "memory.qcow2"), *to = snap_path(&c->copy, c->s->name, "memory.qcow2");
	_cleanup_free_ char *tpm = snap_path(c->m, c->s->name, "tpm"), *tpm_to = snap_path(&c->copy, c->s->name, "tpm");

	free(STEAL(c->s->parent)); /* the copy begins here */
	if (file_mkdirs(dir, 0700, err) < 0 || file_write(json, def->data, def->len, 0600, err) < 0 ||
		(file_exists(from) && file_copy(from, to, 0600, err) < 0) || snap_copy_dir(tpm, tpm_to, err) < 0)
		return -1;
	return snap_write(&c->copy, c->s->name, c->s, err) < 0 ? -1 : snap_set_current(&c->copy, c->s->name, err);
}

static int fill(const struct cloning *c, struct error **err)
{
	_cleanup_free_ char *log = machine_path(&c->copy, "log"), *json = machine_path(&c->copy, "machine.json");
	_cleanup_free_ char *tpm = machine_path(c->m, "tpm"), *tpm_to = machine_path(&c->copy, "tpm");
	_cleanup_free_ char *user = machine_path(c->m, "user-data"), *user_to = machine_path(&c->copy, "user-data");
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (file_remove_tree(c->copy.dir, err) < 0 || file_mkdirs(log, 0700, err) < 0 || clone_disks(c, err) < 0 ||
		snap_copy_dir(tpm, tpm_to, err) < 0 || (file_exists(user) && file_copy(user, user_to, 0600, err) < 0))
		return -1;
	machine_def_to_json(&c->copy.def, &b);
	if (c->o->same && c->s && carry_snapshot(c, &b, err) < 0)
		return -1;
	if (!c->o->same && machine_renew_later(c->copy.dir, c->m->def.hostname, err) < 0)
		return -1;
	return file_write(json, b.data, b.len, 0600, err);
}

static int read_def(const struct cloning *c, const char *name, struct machine_def *d, struct error **err)
{
	_cleanup_free_ char *path = c->s ? snap_path(c->m, c->s->name, "machine.json") : machine_path(c->m, "machine.json");
	_cleanup_doc_ struct doc *doc = doc_load(path, err);

	machine_def_init(d);
	if (!doc || machine_def_read(d, doc_root(doc), err) < 0)
		return -1;
	free(d->name);
	d->name = xstrdup(name);
	return 0;
}

static int clone_locked(struct cloning *c, const char *to, struct error **err)
{
	_cleanup_free_ char *dir = machine_dir_of(to), *parent = path_dirname(dir);
	_cleanup_error_ struct error *e = NULL;
	struct proc_id id;

	if (file_exists(dir))
		return error_set(err, ERR_STATE, "%s: a machine or group of that name exists", to);
	if (c->o->snapshot && !(c->s = snapshot_open(c->m, c->o->snapshot, err)))
		return -1;
	if (!c->s && machine_qemu(c->m, &id)) {
		error_set(err, ERR_STATE, "it is running");
		return error_hint(err, "stop it, or clone a snapshot of it: croft vm snapshot %s, then --snapshot LAST", c->m->name);
	}
	if (read_def(c, to, &c->copy.def, err) < 0 || file_mkdirs(parent, 0700, err) < 0)
		return -1;
	if (c->o->same)
		drop_forwards(&c->copy.def);
	else
		machine_new_identity(&c->copy.def, c->m->name);
	machine_sweep(parent);
	c->copy.dir = xasprintf("%s/.tmp-%d-%s", parent, (int)getpid(), path_basename(dir));
	if (fill(c, err) == 0 && file_rename(c->copy.dir, dir, err) == 0)
		return 0;
	file_remove_tree(c->copy.dir, &e);
	return -1;
}

int machine_clone(struct machine *m, const char *to, const struct clone_opts *o, struct error **err)
{
	struct cloning c = { .m = m, .o = o, .copy.name = (char *)to };
	_cleanup_close_ int lock = -1;
	int rc = -1;

	if (machine_name_check(to, err) < 0)
		return -1;
	lock = machine_lock(m, err);
	if (lock >= 0 && snap_recover_locked(m, err) == 0)
		rc = clone_locked(&c, to, err);
	if (rc < 0)
		error_wrap(err, "machine %s: cloning", m->name);
	machine_def_clear(&c.copy.def);
	free(c.copy.dir);
	snapshot_free(c.s);
	return rc;
}
