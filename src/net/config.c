/* SPDX-License-Identifier: Apache-2.0 */
#include "net/faults.h"
#include "net/forwards.h"
#include "net/ip6.h"
#include "net/kernel.h"
#include "net/nat.h"
#include "net/ping6.h"
#include "net/services.h"
#include "net/zone.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"

#include <arpa/inet.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

const char *conf_text(const json_t *j, const char *key)
{
	const char *s = json_string_value(json_object_get(j, key));

	return s ? s : "";
}

int conf_ip(const char *s, uint32_t *ret, struct error **err)
{
	struct in_addr a;

	if (inet_pton(AF_INET, s, &a) != 1)
		return error_set(err, ERR_USAGE, "net.json: '%s' is no IPv4 address", s);
	*ret = ntohl(a.s_addr);
	return 0;
}

static int parse_mac(const char *s, uint8_t mac[6], struct error **err)
{
	char end;

	if (sscanf(s, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%c", &mac[0], &mac[1], &mac[2], &mac[3],
		    &mac[4], &mac[5], &end) == 6)
		return 0;
	return error_set(err, ERR_USAGE, "net.json: '%s' is no MAC address", s);
}

int conf_prefix(const char *s, uint32_t *prefix, unsigned *bits, struct error **err)
{
	const char *slash = strchr(s, '/');
	_cleanup_free_ char *ip = slash ? xstrndup(s, (size_t)(slash - s)) : NULL;
	int n = slash ? atoi(slash + 1) : 0;

	if (!ip || n < 8 || n > 30)
		return error_set(
			err, ERR_USAGE, "net.json: prefix '%s' is not ADDRESS/8 to /30", s);
	*bits = (unsigned)n;
	if (conf_ip(ip, prefix, err) < 0)
		return -1;
	*prefix &= 0xffffffffu << (32 - n);
	return 0;
}

static void zone_free(struct net *n, struct zone *z)
{
	resolver_forget_zone(n->resolver, z);
	services_forget_zone(n, z);
	pings6_forget_zone(n, z);
	while (z->ports) {
		struct port *p = z->ports;

		z->ports = p->next;
		port_free(p);
	}
	kernel_zone_free(z);
	outside_free(z->outside);
	router_free(z->router);
	free(z->routes);
	free(z->dhcp.domain);
	free(z->dhcp.boot_file);
	free(z->name);
	free(z->domain);
	free(z);
}

void net_clear(struct net *n)
{
	while (n->zones) {
		struct zone *z = n->zones;

		n->zones = z->next;
		zone_free(n, z);
	}
	free(n->group);
	free(n->shape);
	n->group = n->shape = NULL;
}

static struct zone *find_zone(struct net *n, const char *name)
{
	for (struct zone *z = n->zones; z; z = z->next)
		if (!strcmp(z->name, name))
			return z;
	return NULL;
}

/* "fd00:1:2:3::/64"; the gateway is ::1 in it. */
static int read_prefix6(struct zone *z, const char *s, struct error **err)
{
	size_t n = strlen(s);
	_cleanup_free_ char *text = n > 3 && !strcmp(s + n - 3, "/64") ? xstrndup(s, n - 3) : NULL;

	if (!n)
		return 0;
	if (!text || inet_pton(AF_INET6, text, z->prefix6) != 1)
		return error_set(err, ERR_USAGE, "net.json: prefix6 '%s' is not ADDRESS/64", s);
	memset(z->prefix6 + 8, 0, 8);
	z->v6 = z->gw->has_ip6 = true;
	memcpy(z->gw->ip6, z->prefix6, 16);
	z->gw->ip6[15] = 1;
	return 0;
}

/* Everything is read into a second net first; only when it is whole does it take the first one's
 * place. */
