/* SPDX-License-Identifier: Apache-2.0 */
/* A build from its first step, or the one where its inputs have changed, to its artifacts. */
#include "build/build.h"
#include "build/parallel.h"
#include "build/record.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/intr.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/units.h"

#include <dirent.h>
#include <inttypes.h>
#include <locale.h>
#include <string.h>

/* ---- steps by name ---- */

static char *step_title(const struct step *s)
{
	if (!s->p)
		return xstrdup("boot");
	return strcmp(s->p->name, s->p->c->type) ? xasprintf("%zu (%s %s)", s->number, s->p->c->type, s->p->name) :
						   xasprintf("%zu (%s)", s->number, s->p->c->type);
}

/* Number, name or type (the first of that type). -1: there is none. */
static int find_step(const struct build *b, const char *option, const char *word, long *ret, struct error **err)
{
	_cleanup_strv_ struct strv names = STRV_INIT;
	_cleanup_free_ char *all = NULL;
	char *end;
	long n = strtol(word, &end, 10);

	*ret = -1;
	if (*word && !*end && n >= 0 && (size_t)n < b->nsteps)
		*ret = n;
	for (size_t i = 0; i < b->nsteps && *ret < 0; i++)
		if (!strcmp(word, b->steps[i].p ? b->steps[i].p->name : "boot"))
			*ret = (long)i;
	for (size_t i = 1; i < b->nsteps && *ret < 0; i++)
		if (!strcmp(word, b->steps[i].p->c->type))
			*ret = (long)i;
	if (*ret >= 0)
		return 0;
	for (size_t i = 0; i < b->nsteps; i++)
		strv_take(&names, step_title(&b->steps[i]));
	all = strv_join(&names, ", ");
	return error_set(err, ERR_USAGE, "--%s %s: build %s has no such step; its steps are %s", option, word, b->name, all);
}

struct plan {
	long from;  /* steps from this one on are done anew; nsteps: none is forced */
	long until; /* the last one that is done; nsteps: all, and the artifact */
	long shell; /* -1: none */
};

static int make_plan(const struct build *b, struct plan *p, struct error **err)
{
	*p = (struct plan){ .from = (long)b->nsteps, .until = (long)b->nsteps, .shell = -1 };
	if (b->o->no_cache)
		p->from = 0;
	if (b->o->from && find_step(b, "from", b->o->from, &p->from, err) < 0)
		return -1;
	if (b->o->until && find_step(b, "until", b->o->until, &p->until, err) < 0)
		return -1;
	if (b->o->shell_at) {
		if (find_step(b, "shell-at", b->o->shell_at, &p->shell, err) < 0)
			return -1;
		p->until = p->shell;
	}
	return 0;
}

/* A step that wrote files on this computer counts as done only when they are there. */
static bool still_done(const struct build *b, size_t i)
{
	_cleanup_val_ struct val *raw = NULL;
	_cleanup_free_ char *path = NULL;
	const char *to;
	struct funcs f;
	_cleanup_error_ struct error *e = NULL;

	if (!b->steps[i].once)
		return true;
	raw = part_raw(b->steps[i].p, b->name);
	to = val_str(raw, "destination");
	build_funcs(b, &f);
	return to && funcs_expand(&f, NULL, to, &path, &e) == 0 && file_exists(path);
}

static bool all_done(const struct build *b)
{
	for (size_t i = 0; i < b->nsteps; i++)
		if (!still_done(b, i))
			return false;
	return true;
}

/* The last step whose state is kept and may be used; -1: none. */
static long last_kept(struct build *b, const struct plan *p)
{
	long best = -1, end = p->from < p->until + 1 ? p->from : p->until + 1;

	for (long i = 0; i < end && i < (long)b->nsteps; i++) {
		if (!still_done(b, (size_t)i))
			break;
		if (b->box->has(b, b->steps[i].key))
			best = i;
	}
	return best;
}

/* ---- failures ---- */

