/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The group as it was brought up. A file that is edited afterwards must not make machines vanish from croft's sight: members that the
 * record names and the file no longer does are nodes all the same, marked `gone`, until `up --prune` removes them. What they had is
 * read from DATA/groups/NAME/applied, a copy of the file that the last `up` completed, as far as it is there.
 */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "internal.h"

#include <string.h>

#define FILE_MAX (64u << 20)

static char *applied_path(const struct group *g)
{
	return path_join(g->record, "applied");
}

const struct node *group_applied(const struct group *g, const char *node)
{
	const struct node *nodes = g->was ? node_get(doc_root(g->was), "nodes") : NULL;

	return nodes && nodes->type == NODE_MAP ? node_get(nodes, node) : NULL;
}

int group_write_applied(const struct group *g, struct error **err)
{
	_cleanup_free_ char *path = applied_path(g);
	_cleanup_buf_ struct buf now = BUF_INIT, old = BUF_INIT;
	_cleanup_error_ struct error *none = NULL;

	if (file_read(g->file, FILE_MAX, &now, err) < 0)
		return -1;
	if (file_exists(path) && file_read(path, FILE_MAX, &old, &none) == 0 && now.len == old.len && !memcmp(now.data, old.data, now.len))
		return 0;
	return file_write(path, now.data, now.len, 0600, err);
}

int group_read_record(struct group *g, struct error **err)
{
	_cleanup_free_ char *path = path_join(g->record, "group.json"), *applied = applied_path(g);
	_cleanup_error_ struct error *none = NULL;

	if (!file_exists(path))
		return 0;
	g->recorded = doc_load_own(path, err);
	if (!g->recorded)
		return -1;
	/* It was right when it was written; damaged, it only means that less is known of nodes that are gone. */
	if (file_exists(applied))
		g->was = doc_load(applied, &none);
	return 0;
}

/* The group made it: machines that somebody else put beside its own are none of its nodes. */
static bool is_ours(const struct group *g, const char *node)
{
	return node_get(node_get(doc_root(g->recorded), "addresses"), node) != NULL;
}

static int add_gone(struct group *g, const char *name, struct error **err)
{
	const struct node *at = group_applied(g, name);
	_cleanup_error_ struct error *none = NULL;
	struct group_node *n;

	if (!at && !g->blank)
		g->blank = doc_parse("record", "{}", 2, err);
	if (!at && !g->blank)
		return -1;
	g->nodes = xreallocarray(g->nodes, g->nnodes + 1, sizeof(*g->nodes));
	n = &g->nodes[g->nnodes++];
	*n = (struct group_node){ .gone = true };
	if (group_read_node(g, name, at ? at : doc_root(g->blank), n, &none) < 0) {
		_cleanup_free_ char *full = xasprintf("%s/%s", g->name, name);

		log_debug("group %s: %s as it was: %s", g->name, name, none->msg);
		group_node_clear(n);
		*n = (struct group_node){ .name = xstrdup(name), .id = xstrdup(name), .full = STEAL(full), .gone = true };
		n->directories.free_value = free;
	}
	return 0;
}

int group_read_gone(struct group *g, struct error **err)
{
	_cleanup_strv_ struct strv all = STRV_INIT;

	if (!g->recorded || machine_names(g->name, &all, err) < 0)
		return g->recorded ? -1 : 0;
	for (size_t i = 0; i < all.len; i++) {
		const char *name = path_basename(all.v[i]);

		if (!map_has(&g->index, name) && is_ours(g, name) && add_gone(g, name, err) < 0)
			return -1;
	}
	return 0;
}

/* The zone that the record's address lies in, if there still is one of its name. */
static bool zone_of(const struct group *g, const char *address, size_t *ret)
{
	const struct node *zones = node_get(doc_root(g->recorded), "zones");
	const char *dot = strrchr(address, '.');
	size_t n = dot ? (size_t)(dot - address) + 1 : 0;

	for (size_t i = 0; n && zones && i < zones->len; i++) {
		if (!zones->items[i]->text || strncmp(zones->items[i]->text, address, n))
			continue;
		for (size_t k = 0; k < g->nzones; k++)
			if (!strcmp(g->zones[k].name, zones->keys[i]->text)) {
				*ret = k;
				return true;
			}
	}
	return false;
}

int group_gone_nics(struct group *g, struct group_node *n, struct error **err)
{
	const struct node *addresses = node_get(doc_root(g->recorded), "addresses");
	_cleanup_free_ char *known_as = xasprintf("%s/%s", g->inside, n->name);

	n->nics = xcalloc(GROUP_NICS_MAX, sizeof(*n->nics));
	for (unsigned i = 0; i < GROUP_NICS_MAX; i++) {
		_cleanup_free_ char *key = i ? xasprintf("%s/%u", n->name, i) : xstrdup(n->name);
		const struct node *a = node_get(addresses, key);
		size_t zone = 0;

		/* One at least: a node is somewhere. Cards of zones that are no more lead nowhere. */
		if ((!a || !a->text || !zone_of(g, a->text, &zone)) && i)
			break;
		n->nics[i].zone = zone;
		machine_mac(known_as, i, n->nics[i].mac);
		n->nnics++;
	}
	n->mac = n->nics[0].mac;
	return 0;
}

int group_drop_gone(struct group *g)
{
	size_t kept = 0;

	for (size_t i = 0; i < g->nnodes; i++) {
		if (g->nodes[i].gone) {
			group_node_clear(&g->nodes[i]);
			continue;
		}
		if (kept != i)
			g->nodes[kept] = g->nodes[i];
		kept++;
	}
	g->nnodes = kept;
	return 0;
}

void group_recorded(const char *name, char **prefix, char **file)
{
	_cleanup_free_ char *dir = group_record_dir(name), *path = path_join(dir, "group.json");
	_cleanup_error_ struct error *none = NULL;
	_cleanup_doc_ struct doc *d = doc_load_own(path, &none);
	const struct node *p = d ? node_get(doc_root(d), "prefix") : NULL, *f = d ? node_get(doc_root(d), "file") : NULL;

	*prefix = p ? xstrdup(p->text) : NULL;
	*file = f ? xstrdup(f->text) : NULL;
}
