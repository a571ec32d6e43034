/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Of a zone in net.json: {"router":{"to":"wan","address":"10.2.0.7","name":"home-router","nat":{..}},"routes":[{"prefix":"10.9.0.0/16",
 * "via":"10.1.2.7"}],
 * "dhcp":{"dns":["10.1.2.9"],"ntp":[],"domain":"x.test","boot_server":"10.1.2.9","boot_file":"pxelinux.0"}}. Without "nat" addresses are not translated. "nat": {"mapping","filtering": "independent", "address",
 * "address-port"; "hairpin","refresh_inbound","preserve_ports","pcp","upnp": booleans; "port_min","port_max","max_flows","max_host_flows";
 * "udp","tcp","transitory","icmp": seconds; "maps":[{"proto":"tcp","port":443,"address":"10.1.2.9","to_port":443}]}.
 */
#include "base/mem.h"
#include "net/filter6.h"
#include "net/ip6.h"
#include "net/nat.h"
#include "net/zone.h"

#include <string.h>

static struct zone *zone_named(struct net *n, const char *name)
{
	for (struct zone *z = n->zones; z; z = z->next)
		if (!strcmp(z->name, name))
			return z;
	return NULL;
}

static int read_scope(const json_t *j, const char *key, enum nat_scope *ret, struct error **err)
{
	static const char *const words[] = { "independent", "address", "address-port" };
	const char *s = conf_text(j, key);

	for (size_t i = 0; i < 3; i++)
		if (!strcmp(s, words[i])) {
			*ret = (enum nat_scope)i;
			return 0;
		}
	return *s ? error_set(err, ERR_USAGE, "net.json: %s '%s' is not independent, address or address-port", key, s) : 0;
}

static int read_number(const json_t *j, const char *key, json_int_t min, json_int_t max, unsigned *ret, struct error **err)
{
	const json_t *v = json_object_get(j, key);

	if (!v)
		return 0;
	if (!json_is_integer(v) || json_integer_value(v) < min || json_integer_value(v) > max)
		return error_set(err, ERR_USAGE, "net.json: %s is not a number from %lld to %lld", key, (long long)min, (long long)max);
	*ret = (unsigned)json_integer_value(v);
	return 0;
}

static void read_flag(const json_t *j, const char *key, bool *ret)
{
	const json_t *v = json_object_get(j, key);

	if (v)
		*ret = json_is_true(v);
}

static int read_maps(struct nat *n, const json_t *list, struct error **err)
{
	const json_t *j;
	size_t i;

	json_array_foreach(list, i, j)
	{
		unsigned port = 0, to_port = 0;
		uint32_t ip;

		if (conf_ip(conf_text(j, "address"), &ip, err) < 0 || read_number(j, "port", 1, 65535, &port, err) < 0 ||
			read_number(j, "to_port", 1, 65535, &to_port, err) < 0)
			return -1;
		if (nat_map(n, !strcmp(conf_text(j, "proto"), "udp") ? IPPROTO_UDP : IPPROTO_TCP, (uint16_t)port, ip, (uint16_t)to_port, 0,
			    0) < 0)
			return error_set(err, ERR_USAGE, "net.json: port map %s %u: the port, or the machine's port, has another",
				conf_text(j, "proto"), port);
	}
	return 0;
}

static int read_nat(struct router *r, const json_t *j, struct error **err)
{
	struct nat_config c;
	unsigned min, max;

	nat_config_init(&c);
	min = c.port_min;
	max = c.port_max;
	c.external = r->outer->ip;
	read_flag(j, "pcp", &r->pcp);
	read_flag(j, "upnp", &r->upnp);
	read_flag(j, "hairpin", &c.hairpin);
	read_flag(j, "refresh_inbound", &c.refresh_in);
	read_flag(j, "preserve_ports", &c.preserve);
	if (read_scope(j, "mapping", &c.mapping, err) < 0 || read_scope(j, "filtering", &c.filtering, err) < 0 ||
		read_number(j, "port_min", 1, 65535, &min, err) < 0 || read_number(j, "port_max", min, 65535, &max, err) < 0 ||
		read_number(j, "max_flows", 1, 1 << 22, &c.max_flows, err) < 0 ||
		read_number(j, "max_host_flows", 1, 1 << 22, &c.max_host_flows, err) < 0 ||
		read_number(j, "udp", 1, 1 << 30, &c.udp_s, err) < 0 || read_number(j, "tcp", 1, 1 << 30, &c.tcp_s, err) < 0 ||
		read_number(j, "transitory", 1, 1 << 30, &c.transitory_s, err) < 0 ||
		read_number(j, "icmp", 1, 1 << 30, &c.icmp_s, err) < 0)
		return -1;
	c.port_min = (uint16_t)min;
	c.port_max = (uint16_t)max;
	r->nat = nat_new(&c);
	r->filter6 = r->inside->v6 ? filter6_new() : NULL;
	if (!r->nat || (r->inside->v6 && !r->filter6))
		return error_set(err, ERR_FAILED, "router of zone %s: no memory for its tables", r->inside->name);
	return read_maps(r->nat, json_object_get(j, "maps"), err);
}

