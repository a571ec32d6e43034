/* SPDX-License-Identifier: Apache-2.0 */
/* DNS questions: any bytes, from memory of just their size, with and without the room of TCP. */
#include "net/zone.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static struct net net;
static struct zone zone = { .net = &net, .name = (char *)"lan", .domain = (char *)"g.croft", .prefix = 0x0a010200, .mask = 0xffffff00,
	.gateway = 0x0a010201 };
static struct port sn = { .zone = &zone, .node = (char *)"sn", .ip = 0x0a01020a, .fd = -1 };

static void prepare(void)
{
	static const char text[] = "[{\"name\":\"a.b\",\"type\":\"A\",\"value\":\"1.2.3.4\"},"
				   "{\"name\":\"*.w.b\",\"type\":\"CNAME\",\"value\":\"sn.g.croft\"},"
				   "{\"name\":\"s.b\",\"type\":\"SRV\",\"port\":1,\"value\":\"sn\"},"
				   "{\"name\":\"t.b\",\"type\":\"TXT\",\"value\":\"hello\"}]";
	json_t *list = json_loads(text, 0, NULL);
	struct error *e = NULL;

	strv_add(&sn.names, "sn");
	zone.ports = &sn;
	zone.gw = &sn;
	net.zones = &zone;
	if (records_load(&net.records, list, &e) < 0)
		abort();
	json_decref(list);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	uint8_t *msg = xmemdup(p, n), *out;
	bool forward = false;

	if (!sn.names.len)
		prepare();
	for (size_t cap = 1472; cap < 65536; cap += 65535 - 1472) {
		out = xmalloc(cap);
		if (dns_answer(&zone, msg, n, out, cap, &forward) > cap)
			abort();
		free(out);
	}
	free(msg);
	return 0;
}
