/* SPDX-License-Identifier: Apache-2.0 */
/* croft net GROUP ...: links and faults of a group's network. */
#include "cli/cli.h"
#include "cli/cmd/cmd.h"
#include "cli/cmd/netask.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "group/group.h"
#include "net/linkspec.h"

#include <jansson.h>
#include <string.h>

static void print_links(const json_t *list)
{
	static const char *const keys[] = { "node", "zone", "out", "in", NULL };
	static const char *const titles[] = { "NODE", "ZONE", "SENDS", "IS SENT", NULL };
	struct table *t = table_new(keys, titles);
	json_t *l;
	size_t i;

	json_array_foreach(list, i, l)
	{
		_cleanup_free_ char *out = net_cmd_spec(json_object_get(l, "out")), *in = net_cmd_spec(json_object_get(l, "in"));

		table_row(t, (const char *const[]){ json_string_value(json_object_get(l, "node")),
				     json_string_value(json_object_get(l, "zone")), out, in });
	}
	table_print(t);
}

static int print_answer(json_t *j, const char *key, struct error **err)
{
	_cleanup_free_ char *text = json_dumps(json_object_get(j, key), 0);

	return print_json(text, err);
}

/* ---- link, flap ---- */

static json_t *options(const struct cmd_args *a, struct error **err)
{
	json_t *set = json_object();
	struct link_spec check = { 0 };

	for (size_t i = 0; link_keys[i]; i++) {
		const char *v = strcmp(link_keys[i], "down") && strcmp(link_keys[i], "flap") ? arg_str(a, link_keys[i]) : NULL;

		if (!v)
			continue;
		if (link_spec_set(&check, link_keys[i], v, err) < 0) {
			json_decref(set);
			return NULL;
		}
		json_object_set_new(set, link_keys[i], json_string(v));
	}
	if (arg_flag(a, "down"))
		json_object_set_new(set, "down", json_true());
	if (arg_flag(a, "up"))
		json_object_set_new(set, "down", json_false());
	return set;
}

static int print_link_answer(json_t *j, bool changed, struct error **err)
{
	int rc = 0;

	if (cli_format != FORMAT_TABLE)
		rc = print_answer(j, "links", err);
	else if (!changed)
		print_links(json_object_get(j, "links"));
	json_decref(j);
	return rc;
}

static json_t *link_request(const struct cmd_args *a)
{
	json_t *request = json_pack("{s:s, s:s}", "op", "link", "node", arg_words(a)->v[1]);

	if (arg_str(a, "zone"))
		json_object_set_new(request, "zone", json_string(arg_str(a, "zone")));
	if (arg_str(a, "direction"))
		json_object_set_new(request, "direction", json_string(arg_str(a, "direction")));
	return request;
}

static int check_direction(const struct cmd_args *a, struct error **err)
{
	const char *d = arg_str(a, "direction");

	if (!d || !strcmp(d, "in") || !strcmp(d, "out") || !strcmp(d, "both"))
		return 0;
	return error_set(err, ERR_USAGE, "--direction: '%s' is none of in, out, both", d);
}

static int link_run(const struct cmd_args *a, struct error **err)
{
	json_t *request, *set, *j;
	bool changed;

	if (check_direction(a, err) < 0)
		return -1;
	set = options(a, err);
	if (!set)
		return -1;
	request = link_request(a);
	changed = json_object_size(set) || arg_flag(a, "clear") || arg_flag(a, "reset");
	if (json_object_size(set))
		json_object_set(request, "set", set);
	json_decref(set);
	if (arg_flag(a, "clear"))
		json_object_set_new(request, "clear", json_true());
	if (arg_flag(a, "reset"))
		json_object_set_new(request, "reset", json_true());
	j = net_cmd_ask(a, request, err);
	return j ? print_link_answer(j, changed, err) : -1;
}