/* The zones that one leads to end somewhere. */
static bool circular(const struct zone *z)
{
	const struct zone *at = z;

	for (int i = 0; at->router; i++) {
		at = at->router->to;
		if (at == z || i > 64)
			return true;
	}
	return false;
}

static int read_router(struct zone *z, const json_t *j, struct error **err)
{
	struct zone *to = zone_named(z->net, conf_text(j, "to"));
	struct router *r;
	struct port *p;

	if (!to || to == z)
		return error_set(err, ERR_USAGE, "net.json: zone %s: its router leads to '%s', which is no other zone", z->name,
			conf_text(j, "to"));
	r = z->router = xcalloc(1, sizeof(*r));
	r->inside = z;
	r->to = to;
	if (circular(z))
		return error_set(err, ERR_USAGE, "net.json: zone %s: its router leads back to itself", z->name);
	p = r->outer = xcalloc(1, sizeof(*p));
	*p = (struct port){ .zone = to, .kind = PORT_ROUTER, .router = r, .fd = -1, .next = to->gw->next };
	p->node = *conf_text(j, "name") ? xstrdup(conf_text(j, "name")) : xasprintf("%s-router", z->name);
	strv_add(&p->names, p->node);
	to->gw->next = p;
	if (conf_ip(conf_text(j, "address"), &p->ip, err) < 0)
		return -1;
	p->mac[0] = 0x52;
	p->mac[1] = 0x56; /* beside the gateways, see read_zone */
	put32(p->mac + 2, p->ip);
	p->has_ip6 = to->v6;
	if (to->v6)
		ip6_address(to->prefix6, p->mac, p->ip6);
	return json_is_object(json_object_get(j, "nat")) ? read_nat(r, json_object_get(j, "nat"), err) : 0;
}

static int read_routes(struct zone *z, const json_t *list, struct error **err)
{
	const json_t *j;
	size_t i;

	z->routes = xcalloc(json_array_size(list) + 1, sizeof(*z->routes));
	json_array_foreach(list, i, j)
	{
		struct route *r = &z->routes[z->nroutes];
		unsigned bits;

		if (conf_prefix(conf_text(j, "prefix"), &r->prefix, &bits, err) < 0 || conf_ip(conf_text(j, "via"), &r->via, err) < 0)
			return -1;
		r->mask = 0xffffffffu << (32 - bits);
		z->nroutes++;
	}
	return 0;
}

static int read_addresses(const json_t *list, uint32_t *ip, size_t *n, struct error **err)
{
	const json_t *j;
	size_t i;

	json_array_foreach(list, i, j)
	{
		if (*n == DHCP_LIST_MAX)
			return error_set(err, ERR_USAGE, "net.json: more than %d servers", DHCP_LIST_MAX);
		if (conf_ip(json_is_string(j) ? json_string_value(j) : "", &ip[(*n)++], err) < 0)
			return -1;
	}
	return 0;
}

static int read_dhcp(struct dhcp_settings *s, const json_t *j, struct error **err)
{
	if (*conf_text(j, "domain"))
		s->domain = xstrdup(conf_text(j, "domain"));
	if (*conf_text(j, "boot_file"))
		s->boot_file = xstrdup(conf_text(j, "boot_file"));
	if (*conf_text(j, "boot_server") && conf_ip(conf_text(j, "boot_server"), &s->boot_server, err) < 0)
		return -1;
	return read_addresses(json_object_get(j, "dns"), s->dns, &s->ndns, err) < 0 ||
			       read_addresses(json_object_get(j, "ntp"), s->ntp, &s->nntp, err) < 0
		       ? -1
		       : 0;
}

int router_read(struct zone *z, const json_t *j, struct error **err)
{
	const json_t *router = json_object_get(j, "router");

	if (read_routes(z, json_object_get(j, "routes"), err) < 0 || read_dhcp(&z->dhcp, json_object_get(j, "dhcp"), err) < 0)
		return -1;
	return json_is_object(router) ? read_router(z, router, err) : 0;
}
