/* SPDX-License-Identifier: Apache-2.0 */
#include "group/ports.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "guest/agent.h"
#include "internal.h"
#include "machine/machine.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define ASK_MS 2000
#define PORTS_MAX (1u << 20)
#define TCP_LISTEN 0x0a /* include/net/tcp_states.h */
#define UDP_ALONE 0x07

/* "0100007F" or four of these: 32-bit words in the guest's order of bytes (little-endian on all that croft runs). */
static bool address(const char *hex, size_t len, char ret[INET6_ADDRSTRLEN])
{
	uint32_t w[4];

	for (size_t i = 0; i < len / 8; i++)
		if (sscanf(hex + 8 * i, "%8x", &w[i]) != 1)
			return false;
	return inet_ntop(len == 8 ? AF_INET : AF_INET6, w, ret, INET6_ADDRSTRLEN) != NULL;
}

static void parse_line(const char *line, const char *proto, struct strv *ret)
{
	char local[33] = "", remote[33] = "", text[INET6_ADDRSTRLEN];
	unsigned port, to, state;
	size_t len;

	if (sscanf(line, " %*d: %32[0-9A-F]:%4x %32[0-9A-F]:%4x %2x", local, &port, remote, &to, &state) != 5)
		return;
	len = strlen(local);
	if ((len != 8 && len != 32) || state != (*proto == 't' ? TCP_LISTEN : UDP_ALONE) || !address(local, len, text))
		return;
	strv_addf(ret, len == 8 ? "%.3s %s:%u" : "%.3s [%s]:%u", proto, text, port);
}

void ports_parse(const char *text, struct strv *ret)
{
	_cleanup_strv_ struct strv all = STRV_INIT;
	char proto[8] = "tcp";

	for (const char *end; *text; text = *end ? end + 1 : end) {
		_cleanup_free_ char *line = NULL;

		end = strchrnul(text, '\n');
		line = xstrndup(text, (size_t)(end - text));
		if (*line == '#')
			snprintf(proto, sizeof(proto), "%.7s", line + 1);
		else
			parse_line(line, proto, &all);
	}
	strv_sort(&all);
	for (size_t i = 0; i < all.len; i++)
		if (!i || strcmp(all.v[i], all.v[i - 1]))
			strv_add(ret, all.v[i]);
}

static int ask(struct worker *w, void *arg, struct error **err)
{
	static const char *const script = "for t in tcp tcp6 udp udp6; do [ ! -e /proc/net/$t ] || { echo \"#$t\"; cat /proc/net/$t; }; done";
	_cleanup_agent_ struct agent *a = machine_agent(arg, ASK_MS, err);
	_cleanup_buf_ struct buf out = BUF_INIT, lines = BUF_INIT;
	struct agent_exec x = AGENT_EXEC_INIT;
	_cleanup_strv_ struct strv ports = STRV_INIT;
	int status = 0;

	x.argv = (const char *const[]){ "sh", "-c", script, NULL };
	x.out = &out;
	x.timeout_ms = ASK_MS;
	if (!a || agent_exec(a, &x, &status, err) < 0)
		return -1;
	if (status)
		return error_set(err, ERR_FAILED, "/proc/net could not be read");
	ports_parse(buf_str(&out), &ports);
	buf_adds(&lines, "ports\n");
	for (size_t i = 0; i < ports.len; i++)
		buf_addf(&lines, "%s\n", ports.v[i]);
	worker_result(w, buf_str(&lines));
	return 0;
}

static char *ports_path(const char *dir, const char *node)
{
	return xasprintf("%s/%s.ports", dir, node);
}

void ports_note(const char *dir, struct machine *const *machines, const char *const *nodes, size_t n)
{
	_cleanup_free_ struct work *works = xcalloc(n + 1, sizeof(*works));
	_cleanup_free_ struct buf *results = xcalloc(n + 1, sizeof(*results));
	_cleanup_free_ size_t *of = xcalloc(n + 1, sizeof(*of));
	_cleanup_error_ struct error *e = NULL;
	size_t running = 0;

	for (size_t i = 0; i < n; i++)
		if (machine_state(machines[i]) == MACHINE_RUNNING) {
			works[running] = (struct work){ .label = nodes[i], .arg = machines[i], .fn = ask, .result = &results[running] };
			of[running++] = i;
		}
	if (running && work_ask(works, running, &e) < 0)
		log_debug("%s", e->msg);
	for (size_t i = 0; i < running; i++) {
		_cleanup_free_ char *path = ports_path(dir, nodes[of[i]]);
		_cleanup_error_ struct error *why = NULL;

		if (results[i].len && file_write(path, results[i].data, results[i].len, 0600, &why) < 0)
			log_debug("%s", why->msg);
		buf_free(&results[i]);
	}
}

int ports_read(const char *dir, const char *node, struct strv *ret, struct error **err)
{
	_cleanup_free_ char *path = ports_path(dir, node);
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (!file_exists(path))
		return 0;
	if (file_read(path, PORTS_MAX, &b, err) < 0)
		return -1;
	for (const char *p = strchrnul(buf_str(&b), '\n'), *end; *p && p[1]; p = end) {
		end = strchrnul(p + 1, '\n');
		strv_addf(ret, "%.*s", (int)(end - p - 1), p + 1);
	}
	return 1;
}
