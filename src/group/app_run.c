/* SPDX-License-Identifier: Apache-2.0 */
/* One app on one node, inside a worker: commands, pushes, waiting until it is ready, history. */
#include "app.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/path.h"
#include "conf/settings.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define MEMORY_MAX (256u << 20)
#define NOTE_MS 10000
#define CHECK_MS 10000
#define PAUSE_MIN_MS 20 /* doubled each time, up to */
#define PAUSE_MAX_MS 500

static int ms_since(uint64_t start)
{
	return (int)((loop_now() - start) / 1000000);
}

int app_text_fd(const char *text)
{
	int fd = memfd_create("croft-stdin", MFD_CLOEXEC);

	if (fd >= 0 && (write(fd, text, strlen(text)) < 0 || lseek(fd, 0, SEEK_SET) < 0)) {
		close(fd);
		return -1;
	}
	return fd;
}

void app_note(const struct app *a, struct agent *agent, const char *what, int status, int ms)
{
	_cleanup_buf_ struct buf line = BUF_INIT;
	_cleanup_error_ struct error *e = NULL;
	_cleanup_close_ int in = -1;
	struct agent_exec x = AGENT_EXEC_INIT;
	struct timespec now;
	int rc = 0;

	clock_gettime(CLOCK_REALTIME, &now);
	buf_addf(&line, "{\"time\":%lld.%03ld,\"group\":", (long long)now.tv_sec, now.tv_nsec / 1000000);
	json_quote(&line, a->g->name);
	buf_adds(&line, ",\"app\":");
	json_quote(&line, a->name);
	buf_adds(&line, ",\"command\":");
	json_quote(&line, what);
	buf_addf(&line, ",\"status\":%d,\"ms\":%d}\n", status, ms);
	in = app_text_fd(buf_str(&line));
	x.in_fd = in;
	x.timeout_ms = NOTE_MS;
	if (agent_shell_command(agent, "mkdir -p " APP_HISTORY_DIR " && cat >>" APP_HISTORY_DIR "/history", &x, &rc, &e) < 0 || rc)
		log_warn("%s: its history could not be written%s%s", a->n->name, e ? ": " : "", e ? e->msg : "");
}

static int run_line(const struct app *a, const char *line, struct agent *agent, struct lines *o, int *status, struct error **err)
{
	struct agent_exec x = AGENT_EXEC_INIT;
	uint64_t start = loop_now();
	int rc;

	x.on_output = lines_take;
	x.arg = o;
	x.timeout_ms = (int)settings_number("command_timeout");
	rc = agent_shell_command(agent, line, &x, status, err);
	timing_ran(start);
	lines_end(o);
	return rc;
}

int app_run(const struct app *a, const char *command, struct agent *agent, struct worker *w, struct error **err)
{
	_cleanup_strv_ struct strv list = STRV_INIT;
	int has = app_command(a, command, &list, err), rc = 0;

	if (has <= 0)
		return has;
	worker_state(w, "%s %s", a->name, command);
	for (size_t i = 0; i < list.len && rc == 0; i++) {
		struct lines o = { .w = w };
		uint64_t start = loop_now();
		int status = 0;

		rc = run_line(a, list.v[i], agent, &o, &status, err);
		if (rc < 0) {
			error_wrap(err, "app %s: %s: %s", a->name, command, list.v[i]);
		} else {
			app_note(a, agent, command, status, ms_since(start));
			if (status) {
				_cleanup_free_ char *said = strv_join(&o.kept, "\n");

				rc = error_set(err, ERR_FAILED, "app %s: %s: status %d: %s%s%s", a->name, command, status, list.v[i],
					o.kept.len ? "\nit said:\n" : "", said);
			}
		}
		lines_free(&o);
	}
	return rc;
}

struct moving {
	struct worker *w;
	const char *name;
	uint64_t told;
};

static void on_progress(void *arg, uint64_t done, uint64_t total)
{
	struct moving *m = arg;

	if (loop_now() - m->told < 200000000)
		return;
	m->told = loop_now();
	worker_state(m->w, "%s: %" PRIu64 " MiB sent", m->name, done >> 20);
}

