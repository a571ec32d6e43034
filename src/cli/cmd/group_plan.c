/* SPDX-License-Identifier: Apache-2.0 */
/* croft group NAME status, plan; and `up --plan` */
#include "cli/cli.h"
#include "cli/cmd/cmd.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/units.h"
#include "group/group.h"

#include <jansson.h>
#include <string.h>

static const char *text_of(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key));
}

static json_t *parse(const struct buf *b, struct error **err)
{
	json_t *o = json_loads(b->data ? b->data : "", 0, NULL);

	if (!o)
		error_set(err, ERR_FAILED, "the group's state is not JSON");
	return o;
}

int cmd_group_plan_print(struct group *g, struct error **err)
{
	static const char *const keys[] = { "action", "node", "app", "what", "when", NULL };
	static const char *const titles[] = { "ACTION", "NODE", "APP", "WHAT", "WHEN", NULL };
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct table *t;
	json_t *all, *x;
	size_t n, i;

	if (group_plan(g, &b, &n, err) < 0)
		return -1;
	if (!n && cli_format == FORMAT_TABLE) {
		log_info("group %s: nothing to do", g->name);
		return 0;
	}
	all = parse(&b, err);
	if (!all)
		return -1;
	t = table_new(keys, titles);
	json_array_foreach(all, i, x)
		table_row(t, (const char *const[]){ text_of(x, "action"), text_of(x, "node"), text_of(x, "app"), text_of(x, "what"),
			text_of(x, "when") });
	table_print(t);
	json_decref(all);
	return 0;
}

static int plan_run(const struct cmd_args *a, struct error **err)
{
	_cleanup_group_ struct group *g = cmd_group_load(a, err);

	return g ? cmd_group_plan_print(g, err) : -1;
}

/* "peer: started, ok; db: absent" */
static char *apps_of(const json_t *node)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	json_t *app, *unit;
	size_t i, k;

	json_array_foreach(json_object_get(node, "apps"), i, app)
	{
		const char *health = text_of(app, "health");

		buf_addf(&b, "%s%s: %s%s%s", b.len ? "; " : "", text_of(app, "name"), text_of(app, "state"), health ? ", " : "",
			health ? health : "");
		json_array_foreach(json_object_get(app, "units"), k, unit)
			buf_addf(&b, ", %s %s", text_of(unit, "name"), text_of(unit, "state"));
	}
	return b.len ? buf_steal(&b) : NULL;
}

static char *differs_of(const json_t *node)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	json_t *x;
	size_t i;

	json_array_foreach(json_object_get(node, "differs"), i, x)
	{
		const char *action = text_of(x, "action"), *app = text_of(x, "app");

		/* State and apps have columns of their own. */
		if (!strcmp(action, "start") || !strcmp(action, "create") || !strcmp(action, "install"))
			continue;
		buf_addf(&b, "%s%s%s%s", b.len ? "; " : "", app ? app : "", app ? ": " : "", text_of(x, "what"));
	}
	return b.len ? buf_steal(&b) : NULL;
}

static char *addresses_of(const json_t *node)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	json_t *x;
	size_t i;

	json_array_foreach(json_object_get(node, "ip_v4"), i, x)
		buf_addf(&b, "%s%s", b.len ? "," : "", json_string_value(x));
	return buf_steal(&b);
}

static void status_table(const json_t *status)
{
	static const char *const keys[] = { "name", "state", "address", "memory", "apps", "differs", NULL };
	static const char *const titles[] = { "NODE", "STATE", "ADDRESS", "MEMORY", "APPS", "DIFFERS", NULL };
	struct table *t = table_new(keys, titles);
	json_t *node, *x;
	size_t i;
	bool differs = false;

	json_array_foreach(json_object_get(status, "nodes"), i, node)
	{
		_cleanup_free_ char *addresses = addresses_of(node), *apps = apps_of(node), *differ = differs_of(node);
		char size[16];

		format_size((uint64_t)json_integer_value(json_object_get(node, "memory")), size);
		table_row(t, (const char *const[]){ text_of(node, "name"), text_of(node, "state"), addresses, size, apps, differ });
		differs |= json_array_size(json_object_get(node, "differs")) > 0;
	}
	table_print(t);
	printf("network: %s\n", text_of(status, "network"));
	json_array_foreach(json_object_get(status, "network_differs"), i, x)
		printf("network differs: %s\n", json_string_value(x));
	if (differs || json_array_size(json_object_get(status, "network_differs")))
		log_info("croft group %s plan shows what up would do", text_of(status, "name"));
}

static int status_run(const struct cmd_args *a, struct error **err)
{
	_cleanup_group_ struct group *g = cmd_group_load(a, err);
	_cleanup_buf_ struct buf b = BUF_INIT;
	json_t *status;

	if (!g || group_status(g, &b, err) < 0)
		return -1;
	if (cli_format != FORMAT_TABLE)
		return print_json(buf_str(&b), err);
	status = parse(&b, err);
	if (!status)
		return -1;
	status_table(status);
	json_decref(status);
	return 0;
}

const struct command cmd_group_status = {
	.path = "group NAME status",
	.summary = "Show machines, apps, addresses, health, and what differs from the file",
	.help = "Nodes that run are asked for their apps at the same time; of apps that were started and have a `check` it is run. A node that does "
		"not answer is shown as it is known from here.",
	.min_words = 1,
	.max_words = 1,
	.run = status_run,
	.examples = "  croft group 2zone_sn status\n  croft group 2zone_sn status --format json | jq '.nodes[].differs'",
};
const struct command cmd_group_plan = {
	.path = "group NAME plan",
	.summary = "Show what up would do",
	.help = "One line for each change of the file that the group does not have yet. What says `with --prune` is done by `up --prune` alone.",
	.min_words = 1,
	.max_words = 1,
	.run = plan_run,
};
