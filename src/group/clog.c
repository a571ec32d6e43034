/* SPDX-License-Identifier: Apache-2.0 */
#include "clog_pull.h"
#include "internal.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/units.h"
#include "conf/doc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FACTS_MS 10000

struct pulling {
	const struct group *g;
	const struct group_node *n;
	const char *dir, *from;
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* How much the guest's clock is ahead of ours, in seconds; the answer is taken to be from the middle of the question's time. */
static double clock_ahead(struct agent *a)
{
	_cleanup_error_ struct error *e = NULL;
	double before = now();
	_cleanup_free_ char *facts = agent_facts(a, FACTS_MS, &e);
	double after = now();
	_cleanup_doc_ struct doc *d = facts ? doc_parse("facts", facts, strlen(facts), &e) : NULL;
	const struct node *t = d ? node_get(doc_root(d), "time") : NULL;

	return t && t->text ? strtod(t->text, NULL) - (before + after) / 2 : 0;
}

static int pull(struct worker *w, void *arg, struct error **err)
{
	const struct pulling *p = arg;
	_cleanup_agent_ struct agent *a = group_reach(p->g, p->n, err);
	_cleanup_free_ char *to = path_join(p->dir, p->n->name), *fresh = xasprintf("%s/.%s.new", p->dir, p->n->name),
			    *clock = xasprintf("%s/%s.clock", p->dir, p->n->name), *kept = xasprintf("%s/clog", p->g->record),
			    *memory = path_join(kept, p->n->name);
	struct clog_pulled got;
	char all[16], came[16];

	if (!a)
		return -1;
	worker_state(w, "pulling %s", p->from);
	if (file_mkdirs(kept, 0700, err) < 0 || file_remove_tree(fresh, err) < 0 || clog_pull(a, p->from, fresh, to, memory, &got, err) < 0 ||
		file_remove_tree(to, err) < 0 || file_rename(fresh, to, err) < 0 || file_writef(clock, 0644, err, "%.3f\n", clock_ahead(a)) < 0)
		return -1;
	worker_done(w, "logs in %s: %s, %s of it new", to, format_size(got.bytes, all), format_size(got.came, came));
	return 0;
}

int group_clog(const struct group *g, const char *node, const char *dir, struct error **err)
{
	const struct group_node *only = node ? group_node(g, node, err) : NULL;
	struct pulling *p = xcalloc(g->nnodes + 1, sizeof(*p));
	struct work *all = xcalloc(g->nnodes + 1, sizeof(*all));
	size_t n = 0;
	int rc = node && !only ? -1 : 0;

	for (size_t i = 0; rc == 0 && i < g->nnodes; i++) {
		const struct group_node *at = &g->nodes[i];
		const char *from = map_get(&at->directories, "logs");

		if ((only && only != at) || !from)
			continue;
		p[n] = (struct pulling){ g, at, dir, from };
		all[n] = (struct work){ .label = at->name, .arg = &p[n], .fn = pull };
		n++;
	}
	if (rc == 0 && !n) {
		rc = error_set(err, ERR_NOT_FOUND, "%s %s names no folder of logs", only ? "node" : "group", only ? only->name : g->name);
		error_hint(err, "\"directories\": { \"logs\": \"/var/log/app\" } of a node says where they are");
	}
	if (rc == 0)
		rc = file_mkdirs(dir, 0755, err);
	if (rc == 0)
		rc = work_run(all, n, "clog", err);
	free(p);
	free(all);
	return rc;
}
