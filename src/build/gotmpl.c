/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An action is read by recursive descent and evaluated as it is read; branches that are not taken are read with `quiet` set, so that
 * a mistake in them is found all the same, but nothing is called.
 */
#include "build/gotmpl.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/units.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdint.h>
#include <string.h>

#define DEPTH_MAX 32

enum kind { K_TEXT, K_NUMBER, K_BOOL };
struct value {
	enum kind kind;
	char *text; /* K_TEXT */
	int64_t n;
};

struct run {
	const struct tmpl *t;
	const char *text, *p;
	bool quiet;
	int depth;
	struct error **err;
};

static void value_clear(struct value *v)
{
	free(STEAL(v->text));
}
#define _cleanup_value_ _cleanup_(value_clear)

static size_t column_of(const struct run *r)
{
	size_t column = 1;

	for (const char *s = r->text; s < r->p; s++)
		column += ((unsigned char)*s & 0xc0) != 0x80;
	return column;
}

static int fail(struct run *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int fail(struct run *r, const char *fmt, ...)
{
	_cleanup_free_ char *msg = NULL;
	va_list ap;

	va_start(ap, fmt);
	msg = xvasprintf(fmt, ap);
	va_end(ap);
	return error_set(r->err, ERR_USAGE, "character %zu of the value: %s", column_of(r), msg);
}

static char *to_text(const struct value *v)
{
	if (v->kind == K_TEXT)
		return xstrdup(v->text ? v->text : "");
	return v->kind == K_NUMBER ? xasprintf("%" PRId64, v->n) : xstrdup(v->n ? "true" : "false");
}

static bool truth(const struct value *v)
{
	return v->kind == K_TEXT ? v->text && *v->text : v->n != 0;
}

static void blanks(struct run *r)
{
	while (*r->p && strchr(" \t\r\n", *r->p))
		r->p++;
}

/* Where the action ends: at }} or at -}} behind a blank. */
static bool at_end(struct run *r)
{
	return !strncmp(r->p, "}}", 2) || (!strncmp(r->p, "-}}", 3) && r->p > r->text && strchr(" \t\r\n", r->p[-1]));
}

static bool word_char(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

/* ---- literals ---- */

static int escape(struct run *r, struct buf *b)
{
	static const char from[] = "abfnrtv\\'\"", to[] = "\a\b\f\n\r\t\v\\'\"";
	const char *at = *r->p ? strchr(from, *r->p) : NULL;
	unsigned v = 0;
	int n = 0;

	if (at) {
		buf_addc(b, to[at - from]);
		r->p++;
		return 0;
	}
	if (*r->p == 'x' && sscanf(r->p + 1, "%2x%n", &v, &n) == 1 && n == 2) {
		buf_addc(b, (char)v);
		r->p += 3;
		return 0;
	}
	if (*r->p == 'u' && sscanf(r->p + 1, "%4x%n", &v, &n) == 1 && n == 4) {
		if (v < 0x80) {
			buf_addc(b, (char)v);
		} else if (v < 0x800) {
			buf_addc(b, (char)(0xc0 | v >> 6));
			buf_addc(b, (char)(0x80 | (v & 0x3f)));
		} else {
			buf_addc(b, (char)(0xe0 | v >> 12));
			buf_addc(b, (char)(0x80 | (v >> 6 & 0x3f)));
			buf_addc(b, (char)(0x80 | (v & 0x3f)));
		}
		r->p += 5;
		return 0;
	}
	return fail(r, "\\%c is no escape of Go's strings", *r->p ? *r->p : ' ');
}

static int string(struct run *r, struct value *ret)
{
	char quote = *r->p++;
	_cleanup_buf_ struct buf b = BUF_INIT;

	while (*r->p && *r->p != quote && !(quote == '"' && *r->p == '\n')) {
		if (quote == '"' && *r->p == '\\') {
			r->p++;
			if (escape(r, &b) < 0)
				return -1;
			continue;
		}
		buf_addc(&b, *r->p++);
	}
	if (*r->p != quote)
		return fail(r, "the string that begins with %c does not end", quote);
	r->p++;
	buf_str(&b);
	*ret = (struct value){ .kind = K_TEXT, .text = buf_steal(&b) };
	return 0;
}

/* ---- functions ---- */

struct args {
	struct value *v;
	size_t len;
};

static void args_clear(struct args *a)
{
	for (size_t i = 0; i < a->len; i++)
		value_clear(&a->v[i]);
	free(a->v);
}
#define _cleanup_args_ _cleanup_(args_clear)

static void quoted(struct buf *b, const char *s)
{
	buf_addc(b, '"');
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			buf_addc(b, '\\');
		if (*s == '\n')
			buf_adds(b, "\\n");
		else if (*s == '\t')
			buf_adds(b, "\\t");
		else
			buf_addc(b, *s);
	}
	buf_addc(b, '"');
}

/* One verb of printf: flags, width and precision as C has them. */
static int print_verb(struct run *r, struct buf *b, const char *spec, size_t n, const struct value *v)
{
	_cleanup_free_ char *text = to_text(v), *flags = xstrndup(spec, n - 1), *fmt = NULL;
	char verb = spec[n - 1];

	if (verb == 'v' || verb == 's') {
		int width = 0, precision = -1;
		const char *digits = flags + 1 + strspn(flags + 1, "-+ 0"), *dot = strchr(flags, '.');

		width = atoi(digits) * (strchr(flags, '-') ? -1 : 1);
		precision = dot ? atoi(dot + 1) : -1;
		buf_addf(b, "%*.*s", width, precision < 0 ? (int)strlen(text) : precision, text);
		return 0;
	}
	if (verb == 'q') {
		quoted(b, text);
		return 0;
	}
	if (verb == 't' && v->kind == K_BOOL) {
		buf_adds(b, text);
		return 0;
	}
	if (strchr("dxXo", verb) && v->kind == K_NUMBER) {
		char out[64];

		if (strlen(flags) > 8)
			return fail(r, "printf: '%s%c' is too long", flags, verb);
		fmt = xasprintf("%sl%c", flags, verb);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		/* Of flags only what the caller let through: '%', "-+ 0#", digits and a dot. */
		snprintf(out, sizeof out, fmt, (long)v->n);
#pragma GCC diagnostic pop
		buf_adds(b, out);
		return 0;
	}
	buf_addf(b, "%%!%c(%s=%s)", verb, v->kind == K_NUMBER ? "int" : v->kind == K_BOOL ? "bool" : "string", text);
	return 0;
}

static int builtin_printf(struct run *r, const struct args *a, struct value *ret)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	const char *s = a->len && a->v[0].kind == K_TEXT ? a->v[0].text : NULL;
	size_t next = 1;

	if (!s)
		return fail(r, "printf: its first argument is a format");
	while (*s) {
		size_t n = 1;

		if (*s != '%') {
			buf_addc(&b, *s++);
			continue;
		}
		n += strspn(s + n, "-+ 0#");
		n += strspn(s + n, "0123456789.");
		if (s[n] == '%') {
			buf_addc(&b, '%');
		} else if (!s[n]) {
			buf_adds(&b, "%!(NOVERB)");
			break;
		} else if (next >= a->len) {
			buf_addf(&b, "%%!%c(MISSING)", s[n]);
		} else if (print_verb(r, &b, s, n + 1, &a->v[next++]) < 0) {
			return -1;
		}
		s += n + 1;
	}
	buf_str(&b);
	*ret = (struct value){ .text = buf_steal(&b) };
	return 0;
}

