/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pm as a service of the system's own init: which one it is (by what is found, never by the distribution's name), the few
 * files that make pm its service, and the peer's commands to start and stop it. Templates are data (systems.c).
 * Linux's are tested; those for the BSDs and macOS are written after their manuals and say so.
 */
#ifndef CROFT_PM_HOST_H
#define CROFT_PM_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define HOST_MARK "Written by 'pm host install'" /* in each file of ours; a file without it is somebody else's */
#define HOST_BEFORE ".before-pm"		 /* where --force puts what was there */
#define HOST_PATH 4096
#define HOST_WHY 512

enum host_style { STYLE_NONE, STYLE_UNIT, STYLE_SH, STYLE_XML };
struct host_file {
	const char *path; /* begins with /, or with ~/ for a user's */
	const char *text; /* template, or what a symbolic link points to */
	const char *need; /* only when this directory exists below the root; NULL: always */
	mode_t mode;	  /* 0: symbolic link */
};
struct host_system {
	const char *name;
	enum host_style style;
	bool tested;
	bool user;			/* a user's own services, not the system's */
	const struct host_file *files;	/* ends with path NULL */
	const char *const *after;	/* command after files were written or removed, on a live system; or NULL */
	const char *const *start, *const *stop;
};
extern const struct host_system host_systems[]; /* name NULL ends it */
const struct host_system *host_system_find(const char *name, bool user);

/* What the templates say. NULL: left out. */
struct host_values {
	const char *program, *init_stream, *log, *home;
	bool user; /* a user's service */
};
/* The file's text, new; NULL: why (a value with a line break in it). */
char *host_render(const char *template, enum host_style style, const struct host_values *v, char why[HOST_WHY]);

/* Which system is below root ("" is the running one); evidence says by what. NULL: nothing known was found. */
const struct host_system *host_detect(const char *root, bool user, char evidence[HOST_WHY]);

struct host_place {
	const char *root; /* "" or a directory without / at its end */
	const char *userhome;
	bool force;
};
/* How many files were written or were the same already; -1 with why; refused: *foreign is set. Nothing is written when one is foreign. */
int host_write(const struct host_system *s, const struct host_place *p, const struct host_values *v, bool *foreign,
	char why[HOST_WHY]);
/* How many were removed. Files that are not ours stay; directories go when they are empty. */
int host_erase(const struct host_system *s, const struct host_place *p, char why[HOST_WHY]);
/* Whether our files are there: the first one's path in path. */
bool host_installed(const struct host_system *s, const struct host_place *p, char path[HOST_PATH]);

/* The command `pm host ...`; argv[0] is "host". Exit status as all of croft's: 0, 1, 2 usage, 3 not found, 4 refused. */
int host_main(int argc, char **argv);

#endif
