/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Forwards: a port of the host leads to a machine's, whatever NAT is around it. Each is a listening socket of the libslirp of the
 * machine's zone; a zone without a way out has one for its forwards alone. Those of net.json go with it, those that were added while
 * the process runs stay until they are removed.
 */
#include "base/cleanup.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/portfree.h"
#include "net/forwards.h"

#include <string.h>

#define FORWARDS_MAX 4096

/* The NIC that it goes to: in a zone that leads out if there is one. */
static struct port *target(const struct net *n, const char *node)
{
	struct port *best = NULL;

	for (struct zone *z = n->zones; z; z = z->next)
		for (struct port *p = z->ports; p; p = p->next)
			if (p->kind == PORT_MACHINE && !strcmp(p->node, node) && (!best || (z->has_outside && !best->zone->has_outside)))
				best = p;
	return best;
}

/* What stands in the way, asked before libslirp would fail with less of an explanation. */
static int check_free(const struct forward *f, struct error **err)
{
	struct listen_at l = { .udp = f->udp };
	_cleanup_free_ char *what = xasprintf("the forward to %s:%u", f->node, f->port);

	l.at.v4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(f->host_port), .sin_addr.s_addr = htonl(f->host) };
	return port_check_free(what, &l, err);
}

static int start(struct net *n, struct forward *f, struct error **err)
{
	struct port *to = target(n, f->node);

	if (!to)
		return error_set(err, ERR_NOT_FOUND, "forward of port %u: there is no machine '%s'", f->host_port, f->node);
	if (check_free(f, err) < 0)
		return -1;
	if (!to->zone->outside)
		to->zone->outside = outside_new(to->zone);
	if (!to->zone->outside)
		return error_set(err, ERR_FAILED, "zone %s: libslirp does not start", to->zone->name);
	if (outside_forward(to->zone->outside, f->udp, f->host, f->host_port, to->ip, f->port, err) < 0)
		return -1;
	f->zone = to->zone;
	return 0;
}

static void forward_clear(struct forward *f)
{
	free(f->node);
}

int forward_read(const json_t *j, struct forward *f, struct error **err)
{
	json_int_t host_port = json_integer_value(json_object_get(j, "host_port")), port = json_integer_value(json_object_get(j, "port"));
	const char *proto = conf_text(j, "proto");

	*f = (struct forward){ .udp = !strcmp(proto, "udp") };
	if (conf_ip(*conf_text(j, "host") ? conf_text(j, "host") : "127.0.0.1", &f->host, err) < 0)
		return -1;
	if ((*proto && strcmp(proto, "tcp") && !f->udp) || host_port < 1 || host_port > 65535 || port < 1 || port > 65535 ||
		!*conf_text(j, "node"))
		return error_set(err, ERR_USAGE, "a forward needs \"host_port\", \"node\", \"port\", and tcp or udp as \"proto\"");
	f->host_port = (uint16_t)host_port;
	f->port = (uint16_t)port;
	f->node = xstrdup(conf_text(j, "node"));
	return 0;
}

static struct forward *find(const struct net *n, const struct forward *f)
{
	for (size_t i = 0; i < n->nforwards; i++)
		if (n->forwards[i].udp == f->udp && n->forwards[i].host == f->host && n->forwards[i].host_port == f->host_port)
			return &n->forwards[i];
	return NULL;
}

/* Takes over f, of which node is freed when it fails. */
static int add(struct net *n, struct forward *f, struct error **err)
{
	const struct forward *has = find(n, f);
	int rc = 0;

	if (has)
		rc = error_set(err, ERR_STATE, "port %u of the host leads to %s:%u already", f->host_port, has->node, has->port);
	else if (n->nforwards >= FORWARDS_MAX)
		rc = error_set(err, ERR_STATE, "there are %d forwards, and there can't be more", FORWARDS_MAX);
	else
		rc = start(n, f, err);
	if (rc < 0) {
		forward_clear(f);
		return -1;
	}
	n->forwards = xreallocarray(n->forwards, n->nforwards + 1, sizeof(*n->forwards));
	n->forwards[n->nforwards++] = *f;
	return 0;
}

static void drop(struct net *n, size_t i)
{
	forward_clear(&n->forwards[i]);
	memmove(n->forwards + i, n->forwards + i + 1, (--n->nforwards - i) * sizeof(*n->forwards));
}

int forwards_load(struct net *n, const json_t *list, struct error **err)
{
	struct forward *live = n->forwards;
	size_t nlive = n->nforwards, i;
	const json_t *j;
	int rc = 0;

	/* Their sockets went with the zones that they were in. */
	n->forwards = NULL;
	n->nforwards = 0;
	json_array_foreach(list, i, j)
	{
		struct forward f;

		if (rc == 0)
			rc = forward_read(j, &f, err) < 0 || add(n, &f, err) < 0 ? -1 : 0;
	}
	for (i = 0; i < nlive; i++) {
		_cleanup_error_ struct error *e = NULL;

		if (!live[i].live)
			forward_clear(&live[i]);
		else if (add(n, &live[i], &e) < 0)
			log_warn("%s; the forward is gone", e->msg);
	}
	free(live);
	return rc;
}

int forward_add(struct net *n, const json_t *j, struct error **err)
{
	struct forward f;

	if (forward_read(j, &f, err) < 0)
		return -1;
	f.live = true;
	return add(n, &f, err);
}

int forward_remove(struct net *n, const json_t *j, struct error **err)
{
	json_int_t port = json_integer_value(json_object_get(j, "host_port"));
	struct forward f = { .udp = !strcmp(conf_text(j, "proto"), "udp"), .host_port = (uint16_t)port }, *has;

	if (conf_ip(*conf_text(j, "host") ? conf_text(j, "host") : "127.0.0.1", &f.host, err) < 0)
		return -1;
	has = port > 0 && port < 65536 ? find(n, &f) : NULL;
	if (!has)
		return error_set(err, ERR_NOT_FOUND, "there is no forward of %s port %lld on %s", f.udp ? "udp" : "tcp", (long long)port,
			*conf_text(j, "host") ? conf_text(j, "host") : "127.0.0.1");
	outside_unforward(has->zone->outside, has->udp, has->host, has->host_port);
	drop(n, (size_t)(has - n->forwards));
	return 0;
}

json_t *forwards_json(const struct net *n, bool live)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n->nforwards; i++) {
		const struct forward *f = &n->forwards[i];

		if (live && !f->live)
			continue;
		json_array_append_new(list, json_pack("{s:s, s:o, s:i, s:s, s:i, s:b}", "proto", f->udp ? "udp" : "tcp", "host",
			json_sprintf("%u.%u.%u.%u", f->host >> 24, f->host >> 16 & 255, f->host >> 8 & 255, f->host & 255), "host_port",
			(int)f->host_port, "node", f->node, "port", (int)f->port, "live", f->live));
	}
	return list;
}

void forwards_clear(struct net *n)
{
	while (n->nforwards)
		drop(n, n->nforwards - 1);
	free(n->forwards);
	n->forwards = NULL;
}
