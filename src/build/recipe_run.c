/* SPDX-License-Identifier: Apache-2.0 */
/* Builds a recipe: each package and pass in the root as the one before has left it. */
#include "build/build.h"
#include "build/recipe_place.h"
#include "image/export/export.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/intr.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/units.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define TAIL_LINES 15

enum outcome { NOT_DONE, KEPT, BUILT, BROKEN };
struct took {
	enum outcome how;
	double seconds;
	uint64_t bytes;
};
struct run {
	const struct recipe *r;
	const struct recipe_opts *o;
	const struct ui *ui;
	struct place *place;
	char *dir, *out;
	struct took *took;
	int lock;
	unsigned jobs;
};

char *recipe_dir(const struct recipe *r, const char first[SHA_HEX])
{
	_cleanup_free_ char *sub = xasprintf("builds/%s-%.16s", r->name, first);

	return path_cache(sub);
}

/* ---- keys ---- */

/* files/ of the recipe is shown at /recipe, so all of it counts. */
static int hash_step(struct run *w, size_t i, const char *files, struct error **err)
{
	struct recipe_step *s = &w->r->steps[i];
	struct sha *h = sha_new();
	int rc = 0;

	sha_adds(h, i ? w->r->steps[i - 1].key : w->place->first);
	sha_adds(h, s->id);
	sha_add(h, &s->pass, sizeof s->pass);
	sha_adds(h, recipe_checksum(s));
	sha_adds(h, files);
	for (int k = 0; k < STAGES; k++)
		sha_adds(h, s->script[k]);
	for (size_t k = 0; k < w->r->vars.len; k++)
		sha_adds(h, w->r->vars.v[k]);
	for (size_t k = 0; k < s->patches.len && rc == 0; k++)
		rc = inputs_path(h, s->patches.v[k], err);
	sha_end(h, s->key);
	return rc;
}

static int keys(struct run *w, struct error **err)
{
	_cleanup_free_ char *files = path_join(w->r->dir, "files");
	struct sha *s = sha_new();
	char sum[SHA_HEX];
	int rc = 0;

	if (file_exists(files))
		rc = inputs_path(s, files, err);
	sha_end(s, sum);
	for (size_t i = 0; i < w->r->nsteps && rc == 0; i++)
		rc = hash_step(w, i, sum, err);
	return rc;
}

/* ---- steps by name ---- */

/* ID, ID:PASS, or a number from 1. */
static int find(const struct run *w, const char *option, const char *word, long *ret, struct error **err)
{
	_cleanup_strv_ struct strv names = STRV_INIT;
	const char *near;
	char *end;
	long n = strtol(word, &end, 10);

	if (*word && !*end && n >= 1 && (size_t)n <= w->r->nsteps) {
		*ret = n - 1;
		return 0;
	}
	for (size_t i = 0; i < w->r->nsteps; i++) {
		const struct recipe_step *s = &w->r->steps[i];
		_cleanup_free_ char *full = xasprintf("%s:%u", s->id, s->pass);

		if (!strcmp(word, full) || !strcmp(word, s->id) || !strcmp(word, s->name)) {
			*ret = (long)i;
			return 0;
		}
		strv_add(&names, full);
	}
	near = nearest_name(word, (const char *const *)names.v, names.len);
	error_set(err, ERR_USAGE, "--%s %s: the recipe has no such package", option, word);
	return near ? error_hint(err, "did you mean '%s'?", near) : -1;
}

/* ---- one step ---- */

struct log {
	FILE *f;
	struct strv tail;
	struct buf line;
};

static void note(void *arg, int stream, const void *p, size_t n)
{
	struct log *l = arg;
	const char *s = p;

	fwrite(p, 1, n, l->f);
	for (size_t i = 0; i < n; i++) {
		if (s[i] != '\n') {
			if (l->line.len < 400)
				buf_addc(&l->line, s[i]);
			continue;
		}
		if (l->tail.len == TAIL_LINES) {
			free(l->tail.v[0]);
			memmove(l->tail.v, l->tail.v + 1, (TAIL_LINES - 1) * sizeof(char *));
			l->tail.len--;
		}
		strv_add(&l->tail, buf_str(&l->line));
		l->line.len = 0;
	}
}

/* All stages in one shell, so that a `cd` of the first holds for the others. Its name is in a file when one fails. */
static char *script_of(const struct recipe_step *s)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	buf_adds(&b, "cd /build; set -- *; if [ $# = 1 ] && [ -d \"$1\" ]; then cd \"$1\"; fi; set --\n");
	buf_adds(&b, "echo patch >/" RECIPE_STAGE "\n");
	for (size_t i = 0; i < s->patches.len; i++)
		buf_addf(&b, "patch -p1 </build.patch-%zu\n", i);
	for (int k = 0; k < STAGES; k++)
		if (s->script[k])
			buf_addf(&b, "echo %s >/" RECIPE_STAGE "\n%s\n", stage_names[k], s->script[k]);
	return buf_steal(&b);
}