static int builtin_print(const struct args *a, bool line, struct value *ret)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	for (size_t i = 0; i < a->len; i++) {
		_cleanup_free_ char *text = to_text(&a->v[i]);

		if (i && (line || (a->v[i].kind != K_TEXT && a->v[i - 1].kind != K_TEXT)))
			buf_addc(&b, ' ');
		buf_adds(&b, text);
	}
	if (line)
		buf_addc(&b, '\n');
	buf_str(&b);
	*ret = (struct value){ .text = buf_steal(&b) };
	return 0;
}

static struct value copy(const struct value *v)
{
	return (struct value){ .kind = v->kind, .text = xstrdup(v->text), .n = v->n };
}

static int builtin_eq(struct run *r, const char *name, const struct args *a, struct value *ret)
{
	bool found = false;

	if (a->len < 2)
		return fail(r, "%s: it compares two values", name);
	for (size_t i = 1; i < a->len; i++) {
		if (a->v[0].kind != a->v[i].kind)
			return fail(r, "%s: the values are of different types (a variable is a string)", name);
		found = found || (a->v[0].kind == K_TEXT ? !strcmp(a->v[0].text, a->v[i].text) : a->v[0].n == a->v[i].n);
	}
	*ret = (struct value){ .kind = K_BOOL, .n = name[0] == 'e' ? found : !found };
	return 0;
}

