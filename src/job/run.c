/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/intr.h"
#include "base/mem.h"
#include "base/path.h"
#include "internal.h"
#include "machine/snapshot.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#define SETUP_MS 120000
#define DONE_MS 60000
#define OFF_MS 30000

void job_say(const struct job_work *w, const char *fmt, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list ap;

	if (!w->o->say)
		return;
	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	w->o->say(w->o->arg, text);
}

/* ---- folders ---- */

/* Empty, but the same folder: a kept rescue system has it mounted. */
static int make_empty(const char *dir, struct error **err)
{
	_cleanup_closedir_ DIR *d = NULL;

	if (file_mkdirs(dir, 0755, err) < 0)
		return -1;
	d = opendir(dir);
	if (!d)
		return error_errno(err, errno, "%s", dir);
	for (struct dirent *e; (e = readdir(d));) {
		_cleanup_free_ char *path = path_join(dir, e->d_name);

		if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..") && file_remove_tree(path, err) < 0)
			return -1;
	}
	return 0;
}

static int copy_in(const struct job_work *w, const char *from, const char *name, struct error **err)
{
	_cleanup_free_ char *to = path_join(w->o->in, name);
	struct stat st;

	if (stat(from, &st) < 0)
		return error_errno(err, errno, "%s", from);
	if (!S_ISREG(st.st_mode))
		return error_set(err, ERR_USAGE, "%s: is not a file", from);
	/* one that .pre or an option has put there stays */
	return file_exists(to) ? 0 : file_copy(from, to, st.st_mode & 0777, err);
}

static int fill_in(const struct job_work *w, struct error **err)
{
	_cleanup_free_ char *script = xasprintf("%s/%s.job", w->job->dir, w->job->name);

	for (size_t i = 0; w->o->files && i < w->o->files->len; i++)
		if (copy_in(w, w->o->files->v[i], path_basename(w->o->files->v[i]), err) < 0)
			return -1;
	if (job_host_script(w, "pre", err) < 0 || copy_in(w, script, "job.sh", err) < 0)
		return -1;
	return w->o->iso ? job_cd_vars(w, err) : 0;
}

/* ---- in croft's rescue system ---- */

static void on_output(void *arg, int stream, const void *p, size_t n)
{
	job_log_add(arg, p, n);
}

/* Why a call to the rescue system failed, in terms of the job. */
static int failed(const struct job_work *w, struct error **err)
{
	_cleanup_free_ char *end = NULL;

	if (intr_signal) {
		error_clear(err);
		return error_set(err, ERR_INTR, "job %s: interrupted", w->job->name);
	}
	if ((*err)->cls == ERR_TIMEOUT && w->o->timeout_ms >= 0) {
		error_clear(err);
		error_set(err, ERR_TIMEOUT, "job %s: has not ended in %.10g s", w->job->name, w->o->timeout_ms / 1000.0);
	} else {
		int waited = machine_state(rescue_machine(w->rescue)) == MACHINE_RUNNING;

		end = waited ? NULL : rescue_last_end(w->rescue);
		error_wrap(err, "job %s: the rescue system has %s%s%s", w->job->name, waited ? "let go of it" : "ended before it",
			end ? ": QEMU " : "", end ? end : "");
	}
	rescue_explain(w->rescue, err);
	return -1;
}

static unsigned count_disks(const struct machine *m)
{
	unsigned n = 0;

	for (size_t i = 0; i < m->def.ndisks; i++)
		n += m->def.disks[i].media == NULL;
	return n;
}

/* A short call whose output is of interest when it fails only. */
static int call(struct agent *a, const char *const *argv, int timeout_ms, struct error **err)
{
	_cleanup_buf_ struct buf said = BUF_INIT;
	struct agent_exec x = AGENT_EXEC_INIT;
	int status = 0;

	x.argv = argv;
	x.out = x.err = &said;
	x.timeout_ms = timeout_ms;
	if (agent_exec(a, &x, &status, err) < 0)
		return -1;
	if (status == 127)
		error_set(err, ERR_FAILED, "the rescue image is of an older croft");
	else if (status)
		error_set(err, ERR_FAILED, "%s", said.len ? said.data : "it failed without a word");
	return status == 127 ? error_hint(err, "make it again: croft image make rescue") : status ? -1 : 0;
}

static int run_script(struct job_work *w, struct agent *a, int *status, struct error **err)
{
	static const char *const argv[] = { "croft-job", "run", NULL };
	_cleanup_strv_ struct strv env = STRV_INIT;
	_cleanup_free_ char *port = xasprintf("SSH_PORT=%u", rescue_ssh_port(w->rescue));
	struct agent_exec x = AGENT_EXEC_INIT;

	if (w->o->vars)
		strv_addv(&env, (const char *const *)w->o->vars->v);
	if (rescue_ssh_port(w->rescue))
		strv_take(&env, STEAL(port));
	strv_add(&env, w->o->keep || rescue_runs(w->rescue) ? "JOB_KEEP=1" : "JOB_KEEP=");
	x.argv = argv;
	x.env = (const char *const *)env.v;
	x.on_output = on_output;
	x.arg = w->log;
	x.timeout_ms = w->o->timeout_ms;
	x.ends_on_signal = true;
	if (job_note_time(w->o->out, "STARTED", err) < 0)
		return -1;
	job_say(w, "the job has started");
	if (agent_exec(a, &x, status, err) < 0 || intr_signal)
		return failed(w, err);
	return 0;
}

