/* SPDX-License-Identifier: Apache-2.0 */
#include "image/export/changes.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/units.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

typedef int change_fn(json_t *config, const char *name, const char *rest, struct error **err);

/* One word, with quotes and backslashes as a Dockerfile has them; *p goes behind it. NULL: there is none. */
static char *next_word(const char **p)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	char quote = 0;

	while (isspace((unsigned char)**p))
		(*p)++;
	if (!**p)
		return NULL;
	buf_adds(&b, "");
	for (; **p && (quote || !isspace((unsigned char)**p)); (*p)++) {
		if (**p == quote)
			quote = 0;
		else if (!quote && (**p == '"' || **p == '\''))
			quote = **p;
		else if (**p == '\\' && quote != '\'' && (*p)[1])
			buf_addc(&b, *++*p);
		else
			buf_addc(&b, **p);
	}
	return buf_steal(&b);
}

static json_t *object_at(json_t *config, const char *name)
{
	json_t *o = json_object_get(config, name);

	if (!o)
		json_object_set_new(config, name, o = json_object());
	return o;
}

/* A JSON list of words, or a line for the shell. */
static int set_command(json_t *config, const char *name, const char *rest, struct error **err)
{
	json_t *l;

	if (*rest != '[') {
		json_object_set_new(config, name, json_pack("[s, s, s]", "/bin/sh", "-c", rest));
		return 0;
	}
	l = json_loads(rest, 0, NULL);
	for (size_t i = 0; i < json_array_size(l); i++)
		if (!json_is_string(json_array_get(l, i))) {
			json_decref(l);
			l = NULL;
		}
	if (!l)
		return error_set(err, ERR_USAGE, "%s: is no list of words like [\"/bin/server\", \"-v\"]", rest);
	json_object_set_new(config, name, l);
	return 0;
}

static int set_text(json_t *config, const char *name, const char *rest, struct error **err)
{
	return json_object_set_new(config, name, json_string(rest)) < 0 ? error_set(err, ERR_USAGE, "%s: is not UTF-8", rest) : 0;
}

/* NAME=VALUE, replaced when it is there. */
static void put_env(json_t *list, const char *text)
{
	size_t n = strcspn(text, "=") + 1;

	for (size_t i = 0; i < json_array_size(list); i++)
		if (!strncmp(json_string_value(json_array_get(list, i)), text, n)) {
			json_array_set_new(list, i, json_string(text));
			return;
		}
	json_array_append_new(list, json_string(text));
}

/* "NAME=VALUE ..." or the old "NAME VALUE". */
static int set_pairs(json_t *config, const char *name, const char *rest, struct error **err)
{
	bool env = !strcmp(name, "Env");
	json_t *to = env ? json_object_get(config, name) : object_at(config, name);
	const char *p = rest;
	char *word;

	while ((word = next_word(&p))) {
		_cleanup_free_ char *w = word, *pair = NULL;
		const char *eq = strchr(w, '=');

		if (eq == w)
			return error_set(err, ERR_USAGE, "%s: has a value without a name", rest);
		if (!eq) {
			while (isspace((unsigned char)*p))
				p++;
			pair = xasprintf("%s=%s", w, p);
			p = "";
		} else {
			pair = xstrdup(w);
		}
		if (env) {
			put_env(to, pair);
		} else {
			char *cut = strchr(pair, '=');

			*cut = '\0';
			json_object_set_new(to, pair, json_string(cut + 1));
		}
	}
	return 0;
}

/* A set of words: "80 443/udp", or a JSON list. */
static int set_keys(json_t *config, const char *name, const char *rest, struct error **err)
{
	json_t *to = object_at(config, name);
	const char *p = rest;
	char *word;

	if (*rest == '[') {
		json_t *l = json_loads(rest, 0, NULL);

		for (size_t i = 0; i < json_array_size(l); i++)
			if (json_is_string(json_array_get(l, i)))
				json_object_set_new(to, json_string_value(json_array_get(l, i)), json_object());
		json_decref(l);
		return l ? 0 : error_set(err, ERR_USAGE, "%s: is no list", rest);
	}
	while ((word = next_word(&p))) {
		_cleanup_free_ char *w = word, *key = NULL;

		key = !strcmp(name, "ExposedPorts") && !strchr(w, '/') ? xasprintf("%s/tcp", w) : xstrdup(w);
		json_object_set_new(to, key, json_object());
	}
	return 0;
}

static const struct {
	const char *instruction, *name;
	change_fn *fn;
} known[] = {
	{ "CMD", "Cmd", set_command },
	{ "ENTRYPOINT", "Entrypoint", set_command },
	{ "ENV", "Env", set_pairs },
	{ "EXPOSE", "ExposedPorts", set_keys },
	{ "LABEL", "Labels", set_pairs },
	{ "STOPSIGNAL", "StopSignal", set_text },
	{ "USER", "User", set_text },
	{ "VOLUME", "Volumes", set_keys },
	{ "WORKDIR", "WorkingDir", set_text },
};

static int apply(json_t *config, const char *line, struct error **err)
{
	size_t n = strcspn(line, " \t");
	const char *rest = line + n + strspn(line + n, " \t");

	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		if (strlen(known[i].instruction) != n || strncasecmp(known[i].instruction, line, n))
			continue;
		if (!*rest)
			return error_set(err, ERR_USAGE, "'%s': says nothing", line);
		return known[i].fn(config, known[i].name, rest, err) < 0 ? error_wrap(err, "%s", known[i].instruction) : 0;
	}
	error_set(err, ERR_USAGE, "'%s': is no change of an image's settings", line);
	return error_hint(err, "known are CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME, WORKDIR");
}

int changes_apply(json_t *config, const struct strv *lines, struct error **err)
{
	for (size_t i = 0; lines && i < lines->len; i++)
		if (apply(config, lines->v[i], err) < 0)
			return -1;
	return 0;
}
