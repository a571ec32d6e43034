/* SPDX-License-Identifier: Apache-2.0 */
#include "app.h"

#include "base/blake2b.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/proc.h"
#include "conf/settings.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define TAIL_LINES 15
#define LOG_MAX (64u << 20)

char *app_project_dir(const struct group *g)
{
	_cleanup_free_ char *parent = path_dirname(g->base_dir);

	if (strcmp(path_basename(g->dir), "dev_configs"))
		return xstrdup(g->base_dir);
	return !strcmp(path_basename(g->base_dir), "src") ? STEAL(parent) : xstrdup(g->base_dir);
}

static bool same_lines(const struct strv *a, const struct strv *b)
{
	if (a->len != b->len)
		return false;
	for (size_t i = 0; i < a->len; i++)
		if (strcmp(a->v[i], b->v[i]))
			return false;
	return true;
}

int app_builds(const struct app_set *s, const char *command, bool bin, struct app_builds *ret, struct error **err)
{
	*ret = (struct app_builds){ .rounds = 1 };
	for (size_t i = 0; i < s->n; i++) {
		struct app_build b = { .a = s->v[i], .source = bin ? s->v[i]->source_bin : s->v[i]->source };
		int has = app_command(s->v[i], command, &b.lines, err);
		bool known = false;

		if (has < 0)
			return -1;
		for (size_t k = 0; k < ret->n && has; k++) {
			const struct app_build *o = &ret->v[k];

			known |= same_lines(&o->lines, &b.lines);
			if (o->source && b.source && !strcmp(o->source, b.source) && o->round >= b.round)
				b.round = o->round + 1;
		}
		if (!has || known) {
			strv_free(&b.lines);
			continue;
		}
		ret->v = xreallocarray(ret->v, ret->n + 1, sizeof(*ret->v));
		ret->v[ret->n++] = b;
		ret->rounds = b.round + 1 > ret->rounds ? b.round + 1 : ret->rounds;
	}
	return 0;
}

void app_builds_free(struct app_builds *b)
{
	for (size_t i = 0; i < b->n; i++)
		strv_free(&b->v[i].lines);
	free(b->v);
	*b = (struct app_builds){ 0 };
}

size_t app_builds_round(const struct app_builds *b, const struct app *a, const char *command, bool bin)
{
	_cleanup_strv_ struct strv lines = STRV_INIT;
	_cleanup_error_ struct error *e = NULL;

	if (app_command(a, command, &lines, &e) != 1)
		return 0;
	for (size_t i = 0; i < b->n; i++)
		if (same_lines(&b->v[i].lines, &lines))
			return b->v[i].round;
	return 0;
}

/* ---- what it is built from ---- */

static void hash_text(struct buf *h, const char *text)
{
	buf_add(h, text, strlen(text) + 1);
}

static int hash_tree(struct buf *h, int dir, const char *name, const char *shown, struct error **err);

static int name_order(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int hash_folder(struct buf *h, int fd, const char *shown, struct error **err)
{
	struct dirent **names = NULL;
	int n = scandirat(fd, ".", &names, NULL, name_order), rc = 0;

	if (n < 0)
		return error_errno(err, errno, "%s", shown);
	for (int i = 0; i < n; i++) {
		const char *name = names[i]->d_name;
		_cleanup_free_ char *sub = xasprintf("%s/%s", shown, name);

		/* A version control system's own files change without the sources. */
		if (rc == 0 && strcmp(name, ".") && strcmp(name, "..") && strcmp(name, ".git"))
			rc = hash_tree(h, fd, name, sub, err);
		free(names[i]);
	}
	free(names);
	return rc;
}

static int hash_tree(struct buf *h, int dir, const char *name, const char *shown, struct error **err)
{
	_cleanup_close_ int fd = -1;
	static char buf[1 << 16];
	char head[64];
	struct stat st;
	ssize_t n;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return error_errno(err, errno, "%s", shown);
	hash_text(h, shown);
	snprintf(head, sizeof(head), "%o %lld", (unsigned)st.st_mode, S_ISREG(st.st_mode) ? (long long)st.st_size : 0);
	hash_text(h, head);
	if (S_ISLNK(st.st_mode)) {
		n = readlinkat(dir, name, buf, sizeof(buf));
		buf_add(h, buf, n > 0 ? (size_t)n : 0);
		return 0;
	}
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return 0;
	fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return error_errno(err, errno, "%s", shown);
	if (S_ISDIR(st.st_mode))
		return hash_folder(h, fd, shown, err);
	/* The hash of each piece stands for the piece. */
	while ((n = read(fd, buf, sizeof(buf))) > 0) {
		blake2b(buf, (size_t)n, (uint8_t *)buf_reserve(h, BLAKE2B_LEN));
		h->len += BLAKE2B_LEN;
	}
	return n < 0 ? error_errno(err, errno, "%s", shown) : 0;
}

/* Of the commands, and of the inputs when they are named ("": they are not). */
static int make_key(const struct app_build *b, char hex[65], struct error **err)
{
	_cleanup_buf_ struct buf h = BUF_INIT;
	uint8_t out[BLAKE2B_LEN];

	for (size_t i = 0; i < b->lines.len; i++)
		hash_text(&h, b->lines.v[i]);
	for (size_t i = 0; i < b->a->inputs.len; i++)
		if (hash_tree(&h, AT_FDCWD, b->a->inputs.v[i], b->a->inputs.v[i], err) < 0)
			return error_wrap(err, "inputs of app %s", b->a->name);
	blake2b(h.data, h.len, out);
	for (size_t i = 0; i < BLAKE2B_LEN; i++)
		snprintf(hex + 2 * i, 3, "%02x", out[i]);
	return 0;
}

/* The stamp belongs to the place of the result: what was built there last. */
static char *stamp_path(const struct app_build *b)
{
	_cleanup_free_ char *all = strv_join(&b->lines, "\n");
	const char *of = b->source ? b->source : all;
	uint8_t out[BLAKE2B_LEN];
	char hex[17];

	blake2b(of, strlen(of), out);
	for (size_t i = 0; i < 8; i++)
		snprintf(hex + 2 * i, 3, "%02x", out[i]);
	return xasprintf("%s/apps/build-%s-%s", b->a->g->record, b->a->name, hex);
}

static bool is_fresh(const struct app_build *b, const char *stamp, const char *key)
{
	_cleanup_buf_ struct buf old = BUF_INIT;
	_cleanup_error_ struct error *e = NULL;

	if (!b->a->inputs.len || (b->source && !file_exists(b->source)) || !file_exists(stamp) || file_read(stamp, 4096, &old, &e) < 0)
		return false;
	return !strncmp(buf_str(&old), key, 64);
}

/* ---- running ---- */

struct job {
	const struct app_build *b;
	bool force;
};

static void tail_of(const char *path, struct buf *ret)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_error_ struct error *e = NULL;
	size_t lines = 0, at;

	if (file_read(path, LOG_MAX, &b, &e) < 0)
		return;
	for (at = b.len; at > 0; at--)
		if (b.data[at - 1] == '\n' && at != b.len && ++lines == TAIL_LINES)
			break;
	buf_add(ret, b.data + at, b.len - at);
}

