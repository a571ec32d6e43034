/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"

#include "base/cleanup.h"
#include "base/mem.h"

#include <string.h>

struct watching {
	const struct group *g;
	const struct group_node *n;
	const char *dir;
	unsigned last;
	bool follow;
};

/* Each file's last lines; when following, files that come later too, from their beginning. "FILE | LINE" on one line. */
static const char script[] =
	"cd \"$1\" || exit 1\n"
	"show() { while IFS= read -r l; do printf '%s | %s\\n' \"$1\" \"$l\"; done; }\n"
	"if [ \"$3\" = no ]; then\n"
	"	find . -type f | sort | while IFS= read -r f; do tail -n \"$2\" \"$f\" | show \"${f#./}\"; done\n"
	"	exit 0\n"
	"fi\n"
	"exec 2>/dev/null\n"
	"seen=$(mktemp) n=$2\n"
	"trap 'rm -f \"$seen\"; trap - TERM; kill 0' EXIT TERM INT HUP\n"
	"while :; do\n"
	"	find . -type f | sort >\"$seen.now\"\n"
	"	while IFS= read -r f; do\n"
	"		grep -qxF -- \"$f\" \"$seen\" && continue\n"
	"		printf '%s\\n' \"$f\" >>\"$seen\"\n"
	"		tail -n \"$n\" -f \"$f\" 2>/dev/null | show \"${f#./}\" &\n"
	"	done <\"$seen.now\"\n"
	"	n=+1\n"
	"	sleep 1\n"
	"done\n";

static int watch(struct worker *w, void *arg, struct error **err)
{
	const struct watching *x = arg;
	_cleanup_agent_ struct agent *a = group_reach(x->g, x->n, err);
	_cleanup_free_ char *last = xasprintf("%u", x->last), *said = NULL;
	struct lines o = { .w = w };
	struct agent_exec e = AGENT_EXEC_INIT;
	int status = 0, rc;

	if (!a)
		return -1;
	e.argv = (const char *const[]){ "sh", "-c", script, "logs", x->dir, last, x->follow ? "yes" : "no", NULL };
	e.on_output = lines_take;
	e.arg = &o;
	rc = agent_exec(a, &e, &status, err);
	lines_end(&o);
	if (rc == 0 && status) {
		said = strv_join(&o.kept, "\n");
		rc = error_set(err, ERR_FAILED, "%s: %s", x->dir, said);
	}
	lines_free(&o);
	return rc;
}

int group_logs(const struct group *g, const char *node, unsigned last, bool follow, struct error **err)
{
	const struct group_node *only = node ? group_node(g, node, err) : NULL;
	struct watching *x = xcalloc(g->nnodes + 1, sizeof(*x));
	struct work *all = xcalloc(g->nnodes + 1, sizeof(*all));
	size_t n = 0;
	int rc = node && !only ? -1 : 0;

	for (size_t i = 0; rc == 0 && i < g->nnodes; i++) {
		const struct group_node *at = &g->nodes[i];
		const char *dir = map_get(&at->directories, "logs");

		if ((only && only != at) || !dir)
			continue;
		x[n] = (struct watching){ g, at, dir, last, follow };
		all[n] = (struct work){ .label = at->name, .arg = &x[n], .fn = watch, .data = true };
		n++;
	}
	if (rc == 0 && !n) {
		rc = error_set(err, ERR_NOT_FOUND, "%s %s names no folder of logs", only ? "node" : "group", only ? only->name : g->name);
		error_hint(err, "\"directories\": { \"logs\": \"/var/log/app\" } of a node says where they are");
	}
	/* All at once, however many: none of them ends by itself. */
	if (rc == 0)
		rc = work_run_all(all, n, "logs", err);
	free(all);
	free(x);
	return rc;
}
