/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a file of test cases: setup once, a snapshot of the whole group, then each case from that snapshot with a whole network. What
 * a failed case left on its nodes is collected before the next one takes it away.
 */
#include "app.h"
#include "capsule.h"
#include "snapshot.h"
#include "testfile.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/intr.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/proc.h"
#include "base/units.h"
#include "net/net.h"

#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define POLL_MS 300
#define NET_MS 10000
#define CONSOLE_LINES 40
#define OUTPUT_SHOWN 4096

struct result {
	char *name;
	double seconds;
	bool failed;
	struct buf why;
};
struct run {
	const struct group *g;
	const struct group_test_opts *o;
	struct test_file *file;
	const char *base; /* snapshot that cases begin from */
	struct result *results;
	size_t n, failed;
};

static double since(uint64_t start)
{
	return (double)(loop_now() - start) / 1e9;
}

/* ---- one step ---- */

/* This program with other arguments: its commands are the interface that people test with by hand. */
static int ourselves(const struct group *g, const char *const *args, int timeout_ms, int *status, struct buf *out, struct error **err)
{
	_cleanup_strv_ struct strv argv = STRV_INIT;
	_cleanup_free_ char *self = realpath("/proc/self/exe", NULL);

	strv_add(&argv, self ? self : "croft");
	strv_addv(&argv, args);
	return proc_output((const char *const *)argv.v, NULL, NULL, timeout_ms, status, out, err);
}

static int run_on_node(const struct run *r, const struct test_step *s, int *status, struct buf *out, struct error **err)
{
	const struct group_node *n = group_node(r->g, s->node, err);
	_cleanup_agent_ struct agent *a = n ? group_reach(r->g, n, err) : NULL;
	struct agent_exec x = AGENT_EXEC_INIT;

	if (!a)
		return -1;
	x.out = out;
	x.err = out;
	x.timeout_ms = s->timeout_ms;
	return agent_shell_command(a, s->text, &x, status, err);
}

static int run_host(const struct run *r, const struct test_step *s, int *status, struct buf *out, struct error **err)
{
	_cleanup_free_ char *dir = app_project_dir(r->g), *group = xasprintf("CROFT_GROUP=%s", r->g->name);
	const char *argv[] = { "bash", "-c", s->text, NULL }, *env[] = { group, NULL };

	return proc_output(argv, env, dir, s->timeout_ms, status, out, err);
}

static int run_words(const struct run *r, const struct test_step *s, int *status, struct buf *out, struct error **err)
{
	_cleanup_strv_ struct strv words = STRV_INIT, given = STRV_INIT;

	strv_add(&words, s->kind == STEP_NET ? "net" : "group");
	strv_add(&words, s->kind == STEP_NET ? r->g->name : r->g->file);
	strv_split(&given, s->text, " \t");
	for (size_t i = 0; i < given.len; i++) {
		strv_add(&words, given.v[i]);
		/* The node stands behind the verb: options may take all words that follow. */
		if (i == 0 && s->node)
			strv_add(&words, s->node);
	}
	return ourselves(r->g, (const char *const *)words.v, s->timeout_ms, status, out, err);
}

static int once(const struct run *r, const struct test_step *s, int *status, struct buf *out, struct error **err)
{
	switch (s->kind) {
	case STEP_RUN:
		return run_on_node(r, s, status, out, err);
	case STEP_HOST:
		return run_host(r, s, status, out, err);
	case STEP_WAIT:
		poll(NULL, 0, s->timeout_ms); /* a signal ends it */
		return 0;
	default:
		return run_words(r, s, status, out, err);
	}
}

static bool as_expected(const struct test_step *s, int status, struct buf *out, struct buf *why)
{
	buf_clear(why);
	if (s->status >= 0 && status != s->status)
		buf_addf(why, "status %d instead of %d", status, s->status);
	for (size_t i = 0; i < s->has.len && !why->len; i++)
		if (!strstr(buf_str(out), s->has.v[i]))
			buf_addf(why, "its output does not hold '%s'", s->has.v[i]);
	for (size_t i = 0; i < s->hasnt.len && !why->len; i++)
		if (strstr(buf_str(out), s->hasnt.v[i]))
			buf_addf(why, "its output holds '%s'", s->hasnt.v[i]);
	return !why->len;
}

