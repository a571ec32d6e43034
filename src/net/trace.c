/* SPDX-License-Identifier: Apache-2.0 */
/*
 * {"op":"trace","from":"sn","to":"bob"}: the way that an IPv4 packet would take by what is configured now, step by step, and where it
 * would end. Nothing is sent. "to" is a node, a name or an address. Each step: {"at":"sn@lan","what":"..."}.
 */
#include "net/trace.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "net/faults.h"
#include "net/nat.h"
#include "net/routing.h"

#include <arpa/inet.h>
#include <string.h>

#define STEPS_MAX 32

struct trace {
	struct faults *faults;
	json_t *steps;
	uint32_t origin, dst;
	const char *end; /* NULL while it is on its way */
};

static void step(struct trace *t, const struct port *p, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void step(struct trace *t, const struct port *p, const char *fmt, ...)
{
	_cleanup_free_ char *at = xasprintf("%s@%s", p->node, p->zone->name), *what = NULL;
	va_list ap;

	va_start(ap, fmt);
	what = xvasprintf(fmt, ap);
	va_end(ap);
	json_array_append_new(t->steps, json_pack("{s:s, s:s}", "at", at, "what", what));
}

static char *text_of(uint32_t ip)
{
	return xasprintf("%u.%u.%u.%u", ip >> 24, ip >> 16 & 255, ip >> 8 & 255, ip & 255);
}

/* Over a link; false: it ends here. */
static bool cross(struct trace *t, const struct port *p, int dir)
{
	const struct link *k = p->links[dir];
	const struct link_spec *s = k ? link_spec_of(k) : NULL;
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (p->kind == PORT_MACHINE && p->fd < 0) {
		step(t, p, "no machine is connected");
		t->end = "dropped";
		return false;
	}
	if (!k) {
		step(t, p, dir == FAULT_OUT ? "sends" : "is reached");
		return true;
	}
	link_spec_text(s, &b);
	step(t, p, "%s over its link (%s)", dir == FAULT_OUT ? "sends" : "is reached", buf_str(&b));
	if (link_is_down(k, links_now(t->faults->links)) || s->loss >= 1) {
		t->end = s->loss >= 1 ? "dropped: every frame is lost there" : "dropped: the link is down";
		return false;
	}
	return true;
}

static void through_nat(struct trace *t, const struct router *r)
{
	static const char *const scopes[] = { "independent", "address", "address-port" };
	_cleanup_free_ char *ip = text_of(r->outer->ip);
	const struct nat_config *c = nat_settings(r->nat);

	step(t, r->outer, "NAT: the sender becomes %s (mapping %s, filtering %s)", ip, scopes[c->mapping], scopes[c->filtering]);
}

/* From a gateway on; sets self to who sends it next. */
static void lead_on(struct trace *t, const struct zone *z, const struct port **self)
{
	const struct port *inner = route_next(z->gw, t->dst);

	if (t->dst == z->gateway)
		t->end = "arrives: the gateway itself";
	else if (inner && inner != z->gw)
		*self = z->gw;
	else if ((t->dst & z->mask) == z->prefix)
		t->end = "dropped: nobody in the zone has that address";
	else if (z->router) {
		if (z->router->nat)
			through_nat(t, z->router);
		*self = z->router->outer;
	} else
		t->end = z->has_outside ? "leaves by the host's network" : "dropped: the zone has no way out";
}

/* At the outer side of a router. */
static void enter(struct trace *t, const struct port *to, const struct port **self)
{
	const struct router *r = to->router;

	if (r->nat)
		t->end = "at the NAT: goes on only by a port map, or as the answer to what came out";
	else if (t->dst == to->ip)
		t->end = "arrives: the router itself";
	else
		*self = r->inside->gw;
}

/* From self into its zone; returns who sends it next, NULL at the end. */
static const struct port *hop(struct trace *t, const struct port *self)
{
	const struct zone *z = self->zone;
	const struct port *to, *next = NULL;

	if (!cross(t, self, FAULT_OUT))
		return NULL;
	to = self->kind != PORT_MACHINE ? route_next(self, t->dst) : (t->dst & z->mask) == z->prefix ? zone_by_ip(z, t->dst) : z->gw;
	if (!to) {
		t->end = "dropped: nobody in the zone has that address";
		return NULL;
	}
	if (faults_cut(to, t->origin)) {
		step(t, to, "is cut off from the sender");
		t->end = "dropped: cut";
		return NULL;
	}
	if (!cross(t, to, FAULT_IN))
		return NULL;
	if (to->kind == PORT_MACHINE)
		t->end = to->ip == t->dst ? "arrives" : "goes to a machine that is a router itself";
	else if (to->kind == PORT_GATEWAY)
		lead_on(t, z, &next);
	else
		enter(t, to, &next);
	return t->end ? NULL : next;
}

static struct port *port_of(const struct net *n, const char *node)
{
	for (struct zone *z = n->zones; z; z = z->next)
		for (struct port *p = z->gw->next; p; p = p->next)
			if (!strcmp(p->node, node))
				return p;
	return NULL;
}

static int destination(struct net *n, const struct port *from, const char *to, uint32_t *ret, struct error **err)
{
	struct in_addr a;
	const char *node;

	if (inet_pton(AF_INET, to, &a) == 1) {
		*ret = ntohl(a.s_addr);
		return 0;
	}
	if (dns_address(from->zone, to, ret))
		return 0;
	node = faults_node_named(n->faults, to, err);
	return node && dns_address(from->zone, node, ret) ? 0 : -1;
}

json_t *trace_op(struct net *n, const char *op, const json_t *request, struct error **err)
{
	const char *from = json_string_value(json_object_get(request, "from")), *to = json_string_value(json_object_get(request, "to"));
	struct trace t = { .faults = n->faults };
	_cleanup_free_ char *ip = NULL;
	const struct port *self;
	const char *node;

	if (strcmp(op, "trace"))
		return NULL;
	if (!from || !to)
		return error_set(err, ERR_USAGE, "trace: from and to are needed"), NULL;
	node = faults_node_named(n->faults, from, err);
	self = node ? port_of(n, node) : NULL;
	if (!self)
		return *err ? NULL : (error_set(err, ERR_USAGE, "trace: %s is no machine", from), NULL);
	if (destination(n, self, to, &t.dst, err) < 0)
		return NULL;
	t.origin = self->id;
	t.steps = json_array();
	if (self->ip == t.dst)
		t.end = "arrives: it is its own address";
	for (int i = 0; self && i < STEPS_MAX && !t.end; i++)
		self = hop(&t, self);
	ip = text_of(t.dst);
	return json_pack("{s:b, s:s, s:o, s:s}", "ok", 1, "address", ip, "steps", t.steps, "end", t.end ? t.end : "dropped: too many steps");
}
