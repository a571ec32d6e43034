/* SPDX-License-Identifier: Apache-2.0 */
/* `vm`: options, then commands one after the other. */
#include "vm.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/units.h"
#include "cli/cli.h"
#include "conf/settings.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define STEPS_MAX 256

const struct vm_command vm_commands[] = {
	{ "run", 0, 1, "[ISOIMAGE]", "start the machine and wait until it is off", vm_run },
	{ "create", 1, 2, "GUESTNAME [ISOIMAGE]", "make a machine", vm_create },
	{ "backup", 0, 2, "[SNAPSHOT [DESCRIPTION]]", "keep a copy of its disks", vm_backup },
	{ "restore", 0, 1, "[SNAPSHOT]", "put a copy back, the last one by default", vm_restore },
	{ "job", 1, 1, "JOBNAME", "run a job beside its disks in the rescue system", vm_job },
	{ "destroy", 0, 0, "", "remove its working files", vm_destroy },
	{ NULL, 0, 0, NULL, NULL, NULL },
};

struct step {
	const struct vm_command *command;
	struct strv args;
};
struct batch {
	struct step steps[STEPS_MAX];
	size_t n;
};

static void batch_clear(struct batch *b)
{
	while (b->n)
		strv_free(&b->steps[--b->n].args);
}

void vm_clear(struct vm *v)
{
	shellvars_free(v->vars);
	free(v->hostdir);
	free(v->workdir);
	strv_free(&v->options);
	strv_free(&v->forwards);
	strv_free(&v->shares);
	strv_free(&v->images);
	free(v->timeout);
	free(v->rescue);
	free(v->arch);
	free(v->uefi);
	machine_free(v->native);
	cleanup_close(&v->lock);
}

/* "create" or "@create"; NULL: no command. */
static const struct vm_command *find_command(const char *word)
{
	word += *word == '@';
	for (const struct vm_command *c = vm_commands; c->name; c++)
		if (!strcmp(c->name, word))
			return c;
	return NULL;
}

static int unknown(const char *word, struct error **err)
{
	const char *names[16], *near;
	size_t n = 0;

	for (const struct vm_command *c = vm_commands; c->name; c++)
		names[n++] = c->name;
	near = nearest_name(word + (*word == '@'), names, n);
	error_set(err, ERR_USAGE, "'%s' is no command, and nothing before it takes it as an argument", word);
	return near ? error_hint(err, "did you mean @%s?", near) : error_hint(err, "`vm -h` lists the commands");
}

/* The whole batch is understood before its first command begins. */
static int read_batch(struct batch *b, char **words, int n, struct error **err)
{
	int i = 0;

	if (n == 0 || (n == 1 && !find_command(words[0]))) {
		b->steps[b->n++].command = find_command("run");
		if (n)
			strv_add(&b->steps[0].args, words[0]);
		return 0;
	}
	while (i < n) {
		const struct vm_command *c = find_command(words[i]);
		struct step *s = &b->steps[b->n];

		if (!c)
			return unknown(words[i], err);
		if (b->n == STEPS_MAX)
			return error_set(err, ERR_USAGE, "more than %d commands", STEPS_MAX);
		b->n++;
		s->command = c;
		for (i++; i < n && (int)s->args.len < c->max; i++) {
			/* an optional argument ends where a command stands; one that must be there is taken as it is */
			if ((int)s->args.len >= c->min && find_command(words[i]))
				break;
			strv_add(&s->args, words[i]);
		}
		if ((int)s->args.len < c->min) {
			error_set(err, ERR_USAGE, "@%s: an argument is missing", c->name);
			return error_hint(err, "it takes %s", c->args);
		}
	}
	return 0;
}

/* Colours are kept as printf takes them: \033[01;37m. */
static void put_colour(const struct vm *v, const char *name)
{
	const char *s = v->colour ? vm_get(v, name) : "";

	for (; *s; s++) {
		if (s[0] == '\\' && (!strncmp(s + 1, "033", 3) || !strncmp(s + 1, "e", 1))) {
			putchar('\033');
			s += s[1] == 'e' ? 1 : 3;
		} else {
			putchar(*s);
		}
	}
}

void vm_say(const struct vm *v, const char *colour, const char *fmt, ...)
{
	va_list ap;

	put_colour(v, colour);
	fputs("*** ", stdout);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	put_colour(v, "CLR_NORM");
	putchar('\n');
	fflush(stdout);
}

static void announce(const struct vm *v, const struct step *s)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	for (size_t i = 0; i < s->args.len; i++)
		buf_addf(&b, "%s'%s'", i ? ", " : "", s->args.v[i]);
	vm_say(v, "CLR_BOLD", "Executing command: %s(%s)...", s->command->name, buf_str(&b));
}

static int begin(struct vm *v, int argc, char **argv, struct batch *b, struct error **err)
{
	int first = 0, rc;

	v->hostdir = realpath(".", NULL);
	if (!v->hostdir)
		return error_set(err, ERR_NOT_FOUND, "the working folder is not there");
	rc = vm_parse(v, argc, argv, &first, err);
	if (rc)
		return rc;
	if (read_batch(b, argv + first, argc - first, err) < 0 || settings_load(NULL, err) < 0)
		return -1;
	if (vm_settings_load(v, err) < 0 || vm_find_workdir(v, err) < 0 || vm_lock(v, err) < 0)
		return -1;
	shellvars_set(v->vars, "WORKDIR", v->workdir ? v->workdir : "");
	shellvars_set(v->vars, "TIMEOUT", v->timeout ? v->timeout : "");
	return 0;
}

int vm_main(int argc, char **argv)
{
	_cleanup_(vm_clear) struct vm v = { .vars = shellvars_new(), .lock = -1, .colour = log_colour(1) };
	_cleanup_(batch_clear) struct batch b = { .n = 0 };
	_cleanup_error_ struct error *err = NULL;
	int rc = begin(&v, argc, argv, &b, &err);

	for (size_t i = 0; rc == 0 && i < b.n; i++) {
		announce(&v, &b.steps[i]);
		rc = b.steps[i].command->run(&v, &b.steps[i].args, &err);
	}
	if (rc >= 0)
		return 0;
	fflush(stdout);
	cli_report(err);
	return (int)err->cls;
}