int job_in_rescue(struct job_work *w, int *status, struct error **err)
{
	struct machine *r = rescue_machine(w->rescue);
	_cleanup_free_ char *disks = xasprintf("%u", count_disks(r));
	const char *const setup[] = { "croft-job", "setup", disks, NULL };
	static const char *const done[] = { "croft-job", "done", NULL };
	_cleanup_agent_ struct agent *a = NULL;
	_cleanup_error_ struct error *e = NULL;
	int rc;

	if (rescue_wait(w->rescue, err) < 0)
		return -1;
	a = machine_agent(r, SETUP_MS, err);
	if (!a)
		return failed(w, err);
	if (!rescue_runs(w->rescue) && call(a, setup, SETUP_MS, err) < 0) {
		error_wrap(err, "rescue system");
		rescue_explain(w->rescue, err);
		return -1;
	}
	rc = w->o->luks_key >= 0 && rescue_give_key(a, w->o->luks_key, err) < 0 ? -1 : run_script(w, a, status, err);
	/* What the job has left mounted is written before the system ends, or the next job begins. */
	if (machine_state(r) == MACHINE_RUNNING && call(a, done, DONE_MS, &e) < 0 && rc == 0)
		return error_move(err, &e);
	return rc;
}

/* ---- the whole ---- */

static int take_snapshot(struct job_work *w, struct error **err)
{
	_cleanup_free_ char *text = xasprintf("before job %s", w->job->name), *name = NULL;
	struct snapshot_opts so = { .kind = SNAPSHOT_DISK, .text = text };

	if (rescue_runs(w->rescue)) {
		error_set(err, ERR_STATE, "machine %s: no snapshot can be taken while its rescue system runs", w->m->name);
		return error_hint(err, "end it: croft vm rescue %s --end", w->m->name);
	}
	if (snapshot_take(w->m, &so, &name, err) < 0)
		return -1;
	job_say(w, "snapshot %s is taken; to undo the job: croft vm restore %s %s", name, w->m->name, name);
	return 0;
}

static int start(struct job_work *w, struct error **err)
{
	const struct job_opts *o = w->o;
	struct rescue_opts ro = { .image = o->image, .iso = o->iso, .firmware = o->firmware ? o->firmware : w->job->bios ? "bios" : NULL,
		.discard = o->discard < 0 ? w->job->readonly : o->discard, .keep = o->keep, .any = o->discard < 0 && !o->firmware,
		.ssh = o->ssh || w->job->ssh, .in = o->in, .out = o->out, .mirror = o->mirror, .forwards = o->forwards, .shares = o->shares, .nshares = o->nshares, .cpus = o->cpus,
		.memory = o->memory, .accel = o->accel };

	/* A system that is left for other jobs is of use to those that write as well. */
	if (o->keep && o->discard < 0)
		ro.discard = false;
	if (!rescue_runs(w->rescue))
		job_say(w, "the rescue system is starting");
	return rescue_start(w->rescue, w->m, &ro, err);
}

/* Ends the rescue system, or leaves it. What failed has no say in order: it is killed. */
static int finish(struct job_work *w, int rc, struct error **err)
{
	bool stays = (w->o->keep || rescue_runs(w->rescue)) && machine_state(rescue_machine(w->rescue)) == MACHINE_RUNNING;
	struct rescue *r = STEAL(w->rescue);

	if (!stays)
		return rescue_end(r, rc == 0 ? OFF_MS : 0, err);
	rescue_free(r);
	return 0;
}

static int run(struct job_work *w, int *status, struct error **err)
{
	_cleanup_error_ struct error *e = NULL;
	int rc;

	if (make_empty(w->o->in, err) < 0 || make_empty(w->o->out, err) < 0 || fill_in(w, err) < 0)
		return -1;
	if ((w->o->snapshot && take_snapshot(w, err) < 0) || start(w, err) < 0)
		return -1;
	if (!w->o->iso)
		w->log = job_log_open(w->o->out, err);
	rc = w->o->iso ? job_on_cd(w, status, err) : w->log ? job_in_rescue(w, status, err) : -1;
	if (job_log_close(w->log, &e) < 0 && rc == 0)
		rc = error_move(err, &e);
	error_clear(&e);
	if (finish(w, rc, &e) < 0 && rc == 0)
		rc = error_move(err, &e);
	if (rc < 0)
		return -1;
	if (!w->o->iso && (job_note_status(w->o->out, *status, err) < 0 || job_note_time(w->o->out, "FINISHED", err) < 0))
		return -1;
	return *status ? 0 : job_host_script(w, "post", err);
}

int job_run(struct machine *m, const struct job *j, const struct job_opts *o, int *status, struct error **err)
{
	struct job_work w = { .m = m, .job = j, .o = o, .rescue = rescue_open(m, err) };
	_cleanup_error_ struct error *e = NULL;
	int rc;

	if (!w.rescue)
		return -1;
	rc = run(&w, status, err);
	if (w.rescue)
		rescue_free(w.rescue);
	/* Keys and passwords may be in it. */
	if (make_empty(o->in, &e) < 0 && rc == 0)
		rc = error_move(err, &e);
	return rc;
}
