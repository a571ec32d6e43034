/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Members are worked on in forked processes: what blocks on one of them, or crashes, is no matter of the others. A worker tells its
 * parent over a pipe, in records of a type byte, a length and text:
 *
 *	s  what it does now	l  a line of output	d  done, how	r  text of the result	e  failed: class byte, message, NUL, hint
 *
 * and its stderr is a second pipe, so that the parent alone writes to the terminal.
 */
#include "base/cleanup.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/intr.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/progress.h"
#include "conf/settings.h"
#include "internal.h"
#include "ops.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define RECORD_MAX (1u << 20)

struct worker {
	int fd;		    /* in the child */
	const struct work *work;
	struct progress *progress;
	pid_t pid;
	int msg, errs;	    /* parent's ends; -1: closed */
	struct buf in, text; /* what has come and isn't whole yet */
	bool done, failed, quiet;
	struct error *error;
};

static void send_record(struct worker *w, char type, const char *text, size_t len)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	uint32_t n;

	if (len > RECORD_MAX)
		len = RECORD_MAX;
	n = (uint32_t)len;
	buf_addc(&b, type);
	buf_add(&b, &n, sizeof(n));
	buf_add(&b, text, len);
	/* A parent that is gone takes us along. */
	for (size_t at = 0; at < b.len;) {
		ssize_t r = write(w->fd, b.data + at, b.len - at);

		if (r < 0 && errno != EINTR)
			return;
		at += r > 0 ? (size_t)r : 0;
	}
}

static void send_text(struct worker *w, char type, const char *fmt, va_list ap)
{
	_cleanup_free_ char *text = xvasprintf(fmt, ap);

	send_record(w, type, text, strlen(text));
}

void worker_state(struct worker *w, const char *fmt, ...)
{
	va_list ap;

	if (!w)
		return;
	va_start(ap, fmt);
	send_text(w, 's', fmt, ap);
	va_end(ap);
}

void worker_done(struct worker *w, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	send_text(w, 'd', fmt, ap);
	va_end(ap);
}

static void print_line(int fd, const char *label, const char *text, size_t len)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	progress_hide();
	if (label)
		buf_addf(&b, "%s | ", label);
	buf_add(&b, text, len);
	buf_addc(&b, '\n');
	if (write(fd, b.data, b.len) < 0)
		return;
}

void worker_line(struct worker *w, const char *text, size_t len)
{
	send_record(w, 'l', text, len);
}

void worker_result(struct worker *w, const char *text)
{
	send_record(w, 'r', text, strlen(text));
}

static void send_error(struct worker *w, const struct error *e)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	buf_addc(&b, (char)(e ? e->cls : ERR_FAILED));
	buf_adds(&b, e ? e->msg : "failed without a reason");
	buf_addc(&b, '\0');
	buf_adds(&b, e && e->hint ? e->hint : "");
	send_record(w, 'e', b.data, b.len);
}

static void child(struct worker *w, pid_t parent, int fd, int errs)
{
	_cleanup_error_ struct error *err = NULL;
	int rc;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	w->fd = fd;
	/* Files are safe at any instant, and the parent says what is left. */
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	signal(SIGHUP, SIG_DFL);
	progress_mode = PROGRESS_NONE;
	dup2(errs, STDERR_FILENO);
	rc = w->work->fn(w, w->work->arg, &err);
	if (rc < 0)
		send_error(w, err);
	_exit(rc < 0);
}

static int start(struct worker *w, const struct work *work, bool quiet, struct error **err)
{
	pid_t parent = getpid();
	int a[2], b[2];

	*w = (struct worker){ .work = work, .msg = -1, .errs = -1, .quiet = quiet };
	if (pipe2(a, O_CLOEXEC) < 0)
		return error_errno(err, errno, "pipe");
	if (pipe2(b, O_CLOEXEC) < 0) {
		close(a[0]);
		close(a[1]);
		return error_errno(err, errno, "pipe");
	}
	fflush(NULL);
	errno = fault(FAULT_FORK);
	w->pid = errno ? -1 : fork();
	if (w->pid == 0)
		child(w, parent, a[1], b[1]);
	close(a[1]);
	close(b[1]);
	w->msg = a[0];
	w->errs = b[0];
	if (w->pid < 0)
		return error_errno(err, errno, "fork");
	w->progress = quiet || work->data ? NULL : progress_start(work->label, 0, 0);
	return 0;
}

void work_report(const char *label, const struct error *e)
{
	_cleanup_free_ char *text = error_text(e);

	log_error("%s: %s", label, text);
}

static void on_record(struct worker *w, char type, const char *text, size_t len)
{
	switch (type) {
	case 's':
		progress_state(w->progress, "%.*s", (int)len, text);
		break;
	case 'l':
		print_line(w->work->data ? STDOUT_FILENO : STDERR_FILENO, w->work->label, text, len);
		break;
	case 'r':
		if (w->work->result)
			buf_add(w->work->result, text, len);
		break;
	case 'd':
		w->done = true;
		progress_end(STEAL(w->progress), "%.*s", (int)len, text);
		break;
	case 'e': {
		_cleanup_free_ char *copy = xstrndup(text + 1, len - 1);
		size_t n = strlen(copy);

		w->failed = true;
		error_set(&w->error, (enum error_class)(unsigned char)text[0], "%s", copy);
		if (n + 2 < len)
			error_hint(&w->error, "%.*s", (int)(len - n - 2), text + n + 2);
		break;
	}
	default:
		break;
	}
}

