/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A recipe's packages in a machine, that of a builder croft (box.h): each one leaves a snapshot with memory, so a build goes on where it was in
 * seconds. Files and scripts come by the guest program; sources are unpacked on this computer, so that the guest needs no more than a shell.
 */
#include "box.h"
#include "build/quote.h"
#include "build/recipe_place.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/proc.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define SCRIPT "/build.script"
#define UNPACK_MS 3600000
#define SHORT_MS 600000
#define WORDS "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root USER=root LANG=C.UTF-8"

struct machine_place {
	struct place p;
	struct template t;
	struct part part;
	struct build_opts o;
	struct step step;
	struct build b;
	struct ui ui;
	char at[SHA_HEX]; /* the kept state that the guest is in; "" when it has moved on */
	uint64_t used;	  /* bytes of its file system at that state */
};

static struct machine_place *own(struct place *p)
{
	return (struct machine_place *)p;
}

static bool has(struct place *p, const char *key)
{
	return own(p)->b.box->has(&own(p)->b, key);
}

/* ---- commands in the guest ---- */

struct said {
	FILE *f; /* its stdout; NULL: kept in text, with its stderr */
	struct buf text;
};

static void hear(void *arg, int stream, const void *p, size_t n)
{
	struct said *s = arg;

	if (s->f && stream == 1)
		fwrite(p, 1, n, s->f);
	else if (s->text.len < 4096)
		buf_add(&s->text, p, n);
}

static int gone(struct place *p, struct error **err)
{
	_cleanup_free_ char *log = machine_path(own(p)->b.vm->m, "log/console.log");

	error_set(err, ERR_FAILED, "the machine or its guest program has gone while this was running");
	return error_hint(err, "what it showed last is in %s", log);
}

static int guest(struct place *p, const char *command, struct said *s, struct error **err)
{
	struct comm *c = own(p)->b.comm;
	int status = 0;

	if (c->ops->exec(c, command, hear, s, SHORT_MS, &status, err) < 0)
		return -1;
	if (status == COMM_LOST)
		return gone(p, err);
	return status ? error_set(err, ERR_FAILED, "in the machine: status %d: %.60s: %s", status, command, buf_str(&s->text)) : 0;
}

static int simply(struct place *p, const char *command, struct error **err)
{
	struct said s = { NULL, BUF_INIT };
	int rc = guest(p, command, &s, err);

	buf_free(&s.text);
	return rc;
}

/* Bytes in use in its root; a root in memory tells no numbers, and is counted. */
static int measure(struct place *p, uint64_t *ret, struct error **err)
{
	struct said s = { NULL, BUF_INIT };
	int rc = guest(p, "set -- $(stat -f -c '%b %f %S' /); if [ $1 -gt 0 ]; then echo $((($1 - $2) * $3)); else "
			  "set -- $(du -skx / 2>/dev/null); echo $(($1 * 1024)); fi", &s, err);

	*ret = rc == 0 ? strtoull(buf_str(&s.text), NULL, 10) : 0;
	buf_free(&s.text);
	return rc;
}

/* ---- states ---- */

static int keep(struct place *p, const char *key, const char *what, struct error **err)
{
	struct machine_place *o = own(p);

	if (o->b.box->keep(&o->b, key, what, err) < 0)
		return -1;
	snprintf(o->at, sizeof o->at, "%s", key);
	return 0;
}

static int start(struct place *p, struct error **err)
{
	struct machine_place *o = own(p);

	return o->b.box->boot(&o->b, err) < 0 || measure(p, &o->used, err) < 0 ? -1 : keep(p, p->first, "start", err);
}

static int back(struct place *p, const struct strv *keys, struct error **err)
{
	struct machine_place *o = own(p);
	const char *key = keys->v[keys->len - 1];

	if (!strcmp(o->at, key))
		return 0;
	if (o->b.box->back(&o->b, key, err) < 0 || measure(p, &o->used, err) < 0)
		return -1;
	snprintf(o->at, sizeof o->at, "%s", key);
	return 0;
}

