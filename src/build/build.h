/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One build of a template: a machine, the steps that change it, what comes out. Each step is keyed by a hash over what it depends on
 * (the steps before it, its settings, scripts and files) and leaves a snapshot of the machine under that key, so a build goes on where
 * its inputs have changed, or where an earlier one was interrupted. Below CACHE/builds/KEY, KEY being that of the first step:
 *
 *	machines/build/	the machine, with a snapshot for each step (machine/snapshot.h)
 *	disk*.qcow2	its disks, over what it starts from
 *	result.json	what the last build wrote, and under which key
 *	lock		held while a build uses it
 */
#ifndef CROFT_BUILD_BUILD_H
#define CROFT_BUILD_BUILD_H

#include "build/comm.h"
#include "build/template.h"
#include "build/ui.h"
#include "image/sha.h"

enum on_error { ON_ERROR_CLEANUP, ON_ERROR_ABORT, ON_ERROR_ASK, ON_ERROR_RUN_CLEANUP };
struct build_opts {
	const struct strv *only, *except; /* build names; NULL or empty: all */
	bool force, debug, no_cache;
	enum on_error on_error;
	const char *from, *until, *shell_at; /* steps, or NULL */
	unsigned parallel; /* builds at a time; 0: as many as there are processors */
};

struct step {
	const struct part *p; /* NULL: the start of the machine */
	size_t number;	      /* 0: the start; from 1 the provisioners of this build */
	char key[SHA_HEX];    /* of the state that it leaves */
	bool once;	      /* has effects on this computer, which a snapshot does not bring back (download) */
};
struct box;
struct build {
	const struct template *t;
	const struct part *b;
	const char *name;
	const char *recipe; /* whose packages it builds, or NULL */
	const struct build_opts *o;
	struct ui *ui;
	struct conf conf;
	char *out;	/* output directory, absolute; NULL: the builder has none */
	char *vm_name;
	struct step *steps;
	size_t nsteps;
	char final[SHA_HEX]; /* key of the finished disk */
	const struct box_ops *box; /* NULL: null */
	struct box *vm;		   /* from its opening on */
	struct comm *comm;
	bool began;	   /* a step was begun, so there is something to go on with */
	struct map facts;  /* of {{build}}: char * */
	int64_t deadline;  /* loop_now() ns of the provisioner that runs, 0: none */
};

/* ---- provisioners ---- */

struct provisioner {
	const char *type;
	/* What can be known to be wrong before anything is started. */
	int (*check)(const struct conf *c, struct error **err);
	/* Paths of files and folders on this computer whose content matters; appended. */
	void (*inputs)(const struct conf *c, struct strv *ret);
	int (*run)(struct build *b, const struct conf *c, const struct funcs *f, struct error **err);
	bool local; /* the guest need not run */
};
const struct provisioner *provisioner_of(const struct component *c);
extern const struct provisioner prov_shell, prov_shell_local, prov_file, prov_breakpoint, prov_sleep, prov_ansible, prov_ansible_local,
	prov_job;

/* Runs one with pause, time limit and retries as its part says. */
int provision(struct build *b, const struct part *p, struct error **err);
/* Milliseconds until the deadline of the provisioner, -1: none. */
int build_time_left(const struct build *b);
/* Waits, unless interrupted. */
int build_sleep(int64_t ns, struct error **err);
/* Funcs with the facts of this build. */
void build_funcs(const struct build *b, struct funcs *f);
/* K='V' words for the guest's or this computer's shell, sorted as Packer does; format: "%s='%s' " or NULL for it. */
char *build_env(const struct build *b, const struct conf *c, const char *format, struct error **err);
/* Is status among valid_exit_codes (0 when none are given)? An error that says so otherwise. */
int build_check_status(const struct conf *c, int status, struct error **err);
/* inline lines with their shebang as the text of a script; new. */
char *build_inline(const struct conf *c);
/* A file of that content in the folder for temporary files; its path, new. */
char *build_temp_file(const char *suffix, const void *p, size_t n, mode_t mode, struct error **err);
/* Runs a program of this computer; its output is shown. status: as a shell has it. */
int build_run_local(struct build *b, const char *const *argv, const char *const *env, int *status, struct error **err);
/* shell-local's work, which is a post-processor's, too. extra: facts besides {{build}} in the environment. */
int build_shell_local(struct build *b, const struct conf *c, const struct funcs *f, struct error **err);
/* Exactly one of these keys is given. */
int conf_one_of(const struct conf *c, const char *const *keys, struct error **err);
/* A file of this computer that a key names is there. */
int conf_check_file(const struct conf *c, const char *key, const char *path, struct error **err);

