/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules of nftables for the kernel engine: what guard.c says as far as frames don't come by there, and who is cut off from whom.
 * An IPv6 address is that of the machine whose MAC it is made of, any other that of the one who used it first (RFC 6620), for as
 * long as it is used at least once a day: two sets that the rules themselves fill.
 */
#include "net/kernel.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/proc.h"
#include "net/faults.h"
#include "net/ip6.h"

#include <arpa/inet.h>
#include <string.h>

#define NFT_MS 20000

static void add_mac(struct buf *b, const uint8_t m[6])
{
	buf_addf(b, "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
}

static void add_ip(struct buf *b, uint32_t ip)
{
	buf_addf(b, "%u.%u.%u.%u", ip >> 24, ip >> 16 & 255, ip >> 8 & 255, ip & 255);
}

static const struct link_spec *link_of(const struct net *n, const struct port *p, int dir)
{
	static const struct link_spec perfect;
	const struct fault_link *l = faults_find(n->faults, p->node, p->zone->name);

	return l ? &l->now[dir] : &perfect;
}

/* Addresses that are made of a port's MAC. */
static size_t own6(const struct port *p, uint8_t ret[2][16])
{
	ip6_link_local(p, ret[0]);
	if (p->zone->v6)
		ip6_address(p->zone->prefix6, p->mac, ret[1]);
	if (p->has_ip6)
		memcpy(ret[1], p->ip6, 16);
	return p->zone->v6 || p->has_ip6 ? 2 : 1;
}

static void add_ip6(struct buf *b, const uint8_t a[16])
{
	char text[INET6_ADDRSTRLEN];

	buf_adds(b, inet_ntop(AF_INET6, a, text, sizeof(text)));
}

static void add_bits(struct buf *b, const uint8_t a[16])
{
	buf_adds(b, "0x");
	for (int i = 0; i < 16; i++)
		buf_addf(b, "%02x", a[i]);
}

/* Elements of the three sets of addresses that are made of MACs. */
static void fixed_elements(const struct net *n, const char *table, struct buf *b)
{
	static const char *const sets[] = { "fixed", "fixed_owner", "fixed_bits" };
	uint8_t a[2][16];

	for (size_t set = 0; set < ARRAY_SIZE(sets); set++) {
		bool first = true;

		buf_addf(b, "flush set bridge %s %s\nadd element bridge %s %s {", table, sets[set], table, sets[set]);
		for (const struct zone *z = n->zones; z; z = z->next)
			for (const struct port *p = z->ports; p; p = p->next)
				for (size_t i = own6(p, a); i--; first = false) {
					buf_adds(b, first ? " " : ", ");
					if (set == 2)
						add_bits(b, a[i]);
					else
						add_ip6(b, a[i]);
					if (set == 1) {
						buf_adds(b, " . ");
						add_mac(b, p->mac);
					}
				}
		buf_adds(b, " }\n");
	}
}

static void ipv6_rules(const struct port *p, struct buf *b)
{
	const char *tap = p->tap;
	uint8_t a[2][16];
	size_t own = own6(p, a);

	buf_addf(b, " iifname \"%s\" udp sport 547 udp dport 546 drop\n", tap);
	buf_addf(b, " iifname \"%s\" icmpv6 type { nd-router-advert, nd-redirect } drop\n", tap);
	buf_addf(b, " iifname \"%s\" ip6 saddr ff00::/8 drop\n", tap);
	buf_addf(b, " iifname \"%s\" ip6 saddr :: ip6 daddr != ff00::/8 drop\n", tap);
	buf_addf(b, " iifname \"%s\" ip6 saddr @fixed ip6 saddr . ether saddr != @fixed_owner drop\n", tap);
	buf_addf(b, " iifname \"%s\" ip6 saddr @owned ip6 saddr . ether saddr != @owner drop\n", tap);
	/* Who says of an address that it is his: it is 8 bytes into the message. */
	buf_addf(b, " iifname \"%s\" icmpv6 type nd-neighbor-advert @th,64,128 != { ", tap);
	for (size_t i = 0; i < own; i++) {
		buf_adds(b, i ? ", " : "");
		add_bits(b, a[i]);
	}
	buf_adds(b, " } @th,64,128 @fixed_bits drop\n");
	buf_addf(b, " iifname \"%s\" ip6 saddr != :: update @owned { ip6 saddr } update @owner { ip6 saddr . ether saddr }\n", tap);
}

static void port_rules(const struct port *p, struct buf *b)
{
	if (p->kind != PORT_MACHINE || !p->tap || p->trusted)
		return;
	buf_addf(b, " iifname \"%s\" ether saddr != ", p->tap);
	add_mac(b, p->mac);
	buf_addf(b, " drop\n iifname \"%s\" ether type arp arp saddr ip != { 0.0.0.0, ", p->tap);
	add_ip(b, p->ip);
	buf_addf(b, " } drop\n iifname \"%s\" ether type arp arp saddr ether != ", p->tap);
	add_mac(b, p->mac);
	buf_addf(b, " drop\n iifname \"%s\" ether type ip ip saddr != { 0.0.0.0, ", p->tap);
	add_ip(b, p->ip);
	buf_addf(b, " } drop\n iifname \"%s\" ip saddr 0.0.0.0 udp dport != 67 drop\n", p->tap);
	buf_addf(b, " iifname \"%s\" udp sport 67 udp dport 68 drop\n", p->tap);
	buf_addf(b, " iifname \"%s\" ether type { vlan, 0x88a8, 0x8035 } drop\n", p->tap);
	ipv6_rules(p, b);
}

/* Names of taps whose links are down in that direction, for good or just now: kernelflap.c changes the sets alone. */
const char *const kernel_down_sets[2] = { [FAULT_OUT] = "mute", [FAULT_IN] = "deaf" };

static void down_elements(const struct net *n, const char *table, struct buf *b)
{
	for (int dir = 0; dir < 2; dir++) {
		buf_addf(b, "flush set bridge %s %s\n", table, kernel_down_sets[dir]);
		for (const struct zone *z = n->zones; z; z = z->next)
			for (const struct port *p = z->ports; p; p = p->next)
				if (p->tap && (link_of(n, p, dir)->down || kernel_flap_down(p, dir)))
					buf_addf(b, "add element bridge %s %s { \"%s\" }\n", table, kernel_down_sets[dir], p->tap);
	}
}

/* Who does not hear whom. What crosses zones is croft-net's to cut. */
static void cut_rules(const struct net *n, const struct port *p, struct buf *b)
{
	for (const struct port *q = p->zone->ports; p->id && q; q = q->next)
		if (q != p && q->tap && q->id && faults_is_cut(n->faults, p->id, q->id))
			buf_addf(b, " iifname \"%s\" oifname \"%s\" drop\n", q->tap, p->tap);
}

static void rules(const struct net *n, struct buf *b)
{
	buf_adds(b, "chain from_machines {\n");
	for (const struct zone *z = n->zones; z; z = z->next)
		for (const struct port *p = z->ports; p; p = p->next)
			port_rules(p, b);
	buf_adds(b, "}\nchain between {\n oifname @deaf drop\n iifname @mute drop\n");
	for (const struct zone *z = n->zones; z; z = z->next)
		for (const struct port *p = z->ports; p; p = p->next)
			if (p->tap)
				cut_rules(n, p, b);
	buf_adds(b, "}\n");
}

int kernel_rules(const struct net *n, struct error **err)
{
	_cleanup_free_ char *path = path_join(n->dir, "kernel.nft");
	_cleanup_buf_ struct buf b = BUF_INIT;
	char table[32];

	kernel_table_name(n->dir, table);
	/* In one step: there is no time without rules, and what the rules have learned stays. */
	buf_addf(&b,
		"table bridge %s {\n set owned { type ipv6_addr; size 65535; flags dynamic,timeout; timeout 1d; }\n"
		" set owner { type ipv6_addr . ether_addr; size 65535; flags dynamic,timeout; timeout 1d; }\n"
		" set deaf { type ifname; }\n set mute { type ifname; }\n"
		" set fixed { type ipv6_addr; }\n set fixed_owner { type ipv6_addr . ether_addr; }\n set fixed_bits { typeof @th,64,128; }\n"
		" chain from_machines { type filter hook prerouting priority -300; policy accept; }\n"
		" chain between { type filter hook forward priority -300; policy accept; }\n}\n"
		"flush chain bridge %s from_machines\nflush chain bridge %s between\n",
		table, table, table);
	fixed_elements(n, table, &b);
	down_elements(n, table, &b);
	buf_addf(&b, "table bridge %s {\n", table);
	rules(n, &b);
	buf_adds(&b, "}\n");
	if (file_write(path, b.data, b.len, 0600, err) < 0)
		return -1;
	if (proc_run((const char *[]){ "nft", "-f", path, NULL }, NFT_MS, NULL, NULL, err) < 0) {
		error_wrap(err, "rules of the kernel engine");
		return error_hint(err, "the kernel engine needs nft (Debian: nftables) and the kernel's nf_tables for bridges");
	}
	return 0;
}
