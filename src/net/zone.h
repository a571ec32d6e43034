/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the network process. A zone is one layer-2 network: ports (one a machine's NIC), a
 * gateway that answers DHCP and DNS, and a way out. One thread, one loop; nothing on the forwarding
 * path allocates.
 */
#ifndef CROFT_NET_ZONE_H
#define CROFT_NET_ZONE_H

#include "base/error.h"
#include "base/loop.h"
#include "base/strv.h"
#include "net/records.h"
#include <jansson.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#define FRAME_MAX_BYTES (65536 + 14 + 4)
#define RX_BYTES (2 * (FRAME_MAX_BYTES + 4))
#define TX_BYTES (2 * RX_BYTES)

#define PORT_PIECES 16
#define PORT_V6_MAX 16
#define HOPS_MAX 16

struct zone;
struct capture;
struct faults;
struct link;
struct link_spec;
struct outside;
struct resolver;
struct forward;
struct services;
struct kernel_tap;
struct igd_note;

enum port_kind {
	PORT_MACHINE, /* behind a socket */
	PORT_GATEWAY, /* the zone's gateway, in this process */
	PORT_ROUTER   /* the outer side of the router of another zone */
};

/*
 * Where something is attached to a zone. All have one way in (zone_input) and one way out (port_send), so that what is
 * done to a link can be done to any.
 */
struct port {
	struct zone *zone;
	enum port_kind kind;
	char *node, *socket; /* socket: of a machine's alone */
	char *tap;	     /* kernel.c: its interface, NULL: the engine is this process */
	unsigned tap_index;  /* 0: not there */
	struct link_spec *shaped[2]; /* kernelshape.c: by directions, what is on its tap; NULL: nothing */
	uint64_t shaped_seed[2];
	uint64_t flap[2][3]; /* kernelflap.c: every, for, since; all 0: it does not */
	bool flap_down[2];
	int watch_fd;	     /* kernelwatch.c; 0: none */
	struct loop_src *watch;
	struct strv names; /* that DNS knows it by, the first also in reverse */
	uint8_t mac[6];
	uint32_t ip; /* host byte order */
	uint8_t ip6[16];
	bool has_ip6;
	bool trusted; /* may send what it likes */
	uint8_t v6[PORT_V6_MAX][16]; /* addresses that guard.c has seen it use */
	unsigned nv6, v6_next;
	int fd;      /* -1: not connected */
	struct loop_src *src;
	uint8_t *rest, *tx; /* while connected: begun frame, what the socket hasn't taken */
	size_t rest_len, tx_at, tx_len;
	struct iovec pieces[PORT_PIECES]; /* port.c */
	unsigned npieces;
	bool dirty, unsent; /* unsent: the ring has what no call has offered to the socket yet */
	struct port *next_dirty;
	int64_t leased; /* when DHCP last gave it its address, in seconds of the epoch; 0: never */
	uint64_t rx_frames, rx_bytes, tx_frames, tx_bytes, dropped, spoofed, cut_frames;
	/* faults.c: */
	uint32_t id;		/* of its node */
	struct link *links[2];	/* what it sends, what it is sent; NULL: perfect */
	const uint64_t *cut;	/* ids that it doesn't hear; NULL: it hears all */
	bool impaired;		/* port_send has to look at the above */
	struct router *router; /* PORT_ROUTER: whose */
	struct port *next;
};

/* By which a zone's gateway leads to another zone. */
struct router {
	struct zone *inside, *to;
	struct port *outer;
	struct nat *nat; /* NULL: none, all addresses are known on both sides */
	struct filter6 *filter6;
	bool pcp, upnp; /* machines may ask for port maps */
	struct igd_note *notes; /* igd.c: what maps were asked for; NULL: none */
	uint64_t dropped;
};
/* To a machine that is a router itself. */
struct route {
	uint32_t prefix, mask, via;
};

#define DHCP_LIST_MAX 8
/* What DHCP says beyond the zone's own; nothing given: NULL, 0. */
struct dhcp_settings {
	uint32_t dns[DHCP_LIST_MAX], ntp[DHCP_LIST_MAX], boot_server;
	size_t ndns, nntp;
	char *domain, *boot_file;
};

struct zone {
	struct net *net;
	char *name, *domain;
	uint32_t prefix, mask, gateway; /* host byte order */
	unsigned prefix_len;
	uint8_t gateway_mac[6];
	bool v6;
	uint8_t prefix6[16]; /* of 64 bits */
	unsigned mtu;
	bool has_outside;
	struct port *ports;	 /* the gateway's first */
	struct port *gw;
	struct outside *outside; /* of its own way out, and of forwards to it */
	struct router *router;	 /* to another zone, or NULL */
	struct kernel_tap *tap;	 /* kernel.c; NULL: the engine is this process */
	struct route *routes;
	size_t nroutes;
	struct dhcp_settings dhcp;
	struct zone *next;
};

struct net {
	char *dir, *group;
	char *shape;	  /* its configuration but for what is changed in place: links, names */
	struct loop *loop;
	struct zone *zones;
	struct resolver *resolver;
	struct faults *faults;
	struct capture *captures; /* NULL: nobody looks */
	struct records records;
	bool log_names; /* each question that a machine asks */
	bool kernel;	 /* the engine, see kernel.h */
	bool netem_seeds; /* kernelshape.c */
	struct loop_src *flaps; /* kernelflap.c; NULL until a link flaps */
	bool paused;	 /* pause.c */
	uint32_t origin; /* id of the node whose frame is on its way; 0: none's */
	struct loop_src *retry; /* runs only while a port is not connected */
	struct forward *forwards;
	size_t nforwards, reverse_forwards; /* the latter are among the former */
	struct frags *frags;
	struct pings6 *pings6; /* NULL until a machine has sent one out */
	struct services *services; /* NULL until a machine needs one */
	struct loop_src *tick; /* each second */
	uint64_t began, saved, save_after, advertise_after;
	uint8_t *hop_space;	/* room for a frame for each router that a packet is inside of; see net_hop */
	unsigned hops;
};

/* config.c: (re)reads DIR/net.json; ports that stay keep their connection. On error nothing has
 * changed. */
int net_load(struct net *n, struct error **err);
void net_clear(struct net *n);

/* routerconf.c: what belongs to a zone's router in its configuration `j`; all zones are there already. */
int router_read(struct zone *z, const json_t *j, struct error **err);
/* Numbers and addresses of net.json, for those that read parts of it; the errors name the value. */
int conf_ip(const char *text, uint32_t *ret, struct error **err);
int conf_prefix(const char *text, uint32_t *prefix, unsigned *bits, struct error **err);
const char *conf_text(const json_t *j, const char *key); /* "" when absent */

/* port.c */
/* Tries once and never waits; quiet when nobody listens yet, or a stopped QEMU's queue is full. */
void port_connect(struct port *p);
void port_disconnect(struct port *p);
/* A frame to the port's machine, through its link; queues or drops. */
void port_send(struct port *p, const uint8_t *frame, size_t len);
/* The same behind the link. */
void port_write(struct port *p, const uint8_t *frame, size_t len);
/* Between these frames to machines are gathered; then each port's are written with one call. */
void ports_hold(void);
void ports_write(void);
void port_mark(struct port *p); /* after a change of links or cut */
void port_free(struct port *p);
void net_connect_all(struct net *n); /* and arms the retry timer when some are left */

/* switch.c: a frame comes in at a port, through its link, and goes out where its destination says. */
void zone_input(struct zone *z, struct port *from, const uint8_t *frame, size_t len);
/* The same behind the link. */
void zone_forward(struct zone *z, struct port *from, const uint8_t *frame, size_t len);
struct port *zone_by_mac(const struct zone *z, const uint8_t mac[6]);
struct port *zone_by_ip(const struct zone *z, uint32_t ip);

/* gateway.c: what is sent to the gateway's port. */
void gateway_deliver(struct port *gw, const uint8_t *frame, size_t len);
/* UDP from the gateway to a machine; payload is copied. */
void gateway_send_udp(struct zone *z, const uint8_t dst_mac[6], uint32_t dst_ip, uint16_t src_port,
	uint16_t dst_port, const uint8_t *payload, size_t len);
/* router.c: what is sent to a router's outer side. */
void router_deliver(struct port *outer, const uint8_t *frame, size_t len);
void router_free(struct router *r);

/* Who has asked a gateway's DNS, and at which of its addresses. */
struct dns_asker {
	struct zone *zone;
	uint8_t mac[6], ip6[16], self6[16];
	uint32_t ip;
	uint16_t port;
	bool v6;
};
void gateway_answer(const struct dns_asker *who, const uint8_t *msg, size_t len);
/* gateway6.c */
void gateway_send_udp6(struct zone *z, const uint8_t mac[6], const uint8_t from[16], const uint8_t to[16], uint16_t src_port, uint16_t dst_port,
	const uint8_t *payload, size_t len);
/* A UDP packet of n bytes to one of the gateway's addresses, or to many. false: nobody hears it. */
bool gateway6_udp(struct port *gw, const uint8_t *mac, const uint8_t *ip, size_t n);
/* dhcp6.c: answer to a message of the machine at `p` into out; its length, 0: none. */
size_t dhcp6_answer(const struct port *p, const uint8_t *msg, size_t len, uint8_t *out, size_t cap);

/* dhcp.c: answer to a DHCP message (RFC 2131) of the machine at `p` into out; its length, 0 for
 * none. */
size_t dhcp_answer(const struct port *p, const uint8_t *msg, size_t len, uint8_t *out, size_t cap,
	bool *broadcast);
/* Whether the answer gives the machine its address. */
bool dhcp_leases(const uint8_t *answer, size_t len);

/* dns.c: answer into out, or 0 when the question is for others (then *forward). cap is 1472 for UDP, more for TCP. */
size_t dns_answer(const struct zone *z, const uint8_t *msg, size_t len, uint8_t *out, size_t cap,
	bool *forward);

/* One line in the log about a question and what became of it. */
void dns_log(const struct port *asker, const uint8_t *msg, size_t len, const uint8_t *answer, size_t answer_len);
/* IPv4 address of one of the group's own names, as the zone's machines are told it. */
bool dns_address(const struct zone *z, const char *name, uint32_t *ret);

/* resolver.c: asks the host's name servers; the answer goes back to the port by itself. */
struct resolver *resolver_new(struct net *n);
void resolver_free(struct resolver *r);
void resolver_ask(struct resolver *r, const struct dns_asker *who, const uint8_t *msg, size_t len);
void resolver_forget_zone(struct resolver *r, const struct zone *z);

/* The host's name servers by IPv4, read anew; how many. */
size_t resolver_servers(struct sockaddr_in *ret, size_t max);

/* outside.c: libslirp */
struct outside *outside_new(struct zone *z);
void outside_free(struct outside *o);
/* A whole IPv4 packet; what is not for the world outside is not let through. */
void outside_input(struct outside *o, const uint8_t *ip, size_t len);
/* The same for IPv6; false: it can't go there. */
bool outside_input6(struct outside *o, const uint8_t *ip, size_t len);
int outside_forward(struct outside *o, bool udp, uint32_t host_ip, uint16_t host_port, uint32_t ip,
	uint16_t port, struct error **err);
void outside_unforward(struct outside *o, bool udp, uint32_t host_ip, uint16_t host_port);
int outside_forward6(struct outside *o, bool udp, const uint8_t host[16], uint16_t host_port, const uint8_t ip[16], uint16_t port,
	struct error **err);
void outside_unforward6(struct outside *o, bool udp, const uint8_t host[16], uint16_t host_port);
/* Whether an IP packet is for somebody who came in by a forward. */
bool outside_asked(const struct outside *o, const uint8_t *ip, size_t len);
/* Whether machines may reach that address of the host's network. */
bool outside_may_leave6(const struct zone *z, const uint8_t to[16]);
/* Around each turn of the loop; prepare returns how long it may wait, ms (-1: for ever). */
int outside_prepare(struct outside *o);
void outside_dispatch(struct outside *o);

/* state.c */
int state_save(struct net *n, const char *path, struct error **err);
int state_load(struct net *n, const char *path, struct error **err); /* in the place of what there is */
void state_begin(struct net *n); /* from DIR/net.state, when there is one */
void state_end(struct net *n);
void state_tick(struct net *n);	 /* each second: ends what is over, and writes what has changed */

/* pause.c: "pause" and "resume"; NULL when it is another request. */
json_t *pause_op(struct net *n, const char *op);
void pause_end(struct net *n); /* when it was paused: forgets what is under way, and goes on */

/* control.c */
struct control;
struct control *control_new(struct net *n, struct error **err);
void control_free(struct control *c);

static inline uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}
static inline uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}
static inline void put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}
static inline void put32(uint8_t *p, uint32_t v)
{
	put16(p, (uint16_t)(v >> 16));
	put16(p + 2, (uint16_t)v);
}

#endif
