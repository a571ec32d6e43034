/* SPDX-License-Identifier: Apache-2.0 */
/* croft net GROUP top, trace, hosts, log: what is seen of a group's network. */
#include "cli/cli.h"
#include "cli/cmd/cmd.h"
#include "cli/cmd/netask.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/intr.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/units.h"
#include "group/group.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

json_t *net_cmd_ask(const struct cmd_args *a, json_t *request, struct error **err)
{
	_cleanup_free_ char *text = json_dumps(request, JSON_COMPACT), *answer = NULL;

	json_decref(request);
	answer = group_net_request(arg_words(a)->v[0], text, err);
	return answer ? json_loads(answer, 0, NULL) : NULL;
}

char *net_cmd_spec(const json_t *spec)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)spec, key, v)
	{
		const char *text = json_string_value(v);

		buf_addf(&b, "%s%s%s%s", b.len ? ", " : "", key, text && strcmp(text, "true") ? " " : "",
			text && strcmp(text, "true") ? text : "");
	}
	return b.len ? buf_steal(&b) : NULL;
}

static char *number(const json_t *j, const char *key)
{
	return xasprintf("%lld", (long long)json_integer_value(json_object_get(j, key)));
}

char *net_cmd_link_cell(const json_t *port)
{
	_cleanup_free_ char *out = net_cmd_spec(json_object_get(port, "out")), *in = net_cmd_spec(json_object_get(port, "in"));

	if (!out && !in)
		return NULL;
	if (out && in && !strcmp(out, in))
		return STEAL(out);
	return xasprintf("%s%s%s%s%s", out ? "out: " : "", out ? out : "", out && in ? "; " : "", in ? "in: " : "", in ? in : "");
}

void net_cmd_print_cuts(const json_t *list)
{
	json_t *pair;
	size_t i;

	json_array_foreach(list, i, pair) printf("%s%s | %s", i ? ", " : "\ncut: ", json_string_value(json_array_get(pair, 0)),
		json_string_value(json_array_get(pair, 1)));
	if (json_array_size(list))
		putchar('\n');
}

/* ---- top ---- */

static long long counter(const json_t *port, const char *key)
{
	return (long long)json_integer_value(json_object_get(port, key));
}

static const json_t *same_port(const json_t *ports, const json_t *port)
{
	json_t *p;
	size_t i;

	json_array_foreach(ports, i, p) if (json_equal(json_object_get(p, "node"), json_object_get(port, "node")) &&
					    json_equal(json_object_get(p, "zone"), json_object_get(port, "zone"))) return p;
	return NULL;
}

static char *per_second(const json_t *now, const json_t *before, const char *key, double seconds, bool bytes)
{
	double v = (double)(counter(now, key) - (before ? counter(before, key) : 0)) / seconds;
	char size[16];

	return v < 0 ? xstrdup("0") : bytes ? xasprintf("%s", format_size((uint64_t)v, size)) : xasprintf("%.0f", v);
}

static void print_rates(const json_t *now, const json_t *before, double seconds)
{
	static const char *const keys[] = { "node", "zone", "sent", "sent_bytes", "received", "received_bytes", "dropped", "link", NULL };
	static const char *const titles[] = { "NODE", "ZONE", "SENT/s", "BYTES/s", "RECEIVED/s", "BYTES/s", "DROPPED", "LINK", NULL };
	struct table *t = table_new(keys, titles);
	json_t *p;
	size_t i;

	json_array_foreach(now, i, p)
	{
		const json_t *was = same_port(before, p);
		_cleanup_free_ char *sent = per_second(p, was, "frames_from", seconds, false),
				    *sent_bytes = per_second(p, was, "bytes_from", seconds, true),
				    *received = per_second(p, was, "frames_to", seconds, false),
				    *received_bytes = per_second(p, was, "bytes_to", seconds, true), *dropped = number(p, "dropped"),
				    *link = net_cmd_link_cell(p);

		table_row(t, (const char *const[]){ json_string_value(json_object_get(p, "node")),
				     json_string_value(json_object_get(p, "zone")), sent, sent_bytes, received, received_bytes, dropped, link });
	}
	table_print(t);
}

static int pause_ms(uint64_t ms, struct error **err)
{
	struct timespec t = { (time_t)(ms / 1000), (long)(ms % 1000 * 1000000) };

	if (nanosleep(&t, NULL) < 0 && errno != EINTR)
		return error_errno(err, errno, "waiting");
	return intr_check(err);
}

static int top_run(const struct cmd_args *a, struct error **err)
{
	const char *every = arg_str(a, "every"), *count = arg_str(a, "count");
	bool screen = isatty(1) && cli_format == FORMAT_TABLE && !count;
	uint64_t ms = 1000, rounds = 0;
	json_t *before = NULL, *now;
	int rc = 0;

	if ((every && parse_duration("--every", every, &ms, err) < 0) || (count && parse_u64("--count", count, 1, 1000000, &rounds, err) < 0))
		return -1;
	if (ms < 100)
		return error_set(err, ERR_USAGE, "--every: %s is less than 100ms", every);
	before = net_cmd_ask(a, json_pack("{s:s}", "op", "status"), err);
	if (!before)
		return -1;
	for (uint64_t i = 0; rc == 0 && (!count || i < rounds); i++) {
		rc = pause_ms(ms, err);
		if (rc < 0)
			break;
		now = net_cmd_ask(a, json_pack("{s:s}", "op", "status"), err);
		if (!now) {
			rc = -1;
			break;
		}
		if (screen)
			printf("\033[H\033[J");
		print_rates(json_object_get(now, "ports"), json_object_get(before, "ports"), (double)ms / 1000);
		net_cmd_print_cuts(json_object_get(json_object_get(now, "faults"), "cuts"));
		fflush(stdout);
		json_decref(before);
		before = now;
	}
	json_decref(before);
	if (rc < 0 && (*err)->cls == ERR_INTR) { /* Ctrl-C is how one leaves it */
		error_clear(err);
		return 0;
	}
	return rc;
}