static int read_zone(struct net *n, const json_t *j, struct error **err)
{
	struct zone *z = xcalloc(1, sizeof(*z));
	json_int_t mtu;

	z->net = n;
	z->next = n->zones;
	n->zones = z;
	z->name = xstrdup(conf_text(j, "name"));
	z->domain = xstrdup(conf_text(j, "domain"));
	if (conf_prefix(conf_text(j, "prefix"), &z->prefix, &z->prefix_len, err) < 0 ||
		conf_ip(conf_text(j, "gateway"), &z->gateway, err) < 0)
		return -1;
	z->mask = 0xffffffffu << (32 - z->prefix_len);
	/* Its address in it: the same for life, and no machine's (those begin with 52:54). */
	z->gateway_mac[0] = 0x52;
	z->gateway_mac[1] = 0x55;
	put32(z->gateway_mac + 2, z->gateway);
	z->has_outside = json_is_true(json_object_get(j, "outside"));
	mtu = json_integer_value(json_object_get(j, "mtu"));
	z->mtu = mtu ? (unsigned)mtu : 1500;
	if (mtu && (mtu < 576 || mtu > 9000))
		return error_set(err, ERR_USAGE, "net.json: zone %s: mtu %lld is not 576 to 9000", z->name, (long long)mtu);
	z->gw = xcalloc(1, sizeof(*z->gw));
	*z->gw = (struct port){ .zone = z, .kind = PORT_GATEWAY, .node = xstrdup("gateway"), .ip = z->gateway, .fd = -1 };
	memcpy(z->gw->mac, z->gateway_mac, 6);
	if (read_prefix6(z, conf_text(j, "prefix6"), err) < 0)
		return -1;
	z->ports = z->gw;
	return 0;
}

static int read_port(struct net *n, const json_t *j, struct error **err)
{
	struct zone *z = find_zone(n, conf_text(j, "zone"));
	json_t *name;
	struct port *p;
	size_t i;

	if (!z)
		return error_set(err, ERR_USAGE,
			"net.json: port %s is in zone '%s', which is not there", conf_text(j, "node"),
			conf_text(j, "zone"));
	p = xcalloc(1, sizeof(*p));
	p->fd = -1;
	p->zone = z;
	p->next = z->gw->next;
	z->gw->next = p;
	p->node = xstrdup(conf_text(j, "node"));
	p->socket = xstrdup(conf_text(j, "socket"));
	json_array_foreach(json_object_get(j, "names"), i, name)
		strv_add(&p->names, json_string_value(name) ? json_string_value(name) : "");
	p->trusted = json_is_true(json_object_get(j, "trusted"));
	if (n->kernel && !*conf_text(j, "tap"))
		return error_set(err, ERR_USAGE, "net.json: port %s has no tap, which the kernel engine needs", p->node);
	p->tap = n->kernel ? xstrdup(conf_text(j, "tap")) : NULL;
	if (parse_mac(conf_text(j, "mac"), p->mac, err) < 0 ||
		conf_ip(conf_text(j, "address"), &p->ip, err) < 0)
		return -1;
	p->has_ip6 = z->v6;
	if (z->v6)
		ip6_address(z->prefix6, p->mac, p->ip6);
	return 0;
}

static int start_outside(struct net *n, struct error **err)
{
	for (struct zone *z = n->zones; z; z = z->next) {
		if (!z->has_outside || z->outside)
			continue;
		z->outside = outside_new(z);
		if (!z->outside)
			return error_set(
				err, ERR_FAILED, "zone %s: libslirp does not start", z->name);
	}
	return 0;
}

static bool same_port(const struct port *a, const struct port *b)
{
	return a->kind == PORT_MACHINE && b->kind == PORT_MACHINE && !strcmp(a->socket, b->socket) && !memcmp(a->mac, b->mac, 6);
}

/* A connection that stays: the new port gets the old one's identity by exchange of what the
 * configuration says. */
static void keep_connections(struct net *old, struct net *new)
{
	for (struct zone *z = new->zones; z; z = z->next) {
		struct zone *was = find_zone(old, z->name);

		for (struct port **at = &z->ports; was && *at; at = &(*at)->next) {
			struct port **o = &was->ports, *kept, *fresh = *at;

			while (*o && !same_port(*o, fresh))
				o = &(*o)->next;
			if (!*o || (*o)->fd < 0)
				continue;
			kept = *o;
			*o = kept->next;
			strv_free(&kept->names);
			free(kept->node);
			kept->node = STEAL(fresh->node);
			kept->names = fresh->names;
			fresh->names = (struct strv)STRV_INIT;
			kept->ip = fresh->ip;
			kept->trusted = fresh->trusted;
			kept->has_ip6 = fresh->has_ip6;
			memcpy(kept->ip6, fresh->ip6, 16);
			kept->zone = z;
			kept->next = fresh->next;
			port_free(fresh);
			*at = kept;
		}
	}
}

