/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Links that are not perfect, by the kernel's netem (tc-netem(8)), for the kernel engine. What a machine is sent leaves by its tap:
 * netem is that one's root. What a machine sends comes in by its tap, where the kernel queues nothing: it is led through an ifb
 * (an interface that gives back what it is sent) with netem as its root, and is then what the tap has received. With a jitter longer
 * than the gap between two frames they overtake each other.
 *
 * An MTU is a token bucket (tc-tbf(8)) with room for a frame of that size and a rate that holds nobody up: it drops what is larger, and
 * cuts the long pieces that machines and kernel hand each other (TSO) into the frames that they stand for, as no rule of nftables can.
 */
#include "net/kernel.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/proc.h"
#include "net/faults.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define PROGRAM_MS 20000
#define HELD_MAX 100000 /* frames that netem holds over a delay */
#define ETH_HEADER 14
#define MTU_RATE "32gbit" /* the most that every tc can say */
#define MTU_LIMIT "16mb"  /* what may wait for it */

/* Tables of netem's: values of 16 bits, 8192 a jitter. Ours have a 16th of that, and it is told a jitter of 16, for their long tails. */
#define TABLE_VALUES 4096
#define TABLE_STRETCH 16
#define TABLE_JITTER (8192.0 / TABLE_STRETCH)

/* tc looks for tables of distributions in `tables`. */
static int run(const char *tables, struct error **err, const char *const *argv)
{
	_cleanup_free_ char *lib = tables ? xasprintf("TC_LIB_DIR=%s", tables) : NULL;
	_cleanup_buf_ struct buf said = BUF_INIT;
	int status;

	if (proc_output(argv, (const char *[]){ lib, NULL }, NULL, PROGRAM_MS, &status, &said, err) < 0)
		return -1;
	while (said.len && said.data[said.len - 1] == '\n')
		said.data[--said.len] = '\0';
	return status ? error_set(err, ERR_FAILED, "%s: status %d: %s", argv[0], status, buf_str(&said)) : 0;
}
#define RUN(err, ...) run(NULL, err, (const char *const[]){ __VA_ARGS__, NULL })
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

const char *kernel_distribution(enum jitter_kind kind)
{
	switch (kind) {
	case JITTER_PARETO:
		return "croft-pareto";
	case JITTER_EXPONENTIAL:
		return "croft-exponential";
	case JITTER_UNIFORM:
	case JITTER_NORMAL:
		break;
	}
	return NULL;
}

/* Quantiles of what link.c draws. */
void kernel_distribution_table(enum jitter_kind kind, struct buf *b)
{
	for (int i = 0; i < TABLE_VALUES; i++) {
		double u = (i + 0.5) / TABLE_VALUES;
		double v = kind == JITTER_PARETO ? 2 * (pow(1 - u, -1.0 / 3) - 1) : -log(1 - u);

		buf_addf(b, "%ld%c", lround(v * TABLE_JITTER), i % 8 == 7 ? '\n' : ' ');
	}
}

static void add_jitter(struct strv *v, const struct link_spec *s)
{
	const char *ours = kernel_distribution(s->distribution);

	add(v, "%" PRIu64 "us", (s->jitter_ns * (ours ? TABLE_STRETCH : 1) + 500) / 1000);
	if (s->distribution == JITTER_UNIFORM)
		return;
	add(v, "distribution");
	add(v, "%s", ours ? ours : "normal");
}

