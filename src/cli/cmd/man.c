/* SPDX-License-Identifier: Apache-2.0 */
/* croft man: manual pages from the descriptors. */
#include "cli/cli.h"
#include "cli/cmd/cmd.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"

#include <ctype.h>
#include <string.h>

/* Text for roff: backslashes and hyphens escaped, no line begins with a control character. */
static void roff(struct buf *b, const char *s)
{
	bool start = true;

	for (; *s; s++) {
		if (start && (*s == '.' || *s == '\''))
			buf_adds(b, "\\&");
		if (*s == '\\')
			buf_adds(b, "\\e");
		else if (*s == '-')
			buf_adds(b, "\\-");
		else
			buf_addc(b, *s);
		start = *s == '\n';
	}
}

static void heading(struct buf *b, const char *title)
{
	buf_addf(b, "\n.SH %s\n", title);
}

/* Paragraphs with an empty line between; those that begin with a blank are examples. */
static void paragraphs(struct buf *b, const char *text)
{
	for (bool first = true; *text; first = false) {
		const char *end = strstr(text, "\n\n");
		_cleanup_free_ char *p = end ? xstrndup(text, (size_t)(end - text)) : xstrdup(text);

		if (!first)
			buf_adds(b, ".PP\n");
		if (p[0] == ' ')
			buf_adds(b, ".nf\n");
		roff(b, p);
		buf_addc(b, '\n');
		if (p[0] == ' ')
			buf_adds(b, ".fi\n");
		if (!end)
			return;
		text = end + 2;
	}
}

static void options(struct buf *b, const struct opt *opts)
{
	for (const struct opt *o = opts; o->name; o++) {
		_cleanup_free_ char *left = help_option(o);

		buf_adds(b, ".TP\n.B ");
		roff(b, left + strspn(left, " "));
		buf_addc(b, '\n');
		roff(b, o->help);
		buf_addc(b, '\n');
	}
}

/* "vm create" -> "croft-vm-create"; words in capitals are left out. */
static char *page_name(const struct command *c)
{
	struct buf b = BUF_INIT;

	buf_adds(&b, "croft");
	for (size_t i = 0; i < path_words(c->path); i++) {
		_cleanup_free_ char *w = path_word(c->path, i);

		if (!isupper((unsigned char)w[0]))
			buf_addf(&b, "-%s", w);
	}
	return buf_steal(&b);
}

static void title(struct buf *b, const char *name, const char *summary)
{
	buf_adds(b, ".TH ");
	for (const char *p = name; *p; p++)
		buf_addc(b, (char)toupper((unsigned char)*p));
	buf_adds(b, " 1 \"\" \"croft " CROFT_VERSION "\" \"croft\"\n.SH NAME\n");
	roff(b, name);
	buf_adds(b, " \\- ");
	roff(b, summary);
	buf_addc(b, '\n');
}

static void exit_statuses(struct buf *b)
{
	heading(b, "EXIT STATUS");
	buf_adds(b, "0 done, 1 failed, 2 wrong use, 3 not found, 4 refused because of state, 124 time is over, 130 "
		    "interrupted. Commands that run something in a machine return its own status.\n");
}

static void command_page(struct buf *b, const struct command *c)
{
	_cleanup_free_ char *name = page_name(c), *usage = help_usage(c);

	title(b, name, c->summary);
	heading(b, "SYNOPSIS");
	roff(b, usage);
	buf_addc(b, '\n');
	heading(b, "DESCRIPTION");
	paragraphs(b, c->help ? c->help : c->summary);
	if (c->opts && c->opts[0].name) {
		heading(b, "OPTIONS");
		options(b, c->opts);
	}
	exit_statuses(b);
	if (c->examples) {
		heading(b, "EXAMPLES");
		buf_adds(b, ".nf\n");
		roff(b, c->examples);
		buf_adds(b, "\n.fi\n");
	}
	heading(b, "SEE ALSO");
	buf_adds(b, ".BR croft (1)\n");
}

static void main_page(struct buf *b)
{
	title(b, "croft", "build, boot and connect machines");
	heading(b, "SYNOPSIS");
	roff(b, "croft [GLOBAL OPTION]... COMMAND [OPTION]... [ARG]...\n");
	heading(b, "DESCRIPTION");
	roff(b, "croft makes images, starts machines from them with QEMU, and starts whole groups of machines with their networks "
		"from one file. It needs no privileges.\n");
	heading(b, "COMMANDS");
	for (const struct command *const *c = commands; *c; c++) {
		buf_adds(b, ".TP\n.B ");
		roff(b, (*c)->path);
		buf_addc(b, '\n');
		roff(b, (*c)->summary);
		buf_addc(b, '\n');
	}
	heading(b, "GLOBAL OPTIONS");
	options(b, global_opts);
	exit_statuses(b);
	heading(b, "ENVIRONMENT");
	buf_adds(b, ".TP\n.B CROFT_HOME\nDirectory that holds all that croft keeps; default the XDG directories.\n"
		    ".TP\n.B CROFT_LOG\nHow much is said: error, warn, info, debug.\n"
		    ".TP\n.B NO_COLOR\nNo colours when set.\n");
}

static int write_page(const char *dir, const char *name, struct buf *b, struct error **err)
{
	_cleanup_free_ char *path = xasprintf("%s/%s.1", dir, name);
	int r = file_write(path, b->data, b->len, 0644, err);

	buf_clear(b);
	return r;
}

static int man_run(const struct cmd_args *a, struct error **err)
{
	const char *dir = arg_str(a, "dir");
	const struct strv *w = arg_words(a);
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_free_ char *typed = w->len ? strv_join(w, " ") : NULL;

	if (dir && file_mkdirs(dir, 0755, err) < 0)
		return -1;
	if (dir || !typed) {
		main_page(&b);
		if (!dir)
			fwrite(b.data, 1, b.len, stdout);
		else if (write_page(dir, "croft", &b, err) < 0)
			return -1;
		if (!dir)
			return 0;
	}
	for (const struct command *const *c = commands; *c; c++) {
		_cleanup_free_ char *name = page_name(*c);

		if (typed && strcmp((*c)->path, typed))
			continue;
		command_page(&b, *c);
		if (dir && write_page(dir, name, &b, err) < 0)
			return -1;
		if (typed && !dir) {
			fwrite(b.data, 1, b.len, stdout);
			return 0;
		}
	}
	return dir ? 0 : error_set(err, ERR_USAGE, "man: no command '%s'", typed);
}

static const struct opt man_opts[] = {
	{ 0, "dir", OPT_STRING, "DIR", "Write all pages into this directory", "file" },
	OPT_END,
};

const struct command cmd_man = {
	.path = "man",
	.args = "[COMMAND]...",
	.summary = "Print manual pages",
	.help = "Prints the page of croft or of a command, as roff; `croft man vm create | man -l -` shows it.",
	.opts = man_opts,
	.max_words = -1,
	.run = man_run,
};
