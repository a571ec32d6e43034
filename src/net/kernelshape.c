/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Links that are not perfect, by the kernel's netem (tc-netem(8)), for the kernel engine. What a machine is sent leaves by its tap:
 * netem is that one's root. What a machine sends comes in by its tap, where the kernel queues nothing: it is led through an ifb
 * (an interface that gives back what it is sent) with netem as its root, and is then what the tap has received. Chance is the
 * kernel's: no seed, and with a jitter longer than the gap between two frames they overtake each other.
 */
#include "net/kernel.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/proc.h"
#include "net/faults.h"

#include <inttypes.h>
#include <string.h>

#define PROGRAM_MS 20000
#define HELD_MAX 100000 /* frames that netem holds over a delay */

static int run(struct error **err, const char *const *argv)
{
	_cleanup_buf_ struct buf said = BUF_INIT;

	if (proc_run(argv, PROGRAM_MS, NULL, &said, err) == 0)
		return 0;
	return -1;
}
#define RUN(err, ...) run(err, (const char *const[]){ __VA_ARGS__, NULL })
/* Whether it was there does not matter. */
#define TRY(...)                                                                                                                         \
	do {                                                                                                                             \
		_cleanup_error_ struct error *none = NULL;                                                                               \
		RUN(&none, __VA_ARGS__);                                                                                                 \
	} while (0)

static bool wants_netem(const struct link_spec *s)
{
	return s->delay_ns || s->jitter_ns || s->loss > 0 || s->duplicate > 0 || s->reorder > 0 || s->corrupt > 0 || s->rate_bps;
}