/* Where Ctrl-C comes while a person decides, the build has failed, too. */
static void run_cleanup_provisioner(struct build *b)
{
	_cleanup_error_ struct error *e = NULL;

	if (!b->t->cleanup || !b->comm || intr_signal)
		return;
	ui_say(b->ui, b->name, "Running the error-cleanup-provisioner...");
	if (provision(b, b->t->cleanup, &e) < 0)
		ui_error(b->ui, b->name, "the error-cleanup-provisioner failed: %s", e->msg);
}

static bool leave_running(struct build *b)
{
	enum on_error mode = b->o->on_error;

	if (intr_signal || !b->vm)
		return false;
	return mode == ON_ERROR_ABORT || mode == ON_ERROR_RUN_CLEANUP;
}

/* After a failed provisioner: 'r' when it is to be tried again, 'a' to leave all as it is, else 'c'. */
static char ask(struct build *b, const char *what)
{
	char answer = 0;

	if (b->o->on_error != ON_ERROR_ASK || intr_signal)
		return leave_running(b) ? 'a' : 'c';
	if (!ui_ask(b->ui, b->name, &answer, "Step \"%s\" failed. [c] Clean up and exit, [a] abort without cleanup, or [r] retry step?", what))
		return 'c';
	return answer == 'r' || answer == 'a' ? answer : 'c';
}

/* ---- steps ---- */

static void pause_debug(struct build *b, const char *before)
{
	char answer;

	if (b->o->debug)
		ui_ask(b->ui, b->name, &answer, "Pausing before %s. Press enter to continue.", before);
}

static int keep_step(struct build *b, struct step *s, struct error **err)
{
	_cleanup_free_ char *title = step_title(s);

	return b->vm ? b->box->keep(b, s->key, title, err) : 0;
}

static int do_step(struct build *b, struct step *s, struct error **err)
{
	if (!s->p)
		return b->vm ? b->box->boot(b, err) : comm_of_null(b, err);
	return provision(b, s->p, err);
}

/* One step, as often as someone at the terminal wants. *abort: leave the machine as it is. */
static int run_step(struct build *b, size_t i, bool *abort, struct error **err)
{
	struct step *s = &b->steps[i];
	_cleanup_free_ char *title = step_title(s);
	char answer;

	pause_debug(b, title);
	b->began = true;
	while (do_step(b, s, err) < 0) {
		ui_error(b->ui, b->name, "Step %s failed: %s", title, (*err)->msg);
		if (!intr_signal && b->vm)
			b->box->post_mortem(b);
		answer = ask(b, title);
		if (answer != 'a' || b->o->on_error == ON_ERROR_RUN_CLEANUP)
			run_cleanup_provisioner(b);
		*abort = answer == 'a';
		if (answer != 'r')
			return error_wrap(err, "build %s, step %s", b->name, title);
		error_clear(err);
		/* from a clean state, not from what the failed attempt left */
		if (i && b->vm && b->box->has(b, b->steps[i - 1].key) && b->box->back(b, b->steps[i - 1].key, err) < 0)
			return -1;
	}
	return keep_step(b, s, err);
}

static int run_steps(struct build *b, const struct plan *p, bool *abort, struct error **err)
{
	long kept = b->vm ? last_kept(b, p) : -1;

	for (long i = 0; i <= kept; i++) {
		_cleanup_free_ char *title = step_title(&b->steps[i]);

		ui_message(b->ui, b->name, "Step %s: nothing has changed, its result is kept", title);
	}
	if (kept >= 0 && b->box->back(b, b->steps[kept].key, err) < 0)
		return -1;
	for (size_t i = (size_t)(kept + 1); i < b->nsteps && (long)i <= p->until; i++)
		if (run_step(b, i, abort, err) < 0)
			return -1;
	return 0;
}

/* Its exit status. */
static int open_shell(struct build *b, const struct plan *p, struct error **err)
{
	_cleanup_free_ char *title = step_title(&b->steps[p->shell]);
	int status = 0;

	ui_say(b->ui, b->name, "A shell in the machine as it is after step %s; what is changed there is not kept.", title);
	fflush(stdout);
	if (b->vm && b->box->need(b, err) < 0)
		return -1;
	return b->comm->ops->shell(b->comm, &status, err) < 0 ? -1 : status;
}

