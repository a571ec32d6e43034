/* SPDX-License-Identifier: Apache-2.0 */
/* Which IPv6 flows have begun inside (RFC 6092). A table of fixed size; where it is full the host with most entries gives one up. */
#ifndef CROFT_NET_FILTER6_H
#define CROFT_NET_FILTER6_H

#include <stdbool.h>
#include <stdint.h>
#include <stddef.h>

struct flow6 {
	uint8_t inside[16], outside[16], proto;
	uint16_t port, outside_port; /* ICMP: the question's id, 0 */
};
struct filter6;
struct filter6 *filter6_new(void); /* NULL: no memory */
void filter6_free(struct filter6 *f);
/* A packet goes out: its flow lives for `ns` more. */
void filter6_out(struct filter6 *f, const struct flow6 *flow, uint64_t now, uint64_t ns);
/* May a packet of the flow come in? */
bool filter6_in(const struct filter6 *f, const struct flow6 *flow, uint64_t now);
/* Calls fn for each flow that lives. */
void filter6_each(const struct filter6 *f, uint64_t now, void (*fn)(void *arg, const struct flow6 *flow, uint64_t left_ns), void *arg);
/* The flow of a packet, seen from inside. `h`: IPv6 header, n bytes in all, maybe not all of it (quoted). false: none, or hidden. */
bool filter6_flow(const uint8_t *h, size_t n, bool outwards, struct flow6 *ret);

#endif
