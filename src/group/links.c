/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a group's file says of its links and of further names, for net.json:
 *
 *	seed: 7
 *	links:
 *	  alice-ood1: {delay: 80ms, loss: 2%}			both directions
 *	  sn@lan: {in: {rate: 1mbit}, out: {delay: 5ms}}	of its NIC in zone lan
 *	names:
 *	  api.example.org: 10.1.2.3				A or AAAA; a list: several
 *	  "*.apps.example.org": sn				another name, a node's too: CNAME
 *	  _db._tcp.example.org: {srv: 0 0 5432 sn}		priority, weight, port, target
 *	  example.org: [10.1.2.3, {txt: hello}]
 */
#include "base/cleanup.h"
#include "base/mem.h"
#include "internal.h"
#include "net/linkspec.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

/* ---- links ---- */

static int read_spec(const struct node *n, bool both, struct link_spec *s, struct error **err)
{
	for (size_t i = 0; i < n->len; i++) {
		const char *key = n->keys[i]->text;
		_cleanup_error_ struct error *e = NULL;

		if (both && (!strcmp(key, "in") || !strcmp(key, "out")))
			continue;
		if (!n->items[i]->text)
			return node_error(n->items[i], err, "%s: one value is needed, this is %s", key, node_type_name(n->items[i]->type));
		if (link_spec_set(s, key, n->items[i]->text, &e) < 0) {
			node_error(n->items[i], err, "%s", e->msg);
			return e->hint ? error_hint(err, "%s", e->hint) : -1;
		}
	}
	return 0;
}

static int check_spec(const struct node *n, const struct link_spec *s, struct error **err)
{
	_cleanup_error_ struct error *e = NULL;

	if (link_spec_check(s, &e) == 0)
		return 0;
	node_error(n, err, "%s", e->msg);
	return e->hint ? error_hint(err, "%s", e->hint) : -1;
}

/* The node of "NODE" or "NODE@ZONE". Routers and gateways are known to the network alone. */
static const char *link_node(const struct group *g, const char *key, const char *zone, struct error **err)
{
	_cleanup_free_ char *name = xstrndup(key, zone ? (size_t)(zone - key) : strlen(key));
	size_t n = strlen(name);
	const struct group_node *node;

	if (!strcmp(name, "gateway"))
		return "gateway";
	if (n > 7 && !strcmp(name + n - 7, "-router"))
		return key; /* all of it up to the zone */
	node = group_node(g, name, err);
	return node ? node->name : NULL;
}

static int read_link(const struct group *g, const struct node *key, const struct node *at, struct buf *b, struct error **err)
{
	const char *at_sign = strchr(key->text, '@'), *dirs[] = { "out", "in" };
	_cleanup_error_ struct error *e = NULL;
	const char *node = link_node(g, key->text, at_sign, &e);
	struct link_spec both = { 0 };

	if (!node) {
		node_error(key, err, "links: %s", e->msg);
		return e->hint ? error_hint(err, "%s", e->hint) : -1;
	}
	if (at->type != NODE_MAP)
		return node_error(at, err, "links: %s: settings are needed ({delay: 80ms}), this is %s", key->text, node_type_name(at->type));
	if (read_spec(at, true, &both, err) < 0)
		return -1;
	buf_addf(b, "%s{\"node\":\"%.*s\"", b->data[b->len - 1] == '[' ? "" : ",", (int)strcspn(node, "@"), node);
	if (at_sign) {
		buf_adds(b, ",\"zone\":");
		json_quote(b, at_sign + 1);
	}
	for (int i = 0; i < 2; i++) {
		struct link_spec s = both;
		struct node *own = NULL;

		if (node_map(at, dirs[i], &own, err) < 0 || (own && read_spec(own, false, &s, err) < 0) ||
			check_spec(own ? own : at, &s, err) < 0)
			return -1;
		buf_addf(b, ",\"%s\":", dirs[i]);
		link_spec_json(&s, b);
	}
	buf_addc(b, '}');
	return 0;
}

/* ---- names ---- */

static void add_record(struct buf *b, const char *name, const char *type, const char *more, const char *value)
{
	buf_addf(b, "%s{\"name\":", b->data[b->len - 1] == '[' ? "" : ",");
	json_quote(b, name);
	buf_addf(b, ",\"type\":\"%s\"%s,\"value\":", type, more);
	json_quote(b, value);
	buf_addc(b, '}');
}

/* A node by its full name, any other as it is; new. */
static char *target_of(const struct group *g, const char *name)
{
	_cleanup_error_ struct error *e = NULL;
	const struct group_node *n = group_node(g, name, &e);

	return n ? xasprintf("%s.%s.croft", n->name, g->name) : xstrdup(name);
}

static bool is_name(const char *s)
{
	size_t n = strlen(s);

	return n && n < 254 && s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.*")] == '\0' && *s != '.';
}