/* ---- output ---- */

static bool is_empty_dir(const char *path)
{
	_cleanup_closedir_ DIR *d = opendir(path);
	const struct dirent *e;
	size_t n = 0;

	while (d && (e = readdir(d)))
		n++;
	return d && n <= 2;
}

/* The output folder must not hold what somebody else put there. */
static int check_out(struct build *b, struct error **err)
{
	if (!file_exists(b->out) || is_empty_dir(b->out))
		return 0;
	if (b->o->force)
		return 0;
	error_set(err, ERR_STATE, "Output directory exists: %s", b->out);
	return error_hint(err, "use --force to delete it prior to building");
}

static int clear_out(struct build *b, struct error **err)
{
	if (!file_exists(b->out))
		return 0;
	if (!is_empty_dir(b->out))
		ui_say(b->ui, b->name, "Deleting previous output directory...");
	return file_remove_tree(b->out, err);
}

static void tell_artifacts(struct build *b, const struct strv *files)
{
	const char *id = b->box ? b->box->artifact_id : "Null";

	_cleanup_free_ char *count = xasprintf("%zu", files->len), *text = NULL;

	ui_fact(b->ui, b->name, "artifact-count", (const char *const[]){ "1", NULL });
	ui_fact(b->ui, b->name, "artifact", (const char *const[]){ "0", "builder-id", b->vm ? "croft" : "fnoack.null", NULL });
	ui_fact(b->ui, b->name, "artifact", (const char *const[]){ "0", "id", id, NULL });
	text = xasprintf("VM files in directory: %s", b->out ? b->out : "");
	ui_fact(b->ui, b->name, "artifact", (const char *const[]){ "0", "string", text, NULL });
	ui_fact(b->ui, b->name, "artifact", (const char *const[]){ "0", "files-count", count, NULL });
	for (size_t i = 0; i < files->len; i++) {
		_cleanup_free_ char *n = xasprintf("%zu", i);

		ui_fact(b->ui, b->name, "artifact", (const char *const[]){ "0", "file", n, files->v[i], NULL });
	}
	ui_fact(b->ui, b->name, "artifact", (const char *const[]){ "0", "end", NULL });
	for (size_t i = 0; i < files->len; i++)
		ui_message(b->ui, b->name, "%s", files->v[i]);
}

static int result_key(struct build *b, char ret[SHA_HEX], struct error **err)
{
	static const char *const given_as[] = { "commit", "discard", "export_path" };
	_cleanup_strv_ struct strv changes = STRV_INIT;
	struct sha *s = sha_new();
	int rc;

	sha_adds(s, b->final);
	sha_adds(s, b->vm_name);
	/* docker's: how the root is given away */
	for (size_t i = 0; i < ARRAY_SIZE(given_as); i++)
		sha_adds(s, conf_given(&b->conf, given_as[i]) ? conf_text(&b->conf, given_as[i]) : NULL);
	if (conf_given(&b->conf, "changes"))
		conf_list(&b->conf, "changes", &changes);
	for (size_t i = 0; i < changes.len; i++)
		sha_adds(s, changes.v[i]);
	rc = post_hash(b, s, err);
	sha_end(s, ret);
	return rc;
}

/* Writes the artifact, runs the post-processors, notes what came out. */
static int finish(struct build *b, const char *key, struct error **err)
{
	struct artifact a = { .builder_id = xstrdup(b->box ? b->box->builder_id : "fnoack.null"), .id = xstrdup(b->box ? b->box->artifact_id : "Null") };
	_cleanup_free_ char *record = b->vm ? box_path(b, "result.json") : NULL;
	_cleanup_strv_ struct strv kept = STRV_INIT;
	int rc = 0;

	if (b->vm && (clear_out(b, err) < 0 || b->box->export(b, &a.files, err) < 0))
		rc = -1;
	if (rc == 0)
		rc = post_process(b, &a, &kept, err);
	artifact_clear(&a);
	if (rc < 0)
		return -1;
	if (b->vm && kept.len && record_write(record, key, b->out, &kept, err) < 0)
		return -1;
	ui_say(b->ui, b->name, "Build '%s' finished.", b->name);
	tell_artifacts(b, &kept);
	return 0;
}

