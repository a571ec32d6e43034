/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Apps of a group: what is built on the host and pushed to, run on and taken from its nodes (docs/apps.md). An app's file is read
 * once for each node that has it, because paths and commands hold that node's parameters. Kept between runs, below the group's
 * record: apps/NODE/APP.source and .bin (what agent_sync remembers), apps/build-KEY.log and apps/builds (what was built from what).
 */
#ifndef CROFT_GROUP_APP_H
#define CROFT_GROUP_APP_H

#include "group/internal.h"

#define APP_HISTORY_DIR "/var/lib/croft"

enum ready_kind { READY_NONE, READY_COMMAND, READY_PORT, READY_HTTP, READY_FILE };
/* One app on one node, everything expanded. */
struct app {
	const struct group *g;
	const struct group_node *n;
	char *name;
	struct doc *doc;
	struct vars *vars;
	const struct node *commands; /* map of strings and lists, or NULL */
	char *source, *target;	     /* on the host, absolute; on the node. NULL: none */
	char *source_bin, *target_bin;
	char *owner;		/* "user:group" or NULL */
	bool delete;		/* push deletes what the source hasn't got */
	struct strv keep;	/* but never these */
	struct strv inputs;	/* what its builds depend on, absolute; none: every build is run */
	struct strv depends;	/* apps that are started before, stopped after */
	enum ready_kind ready;
	char *ready_what;
	int ready_ms;
	struct strv units;     /* what pm supervises: APP.UNIT */
	struct buf units_text; /* pm's document of them */
	char *check; /* command that tells whether it is well, or NULL */
};
struct app *app_load(const struct group *g, const struct group_node *n, const char *name, struct error **err);
void app_free(struct app *a);
static inline void app_freep(struct app **a)
{
	app_free(*a);
}
/* Expanded lines of a command; 1, or 0 when the app has no such command. */
int app_command(const struct app *a, const char *command, struct strv *ret, struct error **err);
/* Names of its commands, for messages. */
void app_commands(const struct app *a, struct strv *ret);

/* A set of (node, app), in the order of nodes in the file and of apps' dependencies on each. */
struct app_set {
	struct app **v;
	size_t n;
};
/*
 * node NULL: all. apps empty: all that the nodes have. A name that is unknown, or that no chosen node has, is an error; a cycle of
 * `depends` is an error that names it.
 */
int app_select(const struct group *g, const char *node, const struct strv *apps, struct app_set *ret, struct error **err);
void app_set_free(struct app_set *s);
/* Leaves those whose keep[i] is set. */
void app_set_keep(struct app_set *s, const bool *keep);
/* How many apps of its own node it waits for, in the longest chain. */
size_t app_level(const struct app_set *s, const struct app *a);

/*
 * A command of the host, once for each distinct text. Builds that leave their result in the same `source` cannot be done at the
 * same time: they are of different rounds, and what a round has built is pushed before the next one.
 */
struct app_build {
	const struct app *a; /* one of those that need it */
	struct strv lines;
	const char *source;  /* where the result is, or NULL */
	size_t round;
};
struct app_builds {
	struct app_build *v;
	size_t n, rounds; /* at least one round */
};
/* command: "build_all" or "build"; bin: its result is source_bin. */
int app_builds(const struct app_set *s, const char *command, bool bin, struct app_builds *ret, struct error **err);
void app_builds_free(struct app_builds *b);
/* In which round an app's files are what they should be. */
size_t app_builds_round(const struct app_builds *b, const struct app *a, const char *command, bool bin);
/* At the same time; those whose inputs are what they were at the last time are skipped unless force. */
int app_builds_run(const struct app_builds *b, size_t round, bool force, struct error **err);
/* The folder that builds run in: where dev_configs, or src/dev_configs, lies; new. */
char *app_project_dir(const struct group *g);

/* app_ops.c, with the apps' lock held: builds, pushes and installs or updates; one command on all, in the order of what they depend on. */
int app_set_deploy(const struct group *g, const struct app_set *s, const struct group_deploy *how, struct error **err);
int app_set_do(const struct group *g, const struct app_set *s, const char *command, struct error **err);
int group_app_lock(const struct group *g, struct error **err);

/* On a node, by a worker. Output goes to w's lines; a status other than 0 is an error that holds the last of them. */
int app_run(const struct app *a, const char *command, struct agent *agent, struct worker *w, struct error **err);
/* What it replaces is kept until app_push_done, or app_take_back: 1 when the files are as they were, 0 when nothing had been replaced. */
int app_push(const struct app *a, const struct group_deploy *how, struct agent *agent, struct worker *w, bool *changed, struct error **err);
int app_push_done(const struct app *a, bool bin, struct agent *agent, struct error **err);
int app_take_back(const struct app *a, bool bin, struct agent *agent, struct error **err);
int app_wait_ready(const struct app *a, struct agent *agent, struct worker *w, struct error **err);
/* app_units.c: makes the units be and waits until they run; stops them, with `end` for good. No units: success. */
int app_read_units(struct app *a, struct error **err);
int app_units_start(const struct app *a, struct agent *agent, struct worker *w, struct error **err);
int app_units_stop(const struct app *a, bool end, struct agent *agent, struct worker *w, struct error **err);
/* A memfd with this text, at its beginning. */
int app_text_fd(const char *text);
/* Whether it has something to do at this command, be it units or sources. */
bool app_can(const struct app *a, const char *command);
/* Notes in the node's history what was done; failing to do so is only said. */
void app_note(const struct app *a, struct agent *agent, const char *what, int status, int ms);

#endif
