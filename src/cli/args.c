/* SPDX-License-Identifier: Apache-2.0 */
/* Command lines: from the words that a person typed to a descriptor with values. */
#include "cli/cli.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/progress.h"
#include "base/units.h"

#include <ctype.h>
#include <string.h>

const struct opt global_opts[] = {
	{ 'h', "help", OPT_FLAG, NULL, "Show help, of the command when one is named", NULL },
	{ 0, "version", OPT_FLAG, NULL, "Show croft's version", NULL },
	{ 0, "format", OPT_STRING, "FORMAT", "How lists and facts are printed: table, json or yaml",
		"table|json|yaml" },
	{ 0, "progress", OPT_STRING, "MODE", "Progress of long work on stderr: auto, plain, json or none",
		"auto|plain|json|none" },
	{ 'v', "verbose", OPT_FLAG, NULL, "Say more about what is done", NULL },
	{ 'q', "quiet", OPT_FLAG, NULL, "Only warnings and errors, no progress", NULL },
	OPT_END,
};

void args_clear(struct cmd_args *a)
{
	for (size_t i = 0; i < a->nvalues; i++)
		strv_free(&a->values[i].v);
	free(a->values);
	strv_free(&a->words);
	memset(a, 0, sizeof *a);
}

const struct strv *arg_list(const struct cmd_args *a, const char *name)
{
	static const struct strv none = STRV_INIT;

	for (size_t i = 0; i < a->nvalues; i++)
		if (!strcmp(a->values[i].opt->name, name))
			return &a->values[i].v;
	return &none;
}

const char *arg_str(const struct cmd_args *a, const char *name)
{
	const struct strv *l = arg_list(a, name);

	return l->len ? l->v[l->len - 1] : NULL;
}

bool arg_flag(const struct cmd_args *a, const char *name)
{
	return arg_list(a, name)->len > 0;
}

const struct strv *arg_words(const struct cmd_args *a)
{
	return &a->words;
}

/* ---- paths ---- */

size_t path_words(const char *path)
{
	size_t n = 1;

	for (; *path; path++)
		n += *path == ' ';
	return n;
}

char *path_word(const char *path, size_t i)
{
	while (i--) {
		path = strchr(path, ' ');
		if (!path)
			return xstrdup("");
		path++;
	}
	return xstrndup(path, strcspn(path, " "));
}

bool path_word_is_any(const char *path, size_t i)
{
	_cleanup_free_ char *w = path_word(path, i);

	return isupper((unsigned char)w[0]) != 0;
}

/* Number of leading words of `words` that fit the path; *exact counts those that are not placeholders. */
static size_t path_fit(const char *path, const char *const *words, size_t n, size_t *exact)
{
	size_t i, len = path_words(path);

	*exact = 0;
	for (i = 0; i < len && i < n; i++) {
		_cleanup_free_ char *w = path_word(path, i);

		if (!strcmp(w, words[i]))
			++*exact;
		else if (!isupper((unsigned char)w[0]))
			break;
	}
	return i;
}

/* The command whose path fits all these words; an exact word beats a placeholder. */
static const struct command *find_command(const struct strv *words)
{
	const struct command *best = NULL;
	size_t best_exact = 0;

	for (const struct command *const *c = commands; *c; c++) {
		size_t exact, n = path_words((*c)->path);

		if (n != words->len ||
			path_fit((*c)->path, (const char *const *)words->v, n, &exact) != n)
			continue;
		if (!best || exact > best_exact) {
			best = *c;
			best_exact = exact;
		}
	}
	return best;
}

/* The typed words fit no path: say which word is wrong and what may stand there. */
static int unknown_command(const struct strv *words, struct error **err)
{
	_cleanup_strv_ struct strv next = STRV_INIT;
	_cleanup_free_ char *typed = NULL, *all = NULL;
	struct strv head = *words;
	size_t good = 0, exact;
	const char *near;

	for (const struct command *const *c = commands; *c; c++) {
		size_t n = path_fit((*c)->path, (const char *const *)words->v, words->len, &exact);

		if (n > good)
			good = n;
	}
	for (const struct command *const *c = commands; *c; c++) {
		_cleanup_free_ char *w = NULL;

		if (path_fit((*c)->path, (const char *const *)words->v, good, &exact) < good ||
			path_words((*c)->path) <= good)
			continue;
		w = path_word((*c)->path, good);
		if (!strv_has(&next, w))
			strv_add(&next, w);
	}
	head.len = good;
	typed = good ? strv_join(&head, " ") : xstrdup("");
	all = strv_join(&next, ", ");
	if (good == words->len) {
		error_set(err, ERR_USAGE, "%s: a word is missing: %s", typed, all);
		return error_hint(err, "see `%s help %s`", cli_program, typed);
	}
	near = nearest_name(words->v[good], (const char *const *)next.v, next.len);
	error_set(err, ERR_USAGE, "%s%sunknown command '%s'", typed, good ? ": " : "", words->v[good]);
	if (near)
		return error_hint(err, "did you mean '%s'?", near);
	return good ? error_hint(err, "known: %s", all) : error_hint(err, "see `%s help`", cli_program);
}