/* ---- one build ---- */

/* 1: all that it would make is there. */
static int up_to_date(struct build *b, const struct plan *p, const char *key)
{
	_cleanup_free_ char *record = box_path(b, "result.json");
	_cleanup_strv_ struct strv files = STRV_INIT;

	if (p->from < (long)b->nsteps || p->until < (long)b->nsteps || !all_done(b) || !record_holds(record, key, b->out, &files))
		return 0;
	ui_say(b->ui, b->name, "Nothing has changed since the last build: what it made is there.");
	tell_artifacts(b, &files);
	return 1;
}

static int run_machine(struct build *b, const struct plan *p, bool *abort, struct error **err)
{
	char key[SHA_HEX];

	if (result_key(b, key, err) < 0)
		return -1;
	if (up_to_date(b, p, key))
		return 0;
	if (p->until == (long)b->nsteps && check_out(b, err) < 0)
		return -1;
	if (p->from == (long)b->nsteps && p->until == p->from && all_done(b) && b->box->has(b, b->final)) {
		ui_message(b->ui, b->name, "No step has changed: the finished disk is kept");
		return finish(b, key, err);
	}
	if (run_steps(b, p, abort, err) < 0)
		return -1;
	if (p->shell >= 0)
		return open_shell(b, p, err);
	if (p->until < (long)b->nsteps) {
		ui_say(b->ui, b->name, "Stopped after the step that --until names.");
		return 0;
	}
	pause_debug(b, "shutdown");
	if (b->box->shutdown(b, err) < 0 || finish(b, key, err) < 0)
		return -1;
	b->box->tidy(b);
	return 0;
}

static int run_null(struct build *b, const struct plan *p, bool *abort, struct error **err)
{
	if (run_steps(b, p, abort, err) < 0)
		return -1;
	return p->until < (long)b->nsteps ? 0 : finish(b, "", err);
}

static void failed(struct build *b, bool abort)
{
	if (b->vm && abort) {
		_cleanup_free_ char *how = b->box->how_to_reach(b);

		ui_say(b->ui, b->name, "The machine is left as it is. To look at it: %s", how);
		return;
	}
	b->box->kill(b);
	if (b->vm && b->began)
		ui_say(b->ui, b->name, "What was done is kept: the same command goes on at the step that failed.");
}

static int run_build(struct build *b, struct error **err)
{
	char first[SHA_HEX];
	bool abort = false;
	struct plan p;
	int rc;

	if (!strcmp(b->b->c->type, "null"))
		return make_plan(b, &p, err) < 0 ? -1 : run_null(b, &p, &abort, err);
	if (b->box->open(b, first, err) < 0 || build_keys(b, first, err) < 0 || make_plan(b, &p, err) < 0 || b->box->lock(b, err) < 0)
		return -1;
	rc = run_machine(b, &p, &abort, err);
	if (rc < 0)
		failed(b, abort);
	else
		b->box->kill(b);
	return rc;
}

static void set_run_uuid(struct build *b, const char *uuid)
{
	map_set(&b->facts, "PackerRunUUID", xstrdup(uuid));
}

static int build_one(const struct template *t, const struct part *builder, const struct build_opts *o, struct ui *ui, const char *uuid,
	struct error **err)
{
	struct build b;
	int rc = build_prepare(&b, t, builder, o, ui, NULL, err);

	set_run_uuid(&b, uuid);
	if (rc == 0)
		rc = run_build(&b, err);
	build_clear(&b);
	return rc;
}