static int flap_run(const struct cmd_args *a, struct error **err)
{
	const char *every = arg_str(a, "every"), *for_ = arg_str(a, "for");
	_cleanup_free_ char *flap = NULL;
	struct link_spec check = { 0 };
	json_t *request, *j;

	if (check_direction(a, err) < 0)
		return -1;
	if (arg_flag(a, "stop") ? every || for_ : !every || !for_)
		return error_set(err, ERR_USAGE, "flap: both --every TIME and --for TIME are needed, or --stop alone");
	flap = every ? xasprintf("%s/%s", every, for_) : xstrdup("0");
	if (link_spec_set(&check, "flap", flap, err) < 0)
		return -1;
	request = link_request(a);
	json_object_set_new(request, "set", json_pack("{s:s}", "flap", flap));
	j = net_cmd_ask(a, request, err);
	return j ? print_link_answer(j, true, err) : -1;
}

/* ---- cut, partition, heal ---- */

/* "sn,alice" or "{sn,alice}" */
static json_t *read_set(const char *word)
{
	_cleanup_free_ char *inner = *word == '{' ? xstrndup(word + 1, strlen(word) - 2) : xstrdup(word);
	_cleanup_strv_ struct strv names = STRV_INIT;
	json_t *set = json_array();

	strv_split(&names, inner, ", ");
	for (size_t i = 0; i < names.len; i++)
		json_array_append_new(set, json_string(names.v[i]));
	return set;
}

static int read_sets(const struct strv *words, json_t **ret, struct error **err)
{
	size_t braced = 0;

	for (size_t i = 1; i < words->len; i++) {
		size_t n = strlen(words->v[i]);

		braced += n > 2 && words->v[i][0] == '{' && words->v[i][n - 1] == '}';
	}
	/* A shell takes {a,b} apart but leaves {c}: the sets are no longer what was meant. */
	if (braced && braced != words->len - 1) {
		error_set(err, ERR_USAGE, "partition: the shell has taken a set in braces apart");
		return error_hint(err, "write sn,alice bob, or put the braces into quotes");
	}
	*ret = json_array();
	for (size_t i = 1; i < words->len; i++)
		json_array_append_new(*ret, read_set(words->v[i]));
	return 0;
}

static int cut_or_heal(const struct cmd_args *a, const char *op, struct error **err)
{
	json_t *request = json_pack("{s:s}", "op", op), *sets = NULL, *j;
	int rc = 0;

	if (arg_words(a)->len > 1) {
		if (read_sets(arg_words(a), &sets, err) < 0) {
			json_decref(request);
			return -1;
		}
		json_object_set_new(request, "sets", sets);
	}
	if (!strcmp(op, "heal") && arg_flag(a, "links"))
		json_object_set_new(request, "links", json_true());
	j = net_cmd_ask(a, request, err);
	if (!j)
		return -1;
	if (cli_format != FORMAT_TABLE)
		rc = print_answer(j, "cuts", err);
	json_decref(j);
	return rc;
}

static int cut_run(const struct cmd_args *a, struct error **err)
{
	return cut_or_heal(a, "cut", err);
}

static int heal_run(const struct cmd_args *a, struct error **err)
{
	if (arg_words(a)->len == 2)
		return error_set(err, ERR_USAGE, "heal: two nodes or sets of nodes are needed, or none for all");
	return cut_or_heal(a, "heal", err);
}

#define ZONE_OPT                                                                                                                  \
	{ 'z', "zone", OPT_STRING, "ZONE", "Only the NIC in this zone; default: each of the node's", NULL },                     \
	{                                                                                                                         \
		0, "direction", OPT_STRING, "WAY", "out (what the node sends), in (what it is sent) or both (the default)", "in|out|both" \
	}

