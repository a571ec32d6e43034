/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "pm/core.h"
#include "pm/dispatch/dispatch.h"
#include "pm/stream.h"

#include <stdlib.h>
#include <string.h>

#define PARAMETER_MAX (1 << 20)

void document_free(struct document *d)
{
	for (size_t i = 0; i < d->n; i++) {
		free(d->units[i].id);
		params_free(&d->units[i].params);
	}
	free(d->units);
	*d = (struct document){ 0 };
}

struct desired *document_find(const struct document *d, const char *id)
{
	for (size_t i = 0; i < d->n; i++)
		if (strcmp(d->units[i].id, id) == 0)
			return &d->units[i];
	return NULL;
}

static int assign(struct desired *u, const char *word, struct error **err)
{
	if (strcmp(word, "goal=up") == 0 || strcmp(word, "goal=down") == 0) {
		u->up = word[5] == 'u';
		return 0;
	}
	if (strncmp(word, "goal=", 5) == 0)
		return error_set(err, ERR_USAGE, "goal: '%s' is neither up nor down", word + 5);
	return params_assign(&u->params, word, err);
}

static int add_unit(struct document *d, const struct strv *words, struct error **err)
{
	struct desired *u;

	if (strcmp(words->v[0], "unit") != 0)
		return error_set(err, ERR_USAGE, "'%.40s': a line begins with 'unit', or goes on with a blank", words->v[0]);
	if (words->len < 2)
		return error_set(err, ERR_USAGE, "unit: no name");
	if (core_check_id(words->v[1], err) < 0)
		return -1;
	if (document_find(d, words->v[1]))
		return error_set(err, ERR_USAGE, "unit %s is there already", words->v[1]);
	if (d->n == d->cap) {
		d->cap = d->cap ? 2 * d->cap : 16;
		d->units = xreallocarray(d->units, d->cap, sizeof(*d->units));
	}
	u = &d->units[d->n++];
	*u = (struct desired){ .id = xstrdup(words->v[1]), .up = true };
	for (size_t i = 2; i < words->len; i++)
		if (assign(u, words->v[i], err) < 0)
			return error_wrap(err, "%s", u->id);
	return 0;
}

/* One logical line: with those that go on with it. */
static size_t logical(const char *text, size_t n, struct buf *line, unsigned *lines)
{
	size_t at = 0;

	buf_clear(line);
	do {
		const char *nl = memchr(text + at, '\n', n - at);
		size_t len = nl ? (size_t)(nl - text) - at : n - at;
		size_t blank = 0;

		/* A comment ends with its own line. */
		while (blank < len && (text[at + blank] == ' ' || text[at + blank] == '\t'))
			blank++;
		if (blank < len && text[at + blank] != '#') {
			buf_add(line, text + at, len);
			buf_addc(line, ' ');
		}
		at += len + (nl != NULL);
		++*lines;
	} while (at < n && (text[at] == ' ' || text[at] == '\t'));
	return at;
}

int document_parse(struct document *d, const char *text, size_t n, const char *what, struct error **err)
{
	_cleanup_buf_ struct buf line = BUF_INIT;
	unsigned number = 0;

	for (size_t at = 0; at < n;) {
		_cleanup_strv_ struct strv words = STRV_INIT;
		unsigned first = number + 1;

		at += logical(text + at, n - at, &line, &number);
		if (stream_split(buf_str(&line), line.len, &words, err) < 0 || (words.len && add_unit(d, &words, err) < 0))
			return error_wrap(err, "%s: line %u", what, first);
	}
	return 0;
}

static void format_unit(struct buf *b, const char *id, const struct params *ps)
{
	const char *k, *v;

	buf_adds(b, "unit ");
	stream_quote(b, id);
	for (uint32_t pos = 0; params_next(ps, &pos, &k, &v);) {
		_cleanup_free_ char *word = xasprintf("%s=%s", k, v);

		buf_addc(b, ' ');
		stream_quote(b, word);
	}
}

void document_format(const struct document *d, struct buf *b)
{
	for (size_t i = 0; i < d->n; i++) {
		format_unit(b, d->units[i].id, &d->units[i].params);
		buf_adds(b, d->units[i].up ? "\n" : " goal=down\n");
	}
}

void actual_free(struct actual *a)
{
	free(a->id);
	params_free(&a->params);
	*a = (struct actual){ 0 };
}

/* The last complete line of units/ID/state, as pm.h describes it. */
static void read_state(const char *path, struct actual *a)
{
	_cleanup_error_ struct error *e = NULL;
	_cleanup_buf_ struct buf text = BUF_INIT;
	_cleanup_strv_ struct strv f = STRV_INIT;
	char *end, *line;
	int state;

	if (file_read(path, PARAMETER_MAX, &text, &e) < 0 || !(end = strrchr(buf_str(&text), '\n')))
		return;
	*end = '\0';
	line = strrchr(text.data, '\n');
	strv_split(&f, line ? line + 1 : text.data, "\t");
	if (f.len < 3)
		return;
	a->up = strcmp(f.v[2], "up") == 0;
	state = pm_state_parse(f.v[1]);
	a->active = state > 0 && state != PM_STARTING_FAIL && state != PM_FAIL;
}