/* What of `keep`, whose paths are below target, lies below target_bin, as paths from there. False: all of target_bin is kept. */
static bool keep_below(const struct app *a, struct strv *ret)
{
	for (size_t i = 0; i < a->keep.len; i++) {
		_cleanup_free_ char *full = a->target ? path_join(a->target, a->keep.v[i]) : NULL;
		size_t n = full ? strlen(full) : 0, m = strlen(a->target_bin);

		while (n > 1 && full[n - 1] == '/')
			n--;
		while (m > 1 && a->target_bin[m - 1] == '/')
			m--;
		if (n && n <= m && !strncmp(full, a->target_bin, n) && (n == m || a->target_bin[n] == '/'))
			return false;
		if (n > m && !strncmp(full, a->target_bin, m) && full[m] == '/')
			strv_add(ret, full + m + 1);
	}
	return true;
}

/* The file of what this app's node has of it (agent_sync); its folder is made. New. */
static char *memory_file(const struct app *a, bool bin, struct error **err)
{
	_cleanup_free_ char *dir = xasprintf("%s/apps/%s", a->g->record, a->n->name);

	return file_mkdirs(dir, 0700, err) < 0 ? NULL : xasprintf("%s/%s.%s", dir, a->name, bin ? "bin" : "source");
}

int app_push(const struct app *a, const struct group_deploy *how, struct agent *agent, struct worker *w, bool *changed, struct error **err)
{
	bool bin = how->update;
	const char *from = bin ? a->source_bin : a->source, *to = bin ? a->target_bin : a->target;
	_cleanup_free_ char *memory_path = NULL;
	_cleanup_buf_ struct buf memory = BUF_INIT, before = BUF_INIT;
	struct moving m = { .w = w, .name = a->name };
	struct agent_sync s = { .owner = a->owner, .memory = &memory, .keep_old = true,
		.progress = on_progress, .arg = &m };
	_cleanup_strv_ struct strv keep = STRV_INIT;
	uint64_t start = loop_now();

	if (!from && !to)
		return 0;
	if (!from || !to)
		return error_set(err, ERR_USAGE, "app %s: it has %s but no %s", a->name, from ? (bin ? "source_bin" : "source") : (bin ? "target_bin" : "target"),
			from ? (bin ? "target_bin" : "target") : (bin ? "source_bin" : "source"));
	if (bin)
		s.delete = keep_below(a, &keep) && how->delete;
	else
		s.delete = a->delete || how->delete;
	s.keep = (const char *const *)(bin ? keep.v : a->keep.v);
	memory_path = memory_file(a, bin, err);
	if (!memory_path || (!how->force && file_exists(memory_path) && file_read(memory_path, MEMORY_MAX, &memory, err) < 0))
		return -1;
	buf_add(&before, memory.data, memory.len);
	worker_state(w, "%s: comparing", a->name);
	if (agent_sync(agent, from, to, &s, err) < 0)
		return error_wrap(err, "app %s", a->name);
	*changed = s.changed;
	if (s.sent)
		app_note(a, agent, "push", 0, ms_since(start));
	if ((before.len != memory.len || memcmp(buf_str(&before), buf_str(&memory), memory.len)) &&
		file_write(memory_path, memory.data, memory.len, 0600, err) < 0)
		return -1;
	worker_state(w, "%s: %" PRIu64 " of %" PRIu64 " files sent", a->name, s.sent, s.files);
	return 0;
}

int app_push_done(const struct app *a, bool bin, struct agent *agent, struct error **err)
{
	const char *from = bin ? a->source_bin : a->source, *to = bin ? a->target_bin : a->target;
	_cleanup_free_ char *path = NULL;
	_cleanup_buf_ struct buf memory = BUF_INIT, before = BUF_INIT;

	if (!from || !to)
		return 0;
	path = memory_file(a, bin, err);
	if (!path || (file_exists(path) && file_read(path, MEMORY_MAX, &memory, err) < 0))
		return -1;
	buf_add(&before, memory.data, memory.len);
	if (agent_sync_done(agent, from, to, &memory, err) < 0)
		return -1;
	return before.len == memory.len && !memcmp(buf_str(&before), buf_str(&memory), memory.len) ? 0 : file_write(path, memory.data, memory.len, 0600, err);
}

int app_take_back(const struct app *a, bool bin, struct agent *agent, struct error **err)
{
	const char *from = bin ? a->source_bin : a->source, *to = bin ? a->target_bin : a->target;
	int rc = from && to ? agent_sync_back(agent, from, to, err) : 0;

	if (rc > 0)
		app_note(a, agent, "rollback", 0, 0);
	return rc;
}

/* ---- ready ---- */

