/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of job/ share. */
#ifndef CROFT_JOB_INTERNAL_H
#define CROFT_JOB_INTERNAL_H

#include "job.h"
#include "machine/rescue.h"

#define JOB_SCRIPT_MAX (16u << 20)

/* One run of a job. */
struct job_work {
	struct machine *m;
	const struct job *job;
	const struct job_opts *o;
	struct rescue *rescue;
	struct job_log *log;
};
void job_say(const struct job_work *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* host.c: NAME.pre or NAME.post, when there is one. Failure of a script is ERR_FAILED. */
int job_host_script(const struct job_work *w, const char *suffix, struct error **err);

/* log.c: OUT/job.log, bounded, and stdout. */
struct job_log;
struct job_log *job_log_open(const char *out, struct error **err);
void job_log_add(struct job_log *l, const void *p, size_t n);
/* -1: it could not all be written. Frees. NULL allowed. */
int job_log_close(struct job_log *l, struct error **err);
/* OUT/NAME with the time now, or a number. */
int job_note_time(const char *out, const char *name, struct error **err);
int job_note_status(const char *out, int status, struct error **err);

/* The job in a rescue system of croft's; *status is set on success. */
int job_in_rescue(struct job_work *w, int *status, struct error **err);
/*
 * Variables that job.sh is to have on a CD, where nobody else hands them over: before its first line, and in it, so that lines keep their
 * numbers. The CD's shell reads it by `.`; a first line #!... is a comment there.
 */
int job_cd_vars(const struct job_work *w, struct error **err);
/* The same on a CD prepared for `vm`: it starts by itself, and tells by files in OUT what it does. */
int job_on_cd(struct job_work *w, int *status, struct error **err);

#endif