static const struct opt link_opts[] = {
	{ 'd', "delay", OPT_STRING, "TIME", "Each frame arrives so much later: 80ms", NULL },
	{ 'j', "jitter", OPT_STRING, "TIME", "The delay varies by so much; frames keep their order", NULL },
	{ 0, "distribution", OPT_STRING, "HOW", "of the jitter: uniform (the default), normal, pareto, exponential",
		"uniform|normal|pareto|exponential" },
	{ 'l', "loss", OPT_STRING, "SHARE", "Share of frames that are lost: 2%", NULL },
	{ 0, "burst", OPT_STRING, "N", "They are lost in runs of N on average", NULL },
	{ 0, "duplicate", OPT_STRING, "SHARE", "Share of frames that arrive twice", NULL },
	{ 0, "reorder", OPT_STRING, "SHARE", "Share of frames that overtake the delayed ones", NULL },
	{ 0, "corrupt", OPT_STRING, "SHARE", "Share of frames in which a bit is wrong", NULL },
	{ 'r', "rate", OPT_STRING, "RATE", "Bits a second: 10mbit, 500kbit", NULL },
	{ 0, "queue", OPT_STRING, "N", "Frames that wait for the rate; more are dropped; default 1000", NULL },
	{ 0, "mtu", OPT_STRING, "BYTES", "Longer packets are dropped", NULL },
	{ 0, "down", OPT_FLAG, NULL, "Nothing passes", NULL },
	{ 0, "up", OPT_FLAG, NULL, "It passes again", NULL },
	ZONE_OPT,
	{ 0, "clear", OPT_FLAG, NULL, "Take all settings back first: a perfect link", NULL },
	{ 0, "reset", OPT_FLAG, NULL, "Go back to what the group's file says first", NULL },
	OPT_END,
};
static const struct opt flap_opts[] = {
	{ 0, "every", OPT_STRING, "TIME", "From one failure to the next", NULL },
	{ 0, "for", OPT_STRING, "TIME", "How long each lasts", NULL },
	{ 0, "stop", OPT_FLAG, NULL, "No more of it", NULL },
	ZONE_OPT,
	OPT_END,
};
static const struct opt heal_opts[] = {
	{ 0, "links", OPT_FLAG, NULL, "Make every link perfect too", NULL },
	OPT_END,
};

const struct command cmd_net_link = {
	.path = "net GROUP link",
	.args = "NODE",
	.summary = "Show or change what a machine's link does to its frames",
	.help = "Without a setting the links of NODE are shown. What is named changes, the rest stays; 0 takes a setting back. "
		"Each direction gets what is set, so a delay of 40ms makes the way there and back 80ms longer. Faults come from "
		"a seed: the same frames at the same times meet the same faults. Settings stay until the group goes down.",
	.opts = link_opts,
	.min_words = 2,
	.max_words = 2,
	.run = link_run,
	.examples = "  croft net 2zone_sn link alice-ood1 --delay 80ms --jitter 5ms --loss 2% --rate 10mbit\n"
		    "  croft net 2zone_sn link alice-ood1 --direction in --loss 1% --burst 5\n"
		    "  croft net 2zone_sn link alice-ood1 --clear",
};
const struct command cmd_net_cut = {
	.path = "net GROUP cut",
	.args = "NODE NODE",
	.summary = "Let two machines no longer hear each other",
	.help = "All others hear both. `heal` ends it.",
	.min_words = 3,
	.max_words = 3,
	.run = cut_run,
	.examples = "  croft net 2zone_sn cut alice-ood1 bob-ood1",
};
const struct command cmd_net_partition = {
	.path = "net GROUP partition",
	.args = "SET SET...",
	.summary = "Cut sets of machines off from one another",
	.help = "A SET is NODE,NODE,... Machines of different sets don't hear each other, those of the same set do; machines in no "
		"set hear all.",
	.min_words = 3,
	.max_words = -1,
	.run = cut_run,
	.examples = "  croft net 2zone_sn partition sn,alice-ood1 bob-ood1",
};
const struct command cmd_net_heal = {
	.path = "net GROUP heal",
	.args = "[SET SET...]",
	.summary = "End cuts and partitions, links that are down or flap",
	.help = "With sets, only the cuts between them. Delay, loss and the like stay, but with --links.",
	.opts = heal_opts,
	.min_words = 1,
	.max_words = -1,
	.run = heal_run,
	.examples = "  croft net 2zone_sn heal",
};
const struct command cmd_net_flap = {
	.path = "net GROUP flap",
	.args = "NODE",
	.summary = "Let a machine's link fail again and again",
	.opts = flap_opts,
	.min_words = 2,
	.max_words = 2,
	.run = flap_run,
	.examples = "  croft net 2zone_sn flap bob-ood1 --every 2s --for 500ms",
};
