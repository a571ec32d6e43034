/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The content of disks at one instant. Stopped: qemu-nbd serves the file. Running: QEMU keeps what the guest overwrites in a temporary file
 * (blockdev-backup, sync none: docs/interop/live-block-operations, "fleecing"), and serves disk and file as one; the bitmap of
 * changes is begun in the same transaction.
 */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "backupint.h"
#include "helper/helper.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>

#define IMG_MS 60000
#define FREEZE_MS 5000
#define FLEECE "croft-fleece-"

static int command(struct qmp *q, const char *name, json_t *args, json_t **ret, struct error **err)
{
	int rc = qmp_command(q, name, args, SNAP_QMP_MS, ret, err);

	json_decref(args);
	return rc;
}

struct nbd *backup_serve(const char *dir, const char *path, size_t index, bool rw, const char *bitmap, struct proc *server, struct error **err)
{
	_cleanup_free_ char *name = xasprintf("nbd-%zu.sock", index);

	return nbd_serve(&(struct nbd_serve){ .dir = dir, .sock = name, .disk = path, .format = "qcow2", .rw = rw, .bitmap = bitmap }, server, err);
}

/* What qemu-img info tells of bitmaps: names of ours; *whole is set when `want` is there and was closed in order. */
static int file_bitmaps(const char *path, const char *want, bool *whole, struct strv *ours, struct error **err)
{
	const char *argv[] = { "qemu-img", "info", "--output=json", path, NULL };
	_cleanup_buf_ struct buf out = BUF_INIT;
	json_t *info, *list;

	if (proc_run(argv, IMG_MS, &out, NULL, err) < 0)
		return -1;
	info = json_loadb(buf_str(&out), out.len, 0, NULL);
	list = json_object_get(json_object_get(json_object_get(info, "format-specific"), "data"), "bitmaps");
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *b = json_array_get(list, i), *flags = json_object_get(b, "flags");
		const char *name = json_string_value(json_object_get(b, "name"));
		bool in_use = false;

		for (size_t k = 0; k < json_array_size(flags); k++)
			in_use |= !strcmp(json_string_value(json_array_get(flags, k)), "in-use");
		if (name && !strncmp(name, BACKUP_BITMAP, strlen(BACKUP_BITMAP)))
			strv_add(ours, name);
		if (name && want && !strcmp(name, want))
			*whole = !in_use;
	}
	json_decref(info);
	return 0;
}

static int open_stopped(struct machine *m, const char *old, struct backup_source *v, size_t n, struct error **err)
{
	for (size_t i = 0; i < n; i++) {
		_cleanup_strv_ struct strv ours = STRV_INIT;

		if (file_bitmaps(v[i].drive->path, old, &v[i].tracked, &ours, err) < 0)
			return -1;
		v[i].nbd = backup_serve(m->dir, v[i].drive->path, i, false, v[i].tracked ? old : NULL, &v[i].server, err);
		if (!v[i].nbd)
			return -1;
	}
	return 0;
}

static const json_t *find_node(const json_t *nodes, const char *name)
{
	for (size_t i = 0; i < json_array_size(nodes); i++) {
		const char *is = json_string_value(json_object_get(json_array_get(nodes, i), "node-name"));

		if (is && !strcmp(is, name))
			return json_array_get(nodes, i);
	}
	return NULL;
}

static bool bitmap_whole(const json_t *node, const char *name)
{
	const json_t *list = json_object_get(node, "dirty-bitmaps");

	for (size_t i = 0; name && i < json_array_size(list); i++) {
		const json_t *b = json_array_get(list, i);
		const char *is = json_string_value(json_object_get(b, "name"));

		if (is && !strcmp(is, name))
			return json_is_true(json_object_get(b, "recording")) && !json_is_true(json_object_get(b, "inconsistent"));
	}
	return false;
}

static char *fleece_path(const struct machine *m, const char *node)
{
	_cleanup_free_ char *name = xasprintf("run/fleece-%s.qcow2", node);

	return machine_path(m, name);
}

static int add_fleece(struct machine *m, struct qmp *q, const json_t *node, const char *name, struct error **err)
{
	_cleanup_free_ char *path = fleece_path(m, name), *fleece = xasprintf(FLEECE "%s", name), *size = NULL;
	uint64_t bytes = (uint64_t)json_integer_value(json_object_get(json_object_get(node, "image"), "virtual-size"));

	size = xasprintf("%" PRIu64, bytes);
	if (!bytes)
		return error_set(err, ERR_STATE, "QEMU has no disk %s", name);
	if (proc_run((const char *const[]){ "qemu-img", "create", "-q", "-f", "qcow2", path, size, NULL }, IMG_MS, NULL, NULL, err) < 0)
		return -1;
	return command(q, "blockdev-add",
		json_pack("{s:s, s:s, s:{s:s, s:s}, s:s}", "driver", "qcow2", "node-name", fleece, "file", "driver", "file", "filename", path,
			"backing", name),
		NULL, err);
}

