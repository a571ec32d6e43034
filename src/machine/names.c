/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/units.h"
#include "internal.h"
#include "machine/snapshot.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define TEMP_PREFIX ".tmp-"

int machine_name_check(const char *full, struct error **err)
{
	const char *slash = strchr(full, '/');
	_cleanup_free_ char *group = NULL;

	if (!slash)
		return name_check("machine", full, err);
	group = xstrndup(full, (size_t)(slash - full));
	if (name_check("group", group, err) < 0)
		return -1;
	return name_check("machine", slash + 1, err);
}

char *machine_dir_of(const char *full)
{
	_cleanup_free_ char *sub = path_join("machines", full);

	return path_data(sub);
}

char *machine_path(const struct machine *m, const char *sub)
{
	return path_join(m->dir, sub);
}

static bool has_definition(const char *dir)
{
	_cleanup_free_ char *p = path_join(dir, "machine.json");

	return file_exists(p);
}

/* Names of machines in dir; folders that hold no definition are groups, looked into when `groups`.
 */
static int scan(
	const char *dir, const char *prefix, bool groups, struct strv *ret, struct error **err)
{
	_cleanup_closedir_ DIR *d = opendir(dir);

	if (!d)
		return errno == ENOENT || errno == ENOTDIR ? 0 : error_errno(err, errno, "%s", dir);
	for (struct dirent *e; (e = readdir(d));) {
		_cleanup_free_ char *sub = NULL;

		if (e->d_name[0] == '.' ||
			(e->d_type != DT_DIR && e->d_type != DT_UNKNOWN && e->d_type != DT_LNK))
			continue;
		sub = path_join(dir, e->d_name);
		if (has_definition(sub)) {
			strv_addf(ret, "%s%s", prefix, e->d_name);
		} else if (groups) {
			_cleanup_free_ char *inner = xasprintf("%s/", e->d_name);

			if (scan(sub, inner, false, ret, err) < 0)
				return -1;
		}
	}
	return 0;
}

int machine_names(const char *group, struct strv *ret, struct error **err)
{
	_cleanup_free_ char *dir = group ? machine_dir_of(group) : path_data("machines");
	_cleanup_free_ char *prefix = group ? xasprintf("%s/", group) : xstrdup("");

	if (group && name_check("group", group, err) < 0)
		return -1;
	/* A machine's own folders are no members. */
	if (!(group && has_definition(dir)) && scan(dir, prefix, !group, ret, err) < 0)
		return -1;
	strv_sort(ret);
	return 0;
}

/*
 * A creator that is gone: its pid is no process any more. Its lock says nothing, there is a moment
 * before it is taken; and if the pid went to another process, the folder is removed once that has
 * ended.
 */
static bool creator_dead(const char *name)
{
	int pid = atoi(name + strlen(TEMP_PREFIX));

	return pid > 0 && kill(pid, 0) < 0 && errno == ESRCH;
}

void machine_sweep(const char *dir)
{
	_cleanup_closedir_ DIR *d = opendir(dir);

	for (struct dirent *e; d && (e = readdir(d));) {
		_cleanup_free_ char *path = path_join(dir, e->d_name);
		_cleanup_error_ struct error *why = NULL;

		if (strncmp(e->d_name, TEMP_PREFIX, strlen(TEMP_PREFIX)) ||
			!creator_dead(e->d_name))
			continue;
		if (file_remove_tree(path, &why) < 0)
			log_warn("%s", why->msg);
		else
			log_info("%s: removed, an earlier command did not finish there", path);
	}
}

static int not_found(const char *name, struct error **err)
{
	_cleanup_strv_ struct strv all = STRV_INIT;
	_cleanup_error_ struct error *e = NULL;
	const char *near = NULL;

	error_set(err, ERR_NOT_FOUND, "machine %s: no such machine", name);
	if (machine_names(NULL, &all, &e) == 0)
		near = nearest_name(name, (const char *const *)all.v, all.len);
	if (near)
		return error_hint(err, "did you mean '%s'?", near);
	if (!all.len)
		return error_hint(err, "there are no machines yet: croft vm create %s", name);
	return error_hint(err, "croft vm list shows those that exist");
}

struct machine *machine_at(const char *name, struct error **err)
{
	_cleanup_free_ char *dir = NULL;
	struct machine *m;

	if (machine_name_check(name, err) < 0)
		return NULL;
	dir = machine_dir_of(name);
	if (!has_definition(dir)) {
		not_found(name, err);
		return NULL;
	}
	m = xcalloc(1, sizeof(*m));
	m->name = xstrdup(name);
	m->dir = STEAL(dir);
	return m;
}

/* As croft wrote it; where that cannot be taken, somebody has edited it and wants to know the place. */
static int read_def(const char *path, struct machine_def *d, struct error **err)
{
	_cleanup_error_ struct error *e = NULL;
	_cleanup_doc_ struct doc *own = doc_load_own(path, &e), *doc = NULL;

	machine_def_init(d);
	if (own && machine_def_read(d, doc_root(own), &e) == 0)
		return 0;
	if (!own)
		return error_move(err, &e);
	machine_def_clear(d);
	machine_def_init(d);
	doc = doc_load(path, err);
	return doc ? machine_def_read(d, doc_root(doc), err) : -1;
}

struct machine *machine_open(const char *name, struct error **err)
{
	_cleanup_machine_ struct machine *m = machine_at(name, err);
	_cleanup_free_ char *path = NULL;
	_cleanup_error_ struct error *e = NULL;

	if (!m)
		return NULL;
	path = machine_path(m, "machine.json");
	if (read_def(path, &m->def, err) < 0) {
		error_wrap(err, "machine %s", name);
		return NULL;
	}
	free(m->def.name);
	m->def.name = xstrdup(name);
	/* A QEMU without its helper is taken back by whoever looks first; that this fails is told
	 * by the verb that needs it. */
	if (machine_ensure_helper(m, &e) < 0)
		log_debug("%s", e->msg);
	error_clear(&e);
	if (snapshot_recover(m, &e) < 0)
		log_warn("%s", e->msg);
	return STEAL(m);
}

void machine_free(struct machine *m)
{
	if (!m)
		return;
	machine_def_clear(&m->def);
	free(m->name);
	free(m->dir);
	free(m);
}

int machine_lock_alone(const struct machine *m, struct error **err)
{
	_cleanup_free_ char *path = machine_path(m, "lock");
	int fd = file_lock(path, true, 1000, err);

	return fd < 0 ? error_wrap(err, "machine %s", m->name) : fd;
}

int machine_lock(const struct machine *m, struct error **err)
{
	int fd = machine_need_virtual(m, err) < 0 ? -1 : machine_lock_alone(m, err);

	if (fd < 0 || rescue_check(m, false, err) == 0)
		return fd;
	close(fd);
	return -1;
}

int machine_hold(const struct machine *m, struct error **err)
{
	_cleanup_close_ int fd = machine_lock(m, err);
	struct proc_id id;

	if (fd < 0)
		return -1;
	if (machine_qemu(m, &id)) {
		error_set(err, ERR_STATE, "machine %s: it is running", m->name);
		return error_hint(err, "stop it first: croft vm stop %s", m->name);
	}
	return STEAL_FD(fd);
}
