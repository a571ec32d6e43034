/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal of operations on several machines. One that has not ended well leaves DATA/ops/GROUP.VERB, JSON: when it began, the
 * process that runs it, and for each member how it was before and how far it came. The same command goes on with it, or
 * `croft ops rollback` takes it back. Only the process that runs an operation writes its file.
 */
#ifndef CROFT_GROUP_OPS_H
#define CROFT_GROUP_OPS_H

#include "base/buf.h"
#include "base/error.h"
#include "base/strv.h"
#include <stdbool.h>

struct op_member {
	char *name;
	char *was;   /* "absent", "stopped", "running"; or "" where it is no matter */
	char *state; /* "begun", "done", "failed" */
	bool mine;   /* this run is about it, not only an earlier one */
};
struct op {
	char *group, *verb, *path, *started;
	struct strv words; /* nodes and apps that it is about; empty: all */
	struct strv apps;  /* of `up`: what it was about to do with apps, "install|update|start NODE APP" */
	struct op_member *members;
	size_t n;
	bool resumed; /* an earlier run of it did not end well */
	bool running; /* of one that was read: its process lives */
	bool failed;  /* it ended, with an error; else it was cut short */
};
/*
 * Begins, or goes on with, the operation of this group. Members are added with op_member, which keeps what an earlier run noted; then
 * op_write makes it known. From then on work_run notes how members end. Never NULL.
 */
struct op *op_begin(const char *group, const char *verb);
void op_member(struct op *o, const char *name, const char *was);
int op_write(struct op *o, struct error **err);
/* Ends it with the result of what was done, which is returned: well, and its file goes; else it stays, with what failed. */
int op_end(struct op *o, int rc, struct error **err);
/*
 * Something is about to be done with an app of a member that had been there before; `did` as in op.apps. What an earlier run noted of it
 * stays. Nothing is known of it before op_write.
 */
void op_will(const char *did, const char *node, const char *app);
int op_write_current(struct error **err); /* nothing runs: success */
/* Whether the one that runs now goes on with an earlier run. */
bool op_resumed(void);
/* For work.c: a member's work has ended. */
void op_note(const char *label, bool failed);

/* Those that have not ended well, of all groups. */
struct ops {
	struct op **v;
	size_t n;
};
#define _cleanup_ops_ __attribute__((cleanup(ops_clear)))
int ops_list(struct ops *ret, struct error **err);
void ops_clear(struct ops *l);
void op_free(struct op *o);
/* The group is gone, and what was begun on it. */
int ops_forget(const char *group, struct error **err);
/* Takes an operation back; what cannot be is an error that says why. `id`: GROUP.VERB; NULL: the only one. */
int ops_rollback(const char *id, struct error **err);

#endif
