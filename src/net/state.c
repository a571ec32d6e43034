/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of a network lives longer than its process: DIR/net.state, {"version":1,"nat":{"ZONE":{..}},"forwards":[..],
 * "upnp":{"ZONE":[..]},
 * "leases":[{"node":N,"zone":Z,"time":SECONDS}]} (nat.h, forwards.h, igd.h). Every address is fixed: of leases there is only when they were given. Written every few seconds while something changes and at the end, read at the beginning; a group's snapshot
 * takes a copy along (operations "save" and "load").
 */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "net/faults.h"
#include "net/forwards.h"
#include "net/igd.h"
#include "net/ip6.h"
#include "net/nat.h"
#include "net/zone.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define STATE_MAX ((size_t)256 << 20)
#define EVERY_NS 2000000000u
#define ADVERTISE_NS 60000000000u
#define SHARE 50 /* of the time at most a 50th goes into writing */

/* Changes with what is kept. */
static uint64_t opened(const struct net *n)
{
	uint64_t sum = 0;

	for (const struct zone *z = n->zones; z; z = z->next) {
		struct nat_stats s;

		for (const struct port *p = z->ports; p; p = p->next)
			sum += (uint64_t)p->leased;
		if (!z->router || !z->router->nat)
			continue;
		nat_stats(z->router->nat, &s);
		sum += s.opened + s.expired + s.statics;
	}
	return sum;
}

static char *state_text(const struct net *n)
{
	json_t *nat = json_object(), *upnp = json_object(), *leases = json_array(), *root = json_pack("{s:i, s:I, s:o, s:o, s:o, s:o}", "version", 1, "time",
		(json_int_t)time(NULL), "nat", nat, "upnp", upnp, "forwards", forwards_json(n, true), "leases", leases);
	char *text;

	for (const struct zone *z = n->zones; z; z = z->next)
		for (const struct port *p = z->ports; p; p = p->next)
			if (p->leased)
				json_array_append_new(leases, json_pack("{s:s, s:s, s:I}", "node", p->node, "zone", z->name, "time",
					(json_int_t)p->leased));

	for (const struct zone *z = n->zones; z; z = z->next)
		if (z->router && z->router->nat) {
			json_object_set_new(nat, z->name, nat_save(z->router->nat, loop_now()));
			if (z->router->notes)
				json_object_set_new(upnp, z->name, igd_notes(z->router));
		}
	text = json_dumps(root, JSON_COMPACT);
	json_decref(root);
	return text;
}

int state_save(struct net *n, const char *path, struct error **err)
{
	_cleanup_free_ char *text = state_text(n);

	return text ? file_write(path, text, strlen(text), 0600, err) : error_set(err, ERR_FAILED, "%s: no memory", path);
}

/* Not flushed to disk, which would hold up packets: when the computer itself stops, the machines' connections are gone as well. */
static int save_quickly(struct net *n, const char *path, struct error **err)
{
	_cleanup_free_ char *text = state_text(n), *temp = xasprintf("%s.new", path);
	_cleanup_close_ int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (!text || fd < 0)
		return error_errno(err, fd < 0 ? errno : ENOMEM, "%s", temp);
	if (file_write_all(fd, text, strlen(text), temp, err) < 0)
		return -1;
	return rename(temp, path) < 0 ? error_errno(err, errno, "%s", path) : 0;
}

static void load_leases(struct net *n, const json_t *list)
{
	const json_t *j;
	size_t i;

	json_array_foreach(list, i, j)
		for (struct zone *z = n->zones; z; z = z->next)
			for (struct port *p = z->ports; p; p = p->next)
				if (!strcmp(z->name, conf_text(j, "zone")) && !strcmp(p->node, conf_text(j, "node")))
					p->leased = json_integer_value(json_object_get(j, "time"));
}

/* aged: flows have grown older by the time since. */
static int load(struct net *n, const char *path, bool aged, struct error **err)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	json_error_t je;
	json_t *root, *nat;
	uint64_t now = loop_now();
	time_t age;
	int rc = 0;

	if (file_read(path, STATE_MAX, &b, err) < 0)
		return -1;
	root = json_loads(buf_str(&b), 0, &je);
	if (!root)
		return error_set(err, ERR_USAGE, "%s:%d:%d: %s", path, je.line, je.column, je.text);
	if (json_integer_value(json_object_get(root, "version")) != 1)
		rc = error_set(err, ERR_USAGE, "%s: not the state of a network, or that of a newer croft", path);
	nat = json_object_get(root, "nat");
	age = time(NULL) - (time_t)json_integer_value(json_object_get(root, "time"));
	if (aged && age > 0)
		now -= (uint64_t)age * 1000000000 < now ? (uint64_t)age * 1000000000 : now;
	for (struct zone *z = n->zones; rc == 0 && z; z = z->next)
		if (z->router && z->router->nat) {
			nat_reset(z->router->nat);
			if (nat_load(z->router->nat, json_object_get(nat, z->name), now) < 0)
				rc = error_set(err, ERR_USAGE, "%s: zone %s: not a table of NAT", path, z->name);
			igd_restore(z->router, json_object_get(json_object_get(root, "upnp"), z->name));
		}
	if (rc == 0)
		load_leases(n, json_object_get(root, "leases"));
	json_decref(root);
	return rc;
}

int state_load(struct net *n, const char *path, struct error **err)
{
	return load(n, path, false, err);
}

/* Forwards that were added while the process ran that has ended now. */
static void load_forwards(struct net *n, const char *path)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_error_ struct error *e = NULL;
	json_t *root = file_read(path, STATE_MAX, &b, &e) < 0 ? NULL : json_loads(buf_str(&b), 0, NULL);
	const json_t *j;
	size_t i;

	json_array_foreach(json_object_get(root, "forwards"), i, j)
	{
		_cleanup_error_ struct error *why = NULL;

		if (forward_add(n, j, &why) < 0)
			log_warn("%s; the forward is gone", why->msg);
	}
	json_decref(root);
}

/* A file that is wrong is no reason to have no network. */
void state_begin(struct net *n)
{
	_cleanup_free_ char *path = path_join(n->dir, "net.state");
	_cleanup_error_ struct error *e = NULL;

	if (file_exists(path) && load(n, path, true, &e) < 0)
		log_warn("%s; connections through NAT begin anew", e->msg);
	load_forwards(n, path);
	n->saved = opened(n);
}

void state_end(struct net *n)
{
	_cleanup_free_ char *path = path_join(n->dir, "net.state");
	_cleanup_error_ struct error *e = NULL;

	if ((opened(n) || n->nforwards || file_exists(path)) && save_quickly(n, path, &e) < 0)
		log_warn("%s", e->msg);
}

void state_tick(struct net *n)
{
	uint64_t begin = loop_now(), due = n->faults ? links_next(n->faults->links) : begin, changed, took;

	/* A frame that is late finds what there was when it was due. */
	for (struct zone *z = n->zones; z; z = z->next)
		if (z->router && z->router->nat)
			nat_expire(z->router->nat, due < begin ? due : begin);
	for (struct zone *z = n->zones; z && begin >= n->advertise_after; z = z->next)
		if (z->v6)
			ip6_advertise(z, NULL);
	if (begin >= n->advertise_after)
		n->advertise_after = begin + ADVERTISE_NS;
	changed = opened(n);
	if (changed == n->saved || begin < n->save_after)
		return;
	state_end(n);
	n->saved = changed;
	took = (loop_now() - begin) * SHARE;
	n->save_after = begin + (took > EVERY_NS ? took : EVERY_NS);
}
