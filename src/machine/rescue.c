/* SPDX-License-Identifier: Apache-2.0 */
#include "rescue.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "rescueint.h"
#include "snapint.h"

#include <fcntl.h>
#include <jansson.h>
#include <string.h>

#define ASK_MS 10000
#define NOTED_MS 3000 /* for its helper to note its end */

/* The rescue system as a machine, to be left as it is; NULL: its folder cannot be made. err NULL: it is not made. */
static struct rescue *rescue_at(const struct machine *m, struct error **err)
{
	struct rescue *r = xcalloc(1, sizeof(*r));

	r->lock = -1;
	r->keep = true;
	r->m = xcalloc(1, sizeof(*r->m));
	machine_def_init(&r->m->def);
	r->m->name = xstrdup(m->name);
	r->m->dir = machine_path(m, "rescue");
	if (!err || file_mkdirs(r->m->dir, 0700, err) == 0)
		return r;
	rescue_free(r);
	return NULL;
}

static int take_lock(struct rescue *r, struct error **err)
{
	_cleanup_free_ char *path = machine_path(r->m, "job.lock");

	r->lock = file_lock(path, true, 0, err);
	return r->lock < 0 ? error_wrap(err, "machine %s: another command works on its disks", r->m->name) : 0;
}

static char *kept_path(const struct rescue *r)
{
	return machine_path(r->m, "kept.json");
}

static bool is_kept(const struct rescue *r)
{
	_cleanup_free_ char *path = kept_path(r);

	return file_exists(path);
}

/* Ends it at once and removes what was of use to it only. The lock is held. */
static int end_now(struct rescue *r, struct error **err)
{
	_cleanup_free_ char *kept = kept_path(r), *run = machine_path(r->m, "run");

	if (machine_kill(r->m, err) < 0 || file_unlink(kept, err) < 0 || rescue_undefine(r, err) < 0)
		return error_wrap(err, "machine %s: rescue system", r->m->name);
	return file_remove_tree(run, err);
}

static int refuse_kept(const struct machine *m, struct error **err)
{
	error_set(err, ERR_STATE, "machine %s: a rescue system that was kept has its disks", m->name);
	return error_hint(err, "end it: croft vm rescue %s --end", m->name);
}

int rescue_check(const struct machine *m, bool force, struct error **err)
{
	_cleanup_rescue_ struct rescue *r = NULL;
	_cleanup_free_ char *run = machine_path(m, "rescue/run");
	struct proc_id id;

	if (!file_exists(run))
		return 0;
	r = rescue_at(m, NULL);
	if (take_lock(r, err) < 0)
		return -1;
	if (machine_qemu(r->m, &id)) {
		if (is_kept(r) && !force)
			return refuse_kept(m, err);
		log_info("machine %s: ending the rescue system that %s", m->name, is_kept(r) ? "was kept" : "an interrupted command has left");
	}
	return end_now(r, err);
}

/* ---- one that was kept ---- */

static int write_kept(const struct rescue *r, const struct machine *m, const struct rescue_opts *o, struct error **err)
{
	_cleanup_free_ char *path = kept_path(r);
	json_t *j = json_pack("{s:s, s:b, s:s?, s:s?, s:s?, s:s?, s:i}", "firmware", rescue_firmware(m, o), "discard", o->discard, "iso", o->iso,
		"in", o->in, "out", o->out, "mirror", o->mirror, "ssh", (int)r->ssh);
	char *text = j ? json_dumps(j, JSON_INDENT(1)) : NULL;
	int rc = text ? file_write(path, text, strlen(text), 0600, err) : error_set(err, ERR_FAILED, "%s: a path is not UTF-8", path);

	free(text);
	json_decref(j);
	return rc;
}

static bool same(const json_t *j, const char *key, const char *wanted)
{
	const char *is = json_string_value(json_object_get(j, key));

	return is && wanted ? !strcmp(is, wanted) : !is && !wanted;
}

/* What of the kept one is not as it is wanted, or NULL. */
static const char *differs(const json_t *j, const struct machine *m, const struct rescue_opts *o)
{
	bool discard = json_is_true(json_object_get(j, "discard"));

	if (discard != o->discard && !(o->any && o->discard))
		return discard ? "it would throw away what is written to the disks" : "it writes to the disks";
	if (!o->any && !same(j, "firmware", rescue_firmware(m, o)))
		return "by other firmware";
	if (!same(j, "iso", o->iso))
		return "from other media";
	if ((o->in && !same(j, "in", o->in)) || (o->out && !same(j, "out", o->out)))
		return "with other folders";
	if (o->mirror && !same(j, "mirror", o->mirror))
		return "with another mirror";
	if (o->ssh && !json_integer_value(json_object_get(j, "ssh")))
		return "without a port for ssh";
	return o->forwards && o->forwards->len ? "with other forwards" : NULL;
}

