/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Progress of long work on stderr: on a terminal one line a task, redrawn at
 * most ten times a second; otherwise a plain line at start and end; with mode
 * json one object a line. Not thread safe; the caller's loop calls progress_update.
 */
#ifndef CROFT_BASE_PROGRESS_H
#define CROFT_BASE_PROGRESS_H

#include <stdint.h>

enum progress_mode { PROGRESS_AUTO, PROGRESS_PLAIN, PROGRESS_JSON, PROGRESS_NONE };
extern enum progress_mode progress_mode;

struct progress; /* one task */
/* total 0: unknown. The unit is bytes when `bytes`. label is copied. */
struct progress *progress_start(const char *label, uint64_t total, int bytes);
void progress_update(struct progress *p, uint64_t done);
/* A word about what it does now ("booting", "init 2/5"); copied. */
void progress_state(struct progress *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Ends the line; fmt says how it ended ("ready in 2.1 s"); frees p. NULL p is allowed. */
void progress_end(struct progress *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Wipes the drawn lines so that other output can be printed; they are redrawn at the next update. */
void progress_hide(void);

#endif
