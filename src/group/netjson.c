/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "conf/settings.h"
#include "internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Names are checked (name_check), and words are ours: they need no quoting. What else comes from a file is quoted. */

static void dhcp(const struct group_zone *z, struct buf *b)
{
	static const char *const keys[] = { "dns", "ntp", "domain", "boot_server", "boot_file" };
	const struct node *routes = node_get(z->dhcp, "routes");
	bool first = true;

	if (!z->dhcp)
		return;
	buf_adds(b, ",\"dhcp\":{");
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		const struct node *v = node_get(z->dhcp, keys[i]);

		if (!v)
			continue;
		buf_addf(b, "%s\"%s\":", first ? "" : ",", keys[i]);
		node_to_json(v, b);
		first = false;
	}
	buf_adds(b, "},\"routes\":[");
	for (size_t i = 0; routes && i < routes->len; i++) {
		char net[32] = "", via[32] = "";

		/* It was checked. */
		if (sscanf(routes->items[i]->text, "%31s via %31s", net, via) == 2)
			buf_addf(b, "%s{\"prefix\":\"%s\",\"via\":\"%s\"}", i ? "," : "", net, via);
	}
	buf_addc(b, ']');
}

static void number(struct buf *b, const char *key, uint64_t n)
{
	if (n)
		buf_addf(b, ",\"%s\":%" PRIu64, key, n);
}

static const char *address_in(const struct group *g, const char *node, size_t zone)
{
	_cleanup_error_ struct error *e = NULL;
	const struct group_node *n = group_node(g, node, &e);

	for (size_t i = 0; n && i < n->nnics; i++)
		if (n->nics[i].zone == zone)
			return n->nics[i].address;
	return "";
}

static void nat(const struct group *g, size_t zone, struct buf *b)
{
	const struct group_nat *n = &g->zones[zone].nat;

	buf_addf(b, ",\"nat\":{\"mapping\":\"%s\",\"filtering\":\"%s\",\"hairpin\":%s,\"refresh_inbound\":%s,\"preserve_ports\":%s,"
		    "\"pcp\":%s,\"upnp\":%s",
		n->mapping, n->filtering, n->hairpin ? "true" : "false", n->refresh_inbound ? "true" : "false",
		n->preserve_ports ? "true" : "false", n->pcp ? "true" : "false", n->upnp ? "true" : "false");
	number(b, "udp", n->udp);
	number(b, "tcp", n->tcp);
	number(b, "transitory", n->transitory);
	number(b, "icmp", n->icmp);
	number(b, "max_flows", n->max_flows);
	number(b, "max_host_flows", n->max_host_flows);
	buf_adds(b, ",\"maps\":[");
	for (size_t i = 0; i < n->nmaps; i++)
		buf_addf(b, "%s{\"proto\":\"%s\",\"port\":%u,\"address\":\"%s\",\"to_port\":%u}", i ? "," : "", n->maps[i].spec.udp ? "udp" : "tcp",
			n->maps[i].spec.host_port, address_in(g, n->maps[i].spec.node, zone), n->maps[i].spec.port);
	buf_adds(b, "]}");
}

static void zone(const struct group *g, size_t i, struct buf *b)
{
	const struct group_zone *z = &g->zones[i];

	buf_addf(b, "%s{\"name\":\"%s\",\"prefix\":\"%s\",\"gateway\":\"%s\",\"domain\":\"%s.croft\",\"outside\":%s", i ? "," : "", z->name,
		z->prefix, z->gateway, g->inside, z->to && !strcmp(z->to, "host") ? "true" : "false");
	if (z->v6)
		buf_addf(b, ",\"prefix6\":\"%s\"", z->prefix6);
	number(b, "mtu", z->mtu);
	dhcp(z, b);
	if (z->router) {
		buf_addf(b, ",\"router\":{\"to\":\"%s\",\"address\":\"%s\",\"name\":\"%s-router\"", z->to, z->router, z->name);
		if (z->kind)
			nat(g, i, b);
		buf_addc(b, '}');
	}
	buf_addc(b, '}');
}

static void port(const struct group *g, const struct group_node *n, size_t i, bool first, struct buf *b)
{
	_cleanup_free_ char *machines = path_data("machines"), *sock = xasprintf("%s/%s/run/net%zu.sock", machines, n->full, i);
	const struct group_nic *c = &n->nics[i];

	buf_addf(b, "%s{\"node\":\"%s\",\"zone\":\"%s\",\"mac\":\"%s\",\"address\":\"%s\",\"names\":[\"%s\",\"%s.%s.croft\"", first ? "" : ",",
		n->name, g->zones[c->zone].name, c->mac, c->address, n->name, n->name, g->inside);
	if (strcmp(n->id, n->name))
		buf_addf(b, ",\"%s\",\"%s.%s.croft\"", n->id, n->id, g->inside);
	if (g->kernel) {
		char tap[16];

		group_tap_name(n, i, tap);
		buf_addf(b, "],\"tap\":\"%s\"", tap);
	} else {
		buf_addc(b, ']');
	}
	buf_addf(b, ",\"trusted\":%s,\"socket\":", c->trusted ? "true" : "false");
	json_quote(b, sock);
	buf_addc(b, '}');
}

/* The same for as long as the machine is at its place, and no other's on this computer (FNV-1a of the path). */
void group_tap_name(const struct group_node *n, size_t nic, char ret[16])
{
	_cleanup_free_ char *machines = path_data("machines"), *path = xasprintf("%s/%s", machines, n->full);
	uint32_t h = 0x811c9dc5u;

	for (const char *c = path; *c; c++)
		h = (h ^ (uint8_t)*c) * 0x01000193u;
	snprintf(ret, 16, "ct%08x-%zu", h, nic);
}

void group_net_json(const struct group *g, struct buf *b)
{
	bool first = true;

	buf_adds(b, "{\"group\":");
	json_quote(b, g->name);
	if (g->kernel)
		buf_adds(b, ",\"engine\":\"kernel\"");
	buf_adds(b, ",\"zones\":[");
	for (size_t i = 0; i < g->nzones; i++)
		zone(g, i, b);
	buf_adds(b, "],\"ports\":[");
	for (size_t i = 0; i < g->nnodes; i++)
		for (size_t k = 0; k < g->nodes[i].nnics; k++, first = false)
			port(g, &g->nodes[i], k, first, b);
	buf_adds(b, "],\"forwards\":[");
	for (size_t i = 0; i < g->nforwards; i++) {
		json_t *j = forward_spec_json(&g->forwards[i].spec);
		_cleanup_free_ char *text = json_dumps(j, JSON_COMPACT);

		buf_addf(b, "%s%s", i ? "," : "", text);
		json_decref(j);
	}
	buf_addf(b, "]%s}\n", g->net_extra ? g->net_extra : "");
}
