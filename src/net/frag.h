/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fragments of IPv4 put together again (RFC 791, RFC 815), as NAT and libslirp need them. At most FRAG_PACKETS at a time, of one sender
 * FRAG_EACH; what overlaps is thrown away whole, as attacks do it and nothing else (RFC 5722).
 */
#ifndef CROFT_NET_FRAG_H
#define CROFT_NET_FRAG_H

#include "net/ip.h"

#define FRAG_PACKETS 32
#define FRAG_EACH 4
#define FRAG_NS 15000000000u /* patience */

struct frags;
struct frags *frags_new(void);
void frags_free(struct frags *f);
/*
 * true: *p is now a whole packet, in memory of f's that has room for ETH_BYTES in front of it and is good until the next call. A packet
 * that is no fragment stays what and where it is.
 */
bool frags_add(struct frags *f, struct ip4 *p, uint64_t now);
/* The fragment of `whole` that begins at *at bytes of its payload into out (room for mtu); moves *at on. Returns its length. */
size_t frag_cut(const struct ip4 *whole, size_t mtu, size_t *at, uint8_t *out);

#endif
