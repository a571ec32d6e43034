/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Zones of a group and who is in them. Without a section "zones" they are what the nodes' lan_id say: nodes of the same lan_id share a
 * zone; the first that is a bridge leads to the host's network and all others lead to it, a nat through NAT. Without any lan_id there
 * is one zone, "lan".
 */
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/units.h"
#include "internal.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define ZONES_MAX 64
#define FORWARDS_MAX 1000

static const struct {
	const char *name, *mapping, *filtering;
} kinds[] = {
	{ "full-cone", "independent", "independent" },
	{ "address-restricted", "independent", "address" },
	{ "port-restricted", "independent", "address-port" },
	{ "symmetric", "address-port", "address-port" },
};

static void forwards_free(struct group_forward *f, size_t n)
{
	for (size_t i = 0; i < n; i++)
		forward_spec_clear(&f[i].spec);
	free(f);
}

void group_zones_free(struct group *g)
{
	for (size_t i = 0; i < g->nzones; i++) {
		struct group_zone *z = &g->zones[i];
		char *all[] = { z->name, z->to, z->router, z->prefix, z->gateway, z->prefix6 };

		for (size_t k = 0; k < ARRAY_SIZE(all); k++)
			free(all[k]);
		forwards_free(z->nat.maps, z->nat.nmaps);
	}
	forwards_free(g->forwards, g->nforwards);
	free(g->zones);
}

static struct group_zone *find_zone(const struct group *g, const char *name)
{
	for (size_t i = 0; i < g->nzones; i++)
		if (!strcmp(g->zones[i].name, name))
			return &g->zones[i];
	return NULL;
}

static int no_zone(const struct group *g, const struct node *at, const char *key, struct error **err)
{
	_cleanup_strv_ struct strv all = STRV_INIT;
	_cleanup_free_ char *list = NULL;
	const char *near;

	for (size_t i = 0; i < g->nzones; i++)
		strv_add(&all, g->zones[i].name);
	list = strv_join(&all, ", ");
	near = nearest_name(at->text, (const char *const *)all.v, all.len);
	node_error(at, err, "%s: no zone is named '%s'", key, at->text);
	return near ? error_hint(err, "did you mean '%s'?", near) : error_hint(err, "the zones are %s", list);
}

static struct group_zone *add_zone(struct group *g, const char *name, const char *to)
{
	struct group_zone *z;

	g->zones = xreallocarray(g->zones, g->nzones + 1, sizeof(*g->zones));
	z = &g->zones[g->nzones++];
	*z = (struct group_zone){ .name = xstrdup(name), .to = xstrdup(to) };
	z->nat.hairpin = z->nat.preserve_ports = true;
	return z;
}

static void set_kind(struct group_zone *z, size_t k)
{
	z->kind = kinds[k].name;
	z->nat.mapping = kinds[k].mapping;
	z->nat.filtering = kinds[k].filtering;
}

/* "[PROTO:]PORT-NODE[:PORT]", and with `host` all that a forward may be (net/fwdspec.h). */
static int read_forward(const struct group *g, const struct node *at, bool host, struct group_forward *f, struct error **err)
{
	const char *s = at->text ? at->text : "";
	_cleanup_error_ struct error *e = NULL;
	const struct group_node *n;
	bool good;

	f->at = at;
	good = forward_spec_parse(s, &f->spec, &e) == 0;
	if (!good || (!host && (f->spec.has_host || f->spec.reverse))) {
		node_error(at, err, "'%s' is not a %s", s, host ? "forward" : "port map");
		return host ? error_hint(err, "%s", e->hint) : error_hint(err, "write [PROTO:]PORT-NODE[:PORT], as tcp:8080-%s:80", g->nodes[0].name);
	}
	if (!strcmp(f->spec.node, "*"))
		return 0;
	n = group_node(g, f->spec.node, &e);
	if (!n) {
		node_error(at, err, "'%s': no node is named '%s'", s, f->spec.node);
		return e->hint ? error_hint(err, "%s", e->hint) : -1;
	}
	free(f->spec.node);
	f->spec.node = xstrdup(n->name);
	return 0;
}

/* Whether both want the same port: of the host, or in the reverse of the gateway. */
static bool same_port(const struct forward_spec *a, const struct forward_spec *b)
{
	if (a->udp != b->udp || a->reverse != b->reverse)
		return false;
	if (a->reverse)
		return a->port == b->port && (!strcmp(a->node, b->node) || *a->node == '*' || *b->node == '*');
	return a->host_port == b->host_port && !strcmp(a->host, b->host);
}

