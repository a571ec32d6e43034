/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The other engine ("engine":"kernel" in net.json), for root: a zone is a bridge of the kernel's, a machine's NIC a tap in it, so that
 * frames among the machines of a zone go at the kernel's speed and not through this process. What crosses zones, and what gateways
 * answer, comes to it by a tap of its own in each bridge and is dealt with as ever. nftables keeps machines from sending as others, and
 * cuts them off from one another; links that are not perfect are netem's, where a kernel has it; what goes by in a bridge is captured
 * with packet sockets.
 *
 * Bridges and rules are named after DIR, so a killed process finds its own again. Taps of machines are QEMU's and go with it.
 */
#ifndef CROFT_NET_KERNEL_H
#define CROFT_NET_KERNEL_H

#include "net/linkspec.h"
#include "net/zone.h"

/* "cb" and a hash of DIR and the zone's name; 15 bytes at most. */
void kernel_bridge_name(const struct zone *z, char ret[16]);
/* After a (new) configuration: makes what is missing, takes away what is no longer named. */
int kernel_begin(struct net *n, struct error **err);
/* Puts machines' taps that are there into their bridges. */
void kernel_attach(struct net *n);
/* Nothing passes machines' taps any more, or again. */
void kernel_pause(struct net *n, bool on);
/* Interfaces: of what a machine sends on its way through netem; the zone's own. Table of rules. */
void kernel_ifb_name(const struct port *p, char ret[16]);
void kernel_own_tap_name(const struct zone *z, char ret[16]);
void kernel_table_name(const char *dir, char ret[32]);
/* kernelrules.c: who may send as whom, and to whom: written anew, in one step. */
int kernel_rules(const struct net *n, struct error **err);
/* By directions (FAULT_OUT, FAULT_IN): its sets of the taps that send nothing, and are sent nothing. */
extern const char *const kernel_down_sets[2];
/* kernelflap.c: whether a flapping link is down just now; begins and ends what the settings say of flapping. */
bool kernel_flap_down(const struct port *p, int dir);
void kernel_flap(struct net *n);
/* kernelshape.c: whether this kernel can do that to a node's NIC; ERR_STATE says what it lacks. */
int kernel_can(struct net *n, const struct port *p, const struct link_spec *s, struct error **err);
/* Whether its netem takes a seed, so that the same one has the same faults. */
bool kernel_seeds(struct net *n);
/* A port's tap is another one, or none: nothing is on it. */
void kernel_unshaped(struct port *p);
/* What tc wants to hear of it: "delay", "20000us", ...; seed 0: the kernel's netem knows none. */
void kernel_netem(const struct link_spec *s, uint64_t seed, struct strv *ret);
/* The commands that put it onto an interface, a list each. */
void kernel_shape_commands(const char *dev, const struct link_spec *s, uint64_t seed, struct strv *netem, struct strv *mtu);
/* The two distributions that tc has not, or has another: a file for it, tc-netem(8). NULL: it has that one. */
const char *kernel_distribution(enum jitter_kind kind);
void kernel_distribution_table(enum jitter_kind kind, struct buf *ret);
/* Puts the settings of its node's links onto a port's tap. */
int kernel_shape(struct port *p, struct error **err);
/* Rules and links after a change of faults. */
int kernel_faults(struct net *n, struct error **err);
/* kernelwatch.c: while there are captures, what passes machines' taps is shown to them. */
void kernel_watch(struct net *n);
void kernel_watch_end(struct port *p);
void kernel_send(struct zone *z, const uint8_t *frame, size_t len); /* into the zone's bridge */
void kernel_zone_free(struct zone *z);				     /* its tap; the bridge stays */
/* Whether a machine's tap is there. */
bool kernel_in_use(const struct net *n);
/* Takes all of DIR's away, whether the process runs or was killed. */
int kernel_clean(const char *dir, struct error **err);
/* Counters of a machine's tap: frames and bytes that it sent and was sent. */
void kernel_counters(const struct port *p, uint64_t ret[4]);

#endif
