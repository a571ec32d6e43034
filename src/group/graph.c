/* SPDX-License-Identifier: Apache-2.0 */
/* A group in the DOT language: zones, what their routers lead to, machines, apps. */
#include "app.h"

#include "base/cleanup.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static void dot_zones(const struct group *g, struct buf *dot)
{
	buf_adds(dot, "\t\"outside\" [shape=plaintext label=\"this computer and beyond\"];\n");
	for (size_t i = 0; i < g->nzones; i++) {
		const struct group_zone *z = &g->zones[i];
		bool host = z->to && !strcmp(z->to, "host");

		buf_addf(dot, "\t\"zone:%s\" [shape=ellipse label=\"%s\\n%s\"];\n", z->name, z->name, z->prefix);
		if (!z->to)
			continue;
		buf_addf(dot, "\t\"zone:%s\" -- \"%s%s\" [label=\"%s%s%s\" style=bold];\n", z->name, host ? "outside" : "zone:", host ? "" : z->to,
			z->kind ? z->kind : "", z->kind && z->router ? "\\n" : "", z->router ? z->router : "");
	}
}

static void dot_nodes(const struct group *g, struct buf *dot)
{
	for (size_t i = 0; i < g->nnodes; i++) {
		const struct group_node *n = &g->nodes[i];

		buf_addf(dot, "\t\"%s\" [label=\"%s\\n%s\"%s];\n", n->name, n->name, n->address, n->host ? " style=dashed" : "");
		if (n->host)
			buf_addf(dot, "\t\"outside\" -- \"%s\";\n", n->name);
		for (size_t k = 0; k < n->nnics; k++)
			buf_addf(dot, "\t\"zone:%s\" -- \"%s\"%s%s%s;\n", g->zones[n->nics[k].zone].name, n->name, k ? " [label=\"" : "",
				k ? n->nics[k].address : "", k ? "\"]" : "");
	}
}

static void dot_apps(const struct app_set *s, struct buf *dot)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct app *a = s->v[i];

		buf_addf(dot, "\t\"%s/%s\" [shape=component label=\"%s\"];\n\t\"%s\" -- \"%s/%s\";\n", a->n->name, a->name, a->name, a->n->name,
			a->n->name, a->name);
		for (size_t d = 0; d < a->depends.len; d++)
			for (size_t k = 0; k < s->n; k++)
				if (!strcmp(s->v[k]->name, a->depends.v[d]))
					buf_addf(dot, "\t\"%s/%s\" -- \"%s/%s\" [dir=forward style=dashed];\n", a->n->name, a->name, s->v[k]->n->name,
						s->v[k]->name);
	}
}

int group_graph(const struct group *g, struct buf *dot, struct error **err)
{
	struct app_set s = { 0 };
	_cleanup_error_ struct error *none = NULL;

	buf_adds(dot, "graph ");
	json_quote(dot, g->name);
	buf_adds(dot, " {\n\tnode [shape=box fontname=\"sans-serif\"];\n");
	dot_zones(g, dot);
	dot_nodes(g, dot);
	if (g->napps && app_select(g, NULL, NULL, &s, &none) < 0 && none->cls != ERR_NOT_FOUND) {
		app_set_free(&s);
		return error_move(err, &none);
	}
	dot_apps(&s, dot);
	app_set_free(&s);
	buf_adds(dot, "}\n");
	return 0;
}