/* Files that script and scripts name; appended. */
void conf_scripts(const struct conf *c, struct strv *ret);
/* One of these sources is given, its files are there, the environment is one. */
int conf_check_scripts(const struct conf *c, const char *const *sources, struct error **err);

/* ---- inputs.c: keys ---- */

/* Content and names of a file or a tree. */
int inputs_path(struct sha *s, const char *path, struct error **err);
/* Keys of all steps and of the result; first: that of the state that the machine starts from. */
int build_keys(struct build *b, const char first[SHA_HEX], struct error **err);

/* ---- what is built: box.c, a machine; rootbox.c, a root without one ---- */

struct box_ops {
	const char *artifact_id, *builder_id;
	/* Opens its folder in the cache. Key of the start in first. Nothing is made yet. */
	int (*open)(struct build *b, char first[SHA_HEX], struct error **err);
	/* Holds the folder's lock from now on. */
	int (*lock)(struct build *b, struct error **err);
	/* Makes it anew and starts it; returns with b->comm connected. */
	int (*boot)(struct build *b, struct error **err);
	/* Before a provisioner that needs the guest: it runs, with b->comm connected. */
	int (*need)(struct build *b, struct error **err);
	bool (*has)(struct build *b, const char *key);
	/* Keeps its present state under the key. A machine whose state cannot be kept says so once. */
	int (*keep)(struct build *b, const char *key, const char *what, struct error **err);
	/* Back to a kept state, with b->comm connected. */
	int (*back)(struct build *b, const char *key, struct error **err);
	/* Ends the guest as its template says, and keeps the state under b->final. */
	int (*shutdown)(struct build *b, struct error **err);
	/* The state b->final and what belongs to it, into the output directory; files: paths that were written. */
	int (*export)(struct build *b, struct strv *files, struct error **err);
	void (*kill)(struct build *b);
	/* States that none of the steps has, but for the newest few. */
	void (*tidy)(struct build *b);
	void (*close)(struct build *b);
	/* How a person reaches what is left; new. */
	char *(*how_to_reach)(const struct build *b);
	/* What can be seen of a failure, into OUT.failed. */
	void (*post_mortem)(struct build *b);
};
/* NULL: the builder has nothing of the kind. */
const struct box_ops *box_ops_of(const struct component *c);
char *box_path(const struct build *b, const char *sub); /* in the build's folder of the cache; new */
/* Shuts the guest down and leaves it off, until a provisioner needs it. ERR_USAGE where there is no machine. */
int box_power_off(struct build *b, struct error **err);

/* ---- post.c ---- */

struct artifact {
	char *builder_id, *id;
	struct strv files; /* absolute paths */
};
void artifact_clear(struct artifact *a);
/* All chains over the builder's artifact, which is gone afterwards unless one keeps it; kept: files that are left in the end. */
int post_process(struct build *b, struct artifact *a, struct strv *kept, struct error **err);
int post_check(const struct conf *c, struct error **err);
/* The keys of a part in that build, vagrant's `override` by provider among them; new. */
struct val *build_raw(const struct build *b, const struct part *p);
/* Inputs of all chains, for the key of the result. */
int post_hash(struct build *b, struct sha *s, struct error **err);

/* ---- check.c, run.c ---- */

/* A builder's keys, by themselves and together. */
int build_check_builder(const struct conf *c, struct error **err);
/* Reads and checks the builder and all parts of one build; nothing is started. warnings may be NULL. */
int build_prepare(struct build *b, const struct template *t, const struct part *builder, const struct build_opts *o, struct ui *ui,
	struct strv *warnings, struct error **err);
void build_clear(struct build *b);
/* All builds that the options choose. Exit status: 0, or the class of the first failure. */
int build_all(const struct template *t, const struct build_opts *o, struct ui *ui, struct error **err);
bool build_chosen(const struct build_opts *o, const char *name);
/* Checks all chosen builds; the first error ends it. */
int build_validate(const struct template *t, const struct build_opts *o, struct strv *warnings, struct error **err);

#endif
