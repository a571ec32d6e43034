/* SPDX-License-Identifier: Apache-2.0 */
/* What a group will need of this computer, with numbers, before anything is started. */
#include "apply.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/portfree.h"
#include "base/units.h"
#include "net/net.h"

#include <arpa/inet.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

/* Of an overlay and what belongs to it, before its guest has written anything of its own. */
#define NEW_MACHINE ((uint64_t)16 << 20)
#define NET_JSON_MAX (64u << 20)

/* Value of a line of /proc/meminfo (proc(5)) in bytes. */
static uint64_t meminfo(const char *key)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/meminfo", "re");
	char line[256];
	unsigned long long kib;

	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, key, strlen(key)) && sscanf(line + strlen(key), ": %llu kB", &kib) == 1)
			return (uint64_t)kib << 10;
	return 0;
}

/* More memory than the host has at all can't work; more than is free now may. */
static int check_memory(const struct group *g, uint64_t want, struct error **err)
{
	uint64_t total = meminfo("MemTotal") + meminfo("SwapTotal"), free_now = meminfo("MemAvailable");
	char a[16], b[16];

	if (total && want > total) {
		error_set(err, ERR_STATE, "group %s: its machines need %s of memory, this computer has %s with swap", g->name,
			format_size(want, a), format_size(total, b));
		return error_hint(err, "give the nodes less memory (vm_params)");
	}
	if (free_now && want > free_now)
		log_warn("group %s: its machines may use %s of memory, %s are free", g->name, format_size(want, a),
			format_size(free_now, b));
	return 0;
}

/* Disks grow as their guests write. */
static int check_disk(const struct group *g, size_t fresh, uint64_t most, struct error **err)
{
	_cleanup_free_ char *dir = path_data("");
	struct statvfs v;
	uint64_t free_now;
	char a[16], b[16];

	if (!fresh || statvfs(dir, &v) < 0)
		return 0;
	free_now = (uint64_t)v.f_bavail * v.f_frsize;
	if (free_now < fresh * NEW_MACHINE) {
		error_set(err, ERR_STATE, "group %s: %zu new machines need %s on the disk of %s at least, %s are free", g->name, fresh,
			format_size(fresh * NEW_MACHINE, a), dir, format_size(free_now, b));
		return error_hint(err, "make room there, or set CROFT_HOME to a folder elsewhere");
	}
	if (free_now < most)
		log_debug("group %s: its disks may grow to %s, %s are free", g->name, format_size(most, a), format_size(free_now, b));
	return 0;
}

/* ---- ports of the host ---- */

/* The other group whose file or network has this port, or NULL; new. */
static char *holder(const struct group *g, const struct group_forward *f)
{
	_cleanup_strv_ struct strv all = STRV_INIT;
	_cleanup_error_ struct error *e = NULL;
	char *found = NULL;

	group_recorded_names(&all);
	for (size_t i = 0; !found && i < all.len; i++) {
		_cleanup_free_ char *dir = group_net_dir(all.v[i]), *path = path_join(dir, "net.json");
		_cleanup_buf_ struct buf b = BUF_INIT;
		json_t *net, *x;
		size_t k;

		if (!strcmp(all.v[i], g->name) || !net_running(dir) || file_read(path, NET_JSON_MAX, &b, &e) < 0)
			continue;
		net = json_loads(buf_str(&b), 0, NULL);
		json_array_foreach(json_object_get(net, "forwards"), k, x)
		{
			const char *proto = json_string_value(json_object_get(x, "proto")), *host = json_string_value(json_object_get(x, "host"));

			if (proto && host && !strcmp(proto, f->spec.udp ? "udp" : "tcp") && !strcmp(host, f->spec.host) &&
				json_integer_value(json_object_get(x, "host_port")) == f->spec.host_port && !found)
				found = xstrdup(all.v[i]);
		}
		json_decref(net);
	}
	return found;
}

static int check_port(const struct group *g, const struct group_forward *f, struct error **err)
{
	_cleanup_free_ char *other = holder(g, f), *what = NULL;
	struct listen_at l = { .udp = f->spec.udp };

	if (other) {
		node_error(f->at, err, "forwards: %s port %u of %s is that of group %s", f->spec.udp ? "udp" : "tcp", f->spec.host_port, f->spec.host, other);
		(*err)->cls = ERR_STATE;
		return error_hint(err, "take another port, or stop the other group: croft group %s down", other);
	}
	listen_at_set(&l, f->spec.host, f->spec.host_port);
	what = xasprintf("%s:%d:%d: forward", doc_name(g->doc), f->at->line, f->at->col);
	return port_check_free(what, &l, err);
}

int group_check_resources(const struct group *g, struct error **err)
{
	_cleanup_free_ char *net = group_net_dir(g->name);
	uint64_t memory = 0, disk = 0;
	size_t fresh = 0;

	for (size_t i = 0; i < g->nnodes; i++) {
		const struct group_node *n = &g->nodes[i];
		_cleanup_error_ struct error *e = NULL;
		_cleanup_machine_ struct machine *m = group_node_exists(n) ? machine_open(n->full, &e) : NULL;
		enum machine_state s = m ? machine_state(m) : MACHINE_STOPPED;

		if (!n->gone && (s == MACHINE_STOPPED || s == MACHINE_CRASHED))
			memory += m ? m->def.memory : n->memory;
		fresh += !m && !n->gone && !n->host;
		disk += m ? 0 : n->disk;
	}
	if (check_memory(g, memory, err) < 0 || check_disk(g, fresh, disk, err) < 0)
		return -1;
	/* Of a network that runs they are its own. */
	for (size_t i = 0; !net_running(net) && i < g->nforwards; i++)
		if (!g->forwards[i].spec.reverse && check_port(g, &g->forwards[i], err) < 0)
			return -1;
	return 0;
}
