/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Forwards: a port of the host leads to a machine's, whatever NAT is around it. Each is a listening socket of the libslirp of the
 * machine's zone; a zone without a way out has one for its forwards alone. Those of net.json go with it, those that were added while
 * the process runs stay until they are removed. The reverse needs no socket: libslirp takes the gateway's address for the host's
 * loopback, and no packet gets there but those that forward_out has let.
 */
#include "base/cleanup.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/portfree.h"
#include "net/faults.h"
#include "net/forwards.h"
#include "net/ip6.h"
#include "net/pcp.h"

#include <arpa/inet.h>
#include <string.h>

#define FORWARDS_MAX 4096
#define LOOPBACK 0x7f000001u

/* The NIC that it goes to: in a zone that leads out if there is one. */
static struct port *target(const struct net *n, const char *node, bool v6)
{
	struct port *best = NULL;

	for (struct zone *z = n->zones; z; z = z->next)
		for (struct port *p = z->ports; p; p = p->next)
			if (p->kind == PORT_MACHINE && !strcmp(p->node, node) && (!v6 || z->v6) &&
				(!best || (z->has_outside && !best->zone->has_outside)))
				best = p;
	return best;
}

static void host_text(const struct forward *f, char ret[INET6_ADDRSTRLEN])
{
	struct in_addr a = { htonl(f->host) };

	inet_ntop(f->v6 ? AF_INET6 : AF_INET, f->v6 ? (const void *)f->host6 : &a, ret, INET6_ADDRSTRLEN);
}

/* What stands in the way, asked before libslirp would fail with less of an explanation. */
static int check_free(const struct forward *f, struct error **err)
{
	struct listen_at l = { .udp = f->udp };
	char host[INET6_ADDRSTRLEN];
	_cleanup_free_ char *what = xasprintf("the forward to %s:%u", f->node, f->port);

	host_text(f, host);
	listen_at_set(&l, host, f->host_port);
	return port_check_free(what, &l, err);
}

/* A machine may be named by any of its names. */
static int settle_node(const struct net *n, struct forward *f, struct error **err)
{
	const char *name = !n->faults || (f->reverse && !strcmp(f->node, "*")) ? f->node : faults_node_named(n->faults, f->node, err);

	if (!name)
		return -1;
	if (name != f->node) {
		char *copy = xstrdup(name);

		free(f->node);
		f->node = copy;
	}
	return 0;
}

static int start(struct net *n, struct forward *f, struct error **err)
{
	struct port *to;

	if (settle_node(n, f, err) < 0)
		return -1;
	if (f->reverse)
		return f->port == 53 || f->port == PCP_PORT
			       ? error_set(err, ERR_STATE, "port %u of the gateway answers machines itself", f->port)
			       : 0;
	to = target(n, f->node, f->v6);
	if (!to && f->v6 && target(n, f->node, false)) {
		error_set(err, ERR_STATE, "forward of port %u: no zone of %s has IPv6", f->host_port, f->node);
		return error_hint(err, "give one of its zones a prefix6, as prefix6: auto");
	}
	if (!to)
		return error_set(err, ERR_NOT_FOUND, "forward of port %u: there is no machine '%s'", f->host_port, f->node);
	if (check_free(f, err) < 0)
		return -1;
	if (!to->zone->outside)
		to->zone->outside = outside_new(to->zone);
	if (!to->zone->outside)
		return error_set(err, ERR_FAILED, "zone %s: libslirp does not start", to->zone->name);
	if (f->v6) {
		uint8_t ip[16];

		ip6_address(to->zone->prefix6, to->mac, ip);
		if (outside_forward6(to->zone->outside, f->udp, f->host6, f->host_port, ip, f->port, err) < 0)
			return -1;
	} else if (outside_forward(to->zone->outside, f->udp, f->host, f->host_port, to->ip, f->port, err) < 0)
		return -1;
	f->zone = to->zone;
	return 0;
}

static void forward_clear(struct forward *f)
{
	free(f->node);
}