static int read_srv(const struct group *g, const char *name, const struct node *v, struct buf *b, struct error **err)
{
	_cleanup_free_ char *more = NULL, *target = NULL;
	unsigned priority, weight, port;
	char to[256], end;

	if (!v->text || sscanf(v->text, "%5u %5u %5u %255s %c", &priority, &weight, &port, to, &end) != 4 || priority > 65535 ||
		weight > 65535 || port > 65535 || !is_name(to))
		return node_error(v, err, "srv: '%s' is not PRIORITY WEIGHT PORT TARGET, as 0 0 5432 sn", v->text ? v->text : "");
	more = xasprintf(",\"priority\":%u,\"weight\":%u,\"port\":%u", priority, weight, port);
	target = target_of(g, to);
	add_record(b, name, "SRV", more, target);
	return 0;
}

static int read_plain(const struct group *g, const char *name, const struct node *v, struct buf *b, struct error **err)
{
	uint8_t address[16];

	if (inet_pton(AF_INET, v->text, address) == 1) {
		add_record(b, name, "A", "", v->text);
	} else if (inet_pton(AF_INET6, v->text, address) == 1) {
		add_record(b, name, "AAAA", "", v->text);
	} else if (is_name(v->text)) {
		_cleanup_free_ char *target = target_of(g, v->text);

		add_record(b, name, "CNAME", "", target);
	} else {
		return node_error(v, err, "names: '%s' is neither an address nor a name", v->text);
	}
	return 0;
}

static int read_name_item(const struct group *g, const char *name, const struct node *v, struct buf *b, struct error **err)
{
	static const char *const known[] = { "txt", "srv", NULL };
	const char *txt = NULL;

	if (v->text)
		return read_plain(g, name, v, b, err);
	if (v->type != NODE_MAP || v->len != 1)
		return node_error(v, err, "names: an address, a name, {txt: TEXT} or {srv: PRIORITY WEIGHT PORT TARGET} is needed");
	if (node_known(v, name, known, err) < 0 || node_str(v, "txt", &txt, err) < 0)
		return -1;
	if (!txt)
		return read_srv(g, name, v->items[0], b, err);
	if (strlen(txt) > 4096)
		return node_error(v, err, "txt: %zu bytes; at most 4096 are possible", strlen(txt));
	add_record(b, name, "TXT", "", txt);
	return 0;
}

static int read_names(const struct group *g, const struct node *map, struct buf *b, struct error **err)
{
	for (size_t i = 0; i < map->len; i++) {
		const struct node *key = map->keys[i], *v = map->items[i];
		_cleanup_error_ struct error *e = NULL;

		if (!is_name(key->text) || (strchr(key->text, '*') && (strncmp(key->text, "*.", 2) || strchr(key->text + 1, '*'))))
			return node_error(key, err, "names: '%s' is no domain name", key->text);
		if (group_node(g, key->text, &e))
			return node_error(key, err, "names: %s is a node, whose name is known already", key->text);
		for (size_t k = 0; k < (v->type == NODE_LIST ? v->len : 1); k++)
			if (read_name_item(g, key->text, v->type == NODE_LIST ? v->items[k] : v, b, err) < 0)
				return -1;
	}
	return 0;
}

/* Real computers are in no zone; the machines that are know them by name all the same. */
static void add_real_hosts(const struct group *g, struct buf *b)
{
	for (size_t i = 0; i < g->nnodes; i++) {
		const struct group_node *n = &g->nodes[i];
		unsigned char address[16];

		if (!n->host)
			continue;
		if (inet_pton(AF_INET, n->address, address) == 1)
			add_record(b, n->name, "A", "", n->address);
		else if (inet_pton(AF_INET6, n->address, address) == 1)
			add_record(b, n->name, "AAAA", "", n->address);
		else if (strcmp(n->name, n->address))
			add_record(b, n->name, "CNAME", "", n->address);
	}
}

int group_read_links(struct group *g, struct error **err)
{
	const struct node *root = doc_root(g->doc);
	struct node *links = NULL, *names = NULL;
	_cleanup_buf_ struct buf b = BUF_INIT;
	uint64_t seed = UINT64_MAX;

	if (node_u64(root, "seed", 0, INT64_MAX, &seed, err) < 0 || node_map(root, "links", &links, err) < 0 ||
		node_map(root, "names", &names, err) < 0)
		return -1;
	if (seed != UINT64_MAX)
		buf_addf(&b, ",\"seed\":%llu", (unsigned long long)seed);
	buf_adds(&b, ",\"links\":[");
	for (size_t i = 0; links && i < links->len; i++)
		if (read_link(g, links->keys[i], links->items[i], &b, err) < 0)
			return -1;
	buf_adds(&b, "],\"records\":[");
	add_real_hosts(g, &b);
	if (names && read_names(g, names, &b, err) < 0)
		return -1;
	buf_addc(&b, ']');
	g->net_extra = buf_steal(&b);
	return 0;
}