/* 1: as expected; 0: not, with the reason in why; -1: interrupted. */
static int run_step(const struct run *r, const struct test_step *s, int *status, struct buf *out, struct buf *why, struct error **err)
{
	uint64_t start = loop_now();

	for (;;) {
		_cleanup_error_ struct error *e = NULL;

		*status = 0;
		buf_clear(out);
		if (intr_check(err) < 0)
			return -1;
		if (once(r, s, status, out, &e) < 0) {
			if (intr_check(err) < 0)
				return -1;
			buf_clear(why);
			buf_adds(why, e->msg);
		} else if (as_expected(s, *status, out, why)) {
			return 1;
		}
		if (since(start) * 1000 >= s->within_ms)
			break;
		usleep(POLL_MS * 1000);
	}
	if (s->within_ms)
		buf_addf(why, ", for %d s", s->within_ms / 1000);
	if (out->len)
		buf_addf(why, "\nit said:\n%.*s", OUTPUT_SHOWN, buf_str(out));
	return 0;
}

static int run_steps(const struct run *r, const struct test_steps *steps, struct buf *why, struct error **err)
{
	for (size_t i = 0; i < steps->n; i++) {
		_cleanup_buf_ struct buf reason = BUF_INIT, out = BUF_INIT;
		const struct test_step *s = &steps->v[i];
		int status, rc = run_step(r, s, &status, &out, &reason, err);

		if (rc > 0)
			continue;
		if (rc == 0)
			buf_addf(why, "%s:%d: %s%s%s%s", r->file->path, s->line, s->node ? s->node : "", s->node ? ": " : "", s->text,
				*s->text ? ": " : "");
		if (rc == 0)
			buf_adds(why, buf_str(&reason));
		return rc;
	}
	return 1;
}

/* In Lua. */
static int script_step(void *arg, const struct test_step *s, int *status, struct buf *out, struct buf *why, struct error **err)
{
	return run_step(arg, s, status, out, why, err);
}

static int run_script(const struct run *r, size_t n, struct buf *why, struct error **err)
{
	return test_lua_run(r->g, r->file, n, &(struct test_lua_runner){ script_step, (void *)r }, why, err);
}

/* ---- cases ---- */

static int ask_net(const struct run *r, const char *request, struct error **err)
{
	_cleanup_free_ char *dir = group_net_dir(r->g->name), *answer = NULL;

	if (!net_running(dir))
		return 0;
	answer = net_request(dir, request, NET_MS, err);
	return answer ? 0 : -1;
}

/* The whole network again, and faults that depend on the seed alone. */
static int calm(const struct run *r, uint64_t seed, struct error **err)
{
	_cleanup_free_ char *request = xasprintf("{\"op\":\"seed\",\"seed\":%" PRIu64 "}", seed);

	return ask_net(r, "{\"op\":\"heal\",\"links\":true}", err) < 0 || ask_net(r, request, err) < 0 ? -1 : 0;
}

/* The case's name as that of a file; new. */
static char *folder_of(const char *name)
{
	char *folder = xstrdup(name);

	for (char *p = folder; *p; p++)
		if (*p == '/' || *p == ' ')
			*p = '_';
	return folder;
}