/* "host": an address of either kind; none: the loopback's. */
static int read_host(const json_t *j, struct forward *f, struct error **err)
{
	const char *text = conf_text(j, "host");

	f->v6 = strchr(text, ':');
	if (!f->v6)
		return conf_ip(*text ? text : "127.0.0.1", &f->host, err);
	return inet_pton(AF_INET6, text, f->host6) == 1 ? 0 : error_set(err, ERR_USAGE, "'%s' is not an IPv6 address", text);
}

int forward_read(const json_t *j, struct forward *f, struct error **err)
{
	json_int_t host_port = json_integer_value(json_object_get(j, "host_port")), port = json_integer_value(json_object_get(j, "port"));
	const char *proto = conf_text(j, "proto");

	*f = (struct forward){ .udp = !strcmp(proto, "udp"), .reverse = json_is_true(json_object_get(j, "reverse")) };
	if (read_host(j, f, err) < 0)
		return -1;
	if (f->reverse && (f->v6 || f->host != LOOPBACK))
		return error_set(err, ERR_USAGE, "a forward to the host leads to 127.0.0.1 alone");
	if ((*proto && strcmp(proto, "tcp") && !f->udp) || host_port < 1 || host_port > 65535 || port < 1 || port > 65535 ||
		!*conf_text(j, "node"))
		return error_set(err, ERR_USAGE, "a forward needs \"host_port\", \"node\", \"port\", and tcp or udp as \"proto\"");
	f->host_port = (uint16_t)host_port;
	f->port = (uint16_t)port;
	f->node = xstrdup(conf_text(j, "node"));
	return 0;
}

static bool shares_node(const struct forward *a, const struct forward *b)
{
	return *a->node == '*' || *b->node == '*' || !strcmp(a->node, b->node);
}

/* What stands in the way of f. Of the reverse two can lead to one port of the host's: but not from one machine, see forward_back. */
static struct forward *find(const struct net *n, const struct forward *f)
{
	for (size_t i = 0; i < n->nforwards; i++) {
		struct forward *g = &n->forwards[i];

		if (g->udp != f->udp || g->reverse != f->reverse)
			continue;
		if (f->reverse ? shares_node(f, g) && (f->port == g->port || f->host_port == g->host_port)
			       : g->v6 == f->v6 && g->host == f->host && !memcmp(g->host6, f->host6, 16) && g->host_port == f->host_port)
			return g;
	}
	return NULL;
}

/* Takes over f, of which node is freed when it fails. */
static int add(struct net *n, struct forward *f, struct error **err)
{
	const struct forward *has = find(n, f);
	int rc = 0;

	if (has && f->reverse)
		rc = error_set(err, ERR_STATE, "port %u of the gateway leads to port %u of the host already, for %s", has->port, has->host_port,
			*has->node == '*' ? "all machines" : has->node);
	else if (has)
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
	n->reverse_forwards += f->reverse;
	return 0;
}

static void drop(struct net *n, size_t i)
{
	n->reverse_forwards -= n->forwards[i].reverse;
	forward_clear(&n->forwards[i]);
	memmove(n->forwards + i, n->forwards + i + 1, (--n->nforwards - i) * sizeof(*n->forwards));
}