static json_t *action(const char *type, json_t *data)
{
	return json_pack("{s:s, s:o}", "type", type, "data", data);
}

static json_t *transaction(const char *old, const char *new, const struct backup_source *v, size_t n)
{
	json_t *a = json_array();

	for (size_t i = 0; i < n; i++) {
		const char *node = v[i].drive->node;
		_cleanup_free_ char *fleece = xasprintf(FLEECE "%s", node);

		if (v[i].tracked) {
			json_array_append_new(a, action("block-dirty-bitmap-add",
							json_pack("{s:s, s:s, s:b}", "node", node, "name", BACKUP_NOW, "disabled", 1)));
			json_array_append_new(a, action("block-dirty-bitmap-merge",
							json_pack("{s:s, s:s, s:[s]}", "node", node, "target", BACKUP_NOW, "bitmaps", old)));
		}
		json_array_append_new(a,
			action("block-dirty-bitmap-add", json_pack("{s:s, s:s, s:b}", "node", node, "name", new, "persistent", 1)));
		json_array_append_new(a, action("blockdev-backup",
						json_pack("{s:s, s:s, s:s, s:s}", "job-id", fleece, "device", node, "target", fleece, "sync", "none")));
	}
	return json_pack("{s:o}", "actions", a);
}

void backup_rest(struct machine *m, struct backup_rest *r)
{
	_cleanup_error_ struct error *e = NULL;

	r->agent = machine_state(m) == MACHINE_RUNNING ? machine_agent(m, FREEZE_MS, &e) : NULL;
	r->freeze = r->agent ? agent_freeze(r->agent, FREEZE_MS, &e) : NULL;
	if (!r->freeze)
		log_info("machine %s: its file systems are copied as after a power cut%s%s", m->name, e ? ": " : "", e ? e->msg : "");
}

void backup_stir(struct machine *m, struct backup_rest *r)
{
	_cleanup_error_ struct error *e = NULL;

	if (r->freeze && agent_thaw(r->freeze, &e) < 0)
		log_warn("machine %s: thawing its file systems: %s", m->name, e->msg);
	agent_free(r->agent);
	*r = (struct backup_rest){ 0 };
}

int backup_sources_export(struct qmp *q, const struct backup_source *v, size_t n, struct error **err)
{
	int rc = command(q, "nbd-server-start",
		json_pack("{s:{s:s, s:{s:s}}}", "addr", "type", "unix", "data", "path", HELPER_RUN_PATH "/nbd.sock"), NULL, err);

	for (size_t i = 0; rc == 0 && i < n; i++) {
		const char *node = v[i].drive->node;
		_cleanup_free_ char *fleece = xasprintf(FLEECE "%s", node);
		json_t *args = json_pack("{s:s, s:s, s:s, s:s}", "type", "nbd", "id", fleece, "node-name", fleece, "name", node);

		if (v[i].tracked)
			json_object_set_new(args, "bitmaps", json_pack("[s]", BACKUP_NOW));
		rc = command(q, "block-export-add", args, NULL, err);
	}
	return rc;
}

int backup_sources_prepare(struct machine *m, struct qmp *q, const char *old, struct backup_source *v, size_t n, struct error **err)
{
	json_t *nodes = NULL;
	int rc = command(q, "query-named-block-nodes", json_pack("{s:b}", "flat", 1), &nodes, err);

	for (size_t i = 0; rc == 0 && i < n; i++) {
		const json_t *node = find_node(nodes, v[i].drive->node);

		v[i].tracked = bitmap_whole(node, old);
		rc = add_fleece(m, q, node, v[i].drive->node, err);
	}
	json_decref(nodes);
	return rc;
}

int backup_sources_fix(struct qmp *q, const char *old, const char *new, const struct backup_source *v, size_t n, struct error **err)
{
	return command(q, "transaction", transaction(old, new, v, n), NULL, err);
}

static int connect_running(struct machine *m, struct backup_source *v, size_t n, struct error **err)
{
	_cleanup_free_ char *sock = machine_path(m, "run/nbd.sock");

	for (size_t i = 0; i < n; i++) {
		v[i].nbd = nbd_connect(sock, v[i].drive->node, v[i].tracked ? BACKUP_NOW : NULL, err);
		if (!v[i].nbd)
			return -1;
	}
	return 0;
}