/* The whole group as the failed case has left it. */
static void encapsulate(const struct run *r, const char *name, struct result *res)
{
	_cleanup_free_ char *folder = folder_of(name), *file = r->o->capsules ? xasprintf("%s/%s.croft", r->o->capsules, folder) : NULL;
	_cleanup_free_ char *text = xasprintf("%s: %s", name, buf_str(&res->why));
	_cleanup_error_ struct error *e = NULL;

	if (!file)
		return;
	if (file_mkdirs(r->o->capsules, 0755, &e) < 0 ||
		group_capsule(r->g, file, &(struct capsule_opts){ .text = text, .with = &(struct strv){ &(char *){ r->file->path }, 1, 0 } }, &e) < 0)
		buf_addf(&res->why, "\nits capsule could not be made: %s", e->msg);
	else
		buf_addf(&res->why, "\nits capsule is %s: croft group open FILE", file);
}

/* What a failed case leaves: logs that nodes name, and the end of each console. */
static void collect(const struct run *r, const char *name, struct result *res)
{
	_cleanup_free_ char *folder = folder_of(name), *dir = NULL, *logs = NULL;
	_cleanup_error_ struct error *e = NULL;

	if (!r->o->logs)
		return;
	dir = path_join(r->o->logs, folder);
	logs = path_join(dir, "logs");
	if (file_mkdirs(dir, 0755, &e) == 0) {
		_cleanup_error_ struct error *quiet = NULL;

		group_clog(r->g, NULL, logs, &quiet);
	}
	for (size_t i = 0; i < r->g->nnodes && !e; i++) {
		_cleanup_free_ char *file = xasprintf("%s/%s.console", dir, r->g->nodes[i].name);
		_cleanup_machine_ struct machine *m = machine_open(r->g->nodes[i].full, &e);
		_cleanup_buf_ struct buf tail = BUF_INIT;

		if (!m)
			break;
		machine_console_tail(m, CONSOLE_LINES, &tail);
		file_write(file, buf_str(&tail), tail.len, 0644, &e);
	}
	buf_addf(&res->why, "\n%s %s", e ? "its logs could not be collected:" : "its logs are in", e ? e->msg : dir);
}

static int run_case(struct run *r, const struct test_case *c, const char *name, uint64_t seed, struct error **err)
{
	struct result *res;
	uint64_t start = loop_now();
	int rc;

	r->results = xreallocarray(r->results, r->n + 1, sizeof(*r->results));
	res = &r->results[r->n++];
	*res = (struct result){ .name = xstrdup(name) };
	if (group_snapshot_restore(r->g->name, c->snapshot ? c->snapshot : r->base, false, err) < 0 || calm(r, seed, err) < 0)
		return error_wrap(err, "case %s", name);
	rc = c->script ? run_script(r, c->script, &res->why, err) : run_steps(r, &c->steps, &res->why, err);
	res->seconds = since(start);
	if (rc < 0)
		return -1;
	res->failed = rc == 0;
	if (res->failed) {
		encapsulate(r, name, res);
		collect(r, name, res);
		r->failed++;
	}
	r->o->report(r->o->arg, name, !res->failed, res->seconds, buf_str(&res->why));
	return 0;
}

/* Setup and the snapshot behind it; kept from the last time when the file names it. */
static int prepare(struct run *r, struct error **err)
{
	_cleanup_error_ struct error *none = NULL;
	_cleanup_group_snapshot_ struct group_snapshot *there = NULL;
	_cleanup_buf_ struct buf why = BUF_INIT;
	struct group_snapshot_opts o = { .name = r->file->snapshot ? r->file->snapshot : "test-setup", .text = "test setup" };
	_cleanup_free_ char *name = NULL;
	uint64_t halted;
	int rc;

	r->base = o.name;
	there = group_snapshot_open(r->g->name, o.name, &none);
	if (there && r->file->snapshot && !r->o->fresh)
		return 0;
	rc = calm(r, r->o->seed, err);
	if (rc == 0)
		rc = !r->file->lua ? run_steps(r, &r->file->setup, &why, err) : r->file->lua_setup ? run_script(r, 0, &why, err) : 1;
	if (rc == 0)
		return error_set(err, ERR_FAILED, "setup: %s", buf_str(&why));
	if (rc < 0 || (there && group_snapshot_remove(r->g->name, o.name, err) < 0))
		return -1;
	return group_snapshot_take(r->g->name, &o, &name, &halted, err);
}