static int builtin_logic(struct run *r, const char *name, const struct args *a, struct value *ret)
{
	size_t i = 0;

	if (!a->len)
		return fail(r, "%s: an argument is missing", name);
	if (!strcmp(name, "not")) {
		*ret = (struct value){ .kind = K_BOOL, .n = !truth(&a->v[0]) };
		return 0;
	}
	while (i + 1 < a->len && truth(&a->v[i]) == (name[0] == 'a'))
		i++;
	*ret = copy(&a->v[i]);
	return 0;
}

/* 1: no built-in function. */
static int builtin(struct run *r, const char *name, const struct args *a, struct value *ret)
{
	if (!strcmp(name, "printf"))
		return builtin_printf(r, a, ret);
	if (!strcmp(name, "print") || !strcmp(name, "println"))
		return builtin_print(a, name[5] != '\0', ret);
	if (!strcmp(name, "eq") || !strcmp(name, "ne"))
		return builtin_eq(r, name, a, ret);
	if (!strcmp(name, "and") || !strcmp(name, "or") || !strcmp(name, "not"))
		return builtin_logic(r, name, a, ret);
	if (!strcmp(name, "len")) {
		if (a->len != 1 || a->v[0].kind != K_TEXT)
			return fail(r, "len: one string is wanted");
		*ret = (struct value){ .kind = K_NUMBER, .n = (int64_t)strlen(a->v[0].text) };
		return 0;
	}
	return 1;
}

static bool is_builtin(const char *name)
{
	static const char *const names[] = { "printf", "print", "println", "eq", "ne", "and", "or", "not", "len" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(names[i], name))
			return true;
	return false;
}

static int call(struct run *r, const char *name, const struct args *a, struct value *ret)
{
	static const char *const go[] = { "range", "with", "define", "template", "block", "break", "continue", "index", "slice", "html", "js",
		"urlquery", "lt", "le", "gt", "ge", "call" };
	_cleanup_strv_ struct strv texts = STRV_INIT;
	int rc;

	*ret = (struct value){ .text = NULL };
	if (r->quiet && is_builtin(name)) {
		ret->text = xstrdup("");
		return 0;
	}
	rc = builtin(r, name, a, ret);
	if (rc <= 0)
		return rc;
	for (size_t i = 0; i < a->len; i++)
		strv_take(&texts, to_text(&a->v[i]));
	rc = r->t->func ? r->t->func(r->t->arg, name, &texts, &ret->text, r->err) : 1;
	if (rc == 0)
		return 0;
	if (rc < 0) {
		error_wrap(r->err, "character %zu of the value: {{%s}}", column_of(r), name);
		return -1;
	}
	for (size_t i = 0; i < ARRAY_SIZE(go); i++)
		if (!strcmp(go[i], name))
			return fail(r, "'%s' of Go's templates is not known to croft", name);
	return fail(r, "there is no function '%s'", name);
}

/* ---- expressions ---- */

static int pipeline(struct run *r, struct value *ret);

static int field(struct run *r, struct value *ret)
{
	const char *start = ++r->p, *s;
	_cleanup_free_ char *name = NULL;
	_cleanup_strv_ struct strv known = STRV_INIT;

	while (word_char(*r->p) || (*r->p == '.' && word_char(r->p[1])))
		r->p++;
	name = xstrndup(start, (size_t)(r->p - start));
	s = r->t->fields ? map_get(r->t->fields, name) : NULL;
	if (s) {
		*ret = (struct value){ .text = xstrdup(s) };
		return 0;
	}
	r->p = start - 1;
	if (!r->t->fields || !r->t->fields->len)
		return fail(r, ".%s means nothing here; did you mean {{user `%s`}}?", name, name);
	MAP_FOR(r->t->fields, it)
		strv_addf(&known, ".%s", it->key);
	{
		_cleanup_free_ char *all = strv_join(&known, " "), *dotted = xasprintf(".%s", name);
		const char *near = nearest_name(dotted, (const char *const *)known.v, known.len);

		fail(r, ".%s is not known here; known are %s", name, all);
		return near ? error_hint(r->err, "did you mean %s?", near) : -1;
	}
}