/* ---- trace ---- */

static int trace_run(const struct cmd_args *a, struct error **err)
{
	json_t *j = net_cmd_ask(a, json_pack("{s:s, s:s, s:s}", "op", "trace", "from", arg_words(a)->v[1], "to", arg_words(a)->v[2]), err), *s;
	size_t i;
	int rc = 0;

	if (!j)
		return -1;
	json_object_del(j, "ok");
	if (cli_format != FORMAT_TABLE) {
		_cleanup_free_ char *text = json_dumps(j, 0);

		rc = print_json(text, err);
	} else {
		printf("to %s\n", json_string_value(json_object_get(j, "address")));
		json_array_foreach(json_object_get(j, "steps"), i, s) printf("%3zu  %-28s %s\n", i + 1,
			json_string_value(json_object_get(s, "at")), json_string_value(json_object_get(s, "what")));
		printf("     %s\n", json_string_value(json_object_get(j, "end")));
	}
	json_decref(j);
	return rc;
}

/* ---- hosts, log ---- */

static int hosts_run(const struct cmd_args *a, struct error **err)
{
	json_t *j = net_cmd_ask(a, json_pack("{s:s}", "op", "status"), err), *p;
	size_t i;

	if (!j)
		return -1;
	json_array_foreach(json_object_get(j, "ports"), i, p) if (json_is_object(p))
	{
		const char *node = json_string_value(json_object_get(p, "node"));

		printf("%s %s.%s.croft %s\n", json_string_value(json_object_get(p, "address")), node,
			json_string_value(json_object_get(j, "group")), node);
	}
	json_decref(j);
	return 0;
}

static int follow(int fd, const char *path, bool on, struct error **err)
{
	char b[65536];

	for (;;) {
		ssize_t n = read(fd, b, sizeof(b));

		if (n < 0 && errno != EINTR)
			return error_errno(err, errno, "%s", path);
		if (n > 0 && file_write_all(1, b, (size_t)n, "standard output", err) < 0)
			return -1;
		if (n > 0)
			continue;
		if (!on)
			return 0;
		if (pause_ms(200, err) < 0) {
			if ((*err)->cls != ERR_INTR)
				return -1;
			error_clear(err);
			return 0;
		}
	}
}

static int log_run(const struct cmd_args *a, struct error **err)
{
	_cleanup_free_ char *name = group_name_of(arg_words(a)->v[0], err), *dir = name ? group_net_dir(name) : NULL,
			    *path = dir ? path_join(dir, "net.log") : NULL;
	const char *dns = arg_str(a, "dns");
	_cleanup_close_ int fd = -1;

	if (!path)
		return -1;
	if (dns) {
		json_t *j;

		if (strcmp(dns, "on") && strcmp(dns, "off"))
			return error_set(err, ERR_USAGE, "--dns: '%s' is neither on nor off", dns);
		j = net_cmd_ask(a, json_pack("{s:s, s:b}", "op", "log-dns", "on", !strcmp(dns, "on")), err);
		json_decref(j);
		return j ? 0 : -1;
	}
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		if (errno == ENOENT) {
			error_set(err, ERR_NOT_FOUND, "group %s: its network has never run", name);
			return error_hint(err, "croft group %s up", name);
		}
		return error_errno(err, errno, "%s", path);
	}
	return follow(fd, path, arg_flag(a, "follow"), err);
}

static const struct opt top_opts[] = {
	{ 0, "every", OPT_STRING, "TIME", "How often; default 1s", NULL },
	{ 'n', "count", OPT_STRING, "N", "End after N times", NULL },
	OPT_END,
};
static const struct opt log_opts[] = {
	{ 'f', "follow", OPT_FLAG, NULL, "Go on with what comes", NULL },
	{ 0, "dns", OPT_STRING, "on|off", "Write the names that machines ask for into the log from now on, or no more", "on|off" },
	OPT_END,
};

const struct command cmd_net_top = {
	.path = "net GROUP top",
	.summary = "Show the traffic of each port, again and again",
	.opts = top_opts,
	.min_words = 1,
	.max_words = 1,
	.run = top_run,
};
const struct command cmd_net_trace = {
	.path = "net GROUP trace",
	.args = "NODE NODE|NAME|ADDRESS",
	.summary = "Show which way a packet would take, and where it would be dropped",
	.help = "By what is configured now; nothing is sent.",
	.min_words = 3,
	.max_words = 3,
	.run = trace_run,
	.examples = "  croft net 2zone_sn trace alice-ood1 bob-ood1",
};
const struct command cmd_net_hosts = {
	.path = "net GROUP hosts",
	.summary = "Print the machines' names and addresses as lines of a hosts file",
	.min_words = 1,
	.max_words = 1,
	.run = hosts_run,
};
const struct command cmd_net_log = {
	.path = "net GROUP log",
	.summary = "Show what happened to a group's network: faults, machines that came and went, names asked for",
	.opts = log_opts,
	.min_words = 1,
	.max_words = 1,
	.run = log_run,
	.examples = "  croft net 2zone_sn log --dns on\n  croft net 2zone_sn log --follow",
};
