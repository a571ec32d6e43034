/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses. They are computed from names alone: 10.X.Y.0/24 from the group's, .10 and above from the node's, the next free one when
 * two meet, in the order of sorted names. What was computed once is kept in the record, so that a node added later moves nobody.
 */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "conf/settings.h"
#include "internal.h"
#include "machine/identity.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define FIRST 10
#define USABLE 240

char *group_record_dir(const char *name)
{
	_cleanup_free_ char *sub = path_join("groups", name);

	return path_data(sub);
}

char *group_net_dir(const char *name)
{
	_cleanup_free_ char *dir = group_record_dir(name);

	return path_join(dir, "net");
}

bool group_exists(const char *name)
{
	_cleanup_free_ char *dir = group_record_dir(name), *json = path_join(dir, "group.json");

	return file_exists(json);
}

/* The lock's file goes away with the group: who waited for it may hold one that is no more. */
int group_lock(const char *name, struct error **err)
{
	_cleanup_free_ char *dir = group_record_dir(name), *path = path_join(dir, "lock");

	for (;;) {
		_cleanup_close_ int fd = -1;
		struct stat a, b;

		if (file_mkdirs(dir, 0700, err) < 0)
			return -1;
		fd = file_lock(path, true, 1000, err);
		if (fd < 0)
			return error_wrap(err, "group %s", name);
		if (fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_ino == b.st_ino && a.st_dev == b.st_dev)
			return STEAL_FD(fd);
	}
}

static uint32_t digest(const char *kind, const char *name)
{
	_cleanup_free_ char *text = xasprintf("croft %s %s", kind, name);
	unsigned char h[32];

	identity_digest(text, h);
	return (uint32_t)h[0] << 24 | (uint32_t)h[1] << 16 | (uint32_t)h[2] << 8 | h[3];
}

/* "10.1.2.0/24" to 0x0a010200; bits must be one of those asked for. */
static int parse_prefix(const char *what, const char *text, unsigned min, unsigned max, uint32_t *net, unsigned *bits, struct error **err)
{
	char addr[32], rest;
	struct in_addr a;

	if (sscanf(text, "%31[0-9.]/%u%c", addr, bits, &rest) != 2 || inet_pton(AF_INET, addr, &a) != 1 || *bits < min || *bits > max ||
		(ntohl(a.s_addr) & (0xffffffffu >> *bits)))
		return error_set(err, ERR_USAGE, "%s: '%s' is not a network; write it as 10.1.2.0/%u", what, text, max);
	*net = ntohl(a.s_addr);
	return 0;
}

static char *address_text(uint32_t a)
{
	return xasprintf("%u.%u.%u.%u", a >> 24, a >> 16 & 255, a >> 8 & 255, a & 255);
}

static int choose_prefix(const struct group *g, const struct node *record, uint32_t *net, struct error **err)
{
	static const char *const known[] = { "prefix", NULL };
	const char *own = NULL, *kept = NULL, *all = settings_get("net.prefix");
	struct node *n = NULL;
	unsigned bits;

	if (node_str(record, "prefix", &kept, err) < 0 || node_map(doc_root(g->doc), "network", &n, err) < 0)
		return -1;
	if (n && (node_known(n, "network", known, err) < 0 || node_str(n, "prefix", &own, err) < 0))
		return -1;
	if (own && parse_prefix("prefix", own, 24, 24, net, &bits, err) < 0)
		return error_wrap(err, "%s:%d:%d", doc_name(g->doc), node_get(n, "prefix")->line, node_get(n, "prefix")->col);
	if (kept)
		return parse_prefix(doc_name(record->doc), kept, 24, 24, net, &bits, err);
	if (own)
		return 0;
	if (parse_prefix("setting net.prefix", all, 8, 16, net, &bits, err) < 0)
		return -1;
	*net |= digest("prefix", g->name) & (0xffffffffu >> bits) & ~255u;
	return 0;
}

