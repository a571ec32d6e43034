/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the formats of exports alone. */
#ifndef CROFT_IMAGE_EXPORT_JOB_H
#define CROFT_IMAGE_EXPORT_JOB_H

#include "base/buf.h"
#include "base/progress.h"
#include "image/export/export.h"
#include "image/export/origin.h"
#include "image/export/output.h"
#include "image/export/sink.h"

#include <time.h>

struct export_job {
	const struct image_export_opts *o;
	const struct export_format *f;
	struct origin *from;
	struct output *out;
	const char *compress; /* "gz", "xz", "zst", or NULL: none, or the format's own */
	struct progress *p;
	const char *folder; /* what to make, when the format makes one; out is NULL then */
	const char *name; /* for what is inside; not checked */
};
struct export_format {
	const char *name;
	const char *const *suffixes; /* with the dot, NULL-terminated */
	const char *about;
	bool stream;	 /* written from front to end */
	bool root;	 /* of files, not of a disk */
	bool folder;	 /* makes one: no pipes */
	bool compressed; /* may be wrapped in gz, xz, zst */
	int (*run)(struct export_job *j, struct error **err);
	int (*check)(struct export_job *j, struct error **err); /* or NULL: what it needs on this host, and its options */
};
extern const struct export_format *const export_formats[]; /* NULL-terminated */

/* Time stamps of what is made: SOURCE_DATE_EPOCH (reproducible-builds.org), else a fixed day. */
time_t export_epoch(void);

/* ERR_NOT_FOUND with the Debian package to install. */
int export_program(const char *name, const char *package, const char *format, struct error **err);
/* Reads to the end, and keeps the last of it. */
int export_collect(int fd, struct buf *text, struct error **err);
char *export_last_line(struct buf *text); /* new */
/* Runs another program, which inherits these descriptors, to its end; its last line is the reason of a failure. */
int export_run(const char *const *argv, const int *fds, size_t nfds, const char *what, struct error **err);
/* The same with its stdout there. */
int export_run_into(const char *const *argv, int out, const int *fds, size_t nfds, const char *what, struct error **err);
/* The formats, each with its file. */
extern const struct export_format export_raw, export_qcow2, export_vmdk, export_vdi, export_vhd, export_vhdx, export_ova;
extern const struct export_format export_tar, export_squash, export_erofs, export_oci, export_iso, export_netboot;

#endif
