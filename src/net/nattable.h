/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of NAT. Entries are found by index; index 0 is nobody. */
#ifndef CROFT_NET_NATTABLE_H
#define CROFT_NET_NATTABLE_H

#include "net/nat.h"

enum nat_class { CLASS_UDP, CLASS_TRANSITORY, CLASS_TCP, CLASS_ICMP, CLASS_UNANSWERED, CLASSES };
#define UNANSWERED_S 30 /* begun from outside, and nobody inside has answered yet */
#define HOSTS_MAX 1024
#define PROTOS 3
#define STATICS_MAX 1024
#define HOST_STATICS_MAX 64

/* What is mapped: for mapping by address (and port) the remote's too, else 0. */
struct mapping {
	uint32_t ip, remote;
	uint16_t port, remote_port, ext;
	uint8_t proto; /* index: see proto_index */
	bool fixed;    /* a port map; lives without flows */
	uint32_t next; /* of the same hash */
	uint32_t flows, host;
	uint64_t ends; /* of a fixed one; 0: never */
};
struct flow {
	uint32_t mapping, remote;
	uint16_t remote_port;
	uint8_t cls, state;
	bool address; /* not a flow: that the mapping has flows with this address; `count` of them */
	uint32_t next;
	uint32_t before, after; /* of the same class, in the order of their ends */
	union {
		uint64_t ends;
		uint32_t count;
	};
};
struct nat_list {
	uint32_t first, last;
};
struct nat {
	struct nat_config c;
	struct mapping *mappings;
	struct flow *flows;
	uint32_t *mapping_hash, *flow_hash, *by_port[PROTOS]; /* by_port: of 65536 */
	uint32_t nmappings, nflows, hash_mask;		       /* array sizes, beyond them all are unused */
	uint32_t free_mapping, free_flow;
	uint32_t live_mappings, live_flows, live_statics;
	struct nat_list lists[CLASSES];
	struct {
		uint32_t ip, flows, statics;
	} hosts[HOSTS_MAX];
	uint64_t statics_end; /* no port map is over before that */
	uint64_t opened, expired, results[NAT_RESULTS];
	void *memory;
	size_t memory_bytes;
};

int proto_index(uint8_t proto); /* TCP 0, UDP 1, ICMP 2; -1: none of them */
/* 0: none. */
uint32_t mapping_find(const struct nat *n, int proto, uint32_t ip, uint16_t port, uint32_t remote, uint16_t remote_port);
uint32_t mapping_by_port(const struct nat *n, int proto, uint16_t ext);
/* A new one with a port of its own; 0 and *why when there is none. */
uint32_t mapping_add(struct nat *n, int proto, uint32_t ip, uint16_t port, uint32_t remote, uint16_t remote_port, enum nat_result *why);
/* With a port that it had before; 0 when that has another. */
uint32_t mapping_restore(struct nat *n, int proto, uint32_t ip, uint16_t port, uint32_t remote, uint16_t remote_port, uint16_t ext);
uint32_t flow_find(const struct nat *n, uint32_t mapping, uint32_t remote, uint16_t remote_port);
/* Whether the mapping has a flow with that address, on any port. */
bool flow_with_address(const struct nat *n, uint32_t mapping, uint32_t remote);
uint32_t flow_add(struct nat *n, uint32_t mapping, uint32_t remote, uint16_t remote_port, enum nat_class cls, uint64_t now,
	enum nat_result *why);
/* Lives on from now, in a class. */
void flow_touch(struct nat *n, uint32_t flow, enum nat_class cls, uint64_t now);
uint64_t class_ns(const struct nat *n, enum nat_class cls);
void mapping_drop(struct nat *n, uint32_t mapping); /* has no flows */
void flow_drop(struct nat *n, uint32_t flow);
void mapping_ends(struct nat *n, uint32_t mapping, uint64_t ends); /* of a fixed one */
int mapping_fix(struct nat *n, int proto, uint16_t ext, uint32_t ip, uint16_t port, uint64_t ends);

#endif
