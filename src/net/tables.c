/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What routers know, for people: {"op":"table","zone":Z,"from":N} answers with at most PAGE entries of the tables of its router from
 * the N-th on, and "next" when there are more.
 */
#include "net/tables.h"
#include "net/filter6.h"
#include "net/nattable.h"

#include <arpa/inet.h>
#include <string.h>

/* An answer fits into what a socket takes at once. */
#define PAGE 500

static json_t *end4(uint32_t ip, unsigned port)
{
	return json_sprintf("%u.%u.%u.%u:%u", ip >> 24, ip >> 16 & 255, ip >> 8 & 255, ip & 255, port);
}

static const char *proto_name(int proto)
{
	static const char *const names[PROTOS] = { "tcp", "udp", "icmp" };

	return names[proto];
}

static void maps(const struct nat *n, uint64_t now, json_t *list)
{
	for (int proto = 0; proto < 2; proto++)
		for (uint32_t port = 1; n->live_statics && port < 65536; port++) {
			const struct mapping *m = &n->mappings[n->by_port[proto][port]];

			if (n->by_port[proto][port] && m->fixed)
				json_array_append_new(list, json_pack("{s:s, s:o, s:i, s:o}", "proto", proto_name(proto), "inside",
					end4(m->ip, m->port), "port", (int)m->ext, "seconds_left",
					m->ends ? json_integer(m->ends > now ? (json_int_t)((m->ends - now) / 1000000000) : 0) : json_null()));
		}
}

static json_t *flow(const struct nat *n, const struct flow *f, uint64_t now)
{
	static const char *const states[CLASSES] = { [CLASS_UDP] = "open", [CLASS_TRANSITORY] = "opening or closing", [CLASS_TCP] = "open",
		[CLASS_ICMP] = "open", [CLASS_UNANSWERED] = "unanswered" };
	const struct mapping *m = &n->mappings[f->mapping];

	return json_pack("{s:s, s:o, s:i, s:o, s:s, s:I}", "proto", proto_name(m->proto), "inside", end4(m->ip, m->port), "port", (int)m->ext,
		"remote", end4(f->remote, f->remote_port), "state", states[f->cls], "seconds_left", (json_int_t)((f->ends - now) / 1000000000));
}

static bool flows(const struct nat *n, uint64_t now, json_int_t from, json_t *list)
{
	json_int_t at = 0;

	for (int c = 0; c < CLASSES; c++)
		for (uint32_t i = n->lists[c].first; i; i = n->flows[i].after) {
			if (n->flows[i].ends <= now || at++ < from)
				continue;
			if (json_array_size(list) == PAGE)
				return true;
			json_array_append_new(list, flow(n, &n->flows[i], now));
		}
	return false;
}

struct filter_page {
	json_t *list;
	json_int_t from;
	bool more;
};

static void filter_entry(void *arg, const struct flow6 *f, uint64_t left_ns)
{
	struct filter_page *p = arg;
	char in[INET6_ADDRSTRLEN], out[INET6_ADDRSTRLEN];

	if (p->from-- > 0)
		return;
	if (json_array_size(p->list) == PAGE) {
		p->more = true;
		return;
	}
	inet_ntop(AF_INET6, f->inside, in, sizeof(in));
	inet_ntop(AF_INET6, f->outside, out, sizeof(out));
	json_array_append_new(p->list, json_pack("{s:s, s:o, s:o, s:I}", "proto",
		f->proto == IPPROTO_TCP	     ? "tcp" :
		f->proto == IPPROTO_UDP	     ? "udp" :
		f->proto == IPPROTO_FRAGMENT ? "fragments" :
					       "icmp",
		"inside", json_sprintf("[%s]:%u", in, f->port), "remote", json_sprintf("[%s]:%u", out, f->outside_port), "seconds_left",
		(json_int_t)(left_ns / 1000000000)));
}

json_t *table_op(const struct zone *z, const json_t *request)
{
	json_int_t from = json_integer_value(json_object_get(request, "from"));
	const struct router *r = z->router;
	uint64_t now = loop_now();
	json_t *map_list = json_array(), *flow_list = json_array();
	struct filter_page page = { .list = json_array(), .from = from };
	bool more = r && r->nat && flows(r->nat, now, from, flow_list);
	json_t *j;

	if (r && r->nat && from == 0)
		maps(r->nat, now, map_list);
	if (r && r->filter6)
		filter6_each(r->filter6, now, filter_entry, &page);
	j = json_pack("{s:b, s:o, s:o, s:o}", "ok", 1, "maps", map_list, "flows", flow_list, "flows6", page.list);
	if (more || page.more)
		json_object_set_new(j, "next", json_integer(from + PAGE));
	return j;
}
