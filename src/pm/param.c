/* SPDX-License-Identifier: Apache-2.0 */
#include "pm/param.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/units.h"
#include "pm/core.h"
#include "pm/isolate.h"
#include "pm/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define KEY(k, kind_, text_) { k, PARAM_##kind_, text_ },
const struct param_key param_keys[] = { PM_KEYS(KEY) };
const unsigned param_nkeys = ARRAY_SIZE(param_keys);

void params_free(struct params *ps)
{
	free(ps->p);
	*ps = (struct params)PARAMS_INIT;
}

bool params_next(const struct params *ps, uint32_t *pos, const char **key, const char **value)
{
	if (*pos >= ps->n)
		return false;
	*key = ps->p + *pos;
	*value = *key + strlen(*key) + 1;
	*pos = (uint32_t)(*value + strlen(*value) + 1 - ps->p);
	return true;
}

const char *params_get(const struct params *ps, const char *key)
{
	const char *k, *v;

	for (uint32_t pos = 0; params_next(ps, &pos, &k, &v);)
		if (!strcmp(k, key))
			return v;
	return NULL;
}

void params_add(struct params *ps, const char *key, const char *value)
{
	size_t nk = strlen(key) + 1, nv = strlen(value) + 1;

	ps->p = xrealloc(ps->p, ps->n + nk + nv);
	memcpy(ps->p + ps->n, key, nk);
	memcpy(ps->p + ps->n + nk, value, nv);
	ps->n += (uint32_t)(nk + nv);
}

void params_set(struct params *ps, const char *key, const char *value)
{
	const char *k, *v;

	for (uint32_t pos = 0, start = 0; params_next(ps, &pos, &k, &v); start = pos) {
		if (strcmp(k, key))
			continue;
		memmove(ps->p + start, ps->p + pos, ps->n - pos);
		ps->n -= pos - start;
		pos = start;
	}
	if (value && *value)
		params_add(ps, key, value);
}

void params_copy(struct params *to, const struct params *from)
{
	to->n = from->n;
	to->p = from->n ? xmemdup(from->p, from->n) : NULL;
}

int params_words(const struct params *ps, const char *key, struct strv *ret, struct error **err)
{
	const char *v = params_get(ps, key);

	if (v && stream_split(v, strlen(v), ret, err) < 0)
		return error_wrap(err, "%s", key);
	return 0;
}

int param_ms(const char *key, const char *value, uint32_t *ret_ms, struct error **err)
{
	uint64_t ms;

	if (parse_duration(key, value, &ms, err) < 0)
		return -1;
	if (ms > UINT32_MAX)
		return error_set(err, ERR_USAGE, "%s: '%s' is longer than 49 days", key, value);
	*ret_ms = (uint32_t)ms;
	return 0;
}

int params_ms(const struct params *ps, const char *key, uint32_t fallback, uint32_t *ret_ms, struct error **err)
{
	const char *v = params_get(ps, key);

	*ret_ms = fallback;
	return v ? param_ms(key, v, ret_ms, err) : 0;
}

int param_u32(const char *key, const char *value, uint32_t *ret, struct error **err)
{
	uint64_t n;

	if (parse_u64(key, value, 0, UINT32_MAX, &n, err) < 0)
		return -1;
	*ret = (uint32_t)n;
	return 0;
}

static const struct param_key *find(const char *key)
{
	for (unsigned i = 0; i < param_nkeys; i++)
		if (!strcmp(param_keys[i].key, key))
			return &param_keys[i];
	return NULL;
}

static int one_of(const char *key, const char *value, const char *const *list, size_t n, struct error **err)
{
	const char *near;

	for (size_t i = 0; i < n; i++)
		if (!strcmp(value, list[i]))
			return 0;
	near = nearest_name(value, list, n);
	error_set(err, ERR_USAGE, "%s: '%s' is not a value of this key", key, value);
	return near ? error_hint(err, "did you mean '%s'?", near) : -1;
}

static int check_words(const char *key, const char *value, enum param_kind kind, struct error **err)
{
	_cleanup_strv_ struct strv words = STRV_INIT;

	if (stream_split(value, strlen(value), &words, err) < 0)
		return error_wrap(err, "%s", key);
	if (kind == PARAM_ARGV && (!words.len || !*words.v[0]))
		return error_set(err, ERR_USAGE, "%s: '%s' names no program", key, value);
	for (size_t i = 0; kind == PARAM_UNITS && i < words.len; i++)
		if (core_check_id(words.v[i], err) < 0)
			return error_wrap(err, "%s", key);
	return 0;
}

static int check_ready(const char *value, struct error **err)
{
	static const char *const with[] = { "pidfile", "fd", "port", "command" };
	const char *colon = strchr(value, ':');
	size_t n = colon ? (size_t)(colon - value) : strlen(value);
	const char *port;
	uint64_t x;

	if (!strcmp(value, "exec") || !strcmp(value, "notify"))
		return 0;
	if (n == 5 && !strncmp(value, "alive", 5) && colon)
		return parse_duration("ready", colon + 1, &x, err);
	for (size_t i = 0; i < ARRAY_SIZE(with); i++) {
		if (n != strlen(with[i]) || strncmp(value, with[i], n))
			continue;
		if (!colon || !colon[1])
			return error_set(err, ERR_USAGE, "ready: '%s' needs something behind a colon", with[i]);
		if (i == 1)
			return parse_u64("ready: fd", colon + 1, 3, 255, &x, err);
		port = strrchr(colon, ':') + 1;
		if (i == 2)
			return parse_u64("ready: port", port, 1, 65535, &x, err);
		return i == 3 ? check_words("ready", colon + 1, PARAM_ARGV, err) : 0;
	}
	error_set(err, ERR_USAGE, "ready: '%s' is not a condition", value);
	return error_hint(err, "exec, alive:TIME, pidfile:PATH, notify, fd:N, port:[HOST:]PORT or command:COMMAND");
}