/* One operand. *word: a function's name instead. */
static int operand(struct run *r, struct value *ret, char **word)
{
	const char *start = r->p;

	*ret = (struct value){ .text = NULL };
	if (*r->p == '"' || *r->p == '`')
		return string(r, ret);
	if (*r->p == '.')
		return field(r, ret);
	if (*r->p == '(') {
		r->p++;
		if (++r->depth > DEPTH_MAX)
			return fail(r, "nested more than %d deep", DEPTH_MAX);
		if (pipeline(r, ret) < 0)
			return -1;
		r->depth--;
		blanks(r);
		if (*r->p != ')')
			return fail(r, "a ) is missing");
		r->p++;
		return 0;
	}
	if (isdigit((unsigned char)*r->p) || (*r->p == '-' && isdigit((unsigned char)r->p[1]))) {
		char *end;

		*ret = (struct value){ .kind = K_NUMBER, .n = strtoll(r->p, &end, 0) };
		r->p = end;
		return word_char(*end) || *end == '.' ? fail(r, "only whole numbers are known") : 0;
	}
	while (word_char(*r->p))
		r->p++;
	if (r->p == start)
		return fail(r, "'%.*s' is not understood", (unsigned char)*start >= 0x80 ? 4 : 1, start);
	*word = xstrndup(start, (size_t)(r->p - start));
	if (!strcmp(*word, "true") || !strcmp(*word, "false")) {
		*ret = (struct value){ .kind = K_BOOL, .n = **word == 't' };
		free(STEAL(*word));
	}
	return 0;
}

static void push(struct args *a, struct value v)
{
	a->v = xreallocarray(a->v, a->len + 1, sizeof(*a->v));
	a->v[a->len++] = v;
}

/* A value, or a function with arguments; `piped` (may be NULL) becomes its last one. */
static int command(struct run *r, struct value *piped, struct value *ret)
{
	_cleanup_free_ char *name = NULL;
	_cleanup_args_ struct args a = { 0 };

	blanks(r);
	if (operand(r, ret, &name) < 0)
		return -1;
	if (!name)
		return piped ? fail(r, "a value cannot take what is piped into it") : 0;
	for (blanks(r); *r->p && *r->p != '|' && *r->p != ')' && !at_end(r); blanks(r)) {
		_cleanup_free_ char *word = NULL;
		struct value v;

		if (operand(r, &v, &word) < 0) {
			value_clear(&v);
			return -1;
		}
		if (word && call(r, word, &(struct args){ 0 }, &v) < 0)
			return -1;
		push(&a, v);
	}
	if (piped)
		push(&a, (struct value){ .kind = piped->kind, .text = STEAL(piped->text), .n = piped->n });
	return call(r, name, &a, ret);
}

static int pipeline(struct run *r, struct value *ret)
{
	_cleanup_value_ struct value v = { 0 };

	if (command(r, NULL, &v) < 0)
		return -1;
	for (blanks(r); *r->p == '|'; blanks(r)) {
		struct value next = { 0 };

		r->p++;
		if (command(r, &v, &next) < 0) {
			value_clear(&next);
			return -1;
		}
		value_clear(&v);
		v = next;
	}
	*ret = (struct value){ .kind = v.kind, .text = STEAL(v.text), .n = v.n };
	return 0;
}

/* ---- text and control ---- */

static int body(struct run *r, struct buf *out, bool nested, char *stop);

/* Behind the action's last word: }} with its trim marker. */
static int close_action(struct run *r)
{
	blanks(r);
	if (!at_end(r))
		return fail(r, *r->p ? "'%.8s' is not understood; }} is missing" : "}} is missing%s", r->p);
	if (*r->p == '-') {
		r->p += 3;
		blanks(r);
	} else {
		r->p += 2;
	}
	return 0;
}