static int read_forwards(const struct group *g, const struct node *map, const char *key, bool host, struct group_forward **list, size_t *n,
	struct error **err)
{
	struct node *l = NULL;

	if (node_list(map, key, &l, err) < 0)
		return -1;
	if (l && l->len > FORWARDS_MAX)
		return node_error(l, err, "%s: %zu; at most %d are possible", key, l->len, FORWARDS_MAX);
	*list = xcalloc(l ? l->len + 1 : 1, sizeof(**list));
	for (size_t i = 0; l && i < l->len; i++) {
		struct group_forward *f = &(*list)[(*n)++];

		if (read_forward(g, l->items[i], host, f, err) < 0)
			return -1;
		for (size_t k = 0; k < i; k++)
			if (same_port(&(*list)[k].spec, &f->spec))
				return node_error(l->items[i], err, "port %u has a forward already",
					f->spec.reverse ? f->spec.port : f->spec.host_port);
	}
	return 0;
}

static int word(const struct node *map, const char *key, const char *const *words, const char **ret, struct error **err)
{
	const char *s = NULL;

	if (node_str(map, key, &s, err) < 0)
		return -1;
	for (; s && *words; words++)
		if (!strcmp(s, *words)) {
			*ret = *words;
			return 0;
		}
	return s ? node_error(node_get(map, key), err, "%s: '%s'; known are independent, address, address-port", key, s) : 0;
}

static int read_kind(struct group_zone *z, const struct node *at, struct error **err)
{
	const char *names[ARRAY_SIZE(kinds) + 1] = { "none" }, *near;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		names[i + 1] = kinds[i].name;
		if (!strcmp(at->text ? at->text : "", kinds[i].name)) {
			set_kind(z, i);
			return 0;
		}
	}
	if (at->text && !strcmp(at->text, "none"))
		return 0;
	near = at->text ? nearest_name(at->text, names, ARRAY_SIZE(names)) : NULL;
	node_error(at, err, "nat: '%s' is not known; known are none, full-cone, address-restricted, port-restricted, symmetric",
		at->text ? at->text : node_type_name(at->type));
	return near ? error_hint(err, "did you mean '%s'?", near) : -1;
}

static int read_nat(struct group *g, struct group_zone *z, const struct node *r, struct error **err)
{
	static const char *const scopes[] = { "independent", "address", "address-port", NULL };
	static const char *const times[] = { "udp", "tcp", "transitory", "icmp", NULL };
	struct group_nat *n = &z->nat;
	struct node *t = NULL;

	if (node_get(r, "nat") && read_kind(z, node_get(r, "nat"), err) < 0)
		return -1;
	if (!z->kind && (node_get(r, "mapping") || node_get(r, "filtering")))
		set_kind(z, 2);
	if (word(r, "mapping", scopes, &n->mapping, err) < 0 || word(r, "filtering", scopes, &n->filtering, err) < 0 ||
		node_bool(r, "hairpin", &n->hairpin, err) < 0 || node_bool(r, "refresh_inbound", &n->refresh_inbound, err) < 0 ||
		node_bool(r, "preserve_ports", &n->preserve_ports, err) < 0 ||
		node_bool(r, "pcp", &n->pcp, err) < 0 || node_bool(r, "upnp", &n->upnp, err) < 0 || node_u64(r, "max_flows", 1, 1 << 22, &n->max_flows, err) < 0 ||
		node_u64(r, "max_host_flows", 1, 1 << 22, &n->max_host_flows, err) < 0 || node_map(r, "timeouts", &t, err) < 0 ||
		read_forwards(g, r, "maps", false, &n->maps, &n->nmaps, err) < 0)
		return -1;
	if (t && (node_known(t, "timeouts", times, err) < 0 || node_u64(t, "udp", 1, 1 << 30, &n->udp, err) < 0 ||
			 node_u64(t, "tcp", 1, 1 << 30, &n->tcp, err) < 0 || node_u64(t, "transitory", 1, 1 << 30, &n->transitory, err) < 0 ||
			 node_u64(t, "icmp", 1, 1 << 30, &n->icmp, err) < 0))
		return -1;
	if (z->kind && !strcmp(z->to, "host"))
		return node_error(r, err, "router: to the host's network a zone goes without NAT of its own: what leaves are sockets of the host's");
	if (!z->kind && n->nmaps)
		return node_error(node_get(r, "maps"), err, "maps: the router has no nat");
	if (!z->kind && (n->pcp || n->upnp))
		return node_error(r, err, "router: without nat there are no port maps to ask for: leave out pcp and upnp");
	return 0;
}