/* ---- JUnit XML: the dialect that Jenkins and GitLab read ---- */

static void xml_text(struct buf *b, const char *s)
{
	for (; *s; s++) {
		if (*s == '<')
			buf_adds(b, "&lt;");
		else if (*s == '&')
			buf_adds(b, "&amp;");
		else if (*s == '>')
			buf_adds(b, "&gt;");
		else if (*s == '"')
			buf_adds(b, "&quot;");
		else if ((unsigned char)*s >= 0x20 || *s == '\n' || *s == '\t')
			buf_addc(b, *s);
	}
}

static int write_junit(const struct run *r, struct error **err)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	double sum = 0;

	for (size_t i = 0; i < r->n; i++)
		sum += r->results[i].seconds;
	buf_addf(&b, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"");
	xml_text(&b, r->file->name);
	buf_addf(&b, "\" tests=\"%zu\" failures=\"%zu\" time=\"%.3f\">\n", r->n, r->failed, sum);
	for (size_t i = 0; i < r->n; i++) {
		buf_adds(&b, "\t<testcase name=\"");
		xml_text(&b, r->results[i].name);
		buf_addf(&b, "\" time=\"%.3f\"", r->results[i].seconds);
		if (r->results[i].failed) {
			buf_adds(&b, ">\n\t\t<failure>");
			xml_text(&b, buf_str(&((struct run *)r)->results[i].why));
			buf_adds(&b, "</failure>\n\t</testcase>\n");
		} else {
			buf_adds(&b, "/>\n");
		}
	}
	buf_adds(&b, "</testsuite>\n");
	return file_write(r->o->junit, b.data, b.len, 0644, err);
}

static bool wanted(const struct run *r, const struct test_case *c)
{
	return !r->o->only || !r->o->only->len || strv_has(r->o->only, c->name);
}

static int check_only(const struct run *r, struct error **err)
{
	for (size_t k = 0; r->o->only && k < r->o->only->len; k++) {
		_cleanup_strv_ struct strv all = STRV_INIT;
		const char *near;

		for (size_t i = 0; i < r->file->ncases; i++)
			strv_add(&all, r->file->cases[i].name);
		if (strv_has(&all, r->o->only->v[k]))
			continue;
		near = nearest_name(r->o->only->v[k], (const char *const *)all.v, all.len);
		error_set(err, ERR_NOT_FOUND, "%s: there is no case '%s'", r->file->path, r->o->only->v[k]);
		return near ? error_hint(err, "did you mean '%s'?", near) : -1;
	}
	return 0;
}

int group_test(const struct group *g, const char *path, const struct group_test_opts *o, size_t *failed, size_t *total, struct error **err)
{
	_cleanup_test_file_ struct test_file *file = test_file_load(g, path, err);
	struct run r = { .g = g, .o = o, .file = file };
	int rc = file ? 0 : -1;

	if (rc == 0 && (check_only(&r, err) < 0 || prepare(&r, err) < 0))
		rc = -1;
	for (unsigned k = 0; rc == 0 && k < (o->repeat ? o->repeat : 1); k++)
		for (size_t i = 0; rc == 0 && i < file->ncases; i++) {
			const struct test_case *c = &file->cases[i];
			_cleanup_free_ char *name = o->repeat > 1 ? xasprintf("%s (seed %" PRIu64 ")", c->name, o->seed + k) : xstrdup(c->name);

			if (wanted(&r, c))
				rc = run_case(&r, c, name, o->seed + k, err);
		}
	if (file && o->junit && r.n) {
		_cleanup_error_ struct error *e = NULL;

		if (write_junit(&r, &e) < 0 && rc == 0)
			rc = error_move(err, &e);
	}
	*failed = r.failed;
	*total = r.n;
	for (size_t i = 0; i < r.n; i++) {
		free(r.results[i].name);
		buf_free(&r.results[i].why);
	}
	free(r.results);
	return rc;
}
