/* SPDX-License-Identifier: Apache-2.0 */
/* croft net GROUP play, capture, proxy: what goes on until it is ended. */
#include "cli/cli.h"
#include "cli/cmd/cmd.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/intr.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/units.h"
#include "group/group.h"
#include "net/net.h"
#include "net/proxy.h"
#include "net/scenario.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#define SCENARIO_MAX ((size_t)4 << 20)
#define ASK_MS 10000

/* ---- play ---- */

static void say(void *arg, uint64_t at_ns, const char *text)
{
	_cleanup_buf_ struct buf quoted = BUF_INIT;

	json_quote(&quoted, text);
	if (cli_format == FORMAT_TABLE)
		printf("%9.3f s  %s\n", (double)at_ns / 1e9, text);
	else
		printf("{\"at\":%.3f,\"event\":%s}\n", (double)at_ns / 1e9, quoted.data);
	fflush(stdout);
}

static int play_run(const struct cmd_args *a, struct error **err)
{
	const char *file = arg_words(a)->v[1], *seed_text = arg_str(a, "seed");
	_cleanup_scenario_ struct scenario s = { 0 };
	_cleanup_free_ char *dir = NULL, *answer = NULL;
	_cleanup_buf_ struct buf b = BUF_INIT;
	uint64_t seed = 0;
	json_t *j;

	if ((seed_text && parse_u64("--seed", seed_text, 0, INT64_MAX, &seed, err) < 0) || file_read(file, SCENARIO_MAX, &b, err) < 0 ||
		scenario_parse(file, buf_str(&b), &s, err) < 0)
		return -1;
	dir = group_net_running(arg_words(a)->v[0], err);
	answer = dir ? net_request(dir, "{\"op\":\"faults\"}", ASK_MS, err) : NULL;
	if (!answer)
		return -1;
	j = json_loads(answer, 0, NULL);
	if (cli_format == FORMAT_TABLE)
		printf("seed %llu\n",
			seed_text ? (unsigned long long)seed : (unsigned long long)json_integer_value(json_object_get(j, "seed")));
	fflush(stdout);
	json_decref(j);
	cli_left("the network goes back to what it was before");
	if (scenario_play(dir, &s, seed_text ? (int64_t)seed : -1, say, NULL, err) < 0)
		return -1;
	cli_left(NULL);
	return 0;
}

/* ---- capture ---- */

static int copy_until(int from, int to, const char *name, uint64_t end, uint64_t *bytes, struct error **err)
{
	static char b[1 << 18];

	for (;;) {
		struct pollfd p = { .fd = from, .events = POLLIN };
		uint64_t now = loop_now();
		ssize_t n;

		if (intr_signal || (end && now >= end))
			return 0;
		if (poll(&p, 1, end ? (int)((end - now) / 1000000 + 1) : -1) <= 0)
			continue;
		n = read(from, b, sizeof(b));
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0)
			return error_errno(err, errno, "capture");
		if (n == 0)
			return error_set(err, ERR_FAILED, "capture: the group's network has ended");
		if (file_write_all(to, b, (size_t)n, name, err) < 0)
			return -1;
		*bytes += (uint64_t)n;
	}
}

static char *capture_request(const struct cmd_args *a)
{
	json_t *j = json_pack("{s:s, s:s?}", "op", "capture", "node", arg_str(a, "node"));
	char *text = json_dumps(j, JSON_COMPACT);

	json_decref(j);
	return text;
}

static int capture_run(const struct cmd_args *a, struct error **err)
{
	const char *path = arg_str(a, "write"), *time = arg_str(a, "for");
	_cleanup_free_ char *dir = NULL, *request = capture_request(a);
	_cleanup_close_ int in = -1, out = -1;
	uint64_t ms = 0, bytes = 0;
	char size[16];

	if (!path || (!strcmp(path, "-") && isatty(1))) {
		error_set(err, ERR_USAGE, path ? "capture: a terminal can't show it" : "capture: --write FILE is needed");
		return error_hint(err, "write it to a file (-w x.pcapng), or read it at once: -w - | tshark -r -");
	}
	if (time && parse_duration("--for", time, &ms, err) < 0)
		return -1;
	dir = group_net_running(arg_words(a)->v[0], err);
	if (!dir)
		return -1;
	in = net_open(dir, request, ASK_MS, err);
	if (in < 0)
		return -1;
	out = strcmp(path, "-") ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : dup(1);
	if (out < 0)
		return error_errno(err, errno, "%s", path);
	if (!time)
		log_info("capturing; Ctrl-C ends it");
	if (copy_until(in, out, path, time ? loop_now() + ms * 1000000 : 0, &bytes, err) < 0)
		return -1;
	log_info("%s written", format_size(bytes, size));
	return 0;
}

