/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A root that is built step by step without a machine. What each step has changed is a folder of its own, the upper directory of an
 * overlayfs over those of the steps before it, so keeping a state and going back to one cost nothing. Programs run in a mount and a PID
 * namespace that end with them; without privileges in a user namespace with the ids of /etc/subuid. Below DIR:
 *
 *	KEY/upper	changes of a step that is done. A folder of another user's cannot be renamed, but the one around it can
 *	work/upper	changes of the one that is being done; whatever is found there at a start is thrown away
 *	root, none	where it is mounted, in the namespace alone; the empty bottom
 */
#ifndef CROFT_BUILD_TREE_H
#define CROFT_BUILD_TREE_H

#include "base/error.h"
#include "base/proc.h"
#include "base/strv.h"
#include "build/comm.h"
#include <stdbool.h>

#define TREE_KEY 12 /* so many digits of a key name its folder */

struct tree {
	char *dir;
	struct strv below; /* the layers under the work, the lowest first */
	struct strv binds; /* "FOLDER", "PLACE INSIDE", ...: shown there, read-only */
	bool user;	   /* in a user namespace */
	bool offline;	   /* what runs inside has no network */
};
/* What the host lacks for it is an error that says so. */
int tree_open(struct tree *t, const char *dir, struct error **err);
void tree_close(struct tree *t);
bool tree_has(const struct tree *t, const char *key);
/* Over these layers from now on, with an empty work folder; all must be there. */
int tree_begin(struct tree *t, const struct strv *keys, struct error **err);
/* The work becomes the layer of that key, on disk when it returns, and a new work lies over it. */
int tree_commit(struct tree *t, const char *key, struct error **err);
/* A layer, or "work". */
int tree_remove(struct tree *t, const char *key, struct error **err);
/* Bytes of a layer's files as `du` counts them. */
uint64_t tree_size(const struct tree *t, const char *key);

struct tree_exec {
	const char *const *argv;
	const char *const *env; /* NAME=VALUE, besides PATH, HOME, USER, LANG, TERM; or NULL */
	const char *cwd;	/* inside; NULL: / */
	bool outside;		/* a program of this computer, whose folder is the root's, not changed into it */
	bool tty;		/* this program's own stdin, stdout and stderr */
	int in, out;		/* fds for stdin and stdout; -1: nothing; out: fn */
	comm_output *fn;	/* what comes on both streams; or NULL */
	void *arg;
	int timeout_ms; /* -1: none */
};
#define TREE_EXEC_INIT { .in = -1, .out = -1, .timeout_ms = -1 }
/* Its status, 128 + signal when one ended it. */
int tree_exec(struct tree *t, const struct tree_exec *x, int *status, struct error **err);
/* The same, and a status other than 0 is an error with the last of what it said. */
int tree_run(struct tree *t, const struct tree_exec *x, struct error **err);

/* What it starts from, unpacked into the work: ERR_USAGE when that is no root. */
struct tree_start {
	const char *release;	      /* Debian's, by mmdebstrap; or NULL */
	const char *mirror;	      /* or NULL */
	const struct strv *packages;
	bool offline;
	const char *root;	      /* a folder, a tar, a container's image, a disk with an ext4, or an image of the store */
};
int tree_fill(struct tree *t, const struct tree_start *s, struct error **err);
/* The root as a tar into a file, sorted, owners by number. */
int tree_tar(struct tree *t, const char *sub, const char *to, struct error **err);

/* Provisioners' way in. */
struct comm *comm_tree(struct tree *t);

#endif