static int check_value(const struct param_key *k, const char *value, struct error **err)
{
	static const char *const killmodes[] = { "group", "process" }, *const restarts[] = { "never", "on-failure", "always" },
				 *const logs[] = { "on", "off" }, *const ended[] = { "nothing", "shutdown" }, *const kinds[] = { "root", "chroot", "jail", "user" };
	uint64_t x;

	switch (k->kind) {
	case PARAM_TEXT:
		return 0;
	case PARAM_TYPE:
		return one_of(k->key, value, unit_type_names, UNIT_NTYPES, err);
	case PARAM_ARGV:
	case PARAM_WORDS:
	case PARAM_UNITS:
		return check_words(k->key, value, k->kind, err);
	case PARAM_READY:
		return check_ready(value, err);
	case PARAM_DURATION:
		return parse_duration(k->key, value, &x, err);
	case PARAM_SIZE:
		return parse_size(k->key, value, &x, err);
	case PARAM_NUMBER:
		return parse_u64(k->key, value, 0, UINT32_MAX, &x, err);
	case PARAM_SIGNAL:
		return signal_parse(value) < 0 ? error_set(err, ERR_USAGE, "%s: '%s' is not a signal", k->key, value) : 0;
	case PARAM_KILLMODE:
		return one_of(k->key, value, killmodes, ARRAY_SIZE(killmodes), err);
	case PARAM_RESTART:
		return one_of(k->key, value, restarts, ARRAY_SIZE(restarts), err);
	case PARAM_ENDED:
		return one_of(k->key, value, ended, ARRAY_SIZE(ended), err);
	case PARAM_LOG:
		return one_of(k->key, value, logs, ARRAY_SIZE(logs), err);
	case PARAM_PMKIND:
		return one_of(k->key, value, kinds, ARRAY_SIZE(kinds), err);
	}
	return 0;
}

static int unknown(const char *key, struct error **err)
{
	const char *names[ARRAY_SIZE(param_keys) + 128], *near;
	size_t n = 0;

	for (; n < param_nkeys; n++)
		names[n] = param_keys[n].key;
	for (size_t i = 0; n < ARRAY_SIZE(names) && isolate_key_name(i); i++)
		names[n++] = isolate_key_name(i);
	near = nearest_name(key, names, n);
	error_set(err, ERR_USAGE, "'%s': no such key of a unit", key);
	return near ? error_hint(err, "did you mean '%s'?", near) : -1;
}

/* A key of isolate.h. Those that repeat add up; "KEY=" removes them all. */
static int assign_isolation(struct params *ps, const char *key, const char *value, struct error **err)
{
	char why[ISOLATE_WHY];
	int known = *value ? isolate_check(key, value, why) : 1;

	if (known < 0)
		return error_set(err, ERR_USAGE, "%s: %s", key, why);
	if (!known)
		return unknown(key, err);
	if (*value && isolate_key_repeats(key))
		params_add(ps, key, value);
	else
		params_set(ps, key, value);
	return 0;
}

int params_assign(struct params *ps, const char *word, struct error **err)
{
	const char *eq = strchr(word, '=');
	_cleanup_free_ char *key = eq ? xstrndup(word, (size_t)(eq - word)) : NULL;
	const struct param_key *k;

	if (!eq || eq == word)
		return error_set(err, ERR_USAGE, "'%s': KEY=VALUE is needed", word);
	k = find(key);
	if (!k)
		return assign_isolation(ps, key, eq + 1, err);
	if (eq[1] && check_value(k, eq + 1, err) < 0)
		return -1;
	params_set(ps, key, eq + 1);
	return 0;
}

void params_format(const struct params *ps, struct buf *b)
{
	const char *k, *v;

	for (uint32_t pos = 0; params_next(ps, &pos, &k, &v);) {
		buf_adds(b, k);
		buf_addc(b, '=');
		for (; *v; v++) {
			if (*v == '\\' || *v == '\n')
				buf_addc(b, '\\');
			buf_addc(b, *v == '\n' ? 'n' : *v);
		}
		buf_addc(b, '\n');
	}
}

/* One line, up to `stop`: unescaped to `to`, ended by a NUL each. The byte after the last, NULL: not KEY=VALUE. */
static char *parse_line(const char *text, const char *stop, char *to)
{
	const char *eq = memchr(text, '=', (size_t)(stop - text));

	if (!eq || eq == text || memchr(text, '\\', (size_t)(eq - text)) || memchr(text, '\0', (size_t)(stop - text)))
		return NULL;
	for (const char *p = text; p < stop; p++) {
		bool escaped = *p == '\\' && p + 1 < stop;

		p += escaped;
		*to++ = p == eq ? '\0' : escaped && *p == 'n' ? '\n' : *p;
	}
	*to++ = '\0';
	return to;
}

int params_parse(const char *text, size_t n, struct params *ps, struct error **err)
{
	const char *end = text + n;
	char *to;

	/* '=' and the newline become NUL, and an escape is shorter than what it stands for: no more than n bytes. */
	ps->p = xrealloc(ps->p, ps->n + n + 1);
	to = ps->p + ps->n;
	for (unsigned line = 1; text < end; line++) {
		const char *stop = memchr(text, '\n', (size_t)(end - text));

		if (!stop)
			return error_set(err, ERR_FAILED, "line %u is cut off", line);
		to = parse_line(text, stop, to);
		if (!to)
			return error_set(err, ERR_FAILED, "line %u is not KEY=VALUE", line);
		text = stop + 1;
		ps->n = (uint32_t)(to - ps->p);
	}
	return 0;
}
