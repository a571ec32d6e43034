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
#define START_MS 120000

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

/* 1: OUT/NAME is there; -1: the end of time or of the system, or Ctrl-C. */
static int await(struct job_work *w, struct follow *f, const char *name, int timeout_ms, const char *what, struct error **err)
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

int job_on_cd(struct job_work *w, int *status, struct error **err)
{
	struct follow f = { .fd = -1 };
	int rc = await(w, &f, "STARTED", w->o->start_ms < 0 ? START_MS : w->o->start_ms, "started", err);

	if (rc > 0) {
		job_say(w, "the job has started");
		rc = await(w, &f, "STATUS", w->o->timeout_ms, "ended", err);
	}
	if (rc > 0)
		rc = read_status(w, status, err);
	follow(&f, w->o->out);
	cleanup_close(&f.fd);
	return rc < 0 ? -1 : 0;
}