/* "PORT" or "HOST:PORT", into argv of the guest's relay. */
static int connect_to(const char *where, char host[256], const char **port)
{
	const char *colon = strrchr(where, ':');

	snprintf(host, 256, "%.*s", colon ? (int)(colon - where) : 9, colon ? where : "127.0.0.1");
	*port = colon ? colon + 1 : where;
	return **port ? 0 : -1;
}

static int probe_port(const char *where, const char *send, struct agent *agent, struct buf *answer, int *status, struct error **err)
{
	char host[256];
	const char *port;
	_cleanup_close_ int in = send ? app_text_fd(send) : -1;
	struct agent_exec x = AGENT_EXEC_INIT;

	if (connect_to(where, host, &port) < 0)
		return error_set(err, ERR_USAGE, "ready: '%s' is no port", where);
	x.argv = (const char *const[]){ "croft-guest", "--connect", host, port, NULL };
	x.in_fd = in;
	x.out = answer;
	x.timeout_ms = CHECK_MS;
	return agent_exec(agent, &x, status, err);
}

/* http://HOST[:PORT]/PATH, or PORT/PATH, or /PATH. A status of 200 to 399 will do. */
static int probe_http(const char *url, struct agent *agent, int *status, struct error **err)
{
	_cleanup_buf_ struct buf answer = BUF_INIT;
	const char *p = !strncmp(url, "http://", 7) ? url + 7 : url, *path = strchr(p, '/');
	_cleanup_free_ char *host = path ? xstrndup(p, (size_t)(path - p)) : xstrdup(p);
	bool number = host[strspn(host, "0123456789")] == '\0';
	_cleanup_free_ char *where = !*host	       ? xstrdup("127.0.0.1:80")
				     : number	       ? xasprintf("127.0.0.1:%s", host)
				     : strchr(host, ':') ? xstrdup(host)
							 : xasprintf("%s:80", host);
	_cleanup_free_ char *request = xasprintf("GET %s HTTP/1.0\r\nHost: %s\r\nConnection: close\r\n\r\n", path ? path : "/", where);
	int code;

	if (probe_port(where, request, agent, &answer, status, err) < 0)
		return -1;
	if (*status == 0 && (sscanf(buf_str(&answer), "HTTP/%*d.%*d %d", &code) != 1 || code < 200 || code > 399))
		*status = 1;
	return 0;
}

static int probe(const struct app *a, struct agent *agent, int *status, struct error **err)
{
	struct agent_exec x = AGENT_EXEC_INIT;

	x.timeout_ms = CHECK_MS;
	switch (a->ready) {
	case READY_PORT:
		return probe_port(a->ready_what, "", agent, NULL, status, err);
	case READY_HTTP:
		return probe_http(a->ready_what, agent, status, err);
	case READY_FILE:
		x.argv = (const char *const[]){ "test", "-e", a->ready_what, NULL };
		return agent_exec(agent, &x, status, err);
	default:
		return agent_shell_command(agent, a->ready_what, &x, status, err);
	}
}

int app_wait_ready(const struct app *a, struct agent *agent, struct worker *w, struct error **err)
{
	static const char *const kinds[] = { "", "command", "port", "http", "file" };
	uint64_t start = loop_now();
	unsigned pause_ms = PAUSE_MIN_MS;

	if (a->ready == READY_NONE)
		return 0;
	worker_state(w, "%s: waiting until it is ready", a->name);
	for (;;) {
		_cleanup_error_ struct error *e = NULL;
		int status = 1;

		if (probe(a, agent, &status, &e) < 0 && e->cls != ERR_TIMEOUT) {
			error_move(err, &e);
			return error_wrap(err, "app %s: ready", a->name);
		}
		if (status == 0) {
			timing_ran(start);
			return 0;
		}
		if (ms_since(start) > a->ready_ms) {
			error_set(err, ERR_TIMEOUT, "app %s is not ready after %d s: %s %s", a->name, a->ready_ms / 1000, kinds[a->ready], a->ready_what);
			return error_hint(err, "look at its log on the node; ready's timeout may be set in the app's file");
		}
		/* Of a port, a status of HTTP or what a command looks at nobody tells: it is asked, often at first. A signal ends the pause. */
		usleep(pause_ms * 1000);
		pause_ms = pause_ms * 2 < PAUSE_MAX_MS ? pause_ms * 2 : PAUSE_MAX_MS;
	}
}
