/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Links of the kernel engine that flap: at each edge of one of them its tap is put into a set of the rules, or taken out. As in
 * link.c a round begins with the time up, when the setting was made.
 */
#include "base/cleanup.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/proc.h"
#include "net/faults.h"
#include "net/kernel.h"

#include <string.h>

#define NFT_MS 20000
enum { EVERY, FOR, SINCE };

bool kernel_flap_down(const struct port *p, int dir)
{
	return p->flap_down[dir];
}

/* Whether it is down at `now`, and when that changes. */
static bool down_at(const uint64_t flap[3], uint64_t now, uint64_t *next)
{
	uint64_t at = (now - flap[SINCE]) % flap[EVERY], up = flap[EVERY] - flap[FOR];

	*next = now + (at < up ? up - at : flap[EVERY] - at);
	return at >= up;
}

static void set_down(struct port *p, int dir, bool down)
{
	_cleanup_error_ struct error *e = NULL;
	_cleanup_free_ char *element = xasprintf("{ \"%s\" }", p->tap);
	char table[32];

	if (p->flap_down[dir] == down)
		return;
	p->flap_down[dir] = down;
	/* Down for good besides: its place in the set is not this file's. */
	if (faults_find(p->zone->net->faults, p->node, p->zone->name)->now[dir].down)
		return;
	kernel_table_name(p->zone->net->dir, table);
	if (proc_run((const char *[]){ "nft", down ? "add" : "delete", "element", "bridge", table, kernel_down_sets[dir], element, NULL }, NFT_MS,
		    NULL, NULL, &e) < 0)
		log_warn("%s flaps: %s", p->node, e->msg);
}

/* All edges that are due; when the next is, UINT64_MAX: nothing flaps. */
static uint64_t edges(struct net *n)
{
	uint64_t now = loop_now(), first = UINT64_MAX;

	for (struct zone *z = n->zones; z; z = z->next)
		for (struct port *p = z->ports; p; p = p->next)
			for (int dir = 0; dir < 2; dir++) {
				uint64_t next;

				if (!p->flap[dir][EVERY])
					continue;
				set_down(p, dir, down_at(p->flap[dir], now, &next));
				first = next < first ? next : first;
			}
	return first;
}

static void on_edge(void *arg)
{
	struct net *n = arg;
	uint64_t next = edges(n), now = loop_now();

	if (next != UINT64_MAX)
		loop_timer_arm(n->flaps, next > now ? next - now : 1);
}

static void take(struct port *p, const struct link_spec *s, int dir)
{
	uint64_t *flap = p->flap[dir];

	if (flap[EVERY] == s->flap_every_ns && flap[FOR] == s->flap_for_ns)
		return;
	/* Who calls writes the rules anew. */
	p->flap_down[dir] = false;
	flap[EVERY] = s->flap_every_ns;
	flap[FOR] = s->flap_for_ns;
	flap[SINCE] = loop_now();
}

void kernel_flap(struct net *n)
{
	bool any = false;

	for (struct zone *z = n->zones; z; z = z->next)
		for (struct port *p = z->ports; p; p = p->next) {
			const struct fault_link *l = p->tap ? faults_find(n->faults, p->node, z->name) : NULL;

			for (int dir = 0; l && dir < 2; dir++) {
				take(p, &l->now[dir], dir);
				any |= p->flap[dir][EVERY] != 0;
			}
		}
	if (any && !n->flaps)
		n->flaps = loop_timer(n->loop, 1, on_edge, n);
	else if (any)
		loop_timer_arm(n->flaps, 1);
	else if (n->flaps)
		loop_timer_disarm(n->flaps);
}