/* Translations go on when the configuration changes around them. */
static void keep_nat(struct net *old, struct net *new)
{
	for (struct zone *z = new->zones; z; z = z->next) {
		struct zone *was = find_zone(old, z->name);

		if (z->router && z->router->nat && was && was->router && was->router->nat) {
			json_t *state = nat_save(was->router->nat, loop_now());

			nat_load(z->router->nat, state, loop_now());
			json_decref(state);
		}
	}
}

/* The configuration without links, seed and names; new. */
static char *shape_of(const json_t *root)
{
	json_t *copy = json_copy((json_t *)root); /* shallow: what is shared is only read */
	char *text;

	json_object_del(copy, "links");
	json_object_del(copy, "seed");
	json_object_del(copy, "records");
	text = json_dumps(copy, JSON_COMPACT | JSON_SORT_KEYS);
	json_decref(copy);
	return text;
}

static int load_lists(struct net *n, const json_t *root, struct error **err)
{
	if (records_load(&n->records, json_object_get(root, "records"), err) < 0)
		return -1;
	return n->faults ? faults_load(n->faults, root, err) : 0;
}

/* Whether the kernel can do to its links what is asked of them. */
static int links_possible(struct net *n, struct error **err)
{
	for (size_t i = 0; i < n->faults->n; i++)
		for (int dir = 0; dir < 2; dir++)
			if (n->faults->all[i].there && kernel_can(n, faults_port(n->faults, &n->faults->all[i]), &n->faults->all[i].now[dir], err) < 0)
				return error_wrap(err, "link of %s", n->faults->all[i].node);
	return 0;
}

int net_load(struct net *n, struct error **err)
{
	_cleanup_free_ char *path = path_join(n->dir, "net.json");
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct net fresh = { .loop = n->loop, .dir = n->dir };
	_cleanup_free_ char *shape = NULL;
	json_error_t je;
	json_t *root, *j;
	size_t i;
	int rc = 0;

	if (file_read(path, (size_t)64 << 20, &b, err) < 0)
		return -1;
	root = json_loads(buf_str(&b), 0, &je);
	if (!root)
		return error_set(err, ERR_USAGE, "%s:%d:%d: %s", path, je.line, je.column, je.text);
	shape = shape_of(root);
	if (n->shape && shape && !strcmp(n->shape, shape)) {
		rc = load_lists(n, root, err);
		if (rc == 0 && n->kernel)
			rc = links_possible(n, err) < 0 ? -1 : kernel_faults(n, err);
		json_decref(root);
		return rc;
	}
	fresh.group = xstrdup(conf_text(root, "group"));
	fresh.kernel = !strcmp(conf_text(root, "engine"), "kernel");
	json_array_foreach(json_object_get(root, "zones"), i, j) if (rc == 0) rc =
		read_zone(&fresh, j, err);
	json_array_foreach(json_object_get(root, "ports"), i, j) if (rc == 0) rc =
		read_port(&fresh, j, err);
	json_array_foreach(json_object_get(root, "zones"), i, j) if (rc == 0) rc =
		router_read(find_zone(&fresh, conf_text(j, "name")), j, err);
	if (rc < 0) {
		net_clear(&fresh);
		json_decref(root);
		return -1;
	}
	keep_connections(n, &fresh);
	keep_nat(n, &fresh);
	net_clear(n); /* gives its host ports back before the new ones are taken */
	n->zones = fresh.zones;
	n->group = fresh.group;
	n->kernel = fresh.kernel;
	for (struct zone *z = n->zones; z; z = z->next)
		z->net = n;
	/* The kernel's rules have the cuts in them from the beginning. */
	if (load_lists(n, root, err) < 0 || (n->kernel && (kernel_begin(n, err) < 0 || links_possible(n, err) < 0)) || start_outside(n, err) < 0 ||
		forwards_load(n, json_object_get(root, "forwards"), err) < 0)
		rc = -1;
	else
		n->shape = STEAL(shape);
	json_decref(root);
	return rc;
}
