/* SPDX-License-Identifier: Apache-2.0 */
#include "net/ip.h"
#include "net/zone.h"

#include <string.h>

static uint32_t sum16(const uint8_t *b, size_t n, uint32_t sum)
{
	for (; n > 1; n -= 2, b += 2)
		sum += get16(b);
	return n ? sum + ((uint32_t)b[0] << 8) : sum;
}

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

uint16_t inet_checksum(const void *p, size_t n, uint32_t sum)
{
	return (uint16_t)~fold(sum16(p, n, sum));
}

uint32_t pseudo4(uint32_t src, uint32_t dst, uint8_t proto, size_t len)
{
	return (src >> 16) + (src & 0xffff) + (dst >> 16) + (dst & 0xffff) + proto + (uint32_t)len;
}

uint32_t pseudo6(const uint8_t src[16], const uint8_t dst[16], uint8_t proto, size_t len)
{
	return sum16(src, 16, sum16(dst, 16, 0)) + proto + (uint32_t)len;
}

uint16_t checksum_change16(uint16_t sum, uint16_t from, uint16_t to)
{
	return (uint16_t)~fold((uint32_t)(uint16_t)~sum + (uint16_t)~from + to);
}

uint16_t checksum_change32(uint16_t sum, uint32_t from, uint32_t to)
{
	return checksum_change16(checksum_change16(sum, (uint16_t)(from >> 16), (uint16_t)(to >> 16)), (uint16_t)from, (uint16_t)to);
}

bool ip4_parse(uint8_t *p, size_t len, struct ip4 *r)
{
	if (len < IP4_BYTES || p[0] >> 4 != 4)
		return false;
	r->h = p;
	r->hlen = (size_t)(p[0] & 15) * 4;
	r->len = get16(p + 2);
	if (r->hlen < IP4_BYTES || r->len < r->hlen || r->len > len || inet_checksum(p, r->hlen, 0))
		return false;
	r->src = get32(p + 12);
	r->dst = get32(p + 16);
	r->proto = p[9];
	r->frag = get16(p + 6);
	return true;
}

void ip4_header(uint8_t *h, uint8_t proto, uint32_t src, uint32_t dst, size_t payload)
{
	memset(h, 0, IP4_BYTES);
	h[0] = 0x45;
	put16(h + 2, (uint16_t)(IP4_BYTES + payload));
	h[8] = 64;
	h[9] = proto;
	put32(h + 12, src);
	put32(h + 16, dst);
	put16(h + 10, inet_checksum(h, IP4_BYTES, 0));
}

static bool wants_no_error(const struct ip4 *p)
{
	const uint8_t *m = p->h + p->hlen;

	if ((p->frag & IP4_OFFSET) || !p->src || p->src >> 28 >= 14 || p->dst >> 28 >= 14 || p->src >> 24 == 127)
		return true;
	/* Only questions and answers among ICMP messages are no errors themselves. */
	return p->proto == IPPROTO_ICMP && (p->len - p->hlen < 1 || (m[0] != 0 && m[0] != 8 && m[0] < 13));
}

size_t icmp_error(uint8_t *out, uint32_t from, const struct ip4 *about, uint8_t type, uint8_t code, uint32_t extra)
{
	size_t room = ICMP_ERROR_MAX - IP4_BYTES - ICMP_BYTES, n = about->len < room ? about->len : room;
	uint8_t *m = out + IP4_BYTES;

	if (wants_no_error(about))
		return 0;
	ip4_header(out, IPPROTO_ICMP, from, about->src, ICMP_BYTES + n);
	m[0] = type;
	m[1] = code;
	put16(m + 2, 0);
	put32(m + 4, extra);
	memcpy(m + ICMP_BYTES, about->h, n);
	put16(m + 2, inet_checksum(m, ICMP_BYTES + n, 0));
	return IP4_BYTES + ICMP_BYTES + n;
}
