/* SPDX-License-Identifier: Apache-2.0 */
/* Who has come in to machines by forwards: of all that machines send, answers to them alone go back that way. A table of fixed size. */
#ifndef CROFT_NET_PEERS_H
#define CROFT_NET_PEERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct peer {
	uint8_t inside[16], remote[16]; /* of IPv4 the first four bytes, the rest is 0 */
	uint16_t port, remote_port;
	uint8_t proto, zero[3];
};
struct peers;
struct peers *peers_new(void); /* NULL: no memory */
void peers_free(struct peers *p);
void peers_note(struct peers *p, const struct peer *who);
bool peers_know(const struct peers *p, const struct peer *who);
/* The ends of a packet of TCP or UDP that is no fragment, `n` bytes from its IP header on, as the machine sees them, which sends or (in)
 * receives it. false: it has none. */
bool peer_of(const uint8_t *ip, size_t n, bool in, struct peer *ret);
/* Whether such a packet begins a connection. */
bool peer_begins(const uint8_t *ip, size_t n);

#endif
