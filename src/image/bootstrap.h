/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A Debian root by mmdebstrap: in a user namespace where croft has no privileges. Its tar stream is handed on entry by
 * entry; nothing of it is unpacked on the host.
 */
#ifndef CROFT_IMAGE_BOOTSTRAP_H
#define CROFT_IMAGE_BOOTSTRAP_H

#include "base/error.h"
#include "base/progress.h"
#include "base/strv.h"
#include <archive.h>
#include <archive_entry.h>
#include <time.h>

struct bootstrap {
	const char *release, *arch;    /* bookworm, amd64 */
	const struct strv *sources;    /* lines for sources.list */
	const struct strv *packages;
	const char *setup;	       /* shell text that is run with the root's path as $1; or NULL */
	const char *cache;	       /* folder that keeps packages and indexes from one run to the next */
	bool offline;		       /* take all from there */
	time_t epoch;		       /* no file is newer */
	struct progress *progress;
};
/* The data of the entry is read from ar. -1 with error ends the run. */
typedef int bootstrap_entry_fn(void *arg, struct archive *ar, struct archive_entry *entry, struct error **err);
/* What is missing on this host for it, as an error with the way to get it. */
int bootstrap_check(struct error **err);
/* Ctrl-C ends mmdebstrap in good order, so that it removes what it has made. */
int bootstrap_run(const struct bootstrap *b, bootstrap_entry_fn *entry, void *arg, struct error **err);

#endif
