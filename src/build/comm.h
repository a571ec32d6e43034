/* SPDX-License-Identifier: Apache-2.0 */
/* Communicators: how provisioners reach into what is being built. */
#ifndef CROFT_BUILD_COMM_H
#define CROFT_BUILD_COMM_H

#include "base/error.h"
#include "machine/machine.h"
#include <stdbool.h>

/* Status of a command whose connection broke (Packer's number; templates list it in valid_exit_codes). */
#define COMM_LOST 2300218

typedef void comm_output(void *arg, int stream, const void *p, size_t n);

struct comm;
struct comm_ops {
	/* A command line for the guest's shell; a lost connection is *status COMM_LOST. timeout_ms -1: none. */
	int (*exec)(struct comm *c, const char *command, comm_output *fn, void *arg, int timeout_ms, int *status, struct error **err);
	/* A file under exactly that name; mode -1: that of src. */
	int (*upload)(struct comm *c, const char *src, const char *dst, int mode, struct error **err);
	/* A folder: what is in it goes into the folder dst, made when absent. */
	int (*upload_tree)(struct comm *c, const char *src, const char *dst, struct error **err);
	/* A file, or a folder with what is in it, under exactly that name. */
	int (*download)(struct comm *c, const char *src, const char *dst, struct error **err);
	/* Connects again after the guest was restored or has rebooted. */
	int (*renew)(struct comm *c, int timeout_ms, struct error **err);
	/* A shell for the one at the terminal; its status. */
	int (*shell)(struct comm *c, int *status, struct error **err);
	void (*close)(struct comm *c);
	/* Removes a file without running anything; false: it could not, which is no error. NULL: it never can. */
	bool (*remove)(struct comm *c, const char *path);
};
struct comm {
	const struct comm_ops *ops;
	const char *type; /* "agent", "ssh", "none" */
	char *host, *user, *password;
	unsigned port;
};

/* By the guest program of the machine, which must outlive it. */
struct comm *comm_agent(struct machine *m, int timeout_ms, struct error **err);
/* Nobody is reached: every call is an error. */
struct comm *comm_none(void);
struct build;
/* By ssh to the machine of a build, or to the host that a builder null names; b->comm is set, or connected again. */
int comm_ssh_connect(struct build *b, struct error **err);
int comm_of_null(struct build *b, struct error **err);
void comm_close(struct comm *c); /* NULL allowed */
/* Is there such a folder in the guest? */
bool comm_is_dir(struct comm *c, const char *path);

#endif
