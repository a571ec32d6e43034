/* SPDX-License-Identifier: Apache-2.0 */
/* croft group NAME test FILE */
#include "cli/cli.h"
#include "cli/cmd/cmd.h"

#include "base/cleanup.h"
#include "base/units.h"
#include "group/group.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void report(void *arg, const char *name, bool passed, double seconds, const char *why)
{
	printf("%-6s %s (%.1f s)\n", passed ? "ok" : "FAILED", name, seconds);
	for (const char *p = why; !passed && *p;) {
		const char *nl = strchr(p, '\n');

		printf("       %.*s\n", nl ? (int)(nl - p) : (int)strlen(p), p);
		p = nl ? nl + 1 : p + strlen(p);
	}
	fflush(stdout);
}

static int number(const struct cmd_args *a, const char *name, uint64_t *ret, struct error **err)
{
	const char *s = arg_str(a, name);
	char *end;

	if (!s)
		return 0;
	*ret = strtoull(s, &end, 10);
	return *s >= '0' && *s <= '9' && !*end ? 0 : error_set(err, ERR_USAGE, "option --%s: '%s' is no number", name, s);
}

static int test_run(const struct cmd_args *a, struct error **err)
{
	_cleanup_group_ struct group *g = cmd_group_load(a, err);
	struct group_test_opts o = { .only = arg_list(a, "case"), .fresh = arg_flag(a, "fresh"), .junit = arg_str(a, "junit"),
		.logs = arg_str(a, "logs"), .capsules = arg_str(a, "capsule"), .report = report };
	uint64_t repeat = 1;
	size_t failed, total;

	o.seed = 1;
	if (!g || number(a, "seed", &o.seed, err) < 0 || number(a, "repeat", &repeat, err) < 0)
		return -1;
	o.repeat = (unsigned)repeat;
	cli_left("group %s is where the interrupted case had brought it; `croft group %s restore` goes back", g->name, g->name);
	if (group_test(g, arg_words(a)->v[1], &o, &failed, &total, err) < 0)
		return -1;
	cli_left(NULL);
	printf("%zu passed, %zu failed\n", total - failed, failed);
	return failed ? ERR_FAILED : 0;
}

static const struct opt test_opts[] = {
	{ 'c', "case", OPT_LIST, "NAME", "Only this case", NULL },
	{ 'n', "repeat", OPT_STRING, "N", "All cases N times, each time with another seed", NULL },
	{ 's', "seed", OPT_STRING, "N", "What the network's random faults depend on; default 1", NULL },
	{ 0, "fresh", OPT_FLAG, NULL, "Run setup again though its snapshot is there", NULL },
	{ 0, "junit", OPT_STRING, "FILE", "Write the results as JUnit XML", "file" },
	{ 0, "capsule", OPT_STRING, "DIR", "Pack the group as each failed case leaves it into DIR/CASE.croft (croft group open)", "file" },
	{ 0, "logs", OPT_STRING, "DIR", "Collect logs and consoles of failed cases below DIR", "file" },
	OPT_END,
};
const struct command cmd_group_test = {
	.path = "group NAME test",
	.args = "FILE",
	.summary = "Run test cases on a group, each from the same snapshot of all its machines",
	.help = "FILE (YAML, JSON, or Lua when it ends in .lua) has a setup and cases of steps: commands on nodes or here, changes of the network, apps' commands, waiting. "
		"After setup a snapshot of the whole group is taken; each case begins there, with a whole network. The status is 1 when cases failed.",
	.opts = test_opts,
	.min_words = 2,
	.max_words = 2,
	.complete = "file",
	.run = test_run,
	.examples = "  croft group discovery test tests.yaml --junit results.xml --logs failed",
};