int actual_read(const char *home, const char *id, struct actual *a, struct error **err)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.@!=+-";
	_cleanup_buf_ struct buf dir = BUF_INIT, text = BUF_INIT;
	_cleanup_free_ char *parameter = NULL, *state = NULL;

	*a = (struct actual){ .id = xstrdup(id) };
	buf_addf(&dir, "%s/units/", home);
	for (const char *c = id; *c; c++) {
		if (strchr(plain, *c) && !(c == id && *c == '.'))
			buf_addc(&dir, *c);
		else
			buf_addf(&dir, "%%%02X", (unsigned char)*c);
	}
	parameter = xasprintf("%s/parameter", dir.data);
	state = xasprintf("%s/state", dir.data);
	if (!file_exists(parameter))
		return 0;
	if (file_read(parameter, PARAMETER_MAX, &text, err) < 0 || params_parse(buf_str(&text), text.len, &a->params, err) < 0)
		return -1;
	a->there = true;
	read_state(state, a);
	return 0;
}

/* Keys that a running process takes no notice of: pm alone uses them. */
static bool for_pm_alone(const char *key)
{
	static const char *const keys[] = { "title", "stop", "check", "check-every", "reload", "restart-pre", "needs", "binds-to",
		"after", "conflicts", "start-timeout", "stop-timeout", "wait-timeout", "stop-signal", "kill-mode", "success",
		"restart", "restart-delay", "restart-backoff", "restart-max-delay", "restart-limit", "restart-reset",
		"fail-keep", "log-size", "unit" };

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (strcmp(keys[i], key) == 0)
			return true;
	return false;
}

/* The values of a key in their order, one string. */
static void values(const struct params *ps, const char *key, struct buf *b)
{
	const char *k, *v;

	buf_clear(b);
	for (uint32_t pos = 0; params_next(ps, &pos, &k, &v);)
		if (strcmp(k, key) == 0)
			buf_add(b, v, strlen(v) + 1);
}

/* 0: the same; 1: differs in what pm alone uses; 2: in what its process sees. */
static int differs(const struct params *a, const struct params *b)
{
	const struct params *sides[2] = { a, b };
	_cleanup_buf_ struct buf x = BUF_INIT, y = BUF_INIT;
	int worst = 0;
	const char *k, *v;

	for (int s = 0; s < 2; s++) {
		for (uint32_t pos = 0; params_next(sides[s], &pos, &k, &v);) {
			values(a, k, &x);
			values(b, k, &y);
			if (x.len == y.len && memcmp(buf_str(&x), buf_str(&y), x.len) == 0)
				continue;
			if (!for_pm_alone(k))
				return 2;
			worst = 1;
		}
	}
	return worst;
}

static void word(struct buf *b, const char *command, const char *id)
{
	if (!b->len)
		buf_adds(b, command);
	buf_addc(b, ' ');
	stream_quote(b, id);
}

static void add_line(struct strv *lines, struct buf *b)
{
	if (b->len)
		strv_add(lines, b->data);
}

static int plan_removed(const char *home, const struct document *before, const struct document *want, struct buf *stop,
	struct buf *rm, struct error **err)
{
	for (size_t i = 0; i < before->n; i++) {
		struct actual a;

		if (document_find(want, before->units[i].id))
			continue;
		if (actual_read(home, before->units[i].id, &a, err) < 0)
			return -1;
		if (a.there) {
			word(stop, "stop", a.id);
			word(rm, "remove", a.id);
		}
		actual_free(&a);
	}
	return 0;
}

int dispatch_plan(const char *home, const struct document *before, const struct document *want, struct strv *lines,
	struct error **err)
{
	_cleanup_buf_ struct buf stop = BUF_INIT, rm = BUF_INIT, start = BUF_INIT, again = BUF_INIT;
	_cleanup_strv_ struct strv defines = STRV_INIT;

	if (plan_removed(home, before, want, &stop, &rm, err) < 0)
		return -1;
	for (size_t i = 0; i < want->n; i++) {
		const struct desired *d = &want->units[i];
		_cleanup_buf_ struct buf line = BUF_INIT;
		struct actual a;
		int change;

		if (actual_read(home, d->id, &a, err) < 0)
			return -1;
		change = a.there ? differs(&a.params, &d->params) : 2;
		if (change) {
			format_unit(&line, d->id, &d->params);
			strv_add(&defines, line.data);
		}
		if (a.there && a.up && !d->up)
			word(&stop, "stop", d->id);
		else if (d->up && (!a.there || !a.up))
			word(&start, "start", d->id);
		else if (d->up && a.active && change == 2)
			word(&again, "try-restart", d->id);
		actual_free(&a);
	}
	/* What goes makes room first; definitions before what they are for. */
	add_line(lines, &stop);
	add_line(lines, &rm);
	for (size_t i = 0; i < defines.len; i++)
		strv_add(lines, defines.v[i]);
	add_line(lines, &again);
	add_line(lines, &start);
	return 0;
}