static void add(struct strv *v, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void add(struct strv *v, const char *fmt, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	strv_add(v, text);
}

static void add_chance(struct strv *v, const char *what, double p)
{
	if (p <= 0)
		return;
	add(v, "%s", what);
	add(v, "%.6f%%", p * 100);
}

void kernel_netem(const struct link_spec *s, struct strv *v)
{
	uint32_t queue = s->queue ? s->queue : LINK_QUEUE;

	add(v, "limit");
	add(v, "%" PRIu32, s->delay_ns || s->jitter_ns ? (queue > HELD_MAX ? queue : HELD_MAX) : queue);
	if (s->delay_ns || s->jitter_ns) {
		add(v, "delay");
		add(v, "%" PRIu64 "us", (s->delay_ns + 500) / 1000);
		if (s->jitter_ns)
			add(v, "%" PRIu64 "us", (s->jitter_ns + 500) / 1000);
		if (s->jitter_ns && s->distribution != JITTER_UNIFORM) {
			add(v, "distribution");
			add(v, "%s", s->distribution == JITTER_NORMAL ? "normal" : "pareto");
		}
	}
	/* Gilbert's model: the probabilities of the way into a run of losses, and out of it. */
	if (s->loss > 0 && s->burst > 1) {
		add(v, "loss");
		add(v, "gemodel");
		add(v, "%.6f%%", 100 / s->burst * s->loss / (1 - s->loss));
		add(v, "%.6f%%", 100 / s->burst);
	} else {
		add_chance(v, "loss", s->loss);
	}
	add_chance(v, "duplicate", s->duplicate);
	add_chance(v, "reorder", s->reorder);
	add_chance(v, "corrupt", s->corrupt);
	if (s->rate_bps) {
		add(v, "rate");
		add(v, "%" PRIu64 "bit", s->rate_bps);
	}
}

/* On the zone's own tap, for a moment. */
static int probe(const struct net *n, struct error **err)
{
	char tap[16];

	kernel_own_tap_name(n->zones, tap);
	if (RUN(err, "tc", "qdisc", "replace", "dev", tap, "root", "netem", "delay", "0us") < 0) {
		error_wrap(err, "links by the kernel engine");
		(*err)->cls = ERR_STATE;
		return error_hint(err, "they need the kernel's netem (CONFIG_NET_SCH_NETEM; modprobe sch_netem) and tc (Debian: iproute2); the "
				       "default engine, without `engine: kernel` in the group's file, needs neither");
	}
	TRY("tc", "qdisc", "del", "dev", tap, "root");
	return 0;
}

int kernel_can(const struct net *n, const struct link_spec *s, struct error **err)
{
	const char *missing = s->flap_every_ns ? "flap" : s->mtu ? "mtu" : s->jitter_ns && s->distribution == JITTER_EXPONENTIAL ? "distribution exponential" : NULL;

	if (missing) {
		error_set(err, ERR_STATE, "%s: the group's engine is the kernel, which has no such fault", missing);
		return error_hint(err, "leave `engine: kernel` out of the group's file: the default engine has them all");
	}
	return wants_netem(s) && n->zones->tap ? probe(n, err) : 0;
}

static int netem_on(const char *dev, const struct link_spec *s, struct error **err)
{
	static const char *const head[] = { "tc", "qdisc", "replace", "dev" };
	_cleanup_strv_ struct strv v = STRV_INIT;

	for (size_t i = 0; i < ARRAY_SIZE(head); i++)
		strv_add(&v, head[i]);
	strv_add(&v, dev);
	strv_add(&v, "root");
	strv_add(&v, "netem");
	kernel_netem(s, &v);
	return run(err, (const char *const *)v.v);
}

static int shape_in(struct port *p, const struct link_spec *s, struct error **err)
{
	if (wants_netem(s)) {
		p->shaped[FAULT_IN] = true;
		return netem_on(p->tap, s, err);
	}
	if (p->shaped[FAULT_IN])
		TRY("tc", "qdisc", "del", "dev", p->tap, "root");
	p->shaped[FAULT_IN] = false;
	return 0;
}

static int shape_out(struct port *p, const struct link_spec *s, struct error **err)
{
	char ifb[16];

	kernel_ifb_name(p, ifb);
	if (!wants_netem(s)) {
		if (p->shaped[FAULT_OUT]) {
			TRY("tc", "qdisc", "del", "dev", p->tap, "ingress");
			TRY("ip", "link", "del", ifb);
		}
		p->shaped[FAULT_OUT] = false;
		return 0;
	}
	if (p->shaped[FAULT_OUT])
		return netem_on(ifb, s, err);
	p->shaped[FAULT_OUT] = true;
	/* One that a killed process has left. */
	TRY("ip", "link", "del", ifb);
	TRY("tc", "qdisc", "del", "dev", p->tap, "ingress");
	if (RUN(err, "ip", "link", "add", ifb, "type", "ifb") < 0 || RUN(err, "ip", "link", "set", ifb, "up") < 0 || netem_on(ifb, s, err) < 0 ||
		RUN(err, "tc", "qdisc", "add", "dev", p->tap, "handle", "ffff:", "ingress") < 0)
		return -1;
	return RUN(err, "tc", "filter", "add", "dev", p->tap, "parent", "ffff:", "protocol", "all", "u32", "match", "u32", "0", "0", "action", "mirred",
		"egress", "redirect", "dev", ifb);
}

int kernel_shape(struct port *p, struct error **err)
{
	const struct fault_link *l = faults_find(p->zone->net->faults, p->node, p->zone->name);

	if (!l || !p->tap_index)
		return 0;
	return shape_in(p, &l->now[FAULT_IN], err) < 0 || shape_out(p, &l->now[FAULT_OUT], err) < 0 ? error_wrap(err, "link of %s", p->node) : 0;
}

int kernel_faults(struct net *n, struct error **err)
{
	if (kernel_rules(n, err) < 0)
		return -1;
	for (struct zone *z = n->zones; z; z = z->next)
		for (struct port *p = z->ports; p; p = p->next)
			if (p->tap && kernel_shape(p, err) < 0)
				return -1;
	return 0;
}