static int failed(struct run *w, const struct recipe_step *s, int status, const char *path, struct log *l, struct error **err)
{
	_cleanup_free_ char *tail = strv_join(&l->tail, "\n");
	_cleanup_buf_ struct buf stage = BUF_INIT;

	w->place->ops->stage(w->place, &stage);
	if (stage.len && stage.data[stage.len - 1] == '\n')
		stage.data[stage.len - 1] = '\0';
	error_set(err, ERR_FAILED, "%s pass %u: %s%s: status %d", s->id, s->pass, buf_str(&stage),
		!strcmp(buf_str(&stage), "test") ? " (its acceptance tests have failed)" : "", status);
	return error_hint(err, "all it said is in %s; the last of it:\n%s", path, tail);
}

static int run_script(struct run *w, const struct recipe_step *s, struct error **err)
{
	_cleanup_free_ char *name = xasprintf("logs/%s.pass%u.log", s->id, s->pass), *path = path_join(w->out, name), *script = script_of(s);
	_cleanup_free_ char *pass = xasprintf("PASS=%u", s->pass), *jobs = xasprintf("JOBS=%u", w->jobs);
	_cleanup_free_ char *id = xasprintf("NAME=%s", s->name), *version = xasprintf("VERSION=%s", s->version);
	_cleanup_strv_ struct strv env = STRV_INIT;
	struct log l = { .f = fopen(path, "we"), .line = BUF_INIT };
	int status = 0, rc;

	if (!l.f)
		return error_errno(err, errno, "%s", path);
	strv_addv(&env, (const char *const[]){ id, version, pass, jobs, NULL });
	strv_addv(&env, w->r->vars.v ? (const char *const *)w->r->vars.v : (const char *const[]){ NULL });
	rc = w->place->ops->run(w->place, script, &env, s->network, note, &l, &status, err);
	if (rc == 0 && status)
		rc = failed(w, s, status, path, &l, err);
	if (fclose(l.f) != 0 && rc == 0)
		rc = error_errno(err, errno, "%s", path);
	strv_free(&l.tail);
	buf_free(&l.line);
	return rc;
}

/* What it has taken, beside its layer, for the table of a later run. */
static char *took_path(const struct run *w, const struct recipe_step *s)
{
	return xasprintf("%s/%.16s.took", w->dir, s->key);
}

static int do_step(struct run *w, size_t i, struct error **err)
{
	const struct recipe_step *s = &w->r->steps[i];
	const struct place_ops *ops = w->place->ops;
	_cleanup_free_ char *path = took_path(w, s), *files = path_join(w->r->dir, "files"), *source = NULL;
	uint64_t start = loop_now(), bytes = 0;

	ui_say(w->ui, w->r->name, "%s pass %u (%zu of %zu)...", s->id, s->pass, i + 1, w->r->nsteps);
	w->took[i].how = BROKEN;
	if (s->source && !(source = recipe_fetch(w->r, s, w->ui, err)))
		return -1;
	if (ops->prepare(w->place, source, &s->patches, file_exists(files) ? files : NULL, err) < 0)
		return error_wrap(err, "%s", s->id);
	if (run_script(w, s, err) < 0 || ops->commit(w->place, s->key, s->id, &bytes, err) < 0)
		return -1;
	w->took[i] = (struct took){ BUILT, (double)(loop_now() - start) / 1e9, bytes };
	return file_writef(path, 0644, err, "%.1f %" PRIu64 "\n", w->took[i].seconds, w->took[i].bytes);
}

/* ---- the whole ---- */

static int begin_at(struct run *w, long last, struct error **err)
{
	_cleanup_strv_ struct strv l = STRV_INIT;

	strv_add(&l, w->place->first);
	for (long i = 0; i <= last; i++)
		strv_add(&l, w->r->steps[i].key);
	return w->place->ops->back(w->place, &l, err);
}

static int make_start(struct run *w, struct error **err)
{
	if (!w->o->no_cache && w->place->ops->has(w->place, w->place->first))
		return 0;
	return w->place->ops->start(w->place, err) < 0 ? error_wrap(err, "start") : 0;
}

/* The last step that is kept and may be used; -1: none. */
static long last_kept(struct run *w, long from)
{
	long i = 0;

	while (!w->o->no_cache && i < from && i < (long)w->r->nsteps && w->place->ops->has(w->place, w->r->steps[i].key)) {
		_cleanup_free_ char *path = took_path(w, &w->r->steps[i]);
		_cleanup_fclose_ FILE *f = fopen(path, "re");

		w->took[i].how = KEPT;
		if (!f || fscanf(f, "%lf %" SCNu64, &w->took[i].seconds, &w->took[i].bytes) != 2)
			w->took[i].bytes = 0;
		i++;
	}
	return i - 1;
}

