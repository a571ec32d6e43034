/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Desired state in, commands out. A document says which units there shall be; the difference to the units of a home becomes
 * lines of the command stream (pm/stream.h). What a document once brought and no longer names is stopped and removed; units
 * that no document brought are never touched. The same document again gives no line.
 *
 *	unit ID KEY=VALUE ...		as in the command stream; a line that begins with a blank goes on with the one before
 *	goal=up|down			in place of a parameter: what shall be with it; up when it is not said
 *	# ...				comment
 */
#ifndef CROFT_PM_DISPATCH_H
#define CROFT_PM_DISPATCH_H

#include "base/buf.h"
#include "base/error.h"
#include "base/strv.h"
#include "pm/param.h"

#include <stdbool.h>
#include <stddef.h>

struct desired {
	char *id;
	struct params params;
	bool up;
};
struct document {
	struct desired *units;
	size_t n, cap;
};
#define _cleanup_document_ __attribute__((cleanup(document_free)))
void document_free(struct document *d);
/* Appends the units of a text; a unit that is there already is an error. what: name for messages. */
int document_parse(struct document *d, const char *text, size_t n, const char *what, struct error **err);
void document_format(const struct document *d, struct buf *b);
struct desired *document_find(const struct document *d, const char *id);

/* As it is: units of a home with their parameters and states, from its files. */
struct actual {
	char *id;
	struct params params;
	bool up, active; /* goal; it has or will have a process */
	bool there;
};
int actual_read(const char *home, const char *id, struct actual *a, struct error **err);
void actual_free(struct actual *a);

/*
 * The lines that lead from what is to what shall be. `before`: the document applied last, of which units that are gone from
 * `want` are removed. home: where the units' files are.
 */
int dispatch_plan(const char *home, const struct document *before, const struct document *want, struct strv *lines,
	struct error **err);

/*
 * Text from a source: "-" standard input, "!COMMAND" what it prints, http://, https://, ftp:// by curl or wget, a directory:
 * all its *.pm files in order of their names, else a file. Its units go into d.
 */
int source_read(const char *source, struct document *d, struct error **err);
/* The same as plain text, for command streams. */
int source_text(const char *source, struct buf *b, struct error **err);
/* A path, and none of the other kinds of source. */
bool source_is_path(const char *source);
/* The same to be read as it comes. */
struct open_source {
	const char *name;
	int fd;
	pid_t pid; /* !COMMAND; else 0 */
};
int source_open(const char *source, struct open_source *s, struct error **err);
int source_close(struct open_source *s, struct error **err); /* how the command ended */
/* Begins to look for changes, before the source is read so that none is missed; *fd -1: this source can't tell. */
int source_watch(const char *source, int *fd, struct error **err);
/* Until it may have changed since then; a source that can't tell: every_ms. */
void source_wait(int fd, int every_ms);

/*
 * loader.c: sends the lines of a source to the pm of a home as they come, waiting for nothing; those that are refused are told on
 * standard error with their number. ERR_USAGE (2) when there were some, 0 when there were none, -1 when the source or pm failed.
 */
int loader_run(const char *source, const char *home, struct error **err);

/* `pm dispatch ...`, `pm load SOURCE` (a command stream from any source, sent line by line); argv[1] is the command. */
int dispatch_main(int argc, char **argv);
int load_main(int argc, char **argv);

#endif
