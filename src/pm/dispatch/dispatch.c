/* SPDX-License-Identifier: Apache-2.0 */
/* The commands dispatch and load. */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/units.h"
#include "pm/dispatch/dispatch.h"
#include "pm/pm_main.h"
#include "pm/stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char dispatch_usage[] =
	"usage: pm dispatch FILE|DIR|URL|!COMMAND|- [--plan] [--watch] [--every TIME] [--name NAME] [--home DIR]\n"
	"\n"
	"Makes the units of a document be, and those that it brought earlier and names no longer go. Documents are lines\n"
	"'unit ID KEY=VALUE...', with goal=down for units that shall not run; a line that begins with a blank goes on with the\n"
	"one before. A directory is all its *.pm files.\n"
	"\n"
	"  --plan        print the commands instead of giving them\n"
	"  --watch       stay, and do it again at each change (URL and !COMMAND: every TIME, default 60s)\n"
	"  --name NAME   several documents for one pm each have their own name (default: default)\n";

static const char load_usage[] =
	"usage: pm load FILE|URL|!COMMAND|- [--stream] [--home DIR]\n"
	"\n"
	"Gives the commands of a command stream, one a line, each when the one before is done; the first that fails is the end.\n"
	"\n"
	"  --stream      give them as they come and wait for none; those that are refused are told, with status 2 at the end.\n"
	"                So does the unit init-stream, which `pm main --init-stream SOURCE` makes\n";

struct options {
	const char *source, *name;
	char *home;
	bool plan, watch, stream;
	uint64_t every;
};

static int complain(struct error **e)
{
	_cleanup_free_ char *text = error_text(*e);
	int status = (int)(*e)->cls;

	fprintf(stderr, "pm: %s\n", text);
	error_clear(e);
	return status;
}

/* 1: go on; 0 or the status of a usage error: leave. */
static int parse(int argc, char **argv, struct options *o, int *status, struct error **err)
{
	*o = (struct options){ .name = "default", .home = main_home(), .every = 60000 };
	*status = 2;
	for (int i = 2; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : NULL;

		if (strcmp(argv[i], "--plan") == 0) {
			o->plan = true;
		} else if (strcmp(argv[i], "--watch") == 0) {
			o->watch = true;
		} else if (strcmp(argv[i], "--stream") == 0 && strcmp(argv[1], "load") == 0) {
			o->stream = true;
		} else if (strcmp(argv[i], "--help") == 0) {
			fputs(strcmp(argv[1], "load") == 0 ? load_usage : dispatch_usage, stdout);
			*status = 0;
			return 0;
		} else if (strcmp(argv[i], "--home") == 0 && value) {
			free(o->home);
			o->home = path_absolute(argv[++i]);
		} else if (strcmp(argv[i], "--name") == 0 && value) {
			o->name = argv[++i];
			if (name_check("document", o->name, err) < 0)
				return -1;
		} else if (strcmp(argv[i], "--every") == 0 && value) {
			if (parse_duration("--every", argv[++i], &o->every, err) < 0)
				return -1;
		} else if ((argv[i][0] != '-' || !argv[i][1]) && !o->source) {
			o->source = argv[i];
		} else {
			return error_set(err, ERR_USAGE, "%s: '%s' is not an option of it, or lacks its value", argv[1], argv[i]);
		}
	}
	if (!o->source)
		return error_set(err, ERR_USAGE, "%s: which source? A file, a directory, a URL, !COMMAND or -", argv[1]);
	if (o->watch && (strcmp(o->source, "-") == 0 || o->plan))
		return error_set(err, ERR_USAGE, "--watch goes neither with - nor with --plan");
	return 1;
}

static int send_line(struct client_conn *c, const char *line, bool progress, struct error **err)
{
	_cleanup_strv_ struct strv words = STRV_INIT;
	_cleanup_buf_ struct buf data = BUF_INIT;

	if (stream_split(line, strlen(line), &words, err) < 0)
		return -1;
	if (!words.len)
		return 0;
	if (client_send(c, (const char *const *)words.v, words.len, NULL, err) < 0)
		return -1;
	return client_follow(c, &data, progress, -1, err) ? -1 : 0;
}

static int send_lines(const char *home, const struct strv *lines, struct error **err)
{
	struct client_conn c;
	int r = client_open(&c, home, err);

	for (size_t i = 0; r == 0 && i < lines->len; i++)
		if ((r = send_line(&c, lines->v[i], true, err)) < 0)
			error_wrap(err, "%.80s", lines->v[i]);
	client_close(&c);
	return r;
}

/* What is on record decides what is ours to remove: both documents until the change is done, so that a failure loses none. */
static int record(const char *path, const struct document *a, const struct document *b, struct error **err)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	struct document rest = { 0 };

	document_format(a, &text);
	for (size_t i = 0; b && i < b->n; i++)
		if (!document_find(a, b->units[i].id)) {
			rest.units = xreallocarray(rest.units, rest.n + 1, sizeof(*rest.units));
			rest.units[rest.n++] = b->units[i]; /* borrowed */
		}
	document_format(&rest, &text);
	free(rest.units);
	return file_write(path, buf_str(&text), text.len, 0600, err);
}

static int apply(const struct options *o, struct error **err)
{
	_cleanup_free_ char *dir = xasprintf("%s/dispatch", o->home), *path = xasprintf("%s/%s", dir, o->name);
	_cleanup_document_ struct document before = { 0 }, want = { 0 };
	_cleanup_buf_ struct buf old = BUF_INIT;
	_cleanup_strv_ struct strv lines = STRV_INIT;

	if (source_read(o->source, &want, err) < 0)
		return -1;
	if (file_exists(path) && (file_read(path, 64 << 20, &old, err) < 0 ||
		document_parse(&before, buf_str(&old), old.len, path, err) < 0))
		return -1;
	if (dispatch_plan(o->home, &before, &want, &lines, err) < 0)
		return -1;
	if (o->plan) {
		for (size_t i = 0; i < lines.len; i++)
			puts(lines.v[i]);
		return 0;
	}
	if (file_mkdirs(dir, 0700, err) < 0 || record(path, &want, &before, err) < 0 || send_lines(o->home, &lines, err) < 0)
		return -1;
	return record(path, &want, NULL, err);
}

int dispatch_main(int argc, char **argv)
{
	_cleanup_error_ struct error *e = NULL;
	struct options o;
	int fd = -1, status, r = parse(argc, argv, &o, &status, &e);

	if (r == 1) {
		status = 0;
		if (!o.watch) {
			r = apply(&o, &e);
		} else if ((r = source_watch(o.source, &fd, &e)) == 0) {
			/* One that watches outlives a wrong document and a pm that is away. */
			for (;; source_wait(fd, o.every > 86400000 ? 86400000 : (int)o.every))
				if (apply(&o, &e) < 0)
					complain(&e);
		}
	}
	free(o.home);
	return r < 0 ? complain(&e) : status;
}

int load_main(int argc, char **argv)
{
	_cleanup_error_ struct error *e = NULL;
	_cleanup_buf_ struct buf text = BUF_INIT;
	_cleanup_strv_ struct strv lines = STRV_INIT;
	struct options o;
	int status, r = parse(argc, argv, &o, &status, &e);

	if (r == 1 && o.stream) {
		r = status = loader_run(o.source, o.home, &e);
	} else if (r == 1) {
		r = source_text(o.source, &text, &e);
		strv_split(&lines, buf_str(&text), "\n");
		if (r == 0)
			r = send_lines(o.home, &lines, &e);
		status = 0;
	}
	free(o.home);
	return r < 0 ? complain(&e) : status;
}
