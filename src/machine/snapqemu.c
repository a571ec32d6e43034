/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots of a running QEMU (docs/interop/qmp-ref: snapshot-save, snapshot-load, blockdev-snapshot-internal-sync). Memory goes
 * to a node of its own that is attached for the time of the operation: so its space comes back by removing a file, and no disk grows by
 * it. QEMU does these jobs in its main loop: it answers nothing until they are done.
 */
#include "base/cleanup.h"
#include "base/mem.h"
#include "snapint.h"

#include <string.h>

#define JOB "croft-snapshot"
#define SLOW_BYTES_PER_MS 10000 /* 10 MB/s: a disk slower than that is taken for hanging */

struct qmp *snap_qmp_connect(const struct machine *m, struct error **err)
{
	_cleanup_free_ char *sock = machine_path(m, "run/qmp.sock");

	return machine_ensure_helper(m, err) < 0 ? NULL : qmp_connect(sock, SNAP_QMP_MS, err);
}

/* Sends a command, whose arguments are given away. */
static int command(struct qmp *q, const char *name, json_t *args, json_t **ret, struct error **err)
{
	int rc = qmp_command(q, name, args, SNAP_QMP_MS, ret, err);

	json_decref(args);
	return rc;
}

int snap_qmp_tags(struct qmp *q, const struct snap_drives *d, const char *tag, struct error **err)
{
	json_t *actions = json_array();

	for (size_t i = 0; i < d->len; i++)
		json_array_append_new(actions, json_pack("{s:s, s:{s:s, s:s}}", "type", "blockdev-snapshot-internal-sync", "data",
			"device", d->v[i].node, "name", tag));
	if (!d->len) {
		json_decref(actions);
		return 0;
	}
	return command(q, "transaction", json_pack("{s:o}", "actions", actions), NULL, err);
}

static bool node_has(const json_t *node, const char *tag)
{
	const json_t *snaps = json_object_get(json_object_get(node, "image"), "snapshots");

	for (size_t i = 0; i < json_array_size(snaps); i++) {
		const char *name = json_string_value(json_object_get(json_array_get(snaps, i), "name"));

		if (name && !strcmp(name, tag))
			return true;
	}
	return false;
}

static json_t *find_node(const json_t *nodes, const char *name)
{
	for (size_t i = 0; i < json_array_size(nodes); i++) {
		const char *is = json_string_value(json_object_get(json_array_get(nodes, i), "node-name"));

		if (is && !strcmp(is, name))
			return json_array_get(nodes, i);
	}
	return NULL;
}

int snap_qmp_drop(struct qmp *q, const struct snap_drives *d, const char *tag, struct error **err)
{
	json_t *nodes = NULL;
	int rc = command(q, "query-named-block-nodes", json_pack("{s:b}", "flat", 1), &nodes, err);

	for (size_t i = 0; rc == 0 && i < d->len; i++)
		if (node_has(find_node(nodes, d->v[i].node), tag))
			rc = command(q, "blockdev-snapshot-delete-internal-sync",
				json_pack("{s:s, s:s}", "device", d->v[i].node, "name", tag), NULL, err);
	json_decref(nodes);
	return rc;
}

int snap_qmp_add_memory(struct qmp *q, const char *path, struct error **err)
{
	/* Flushed once by whoever takes the file into use, not by QEMU while the guest waits. */
	return command(q, "blockdev-add",
		json_pack("{s:s, s:s, s:{s:s, s:s}, s:{s:b}}", "driver", "qcow2", "node-name", SNAP_NODE, "file", "driver", "file",
			"filename", path, "cache", "no-flush", 1),
		NULL, err);
}

void snap_qmp_del_memory(struct qmp *q)
{
	_cleanup_error_ struct error *e = NULL;

	command(q, "blockdev-del", json_pack("{s:s}", "node-name", SNAP_NODE), NULL, &e);
}

int snap_qmp_job_start(struct qmp *q, const char *verb, const char *tag, const struct snap_drives *d, struct error **err)
{
	json_t *devices = json_array();

	for (size_t i = 0; i < d->len; i++)
		json_array_append_new(devices, json_string(d->v[i].node));
	json_array_append_new(devices, json_string(SNAP_NODE));
	return command(q, verb,
		json_pack("{s:s, s:s, s:s, s:o}", "job-id", JOB, "tag", tag, "vmstate", SNAP_NODE, "devices", devices), NULL, err);
}

