/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Jobs: scripts that work on a machine's disks from the rescue system (machine/rescue.h). Three files of one name: NAME.job runs there,
 * NAME.pre and NAME.post, which may be absent, run on the host before and after it, by bash. Called by the command line.
 *
 * Inside: INDIR (read only; what .pre put there, and job.sh, which is NAME.job), OUTDIR, MIRROR (empty when there is none), MNTOPTS (to mount more
 * by 9p), fatal and run. OUTDIR on the host has job.log, STARTED and FINISHED (times) and STATUS afterwards.
 *
 * A line "# needs: WORD..." in the first lines of NAME.job tells what it is content with or wants: read-only (its writes to disks are thrown
 * away), bios (whatever the machine's firmware, since BIOS starts sooner), ssh (a port of the host that leads to the rescue system's port
 * 22). A line "# job: TEXT" describes it.
 */
#ifndef CROFT_JOB_JOB_H
#define CROFT_JOB_JOB_H

#include "base/error.h"
#include "base/strv.h"
#include "machine/machine.h"
#include <stdbool.h>

struct job {
	char *name, *dir; /* DIR/NAME.job */
	char *text;	  /* or NULL */
	bool readonly, bios, ssh;
};
void job_clear(struct job *j);
#define _cleanup_job_ __attribute__((cleanup(job_clear)))
struct jobs {
	struct job *v;
	size_t len;
};
void jobs_clear(struct jobs *l);
#define _cleanup_jobs_ __attribute__((cleanup(jobs_clear)))

/* Folders with jobs behind those that are in dirs already: the user's, croft's own. */
void job_dirs(struct strv *dirs);
/* The first of that name; with a '/' in it, a path with or without ".job". ERR_NOT_FOUND with the nearest name. */
int job_find(const char *name, const struct strv *dirs, struct job *ret, struct error **err);
/* All, by name; those that one before hides are left out. */
void job_list(const struct strv *dirs, struct jobs *ret);
/* The folder with croft's own jobs; new. */
char *job_own_dir(struct error **err);

struct job_opts {
	const char *in, *out;	   /* folders, made anew; in is removed afterwards */
	const struct strv *files;  /* copied to in; or NULL */
	const struct strv *vars;   /* NAME=VALUE for all three scripts; or NULL */
	const struct strv *host_vars; /* for .pre and .post alone */
	const struct strv *arrays; /* NAME, how many, values ..., NAME, ...: bash's arrays in .pre and .post; or NULL */
	int start_ms, timeout_ms;  /* until it starts (CDs only), from there; -1: patience as for guests, none */
	int discard;		   /* 1, 0; -1: as the job says */
	const char *firmware;	   /* bios, uefi; NULL: as the job says, else the machine's */
	const char *iso, *image, *mirror;
	const struct strv *forwards;
	const struct machine_share *shares; /* more folders for it */
	size_t nshares;
	unsigned cpus;
	uint64_t memory;
	const char *accel;
	bool keep, ssh;
	int luks_key; /* rescue_read_key's; -1: none */
	bool snapshot; /* taken before it, so that it can be undone */
	/* What is going on, for people; or NULL. */
	void (*say)(void *arg, const char *text);
	void *arg;
};
/*
 * Runs it to its end; its output goes to stdout and OUT/job.log. *status: that of the job. ERR_STATE: the machine runs. ERR_TIMEOUT, ERR_INTR
 * and the end of the rescue system before that of the job are errors.
 */
int job_run(struct machine *m, const struct job *j, const struct job_opts *o, int *status, struct error **err);

#endif
