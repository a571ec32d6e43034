/* SPDX-License-Identifier: Apache-2.0 */
#include "net/peers.h"
#include "net/ip.h"
#include "net/zone.h"

#include <string.h>
#include <sys/mman.h>

#define SETS 1024u
#define WAYS 8

struct peers {
	struct peer sets[SETS][WAYS];
	uint8_t next[SETS]; /* which makes room in a full set: the oldest */
};

struct peers *peers_new(void)
{
	/* Mapped: only what is used takes memory. */
	void *m = mmap(NULL, sizeof(struct peers), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return m == MAP_FAILED ? NULL : m;
}

void peers_free(struct peers *p)
{
	if (p)
		munmap(p, sizeof(*p));
}

static uint32_t set_of(const struct peer *who)
{
	const uint8_t *b = (const uint8_t *)who;
	uint32_t h = 0x811c9dc5u;

	for (size_t i = 0; i < sizeof(*who); i++)
		h = (h ^ b[i]) * 0x01000193u;
	return (h ^ h >> 15) % SETS;
}

bool peers_know(const struct peers *p, const struct peer *who)
{
	const struct peer *set = p->sets[set_of(who)];

	for (int i = 0; i < WAYS; i++)
		if (!memcmp(&set[i], who, sizeof(*who)))
			return true;
	return false;
}

void peers_note(struct peers *p, const struct peer *who)
{
	uint32_t set = set_of(who);

	if (peers_know(p, who))
		return;
	p->sets[set][p->next[set]] = *who;
	p->next[set] = (uint8_t)((p->next[set] + 1) % WAYS);
}

/* Where the transport's header is, NULL: there is none, or not all of it. */
static const uint8_t *transport(const uint8_t *ip, size_t n, uint8_t *proto)
{
	bool six = n && ip[0] >> 4 == 6;
	size_t head = six ? IP6_BYTES : n ? (size_t)(ip[0] & 15) * 4 : 0;

	if (n < (six ? IP6_BYTES : IP4_BYTES) || head < IP4_BYTES || n < head + UDP_BYTES || (!six && (get16(ip + 6) & (IP4_MF | IP4_OFFSET))))
		return NULL;
	*proto = six ? ip[6] : ip[9];
	return *proto == IPPROTO_UDP || (*proto == IPPROTO_TCP && n >= head + TCP_BYTES) ? ip + head : NULL;
}

bool peer_of(const uint8_t *ip, size_t n, bool in, struct peer *r)
{
	const uint8_t *t;
	bool six;

	memset(r, 0, sizeof(*r));
	t = transport(ip, n, &r->proto);
	if (!t)
		return false;
	six = ip[0] >> 4 == 6;
	memcpy(in ? r->remote : r->inside, ip + (six ? 8 : 12), six ? 16 : 4);
	memcpy(in ? r->inside : r->remote, ip + (six ? 24 : 16), six ? 16 : 4);
	r->port = get16(t + (in ? 2 : 0));
	r->remote_port = get16(t + (in ? 0 : 2));
	return true;
}

bool peer_begins(const uint8_t *ip, size_t n)
{
	uint8_t proto;
	const uint8_t *t = transport(ip, n, &proto);

	return t && proto == IPPROTO_TCP && (t[13] & 0x12) == 2; /* SYN without ACK */
}
