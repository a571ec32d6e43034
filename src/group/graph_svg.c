/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A picture of a group as SVG that needs no other program: the host above, below it the zones that lead to it, below each the zones
 * that lead to that one. A zone is a column of its machines (those that have their first card in it) with their apps.
 */
#include "app.h"

#include "base/cleanup.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define LINE 16	  /* from one line of text to the next */
#define PAD 8	  /* around text */
#define GAP 30	  /* between columns */
#define DOWN 36	  /* between a zone and those that lead to it */
#define MARGIN 20 /* around all */
#define HOST 28	  /* height of the host's box */
#define NOWHERE ((size_t)-1)

struct place {
	int x, y, height, span; /* span: width with all zones that lead to it */
	size_t depth;
};
/* Zones by their number; number nzones is the column of real computers. */
struct picture {
	const struct group *g;
	struct place *at;
	size_t n;
	int box; /* width of each column */
	struct buf *out;
};

/* Width of text in pixels, no less than it takes in the usual sans-serif fonts. */
static int text_width(const char *s, int size, bool bold)
{
	return (int)strlen(s) * size * (bold ? 70 : 62) / 100;
}

/* All names are checked, but a host's address is the user's. */
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

static size_t outer(const struct group *g, size_t zone)
{
	for (size_t i = 0; zone < g->nzones && g->zones[zone].to && i < g->nzones; i++)
		if (i != zone && !strcmp(g->zones[i].name, g->zones[zone].to))
			return i;
	return NOWHERE;
}

static bool in_column(const struct group *g, const struct group_node *n, size_t zone)
{
	return n->host ? zone == g->nzones : n->nnics && n->nics[0].zone == zone;
}

/* The lines of a zone's head: its networks, and how it leads on. */
static void head_lines(const struct group *g, size_t zone, struct strv *lines)
{
	const struct group_zone *z = zone < g->nzones ? &g->zones[zone] : NULL;

	if (!z) {
		strv_add(lines, "reached by ssh");
		return;
	}
	strv_add(lines, z->prefix);
	if (z->v6)
		strv_add(lines, z->prefix6);
	if (!z->to)
		strv_add(lines, "leads nowhere");
	if (z->router)
		strv_addf(lines, "%s%s as %s", z->kind ? "NAT " : "routed", z->kind ? z->kind : "", z->router);
}

static void machine_lines(const struct group *g, const struct group_node *n, struct strv *lines)
{
	strv_add(lines, n->host ? n->host : n->address);
	for (size_t k = 1; k < n->nnics; k++)
		strv_addf(lines, "%s in %s", n->nics[k].address, g->zones[n->nics[k].zone].name);
}

static const char *head_name(const struct group *g, size_t zone)
{
	return zone < g->nzones ? g->zones[zone].name : "real computers";
}

static int block_height(size_t lines)
{
	return (int)(lines + 1) * LINE + 12;
}

/* Draws a bold name and lines below it, or with p->out NULL measures them; the height. */
static int block(struct picture *p, int x, int y, const char *style, const char *name, const struct strv *lines, const struct strv *apps)
{
	int height = block_height(lines->len + (apps ? apps->len : 0)), at = y + LINE;

	if (!p->out) {
		int w = text_width(name, 13, true);

		for (size_t i = 0; i < lines->len; i++)
			w = w > text_width(lines->v[i], 13, false) ? w : text_width(lines->v[i], 13, false);
		for (size_t i = 0; apps && i < apps->len; i++)
			w = w > PAD + text_width(apps->v[i], 13, false) ? w : PAD + text_width(apps->v[i], 13, false);
		p->box = p->box > w + 2 * PAD ? p->box : w + 2 * PAD;
		return height;
	}
	box(p->out, x, y, p->box, height, style);
	text(p->out, x + PAD, at, " font-weight=\"bold\"", name);
	for (size_t i = 0; i < lines->len; i++)
		text(p->out, x + PAD, at += LINE, "", lines->v[i]);
	for (size_t i = 0; apps && i < apps->len; i++)
		text(p->out, x + 2 * PAD, at += LINE, " fill=\"#05a\"", apps->v[i]);
	return height;
}

