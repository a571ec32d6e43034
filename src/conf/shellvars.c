/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/shellvars.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/map.h"
#include "base/mem.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX (1u << 20)
#define WORDS_MAX 65536
#define VALUE_MAX (1u << 20) /* of one variable: a file of that length can double one again and again */
#define DEPTH_MAX 16

struct shellvars {
	struct map vars; /* struct strv * */
};
struct parser {
	struct shellvars *v;
	const char *name, *start, *at, *end;
	int depth;
};

static void value_free(void *p)
{
	strv_free(p);
	free(p);
}

struct shellvars *shellvars_new(void)
{
	struct shellvars *v = xcalloc(1, sizeof(*v));

	v->vars.free_value = value_free;
	return v;
}

void shellvars_free(struct shellvars *v)
{
	if (v)
		map_free(&v->vars);
	free(v);
}

const struct strv *shellvars_list(const struct shellvars *v, const char *name)
{
	return map_get(&v->vars, name);
}

const char *shellvars_get(const struct shellvars *v, const char *name)
{
	const struct strv *l = shellvars_list(v, name);

	return !l ? NULL : l->len ? l->v[0] : "";
}

void shellvars_names(const struct shellvars *v, struct strv *ret)
{
	MAP_FOR(&v->vars, it)
		strv_add(ret, it->key);
}

void shellvars_set_list(struct shellvars *v, const char *name, const struct strv *values)
{
	struct strv *l = xcalloc(1, sizeof(*l));

	for (size_t i = 0; i < values->len; i++)
		strv_add(l, values->v[i]);
	map_set(&v->vars, name, l);
}

void shellvars_set(struct shellvars *v, const char *name, const char *value)
{
	struct strv *l = xcalloc(1, sizeof(*l));

	strv_add(l, value);
	map_set(&v->vars, name, l);
}

/* -1 with FILE:LINE:COLUMN of `at`. */
__attribute__((format(printf, 4, 5))) static int fail(const struct parser *p, const char *at, struct error **err, const char *fmt, ...)
{
	int line = 1, col = 1;
	_cleanup_free_ char *what = NULL;
	va_list ap;

	for (const char *s = p->start; s < at; s++) {
		if (*s == '\n') {
			line++;
			col = 1;
		} else {
			col += ((unsigned char)*s & 0xc0) != 0x80;
		}
	}
	va_start(ap, fmt);
	what = xvasprintf(fmt, ap);
	va_end(ap);
	return error_set(err, ERR_USAGE, "%s:%d:%d: %s", p->name, line, col, what);
}

static int peek(const struct parser *p)
{
	return p->at < p->end ? (unsigned char)*p->at : -1;
}

