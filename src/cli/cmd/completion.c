/* SPDX-License-Identifier: Apache-2.0 */
/*
 * croft completion: shell scripts. The knowledge stays in the program: a script asks `croft completion words -- WORD...` for
 * what may come next, and so never disagrees with the commands.
 */
#include "cli/cli.h"
#include "cli/cmd/cmd.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "image/image.h"
#include "machine/machine.h"

#include <ctype.h>
#include <dirent.h>
#include <string.h>

static const char bash_script[] =
	"_croft() {\n"
	"\tlocal w=\"${COMP_WORDS[COMP_CWORD]}\" IFS=$'\\n' words\n"
	"\twords=$(croft completion words -- \"${COMP_WORDS[@]:1:COMP_CWORD}\" 2>/dev/null)\n"
	"\tCOMPREPLY=($(compgen -W \"$words\" -- \"$w\"))\n"
	"}\n"
	"complete -o default -F _croft croft\n";

static const char zsh_script[] =
	"#compdef croft\n"
	"_croft() {\n"
	"\tlocal -a found\n"
	"\tfound=(${(f)\"$(croft completion words -- ${words[2,$CURRENT]} 2>/dev/null)\"})\n"
	"\tif (( $#found )); then compadd -a found; else _files; fi\n"
	"}\n"
	/* As a file in fpath the script is the function's body at its first call; when it is sourced it only defines it. */
	"if [[ $funcstack[1] = _croft ]]; then _croft; else compdef _croft croft; fi\n";

static const char fish_script[] =
	"function __croft_words\n"
	"\tset -l typed (commandline -opc) (commandline -ct)\n"
	"\tcroft completion words -- $typed[2..-1] 2>/dev/null\n"
	"end\n"
	"complete -c croft -a '(__croft_words)'\n";

static void print_names(const struct strv *names)
{
	for (size_t i = 0; i < names->len; i++)
		puts(names->v[i]);
}

/* Directories below DATA/groups. */
static void print_groups(void)
{
	_cleanup_free_ char *path = path_data("groups");
	_cleanup_closedir_ DIR *d = opendir(path);
	struct dirent *e;

	while (d && (e = readdir(d)))
		if (e->d_name[0] != '.')
			puts(e->d_name);
}

/* What a descriptor's `complete` stands for. Files are left to the shell. */
static void print_kind(const char *kind)
{
	_cleanup_strv_ struct strv kinds = STRV_INIT, names = STRV_INIT;
	_cleanup_error_ struct error *err = NULL;

	if (!kind)
		return;
	strv_split(&kinds, kind, "|");
	for (size_t i = 0; i < kinds.len; i++) {
		const char *k = kinds.v[i];

		if (!strcmp(k, "machine"))
			machine_names(NULL, &names, &err);
		else if (!strcmp(k, "image"))
			image_names(&names, &err);
		else if (!strcmp(k, "group"))
			print_groups();
		else if (strcmp(k, "file"))
			puts(k);
	}
	print_names(&names);
}

static const struct opt *option_named(const struct command *c, const char *word)
{
	for (const struct opt *o = c->opts; o && o->name; o++)
		if ((word[0] == '-' && word[1] == '-' && !strcmp(o->name, word + 2)) ||
			(word[0] == '-' && word[1] == o->letter && !word[2]))
			return o;
	return NULL;
}

/* The next words of all paths that begin with these; the command when they are a whole path. */
static const struct command *next_path_words(const struct strv *w, size_t n)
{
	_cleanup_strv_ struct strv next = STRV_INIT;

	for (const struct command *const *c = commands; *c; c++) {
		size_t i, len = path_words((*c)->path);

		for (i = 0; i < len && i < n; i++) {
			_cleanup_free_ char *p = path_word((*c)->path, i);

			if (strcmp(p, w->v[i]) && !isupper((unsigned char)p[0]))
				break;
		}
		if (i == len)
			return *c;
		if (i == n) {
			_cleanup_free_ char *p = path_word((*c)->path, n);

			if (isupper((unsigned char)p[0])) {
				if (!strv_has(&next, "")) {
					strv_add(&next, "");
					print_groups();
				}
			} else if (!strv_has(&next, p)) {
				strv_add(&next, p);
				puts(p);
			}
		}
	}
	return NULL;
}

static void complete_words(const struct strv *w)
{
	size_t n = w->len ? w->len - 1 : 0; /* the last one is being typed */
	const char *typing = w->len ? w->v[n] : "";
	const struct command *c = next_path_words(w, n);
	const struct opt *o;

	if (!c)
		return;
	o = n ? option_named(c, w->v[n - 1]) : NULL;
	if (o && o->kind != OPT_FLAG) {
		print_kind(o->complete);
		return;
	}
	if (typing[0] == '-') {
		for (o = c->opts; o && o->name; o++)
			printf("--%s\n", o->name);
		for (o = global_opts; o->name; o++)
			printf("--%s\n", o->name);
		return;
	}
	print_kind(c->complete);
}

static int completion_run(const struct cmd_args *a, struct error **err)
{
	const struct strv *w = arg_words(a);
	const char *shell = w->v[0];

	if (!strcmp(shell, "words")) {
		struct strv rest = { w->v + 1, w->len - 1, 0 };

		complete_words(&rest);
		return 0;
	}
	if (w->len > 1)
		return error_set(err, ERR_USAGE, "completion: unexpected argument '%s'", w->v[1]);
	if (!strcmp(shell, "bash"))
		fputs(bash_script, stdout);
	else if (!strcmp(shell, "zsh"))
		fputs(zsh_script, stdout);
	else if (!strcmp(shell, "fish"))
		fputs(fish_script, stdout);
	else
		return error_set(err, ERR_USAGE, "completion: '%s' is none of bash, zsh, fish", shell);
	return 0;
}

const struct command cmd_completion = {
	.path = "completion",
	.args = "bash|zsh|fish",
	.summary = "Print the completion script for a shell",
	.help = "The script asks croft itself what may come next, so it never grows old.",
	.min_words = 1,
	.max_words = -1,
	.complete = "bash|zsh|fish",
	.run = completion_run,
	.examples = "  source <(croft completion bash)",
};
