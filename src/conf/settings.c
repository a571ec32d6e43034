/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/settings.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/units.h"
#include "conf/doc.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

const struct setting settings_table[] = {
	{ "mirror", SETTING_STRING, NULL, "Debian mirror that images are made from; default: the host's apt sources, where it has none Debian's own" },
	{ "release", SETTING_STRING, "bookworm", "Debian release that images are made from" },
	{ "image.default", SETTING_STRING, "tiny", "image of machines and of group nodes whose template says none" },
	{ "accel", SETTING_STRING, "auto", "accelerator: auto, kvm, tcg" },
	{ "memory", SETTING_SIZE, "512M", "memory of a new machine" },
	{ "cpus", SETTING_NUMBER, "1", "processors of a new machine" },
	{ "stop_timeout", SETTING_DURATION, "60s", "patience with a guest that is asked to stop, before it is killed" },
	{ "command_timeout", SETTING_DURATION, "30m", "time that one command of a group file may take" },
	{ "jobs", SETTING_NUMBER, "16", "machines of a group that are worked on at the same time" },
	{ "net.prefix", SETTING_STRING, "10.0.0.0/8", "network of /8 or /16 that groups take their /24 from" },
	{ "stores", SETTING_STRING, NULL, "stores to read from, with ':' between; what is put goes to the first that may be written" },
	{ NULL, SETTING_STRING, NULL, NULL },
};
#define COUNT (ARRAY_SIZE(settings_table) - 1)

struct value {
	char *text, *origin;
};
struct layers {
	struct value v[COUNT];
};
static struct layers loaded; /* one set a process, as the environment is */

static size_t index_of(const char *name)
{
	for (size_t i = 0; i < COUNT; i++)
		if (!strcmp(settings_table[i].name, name))
			return i;
	return SIZE_MAX;
}

static void layers_free(struct layers *l)
{
	for (size_t i = 0; i < COUNT; i++) {
		free(l->v[i].text);
		free(l->v[i].origin);
	}
	*l = (struct layers){ 0 };
}

static int to_number(size_t i, const char *text, uint64_t *ret, struct error **err)
{
	const char *name = settings_table[i].name;

	switch (settings_table[i].type) {
	case SETTING_NUMBER:
		return parse_u64(name, text, 1, 1024, ret, err);
	case SETTING_SIZE:
		return parse_size(name, text, ret, err);
	case SETTING_DURATION:
		return parse_duration(name, text, ret, err);
	default:
		*ret = 0;
		return *text ? 0 : error_set(err, ERR_USAGE, "%s: the value is empty", name);
	}
}

static int check_words(size_t i, const char *text, struct error **err)
{
	static const char *const accels[] = { "auto", "kvm", "tcg", NULL };

	if (strcmp(settings_table[i].name, "accel"))
		return 0;
	for (size_t k = 0; accels[k]; k++)
		if (!strcmp(accels[k], text))
			return 0;
	return error_set(err, ERR_USAGE, "accel: '%s' is none of auto, kvm, tcg", text);
}

static int unknown(const char *name, struct error **err)
{
	const char *names[COUNT], *near;

	for (size_t i = 0; i < COUNT; i++)
		names[i] = settings_table[i].name;
	near = nearest_name(name, names, COUNT);
	error_set(err, ERR_USAGE, "unknown setting '%s'", name);
	return near ? error_hint(err, "did you mean '%s'?", near) : error_hint(err, "`croft config show` lists all");
}

static int set(struct layers *l, const char *name, const char *text, const char *origin, struct error **err)
{
	size_t i = index_of(name);
	uint64_t number;

	if (i == SIZE_MAX)
		return unknown(name, err);
	if (to_number(i, text, &number, err) < 0 || check_words(i, text, err) < 0)
		return -1;
	free(l->v[i].text);
	free(l->v[i].origin);
	l->v[i] = (struct value){ xstrdup(text), xstrdup(origin) };
	return 0;
}

/* `image: {default: tiny}` and `image.default: tiny` are the same. */
static int from_map(struct layers *l, const struct node *n, const char *prefix, struct error **err)
{
	if (n->type != NODE_MAP)
		return node_error(n, err, "%s: a map is needed, this is %s", *prefix ? prefix : "settings", node_type_name(n->type));
	for (size_t i = 0; i < n->len; i++) {
		_cleanup_free_ char *name = xasprintf("%s%s%s", prefix, *prefix ? "." : "", n->keys[i]->text);
		const struct node *v = n->items[i];
		_cleanup_free_ char *origin = NULL;

		if (v->type == NODE_MAP) {
			if (from_map(l, v, name, err) < 0)
				return -1;
			continue;
		}
		if (v->type == NODE_LIST || v->type == NODE_NULL)
			return node_error(v, err, "%s: a single value is needed, this is %s", name, node_type_name(v->type));
		origin = xasprintf("%s:%d", doc_name(n->doc), v->line);
		if (set(l, name, v->text, origin, err) < 0)
			return error_wrap(err, "%s:%d:%d", doc_name(n->doc), n->keys[i]->line, n->keys[i]->col);
	}
	return 0;
}

static int from_file(struct layers *l, const char *path, struct error **err)
{
	_cleanup_doc_ struct doc *d = NULL;

	if (!file_exists(path))
		return 0;
	d = doc_load(path, err);
	return d ? from_map(l, doc_root(d), "", err) : -1;
}

static int from_env(struct layers *l, struct error **err)
{
	for (size_t i = 0; i < COUNT; i++) {
		_cleanup_free_ char *var = xasprintf("CROFT_%s", settings_table[i].name);
		const char *v;

		for (char *s = var; *s; s++)
			*s = *s == '.' ? '_' : (char)toupper((unsigned char)*s);
		v = getenv(var);
		if (v && *v && set(l, settings_table[i].name, v, var, err) < 0)
			return error_wrap(err, "%s", var);
	}
	return 0;
}

static int from_options(struct layers *l, const char *const *options, struct error **err)
{
	for (; options && *options; options++) {
		const char *eq = strchr(*options, '=');
		_cleanup_free_ char *name = NULL;

		if (!eq)
			return error_set(err, ERR_USAGE, "option '%s': NAME=VALUE is needed", *options);
		name = xstrndup(*options, (size_t)(eq - *options));
		if (set(l, name, eq + 1, "option", err) < 0)
			return error_wrap(err, "option '%s'", *options);
	}
	return 0;
}

int settings_load(const char *const *options, struct error **err)
{
	_cleanup_free_ char *own = path_config("croft.yaml");
	struct layers l = { 0 };

	if (from_file(&l, "/etc/croft/croft.yaml", err) < 0 || from_file(&l, own, err) < 0 ||
		from_file(&l, "croft.yaml", err) < 0 || from_env(&l, err) < 0 || from_options(&l, options, err) < 0) {
		layers_free(&l);
		return -1;
	}
	settings_free();
	loaded = l;
	return 0;
}

const char *settings_get(const char *name)
{
	size_t i = index_of(name);

	if (i == SIZE_MAX)
		return NULL;
	return loaded.v[i].text ? loaded.v[i].text : settings_table[i].fallback;
}

const char *settings_origin(const char *name)
{
	size_t i = index_of(name);

	return i != SIZE_MAX && loaded.v[i].origin ? loaded.v[i].origin : "default";
}

uint64_t settings_number(const char *name)
{
	const char *text = settings_get(name);
	_cleanup_error_ struct error *e = NULL;
	uint64_t n = 0;

	return text && to_number(index_of(name), text, &n, &e) == 0 ? n : 0;
}

void settings_free(void)
{
	layers_free(&loaded);
}