static int run_line(const struct app_build *b, const char *line, int log, const char *cwd, const char *log_path, struct error **err)
{
	_cleanup_proc_ struct proc p = PROC_INIT;
	const char *argv[] = { "bash", "-c", line, NULL };
	struct proc_opts o = { .argv = argv, .cwd = cwd, .in = PROC_NULL, .out = PROC_FD, .err = PROC_FD, .out_fd = log, .err_fd = log,
		.die_with_us = true };
	_cleanup_buf_ struct buf tail = BUF_INIT;
	uint64_t start = loop_now();
	int status = 0;

	if (proc_spawn(&o, &p, err) < 0 || proc_wait(&p, -1, &status, err) < 0)
		return -1;
	timing_ran(start);
	if (status == 0)
		return 0;
	tail_of(log_path, &tail);
	error_set(err, ERR_FAILED, "host command of app %s %s: %s\nit said:\n%s", b->a->name, proc_status_text(status), line, buf_str(&tail));
	return error_hint(err, "it ran in %s; all it said is in %s", cwd, log_path);
}

static int run_job(struct worker *w, void *arg, struct error **err)
{
	const struct job *j = arg;
	const struct app_build *b = j->b;
	_cleanup_free_ char *stamp = stamp_path(b), *log_path = xasprintf("%s.log", stamp), *cwd = app_project_dir(b->a->g);
	_cleanup_close_ int log = -1;
	char key[65];

	if (make_key(b, key, err) < 0)
		return -1;
	if (!j->force && is_fresh(b, stamp, key)) {
		worker_done(w, "built already");
		return 0;
	}
	/* From now on the result may be anything. */
	if (file_unlink(stamp, err) < 0)
		return -1;
	log = open(log_path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	if (log < 0)
		return error_errno(err, errno, "%s", log_path);
	worker_state(w, "building");
	for (size_t i = 0; i < b->lines.len; i++)
		if (run_line(b, b->lines.v[i], log, cwd, log_path, err) < 0)
			return -1;
	if (b->source && !file_exists(b->source))
		return error_set(err, ERR_FAILED, "app %s: its build has ended well, but there is no %s", b->a->name, b->source);
	if (file_writef(stamp, 0600, err, "%s\n", key) < 0)
		return -1;
	worker_done(w, "built");
	return 0;
}

int app_builds_run(const struct app_builds *b, size_t round, bool force, struct error **err)
{
	struct job *jobs = xcalloc(b->n + 1, sizeof(*jobs));
	struct work *all = xcalloc(b->n + 1, sizeof(*all));
	char **labels = xcalloc(b->n + 1, sizeof(*labels));
	size_t n = 0;
	int rc = 0;

	for (size_t i = 0; i < b->n; i++) {
		if (b->v[i].round != round)
			continue;
		jobs[n] = (struct job){ &b->v[i], force };
		labels[n] = b->rounds > 1 ? xasprintf("build %s for %s", b->v[i].a->name, b->v[i].a->n->name)
					  : xasprintf("build %s", b->v[i].a->name);
		all[n] = (struct work){ .label = labels[n], .arg = &jobs[n], .fn = run_job };
		n++;
	}
	if (n) {
		_cleanup_free_ char *dir = path_join(b->v[0].a->g->record, "apps");

		rc = file_mkdirs(dir, 0700, err) < 0 ? -1 : work_run(all, n, "build", err);
		/* Nothing has been done on any member yet. */
		if (rc < 0 && (*err)->cls == ERR_SOME)
			(*err)->cls = ERR_FAILED;
	}
	for (size_t i = 0; i < n; i++)
		free(labels[i]);
	free(labels);
	free(jobs);
	free(all);
	return rc;
}