static int commit(struct place *p, const char *key, const char *what, uint64_t *bytes, struct error **err)
{
	uint64_t before = own(p)->used;

	if (simply(p, "cd / && rm -rf build " RECIPE_STAGE " " SCRIPT " build.patch-* recipe && sync", err) < 0 || measure(p, &own(p)->used, err) < 0)
		return -1;
	*bytes = own(p)->used > before ? own(p)->used - before : 0;
	return keep(p, key, what, err);
}

/* ---- a package ---- */

static int unpack(const char *file, const char *to, struct error **err)
{
	const char *const argv[] = { "tar", "--extract", "--no-same-owner", "--file", file, "--directory", to, NULL };
	_cleanup_free_ char *plain = path_join(to, "source");
	int archive = place_archive(file, err);

	if (archive < 0)
		return -1;
	return archive ? proc_run(argv, UNPACK_MS, NULL, NULL, err) : file_copy(file, plain, 0644, err);
}

static int upload_sources(struct place *p, const char *file, struct error **err)
{
	_cleanup_free_ char *dir = recipe_dir(p->r, p->first), *temp = path_join(dir, "unpacked");
	struct comm *c = own(p)->b.comm;
	_cleanup_error_ struct error *e = NULL;
	int rc;

	if (file_remove_tree(temp, err) < 0 || file_mkdirs(temp, 0755, err) < 0)
		return -1;
	rc = unpack(file, temp, err) < 0 ? -1 : c->ops->upload_tree(c, temp, "/build", err);
	file_remove_tree(temp, &e);
	return rc;
}

static int prepare(struct place *p, const char *file, const struct strv *patches, const char *recipe, struct error **err)
{
	struct comm *c = own(p)->b.comm;

	*own(p)->at = '\0';
	if (simply(p, "mkdir -p /build", err) < 0 || (file && upload_sources(p, file, err) < 0))
		return -1;
	for (size_t i = 0; i < patches->len; i++) {
		_cleanup_free_ char *to = xasprintf("/build.patch-%zu", i);

		if (c->ops->upload(c, patches->v[i], to, 0644, err) < 0)
			return -1;
	}
	return recipe ? c->ops->upload_tree(c, recipe, "/recipe", err) : 0;
}

static int run(struct place *p, const char *script, const struct strv *env, bool network, comm_output *fn, void *arg, int *status, struct error **err)
{
	struct comm *c = own(p)->b.comm;
	_cleanup_free_ char *path = build_temp_file("recipe.sh", script, strlen(script), 0600, err);
	_cleanup_buf_ struct buf b = BUF_INIT;
	int rc;

	if (!path)
		return -1;
	rc = c->ops->upload(c, path, SCRIPT, 0755, err);
	unlink(path);
	if (rc < 0)
		return -1;
	buf_addf(&b, "cd / && exec %senv -i " WORDS, network ? "" : "unshare -n ");
	for (size_t i = 0; i < env->len; i++) {
		_cleanup_free_ char *word = shell_quote(env->v[i]);

		buf_addf(&b, " %s", word);
	}
	buf_adds(&b, " /bin/sh -e " SCRIPT);
	if (c->ops->exec(c, buf_str(&b), fn, arg, -1, status, err) < 0)
		return -1;
	return *status == COMM_LOST ? gone(p, err) : 0;
}

static void stage(struct place *p, struct buf *ret)
{
	struct said s = { NULL, BUF_INIT };
	_cleanup_error_ struct error *e = NULL;

	if (guest(p, "cat /" RECIPE_STAGE, &s, &e) == 0)
		buf_add(ret, s.text.data, s.text.len);
	buf_free(&s.text);
}

