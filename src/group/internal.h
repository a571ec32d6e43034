/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of group/ share among themselves. */
#ifndef CROFT_GROUP_INTERNAL_H
#define CROFT_GROUP_INTERNAL_H

#include "group/group.h"
#include "machine/machine.h"

#define GROUP_NICS_MAX 16

char *group_record_dir(const char *name);	       /* DATA/groups/NAME; new */
/* Held while a command changes the group; made when absent. Returns the fd. */
int group_lock(const char *name, struct error **err);

/* zones.c: zones and NICs of all nodes, from "zones", "network" and "forwards". */
int group_read_zones(struct group *g, struct error **err);
void group_zones_free(struct group *g);
/* netjson.c: what the network process is told (net/net.h). */
void group_net_json(const struct group *g, struct buf *b);
/* The interface that a node's NIC is with the kernel engine. */
void group_tap_name(const struct group_node *n, size_t nic, char ret[16]);

/* timing.c: a command of the users' own has run since then (loop_now); a round of workers, who work at the same time, is over. */
void timing_ran(uint64_t since);
void timing_round(void);

/* load.c: one node of the file, or of an older one. */
int group_read_node(struct group *g, const char *name, const struct node *at, struct group_node *n, struct error **err);
void group_node_clear(struct group_node *n);
/* was.c: g->recorded and g->was, when they are there; nodes that are gone from the file, and their NICs once zones are known. */
int group_read_record(struct group *g, struct error **err);
int group_read_gone(struct group *g, struct error **err);
int group_gone_nics(struct group *g, struct group_node *n, struct error **err);
int group_drop_gone(struct group *g);
/* What a node was in the file that the last complete `up` has read; NULL: not known. */
const struct node *group_applied(const struct group *g, const char *node);
int group_write_applied(const struct group *g, struct error **err);

/* Prefix and address of every node: from the record, from the file, else computed from the names alone. */
int group_addresses(struct group *g, struct error **err);
int group_write_record(const struct group *g, struct error **err);

/* Fills g->vars. */
int group_facts(struct group *g, struct error **err);
/* Every command of the file is expanded once, so that what is wrong is found before anything starts. */
int group_check_commands(const struct group *g, struct error **err);
/* What {{ }} may name in an app's file on this node. */
struct vars *group_app_vars(const struct group *g, const struct group_node *n, const struct group_app *a);
extern const char *const group_app_keys[]; /* of an app's file; NULL-terminated */
int group_read_apps(struct group *g, struct error **err);

/* links.c: "seed", "links" and "names", checked, as members of net.json in g->net_extra. */
int group_read_links(struct group *g, struct error **err);

/* What each node's template is. Needs the images. */
int group_templates(struct group *g, struct error **err);
/* resources.c: whether this computer has the memory, disk space and ports that the group will take. */
int group_check_resources(const struct group *g, struct error **err);
/* load.c: those that have a record, in no order. */
void group_recorded_names(struct strv *ret);
/* Whether its machine was created. */
bool group_node_exists(const struct group_node *n);
/* The definition of a node's machine as it would be created. */
int group_machine_def(const struct group *g, const struct group_node *n, struct machine_def *d, struct error **err);

/* info.c: one node as an object. */
void group_node_info(const struct group *g, const struct group_node *n, struct buf *b);

/* The guest program of a running node; when it doesn't run the error says how to start it. */
struct agent *group_reach(const struct group *g, const struct group_node *n, struct error **err);

/* Appends strings of a list, or one string, to l; each at least not empty. */
int group_strings(const struct node *n, const char *key, struct strv *l, struct error **err);
const struct node *group_command_at(const struct group_node *n, const char *key, size_t i);

/*
 * Work on several members at the same time, each in a process of its own, which ends with ours. In it `say` tells what is being
 * done, `line` prints one line of output under the member's name.
 */
struct worker;
void worker_state(struct worker *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void worker_line(struct worker *w, const char *text, size_t len);
/* Text for the one who started it, who gets it in work.result. */
void worker_result(struct worker *w, const char *text);
/* Ends the member's line of progress. */
void worker_done(struct worker *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
struct work {
	const char *label;
	void *arg;
	int (*fn)(struct worker *w, void *arg, struct error **err);
	struct buf *result; /* of worker_result, or NULL */
	bool data;	    /* its lines are what was asked for: they go to stdout, and no progress is shown */
};
/* Failures are reported as they come; the error that is returned names who failed, with the class of the first. */
int work_run(const struct work *all, size_t n, const char *what, struct error **err);
/* The same, as many at once as there are. */
int work_run_all(const struct work *all, size_t n, const char *what, struct error **err);
/* Questions: no progress is shown, and whoever does not answer is only noted at debug level. Fails only when interrupted. */
int work_ask(const struct work *all, size_t n, struct error **err);
/* One member's failure, printed. */
void work_report(const char *label, const struct error *e);

/* A command's output, line by line to the worker's; the last few are kept for a message. Zeroed but for w is empty. */
struct lines {
	struct worker *w;
	struct buf line; /* not ended yet */
	struct strv kept;
};
void lines_take(void *arg, int stream, const void *p, size_t n); /* as agent_exec.on_output; arg: struct lines */
void lines_end(struct lines *l);				  /* takes what was not ended */
void lines_free(struct lines *l);

/* Runs those of the node's commands ("init" or "instance") that have not been run. */
int group_run_commands(const struct group *g, const struct group_node *n, const char *phase, struct machine *m,
	struct worker *w, struct error **err);
/* How many of them there are to run. */
size_t group_commands_left(const struct group_node *n, const char *phase);

#endif
