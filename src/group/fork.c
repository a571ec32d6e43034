/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A second group from a snapshot: the same machines with the same names and addresses, in a network of its own, so that the two
 * never meet. Its record names the group that it is a fork of ("inside"): by that name its machines know each other, and from it
 * come their MACs.
 */
#include "group/snapshot.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "machine/clone.h"
#include "net/net.h"
#include "fork.h"

#include <dirent.h>
#include <jansson.h>
#include <string.h>

#define FILE_MAX (64u << 20)

int fork_taken(const char *other, struct error **err)
{
	_cleanup_free_ char *sub = path_join("machines", other), *dir = path_data(sub);

	if (!group_exists(other) && !file_exists(dir))
		return 0;
	error_set(err, ERR_STATE, "group %s: a group or machine of that name exists", other);
	return error_hint(err, "take another name, or remove it: croft group %s clean_vms", other);
}

int fork_write_json(const char *path, const json_t *o, struct error **err)
{
	_cleanup_free_ char *text = json_dumps(o, JSON_INDENT(2));

	return text ? file_writef(path, 0600, err, "%s\n", text) : error_set(err, ERR_FAILED, "%s: not JSON", path);
}

json_t *fork_load_json(const char *path, struct error **err)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	json_t *o = NULL;

	if (file_read(path, FILE_MAX, &b, err) < 0)
		return NULL;
	o = json_loadb(buf_str(&b), b.len, 0, NULL);
	if (!json_is_object(o)) {
		error_set(err, ERR_FAILED, "%s: not a JSON object", path);
		json_decref(o);
		return NULL;
	}
	return o;
}

/* The group's file under the new name, and a record that leads to it. */
static int make_record(const char *group, const struct group_snapshot *s, const char *other, struct error **err)
{
	_cleanup_free_ char *from = gsnap_path(group, s->name, NULL), *record = gsnap_path(group, s->name, "group.json");
	_cleanup_free_ char *dir = group_record_dir(other), *to = path_join(dir, "group.json"), *file = NULL;
	_cleanup_closedir_ DIR *d = opendir(from);
	json_t *o = fork_load_json(record, err);
	int rc = o ? file_mkdirs(dir, 0700, err) : -1;

	for (struct dirent *e; rc == 0 && d && (e = readdir(d));)
		if (!strncmp(e->d_name, "file", 4)) {
			_cleanup_free_ char *src = path_join(from, e->d_name), *name = xasprintf("%s%s", other, e->d_name + 4);

			free(file);
			file = path_join(dir, name);
			rc = file_copy(src, file, 0600, err);
		}
	if (rc == 0 && !file)
		rc = error_set(err, ERR_STATE, "group %s: snapshot %s was taken without the group's file", group, s->name);
	if (rc == 0) {
		if (!json_object_get(o, "inside"))
			json_object_set_new(o, "inside", json_string(group));
		json_object_set_new(o, "name", json_string(other));
		json_object_set_new(o, "file", json_string(file));
		rc = fork_write_json(to, o, err);
	}
	json_decref(o);
	return rc;
}

/* The network as the first group has it, with the sockets of the second one's machines and without its way in from the host. */
int fork_net(const char *conf, const char *other, struct error **err)
{
	_cleanup_free_ char *to = group_net_dir(other), *text = NULL;
	json_t *o = fork_load_json(conf, err), *port;
	size_t i;
	int rc;

	if (!o)
		return -1;
	json_object_set_new(o, "group", json_string(other));
	json_object_set_new(o, "forwards", json_array());
	json_array_foreach(json_object_get(o, "ports"), i, port)
	{
		const char *node = json_string_value(json_object_get(port, "node")), *sock = json_string_value(json_object_get(port, "socket"));
		_cleanup_free_ char *sub = xasprintf("machines/%s/%s", other, node ? node : ""), *dir = path_data(sub);
		_cleanup_free_ char *now = sock ? xasprintf("%s/run/%s", dir, path_basename(sock)) : NULL;

		if (now)
			json_object_set_new(port, "socket", json_string(now));
	}
	text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	rc = file_mkdirs(to, 0700, err);
	return rc < 0 ? -1 : net_configure(to, text, err);
}

static int copy_parts(const char *group, const struct group_snapshot *s, const char *other, struct error **err)
{
	static const char *const files[] = { "snapshot.json", "group.json", "net.state" };
	_cleanup_free_ char *dir = gsnap_path(other, s->name, NULL);

	for (size_t i = 0; i < s->nodes.len; i++) {
		_cleanup_free_ char *from = xasprintf("%s/%s", group, s->nodes.v[i]), *to = xasprintf("%s/%s", other, s->nodes.v[i]);
		_cleanup_machine_ struct machine *m = machine_open(from, err);

		if (!m || machine_clone(m, to, &(struct clone_opts){ .snapshot = s->name, .same = true }, err) < 0)
			return -1;
	}
	if (file_mkdirs(dir, 0700, err) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		_cleanup_free_ char *from = gsnap_path(group, s->name, files[i]), *to = gsnap_path(other, s->name, files[i]);

		if (file_exists(from) && file_copy(from, to, 0600, err) < 0)
			return -1;
	}
	return 0;
}

int fork_files(const char *group, const struct group_snapshot *s, const char *other, struct error **err)
{
	_cleanup_free_ char *net = group_net_dir(group), *conf = path_join(net, "net.json");

	if (make_record(group, s, other, err) < 0 || copy_parts(group, s, other, err) < 0)
		return -1;
	return fork_net(conf, other, err);
}

static int fork_it(const char *group, const struct group_snapshot *s, const char *other, struct error **err)
{
	if (fork_files(group, s, other, err) < 0)
		return -1;
	return gsnap_restore_locked(other, s, false, err);
}

int group_fork(const char *group, const char *name, const char *other, struct error **err)
{
	_cleanup_group_snapshot_ struct group_snapshot *s = NULL;
	_cleanup_strv_ struct strv members = STRV_INIT;
	_cleanup_close_ int lock = -1, other_lock = -1;

	if (name_check("group", other, err) < 0 || gsnap_members(group, &members, err) < 0 || fork_taken(other, err) < 0)
		return -1;
	lock = group_lock(group, err);
	if (lock < 0 || group_snapshot_recover(group, err) < 0)
		return -1;
	s = group_snapshot_open(group, name, err);
	if (!s)
		return -1;
	other_lock = group_lock(other, err);
	if (other_lock < 0)
		return -1;
	if (fork_it(group, s, other, err) == 0)
		return 0;
	{
		_cleanup_error_ struct error *e = NULL;

		close(STEAL_FD(other_lock));
		group_clean(other, &e);
	}
	return error_wrap(err, "group %s: fork as %s", group, other);
}