/* State of our job: 1 concluded, 0 not yet, -1 none. *why: its error, new or NULL. */
static int job_state(struct qmp *q, char **why, struct error **err)
{
	json_t *jobs = NULL;
	int state = -1;

	if (command(q, "query-jobs", NULL, &jobs, err) < 0)
		return -1;
	for (size_t i = 0; i < json_array_size(jobs); i++) {
		const json_t *j = json_array_get(jobs, i);
		const char *id = json_string_value(json_object_get(j, "id")), *s = json_string_value(json_object_get(j, "status"));

		if (!id || strcmp(id, JOB))
			continue;
		state = s && !strcmp(s, "concluded");
		*why = xstrdup(json_string_value(json_object_get(j, "error")));
	}
	json_decref(jobs);
	return state;
}

/* QEMU's own words for what stands in the way, and what to do about it. */
static int refused(const char *verb, const char *why, struct error **err)
{
	error_set(err, strstr(why, "VirtFS") || strstr(why, "migrat") || strstr(why, "Migrat") ? ERR_STATE : ERR_FAILED, "QEMU: %s: %s",
		verb, why);
	if (strstr(why, "VirtFS"))
		return error_hint(err, "unmount that share in the guest first, or take the disks only: --disk-only");
	if ((*err)->cls == ERR_STATE)
		return error_hint(err, "memory cannot be saved with this device; take the disks only: --disk-only");
	return -1;
}

int snap_qmp_job_wait(struct qmp *q, const char *verb, uint64_t memory, struct error **err)
{
	int patience = SNAP_QMP_MS + (int)(memory / SLOW_BYTES_PER_MS);
	_cleanup_free_ char *why = NULL;

	for (;;) {
		json_t *event = NULL;
		const json_t *data;
		const char *id, *status;
		bool concluded;

		if (qmp_wait_event(q, "JOB_STATUS_CHANGE", patience, &event, err) < 0)
			return -1;
		data = json_object_get(event, "data");
		id = json_string_value(json_object_get(data, "id"));
		status = json_string_value(json_object_get(data, "status"));
		concluded = id && status && !strcmp(id, JOB) && !strcmp(status, "concluded");
		json_decref(event);
		if (concluded)
			break;
	}
	if (job_state(q, &why, err) < 0 && *err)
		return -1;
	if (command(q, "job-dismiss", json_pack("{s:s}", "id", JOB), NULL, err) < 0)
		return -1;
	return why ? refused(verb, why, err) : 0;
}

int snap_qmp_settle(struct qmp *q, struct error **err)
{
	_cleanup_free_ char *why = NULL;
	int state = job_state(q, &why, err);

	if (state < 0)
		return *err ? -1 : 0;
	if (state == 1)
		return command(q, "job-dismiss", json_pack("{s:s}", "id", JOB), NULL, err);
	{
		_cleanup_error_ struct error *e = NULL;

		/* It answers, so the job is about to end; how it ends does not matter. */
		if (snap_qmp_job_wait(q, "job", 0, &e) < 0 && e->cls == ERR_TIMEOUT)
			return error_move(err, &e);
	}
	return 0;
}

int snap_qmp_runs(struct qmp *q, struct error **err)
{
	json_t *status = NULL;
	int runs;

	if (command(q, "query-status", NULL, &status, err) < 0)
		return -1;
	runs = json_is_true(json_object_get(status, "running"));
	json_decref(status);
	return runs;
}

int snap_qmp_identity(struct qmp *q, char **type, char **version, struct error **err)
{
	json_t *t = NULL, *v = NULL;
	const json_t *n;
	int rc = command(q, "qom-get", json_pack("{s:s, s:s}", "path", "/machine", "property", "type"), &t, err);

	if (rc == 0)
		rc = command(q, "query-version", NULL, &v, err);
	if (rc == 0) {
		const char *name = json_string_value(t);
		size_t len = name ? strlen(name) : 0;

		/* "pc-q35-7.2-machine" is the type pc-q35-7.2 */
		*type = xstrndup(name ? name : "", len > 8 ? len - 8 : 0);
		n = json_object_get(v, "qemu");
		*version = xasprintf("%d.%d.%d", (int)json_integer_value(json_object_get(n, "major")),
			(int)json_integer_value(json_object_get(n, "minor")), (int)json_integer_value(json_object_get(n, "micro")));
	}
	json_decref(t);
	json_decref(v);
	return rc;
}