/* GNU's tar leaves out what is not on a disk; BusyBox's is given the names that are, and knows no order. */
static const char pack[] =
	"if tar --exclude=x --version >/dev/null 2>&1; then\n"
	"	exec tar -c -f - --numeric-owner --sort=name --one-file-system --anchored --exclude='./dev/*' --exclude='./proc/*' --exclude='./sys/*' "
	"--exclude='./run/*' .\n"
	"fi\n"
	"[ \"$PWD\" = / ] || exec tar -c -f - --numeric-owner .\n"
	"set --\n"
	"for f in * .[!.]*; do\n"
	"	case $f in dev | proc | sys | run) ;; *) [ ! -e \"$f\" ] || set -- \"$@\" \"./$f\" ;; esac\n"
	"done\n"
	"exec tar -c -f - --numeric-owner \"$@\"";

static int tar(struct place *p, const char *from, const char *to, struct error **err)
{
	_cleanup_free_ char *temp = xasprintf("%s.new", to), *word = shell_quote(from), *command = NULL;
	struct said s = { .f = fopen(temp, "we"), .text = BUF_INIT };
	int rc;

	if (!s.f)
		return error_errno(err, errno, "%s", temp);
	command = xasprintf("cd %s || exit 1\n%s", word, pack);
	rc = guest(p, command, &s, err);
	if (rc == 0 && (fflush(s.f) != 0 || file_fsync(fileno(s.f), temp, err) < 0))
		rc = *err ? -1 : error_errno(err, errno, "%s", temp);
	fclose(s.f);
	if (rc == 0)
		rc = file_rename(temp, to, err);
	if (rc < 0)
		unlink(temp);
	buf_free(&s.text);
	return rc;
}

static struct comm *comm(struct place *p)
{
	return own(p)->b.comm;
}

/* ---- opening ---- */

int recipe_machine_conf(const struct val *v, struct conf *ret, struct error **err)
{
	const struct component *c = component_find(PART_BUILDER, "croft", v, err);
	struct funcs f = { 0 };

	if (!c || conf_read(c, v, &f, NULL, ret, err) < 0 || build_check_builder(ret, err) < 0)
		return -1;
	if (conf_given(ret, "communicator") && strcmp(conf_text(ret, "communicator"), "agent"))
		return val_error(conf_at(ret, "communicator"), err, "communicator: packages are built through croft's guest program alone: agent");
	return 0;
}

static void close_machine(struct place *p)
{
	struct machine_place *o = own(p);

	if (o->b.vm)
		o->b.box->kill(&o->b);
	if (o->b.box)
		o->b.box->close(&o->b);
	conf_clear(&o->b.conf);
	map_free(&o->b.facts);
	free(o);
}

struct place *place_machine(const struct recipe *r, const struct ui *ui, bool no_cache, struct error **err)
{
	static const struct place_ops ops = { has, start, back, prepare, run, stage, commit, tar, comm, close_machine };
	struct machine_place *o = xcalloc(1, sizeof(*o));
	struct build *b = &o->b;
	char first[SHA_HEX];

	o->p = (struct place){ .ops = &ops, .r = r, .ui = ui, .no_cache = no_cache };
	o->t.nbuilders = 1;
	o->part.name = r->name;
	o->o.no_cache = no_cache;
	o->ui = *ui;
	*b = (struct build){ .t = &o->t, .b = &o->part, .name = r->name, .recipe = r->name, .o = &o->o, .ui = &o->ui, .steps = &o->step, .nsteps = 1,
		.facts.free_value = free };
	o->part.c = component_find(PART_BUILDER, "croft", r->machine, err);
	if (o->part.c && recipe_machine_conf(r->machine, &b->conf, err) == 0) {
		b->box = box_ops_of(o->part.c);
		if (b->box->open(b, first, err) == 0) {
			memcpy(o->step.key, first, SHA_HEX);
			memcpy(o->p.first, first, SHA_HEX);
			if (b->box->lock(b, err) == 0)
				return &o->p;
			/* somebody else's machine */
			machine_free(STEAL(b->vm->m));
		}
	}
	close_machine(&o->p);
	return NULL;
}
