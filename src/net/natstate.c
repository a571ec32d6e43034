/* SPDX-License-Identifier: Apache-2.0 */
#include "net/nattable.h"

#define FLOW_FIELDS 11
#define MAP_FIELDS 5

static void numbers(json_t *to, const uint64_t *v, size_t n)
{
	json_t *a = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(a, json_integer((json_int_t)v[i]));
	json_array_append_new(to, a);
}

json_t *nat_save(const struct nat *n, uint64_t now)
{
	json_t *maps = json_array(), *flows = json_array();

	for (int proto = 0; proto < 2; proto++)
		for (uint32_t port = 1; n->live_statics && port < 65536; port++) {
			const struct mapping *m = &n->mappings[n->by_port[proto][port]];

			if (n->by_port[proto][port] && m->fixed && m->ends > now)
				numbers(maps, (const uint64_t[]){ (uint64_t)proto, m->ip, m->port, m->ext, (m->ends - now) / 1000000000 + 1 },
					MAP_FIELDS);
		}
	for (int c = 0; c < CLASSES; c++)
		for (uint32_t i = n->lists[c].first; i; i = n->flows[i].after) {
			const struct flow *f = &n->flows[i];
			const struct mapping *m = &n->mappings[f->mapping];

			if (f->ends > now)
				numbers(flows, (const uint64_t[]){ m->proto, m->ip, m->port, m->ext, m->remote, m->remote_port, f->remote,
					f->remote_port, f->cls, f->state, (f->ends - now) / 1000000 }, FLOW_FIELDS);
		}
	return json_pack("{s:o, s:o}", "maps", maps, "flows", flows);
}

/* An array of n numbers, each in its bounds. */
static bool read_numbers(const json_t *a, const uint64_t *max, size_t n, uint64_t *v)
{
	if (json_array_size(a) != n)
		return false;
	for (size_t i = 0; i < n; i++) {
		const json_t *x = json_array_get(a, i);

		if (!json_is_integer(x) || json_integer_value(x) < 0 || (uint64_t)json_integer_value(x) > max[i])
			return false;
		v[i] = (uint64_t)json_integer_value(x);
	}
	return true;
}

static void load_flow(struct nat *n, const uint64_t *v, uint64_t now)
{
	int proto = (int)v[0];
	uint32_t ip = (uint32_t)v[1], mapped = (uint32_t)v[4], remote = (uint32_t)v[6], m, f;
	uint16_t port = (uint16_t)v[2], mapped_port = (uint16_t)v[5], remote_port = (uint16_t)v[7];
	enum nat_class cls = (enum nat_class)v[8];
	enum nat_result why;
	uint64_t left = v[10] * 1000000, most = class_ns(n, cls);

	m = mapping_find(n, proto, ip, port, mapped, mapped_port);
	if (m && n->mappings[m].ext != v[3])
		return;
	if (!m)
		m = mapping_restore(n, proto, ip, port, mapped, mapped_port, (uint16_t)v[3]);
	if (!m || flow_find(n, m, remote, remote_port))
		return;
	f = flow_add(n, m, remote, remote_port, cls, now, &why);
	if (f) {
		n->flows[f].state = (uint8_t)v[9];
		n->flows[f].ends = now + (left < most ? left : most);
	} else if (!n->mappings[m].flows && !n->mappings[m].fixed) {
		mapping_drop(n, m);
	}
}

int nat_load(struct nat *n, const json_t *j, uint64_t now)
{
	static const uint64_t map_max[MAP_FIELDS] = { 1, UINT32_MAX, 65535, 65535, UINT32_MAX };
	static const uint64_t flow_max[FLOW_FIELDS] = { PROTOS - 1, UINT32_MAX, 65535, 65535, UINT32_MAX, 65535, UINT32_MAX, 65535,
		CLASSES - 1, 255, 1ull << 43 };
	const json_t *a;
	uint64_t v[FLOW_FIELDS];
	size_t i;

	json_array_foreach(json_object_get(j, "maps"), i, a)
	{
		if (!read_numbers(a, map_max, MAP_FIELDS, v))
			return -1;
		if (v[2] && v[3])
			mapping_fix(n, (int)v[0], (uint16_t)v[3], (uint32_t)v[1], (uint16_t)v[2], now + v[4] * 1000000000);
	}
	json_array_foreach(json_object_get(j, "flows"), i, a)
	{
		if (!read_numbers(a, flow_max, FLOW_FIELDS, v))
			return -1;
		load_flow(n, v, now);
	}
	return 0;
}
