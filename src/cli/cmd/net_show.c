/* SPDX-License-Identifier: Apache-2.0 */
/* croft net GROUP show: zones, routers, ports, leases, forwards, and what a router knows. */
#include "cli/cli.h"
#include "cli/cmd/cmd.h"
#include "cli/cmd/netask.h"

#include "base/cleanup.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static const char *text(const json_t *j, const char *key)
{
	return json_string_value(json_object_get(j, key));
}

static char *number(const json_t *j, const char *key)
{
	return xasprintf("%lld", (long long)json_integer_value(json_object_get(j, key)));
}

static void print_zones(const json_t *list)
{
	static const char *const keys[] = { "zone", "prefix", "prefix6", "gateway", "to", NULL };
	static const char *const titles[] = { "ZONE", "PREFIX", "IPV6", "GATEWAY", "LEADS TO", NULL };
	struct table *t = table_new(keys, titles);
	json_t *z;
	size_t i;

	json_array_foreach(list, i, z)
	{
		const char *to = text(json_object_get(z, "router"), "to");

		table_row(t, (const char *const[]){ text(z, "name"), text(z, "prefix"), text(z, "prefix6"), text(z, "gateway"),
				     !to ? "nowhere" : !strcmp(to, "host") ? "the host's network" : to });
	}
	table_print(t);
}

static void print_routers(const json_t *list)
{
	static const char *const keys[] = { "router", "address", "mapping", "filtering", "flows", "maps", "refused", NULL };
	static const char *const titles[] = { "ROUTER", "ADDRESS", "MAPPING", "FILTERING", "FLOWS", "MAPS", "REFUSED", NULL };
	struct table *t = NULL;
	json_t *z;
	size_t i;

	json_array_foreach(list, i, z)
	{
		const json_t *r = json_object_get(z, "router"), *nat = json_object_get(r, "nat");
		_cleanup_free_ char *flows = NULL, *maps = NULL, *refused = NULL;

		if (!text(r, "name"))
			continue;
		if (!t)
			t = table_new(keys, titles);
		if (json_is_object(nat)) {
			flows = number(nat, "flows");
			maps = number(nat, "maps");
		}
		refused = number(r, "dropped");
		table_row(t, (const char *const[]){ text(r, "name"), text(r, "address"), json_is_object(nat) ? text(nat, "mapping") : "none",
				     text(nat, "filtering"), flows, maps, refused });
	}
	if (!t)
		return;
	putchar('\n');
	table_print(t);
}

static char *lease_cell(const json_t *port)
{
	json_int_t at = json_integer_value(json_object_get(port, "leased")), age = (json_int_t)time(NULL) - at;

	if (!at)
		return NULL;
	if (age < 120)
		return xasprintf("%llds ago", (long long)(age < 0 ? 0 : age));
	return age < 7200 ? xasprintf("%lldm ago", (long long)age / 60) : xasprintf("%lldh ago", (long long)age / 3600);
}

static void print_ports(const json_t *list)
{
	static const char *const keys[] = { "node", "zone", "address", "mac", "lease", "state", "sent", "received", "dropped", "link", NULL };
	static const char *const titles[] = { "NODE", "ZONE", "ADDRESS", "MAC", "LEASE", "STATE", "SENT", "RECEIVED", "DROPPED", "LINK", NULL };
	struct table *t = table_new(keys, titles);
	json_t *p;
	size_t i;

	json_array_foreach(list, i, p)
	{
		_cleanup_free_ char *sent = number(p, "frames_from"), *received = number(p, "frames_to"), *dropped = number(p, "dropped"),
				    *link = net_cmd_link_cell(p), *lease = lease_cell(p);

		table_row(t, (const char *const[]){ text(p, "node"), text(p, "zone"), text(p, "address"), text(p, "mac"), lease,
				     json_is_true(json_object_get(p, "connected")) ? "connected" : "off", sent, received, dropped, link });
	}
	table_print(t);
}