/* ---- proxy ---- */

static int proxy_cmd_run(const struct cmd_args *a, struct error **err)
{
	_cleanup_free_ char *dir = group_net_running(arg_words(a)->v[0], err);
	struct proxy *p = dir ? proxy_new(dir, arg_str(a, "listen") ? arg_str(a, "listen") : "127.0.0.1:1080", arg_str(a, "zone"), err) : NULL;
	int rc;

	if (!p)
		return -1;
	log_info("SOCKS5 and HTTP CONNECT on port %u (socks5h://127.0.0.1:%u); Ctrl-C ends it", proxy_port(p), proxy_port(p));
	rc = proxy_run(p, err);
	proxy_free(p);
	return rc;
}

static const struct opt proxy_opts[] = {
	{ 0, "listen", OPT_STRING, "ADDRESS:PORT", "Where; default 127.0.0.1:1080; port 0: any free one", NULL },
	{ 'z', "zone", OPT_STRING, "ZONE", "Into this zone, by its names; default: that of each machine", NULL },
	OPT_END,
};
static const struct opt play_opts[] = {
	{ 0, "seed", OPT_STRING, "N", "Seed of all chance; default: the group's", NULL },
	OPT_END,
};
static const struct opt capture_opts[] = {
	{ 'w', "write", OPT_STRING, "FILE", "Where to: a pcapng file, or - for standard output", "file" },
	{ 'n', "node", OPT_STRING, "NODE", "Only this machine's ports", NULL },
	{ 0, "for", OPT_STRING, "TIME", "End after TIME; default: at Ctrl-C", NULL },
	OPT_END,
};

const struct command cmd_net_play = {
	.path = "net GROUP play",
	.args = "FILE",
	.summary = "Play a scenario: faults at stated times",
	.help = "FILE has an event a line, `at 10s: partition sn,alice bob`, or is such a YAML list. Events are the commands cut, "
		"partition, heal, link, flap, seed, and `end`. All are checked before the first happens. Each is printed, and logged in net.log, "
		"as it happens. Ctrl-C, a failure and `end` take the network back to what it was before; after the last event without "
		"an `end` it stays as it is.",
	.opts = play_opts,
	.min_words = 2,
	.max_words = 2,
	.complete = "file",
	.run = play_run,
	.examples = "  croft net 2zone_sn play partition.scenario --seed 7",
};
const struct command cmd_net_capture = {
	.path = "net GROUP capture",
	.summary = "Write the frames of a group's network to a pcapng file",
	.help = "An interface a port, named NODE@ZONE. Comments say what happened to a frame and which fault was set before it. "
		"Forwarding never waits for the capture; what it is too slow for is counted in it.",
	.opts = capture_opts,
	.min_words = 1,
	.max_words = 1,
	.run = capture_run,
	.examples = "  croft net 2zone_sn capture --node sn -w sn.pcapng\n  croft net 2zone_sn capture -w - | tshark -r -",
};
const struct command cmd_net_proxy = {
	.path = "net GROUP proxy",
	.summary = "Let a browser into a group's network: SOCKS5 and HTTP CONNECT",
	.help = "Until Ctrl-C. Names are resolved inside, so `http://sn/` works in a browser that uses it as a SOCKS5 proxy with remote DNS. "
		"TCP over IPv4 to the group's machines, nothing else.",
	.opts = proxy_opts,
	.min_words = 1,
	.max_words = 1,
	.run = proxy_cmd_run,
	.examples = "  croft net 2zone_sn proxy &\n  curl -x socks5h://127.0.0.1:1080 http://sn/",
};