static void on_messages(struct worker *w)
{
	uint32_t n;

	while (w->in.len >= 1 + sizeof(n)) {
		memcpy(&n, w->in.data + 1, sizeof(n));
		if (w->in.len < 1 + sizeof(n) + n)
			return;
		on_record(w, w->in.data[0], w->in.data + 1 + sizeof(n), n);
		buf_consume(&w->in, 1 + sizeof(n) + n);
	}
}

static void on_text(struct worker *w, bool end)
{
	const char *nl;

	while (w->text.len && (nl = memchr(w->text.data, '\n', w->text.len))) {
		print_line(STDERR_FILENO, NULL, w->text.data, (size_t)(nl - w->text.data));
		buf_consume(&w->text, (size_t)(nl - w->text.data) + 1);
	}
	if (end && w->text.len)
		print_line(STDERR_FILENO, NULL, w->text.data, w->text.len);
}

/* Reads what is there; closes at the end. */
static void drain(int *fd, struct buf *b)
{
	ssize_t n = read(*fd, buf_reserve(b, 4096), 4096);

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		close(*fd);
		*fd = -1;
		return;
	}
	b->len += (size_t)n;
	b->data[b->len] = '\0';
}

static void end(struct worker *w)
{
	int status = 0;

	while (waitpid(w->pid, &status, 0) < 0 && errno == EINTR)
		;
	w->pid = 0;
	on_text(w, true);
	if (!w->failed && status) {
		w->failed = true;
		error_set(&w->error, intr_signal ? ERR_INTR : ERR_FAILED, "croft's own process for it %s", proc_status_text(status));
	}
	if (w->failed) {
		progress_end(STEAL(w->progress), "failed");
		if (w->quiet)
			log_debug("%s: %s", w->work->label, w->error->msg);
		else if (w->error->cls != ERR_INTR)
			work_report(w->work->label, w->error);
	}
	progress_end(STEAL(w->progress), "done");
	if (!w->quiet)
		op_note(w->work->label, w->failed);
	buf_free(&w->in);
	buf_free(&w->text);
}

/* One turn over all that run; the number that still does. */
static size_t turn(struct worker *w, size_t started)
{
	struct pollfd *f = xcalloc(2 * started + 1, sizeof(*f));
	size_t running = 0;

	for (size_t i = 0; i < started; i++) {
		f[2 * i] = (struct pollfd){ .fd = w[i].msg, .events = POLLIN };
		f[2 * i + 1] = (struct pollfd){ .fd = w[i].errs, .events = POLLIN };
	}
	if (poll(f, 2 * started, 500) < 0)
		memset(f, 0, 2 * started * sizeof(*f));
	for (size_t i = 0; i < started; i++) {
		if (f[2 * i + 1].revents) {
			drain(&w[i].errs, &w[i].text);
			on_text(&w[i], false);
		}
		if (f[2 * i].revents) {
			drain(&w[i].msg, &w[i].in);
			on_messages(&w[i]);
		}
		/* Processes that the worker started may hold its stderr: its own end is that of the message pipe. */
		if (w[i].pid && w[i].msg < 0)
			end(&w[i]);
		if (!w[i].pid && w[i].errs >= 0) {
			close(w[i].errs);
			w[i].errs = -1;
		}
		running += w[i].pid != 0;
	}
	free(f);
	return running;
}

static int sum_up(struct worker *w, size_t n, const char *what, struct error **err)
{
	_cleanup_strv_ struct strv names = STRV_INIT;
	_cleanup_free_ char *list = NULL;
	enum error_class cls = ERR_FAILED;

	for (size_t i = 0; i < n; i++) {
		if (!w[i].failed)
			continue;
		if (!names.len)
			cls = w[i].error->cls;
		strv_add(&names, w[i].work->label);
	}
	if (!names.len)
		return 0;
	if (names.len < n)
		cls = ERR_SOME;
	list = strv_join(&names, ", ");
	return error_set(err, cls, "%s: %zu of %zu failed: %s", what, names.len, n, list);
}

static int run_all(const struct work *all, size_t n, size_t max, const char *what, bool quiet, struct error **err)
{
	struct worker *w = xcalloc(n + 1, sizeof(*w));
	size_t started = 0, running = 0;
	bool told = false;
	int rc = 0;

	while (rc == 0 && (started < n || running)) {
		while (rc == 0 && started < n && running < max && !intr_signal) {
			rc = start(&w[started], &all[started], quiet, err);
			started += rc == 0;
			running += rc == 0;
		}
		running = turn(w, started);
		if (intr_signal && !running)
			break;
		if (intr_signal && !told)
			for (size_t i = 0; i < started; i++)
				if (w[i].pid)
					kill(w[i].pid, SIGTERM);
		told = intr_signal;
	}
	/* A fork that failed: those that run are let finish. */
	while (running)
		running = turn(w, started);
	if (rc == 0 && intr_check(err) < 0)
		rc = error_wrap(err, "%s", what);
	if (rc == 0 && !quiet)
		rc = sum_up(w, n, what, err);
	for (size_t i = 0; i < started; i++)
		error_clear(&w[i].error);
	free(w);
	return rc;
}

int work_run(const struct work *all, size_t n, const char *what, struct error **err)
{
	int rc = run_all(all, n, settings_number("jobs"), what, false, err);

	timing_round();
	return rc;
}

int work_run_all(const struct work *all, size_t n, const char *what, struct error **err)
{
	return run_all(all, n, n, what, false, err);
}

int work_ask(const struct work *all, size_t n, struct error **err)
{
	return run_all(all, n, settings_number("jobs"), "asking", true, err);
}