static int read_router(struct group *g, struct group_zone *z, const struct node *at, struct error **err)
{
	static const char *const known[] = { "to", "nat", "mapping", "filtering", "hairpin", "refresh_inbound", "preserve_ports", "pcp", "upnp",
		"maps", "timeouts", "max_flows", "max_host_flows", "ip", NULL };
	const struct node *to = at->type == NODE_MAP ? node_get(at, "to") : at;

	if (at->type == NODE_MAP && node_known(at, "router", known, err) < 0)
		return -1;
	if (!to || !to->text)
		return node_error(at, err, "router: where it leads is needed: to: host, or to: ZONE");
	free(z->to);
	z->to = strcmp(to->text, "none") ? xstrdup(to->text) : NULL;
	if (z->to && strcmp(z->to, "host") && !find_zone(g, z->to))
		return no_zone(g, to, "router", err);
	if (z->to && !strcmp(z->to, z->name))
		return node_error(to, err, "router: zone %s leads to itself", z->name);
	return at->type == NODE_MAP && z->to ? read_nat(g, z, at, err) : 0;
}

static int check_ip(const struct node *v, struct error **err)
{
	struct in_addr a;

	if (!v || (v->text && inet_pton(AF_INET, v->text, &a) == 1))
		return 0;
	return node_error(v, err, "'%s' is not an IPv4 address", v->text ? v->text : node_type_name(v->type));
}

/* "10.9.0.0/16 via 10.1.2.7" */
static int check_route(const struct node *v, struct error **err)
{
	char net[32], via[32], rest;
	unsigned bits;
	struct in_addr a;

	if (v->text && sscanf(v->text, "%31[0-9.]/%u via %31[0-9.]%c", net, &bits, via, &rest) == 3 && bits >= 8 && bits <= 30 &&
		inet_pton(AF_INET, net, &a) == 1 && inet_pton(AF_INET, via, &a) == 1)
		return 0;
	return node_error(v, err, "'%s' is not a route; write it as 10.9.0.0/16 via 10.1.2.7", v->text ? v->text : node_type_name(v->type));
}

static int check_list(const struct node *map, const char *key, int (*check)(const struct node *, struct error **), struct error **err)
{
	struct node *l = NULL;

	if (node_list(map, key, &l, err) < 0)
		return -1;
	if (l && l->len > 8)
		return node_error(l, err, "%s: at most 8 are possible", key);
	for (size_t i = 0; l && i < l->len; i++)
		if (check(l->items[i], err) < 0)
			return -1;
	return 0;
}

static int read_dhcp(struct group_zone *z, const struct node *at, struct error **err)
{
	static const char *const known[] = { "dns", "ntp", "routes", "domain", "boot_server", "boot_file", NULL };
	struct node *d = NULL;
	const char *s = NULL;

	if (node_map(at, "dhcp", &d, err) < 0 || !d)
		return *err ? -1 : 0;
	z->dhcp = d;
	if (node_known(d, "dhcp", known, err) < 0 || check_list(d, "dns", check_ip, err) < 0 || check_list(d, "ntp", check_ip, err) < 0 ||
		check_list(d, "routes", check_route, err) < 0 || node_str(d, "domain", &s, err) < 0 || node_str(d, "boot_file", &s, err) < 0)
		return -1;
	if (node_get(d, "boot_file") && strlen(node_get(d, "boot_file")->text) > 127)
		return node_error(node_get(d, "boot_file"), err, "boot_file: longer than the 127 characters of DHCP");
	return check_ip(node_get(d, "boot_server"), err);
}

static int read_zone(struct group *g, struct group_zone *z, const struct node *at, struct error **err)
{
	static const char *const known[] = { "prefix", "prefix6", "router", "mtu", "dhcp", NULL };
	const struct node *router = node_get(at, "router");
	const char *six = NULL;

	z->at = at;
	if (at->type == NODE_NULL)
		return 0;
	if (at->type != NODE_MAP)
		return node_error(at, err, "zone %s: a map is needed, this is %s", z->name, node_type_name(at->type));
	if (node_known(at, "zone", known, err) < 0 || node_u64(at, "mtu", 576, 9000, &z->mtu, err) < 0 || read_dhcp(z, at, err) < 0 ||
		node_str(at, "prefix6", &six, err) < 0)
		return -1;
	if (six && strcmp(six, "none")) {
		struct in6_addr a;
		size_t n = strlen(six);
		_cleanup_free_ char *net = n > 3 && !strcmp(six + n - 3, "/64") ? xstrndup(six, n - 3) : NULL;

		z->v6 = true;
		if (strcmp(six, "auto") && (!net || inet_pton(AF_INET6, net, &a) != 1 || memcmp(a.s6_addr + 8, (char[8]){ 0 }, 8)))
			return node_error(node_get(at, "prefix6"), err, "prefix6: '%s' is not auto, none, or a network as fd00:1:2:3::/64", six);
		z->prefix6 = strcmp(six, "auto") ? xstrdup(six) : NULL;
	}
	return router ? read_router(g, z, router, err) : 0;
}