void kernel_netem(const struct link_spec *s, uint64_t seed, struct strv *v)
{
	uint32_t queue = s->queue ? s->queue : LINK_QUEUE;

	add(v, "limit");
	add(v, "%" PRIu32, s->delay_ns || s->jitter_ns ? (queue > HELD_MAX ? queue : HELD_MAX) : queue);
	if (s->delay_ns || s->jitter_ns) {
		add(v, "delay");
		add(v, "%" PRIu64 "us", (s->delay_ns + 500) / 1000);
		if (s->jitter_ns)
			add_jitter(v, s);
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
	if (seed) {
		add(v, "seed");
		add(v, "%" PRIu64, seed);
	}
}

static void add_words(struct strv *v, const char *const *words)
{
	for (; *words; words++)
		strv_add(v, *words);
}

void kernel_shape_commands(const char *dev, const struct link_spec *s, uint64_t seed, struct strv *netem, struct strv *mtu)
{
	if (wants_netem(s)) {
		add_words(netem, (const char *[]){ "tc", "qdisc", "replace", "dev", dev, "root", "handle", "1:", "netem", NULL });
		kernel_netem(s, seed, netem);
	}
	if (!s->mtu)
		return;
	add_words(mtu, (const char *[]){ "tc", "qdisc", "replace", "dev", dev, NULL });
	add_words(mtu, wants_netem(s) ? (const char *[]){ "parent", "1:1", "handle", "3:", NULL } : (const char *[]){ "root", "handle", "2:", NULL });
	add_words(mtu, (const char *[]){ "tbf", "rate", MTU_RATE, "limit", MTU_LIMIT, "burst", NULL });
	add(mtu, "%" PRIu32 "b", s->mtu + ETH_HEADER);
}

/* ---- what this kernel has ---- */

static int lacks(struct error **err, const char *what, const char *module)
{
	error_wrap(err, "links by the kernel engine");
	(*err)->cls = ERR_STATE;
	return error_hint(err, "they need the kernel's %s (modprobe %s) and tc (Debian: iproute2); the default engine, without "
			       "`engine: kernel` in the group's file, needs neither", what, module);
}

/* On the zone's own tap, for a moment. Kernels have taken a seed since 6.6, and tc since then. */
static int probe_netem(struct net *n, struct error **err)
{
	_cleanup_error_ struct error *e = NULL;
	char tap[16];

	kernel_own_tap_name(n->zones, tap);
	n->netem_seeds = RUN(&e, "tc", "qdisc", "replace", "dev", tap, "root", "netem", "delay", "0us", "seed", "1") == 0;
	if (!n->netem_seeds && RUN(err, "tc", "qdisc", "replace", "dev", tap, "root", "netem", "delay", "0us") < 0)
		return lacks(err, "netem (CONFIG_NET_SCH_NETEM)", "sch_netem");
	TRY("tc", "qdisc", "del", "dev", tap, "root");
	return 0;
}

static int probe_mtu(const struct net *n, struct error **err)
{
	char tap[16];

	kernel_own_tap_name(n->zones, tap);
	if (RUN(err, "tc", "qdisc", "replace", "dev", tap, "root", "tbf", "rate", MTU_RATE, "limit", MTU_LIMIT, "burst", "1514b") < 0)
		return lacks(err, "token bucket (CONFIG_NET_SCH_TBF)", "sch_tbf");
	TRY("tc", "qdisc", "del", "dev", tap, "root");
	return 0;
}

int kernel_can(struct net *n, const struct port *p, const struct link_spec *s, struct error **err)
{
	/* Routers' sides are croft-net's own, and so are their links. */
	if (!p || !p->tap || !n->zones->tap)
		return 0;
	if (wants_netem(s) && probe_netem(n, err) < 0)
		return -1;
	return s->mtu ? probe_mtu(n, err) : 0;
}

bool kernel_seeds(struct net *n)
{
	_cleanup_error_ struct error *e = NULL;

	return n->netem_seeds || (n->zones->tap && probe_netem(n, &e) == 0 && n->netem_seeds);
}

/* ---- onto an interface ---- */

static int write_table(const struct net *n, enum jitter_kind kind, struct error **err)
{
	_cleanup_free_ char *path = xasprintf("%s/%s.dist", n->dir, kernel_distribution(kind));
	_cleanup_buf_ struct buf b = BUF_INIT;

	kernel_distribution_table(kind, &b);
	return file_exists(path) ? 0 : file_write(path, b.data, b.len, 0600, err);
}

static int shape_dev(const struct net *n, const char *dev, const struct link_spec *s, uint64_t seed, struct error **err)
{
	_cleanup_strv_ struct strv netem = STRV_INIT, mtu = STRV_INIT;
	bool ours = s->jitter_ns && kernel_distribution(s->distribution);

	if (ours && write_table(n, s->distribution, err) < 0)
		return -1;
	kernel_shape_commands(dev, s, n->netem_seeds ? seed : 0, &netem, &mtu);
	if (netem.len && run(ours ? n->dir : NULL, err, (const char *const *)netem.v) < 0)
		return -1;
	if (netem.len && !mtu.len)
		TRY("tc", "qdisc", "del", "dev", dev, "parent", "1:1");
	return mtu.len ? run(NULL, err, (const char *const *)mtu.v) : 0;
}

static bool wants_shape(const struct link_spec *s)
{
	return wants_netem(s) || s->mtu;
}

static int shape_in(struct port *p, const struct link_spec *s, uint64_t seed, struct error **err)
{
	if (wants_shape(s))
		return shape_dev(p->zone->net, p->tap, s, seed, err);
	if (p->shaped[FAULT_IN])
		TRY("tc", "qdisc", "del", "dev", p->tap, "root");
	return 0;
}

static int shape_out(struct port *p, const struct link_spec *s, uint64_t seed, struct error **err)
{
	char ifb[16];

	kernel_ifb_name(p, ifb);
	if (!wants_shape(s)) {
		if (p->shaped[FAULT_OUT]) {
			TRY("tc", "qdisc", "del", "dev", p->tap, "ingress");
			TRY("ip", "link", "del", ifb);
		}
		return 0;
	}
	if (p->shaped[FAULT_OUT])
		return shape_dev(p->zone->net, ifb, s, seed, err);
	/* One that a killed process has left. */
	TRY("ip", "link", "del", ifb);
	TRY("tc", "qdisc", "del", "dev", p->tap, "ingress");
	if (RUN(err, "ip", "link", "add", ifb, "type", "ifb") < 0 || RUN(err, "ip", "link", "set", ifb, "up") < 0 ||
		shape_dev(p->zone->net, ifb, s, seed, err) < 0 || RUN(err, "tc", "qdisc", "add", "dev", p->tap, "handle", "ffff:", "ingress") < 0)
		return -1;
	return RUN(err, "tc", "filter", "add", "dev", p->tap, "parent", "ffff:", "protocol", "all", "u32", "match", "u32", "0", "0", "action", "mirred",
		"egress", "redirect", "dev", ifb);
}

void kernel_unshaped(struct port *p)
{
	for (int dir = 0; dir < 2; dir++) {
		free(p->shaped[dir]);
		p->shaped[dir] = NULL;
	}
}

/* A link that stays as it is keeps what it holds, and its numbers go on. */
static int shape(struct port *p, const struct fault_link *l, int dir, struct error **err)
{
	const char *words[] = { l->node, l->zone, fault_directions[dir], NULL };
	uint64_t seed = link_seed(p->zone->net->faults->seed, words);
	const struct link_spec *s = &l->now[dir];

	if (p->shaped[dir] && link_spec_same(p->shaped[dir], s) && p->shaped_seed[dir] == seed)
		return 0;
	if ((dir == FAULT_IN ? shape_in : shape_out)(p, s, seed, err) < 0)
		return -1;
	free(p->shaped[dir]);
	p->shaped[dir] = wants_shape(s) ? xmemdup(s, sizeof(*s)) : NULL;
	p->shaped_seed[dir] = seed;
	return 0;
}

int kernel_shape(struct port *p, struct error **err)
{
	const struct fault_link *l = faults_find(p->zone->net->faults, p->node, p->zone->name);

	if (!l || !p->tap_index)
		return 0;
	return shape(p, l, FAULT_IN, err) < 0 || shape(p, l, FAULT_OUT, err) < 0 ? error_wrap(err, "link of %s", p->node) : 0;
}

int kernel_faults(struct net *n, struct error **err)
{
	kernel_flap(n);
	if (kernel_rules(n, err) < 0)
		return -1;
	for (struct zone *z = n->zones; z; z = z->next)
		for (struct port *p = z->ports; p; p = p->next)
			if (p->tap && kernel_shape(p, err) < 0)
				return -1;
	return 0;
}
