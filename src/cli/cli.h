/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the command line's own files share: parsing, looking up, help, interruption. Commands use command.h and the second
 * half of this header.
 */
#ifndef CROFT_CLI_CLI_H
#define CROFT_CLI_CLI_H

#include "base/buf.h"
#include "base/error.h"
#include "base/strv.h"
#include "cli/command.h"
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct arg_value {
	const struct opt *opt;
	struct strv v;
};
struct cmd_args {
	const struct command *cmd;
	struct arg_value *values;
	size_t nvalues;
	struct strv words;
	bool help, version; /* global options that replace the command */
};
extern const struct opt global_opts[];
void args_clear(struct cmd_args *a);
#define _cleanup_args_ __attribute__((cleanup(args_clear)))
/*
 * Reads the command line after the program's name: global options, the words of the command's path, its options and words.
 * argv may be NULL: no arguments. a->cmd is NULL when only global options were given. Errors are ERR_USAGE.
 */
int args_parse(struct cmd_args *a, const char *const *argv, struct error **err);

/* Does `word` fit the path's i-th word? Words in capitals fit anything that isn't an option. */
bool path_word_is_any(const char *path, size_t i);
/* Length of the path in words, and its i-th word (new string). */
size_t path_words(const char *path);
char *path_word(const char *path, size_t i);

/*
 * Help to `f`: what fits on one screen and tells where to begin; all commands; those below a prefix of words; one command.
 */
void help_overview(FILE *f);
void help_program(FILE *f);
void help_prefix(FILE *f, const char *const *words, size_t n);
void help_command(FILE *f, const struct command *c);
/* True when some command's path begins with these words. */
bool help_has_prefix(const char *const *words, size_t n);
/* "croft vm create NAME [--image IMAGE] ..." */
char *help_usage(const struct command *c);
/* "-i, --image IMAGE" */
char *help_option(const struct opt *o);

/* The name that the program was called by: "croft" or "devtest". */
extern const char *cli_program;
/* The arguments as the program got them, for handing on to another program of croft's. */
extern char **cli_argv;

/* ---- for commands ---- */

/*
 * Interruption. SIGINT and SIGTERM set base/intr.h's flag and break blocking calls; the command unwinds with an error. When it has not
 * ended after a few seconds, or at a second Ctrl-C, the process ends at once: state on disk is safe at any instant. Either
 * way one line says what is left, as last noted with cli_left.
 */
void cli_signals_init(void);
int cli_interrupted(void); /* the signal's number, 0: none */
/* Notes what would be left if the command ended now ("machine sn goes on starting; `croft vm stop sn` ends it"). NULL: nothing. */
void cli_left(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
const char *cli_left_text(void); /* "" when nothing */

/* Replaces the process by another program of croft's libexec directory, with the same arguments. Returns only on failure. */
int cli_exec_libexec(const char *program, struct error **err);

/*
 * Becomes the program croft-WORD of PATH, for argv[1] = WORD that is none of croft's own commands; the arguments behind it are the program's.
 * 0: there is none.
 */
int plugin_exec(char **argv, struct error **err);

/* Duration option in ms; -1 or `missing` when not given. */
int arg_timeout(const struct cmd_args *a, const char *name, int missing, int *ret_ms, struct error **err);
/* Asks on a terminal whether to go on; elsewhere an error that names --force. */
int cli_confirm(bool force, struct error **err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/*
 * Does fn for each word, reports each failure where it happens, goes on with the others. Returns the exit status: 0, or the
 * class of the first failure.
 */
int for_each_word(const struct strv *words, int (*fn)(const char *word, void *arg, struct error **err), void *arg);
/* A line "croft: MESSAGE; HINT" for an error that does not end the command. */
void cli_report(const struct error *e);

#endif