static void table(const struct run *w)
{
	static const char *const how[] = { [NOT_DONE] = "", [KEPT] = "kept", [BUILT] = "built", [BROKEN] = "failed" };
	double seconds = 0;
	uint64_t bytes = 0;
	char size[16];

	ui_message(w->ui, w->r->name, "%-32s %4s %10s %10s  %s", "package", "pass", "time", "size", "");
	for (size_t i = 0; i < w->r->nsteps; i++) {
		const struct took *t = &w->took[i];

		if (t->how == NOT_DONE)
			continue;
		ui_message(w->ui, w->r->name, "%-32s %4u %8.1f s %10s  %s", w->r->steps[i].id, w->r->steps[i].pass, t->seconds,
			format_size(t->bytes, size), how[t->how]);
		seconds += t->seconds;
		bytes += t->bytes;
	}
	ui_message(w->ui, w->r->name, "%-32s %4s %8.1f s %10s", "all", "", seconds, format_size(bytes, size));
}

static int write_output(struct run *w, const struct recipe_output *o, struct error **err)
{
	_cleanup_free_ char *to = path_join(w->out, o->file), *temp = xasprintf("%s.root.tar", to);
	struct comm *c = w->place->ops->comm(w->place);
	bool dir = comm_is_dir(c, o->from);
	int rc;

	ui_say(w->ui, w->r->name, "Writing %s...", to);
	if (!dir) {
		rc = c->ops->download(c, o->from, to, err);
	} else {
		rc = w->place->ops->tar(w->place, o->from, o->format ? temp : to, err);
		if (rc == 0 && o->format)
			rc = image_export(temp, to, &(struct image_export_opts){ .format = o->format, .force = true }, err);
		unlink(temp);
	}
	return rc < 0 ? error_wrap(err, "output %s", o->file) : 0;
}

static int write_outputs(struct run *w, struct error **err)
{
	if (begin_at(w, (long)w->r->nsteps - 1, err) < 0)
		return -1;
	for (size_t i = 0; i < w->r->noutputs; i++)
		if (write_output(w, &w->r->outputs[i], err) < 0)
			return -1;
	return 0;
}

static int run_steps(struct run *w, struct error **err)
{
	long from = (long)w->r->nsteps, until = from - 1, shell = -1, kept;

	if ((w->o->from && find(w, "from", w->o->from, &from, err) < 0) || (w->o->until && find(w, "until", w->o->until, &until, err) < 0) ||
		(w->o->shell_at && find(w, "shell-at", w->o->shell_at, &shell, err) < 0))
		return -1;
	until = shell >= 0 ? shell : until;
	if (make_start(w, err) < 0)
		return -1;
	kept = last_kept(w, from);
	kept = kept > until ? until : kept;
	if (begin_at(w, kept, err) < 0)
		return -1;
	for (long i = kept + 1; i <= until; i++)
		if (intr_check(err) < 0 || do_step(w, (size_t)i, err) < 0)
			return -1;
	if (shell >= 0) {
		struct comm *c = w->place->ops->comm(w->place);
		int status = 0, rc;

		ui_say(w->ui, w->r->name, "A shell in the root as it is behind %s; what is changed there is not kept.", w->r->steps[shell].id);
		fflush(stdout);
		rc = c->ops->shell(c, &status, err);
		return rc < 0 ? -1 : status;
	}
	return until < (long)w->r->nsteps - 1 ? 0 : write_outputs(w, err);
}

static int prepare(struct run *w, struct error **err)
{
	_cleanup_free_ char *lock = NULL, *logs = path_join(w->out, "logs");
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	w->jobs = w->o->jobs ? w->o->jobs : cpus > 0 ? (unsigned)cpus : 1;
	w->place = (w->r->machine ? place_machine : place_tree)(w->r, w->ui, w->o->no_cache, err);
	if (!w->place || keys(w, err) < 0)
		return -1;
	w->dir = recipe_dir(w->r, w->place->first);
	lock = path_join(w->dir, "lock");
	if (file_mkdirs(w->dir, 0700, err) < 0 || file_mkdirs(logs, 0755, err) < 0)
		return -1;
	w->lock = file_lock(lock, true, 0, err);
	if (w->lock < 0) {
		error_wrap(err, "another build of the same recipe");
		return error_hint(err, "wait for it to end");
	}
	return 0;
}

int recipe_build(const struct recipe *r, const struct recipe_opts *o, const struct ui *ui, struct error **err)
{
	_cleanup_free_ char *standard = xasprintf("output-%s", r->name);
	struct run w = { .r = r, .o = o, .ui = ui, .lock = -1, .out = path_absolute(o->out ? o->out : standard),
		.took = xcalloc(r->nsteps, sizeof(struct took)) };
	int rc = prepare(&w, err);

	if (rc == 0) {
		rc = run_steps(&w, err);
		table(&w);
		if (rc < 0)
			ui_say(ui, r->name, "What was done is kept: the same command goes on at the package that failed.");
	}
	if (w.place)
		w.place->ops->close(w.place);
	if (w.lock >= 0)
		close(w.lock);
	free(w.took);
	free(w.dir);
	free(w.out);
	return rc;
}