/* ---- options ---- */

static struct arg_value *value_of(struct cmd_args *a, const struct opt *o)
{
	for (size_t i = 0; i < a->nvalues; i++)
		if (a->values[i].opt == o)
			return &a->values[i];
	a->values = xreallocarray(a->values, a->nvalues + 1, sizeof *a->values);
	a->values[a->nvalues] = (struct arg_value){ .opt = o, .v = STRV_INIT };
	return &a->values[a->nvalues++];
}

static bool word_in(const char *list, const char *word)
{
	_cleanup_strv_ struct strv l = STRV_INIT;

	strv_split(&l, list, "|");
	return strv_has(&l, word);
}

static int set_global(struct cmd_args *a, const struct opt *o, const char *value, struct error **err)
{
	if (o->complete && !word_in(o->complete, value))
		return error_set(err, ERR_USAGE, "option --%s: '%s' is none of %s", o->name, value,
			o->complete);
	if (!strcmp(o->name, "help"))
		a->help = true;
	else if (!strcmp(o->name, "version"))
		a->version = true;
	else if (!strcmp(o->name, "verbose"))
		log_level = LOG_DEBUG;
	else if (!strcmp(o->name, "quiet")) {
		log_level = LOG_WARN;
		progress_mode = PROGRESS_NONE;
	} else if (!strcmp(o->name, "format"))
		cli_format = value[0] == 't' ? FORMAT_TABLE :
			value[0] == 'j'	     ? FORMAT_JSON :
					       FORMAT_YAML;
	else
		progress_mode = value[0] == 'a' ? PROGRESS_AUTO :
			value[0] == 'p'		? PROGRESS_PLAIN :
			value[0] == 'j'		? PROGRESS_JSON :
						  PROGRESS_NONE;
	return 0;
}

static bool is_global(const struct opt *o)
{
	return o >= global_opts && o < global_opts + ARRAY_SIZE(global_opts);
}

static int set_option(struct cmd_args *a, const struct opt *o, const char *value, struct error **err)
{
	if (is_global(o))
		return set_global(a, o, value, err);
	if (o->complete && strchr(o->complete, '|') && o->kind != OPT_FLAG && !word_in(o->complete, value))
		return error_set(err, ERR_USAGE, "option --%s: '%s' is none of %s", o->name, value,
			o->complete);
	strv_add(&value_of(a, o)->v, value ? value : "");
	return 0;
}

static const struct opt no_opts[] = { OPT_END };

static const struct opt *find_letter(const struct command *c, char letter)
{
	for (const struct opt *o = c && c->opts ? c->opts : no_opts; o->name; o++)
		if (o->letter == letter)
			return o;
	for (const struct opt *o = global_opts; o->name; o++)
		if (o->letter == letter)
			return o;
	return NULL;
}

/* Exact name, else the only name that begins so. */
static const struct opt *find_long(const struct command *c, const char *name, size_t len,
	struct error **err)
{
	const struct opt *const lists[] = { c && c->opts ? c->opts : no_opts, global_opts };
	const struct opt *found = NULL;
	_cleanup_strv_ struct strv names = STRV_INIT, fits = STRV_INIT;
	_cleanup_free_ char *typed = xstrndup(name, len), *text = NULL;
	const char *near;

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		for (const struct opt *o = lists[i]; o->name; o++) {
			if (!strcmp(o->name, typed))
				return o;
			strv_add(&names, o->name);
			if (len && !strncmp(o->name, typed, len)) {
				strv_addf(&fits, "--%s", o->name);
				found = o;
			}
		}
	if (fits.len == 1)
		return found;
	if (fits.len > 1) {
		text = strv_join(&fits, ", ");
		error_set(err, ERR_USAGE, "option --%s may mean %s", typed, text);
		return NULL;
	}
	error_set(err, ERR_USAGE, "unknown option --%s", typed);
	near = nearest_name(typed, (const char *const *)names.v, names.len);
	if (near)
		error_hint(err, "did you mean --%s?", near);
	else
		error_hint(err, "see `%s%s%s --help`", cli_program, c ? " " : "", c ? c->path : "");
	return NULL;
}