static void print_all(const json_t *j)
{
	print_zones(json_object_get(j, "zones"));
	print_routers(json_object_get(j, "zones"));
	putchar('\n');
	print_ports(json_object_get(j, "ports"));
	if (json_array_size(json_object_get(j, "forwards"))) {
		putchar('\n');
		net_cmd_print_forwards(json_object_get(j, "forwards"));
	}
	net_cmd_print_cuts(json_object_get(json_object_get(j, "faults"), "cuts"));
}

static void print_entries(const json_t *table)
{
	static const char *const keys[] = { "what", "proto", "inside", "port", "remote", "state", "left", NULL };
	static const char *const titles[] = { "WHAT", "PROTOCOL", "INSIDE", "OUTSIDE PORT", "REMOTE", "STATE", "SECONDS LEFT", NULL };
	static const struct {
		const char *key, *name;
	} lists[] = { { "maps", "port map" }, { "flows", "flow" }, { "flows6", "flow, IPv6" } };
	struct table *t = table_new(keys, titles);
	json_t *e;
	size_t i;

	for (size_t k = 0; k < ARRAY_SIZE(lists); k++)
		json_array_foreach(json_object_get(table, lists[k].key), i, e)
		{
			_cleanup_free_ char *port = json_object_get(e, "port") ? number(e, "port") : NULL,
					    *left = json_is_integer(json_object_get(e, "seconds_left")) ? number(e, "seconds_left") : NULL;

			table_row(t, (const char *const[]){ lists[k].name, text(e, "proto"), text(e, "inside"), port, text(e, "remote"),
					     text(e, "state"), left });
		}
	table_print(t);
}

/* Page by page; all of it, or NULL. */
static json_t *whole_table(const struct cmd_args *a, const char *zone, struct error **err)
{
	static const char *const lists[] = { "maps", "flows", "flows6" };
	json_t *all = NULL, *page, *next = json_integer(0);

	while (next) {
		page = net_cmd_ask(a, json_pack("{s:s, s:s, s:o}", "op", "table", "zone", zone, "from", next), err);
		if (!page) {
			json_decref(all);
			return NULL;
		}
		next = json_incref(json_object_get(page, "next"));
		json_object_del(page, "next");
		json_object_del(page, "ok");
		for (size_t i = 0; all && i < ARRAY_SIZE(lists); i++)
			json_array_extend(json_object_get(all, lists[i]), json_object_get(page, lists[i]));
		if (all)
			json_decref(page);
		else
			all = page;
	}
	return all;
}

static int show_run(const struct cmd_args *a, struct error **err)
{
	const char *zone = arg_str(a, "table");
	json_t *j = zone ? whole_table(a, zone, err) : net_cmd_ask(a, json_pack("{s:s}", "op", "status"), err);
	int rc = 0;

	if (!j)
		return -1;
	json_object_del(j, "ok");
	if (cli_format != FORMAT_TABLE) {
		_cleanup_free_ char *out = json_dumps(j, 0);

		rc = print_json(out, err);
	} else if (zone) {
		print_entries(j);
	} else {
		print_all(j);
	}
	json_decref(j);
	return rc;
}

static const struct opt show_opts[] = {
	{ 't', "table", OPT_STRING, "ZONE", "What the zone's router knows: port maps, flows through NAT, flows that its filter of IPv6 lets in", NULL },
	OPT_END,
};

const struct command cmd_net_show = {
	.path = "net GROUP show",
	.summary = "Show zones, routers, ports, leases, forwards and counters of a group's network",
	.help = "LEASE is when DHCP last gave a machine its address; machines of the tiny image need none. REFUSED counts what a router did not "
		"let through.",
	.opts = show_opts,
	.min_words = 1,
	.max_words = 1,
	.run = show_run,
	.examples = "  croft net 2zone_sn show --format json\n  croft net 2zone_sn show --table alice-home",
};
