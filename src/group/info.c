/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "conf/settings.h"
#include "internal.h"
#include "net/net.h"

#include <inttypes.h>
#include <unistd.h>

#define AGENT_MS 30000

static void member(struct buf *b, const char *key, const char *value)
{
	buf_addf(b, ",\"%s\":", key);
	if (value)
		json_quote(b, value);
	else
		buf_adds(b, "null");
}

void group_node_info(const struct group *g, const struct group_node *n, struct buf *b)
{
	_cleanup_free_ char *sub = xasprintf("machines/%s/machine.json", n->full), *path = path_data(sub), *end = NULL;
	_cleanup_error_ struct error *e = NULL;
	_cleanup_machine_ struct machine *m = file_exists(path) ? machine_open(n->full, &e) : NULL;

	buf_adds(b, "{\"name\":");
	json_quote(b, n->name);
	member(b, "node_id", n->id);
	member(b, "machine", n->full);
	member(b, "state", m ? machine_state_text(m) : e ? "broken" : "absent");
	for (size_t i = 0; i < n->nnics; i++)
		buf_addf(b, "%s\"%s\"", i ? "," : ",\"ip_v4\":[", n->nics[i].address);
	buf_adds(b, n->nnics ? "],\"zones\":[" : ",\"zones\":[");
	for (size_t i = 0; i < n->nnics; i++)
		buf_addf(b, "%s\"%s\"", i ? "," : "", g->zones[n->nics[i].zone].name);
	buf_addc(b, ']');
	if (n->host) {
		buf_addf(b, ",\"ip_v4\":[\"%s\"]", n->address);
		member(b, "host", n->host);
	}
	member(b, "mac", n->mac);
	member(b, "image", m ? m->def.image : n->image);
	if (n->host)
		buf_adds(b, ",\"cpu\":null,\"memory\":null");
	else
		buf_addf(b, ",\"cpu\":%" PRIu64 ",\"memory\":%" PRIu64,
		m ? (uint64_t)m->def.sockets * m->def.cores * m->def.threads : n->cpu, m ? m->def.memory : n->memory);
	end = m && machine_state(m) == MACHINE_CRASHED ? machine_last_end(m) : NULL;
	if (end)
		member(b, "ended", end);
	if (e)
		member(b, "error", e->msg);
	if (n->gone)
		buf_adds(b, ",\"gone\":true");
	buf_addc(b, '}');
}

static void zone_info(const struct group_zone *z, size_t i, struct buf *b)
{
	buf_addf(b, "%s{\"name\":\"%s\"", i ? "," : "", z->name);
	member(b, "prefix", z->prefix);
	member(b, "gateway", z->gateway);
	member(b, "to", z->to);
	member(b, "nat", z->kind);
	member(b, "outside", z->router);
	buf_addc(b, '}');
}

int group_info(const struct group *g, struct buf *json, struct error **err)
{
	_cleanup_free_ char *net_dir = group_net_dir(g->name);

	buf_adds(json, "{\"name\":");
	json_quote(json, g->name);
	member(json, "file", g->file);
	member(json, "prefix", g->prefix);
	member(json, "gateway", g->gateway);
	member(json, "network", net_running(net_dir) ? "running" : "stopped");
	buf_adds(json, ",\"zones\":[");
	for (size_t i = 0; i < g->nzones; i++)
		zone_info(&g->zones[i], i, json);
	buf_adds(json, "],\"nodes\":[");
	for (size_t i = 0; i < g->nnodes; i++) {
		buf_adds(json, i ? "," : "");
		group_node_info(g, &g->nodes[i], json);
	}
	buf_adds(json, "]}\n");
	return 0;
}

int group_run(const struct group *g, const char *node, const struct strv *commands, int *status, struct error **err)
{
	const struct group_node *n = group_node(g, node, err);
	_cleanup_machine_ struct machine *m = n ? machine_open(n->full, err) : NULL;
	_cleanup_agent_ struct agent *a = NULL;
	struct strv expanded = STRV_INIT;
	int rc = 0;

	*status = 0;
	if (!m)
		return n && *err ? error_hint(err, "croft group %s up", g->name) : -1;
	for (size_t i = 0; rc == 0 && i < commands->len; i++) {
		char *text = vars_expand(g->vars, commands->v[i], NULL, "command", err);

		if (text)
			strv_take(&expanded, text);
		else
			rc = -1;
	}
	if (rc == 0) {
		a = machine_agent_awake(m, AGENT_MS, err);
		rc = a ? 0 : -1;
	}
	for (size_t i = 0; rc == 0 && !*status && i < expanded.len; i++) {
		struct agent_exec x = AGENT_EXEC_INIT;

		x.out_fd = STDOUT_FILENO;
		x.err_fd = STDERR_FILENO;
		rc = agent_shell_command(a, expanded.v[i], &x, status, err);
	}
	strv_free(&expanded);
	return rc;
}