/* Routers lead upwards, at last to the host or nowhere. */
static int check_circles(const struct group *g, struct error **err)
{
	for (size_t i = 0; i < g->nzones; i++) {
		const struct group_zone *z = &g->zones[i];

		for (size_t k = 0; z && z->to && strcmp(z->to, "host"); k++) {
			if (k > g->nzones)
				return node_error(node_get(g->zones[i].at, "router"), err, "router: zones lead to one another in a circle");
			z = find_zone(g, z->to);
		}
	}
	return 0;
}

static int read_section(struct group *g, const struct node *map, struct error **err)
{
	if (!map->len || map->len > ZONES_MAX)
		return node_error(map, err, "zones: %zu; 1 to %d are possible", map->len, ZONES_MAX);
	for (size_t i = 0; i < map->len; i++) {
		const struct node *key = map->keys[i];

		if (name_check("zone", key->text, err) < 0)
			return error_wrap(err, "%s:%d:%d", doc_name(g->doc), key->line, key->col);
		if (!strcmp(key->text, "host") || !strcmp(key->text, "none"))
			return node_error(key, err, "zone %s: this name has a meaning of its own", key->text);
		add_zone(g, key->text, "host");
	}
	for (size_t i = 0; i < map->len; i++)
		if (read_zone(g, &g->zones[i], map->items[i], err) < 0)
			return -1;
	return check_circles(g, err);
}

static const char *text_of(const struct node *net, const char *key)
{
	const struct node *v = net && net->type == NODE_MAP ? node_get(net, key) : NULL;

	return v ? v->text : NULL;
}

/* The way of older files, see the head of this one. */
static int zones_of_lans(struct group *g, struct error **err)
{
	size_t main = SIZE_MAX;

	for (size_t i = 0; i < g->nnodes; i++) {
		const struct node *net = node_get(g->nodes[i].at, "network");
		const char *lan = text_of(net, "lan_id"), *type = text_of(net, "type");
		bool is_nat = type && !strcmp(type, "nat");
		struct group_zone *z;

		if (!lan || g->nodes[i].gone)
			continue;
		z = find_zone(g, lan);
		if (!z) {
			if (name_check("lan_id", lan, err) < 0)
				return error_wrap(err, "%s:%d:%d", doc_name(g->doc), net->line, net->col);
			z = add_zone(g, lan, "host");
			if (is_nat)
				set_kind(z, 2);
			z->at = net;
		} else if (type && is_nat != (z->kind != NULL)) {
			return node_error(node_get(net, "type"), err, "type: zone %s is %s at line %d", lan, z->kind ? "nat" : "bridge", z->at->line);
		}
		if (!is_nat && main == SIZE_MAX)
			main = (size_t)(z - g->zones);
	}
	if (!g->nzones)
		add_zone(g, "lan", "host");
	else if (main == SIZE_MAX) {
		main = g->nzones;
		add_zone(g, find_zone(g, "internet") ? "internet-0" : "internet", "host");
	}
	for (size_t i = 0; i < g->nzones && g->nzones > 1; i++)
		if (i != main) {
			free(g->zones[i].to);
			g->zones[i].to = xstrdup(g->zones[main].name);
		}
	/* The one that the others lead to is where nodes without a lan_id are. */
	if (main != SIZE_MAX && main) {
		struct group_zone z = g->zones[main];

		memmove(g->zones + 1, g->zones, main * sizeof(z));
		g->zones[0] = z;
	}
	return 0;
}

