/* SPDX-License-Identifier: Apache-2.0 */
#include "net/scenario.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/units.h"
#include "net/linkspec.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define EVENTS_MAX 10000

void scenario_free(struct scenario *s)
{
	for (size_t i = 0; i < s->n; i++) {
		free(s->events[i].text);
		free(s->events[i].request);
	}
	free(s->events);
	*s = (struct scenario){ 0 };
}

/* ---- commands ---- */

static json_t *read_set(const char *word)
{
	_cleanup_strv_ struct strv names = STRV_INIT;
	json_t *set = json_array();

	strv_split(&names, word, "{}, ");
	for (size_t i = 0; i < names.len; i++)
		json_array_append_new(set, json_string(names.v[i]));
	return set;
}

static json_t *read_sets(const struct strv *w)
{
	json_t *sets = json_array();

	for (size_t i = 1; i < w->len; i++)
		json_array_append_new(sets, read_set(w->v[i]));
	return sets;
}

static bool is_link_key(const char *key)
{
	for (size_t i = 0; link_keys[i]; i++)
		if (!strcmp(link_keys[i], key))
			return true;
	return false;
}

/* "--delay 80ms", "--delay=80ms", "--down"; moves *i past it. */
static int link_option(const struct strv *w, size_t *i, json_t *request, json_t *set, struct error **err)
{
	const char *key = w->v[*i] + 2, *equals = strchr(key, '=');
	_cleanup_free_ char *name = equals ? xstrndup(key, (size_t)(equals - key)) : xstrdup(key);
	struct link_spec check = { 0 };
	const char *value;

	if (!strcmp(name, "down") || !strcmp(name, "up"))
		return json_object_set_new(set, "down", json_boolean(!strcmp(name, "down")));
	if (!strcmp(name, "clear") || !strcmp(name, "reset"))
		return json_object_set_new(request, name, json_true());
	value = equals ? equals + 1 : *i + 1 < w->len ? w->v[++*i] : NULL;
	if (!value)
		return error_set(err, ERR_USAGE, "--%s needs a value", name);
	if (!strcmp(name, "zone") || !strcmp(name, "direction"))
		return json_object_set_new(request, name, json_string(value));
	if (!is_link_key(name) || link_spec_set(&check, name, value, err) < 0)
		return *err ? -1 : error_set(err, ERR_USAGE, "link has no option --%s", name);
	return json_object_set_new(set, name, json_string(value));
}

static int link_request(const struct strv *w, json_t *request, struct error **err)
{
	json_t *set = json_object();
	int rc = 0;

	if (w->len < 3) {
		json_decref(set);
		return error_set(err, ERR_USAGE, "link: a node and what to set are needed");
	}
	json_object_set_new(request, "node", json_string(w->v[1]));
	for (size_t i = 2; i < w->len && rc == 0; i++)
		rc = strncmp(w->v[i], "--", 2) ? error_set(err, ERR_USAGE, "link: '%s' is no option", w->v[i]) :
						link_option(w, &i, request, set, err);
	json_object_set_new(request, "set", set);
	return rc;
}

static int flap_request(const struct strv *w, json_t *request, struct error **err)
{
	const char *every = NULL, *for_ = NULL;
	bool stop = w->len == 3 && !strcmp(w->v[2], "--stop");
	_cleanup_free_ char *flap = NULL;
	struct link_spec check = { 0 };

	for (size_t i = 2; !stop && i + 1 < w->len; i += 2)
		if (!strcmp(w->v[i], "--every"))
			every = w->v[i + 1];
		else if (!strcmp(w->v[i], "--for"))
			for_ = w->v[i + 1];
	if (!stop && (w->len != 6 || !every || !for_))
		return error_set(err, ERR_USAGE, "flap: NODE --every TIME --for TIME, or NODE --stop");
	flap = stop ? xstrdup("0") : xasprintf("%s/%s", every, for_);
	if (link_spec_set(&check, "flap", flap, err) < 0)
		return -1;
	json_object_set_new(request, "op", json_string("link"));
	json_object_set_new(request, "node", json_string(w->v[1]));
	return json_object_set_new(request, "set", json_pack("{s:s}", "flap", flap));
}

static int fill_request(const struct strv *w, json_t *request, struct error **err)
{
	const char *op = w->v[0];
	uint64_t seed;

	json_object_set_new(request, "op", json_string(strcmp(op, "partition") ? op : "cut"));
	if (!strcmp(op, "cut") || !strcmp(op, "partition")) {
		if (w->len < 3 || (*op == 'c' && w->len != 3))
			return error_set(err, ERR_USAGE, "%s: %s", op, *op == 'c' ? "two nodes are needed" : "two sets of nodes are needed at least");
		return json_object_set_new(request, "sets", read_sets(w));
	}
	if (!strcmp(op, "heal")) {
		if (w->len == 2 && !strcmp(w->v[1], "--links"))
			return json_object_set_new(request, "links", json_true());
		if (w->len == 2)
			return error_set(err, ERR_USAGE, "heal: two sets of nodes are needed, or none for all");
		return w->len > 1 ? json_object_set_new(request, "sets", read_sets(w)) : 0;
	}
	if (!strcmp(op, "link"))
		return link_request(w, request, err);
	if (!strcmp(op, "flap"))
		return flap_request(w, request, err);
	if (strcmp(op, "seed"))
		return error_set(err, ERR_USAGE, "'%s' is none of cut, partition, heal, link, flap, seed, end", op);
	if (w->len != 2 || parse_u64("seed", w->v[1], 0, INT64_MAX, &seed, err) < 0)
		return *err ? -1 : error_set(err, ERR_USAGE, "seed: a number is needed");
	return json_object_set_new(request, "seed", json_integer((json_int_t)seed));
}