int forwards_load(struct net *n, const json_t *list, struct error **err)
{
	struct forward *live = n->forwards;
	size_t nlive = n->nforwards, i;
	const json_t *j;
	int rc = 0;

	n->reverse_forwards = 0;
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

/* The reverse is named by the port that machines ask. */
static struct forward *find_named(struct net *n, const struct forward *f)
{
	if (!f->reverse)
		return find(n, f);
	for (size_t i = 0; i < n->nforwards; i++) {
		struct forward *g = &n->forwards[i];

		if (g->reverse && g->udp == f->udp && g->port == f->port && !strcmp(g->node, f->node))
			return g;
	}
	return NULL;
}

int forward_remove(struct net *n, const json_t *j, struct error **err)
{
	struct forward f = { .udp = !strcmp(conf_text(j, "proto"), "udp"), .reverse = json_is_true(json_object_get(j, "reverse")),
		.host_port = (uint16_t)json_integer_value(json_object_get(j, "host_port")),
		.port = (uint16_t)json_integer_value(json_object_get(j, "port")), .node = (char *)conf_text(j, "node") }, *has;

	if (read_host(j, &f, err) < 0)
		return -1;
	has = find_named(n, &f);
	if (!has && f.reverse)
		return error_set(err, ERR_NOT_FOUND, "there is no forward of %s port %u of the gateway for %s", f.udp ? "udp" : "tcp", f.port,
			f.node);
	if (!has)
		return error_set(err, ERR_NOT_FOUND, "there is no forward of %s port %u on %s", f.udp ? "udp" : "tcp", f.host_port,
			*conf_text(j, "host") ? conf_text(j, "host") : "127.0.0.1");
	if (has->zone && has->v6)
		outside_unforward6(has->zone->outside, has->udp, has->host6, has->host_port);
	else if (has->zone)
		outside_unforward(has->zone->outside, has->udp, has->host, has->host_port);
	drop(n, (size_t)(has - n->forwards));
	return 0;
}

/* A TCP or UDP packet's port and sum; NULL: it has none, as fragments but the first. */
static uint8_t *ports_of(const struct ip4 *p, uint8_t **sum)
{
	uint8_t *t = p->h + p->hlen;
	size_t least = p->proto == IPPROTO_TCP ? TCP_BYTES : UDP_BYTES;

	if ((p->proto != IPPROTO_TCP && p->proto != IPPROTO_UDP) || (p->frag & IP4_OFFSET) || p->len - p->hlen < least)
		return NULL;
	*sum = p->proto == IPPROTO_TCP ? t + 16 : get16(t + 6) ? t + 6 : NULL;
	return t;
}

static void change_port(uint8_t *port, uint8_t *sum, uint16_t to)
{
	if (sum)
		put16(sum, checksum_change16(get16(sum), get16(port), to));
	put16(port, to);
}

static const struct forward *reverse_of(const struct port *m, bool udp, uint16_t port, uint16_t host_port)
{
	const struct net *n = m->zone->net;

	for (size_t i = 0; i < n->nforwards; i++) {
		const struct forward *f = &n->forwards[i];

		if (f->reverse && f->udp == udp && (port ? f->port == port : f->host_port == host_port) &&
			(*f->node == '*' || !strcmp(f->node, m->node)))
			return f;
	}
	return NULL;
}

bool forward_out(const struct port *from, struct ip4 *p)
{
	uint8_t *sum, *t = from->zone->net->reverse_forwards ? ports_of(p, &sum) : NULL;
	const struct forward *f = t && !(p->frag & IP4_MF) ? reverse_of(from, p->proto == IPPROTO_UDP, get16(t + 2), 0) : NULL;

	if (!f)
		return false;
	change_port(t + 2, sum, f->host_port);
	return true;
}

void forward_back(const struct port *to, struct ip4 *p)
{
	uint8_t *sum, *t = to->zone->net->reverse_forwards && p->src == to->zone->gateway ? ports_of(p, &sum) : NULL;
	const struct forward *f = t ? reverse_of(to, p->proto == IPPROTO_UDP, 0, get16(t)) : NULL;

	if (f)
		change_port(t, sum, f->port);
}

json_t *forwards_json(const struct net *n, bool live)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n->nforwards; i++) {
		const struct forward *f = &n->forwards[i];
		char host[INET6_ADDRSTRLEN];

		if (live && !f->live)
			continue;
		host_text(f, host);
		json_array_append_new(list, json_pack("{s:s, s:s, s:i, s:s, s:i, s:b, s:b}", "proto", f->udp ? "udp" : "tcp", "host",
			host, "host_port", (int)f->host_port, "node", f->node, "port", (int)f->port, "reverse", f->reverse, "live", f->live));
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
