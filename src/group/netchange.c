/* SPDX-License-Identifier: Apache-2.0 */
/* net.json as it is and as the group's file would have it, item by item. */
#include "change.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"

#include <jansson.h>
#include <string.h>

#define NET_JSON_MAX (64u << 20)

/* Lists of net.json, and what tells their items apart. Ports come and go with machines, which are shown themselves. */
static const struct {
	const char *list, *name;
	const char *keys[4];
} parts[] = {
	{ "zones", "zone", { "name" } },
	{ "forwards", "forward", { "proto", "host", "host_port" } },
	{ "links", "link", { "node", "zone" } },
	{ "records", "name", { "name", "type", "value" } },
};

static char *label(const json_t *item, const char *const *keys)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	for (size_t i = 0; i < 4 && keys[i]; i++) {
		const json_t *v = json_object_get(item, keys[i]);

		if (json_is_string(v))
			buf_addf(&b, "%s%s", b.len ? " " : "", json_string_value(v));
		else if (json_is_integer(v))
			buf_addf(&b, "%s%lld", b.len ? " " : "", (long long)json_integer_value(v));
	}
	return buf_steal(&b);
}

static const json_t *find(const json_t *list, const char *const *keys, const char *wanted)
{
	json_t *item;
	size_t i;

	json_array_foreach(list, i, item)
	{
		_cleanup_free_ char *l = label(item, keys);

		if (!strcmp(l, wanted))
			return item;
	}
	return NULL;
}

static void compare(const json_t *old, const json_t *new, size_t part, struct changes *ret)
{
	const json_t *a = json_object_get(old, parts[part].list), *b = json_object_get(new, parts[part].list);
	json_t *item;
	size_t i;

	json_array_foreach(b, i, item)
	{
		_cleanup_free_ char *l = label(item, parts[part].keys);
		const json_t *was = find(a, parts[part].keys, l);

		if (!was || !json_equal(was, item))
			changes_add(ret, CHANGE_NETWORK, NULL, "now", xasprintf("%s%s %s", was ? "" : "+", parts[part].name, l));
	}
	json_array_foreach(a, i, item)
	{
		_cleanup_free_ char *l = label(item, parts[part].keys);

		if (!find(b, parts[part].keys, l))
			changes_add(ret, CHANGE_NETWORK, NULL, "now", xasprintf("-%s %s", parts[part].name, l));
	}
}

int group_network_changes(const struct group *g, struct changes *ret, struct error **err)
{
	_cleanup_free_ char *dir = group_net_dir(g->name), *path = path_join(dir, "net.json");
	_cleanup_buf_ struct buf text = BUF_INIT, fresh = BUF_INIT;
	json_t *old, *new;

	if (!file_exists(path)) {
		changes_add(ret, CHANGE_NETWORK, NULL, "now", xasprintf("+%zu zone%s, %s", g->nzones, g->nzones == 1 ? "" : "s", g->prefix));
		return 0;
	}
	if (file_read(path, NET_JSON_MAX, &text, err) < 0)
		return -1;
	group_net_json(g, &fresh);
	if (!strcmp(buf_str(&text), buf_str(&fresh)))
		return 0;
	old = json_loads(buf_str(&text), 0, NULL);
	new = json_loads(buf_str(&fresh), 0, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		compare(old, new, i, ret);
	if (!json_equal(json_object_get(old, "seed"), json_object_get(new, "seed")) &&
		(json_object_get(old, "seed") || json_object_get(new, "seed")))
		changes_add(ret, CHANGE_NETWORK, NULL, "now", xstrdup("seed"));
	json_decref(old);
	json_decref(new);
	return 0;
}
