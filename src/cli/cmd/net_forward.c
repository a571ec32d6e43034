/* SPDX-License-Identifier: Apache-2.0 */
/* croft net GROUP forward add, remove, list. */
#include "cli/cli.h"
#include "cli/cmd/cmd.h"
#include "cli/cmd/netask.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "net/fwdspec.h"

#include <string.h>

void net_cmd_print_forwards(const json_t *list)
{
	static const char *const keys[] = { "protocol", "from", "to", "since", NULL };
	static const char *const titles[] = { "PROTOCOL", "FROM", "TO", "SINCE", NULL };
	struct table *t = table_new(keys, titles);
	json_t *f;
	size_t i;

	json_array_foreach(list, i, f)
	{
		const char *node = json_string_value(json_object_get(f, "node"));
		int port = (int)json_integer_value(json_object_get(f, "port"));
		const char *address = json_string_value(json_object_get(f, "host"));
		_cleanup_free_ char *host = xasprintf(strchr(address, ':') ? "[%s]:%d" : "%s:%d", address,
			(int)json_integer_value(json_object_get(f, "host_port")));
		bool reverse = json_is_true(json_object_get(f, "reverse"));
		_cleanup_free_ char *machine = reverse ? xasprintf("%s's gateway:%d", *node == '*' ? "every machine" : node, port)
						       : xasprintf("%s:%d", node, port);

		table_row(t, (const char *const[]){ json_string_value(json_object_get(f, "proto")), reverse ? machine : host,
				     reverse ? host : machine, json_is_true(json_object_get(f, "live")) ? "a command" : "the group's file" });
	}
	table_print(t);
}

static int list_run(const struct cmd_args *a, struct error **err)
{
	json_t *j = net_cmd_ask(a, json_pack("{s:s}", "op", "forwards"), err);
	const json_t *list = json_object_get(j, "forwards");
	int rc = 0;

	if (!j)
		return -1;
	if (cli_format != FORMAT_TABLE) {
		_cleanup_free_ char *text = json_dumps(list, 0);

		rc = print_json(text, err);
	} else {
		net_cmd_print_forwards(list);
	}
	json_decref(j);
	return rc;
}

/* All are read before the first is done. */
static int each(const struct cmd_args *a, const char *op, struct error **err)
{
	for (int pass = 0; pass < 2; pass++)
		for (size_t i = 1; i < arg_words(a)->len; i++) {
			struct forward_spec f;
			json_t *request, *answer;

			if (forward_spec_parse(arg_words(a)->v[i], &f, err) < 0)
				return -1;
			request = forward_spec_json(&f);
			forward_spec_clear(&f);
			json_object_set_new(request, "op", json_string(op));
			answer = pass ? net_cmd_ask(a, request, err) : NULL;
			if (!pass)
				json_decref(request);
			json_decref(answer);
			if (pass && !answer)
				return i > 1 ? error_wrap(err, "%s (those before it are done)", arg_words(a)->v[i]) : -1;
		}
	return 0;
}

static int add_run(const struct cmd_args *a, struct error **err)
{
	return each(a, "forward", err);
}

static int remove_run(const struct cmd_args *a, struct error **err)
{
	return each(a, "unforward", err);
}

#define FORM                                                                                                                              \
	"FORWARD is [tcp:|udp:][HOST-ADDRESS:]PORT-NODE[:PORT], from a port of this computer to a machine's, or the reverse, "            \
	"[tcp:|udp:]NODE:PORT-127.0.0.1[:PORT], from a port of the gateway as NODE sees it (*: every machine) to one of this computer's " \
	"loopback. "

const struct command cmd_net_forward_add = {
	.path = "net GROUP forward add",
	.args = "FORWARD...",
	.summary = "Let a port of this computer lead to a machine, or a machine's way to one of this computer's ports",
	.help = FORM "It listens on 127.0.0.1 unless another address is given, and stays until it is removed or the group goes down, when "
		     "the network process is killed too.",
	.min_words = 2,
	.max_words = -1,
	.run = add_run,
	.examples = "  croft net 2zone_sn forward add 8080-sn:80\n  croft net 2zone_sn forward add udp:0.0.0.0:5300-sn:53\n"
		    "  croft net 2zone_sn forward add '[::1]:8080-sn:80'\n  croft net 2zone_sn forward add sn:5432-127.0.0.1:5432",
};
const struct command cmd_net_forward_remove = {
	.path = "net GROUP forward remove",
	.args = "FORWARD...",
	.summary = "Take a forward back",
	.help = FORM "Connections that have come about go on.",
	.min_words = 2,
	.max_words = -1,
	.run = remove_run,
	.examples = "  croft net 2zone_sn forward remove 8080-sn:80",
};
const struct command cmd_net_forward_list = {
	.path = "net GROUP forward list",
	.summary = "List the forwards between this computer and a group's machines",
	.min_words = 1,
	.max_words = 1,
	.run = list_run,
};
