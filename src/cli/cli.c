/* SPDX-License-Identifier: Apache-2.0 */
/* From argv to an exit status: personalities, global options, the command, its error. */
#include "cli/cli.h"
#include "cli/cmd/cmd.h"
#include "cli/vm/vm.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/units.h"
#include "conf/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <string.h>

const char *cli_program = "croft";
char **cli_argv;

void cli_report(const struct error *e)
{
	_cleanup_free_ char *text = error_text(e);

	log_error("%s", text);
}

int cli_exec_libexec(const char *program, struct error **err)
{
	_cleanup_free_ char *path = path_libexec(program, err);

	if (!path)
		return -1;
	execv(path, cli_argv);
	return error_errno(err, errno, "%s", path);
}

int arg_timeout(const struct cmd_args *a, const char *name, int missing, int *ret_ms, struct error **err)
{
	const char *s = arg_str(a, name);
	_cleanup_free_ char *what = xasprintf("option --%s", name);
	uint64_t ms;

	*ret_ms = missing;
	if (!s)
		return 0;
	if (parse_duration(what, s, &ms, err) < 0)
		return -1;
	if (ms > INT_MAX)
		return error_set(err, ERR_USAGE, "option --%s: '%s' is too long", name, s);
	*ret_ms = (int)ms;
	return 0;
}

int cli_confirm(bool force, struct error **err, const char *fmt, ...)
{
	_cleanup_free_ char *question = NULL;
	char answer[16] = "";
	va_list ap;

	if (force)
		return 0;
	va_start(ap, fmt);
	question = xvasprintf(fmt, ap);
	va_end(ap);
	if (!isatty(0) || !isatty(2)) {
		error_set(err, ERR_USAGE, "%s: not without --force when nobody can be asked", question);
		return -1;
	}
	fprintf(stderr, "%s? [y/N] ", question);
	if (fgets(answer, sizeof answer, stdin) && (answer[0] == 'y' || answer[0] == 'Y'))
		return 0;
	return error_set(err, ERR_FAILED, "%s: not confirmed, nothing was done", question);
}

int for_each_word(const struct strv *words, int (*fn)(const char *word, void *arg, struct error **err), void *arg)
{
	int status = 0;

	for (size_t i = 0; i < words->len && !cli_interrupted(); i++) {
		_cleanup_error_ struct error *err = NULL;

		if (fn(words->v[i], arg, &err) >= 0)
			continue;
		if (err)
			cli_report(err);
		if (!status)
			status = err ? (int)err->cls : ERR_FAILED;
	}
	return status;
}

/* What was printed must have arrived; a reader that closed its end early (`| head`) is no error worth a line. */
static int finish_output(int status)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	if (errno != EPIPE)
		log_error("standard output: %s", strerror(errno));
	return status ? status : ERR_FAILED;
}

static int run(struct cmd_args *a)
{
	_cleanup_error_ struct error *err = NULL;
	int status = settings_load(NULL, &err) < 0 ? -1 : a->cmd->run(a, &err);

	if (cli_interrupted() && (status < 0 || !a->cmd->passthrough)) {
		const char *left = cli_left_text();

		if (err && err->cls != ERR_INTR)
			cli_report(err);
		if (status < 0 || left[0]) {
			log_error("interrupted; %s", left[0] ? left : "nothing is left to do");
			return ERR_INTR;
		}
	}
	if (status >= 0)
		return status;
	if (!err)
		return ERR_FAILED;
	cli_report(err);
	return (int)err->cls;
}

/*
 * croft has the command lines of other tools as well, under their names. `devtest NAME COMMAND` is `croft group NAME COMMAND`;
 * returns -1 for a name that has none yet.
 */
static int personality(const char *argv0, struct strv *args)
{
	const char *name = path_basename(argv0 ? argv0 : "croft");

	if (!strcmp(name, "pm") || !strcmp(name, "enve")) {
		log_error("called as '%s': this command line is not part of version %s; use `croft help`", name,
			CROFT_VERSION);
		return -1;
	}
	if (!strcmp(name, "devtest")) {
		cli_program = "devtest";
		strv_add(args, "group");
	}
	return 0;
}

/* A program that is started with 0, 1 or 2 closed would take its own files for them. */
static void open_standard_fds(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= 2);
	if (fd > 2)
		close(fd);
}

int cli_main(int argc, char **argv)
{
	_cleanup_strv_ struct strv args = STRV_INIT;
	_cleanup_args_ struct cmd_args a = { 0 };
	_cleanup_error_ struct error *err = NULL;

	open_standard_fds();
	log_init("croft");
	cli_argv = argv;
	if (personality(argc ? argv[0] : NULL, &args) < 0)
		return ERR_USAGE;
	log_init(cli_program);
	if (argc > 1 && !args.len && !strcmp(argv[1], "pm")) { /* has options and help of its own */
		pm_exec(argv + 1, &err);
		cli_report(err);
		return (int)err->cls;
	}
	if (argc > 1 && !args.len && strcmp(path_basename(argv[0]), "vm") != 0 && plugin_exec(argv, &err) < 0) {
		cli_report(err);
		return (int)err->cls;
	}
	cli_signals_init();
	if (argc && !strcmp(path_basename(argv[0]), "vm")) {
		cli_program = "vm";
		log_init("vm");
		return finish_output(vm_main(argc, argv));
	}
	if (argc > 1)
		strv_addv(&args, (const char *const *)argv + 1);
	if (args_parse(&a, (const char *const *)args.v, &err) < 0) {
		cli_report(err);
		return (int)err->cls;
	}
	if (a.version)
		puts("croft " CROFT_VERSION);
	else if (a.help && a.cmd)
		help_command(stdout, a.cmd);
	else if (a.help && a.words.len)
		help_prefix(stdout, (const char *const *)a.words.v, a.words.len);
	else if (a.help)
		help_program(stdout);
	else if (a.cmd)
		return finish_output(run(&a));
	else {
		help_overview(stderr);
		return ERR_USAGE;
	}
	return finish_output(0);
}
