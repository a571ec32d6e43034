/* SPDX-License-Identifier: Apache-2.0 */
/* Test cases in Lua: what croft-lua (group/lua/main.c) says of a file, and its steps, which are done here as those of YAML are. */
#include "testfile.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/intr.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/proc.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define LIST_MS 20000
#define LINE_MAX_BYTES (16u << 20)
#define LOOK_MS 500

bool test_file_is_lua(const char *path)
{
	size_t n = strlen(path);

	return n > 4 && !strcmp(path + n - 4, ".lua");
}

/* ---- what the file declares ---- */

static int read_case(struct test_file *t, const struct node *at, struct error **err)
{
	struct test_case *c = &t->cases[t->ncases];
	const char *name = NULL, *snapshot = NULL;
	uint64_t line = 0;

	if (node_str(at, "name", &name, err) < 0 || node_str(at, "snapshot", &snapshot, err) < 0 || node_u64(at, "line", 0, INT32_MAX, &line, err) < 0)
		return -1;
	for (size_t i = 0; i < t->ncases; i++)
		if (!strcmp(t->cases[i].name, name))
			return error_set(err, ERR_USAGE, "%s:%d: there is another case '%s'", t->path, (int)line, name);
	if (!name || !*name)
		return error_set(err, ERR_USAGE, "%s:%d: a case needs a name", t->path, (int)line);
	if (snapshot && name_check("snapshot", snapshot, err) < 0)
		return error_wrap(err, "%s:%d", t->path, (int)line);
	c->name = xstrdup(name);
	c->snapshot = xstrdup(snapshot);
	c->script = ++t->ncases;
	return 0;
}

static int read_list(struct test_file *t, struct error **err)
{
	const struct node *root = doc_root(t->doc);
	const char *name = path_basename(t->path), *snapshot = NULL;
	struct node *cases = NULL;
	bool setup = false;

	if (node_str(root, "name", &name, err) < 0 || node_str(root, "snapshot", &snapshot, err) < 0 || node_bool(root, "setup", &setup, err) < 0 ||
		node_list(root, "cases", &cases, err) < 0)
		return -1;
	t->name = xstrdup(name);
	t->snapshot = xstrdup(snapshot);
	t->lua = true;
	t->lua_setup = setup;
	if (snapshot && name_check("snapshot", snapshot, err) < 0)
		return error_wrap(err, "%s", t->path);
	if (!cases || !cases->len)
		return error_set(err, ERR_USAGE, "%s: there are no cases: case(\"NAME\", function() ... end)", t->path);
	t->cases = xcalloc(cases->len, sizeof(*t->cases));
	for (size_t i = 0; i < cases->len; i++)
		if (read_case(t, cases->items[i], err) < 0)
			return -1;
	return 0;
}

int test_lua_load(struct test_file *t, struct error **err)
{
	_cleanup_free_ char *exe = path_libexec("croft-lua", err);
	_cleanup_buf_ struct buf out = BUF_INIT, said = BUF_INIT;
	_cleanup_error_ struct error *e = NULL;

	if (!exe)
		return -1;
	if (access(t->path, R_OK) < 0)
		return error_errno(err, errno, "%s", t->path);
	if (proc_run((const char *const[]){ exe, t->path, "list", NULL }, LIST_MS, &out, &said, &e) < 0) {
		/* "FILE:LINE: what", as Lua says it. */
		if (!said.len)
			return error_move(err, &e);
		return error_set(err, ERR_USAGE, "%.*s", (int)strcspn(buf_str(&said), "\n"), buf_str(&said));
	}
	t->doc = doc_parse(t->path, out.data, out.len, err);
	return t->doc ? read_list(t, err) : -1;
}

/* ---- a case that runs ---- */