static int take_kept(struct rescue *r, const struct machine *m, const struct rescue_opts *o, struct error **err)
{
	_cleanup_free_ char *path = kept_path(r);
	_cleanup_buf_ struct buf b = BUF_INIT;
	const char *what;
	json_error_t je;
	json_t *j;

	if (file_read(path, 1 << 20, &b, err) < 0)
		return -1;
	j = json_loads(buf_str(&b), 0, &je);
	what = j ? differs(j, m, o) : "by another croft";
	r->ssh = (unsigned)json_integer_value(json_object_get(j, "ssh"));
	json_decref(j);
	if (!what)
		return machine_ensure_helper(r->m, err);
	error_set(err, ERR_STATE, "machine %s: its kept rescue system was started otherwise: %s", m->name, what);
	return error_hint(err, "end it: croft vm rescue %s --end", m->name);
}

/* ---- start and end ---- */

static int start_new(struct rescue *r, struct machine *m, const struct rescue_opts *o, struct error **err)
{
	struct machine_start_opts so = { .accel = o->accel };
	bool already;

	if (end_now(r, err) < 0 || rescue_define(r, m, o, err) < 0 || machine_start_locked(r->m, &so, &already, err) < 0) {
		_cleanup_error_ struct error *e = NULL;

		end_now(r, &e);
		return -1;
	}
	return o->keep ? write_kept(r, m, o, err) : 0;
}

struct rescue *rescue_open(struct machine *m, struct error **err)
{
	_cleanup_rescue_ struct rescue *r = machine_need_virtual(m, err) < 0 ? NULL : rescue_at(m, err);
	struct proc_id id;

	if (!r || take_lock(r, err) < 0)
		return NULL;
	if (machine_qemu(m, &id)) {
		error_set(err, ERR_STATE, "machine %s: it is running, and its disks are in use", m->name);
		error_hint(err, "stop it first: croft vm stop %s", m->name);
		return NULL;
	}
	r->kept = machine_qemu(r->m, &id) && is_kept(r);
	if (r->kept)
		return STEAL(r);
	if (machine_qemu(r->m, &id))
		log_info("machine %s: ending the rescue system that an interrupted command has left", m->name);
	return end_now(r, err) < 0 ? NULL : STEAL(r);
}

bool rescue_runs(const struct rescue *r)
{
	return r->kept;
}

int rescue_start(struct rescue *r, struct machine *m, const struct rescue_opts *o, struct error **err)
{
	_cleanup_close_ int lock = machine_lock_alone(m, err);
	struct proc_id id;

	if (lock < 0 || snap_recover_locked(m, err) < 0)
		return -1;
	if (machine_qemu(m, &id))
		return error_set(err, ERR_STATE, "machine %s: it was started meanwhile", m->name);
	r->iso = o->iso != NULL;
	if (r->kept)
		return take_kept(r, m, o, err);
	if (start_new(r, m, o, err) < 0)
		return error_wrap(err, "rescue system");
	r->keep = o->keep;
	return 0;
}

char *rescue_last_end(const struct rescue *r)
{
	return machine_wait_end(r->m, NOTED_MS) > 0 ? machine_last_end(r->m) : NULL;
}

void rescue_explain(const struct rescue *r, struct error **err)
{
	machine_explain(r->m, err);
}

int rescue_wait(struct rescue *r, struct error **err)
{
	return machine_wait_ready(r->m, -1, err) < 0 ? error_wrap(err, "rescue system") : 0;
}

struct machine *rescue_machine(struct rescue *r)
{
	return r->m;
}

unsigned rescue_ssh_port(const struct rescue *r)
{
	return r->ssh;
}

static void release(struct rescue *r)
{
	machine_free(r->m);
	cleanup_close(&r->lock);
	free(r);
}

int rescue_end(struct rescue *r, int timeout_ms, struct error **err)
{
	_cleanup_error_ struct error *e = NULL;
	int rc;

	if (timeout_ms > 0 && !r->iso) {
		_cleanup_agent_ struct agent *a = machine_agent(r->m, timeout_ms < ASK_MS ? timeout_ms : ASK_MS, &e);

		if (a && agent_power(a, AGENT_POWEROFF, ASK_MS, &e) == 0)
			machine_wait_end(r->m, timeout_ms);
	} else if (timeout_ms > 0) {
		machine_wait_end(r->m, timeout_ms);
	}
	rc = end_now(r, err);
	release(r);
	return rc;
}

void rescue_free(struct rescue *r)
{
	_cleanup_error_ struct error *e = NULL;

	if (!r)
		return;
	if (r->lock >= 0 && !r->keep && end_now(r, &e) < 0)
		log_warn("%s", e->msg);
	release(r);
}

int rescue_end_kept(struct machine *m, struct error **err)
{
	_cleanup_close_ int lock = machine_lock_alone(m, err);
	_cleanup_rescue_ struct rescue *r = NULL;
	struct proc_id id;

	if (lock < 0)
		return -1;
	r = rescue_at(m, NULL);
	if (!file_exists(r->m->dir) || !machine_qemu(r->m, &id))
		return 1;
	if (take_lock(r, err) < 0)
		return -1;
	return rescue_end(STEAL(r), ASK_MS, err);
}