/* One argument that begins with "--", or with the one dash of is_long_dash; *i moves on over a value. */
static int parse_long(struct cmd_args *a, const char *const *argv, size_t *i, struct error **err)
{
	const char *name = argv[*i] + 1 + (argv[*i][1] == '-'), *eq = strchr(name, '=');
	const struct opt *o = find_long(a->cmd, name, eq ? (size_t)(eq - name) : strlen(name), err);

	if (!o)
		return -1;
	if (o->kind == OPT_FLAG) {
		if (eq && a->cmd && a->cmd->long_dash && (!strcmp(eq + 1, "false") || !strcmp(eq + 1, "true")))
			return eq[1] == 't' ? set_option(a, o, NULL, err) : 0;
		if (eq)
			return error_set(err, ERR_USAGE, "option --%s takes no value", o->name);
		return set_option(a, o, NULL, err);
	}
	if (eq)
		return set_option(a, o, eq + 1, err);
	if (!argv[*i + 1])
		return error_set(err, ERR_USAGE, "option --%s needs a value: %s", o->name, o->arg);
	do
		if (set_option(a, o, argv[++*i], err) < 0)
			return -1;
	while (o->kind == OPT_WORDS && argv[*i + 1] && argv[*i + 1][0] != '-');
	return 0;
}

/* -name or -name=value of a command that takes these, the name being one of its own. */
static bool is_long_dash(const struct cmd_args *a, const char *s)
{
	size_t n = strcspn(s + 1, "=");

	if (!a->cmd || !a->cmd->long_dash || n < 2)
		return false;
	for (const struct opt *o = a->cmd->opts ? a->cmd->opts : no_opts; o->name; o++)
		if (strlen(o->name) == n && !strncmp(o->name, s + 1, n))
			return true;
	return false;
}

/* One argument of letters: -tv, -c4, -c 4. */
static int parse_letters(struct cmd_args *a, const char *const *argv, size_t *i, struct error **err)
{
	for (const char *p = argv[*i] + 1; *p; p++) {
		const struct opt *o = find_letter(a->cmd, *p);

		if (!o) {
			error_set(err, ERR_USAGE, "unknown option -%c", *p);
			return error_hint(err, "see `%s%s%s --help`", cli_program, a->cmd ? " " : "",
				a->cmd ? a->cmd->path : "");
		}
		if (o->kind == OPT_FLAG) {
			if (set_option(a, o, NULL, err) < 0)
				return -1;
			continue;
		}
		if (p[1])
			return set_option(a, o, p + 1 + (p[1] == '='), err);
		if (!argv[*i + 1])
			return error_set(err, ERR_USAGE, "option -%c needs a value: %s", *p, o->arg);
		return set_option(a, o, argv[++*i], err);
	}
	return 0;
}

/* The words of the path that stand for capitals become the first words of the command. */
static void take_placeholders(struct cmd_args *a, const struct strv *path)
{
	for (size_t i = 0; i < path->len; i++)
		if (path_word_is_any(a->cmd->path, i))
			strv_add(&a->words, path->v[i]);
}

static int check_words(const struct cmd_args *a, struct error **err)
{
	const struct command *c = a->cmd;
	_cleanup_free_ char *usage = NULL;
	size_t n = a->words.len;

	if (n >= (size_t)c->min_words && (c->max_words < 0 || n <= (size_t)c->max_words))
		return 0;
	usage = help_usage(c);
	if (n < (size_t)c->min_words)
		error_set(err, ERR_USAGE, "%s: an argument is missing", c->path);
	else
		error_set(err, ERR_USAGE, "%s: unexpected argument '%s'", c->path,
			a->words.v[c->max_words]);
	return error_hint(err, "usage: %s", usage);
}

int args_parse(struct cmd_args *a, const char *const *argv, struct error **err)
{
	_cleanup_strv_ struct strv path = STRV_INIT;
	size_t words_before = 0;
	bool only_words = false;

	for (size_t i = 0; argv && argv[i]; i++) {
		const char *s = argv[i];
		int r = 0;

		if (!only_words && !strcmp(s, "--")) {
			only_words = true;
			continue;
		}
		if (!only_words && s[0] == '-' && (s[1] == '-' || is_long_dash(a, s)))
			r = parse_long(a, argv, &i, err);
		else if (!only_words && s[0] == '-' && s[1])
			r = parse_letters(a, argv, &i, err);
		else if (!a->cmd) {
			strv_add(&path, s);
			a->cmd = find_command(&path);
			if (a->cmd) {
				take_placeholders(a, &path);
				words_before = a->words.len;
			}
		} else {
			strv_add(&a->words, s);
			if (a->cmd->passthrough && a->words.len == words_before + 2)
				only_words = true;
		}
		if (r < 0)
			return a->cmd ? error_wrap(err, "%s", a->cmd->path) : -1;
	}
	if (a->help && !a->cmd) {
		/* `croft vm --help`: the words so far are a prefix of commands */
		for (size_t i = 0; i < path.len; i++)
			strv_add(&a->words, path.v[i]);
		if (help_has_prefix((const char *const *)path.v, path.len))
			return 0;
	}
	if (!a->cmd && path.len)
		return unknown_command(&path, err);
	return !a->cmd || a->help || a->version ? 0 : check_words(a, err);
}
