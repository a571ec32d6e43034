/* SPDX-License-Identifier: Apache-2.0 */
/* Internet headers: reading, checksums, small answers. */
#ifndef CROFT_NET_IP_H
#define CROFT_NET_IP_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ETH_BYTES 14
#define IP4_BYTES 20
#define IP6_BYTES 40
#define UDP_BYTES 8
#define TCP_BYTES 20
#define ICMP_BYTES 8
#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_ARP 0x0806
#define ETHERTYPE_RARP 0x8035
#define ETHERTYPE_IPV6 0x86dd
#define IP4_DF 0x4000
#define IP4_MF 0x2000
#define IP4_OFFSET 0x1fff /* in units of 8 bytes */

/* An IPv4 packet whose header was checked: lengths fit, the checksum is right. */
struct ip4 {
	uint8_t *h;	  /* header */
	size_t hlen, len; /* of the header; of the whole packet */
	uint32_t src, dst;
	uint8_t proto;
	uint16_t frag; /* flags and offset */
};
bool ip4_parse(uint8_t *p, size_t len, struct ip4 *ret);
/* Header without options, checksum included; payload bytes follow it. */
void ip4_header(uint8_t *h, uint8_t proto, uint32_t src, uint32_t dst, size_t payload);

/* RFC 1071; sum is what was added before. */
uint16_t inet_checksum(const void *p, size_t n, uint32_t sum);
/* Sum of a pseudo header, for inet_checksum. */
uint32_t pseudo4(uint32_t src, uint32_t dst, uint8_t proto, size_t len);
uint32_t pseudo6(const uint8_t src[16], const uint8_t dst[16], uint8_t proto, size_t len);
/* A checksum after a field has changed (RFC 1624, equation 3). */
uint16_t checksum_change16(uint16_t sum, uint16_t from, uint16_t to);
uint16_t checksum_change32(uint16_t sum, uint32_t from, uint32_t to);

/*
 * An ICMP error about the packet (RFC 792, RFC 1812 4.3.2) into out, which has room for 576 bytes; its length, or 0 when there must
 * be none: errors about errors, about other than first fragments, to nobody or everybody. `extra` is the second word: MTU or 0.
 */
#define ICMP_ERROR_MAX 576
size_t icmp_error(uint8_t *out, uint32_t from, const struct ip4 *about, uint8_t type, uint8_t code, uint32_t extra);

#endif
