/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A command is one file that ends in one const descriptor; cli/commands.c lists them all. Help, completion and man pages
 * are made from the descriptors. Commands parse, call one of the libraries, print; nothing else.
 */
#ifndef CROFT_CLI_COMMAND_H
#define CROFT_CLI_COMMAND_H

#include "base/error.h"
#include "base/strv.h"
#include <stdbool.h>

enum opt_kind {
	OPT_FLAG,
	OPT_STRING,
	OPT_LIST, /* repeatable */
	OPT_WORDS /* repeatable, and takes all words up to the next option: --apps a b */
};
struct opt {
	char letter;	   /* or 0 */
	const char *name;  /* long name */
	enum opt_kind kind;
	const char *arg;   /* name of the value in help: "SIZE" */
	const char *help;
	const char *complete; /* what completes the value: "image", "machine", "group", "file", a word list "a|b|c", or NULL */
};
#define OPT_END { 0, NULL, OPT_FLAG, NULL, NULL, NULL }

struct cmd_args;
/* Value of an option (last one wins), NULL when not given. */
const char *arg_str(const struct cmd_args *a, const char *name);
bool arg_flag(const struct cmd_args *a, const char *name);
const struct strv *arg_list(const struct cmd_args *a, const char *name);
/* Positional arguments, without options; what follows "--" included. */
const struct strv *arg_words(const struct cmd_args *a);

struct command {
	const char *path;    /* "vm create"; a word in capitals stands for any: "group NAME up" */
	const char *args;    /* "NAME [--] CMD [ARG]..." */
	const char *summary; /* one line, imperative */
	const char *help;    /* paragraphs for --help and the man page */
	const struct opt *opts;
	int min_words, max_words; /* -1: any; those that stand for capitals in the path count, and come first */
	const char *complete;	  /* what completes the words, "machine", "image|file" */
	bool long_dash;   /* one dash before a long option is enough, as programs in Go have it */
	bool passthrough; /* the second word after the path ends option parsing (exec, run) */
	/* Returns the exit status, or -1 with *err. */
	int (*run)(const struct cmd_args *a, struct error **err);
	const char *examples; /* lines "croft vm create ..." */
};

extern const struct command *const commands[]; /* NULL-terminated */
int cli_main(int argc, char **argv);

/* --format, global: how list and info verbs print. */
enum format { FORMAT_TABLE, FORMAT_JSON, FORMAT_YAML };
extern enum format cli_format;
/*
 * A table whose rows are also the JSON objects. Columns named by `keys`; a cell that is NULL is "-" in tables and null in JSON;
 * cells of columns whose key ends in '#' are numbers in JSON.
 */
struct table;
struct table *table_new(const char *const *keys, const char *const *titles);
void table_row(struct table *t, const char *const *cells);
void table_print(struct table *t); /* in cli_format, to stdout; and frees */
/* Prints a JSON document as JSON or YAML, or as "key: value" lines in table format. */
int print_json(const char *json, struct error **err);

#endif