int scenario_request(const struct strv *words, char **ret, struct error **err)
{
	json_t *request;

	*ret = NULL;
	if (!words->len)
		return error_set(err, ERR_USAGE, "nothing to do");
	if (words->len == 1 && !strcmp(words->v[0], "end"))
		return 0;
	request = json_object();
	if (fill_request(words, request, err) == 0)
		*ret = json_dumps(request, JSON_COMPACT);
	json_decref(request);
	return *ret ? 0 : -1;
}

/* ---- file ---- */

static char *trim(char *s)
{
	size_t n;

	s += strspn(s, " \t\r");
	n = strlen(s);
	while (n && strchr(" \t\r", s[n - 1]))
		s[--n] = '\0';
	return s;
}

/* Quotes around the whole of it, as YAML wants them now and then. */
static char *unquote(char *s)
{
	size_t n;

	s = trim(s);
	n = strlen(s);
	if (n > 1 && (*s == '"' || *s == '\'') && s[n - 1] == *s) {
		s[n - 1] = '\0';
		s++;
	}
	return trim(s);
}

static int add_event(struct scenario *s, const char *when, const char *what, int line, struct error **err)
{
	_cleanup_strv_ struct strv words = STRV_INIT;
	struct link_spec time = { 0 };
	char *request;
	size_t at;

	/* The times of links have the units that are needed here. */
	if (strcmp(when, "0") && link_spec_set(&time, "delay", when, err) < 0)
		return -1;
	strv_split(&words, what, " \t");
	if (scenario_request(&words, &request, err) < 0)
		return -1;
	if (s->n == EVENTS_MAX) {
		free(request);
		return error_set(err, ERR_USAGE, "more than %d events", EVENTS_MAX);
	}
	s->events = xreallocarray(s->events, s->n + 1, sizeof(*s->events));
	for (at = s->n; at && s->events[at - 1].at_ns > time.delay_ns; at--)
		s->events[at] = s->events[at - 1];
	s->events[at] = (struct scenario_event){ time.delay_ns, xstrdup(what), request, line };
	s->n++;
	return 0;
}

/* "at 10s: heal" */
static int read_at(struct scenario *s, char *text, int line, struct error **err)
{
	char *colon = strchr(text, ':');

	if (!strncmp(text, "seed ", 5) || !strncmp(text, "seed:", 5)) {
		_cleanup_free_ char *command = xasprintf("seed %s", text + 5);

		return add_event(s, "0", command, line, err);
	}
	if (strncmp(text, "at ", 3) || !colon)
		return error_set(err, ERR_USAGE, "'%s' is not an event; write `at 10s: heal`", text);
	*colon = '\0';
	return add_event(s, trim(text + 3), unquote(colon + 1), line, err);
}

/* "{at: 10s, do: heal}" */
static int read_braces(struct scenario *s, char *text, int line, struct error **err)
{
	char *at = strstr(text, "at:"), *what = strstr(text, "do:"), *end = strrchr(text, '}'), *comma;

	if (!at || !what || !end || what < at || end < what)
		return error_set(err, ERR_USAGE, "'%s' is not {at: TIME, do: COMMAND}", text);
	*end = '\0';
	what[-1] = '\0';
	comma = strrchr(at, ',');
	if (comma)
		*comma = '\0';
	return add_event(s, unquote(at + 3), unquote(what + 3), line, err);
}

struct reader {
	struct scenario *s;
	char *pending_at; /* of "- at: 10s", whose "do:" is on the next line */
	int line;
};

static int read_part(struct reader *r, char *part, struct error **err)
{
	part = trim(part);
	if (!strncmp(part, "- ", 2))
		part = trim(part + 2);
	if (!*part || !strcmp(part, "-"))
		return 0;
	if (r->pending_at) {
		_cleanup_free_ char *at = STEAL(r->pending_at);

		if (strncmp(part, "do:", 3))
			return error_set(err, ERR_USAGE, "'%s' stands where `do: COMMAND` is expected", part);
		return add_event(r->s, at, unquote(part + 3), r->line, err);
	}
	if (*part == '{')
		return read_braces(r->s, part, r->line, err);
	if (!strncmp(part, "at:", 3)) {
		r->pending_at = xstrdup(unquote(part + 3));
		return 0;
	}
	return read_at(r->s, unquote(part), r->line, err);
}

/* Where a comment begins: # at the start or behind a blank. */
static void cut_comment(char *line)
{
	for (char *c = line; *c; c++)
		if (*c == '#' && (c == line || c[-1] == ' ' || c[-1] == '\t')) {
			*c = '\0';
			return;
		}
}

static int read_lines(struct reader *r, char *text, struct error **err)
{
	for (char *line = text, *next; line; line = next) {
		r->line++;
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		cut_comment(line);
		for (char *part = line, *more; part; part = more) {
			more = strchr(part, ';');
			if (more)
				*more++ = '\0';
			if (read_part(r, part, err) < 0)
				return -1;
		}
	}
	return r->pending_at ? error_set(err, ERR_USAGE, "the last event has no `do: COMMAND`") : 0;
}

int scenario_parse(const char *name, const char *text, struct scenario *ret, struct error **err)
{
	_cleanup_free_ char *copy = xstrdup(text);
	struct scenario s = { 0 };
	struct reader r = { .s = &s };
	int rc = read_lines(&r, copy, err);

	free(r.pending_at);
	if (rc == 0 && !s.n) {
		r.line = 1;
		rc = error_set(err, ERR_USAGE, "it holds no event");
		error_hint(err, "write lines as `at 10s: partition sn,alice bob` and `at 20s: heal`");
	}
	if (rc < 0) {
		scenario_free(&s);
		return error_wrap(err, "%s:%d", name, r.line);
	}
	*ret = s;
	return 0;
}