/* One line of its, without the newline: 1; 0: it has ended; -1. */
static int read_line(struct proc *p, struct buf *in, struct buf *line, struct error **err)
{
	for (;;) {
		const char *nl = in->len ? memchr(in->data, '\n', in->len) : NULL;
		struct pollfd f = { .fd = p->out, .events = POLLIN };
		ssize_t n;

		if (nl) {
			size_t len = (size_t)(nl - in->data);

			buf_clear(line);
			buf_add(line, in->data, len);
			buf_consume(in, len + 1);
			return 1;
		}
		if (intr_check(err) < 0)
			return -1;
		if (in->len > LINE_MAX_BYTES)
			return error_set(err, ERR_FAILED, "croft-lua: a line that does not end");
		if (poll(&f, 1, LOOK_MS) <= 0)
			continue;
		n = read(p->out, buf_reserve(in, 65536), 65536);
		if (n == 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return error_errno(err, errno, "croft-lua");
		in->len += n > 0 ? (size_t)n : 0;
	}
}

static int answer(struct proc *p, bool ok, int status, const struct buf *out, const char *why, struct error **err)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	buf_addf(&b, "{\"ok\":%s,\"status\":%d,\"output\":", ok ? "true" : "false", status);
	json_quote(&b, out->data ? out->data : "");
	buf_adds(&b, ",\"why\":");
	json_quote(&b, why);
	buf_adds(&b, "}\n");
	return file_write_all(p->in, b.data, b.len, "croft-lua", err);
}

/* 1: goes on; 2: the case passed; 0: failed; -1. */
static int take(const struct group *g, struct proc *p, const struct buf *line, const struct test_lua_runner *r, struct buf *why, struct error **err)
{
	_cleanup_doc_ struct doc *d = doc_parse("step", line->data, line->len, err);
	_cleanup_error_ struct error *e = NULL;
	_cleanup_buf_ struct buf out = BUF_INIT, reason = BUF_INIT;
	const char *end = NULL, *text = "";
	struct test_step s = { 0 };
	int status = 0, rc;

	if (!d || node_str(doc_root(d), "end", &end, err) < 0 || node_str(doc_root(d), "why", &text, err) < 0)
		return -1;
	if (end) {
		buf_adds(why, text);
		return strcmp(end, "passed") ? 0 : 2;
	}
	if (test_step_read(g, doc_root(d), &s, &e) < 0) {
		/* Where in the line that went between us is of no interest. */
		const char *msg = strstr(e->msg, ": ");

		rc = answer(p, false, 0, &out, msg ? msg + 2 : e->msg, err) < 0 ? -1 : 1;
	} else {
		rc = r->step(r->arg, &s, &status, &out, &reason, err);
		rc = rc < 0 || answer(p, rc > 0, status, &out, buf_str(&reason), err) < 0 ? -1 : 1;
	}
	test_step_clear(&s);
	return rc;
}

int test_lua_run(const struct group *g, const struct test_file *t, size_t n, const struct test_lua_runner *r, struct buf *why, struct error **err)
{
	_cleanup_free_ char *exe = path_libexec("croft-lua", err), *number = xasprintf("%zu", n);
	_cleanup_proc_ struct proc p = PROC_INIT;
	_cleanup_buf_ struct buf in = BUF_INIT, line = BUF_INIT;
	int rc = 1, status;

	if (!exe || proc_spawn(&(struct proc_opts){ .argv = (const char *const[]){ exe, t->path, "run", number, NULL }, .in = PROC_PIPE, .out = PROC_PIPE,
				       .err = PROC_INHERIT, .die_with_us = true }, &p, err) < 0)
		return -1;
	while (rc == 1) {
		rc = read_line(&p, &in, &line, err);
		if (rc == 0 && proc_wait(&p, 5000, &status, err) == 0) {
			buf_addf(why, "%s: croft-lua %s", t->path, proc_status_text(status));
			return 0;
		}
		if (rc > 0)
			rc = take(g, &p, &line, r, why, err);
	}
	return rc > 0 ? 1 : rc;
}