/* Names that --only and --except mean nothing by would silently build something else. */
static int check_choice(const struct template *t, const struct build_opts *o, struct error **err)
{
	bool any = false;

	for (size_t i = 0; i < t->nbuilders; i++)
		any = any || build_chosen(o, t->builders[i].name);
	for (size_t i = 0; o->only && i < o->only->len; i++) {
		_cleanup_strv_ struct strv names = STRV_INIT;
		const char *near;

		for (size_t k = 0; k < t->nbuilders; k++)
			strv_add(&names, t->builders[k].name);
		if (strv_has(&names, o->only->v[i]))
			continue;
		for (size_t k = 0; k < t->left_out.len; k++)
			if (!strcmp(t->left_out.v[k], o->only->v[i]))
				return error_set(err, ERR_USAGE, "%s", t->why.v[k]);
		near = nearest_name(o->only->v[i], (const char *const *)names.v, names.len);
		error_set(err, ERR_USAGE, "--only: the template has no build '%s'", o->only->v[i]);
		return near ? error_hint(err, "did you mean '%s'?", near) : -1;
	}
	return any ? 0 : error_set(err, ERR_USAGE, "nothing is left to build");
}

/* One build to its end, with what went wrong told; its exit status. */
static int run_told(const struct template *t, const struct part *builder, const struct build_opts *o, struct ui *ui, const char *uuid)
{
	_cleanup_error_ struct error *e = NULL;
	_cleanup_free_ char *text = NULL;
	int rc = build_one(t, builder, o, ui, uuid, &e);

	if (rc >= 0)
		return rc;
	text = error_text(e);
	ui_error(ui, builder->name, "Build '%s' errored: %s", builder->name, text);
	ui_fact(ui, builder->name, "error", (const char *const[]){ text, NULL });
	return (int)e->cls;
}

struct one_of_many {
	const struct template *t;
	const struct part *builder;
	const struct build_opts *o;
	struct ui *ui;
	const char *uuid;
};

static int run_one_of_many(void *arg)
{
	const struct one_of_many *m = arg;

	return run_told(m->t, m->builder, m->o, m->ui, m->uuid);
}

/* A person can answer one build at a time. */
static bool alone(const struct build_opts *o)
{
	return o->debug || o->shell_at || o->on_error == ON_ERROR_ASK || o->parallel == 1;
}

static int run_chosen(const struct template *t, const struct build_opts *o, struct ui *ui, const char *uuid, size_t *errors, struct error **err)
{
	_cleanup_free_ struct one_of_many *all = xcalloc(t->nbuilders, sizeof(*all));
	_cleanup_free_ int *status = xcalloc(t->nbuilders, sizeof(int));
	size_t n = 0;
	int first = 0;

	for (size_t i = 0; i < t->nbuilders; i++)
		if (build_chosen(o, t->builders[i].name))
			all[n++] = (struct one_of_many){ t, &t->builders[i], o, ui, uuid };
	if (n > 1 && !alone(o)) {
		if (parallel_run(run_one_of_many, all, sizeof(*all), n, o->parallel, status, err) < 0)
			return -1;
	} else {
		for (size_t i = 0; i < n && !intr_signal; i++)
			status[i] = run_one_of_many(&all[i]);
	}
	for (size_t i = 0; i < n; i++) {
		*errors += status[i] != 0;
		first = first ? first : status[i];
	}
	return first;
}

int build_all(const struct template *t, const struct build_opts *o, struct ui *ui, struct error **err)
{
	_cleanup_free_ char *uuid = NULL;
	struct funcs f = { .now = t->now };
	size_t errors = 0;
	int status;

	/* libarchive takes names for text; in a locale without UTF-8 it would have none for "ü" */
	setlocale(LC_CTYPE, "C.UTF-8");
	if (check_choice(t, o, err) < 0 || funcs_expand(&f, NULL, "{{uuid}}", &uuid, err) < 0)
		return -1;
	status = run_chosen(t, o, ui, uuid, &errors, err);
	if (status < 0)
		return -1;
	if (errors) {
		_cleanup_free_ char *count = xasprintf("%zu", errors);

		ui_fact(ui, NULL, "error-count", (const char *const[]){ count, NULL });
	}
	if (intr_signal)
		return error_set(err, ERR_INTR, "interrupted");
	return status;
}
