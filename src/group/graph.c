/* SPDX-License-Identifier: Apache-2.0 */
/* Pictures of a group: zones, what their routers lead to, machines, apps. In the DOT language, and as SVG that needs no other program. */
#include "app.h"

#include "base/cleanup.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static void dot_zones(const struct group *g, struct buf *dot)
{
	buf_adds(dot, "\t\"outside\" [shape=plaintext label=\"host and beyond\"];\n");
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

/* ---- SVG ---- */

/* Zones are columns below a line that is the host; each holds the machines that have their first card in it. */
#define COLUMN 230
#define LINE 16
#define TOP 110	   /* of the first machine */
#define BOX 200
#define MARGIN 20

/* Text of the picture; all names are checked, but a host's address is the user's. */
static void text(struct buf *b, int x, int y, const char *style, const char *s)
{
	buf_addf(b, "<text x=\"%d\" y=\"%d\"%s>", x, y, style);
	for (; *s; s++) {
		if (*s == '<' || *s == '>' || *s == '&')
			buf_addf(b, "&#%d;", *s);
		else
			buf_addc(b, *s);
	}
	buf_adds(b, "</text>\n");
}

static void box(struct buf *b, int x, int y, int w, int h, const char *style)
{
	buf_addf(b, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"6\" %s/>\n", x, y, w, h, style);
}

static int machine_height(const struct group_node *n)
{
	return 2 * LINE + 12 + (int)(n->apps.len + (n->nnics > 1 ? n->nnics - 1 : 0)) * LINE;
}

/* Returns where the next may begin. */
static int machine_box(const struct group *g, const struct group_node *n, int x, int y, struct buf *b)
{
	int at = y + LINE;

	box(b, x, y, BOX, machine_height(n), n->host ? "fill=\"#fff\" stroke=\"#333\" stroke-dasharray=\"4\"" : "fill=\"#fff\" stroke=\"#333\"");
	text(b, x + 8, at, " font-weight=\"bold\"", n->name);
	text(b, x + 8, at += LINE, "", n->address);
	for (size_t k = 1; k < n->nnics; k++) {
		_cleanup_free_ char *line = xasprintf("%s in %s", n->nics[k].address, g->zones[n->nics[k].zone].name);

		text(b, x + 8, at += LINE, "", line);
	}
	for (size_t i = 0; i < n->apps.len; i++)
		text(b, x + 16, at += LINE, " fill=\"#05a\"", n->apps.v[i]);
	return y + machine_height(n) + 8;
}

/* zone nzones: the real computers. Returns the height that it takes. */
static int column(const struct group *g, size_t zone, struct buf *b)
{
	int x = MARGIN + (int)zone * COLUMN, y = TOP;

	for (size_t i = 0; i < g->nnodes; i++) {
		const struct group_node *n = &g->nodes[i];

		if (n->host ? zone == g->nzones : n->nnics && n->nics[0].zone == zone)
			y = machine_box(g, n, x, y, b);
	}
	return y;
}

static void zone_head(const struct group *g, size_t i, struct buf *b)
{
	const struct group_zone *z = &g->zones[i];
	int x = MARGIN + (int)i * COLUMN;
	_cleanup_free_ char *name = xasprintf("%s  %s", z->name, z->prefix);
	_cleanup_free_ char *way = !z->to ? xstrdup("leads nowhere") :
					    xasprintf("to %s%s%s%s%s", z->to, z->kind ? ", NAT " : "", z->kind ? z->kind : "", z->router ? ", as " : "",
						    z->router ? z->router : "");

	box(b, x, 58, BOX, 44, "fill=\"#e8f0fa\" stroke=\"#58a\"");
	text(b, x + 8, 75, " font-weight=\"bold\"", name);
	text(b, x + 8, 93, " font-size=\"11\"", way);
	if (z->to && !strcmp(z->to, "host"))
		buf_addf(b, "<path d=\"M%d 40V58\" stroke=\"#58a\" fill=\"none\"/>\n", x + BOX / 2);
	for (size_t k = 0; z->to && k < g->nzones; k++)
		if (!strcmp(g->zones[k].name, z->to))
			buf_addf(b, "<path d=\"M%d 58V%d H%d V58\" stroke=\"#a55\" fill=\"none\"/>\n", x + BOX / 2, 50,
				MARGIN + (int)k * COLUMN + BOX / 2 + 12);
}

int group_graph_svg(const struct group *g, struct buf *svg, struct error **err)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	int height = TOP, width;
	bool real = false;

	for (size_t i = 0; i < g->nnodes; i++)
		real |= g->nodes[i].host != NULL;
	width = 2 * MARGIN + (int)(g->nzones + real) * COLUMN;
	for (size_t i = 0; i < g->nzones + real; i++) {
		int y = column(g, i, &b);

		height = y > height ? y : height;
	}
	for (size_t i = 0; i < g->nzones; i++)
		zone_head(g, i, &b);
	box(&b, MARGIN, 12, width - 2 * MARGIN - (COLUMN - BOX), 28, "fill=\"#eee\" stroke=\"#888\"");
	text(&b, MARGIN + 8, 31, "", "host and beyond");
	buf_addf(svg, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" font-family=\"sans-serif\" font-size=\"13\">\n", width,
		height + MARGIN);
	buf_addf(svg, "<title>%s</title>\n", g->name);
	buf_add(svg, b.data, b.len);
	buf_adds(svg, "</svg>\n");
	return 0;
}
