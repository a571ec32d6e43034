/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests about zones and routers: {"op":"zones"}; {"op":"nat","zone":Z}, the table of its router as state.c
 * keeps it; {"op":"table","zone":Z,"from":N}, the same for people; {"op":"save","file":PATH},
 * {"op":"forwards"}; {"op":"forward","proto":..,"host":..,"host_port":..,"node":..,"port":..}, {"op":"unforward",..};
 * {"op":"load","file":PATH}: what lives longer than the process, see state.c.
 */
#include "net/zoneops.h"
#include "base/mem.h"
#include "net/forwards.h"
#include "net/nat.h"
#include "net/tables.h"
#include "net/zone.h"

#include <string.h>

static json_t *address(uint32_t ip)
{
	return json_sprintf("%u.%u.%u.%u", ip >> 24, ip >> 16 & 255, ip >> 8 & 255, ip & 255);
}

static json_t *nat_status(const struct nat *n)
{
	static const char *const scopes[] = { "independent", "address", "address-port" };
	const struct nat_config *c = nat_settings(n);
	json_t *refused = json_object();
	struct nat_stats s;

	nat_stats(n, &s);
	for (int i = 1; i < NAT_RESULTS; i++)
		json_object_set_new(refused, nat_result_names[i], json_integer((json_int_t)s.results[i]));
	return json_pack("{s:s, s:s, s:b, s:i, s:i, s:i, s:I, s:I, s:o}", "mapping", scopes[c->mapping], "filtering", scopes[c->filtering],
		"hairpin", c->hairpin, "mappings", (int)s.mappings, "maps", (int)s.statics, "flows", (int)s.flows, "opened",
		(json_int_t)s.opened, "expired", (json_int_t)s.expired, "refused", refused);
}

json_t *zone_router_status(const struct zone *z)
{
	const struct router *r = z->router;

	if (r)
		return json_pack("{s:s, s:s, s:o, s:o, s:b, s:b, s:I}", "to", r->to->name, "name", r->outer->node, "address",
			address(r->outer->ip), "nat", r->nat ? nat_status(r->nat) : json_null(), "filter6", r->filter6 != NULL, "pcp", r->pcp,
			"dropped", (json_int_t)r->dropped);
	return z->has_outside ? json_pack("{s:s}", "to", "host") : json_null();
}

static json_t *zones(const struct net *n)
{
	json_t *list = json_array();

	for (const struct zone *z = n->zones; z; z = z->next)
		json_array_append_new(list, json_pack("{s:s, s:o, s:i, s:o, s:i, s:s, s:o}", "name", z->name, "network", address(z->prefix),
			"prefix_length", (int)z->prefix_len, "gateway", address(z->gateway), "mtu", (int)z->mtu, "domain", z->domain, "router",
			zone_router_status(z)));
	return json_pack("{s:b, s:o}", "ok", 1, "zones", list);
}

static const struct zone *zone_named(const struct net *n, const char *zone, struct error **err)
{
	for (const struct zone *z = n->zones; z; z = z->next)
		if (!strcmp(z->name, zone ? zone : ""))
			return z;
	error_set(err, ERR_NOT_FOUND, "there is no zone '%s'", zone ? zone : "");
	return NULL;
}

static json_t *table(const struct net *n, const char *zone, struct error **err)
{
	const struct zone *z = zone_named(n, zone, err);

	if (!z)
		return NULL;
	if (!z->router || !z->router->nat)
		error_set(err, ERR_STATE, "zone %s has no NAT", z->name);
	else
		return json_pack("{s:b, s:o}", "ok", 1, "table", nat_save(z->router->nat, loop_now()));
	return NULL;
}

json_t *zone_op(struct net *n, const char *op, const json_t *request, struct error **err)
{
	const char *file = json_string_value(json_object_get(request, "file"));
	bool save = !strcmp(op, "save");
	int rc;

	if (!strcmp(op, "zones"))
		return zones(n);
	if (!strcmp(op, "nat"))
		return table(n, json_string_value(json_object_get(request, "zone")), err);
	if (!strcmp(op, "table")) {
		const struct zone *z = zone_named(n, json_string_value(json_object_get(request, "zone")), err);

		return z ? table_op(z, request) : NULL;
	}
	if (!strcmp(op, "forwards") || !strcmp(op, "forward") || !strcmp(op, "unforward")) {
		rc = op[0] == 'u' ? forward_remove(n, request, err) : op[7] ? 0 : forward_add(n, request, err);
		/* Whoever asked for it has been told: it stays, even when this process is killed now. */
		if (rc == 0 && strcmp(op, "forwards"))
			state_end(n);
		return rc < 0 ? NULL : json_pack("{s:b, s:o}", "ok", 1, "forwards", forwards_json(n, false));
	}
	if (!save && strcmp(op, "load"))
		return NULL;
	if (!file || *file != '/') {
		error_set(err, ERR_USAGE, "%s: a file's absolute path is needed", op);
		return NULL;
	}
	return (save ? state_save(n, file, err) : state_load(n, file, err)) < 0 ? NULL : json_pack("{s:b}", "ok", 1);
}