/* The height of a zone with its machines. */
static int column(struct picture *p, size_t zone)
{
	_cleanup_strv_ struct strv head = { 0 };
	int x = p->at[zone].x, y = p->at[zone].y;

	head_lines(p->g, zone, &head);
	y += block(p, x, y, zone < p->g->nzones ? "fill=\"#e8f0fa\" stroke=\"#58a\"" : "fill=\"#eee\" stroke=\"#888\"", head_name(p->g, zone), &head, NULL);
	for (size_t i = 0; i < p->g->nnodes; i++) {
		const struct group_node *n = &p->g->nodes[i];
		_cleanup_strv_ struct strv lines = { 0 };

		if (!in_column(p->g, n, zone))
			continue;
		machine_lines(p->g, n, &lines);
		y += PAD;
		y += block(p, x, y, n->host ? "fill=\"#fff\" stroke=\"#333\" stroke-dasharray=\"4\"" : "fill=\"#fff\" stroke=\"#333\"", n->name, &lines, &n->apps);
	}
	return y - p->at[zone].y;
}

/* Zones have no rings (group_load refuses them), so that this ends. */
static int span(struct picture *p, size_t zone)
{
	int below = -GAP;

	for (size_t i = 0; i < p->n; i++)
		if (outer(p->g, i) == zone) {
			p->at[i].depth = p->at[zone].depth + 1;
			below += GAP + span(p, i);
		}
	return p->at[zone].span = below > p->box ? below : p->box;
}

static void put(struct picture *p, size_t zone, int x, const int *rows)
{
	p->at[zone].x = x + (p->at[zone].span - p->box) / 2;
	p->at[zone].y = rows[p->at[zone].depth];
	for (size_t i = 0; i < p->n; i++)
		if (outer(p->g, i) == zone) {
			put(p, i, x, rows);
			x += p->at[i].span + GAP;
		}
}

/* Measures all, and gives every zone its place. Returns the size of the picture. */
static void arrange(struct picture *p, int *width, int *height)
{
	_cleanup_free_ int *rows = xcalloc(p->n + 1, sizeof(*rows)), *tall = xcalloc(p->n + 1, sizeof(*tall));
	int x = MARGIN;

	for (size_t i = 0; i < p->n; i++)
		p->at[i].height = column(p, i);
	for (size_t i = 0; i < p->n; i++)
		if (outer(p->g, i) == NOWHERE)
			span(p, i);
	for (size_t i = 0; i < p->n; i++)
		if (tall[p->at[i].depth] < p->at[i].height)
			tall[p->at[i].depth] = p->at[i].height;
	rows[0] = MARGIN + HOST + DOWN;
	for (size_t d = 0; d < p->n; d++)
		rows[d + 1] = rows[d] + tall[d] + (tall[d] ? DOWN : 0);
	for (size_t i = 0; i < p->n; i++)
		if (outer(p->g, i) == NOWHERE) {
			put(p, i, x, rows);
			x += p->at[i].span + GAP;
		}
	*width = x - GAP + MARGIN;
	*height = rows[p->n] - DOWN + MARGIN;
}

/* How a zone leads on: from its head up to the zone or the host that it leads to. */
static void way_out(const struct picture *p, size_t zone)
{
	size_t to = outer(p->g, zone);
	int x = p->at[zone].x + p->box / 2, y = p->at[zone].y;

	if (to != NOWHERE)
		buf_addf(p->out, "<path d=\"M%d %dV%dH%dV%d\" stroke=\"#a55\" fill=\"none\"/>\n", x, y, y - DOWN / 2, p->at[to].x + p->box / 2,
			p->at[to].y + p->at[to].height);
	else if (zone == p->g->nzones || p->g->zones[zone].to)
		buf_addf(p->out, "<path d=\"M%d %dV%d\" stroke=\"#58a\" fill=\"none\"/>\n", x, y, MARGIN + HOST);
}

int group_graph_svg(const struct group *g, struct buf *svg, struct error **err)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct picture p = { .g = g, .n = g->nzones, .box = 0 };
	int height, width;

	for (size_t i = 0; i < g->nnodes; i++)
		if (g->nodes[i].host)
			p.n = g->nzones + 1;
	p.at = xcalloc(p.n + 1, sizeof(*p.at));
	arrange(&p, &width, &height);
	p.out = &b;
	for (size_t i = 0; i < p.n; i++)
		way_out(&p, i);
	for (size_t i = 0; i < p.n; i++)
		column(&p, i);
	box(&b, MARGIN, MARGIN, width - 2 * MARGIN, HOST, "fill=\"#eee\" stroke=\"#888\"");
	text(&b, MARGIN + PAD, MARGIN + 19, "", "this computer and beyond");
	buf_addf(svg, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" font-family=\"sans-serif\" font-size=\"13\">\n", width, height);
	buf_addf(svg, "<title>%s</title>\n<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n", g->name);
	buf_add(svg, b.data, b.len);
	buf_adds(svg, "</svg>\n");
	free(p.at);
	return 0;
}
