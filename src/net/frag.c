/* SPDX-License-Identifier: Apache-2.0 */
#include "net/frag.h"
#include "base/mem.h"
#include "net/zone.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define HEADER_MAX 60
#define SPACE (ETH_BYTES + HEADER_MAX + 65536)

struct packet {
	bool used;
	uint32_t src, dst;
	uint16_t id;
	uint8_t proto;
	size_t hlen, end; /* hlen 0: the first fragment hasn't come; end 0: the last one hasn't */
	size_t got, max;  /* bytes of payload; the furthest of them */
	uint64_t since;
	uint8_t have[8192 / 8]; /* of each 8 bytes */
	uint8_t header[HEADER_MAX];
	uint8_t *space; /* payload at ETH_BYTES + HEADER_MAX */
};
struct frags {
	struct packet p[FRAG_PACKETS];
	uint8_t *space;
};

struct frags *frags_new(void)
{
	struct frags *f = xcalloc(1, sizeof(*f));
	void *m = mmap(NULL, (size_t)FRAG_PACKETS * SPACE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (m == MAP_FAILED) {
		free(f);
		return NULL;
	}
	f->space = m;
	for (size_t i = 0; i < FRAG_PACKETS; i++)
		f->p[i].space = f->space + i * SPACE;
	return f;
}

void frags_free(struct frags *f)
{
	if (!f)
		return;
	munmap(f->space, (size_t)FRAG_PACKETS * SPACE);
	free(f);
}

/* The packet's place; a new one in that of the oldest, of the sender's own when it has its share. */
static struct packet *find(struct frags *f, const struct ip4 *p, uint64_t now)
{
	struct packet *oldest = &f->p[0], *own = NULL, *q;
	unsigned n = 0;

	for (q = f->p; q < f->p + FRAG_PACKETS; q++) {
		if (q->used && now - q->since > FRAG_NS)
			q->used = false;
		if (q->used && q->src == p->src && q->dst == p->dst && q->id == get16(p->h + 4) && q->proto == p->proto)
			return q;
		if (q->used && q->src == p->src && (!own || q->since < own->since))
			own = q;
		n += q->used && q->src == p->src;
		if (!q->used ? oldest->used : oldest->used && q->since < oldest->since)
			oldest = q;
	}
	q = n >= FRAG_EACH ? own : oldest;
	*q = (struct packet){ .used = true, .src = p->src, .dst = p->dst, .id = get16(p->h + 4), .proto = p->proto, .since = now,
		.space = q->space };
	return q;
}

/* Notes its 8-byte units; false when some were there. */
static bool mark(struct packet *q, size_t at, size_t n)
{
	for (size_t i = at / 8; i < (at + n + 7) / 8; i++) {
		if (q->have[i / 8] & 1 << i % 8)
			return false;
		q->have[i / 8] |= (uint8_t)(1 << i % 8);
	}
	return true;
}

static bool whole(struct packet *q, struct ip4 *p)
{
	uint8_t *h = q->space + ETH_BYTES + HEADER_MAX - q->hlen;

	q->used = false;
	if (q->hlen + q->end > 65535)
		return false;
	memcpy(h, q->header, q->hlen);
	put16(h + 2, (uint16_t)(q->hlen + q->end));
	put16(h + 6, 0);
	put16(h + 10, 0);
	put16(h + 10, inet_checksum(h, q->hlen, 0));
	return ip4_parse(h, q->hlen + q->end, p);
}

bool frags_add(struct frags *f, struct ip4 *p, uint64_t now)
{
	size_t at = (size_t)(p->frag & IP4_OFFSET) * 8, n = p->len - p->hlen;
	bool more = p->frag & IP4_MF;
	struct packet *q;

	if (!more && !at)
		return true;
	if (!n || (more && n % 8) || at + n > 65535 - IP4_BYTES)
		return false;
	q = find(f, p, now);
	if (!mark(q, at, n) || (!more && (q->end || q->max > at + n)) || (q->end && at + n > q->end)) {
		q->used = false;
		return false;
	}
	memcpy(q->space + ETH_BYTES + HEADER_MAX + at, p->h + p->hlen, n);
	q->got += n;
	if (at + n > q->max)
		q->max = at + n;
	if (!at) {
		q->hlen = p->hlen;
		memcpy(q->header, p->h, p->hlen);
	}
	if (!more)
		q->end = at + n;
	return q->hlen && q->end && q->got == q->end && whole(q, p);
}

size_t frag_cut(const struct ip4 *w, size_t mtu, size_t *at, uint8_t *out)
{
	/* Options are the first fragment's only. */
	size_t hlen = *at ? IP4_BYTES : w->hlen, left = w->len - w->hlen - *at, n = (mtu - hlen) & ~(size_t)7;
	size_t base = (size_t)(w->frag & IP4_OFFSET) * 8;
	bool more = left > n || (w->frag & IP4_MF);

	if (n > left)
		n = left;
	memcpy(out, w->h, hlen);
	out[0] = (uint8_t)(0x40 | hlen / 4);
	put16(out + 2, (uint16_t)(hlen + n));
	put16(out + 6, (uint16_t)((more ? IP4_MF : 0) | (base + *at) / 8));
	put16(out + 10, 0);
	put16(out + 10, inet_checksum(out, hlen, 0));
	memcpy(out + hlen, w->h + w->hlen + *at, n);
	*at += n;
	return hlen + n;
}
