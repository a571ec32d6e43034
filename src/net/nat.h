/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Network address translation of IPv4 in the words of RFC 4787: a mapping gives an inside address and port an outside port, a flow is
 * a mapping and one remote. How mappings are shared among remotes, and which remotes may send through one, is set apart. One outside
 * address. Tables have fixed bounds and are mapped at the beginning, so that nothing is allocated while packets go; nothing is
 * random: the same packets in the same order get the same ports.
 */
#ifndef CROFT_NET_NAT_H
#define CROFT_NET_NAT_H

#include "net/ip.h"
#include <jansson.h>

enum nat_scope { NAT_INDEPENDENT, NAT_ADDRESS, NAT_ADDRESS_PORT };
struct nat_config {
	enum nat_scope mapping, filtering;
	bool hairpin;	 /* inside machines reach one another by the outside address (RFC 4787, 6) */
	bool refresh_in; /* UDP from outside keeps a flow alive too */
	bool preserve;	 /* the outside port is the inside one when it is free */
	uint32_t external;
	uint16_t port_min, port_max;
	unsigned max_flows, max_host_flows; /* in all; of one inside address */
	unsigned udp_s, tcp_s, transitory_s, icmp_s; /* without traffic; transitory: TCP opening and closing */
};
/* Home router: independent mapping, filtering by address and port, hairpin, time-outs of RFC 4787, 5382, 5508. */
void nat_config_init(struct nat_config *c);

enum nat_result {
	NAT_OK,
	NAT_NO_MAPPING, /* from outside, to a port that nobody has: the router's own business */
	NAT_FILTERED,
	NAT_LIMIT,	/* tables or the host's share are full */
	NAT_NO_PORT,
	NAT_BROKEN,	/* not to be understood: cut, wrong checksum, a fragment */
	NAT_UNSUPPORTED,
	NAT_RESULTS
};
extern const char *const nat_result_names[NAT_RESULTS];

struct nat_stats {
	unsigned mappings, flows, statics;
	uint64_t opened, expired, results[NAT_RESULTS];
};

struct nat;
struct nat *nat_new(const struct nat_config *c); /* NULL: no memory */
void nat_free(struct nat *n);
/* As new, but for the port maps of its configuration (nat_map for ever). */
void nat_reset(struct nat *n);
const struct nat_config *nat_settings(const struct nat *n);
void nat_stats(const struct nat *n, struct nat_stats *ret);

/* Translate the packet where it is, checksums too. Not for fragments. now: ns, never going back. */
enum nat_result nat_out(struct nat *n, struct ip4 *p, uint64_t now);
enum nat_result nat_in(struct nat *n, struct ip4 *p, uint64_t now);
/* Takes away what is over. */
void nat_expire(struct nat *n, uint64_t now);

/* A port that stays. proto: TCP or UDP. -1: the outside port, or the inside one, has another mapping. life_s 0: for ever. */
int nat_map(struct nat *n, uint8_t proto, uint16_t port, uint32_t ip, uint16_t ip_port, unsigned life_s, uint64_t now);
/* Any outside port, `wish` or its own if possible; the one that it has when it is mapped already. 0: none. */
uint16_t nat_map_any(struct nat *n, uint8_t proto, uint16_t wish, uint32_t ip, uint16_t ip_port, unsigned life_s, uint64_t now);
/* Those of nat_map_any alone. */
int nat_unmap_asked(struct nat *n, uint8_t proto, uint32_t ip, uint16_t ip_port);
int nat_unmap(struct nat *n, uint8_t proto, uint32_t ip, uint16_t ip_port);
/* Port maps that there are: the one of an outside port, the index-th in the order of ports (TCP first). */
struct nat_static {
	uint8_t proto;
	uint32_t ip;
	uint16_t port, ext;
	uint64_t ends; /* 0: the configuration's */
};
bool nat_static_of(const struct nat *n, uint8_t proto, uint16_t ext, struct nat_static *ret);
bool nat_static_at(const struct nat *n, size_t index, struct nat_static *ret);

/*
 * The state as JSON: {"maps":[[proto,ip,port,outside,seconds left]],"flows":[[proto,ip,port,outside,mapped remote,mapped remote
 * port,remote,remote port,class,state,milliseconds left]]}, addresses as numbers, in an order that nat_load needs; port maps without an
 * end are the configuration's. nat_load adds it to what is there; what has no room or no sense in this configuration is left out.
 */
json_t *nat_save(const struct nat *n, uint64_t now);
int nat_load(struct nat *n, const json_t *j, uint64_t now); /* -1: not such a thing */

#endif