/* Takes the address for the node, or fails at `at` when it is taken. */
static int claim(struct group *g, struct group_node *n, uint32_t a, uint32_t net, const struct node *at, struct error **err)
{
	_cleanup_free_ char *text = address_text(a);

	if ((a & ~255u) != net || (a & 255) < 2 || (a & 255) == 255)
		return node_error(at, err, "%s: %s is not in the group's network %s, or not free for nodes there (.2 to .254)", n->name, text,
			g->prefix);
	for (size_t i = 0; i < g->nnodes; i++)
		if (&g->nodes[i] != n && g->nodes[i].address && !strcmp(g->nodes[i].address, text))
			return node_error(at, err, "%s: %s has the address %s already", n->name, g->nodes[i].name, text);
	free(n->address);
	n->address = STEAL(text);
	return 0;
}

/* From the record, or from the file (explicit). */
static int claim_given(struct group *g, const struct node *map, bool record, uint32_t net, struct error **err)
{
	for (size_t i = 0; i < g->nnodes; i++) {
		struct group_node *n = &g->nodes[i];
		const struct node *at = record ? node_get(map, n->name) : node_get(node_get(n->at, "network"), "ip");
		struct in_addr a;

		if (!at || (record && node_get(node_get(n->at, "network"), "ip")))
			continue;
		if (!at->text || inet_pton(AF_INET, at->text, &a) != 1)
			return node_error(at, err, "ip: '%s' is not an IPv4 address", at->text ? at->text : node_type_name(at->type));
		if (claim(g, n, ntohl(a.s_addr), net, at, err) < 0)
			return -1;
	}
	return 0;
}

static bool taken(const struct group *g, const char *text)
{
	for (size_t i = 0; i < g->nnodes; i++)
		if (g->nodes[i].address && !strcmp(g->nodes[i].address, text))
			return true;
	return false;
}

static void claim_rest(struct group *g, uint32_t net)
{
	_cleanup_strv_ struct strv names = STRV_INIT;

	for (size_t i = 0; i < g->nnodes; i++)
		if (!g->nodes[i].address)
			strv_add(&names, g->nodes[i].name);
	strv_sort(&names);
	for (size_t i = 0; i < names.len; i++) {
		_cleanup_error_ struct error *e = NULL;
		struct group_node *n = group_node(g, names.v[i], &e);
		uint32_t k = digest("address", n->name) % USABLE;
		_cleanup_free_ char *text = address_text(net | (FIRST + k));

		/* At most 200 nodes: there is a free one. */
		while (taken(g, text)) {
			free(text);
			k = (k + 1) % USABLE;
			text = address_text(net | (FIRST + k));
		}
		n->address = STEAL(text);
	}
}

int group_addresses(struct group *g, struct error **err)
{
	_cleanup_free_ char *path = path_join(g->record, "group.json");
	_cleanup_doc_ struct doc *d = file_exists(path) ? doc_load(path, err) : NULL;
	const struct node *record = d ? doc_root(d) : NULL;
	struct node *kept = NULL;
	uint32_t net = 0;

	if (*err || choose_prefix(g, record, &net, err) < 0 || node_map(record, "addresses", &kept, err) < 0)
		return -1;
	g->prefix = address_text(net);
	g->gateway = address_text(net | 1);
	{
		_cleanup_free_ char *plain = STEAL(g->prefix);

		g->prefix = xasprintf("%s/24", plain);
	}
	if (claim_given(g, NULL, false, net, err) < 0 || claim_given(g, kept, true, net, err) < 0)
		return -1;
	claim_rest(g, net);
	return 0;
}

int group_write_record(const struct group *g, struct error **err)
{
	_cleanup_free_ char *path = path_join(g->record, "group.json");
	_cleanup_buf_ struct buf b = BUF_INIT;

	buf_adds(&b, "{\"name\":");
	json_quote(&b, g->name);
	buf_adds(&b, ",\"file\":");
	json_quote(&b, g->file);
	buf_adds(&b, ",\"prefix\":");
	json_quote(&b, g->prefix);
	buf_adds(&b, ",\"addresses\":{");
	for (size_t i = 0; i < g->nnodes; i++) {
		buf_adds(&b, i ? "," : "");
		json_quote(&b, g->nodes[i].name);
		buf_addc(&b, ':');
		json_quote(&b, g->nodes[i].address);
	}
	buf_adds(&b, "}}\n");
	return file_write(path, b.data, b.len, 0600, err);
}
