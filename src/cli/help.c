/* SPDX-License-Identifier: Apache-2.0 */
/* Help texts, made from the descriptors. */
#include "cli/cli.h"

#include "base/cleanup.h"
#include "base/mem.h"

#include <ctype.h>
#include <string.h>

enum { WIDTH = 80 };

char *help_usage(const struct command *c)
{
	struct buf b = BUF_INIT;

	buf_addf(&b, "croft %s", c->path);
	if (c->opts && c->opts[0].name)
		buf_adds(&b, " [OPTION]...");
	if (c->args && c->args[0])
		buf_addf(&b, " %s", c->args);
	return buf_steal(&b);
}

char *help_option(const struct opt *o)
{
	struct buf b = BUF_INIT;

	if (o->letter)
		buf_addf(&b, "-%c, ", o->letter);
	else
		buf_adds(&b, "    ");
	buf_addf(&b, "--%s", o->name);
	if (o->kind != OPT_FLAG)
		buf_addf(&b, " %s", o->arg);
	if (o->kind == OPT_LIST || o->kind == OPT_WORDS)
		buf_adds(&b, " ...");
	return buf_steal(&b);
}

/* Prints text filled to WIDTH, every line but the first indented; `col` is where the first begins. */
static void print_filled(FILE *f, const char *text, size_t indent, size_t col)
{
	while (*text) {
		size_t len = strcspn(text, " \n");

		if (col > indent && col + 1 + len > WIDTH) {
			fprintf(f, "\n%*s", (int)indent, "");
			col = indent;
		} else if (col > indent) {
			fputc(' ', f);
			col++;
		}
		fprintf(f, "%.*s", (int)len, text);
		col += len;
		text += len;
		while (*text == ' ' || *text == '\n')
			text++;
	}
	fputc('\n', f);
}

/* Paragraphs are separated by an empty line; lines that begin with a blank stay as they are. */
static void print_paragraphs(FILE *f, const char *text)
{
	while (*text) {
		const char *end = strstr(text, "\n\n");
		_cleanup_free_ char *p = end ? xstrndup(text, (size_t)(end - text)) : xstrdup(text);

		fputc('\n', f);
		if (p[0] == ' ')
			fprintf(f, "%s\n", p);
		else
			print_filled(f, p, 0, 0);
		if (!end)
			return;
		text = end + 2;
	}
}

static void print_two(FILE *f, const char *left, const char *right, size_t width)
{
	size_t n = strlen(left);

	if (n > width) {
		fprintf(f, "  %s\n  %*s  ", left, (int)width, "");
	} else {
		fprintf(f, "  %-*s  ", (int)width, left);
	}
	print_filled(f, right, width + 4, width + 4);
}

static void print_options(FILE *f, const struct opt *opts)
{
	for (const struct opt *o = opts; o->name; o++) {
		_cleanup_free_ char *left = help_option(o);

		print_two(f, left, o->help, 26);
	}
}

void help_command(FILE *f, const struct command *c)
{
	_cleanup_free_ char *usage = help_usage(c);

	fprintf(f, "Usage: %s\n\n", usage);
	print_filled(f, c->summary, 0, 0);
	if (c->help)
		print_paragraphs(f, c->help);
	if (c->opts && c->opts[0].name) {
		fputs("\nOptions:\n", f);
		print_options(f, c->opts);
	}
	if (c->examples)
		fprintf(f, "\nExamples:\n%s\n", c->examples);
	fputs("\nGlobal options: see `croft --help`.\n", f);
}

bool help_has_prefix(const char *const *words, size_t n)
{
	for (const struct command *const *c = commands; *c; c++) {
		size_t i;

		for (i = 0; i < n && i < path_words((*c)->path); i++) {
			_cleanup_free_ char *w = path_word((*c)->path, i);

			if (strcmp(w, words[i]) && !isupper((unsigned char)w[0]))
				break;
		}
		if (i == n)
			return true;
	}
	return false;
}

void help_prefix(FILE *f, const char *const *words, size_t n)
{
	for (const struct command *const *c = commands; *c; c++) {
		size_t i;

		for (i = 0; i < n; i++) {
			_cleanup_free_ char *w = path_word((*c)->path, i);

			if (strcmp(w, words[i]) && (!isupper((unsigned char)w[0]) || i == 0))
				break;
		}
		if (i == n)
			print_two(f, (*c)->path, (*c)->summary, 22);
	}
}

/* What the commands with a first word in common are about, in the order of `commands`. */
static const struct {
	const char *noun, *summary;
} areas[] = {
	{ "vm", "Machines: create, start, reach inside, snapshot, back up, repair" },
	{ "job", "Repair and set up disks by programs in the rescue system" },
	{ "image", "Disk images: make, build from templates, convert, export" },
	{ "store", "Deduplicated, verified storage; what backups are kept in" },
	{ "group", "Machines that belong together: up, apps, snapshots, tests, forks" },
	{ "ops", "Operations on several machines that did not end well" },
	{ "net", "A group's network: faults, captures, forwards, names" },
	{ "config", "Settings, and where each comes from" },
};

static void print_head(FILE *f)
{
	fputs("Usage: croft [GLOBAL OPTION]... COMMAND [OPTION]... [ARG]...\n\n"
	      "croft builds, boots, connects and deploys machines.\n",
		f);
}

void help_overview(FILE *f)
{
	print_head(f);
	fputs("\nA first machine:\n"
	      "  croft image make tiny                     a small guest that is up in seconds\n"
	      "  croft vm create t1 --image tiny\n"
	      "  croft vm start t1 --wait\n"
	      "  croft vm shell t1\n"
	      "\nCommands about:\n",
		f);
	for (size_t i = 0; i < ARRAY_SIZE(areas); i++)
		if (help_has_prefix(&areas[i].noun, 1)) /* croft may be built without the store */
			print_two(f, areas[i].noun, areas[i].summary, 10);
	fputs("\nCommands of one word:\n", f);
	for (const struct command *const *c = commands; *c; c++)
		if (path_words((*c)->path) == 1)
			print_two(f, (*c)->path, (*c)->summary, 10);
	fputs("\n`croft help vm` lists the commands about machines, `croft help` all of them;\n"
	      "`croft vm create --help` tells about one.\n",
		f);
}

void help_program(FILE *f)
{
	const char *noun = "";
	size_t len = 0;

	print_head(f);
	for (const struct command *const *c = commands; *c; c++) {
		if (strcspn((*c)->path, " ") != len || strncmp((*c)->path, noun, len)) {
			const char *sp = strchr((*c)->path, ' ');

			if (sp || strchr(noun, ' '))
				fputc('\n', f);
			noun = (*c)->path;
			len = strcspn(noun, " ");
		}
		print_two(f, (*c)->path, (*c)->summary, 22);
	}
	fputs("\nGlobal options:\n", f);
	print_options(f, global_opts);
	fputs("\n`croft COMMAND --help` tells more about a command.\n", f);
}
