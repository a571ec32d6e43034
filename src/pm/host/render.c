/* SPDX-License-Identifier: Apache-2.0 */
/* Templates of systems.c with values in them, each quoted as its format wants it. */
#include "host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct text {
	char *data;
	size_t len, cap;
	bool failed;
};

static void add(struct text *t, const char *s, size_t n)
{
	if (t->len + n + 1 > t->cap) {
		size_t cap = 2 * (t->len + n + 1);
		char *data = t->failed ? NULL : realloc(t->data, cap);

		if (!data) {
			t->failed = true;
			return;
		}
		t->data = data;
		t->cap = cap;
	}
	memcpy(t->data + t->len, s, n);
	t->len += n;
	t->data[t->len] = '\0';
}

static void adds(struct text *t, const char *s)
{
	add(t, s, strlen(s));
}

static void quote_sh(struct text *t, const char *s)
{
	adds(t, "'");
	for (; *s; s++) {
		if (*s == '\'')
			adds(t, "'\\''");
		else
			add(t, s, 1);
	}
	adds(t, "'");
}

/* systemd: % starts a specifier everywhere, $ a variable in command lines. */
static void quote_unit(struct text *t, const char *s, bool command)
{
	adds(t, "\"");
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			adds(t, "\\");
		add(t, s, 1);
		if (*s == '%' || (*s == '$' && command))
			add(t, s, 1);
	}
	adds(t, "\"");
}

static void quote_xml(struct text *t, const char *s)
{
	for (; *s; s++) {
		switch (*s) {
		case '&':
			adds(t, "&amp;");
			break;
		case '<':
			adds(t, "&lt;");
			break;
		case '>':
			adds(t, "&gt;");
			break;
		default:
			add(t, s, 1);
		}
	}
}

static void quote(struct text *t, enum host_style style, const char *s, bool command)
{
	if (style == STYLE_SH)
		quote_sh(t, s);
	else if (style == STYLE_UNIT)
		quote_unit(t, s, command);
	else if (style == STYLE_XML)
		quote_xml(t, s);
	else
		adds(t, s);
}

/* From the first-th word of pm's command line on. */
static void arguments(struct text *t, enum host_style style, const struct host_values *v, int first)
{
	const char *argv[] = { v->program, "main", v->init_stream ? "--init-stream" : NULL, v->init_stream };

	for (int i = first; i < 4 && argv[i]; i++) {
		if (style == STYLE_XML)
			adds(t, "\t\t<string>");
		else if (i > first)
			adds(t, " ");
		quote(t, style, argv[i], true);
		if (style == STYLE_XML)
			adds(t, "</string>\n");
	}
}

/* A line of shell that a shell reads once more (OpenRC evaluates its variables): quoted twice. */
static void twice(struct text *t, const struct text *inner)
{
	quote_sh(t, inner->data ? inner->data : "");
}

static bool is(const char *name, size_t n, const char *want)
{
	return strlen(want) == n && strncmp(name, want, n) == 0;
}

/* false: no such placeholder. */
static bool place(struct text *t, const char *name, size_t n, enum host_style style, const struct host_values *v)
{
	struct text inner = { 0 };

	if (is(name, n, "args")) {
		arguments(t, style, v, 0);
	} else if (is(name, n, "rest")) {
		arguments(&inner, style, v, 1);
		twice(t, &inner);
	} else if (is(name, n, "program")) {
		quote(t, style, v->program, true);
	} else if (is(name, n, "home")) {
		quote(t, style, v->home, false);
	} else if (is(name, n, "PMHOME=home")) {
		adds(&inner, "PMHOME=");
		adds(&inner, v->home);
		quote(t, style, inner.data ? inner.data : "", false);
	} else if (is(name, n, "--env PMHOME=home")) {
		struct text word = { 0 };

		adds(&word, "PMHOME=");
		adds(&word, v->home);
		adds(&inner, "--env ");
		quote_sh(&inner, word.data ? word.data : "");
		twice(t, &inner);
		free(word.data);
	} else if (is(name, n, "log") && style == STYLE_UNIT) {
		for (const char *s = v->log; *s; s++) { /* the rest of the line, without quotes */
			add(t, s, 1);
			if (*s == '%')
				add(t, s, 1);
		}
	} else if (is(name, n, "log")) {
		quote(t, style, v->log, false);
	} else if (is(name, n, "log-or-null")) {
		quote(t, style, v->log ? v->log : "/dev/null", false);
	} else if (is(name, n, "target")) {
		adds(t, v->user ? "default.target" : "multi-user.target");
	} else {
		return false;
	}
	t->failed |= inner.failed;
	free(inner.data);
	return true;
}

static int check(const char *what, const char *s, char why[HOST_WHY])
{
	for (const unsigned char *c = (const unsigned char *)(s ? s : ""); *c; c++)
		if (*c < ' ' || *c == 127) {
			snprintf(why, HOST_WHY, "%s: a control character in it can't be written to a service file", what);
			return -1;
		}
	return 0;
}

char *host_render(const char *template, enum host_style style, const struct host_values *v, char why[HOST_WHY])
{
	struct text t = { 0 };

	if (check("the program's path", v->program, why) < 0 || check("--init-stream", v->init_stream, why) < 0 ||
		check("--stdout", v->log, why) < 0 || check("--home", v->home, why) < 0)
		return NULL;
	for (const char *line = template; *line;) {
		const char *end = line + strcspn(line, "\n");

		if (*line == '?') {
			if (strncmp(line, "?log ", 5) == 0 ? !v->log : !v->home) {
				line = end + 1;
				continue;
			}
			line = strchr(line, ' ') + 1;
		}
		while (line < end) {
			const char *at = memchr(line, '@', (size_t)(end - line));
			const char *to = at ? memchr(at + 1, '@', (size_t)(end - at - 1)) : NULL;

			if (!to) {
				add(&t, line, (size_t)(end - line));
				break;
			}
			add(&t, line, (size_t)(at - line));
			line = to + 1;
			if (!place(&t, at + 1, (size_t)(to - at - 1), style, v)) {
				adds(&t, "@"); /* the shell's, not ours */
				line = at + 1;
			}
		}
		/* The words of a property list bring their own line ends. */
		if (!(style == STYLE_XML && t.len && t.data[t.len - 1] == '\n'))
			adds(&t, "\n");
		line = end + 1;
	}
	if (!t.failed)
		return t.data;
	free(t.data);
	snprintf(why, HOST_WHY, "out of memory");
	return NULL;
}