static bool name_start(int c)
{
	return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static size_t name_length(const char *s, const char *end)
{
	size_t n = 0;

	while (s + n < end && (name_start((unsigned char)s[n]) || (n && isdigit((unsigned char)s[n]))))
		n++;
	return n;
}

static void skip_comment(struct parser *p)
{
	while (p->at < p->end && *p->at != '\n')
		p->at++;
}

/* Blanks, backslash-newlines; with lines: new lines and comments too. */
static void skip_blanks(struct parser *p, bool lines)
{
	for (;;) {
		if (peek(p) == ' ' || peek(p) == '\t' || peek(p) == '\r' || (lines && peek(p) == '\n'))
			p->at++;
		else if (peek(p) == '\\' && p->at + 1 < p->end && p->at[1] == '\n')
			p->at += 2;
		else if (peek(p) == '#' && lines)
			skip_comment(p);
		else
			return;
	}
}

static const struct strv *lookup(struct parser *p, const char *name, struct strv *scratch)
{
	const struct strv *l = shellvars_list(p->v, name);
	const char *env = l ? NULL : getenv(name);

	if (env) {
		strv_add(scratch, env);
		return scratch;
	}
	return l;
}

static int read_word(struct parser *p, const char *stop, struct buf *b, bool *any, struct error **err);

/* What stands behind ":-" or "-" in ${NAME:-word}, up to the brace. */
static int read_default(struct parser *p, bool use, struct buf *b, struct error **err)
{
	_cleanup_buf_ struct buf value = BUF_INIT;
	bool any = false;

	if (++p->depth > DEPTH_MAX)
		return fail(p, p->at, err, "too many braces within braces");
	if (read_word(p, "}", &value, &any, err) < 0)
		return -1;
	p->depth--;
	if (use)
		buf_adds(b, buf_str(&value));
	return 0;
}

/* The name and what follows it in ${...}; ends behind the brace. */
static int read_braces(struct parser *p, const char *dollar, struct buf *b, struct error **err)
{
	size_t n = name_length(p->at, p->end);
	_cleanup_free_ char *name = xstrndup(p->at, n);
	_cleanup_strv_ struct strv scratch = STRV_INIT;
	const struct strv *l = lookup(p, name, &scratch);
	bool colon, used = false;

	if (!n)
		return fail(p, dollar, err, "only ${NAME}, ${NAME:-word} and \"${NAME[@]}\" are understood");
	p->at += n;
	colon = peek(p) == ':';
	if (p->at + colon < p->end && p->at[colon] == '-') {
		p->at += colon + 1;
		used = !l || (colon && (!l->len || !l->v[0][0]));
		if (read_default(p, used, b, err) < 0)
			return -1;
	} else if (!l) {
		return fail(p, dollar, err, "the variable %s is not set", name);
	}
	if (peek(p) != '}')
		return fail(p, dollar, err, "only ${NAME}, ${NAME:-word} and \"${NAME[@]}\" are understood");
	p->at++;
	if (!used && l->len)
		buf_adds(b, l->v[0]);
	return 0;
}

/* At a '$'. */
static int read_dollar(struct parser *p, struct buf *b, struct error **err)
{
	const char *dollar = p->at++;
	size_t n = name_length(p->at, p->end);

	if (peek(p) == '{') {
		p->at++;
		return read_braces(p, dollar, b, err);
	}
	if (n) {
		_cleanup_free_ char *name = xstrndup(p->at, n);
		_cleanup_strv_ struct strv scratch = STRV_INIT;
		const struct strv *l = lookup(p, name, &scratch);

		if (!l)
			return fail(p, dollar, err, "the variable %s is not set", name);
		p->at += n;
		if (l->len)
			buf_adds(b, l->v[0]);
		return 0;
	}
	if (peek(p) == '(')
		return fail(p, dollar, err, "$(...) is not executed here; write what it gives");
	if (peek(p) >= 0 && strchr("@*#?$!-0123456789", peek(p)))
		return fail(p, dollar, err, "$%c has no meaning here", peek(p));
	buf_addc(b, '$');
	return 0;
}

static int read_double(struct parser *p, struct buf *b, struct error **err)
{
	const char *open = p->at++;

	while (peek(p) != '"') {
		if (p->at == p->end)
			return fail(p, open, err, "the closing \" is missing");
		if (*p->at == '`')
			return fail(p, p->at, err, "`...` is not executed here; write what it gives");
		if (*p->at == '$') {
			if (read_dollar(p, b, err) < 0)
				return -1;
		} else if (*p->at == '\\' && p->at + 1 < p->end && strchr("$`\"\\\n", p->at[1])) {
			if (p->at[1] != '\n')
				buf_addc(b, p->at[1]);
			p->at += 2;
		} else {
			buf_addc(b, *p->at++);
		}
	}
	p->at++;
	return 0;
}

static int read_single(struct parser *p, struct buf *b, struct error **err)
{
	const char *open = p->at++, *close = memchr(p->at, '\'', (size_t)(p->end - p->at));

	if (!close)
		return fail(p, open, err, "the closing ' is missing");
	buf_add(b, p->at, (size_t)(close - p->at));
	p->at = close + 1;
	return 0;
}

/* $'...': escapes of C (bash(1), QUOTING). */
static int read_ansi(struct parser *p, struct buf *b, struct error **err)
{
	static const char from[] = "abeEfnrtv\\'\"?", to[] = "\a\b\033\033\f\n\r\t\v\\'\"?";
	const char *open = p->at;

	for (p->at += 2; peek(p) != '\'';) {
		const char *found;
		int value = 0, digits = 0;

		if (p->at == p->end)
			return fail(p, open, err, "the closing ' is missing");
		if (*p->at != '\\') {
			buf_addc(b, *p->at++);
			continue;
		}
		p->at++;
		found = peek(p) > 0 ? strchr(from, peek(p)) : NULL;
		if (found) {
			buf_addc(b, to[found - from]);
			p->at++;
			continue;
		}
		if (peek(p) == 'x') {
			for (p->at++; digits < 2 && peek(p) >= 0 && isxdigit(peek(p)); digits++, p->at++)
				value = value * 16 + (isdigit(peek(p)) ? *p->at - '0' : tolower(*p->at) - 'a' + 10);
		} else {
			for (; digits < 3 && peek(p) >= '0' && peek(p) <= '7'; digits++, p->at++)
				value = (value * 8 + *p->at - '0') & 0xff;
		}
		if (!digits || !value)
			return fail(p, p->at, err, "this backslash is not understood in $'...'");
		buf_addc(b, (char)value);
	}
	p->at++;
	return 0;
}

/* One unquoted character. 0: it is part of the word, 1: the word ends here. */
static int read_plain(struct parser *p, const char *stop, struct buf *b, struct error **err)
{
	int c = peek(p);

	if (c < 0 || strchr(" \t\r\n", c) || strchr(stop, c))
		return 1;
	if (c == ';' && *stop != '}')
		return 1;
	if (c == '`')
		return fail(p, p->at, err, "`...` is not executed here; write what it gives");
	if (strchr("|&<>();", c))
		return fail(p, p->at, err, "'%c' has no meaning here; only assignments are read, nothing is executed", c);
	if (c == '\\') {
		if (p->at + 1 == p->end)
			return fail(p, p->at, err, "nothing follows the backslash");
		if (p->at[1] != '\n')
			buf_addc(b, p->at[1]);
		p->at += 2;
		return 0;
	}
	buf_addc(b, *p->at++);
	return 0;
}

/* ~ and ~/ at the start of a word. */
static int read_tilde(struct parser *p, struct buf *b, struct error **err)
{
	_cleanup_strv_ struct strv scratch = STRV_INIT;
	const struct strv *home;

	if (peek(p) != '~' || (p->at + 1 < p->end && !strchr("/ \t\r\n;)", p->at[1])))
		return 0;
	home = lookup(p, "HOME", &scratch);
	if (!home || !home->len)
		return fail(p, p->at, err, "~: HOME is not set");
	buf_adds(b, home->v[0]);
	p->at++;
	return 0;
}

/* One word up to a blank or a byte of `stop`. *any: quotes or characters were there, so that even an empty word is one. */
static int read_word(struct parser *p, const char *stop, struct buf *b, bool *any, struct error **err)
{
	const char *start = p->at;
	int rc = read_tilde(p, b, err);

	while (rc == 0) {
		if (peek(p) == '"')
			rc = read_double(p, b, err);
		else if (peek(p) == '\'')
			rc = read_single(p, b, err);
		else if (peek(p) == '$' && p->at + 1 < p->end && p->at[1] == '\'')
			rc = read_ansi(p, b, err);
		else if (peek(p) == '$')
			rc = read_dollar(p, b, err);
		else
			rc = read_plain(p, stop, b, err);
		if (rc == 0 && b->len > VALUE_MAX)
			return fail(p, start, err, "a value longer than 1 MiB");
	}
	*any = p->at > start;
	return rc < 0 ? -1 : 0;
}

/* "${NAME[@]}" as a word of its own: all values of NAME. 1: it was one. */
static int read_spread(struct parser *p, struct strv *ret, struct error **err)
{
	const char *open = p->at, *name = p->at + 3;
	size_t n = p->end - open > 8 && !memcmp(open, "\"${", 3) ? name_length(name, p->end) : 0;
	_cleanup_strv_ struct strv scratch = STRV_INIT;
	_cleanup_free_ char *word = xstrndup(n ? name : "", n);
	const struct strv *l;

	if (!n || p->end - name - n < 5 || memcmp(name + n, "[@]}\"", 5))
		return 0;
	l = lookup(p, word, &scratch);
	if (!l)
		return fail(p, open, err, "the variable %s is not set", word);
	if (ret->len + l->len > WORDS_MAX)
		return fail(p, open, err, "more than %d words", WORDS_MAX);
	for (size_t i = 0, count = l->len; i < count; i++)
		strv_add(ret, l->v[i]);
	p->at = name + n + 5;
	return 1;
}

/* An unquoted $NAME whose value has blanks would be several words to a shell. */
static bool splits(const char *from, const char *to, const char *value)
{
	return strpbrk(value, " \t\n") && from < to && memchr(from, '$', (size_t)(to - from)) &&
		!memchr(from, '"', (size_t)(to - from)) && !memchr(from, '\'', (size_t)(to - from));
}

/* Words up to `close`, ')' or -1: the end of the text. */
static int read_words(struct parser *p, int close, struct strv *ret, struct error **err)
{
	const char *open = p->at - (close > 0);

	for (;;) {
		_cleanup_buf_ struct buf b = BUF_INIT;
		const char *start;
		bool any = false;
		int spread;

		skip_blanks(p, true);
		start = p->at;
		if (peek(p) == close && p->at <= p->end) {
			p->at += close > 0;
			return 0;
		}
		if (p->at == p->end)
			return fail(p, open, err, "the closing ) is missing");
		spread = read_spread(p, ret, err);
		if (spread < 0 || (!spread && read_word(p, close > 0 ? ")" : "", &b, &any, err) < 0))
			return -1;
		if (spread)
			continue;
		if (!any)
			return fail(p, p->at, err, "'%c' has no meaning here; only assignments are read, nothing is executed", *p->at);
		if (splits(start, p->at, buf_str(&b)))
			return fail(p, start, err, "a value with blanks: write it in double quotes");
		if (ret->len == WORDS_MAX)
			return fail(p, start, err, "more than %d words", WORDS_MAX);
		strv_add(ret, buf_str(&b));
	}
}

static void assign(struct parser *p, const char *name, bool append, bool array, struct strv *values)
{
	_cleanup_strv_ struct strv all = STRV_INIT;
	const struct strv *old = append ? shellvars_list(p->v, name) : NULL;

	for (size_t i = 0; old && i < old->len; i++)
		strv_add(&all, old->v[i]);
	for (size_t i = 0; i < values->len; i++) {
		if (!array && all.len) {
			char *joined = xasprintf("%s%s", all.v[0], values->v[0]);

			free(all.v[0]);
			all.v[0] = joined;
		} else {
			strv_add(&all, values->v[i]);
		}
	}
	shellvars_set_list(p->v, name, &all);
}

static int read_assignment(struct parser *p, struct error **err)
{
	_cleanup_strv_ struct strv values = STRV_INIT;
	_cleanup_buf_ struct buf b = BUF_INIT;
	const char *start = p->at;
	size_t n = name_length(start, p->end);
	_cleanup_free_ char *name = xstrndup(start, n);
	bool append, array, any;
	const struct strv *old;

	p->at += n;
	append = n && p->at + 1 < p->end && p->at[0] == '+' && p->at[1] == '=';
	p->at += append;
	if (!n || peek(p) != '=')
		return fail(p, start, err, "only assignments NAME=value are read here, nothing is executed");
	p->at++;
	array = peek(p) == '(';
	if (array) {
		p->at++;
		if (read_words(p, ')', &values, err) < 0)
			return -1;
	} else {
		if (read_word(p, "", &b, &any, err) < 0)
			return -1;
		strv_add(&values, buf_str(&b));
	}
	old = append ? shellvars_list(p->v, name) : NULL;
	if (old && ((array && old->len + values.len > WORDS_MAX) || (!array && old->len && strlen(old->v[0]) + b.len > VALUE_MAX)))
		return fail(p, start, err, "%s grows too long", name);
	assign(p, name, append, array, &values);
	return 0;
}

static bool take_word(struct parser *p, const char *word)
{
	size_t n = strlen(word);

	if ((size_t)(p->end - p->at) <= n || memcmp(p->at, word, n) || (p->at[n] != ' ' && p->at[n] != '\t'))
		return false;
	p->at += n;
	skip_blanks(p, false);
	return true;
}

static int read_file(struct parser *p, struct error **err)
{
	for (;;) {
		skip_blanks(p, true);
		if (p->at == p->end)
			return 0;
		if (!take_word(p, "export") && !take_word(p, "readonly"))
			take_word(p, "declare");
		if (read_assignment(p, err) < 0)
			return -1;
		skip_blanks(p, false);
		if (peek(p) == '#')
			skip_comment(p);
		if (peek(p) == ';')
			p->at++;
		else if (peek(p) >= 0 && peek(p) != '\n' && !name_start(peek(p)))
			return fail(p, p->at, err, "'%c' has no meaning here; only assignments are read, nothing is executed", *p->at);
	}
}

static int check_text(const struct parser *p, struct error **err)
{
	const char *nul = memchr(p->start, '\0', (size_t)(p->end - p->start));

	if (p->end - p->start > FILE_MAX)
		return error_set(err, ERR_USAGE, "%s: larger than 1 MiB", p->name);
	return nul ? fail(p, nul, err, "a NUL byte: this is no text") : 0;
}

static void copy_vars(const struct shellvars *from, struct shellvars *to)
{
	MAP_FOR(&from->vars, it)
		shellvars_set_list(to, it->key, it->value);
}

int shellvars_parse(struct shellvars *v, const char *name, const char *text, size_t len, struct error **err)
{
	_cleanup_shellvars_ struct shellvars *next = shellvars_new();
	struct parser p = { .v = next, .name = name, .start = text, .at = text, .end = text + len };
	struct map old;

	copy_vars(v, next);
	if (check_text(&p, err) < 0 || read_file(&p, err) < 0)
		return -1;
	old = v->vars;
	v->vars = next->vars;
	next->vars = old;
	return 0;
}

int shellvars_read(struct shellvars *v, const char *path, struct error **err)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (file_read(path, FILE_MAX, &b, err) < 0)
		return -1;
	return shellvars_parse(v, path, buf_str(&b), b.len, err);
}

int shellvars_words(struct shellvars *v, const char *name, const char *text, size_t len, struct strv *ret, struct error **err)
{
	struct parser p = { .v = v, .name = name, .start = text, .at = text, .end = text + len };

	return check_text(&p, err) < 0 ? -1 : read_words(&p, -1, ret, err);
}