int backup_sources_open(struct machine *m, bool runs, const char *old, struct backup_source *v, size_t n, struct error **err)
{
	if ((runs ? connect_running(m, v, n, err) : open_stopped(m, old, v, n, err)) < 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		if (nbd_extents(v[i].nbd, &v[i].extents, &v[i].nextents, err) < 0)
			return -1;
	return 0;
}

void backup_sources_close(struct backup_source *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		nbd_close(v[i].nbd);
		proc_release(&v[i].server);
		free(v[i].extents);
		free(v[i].part);
	}
}

void backup_dismantle(struct machine *m, struct qmp *q, const struct snap_drives *d)
{
	_cleanup_error_ struct error *none = NULL;

	command(q, "nbd-server-stop", NULL, NULL, &none);
	error_clear(&none);
	for (size_t i = 0; i < d->len; i++) {
		_cleanup_free_ char *fleece = xasprintf(FLEECE "%s", d->v[i].node), *path = fleece_path(m, d->v[i].node);

		command(q, "block-job-cancel", json_pack("{s:s, s:b}", "device", fleece, "force", 1), NULL, &none);
		error_clear(&none);
		/* A cancelled job, and an export whose client has just gone, let go of the node a moment later. */
		for (int k = 0; k < 100 && command(q, "blockdev-del", json_pack("{s:s}", "node-name", fleece), NULL, &none) < 0 &&
				strstr(none->msg, "in use"); k++) {
			error_clear(&none);
			poll(NULL, 0, 20);
		}
		error_clear(&none);
		/* Of one that was killed behind its transaction. */
		command(q, "block-dirty-bitmap-remove", json_pack("{s:s, s:s}", "node", d->v[i].node, "name", BACKUP_NOW), NULL, &none);
		error_clear(&none);
		unlink(path);
	}
}

static int remove_bitmaps(struct qmp *q, const struct snap_drives *d, const char *keep, struct error **err)
{
	json_t *nodes = NULL;
	int rc = command(q, "query-named-block-nodes", json_pack("{s:b}", "flat", 1), &nodes, err);

	for (size_t i = 0; rc == 0 && i < d->len; i++) {
		const json_t *list = json_object_get(find_node(nodes, d->v[i].node), "dirty-bitmaps");

		for (size_t k = 0; rc == 0 && k < json_array_size(list); k++) {
			const char *name = json_string_value(json_object_get(json_array_get(list, k), "name"));

			if (!name || strncmp(name, BACKUP_BITMAP, strlen(BACKUP_BITMAP)) || (keep && !strcmp(name, keep)))
				continue;
			rc = command(q, "block-dirty-bitmap-remove", json_pack("{s:s, s:s}", "node", d->v[i].node, "name", name), NULL, err);
		}
	}
	json_decref(nodes);
	return rc;
}

int backup_clean(struct machine *m, const struct snap_drives *d, const char *keep, struct error **err)
{
	_cleanup_qmp_ struct qmp *q = NULL;
	struct proc_id id;

	if (!machine_qemu(m, &id))
		return 0;
	q = snap_qmp_connect(m, err);
	if (!q)
		return -1;
	backup_dismantle(m, q, d);
	return keep ? remove_bitmaps(q, d, keep, err) : 0;
}

static int file_remove_bitmaps(const char *path, struct error **err)
{
	_cleanup_strv_ struct strv ours = STRV_INIT;
	bool whole;

	if (file_bitmaps(path, NULL, &whole, &ours, err) < 0)
		return -1;
	for (size_t i = 0; i < ours.len; i++)
		if (proc_run((const char *const[]){ "qemu-img", "bitmap", "--remove", path, ours.v[i], NULL }, IMG_MS, NULL, NULL, err) < 0)
			return -1;
	return 0;
}

int backup_forget_bitmaps(struct qmp *q, const struct snap_drives *d, struct error **err)
{
	if (q)
		return remove_bitmaps(q, d, NULL, err);
	for (size_t i = 0; i < d->len; i++)
		if (file_remove_bitmaps(d->v[i].path, err) < 0)
			return -1;
	return 0;
}

int backup_track(const struct snap_drives *d, const char *name, struct error **err)
{
	for (size_t i = 0; i < d->len; i++)
		if (file_remove_bitmaps(d->v[i].path, err) < 0 ||
			proc_run((const char *const[]){ "qemu-img", "bitmap", "--add", d->v[i].path, name, NULL }, IMG_MS, NULL, NULL, err) < 0)
			return -1;
	return 0;
}
