/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A rescue CD that was prepared for the tool `vm` has none of croft's programs: by itself it mounts in, out and mirror, runs in/job.sh, and
 * tells of it in out: STARTED when it begins, job.log, STATUS and FINISHED when it has ended; then it switches itself off.
 */
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/intr.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/units.h"
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>

#define LOOK_MS 100

struct follow {
	int fd; /* of the guest's log, -1: not there yet */
};

/* job.log is the guest's here: what has been written since the last look goes to stdout. */
static void follow(struct follow *f, const char *out)
{
	char piece[65536];
	ssize_t n;

	if (f->fd < 0) {
		_cleanup_free_ char *path = path_join(out, "job.log");

		f->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	}
	while (f->fd >= 0 && (n = read(f->fd, piece, sizeof(piece))) > 0) {
		_cleanup_error_ struct error *e = NULL;

		if (file_write_all(STDOUT_FILENO, piece, (size_t)n, "standard output", &e) < 0)
			return;
	}
}

static bool has_text(const char *dir, const char *name)
{
	_cleanup_free_ char *path = path_join(dir, name);
	struct stat st;

	return stat(path, &st) == 0 && st.st_size > 0;
}

/* 1: OUT/NAME is there; -1: the end of time, of patience or of the system, or Ctrl-C. */
static int await(struct job_work *w, struct follow *f, const char *name, int timeout_ms, struct patience *p, const char *what, struct error **err)
{
	uint64_t end = loop_now() + (uint64_t)(timeout_ms < 0 ? 0 : timeout_ms) * 1000000;
	struct machine *m = rescue_machine(w->rescue);

	for (;;) {
		/* asked first: what it wrote before its end is there then */
		enum machine_state s = machine_state(m);
		bool there = has_text(w->o->out, name);

		follow(f, w->o->out);
		if (there)
			return 1;
		if (intr_signal)
			return error_set(err, ERR_INTR, "job %s: interrupted", w->job->name);
		if (s == MACHINE_STOPPED || s == MACHINE_CRASHED) {
			error_set(err, ERR_FAILED, "job %s: the rescue system ended before it had %s", w->job->name, what);
			break;
		}
		if (timeout_ms >= 0 && loop_now() >= end) {
			error_set(err, ERR_TIMEOUT, "job %s: has not %s in %.10g s", w->job->name, what, timeout_ms / 1000.0);
			break;
		}
		if (p && machine_lost_patience(m, p, err) < 0) {
			error_wrap(err, "job %s", w->job->name);
			break;
		}
		poll(NULL, 0, LOOK_MS);
	}
	rescue_explain(w->rescue, err);
	return -1;
}

static int read_status(const struct job_work *w, int *status, struct error **err)
{
	_cleanup_free_ char *path = path_join(w->o->out, "STATUS");
	_cleanup_buf_ struct buf b = BUF_INIT;
	uint64_t n;

	if (file_read(path, 4096, &b, err) < 0)
		return -1;
	b.data[strcspn(b.data, "\r\n")] = '\0';
	if (parse_u64(path, b.data, 0, 255, &n, err) < 0)
		return -1;
	*status = (int)n;
	return 0;
}

/* NAME='VALUE' for a shell. */
static void add_var(struct buf *b, const char *var)
{
	size_t n = strcspn(var, "=");

	buf_add(b, var, n);
	buf_adds(b, "='");
	for (const char *s = var + n + 1; *s; s++)
		if (*s == '\'')
			buf_adds(b, "'\\''");
		else
			buf_add(b, s, 1);
	buf_addf(b, "'; export %.*s; ", (int)n, var);
}

int job_cd_vars(const struct job_work *w, struct error **err)
{
	_cleanup_free_ char *path = path_join(w->o->in, "job.sh");
	_cleanup_buf_ struct buf script = BUF_INIT, b = BUF_INIT;

	if (!w->o->vars || !w->o->vars->len)
		return 0;
	if (file_read(path, JOB_SCRIPT_MAX, &script, err) < 0)
		return -1;
	for (size_t i = 0; i < w->o->vars->len; i++)
		add_var(&b, w->o->vars->v[i]);
	buf_add(&b, script.data, script.len);
	return file_write(path, b.data, b.len, 0644, err);
}

int job_on_cd(struct job_work *w, int *status, struct error **err)
{
	struct follow f = { .fd = -1 };
	_cleanup_free_ struct patience *p = w->o->start_ms < 0 ? machine_patience_new("the CD has not begun the job") : NULL;
	int rc = await(w, &f, "STARTED", w->o->start_ms, p, "started", err);

	if (rc > 0) {
		job_say(w, "the job has started");
		rc = await(w, &f, "STATUS", w->o->timeout_ms, NULL, "ended", err);
	}
	if (rc > 0)
		rc = read_status(w, status, err);
	follow(&f, w->o->out);
	cleanup_close(&f.fd);
	return rc < 0 ? -1 : 0;
}