static int read_nic(struct group *g, struct group_node *n, const struct node *net, bool section, struct error **err)
{
	static const char *const known[] = { "zone", "lan_id", "type", "ip", "spoofing", NULL };
	struct group_nic *c = &n->nics[n->nnics];
	const char *zone = NULL, *lan = NULL, *type = NULL;
	const struct group_zone *z = &g->zones[0];

	/* Of a fork's machines: the same as in the group that it was made from. */
	_cleanup_free_ char *known_as = xasprintf("%s/%s", g->inside, n->name);

	*c = (struct group_nic){ .at = net };
	machine_mac(known_as, (unsigned)n->nnics++, c->mac);
	if (net && net->type == NODE_NULL)
		net = NULL;
	if (net && net->type != NODE_MAP)
		return node_error(net, err, "network: a map is needed, this is %s", node_type_name(net->type));
	if (!net)
		return 0;
	if (node_known(net, "network", known, err) < 0 || node_str(net, "zone", &zone, err) < 0 || node_str(net, "lan_id", &lan, err) < 0 ||
		node_str(net, "type", &type, err) < 0 || node_bool(net, "spoofing", &c->trusted, err) < 0 || check_ip(node_get(net, "ip"), err) < 0)
		return -1;
	if (type && strcmp(type, "bridge") && strcmp(type, "nat"))
		return node_error(node_get(net, "type"), err, "type: '%s' is neither bridge nor nat", type);
	if (zone && lan)
		return node_error(node_get(net, "lan_id"), err, "lan_id: the zone is named already");
	if (type && section)
		return node_error(node_get(net, "type"), err, "type: what zone %s is stands under zones", lan ? lan : zone ? zone : "");
	if (zone || lan)
		z = find_zone(g, zone ? zone : lan);
	if (!z)
		return no_zone(g, node_get(net, zone ? "zone" : "lan_id"), zone ? "zone" : "lan_id", err);
	c->zone = (size_t)(z - g->zones);
	for (size_t i = 0; i + 1 < n->nnics; i++)
		if (n->nics[i].zone == c->zone)
			return node_error(net, err, "network: %s is in zone %s already", n->name, z->name);
	return 0;
}

static int read_nics(struct group *g, struct group_node *n, bool section, struct error **err)
{
	const struct node *net = node_get(n->at, "network");
	size_t len = net && net->type == NODE_LIST ? net->len : 1;

	if (n->gone && !n->host)
		return group_gone_nics(g, n, err);
	if (n->host && !n->gone && net && net->len)
		return node_error(net, err, "network: the node is a real computer (host): it is in no zone of the group's");
	if (n->host)
		return 0;
	if (!len || len > GROUP_NICS_MAX)
		return node_error(net, err, "network: %zu; 1 to %d are possible", len, GROUP_NICS_MAX);
	n->nics = xcalloc(len, sizeof(*n->nics));
	for (size_t i = 0; i < len; i++)
		if (read_nic(g, n, net && net->type == NODE_LIST ? net->items[i] : net, section, err) < 0)
			return -1;
	n->mac = n->nics[0].mac;
	return 0;
}

/* A map of a router leads to a machine that is behind it. */
static int check_maps(const struct group *g, struct error **err)
{
	for (size_t i = 0; i < g->nzones; i++)
		for (size_t k = 0; k < g->zones[i].nat.nmaps; k++) {
			const struct group_forward *f = &g->zones[i].nat.maps[k];
			const struct group_node *n = group_node(g, f->spec.node, err);
			bool there = false;

			for (size_t m = 0; n && m < n->nnics; m++)
				there |= n->nics[m].zone == i;
			if (!there)
				return node_error(f->at, err, "maps: %s is not in zone %s", f->spec.node, g->zones[i].name);
		}
	return 0;
}

/* "engine": user (default), kernel. */
static int read_engine(struct group *g, const struct node *root, struct error **err)
{
	const struct node *at = node_get(root, "engine");
	const char *engine = NULL;

	if (node_str(root, "engine", &engine, err) < 0)
		return -1;
	g->kernel = engine && !strcmp(engine, "kernel");
	if (engine && !g->kernel && strcmp(engine, "user"))
		return node_error(at, err, "engine: '%s' is neither user nor kernel", engine);
	return 0;
}

int group_read_zones(struct group *g, struct error **err)
{
	const struct node *root = doc_root(g->doc);
	struct node *map = NULL;

	if (read_engine(g, root, err) < 0)
		return -1;
	if (node_map(root, "zones", &map, err) < 0 || (map ? read_section(g, map, err) : zones_of_lans(g, err)) < 0)
		return -1;
	for (size_t i = 0; i < g->nnodes; i++)
		if (read_nics(g, &g->nodes[i], map != NULL, err) < 0)
			return -1;
	if (read_forwards(g, root, "forwards", true, &g->forwards, &g->nforwards, err) < 0)
		return -1;
	return check_maps(g, err);
}