static bool keyword(struct run *r, const char *word)
{
	size_t n = strlen(word);

	if (strncmp(r->p, word, n) || word_char(r->p[n]))
		return false;
	r->p += n;
	return true;
}

/* From behind "if" to behind its end. taken: an earlier branch was. */
static int branches(struct run *r, struct buf *out, bool taken)
{
	_cleanup_value_ struct value v = { 0 };
	bool outer = r->quiet, go;
	char stop = 0;

	if (++r->depth > DEPTH_MAX)
		return fail(r, "nested more than %d deep", DEPTH_MAX);
	r->quiet = outer || taken;
	if (pipeline(r, &v) < 0 || close_action(r) < 0)
		return -1;
	go = !outer && !taken && truth(&v);
	r->quiet = !go;
	if (body(r, out, true, &stop) < 0)
		return -1;
	r->quiet = outer;
	r->depth--;
	if (stop == 'i') /* else if */
		return branches(r, out, taken || go);
	if (stop != 'e')
		return 0;
	r->quiet = outer || taken || go;
	stop = 0;
	if (body(r, out, true, &stop) < 0)
		return -1;
	r->quiet = outer;
	return stop == 'x' ? 0 : fail(r, "a second else");
}

/* From behind {{ to behind }}. *stop: 'x' end, 'e' else, 'i' else if, when nested. */
static int action(struct run *r, struct buf *out, bool nested, char *stop)
{
	_cleanup_value_ struct value v = { 0 };

	blanks(r);
	if (!strncmp(r->p, "/*", 2)) {
		const char *end = strstr(r->p, "*/");

		if (!end)
			return fail(r, "the comment does not end");
		r->p = end + 2;
		return close_action(r);
	}
	if (keyword(r, "if"))
		return branches(r, out, false);
	if (nested && keyword(r, "end")) {
		*stop = 'x';
		return close_action(r);
	}
	if (nested && keyword(r, "else")) {
		blanks(r);
		*stop = keyword(r, "if") ? 'i' : 'e';
		return *stop == 'i' ? 0 : close_action(r);
	}
	if (keyword(r, "end") || keyword(r, "else"))
		return fail(r, "an else or end without if");
	if (*r->p == '$')
		return fail(r, "variables of Go's templates ($name) are not known to croft");
	if (pipeline(r, &v) < 0 || close_action(r) < 0)
		return -1;
	if (!r->quiet) {
		_cleanup_free_ char *text = to_text(&v);

		buf_adds(out, text);
	}
	return 0;
}

/* Copies an action that is for later as it stands. False: it isn't one. */
static bool keep(struct run *r, struct buf *out)
{
	const char *open = r->p, *s = open + 2, *end;

	s += strspn(s, " \t");
	end = strstr(s, "}}");
	if (!r->t->keep_fields || *s != '.' || !end)
		return false;
	if (!r->quiet)
		buf_add(out, open, (size_t)(end + 2 - open));
	r->p = end + 2;
	return true;
}

static int body(struct run *r, struct buf *out, bool nested, char *stop)
{
	while (*r->p) {
		const char *open = strstr(r->p, "{{");
		size_t n = open ? (size_t)(open - r->p) : strlen(r->p);
		bool trim = open && open[2] == '-' && open[3] && strchr(" \t\r\n", open[3]);
		size_t kept = n;

		while (trim && kept && strchr(" \t\r\n", r->p[kept - 1]))
			kept--;
		if (!r->quiet)
			buf_add(out, r->p, kept);
		r->p += n;
		if (!open)
			break;
		if (keep(r, out))
			continue;
		r->p += trim ? 3 : 2;
		if (action(r, out, nested, stop) < 0)
			return -1;
		if (*stop)
			return 0;
	}
	return nested ? fail(r, "an {{end}} is missing") : 0;
}

int tmpl_expand(const struct tmpl *t, const char *text, char **ret, struct error **err)
{
	struct run r = { .t = t, .text = text, .p = text, .err = err };
	_cleanup_buf_ struct buf out = BUF_INIT;
	char stop = 0;

	if (body(&r, &out, false, &stop) < 0)
		return -1;
	buf_str(&out);
	*ret = buf_steal(&out);
	return 0;
}
