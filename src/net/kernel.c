/* SPDX-License-Identifier: Apache-2.0 */
#include "net/kernel.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/proc.h"
#include "net/faults.h"
#include "net/ip.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define READS_MAX 64
#define PROGRAM_MS 20000
#define TAP_TRIES 250
#define TAP_WAIT_MS 20
#define NAMES_MAX ((size_t)1 << 20)

struct kernel_tap {
	struct zone *zone;
	int fd;
	struct loop_src *src;
};

/* FNV-1a of the folder and what is named in it. */
static uint32_t hash(const char *dir, const char *name)
{
	uint32_t h = 0x811c9dc5u;

	for (const char *c = dir; *c; c++)
		h = (h ^ (uint8_t)*c) * 0x01000193u;
	h = (h ^ '\n') * 0x01000193u;
	for (const char *c = name; *c; c++)
		h = (h ^ (uint8_t)*c) * 0x01000193u;
	return h;
}

void kernel_bridge_name(const struct zone *z, char ret[16])
{
	snprintf(ret, 16, "cb%08x", hash(z->net->dir, z->name));
}

void kernel_ifb_name(const struct port *p, char ret[16])
{
	snprintf(ret, 16, "cf%08x", hash(p->zone->net->dir, p->tap));
}

void kernel_own_tap_name(const struct zone *z, char ret[16])
{
	snprintf(ret, 16, "cg%08x", hash(z->net->dir, z->name));
}

void kernel_table_name(const char *dir, char ret[32])
{
	snprintf(ret, 32, "croft_%08x", hash(dir, ""));
}

/* ---- interfaces ---- */

static int control_socket(struct error **err)
{
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	return s < 0 ? error_errno(err, errno, "socket") : s;
}

/* Up, and without IPv6 of the host's own: it is no machine of the group. */
static int raise_link(int s, const char *name, unsigned mtu, struct error **err)
{
	_cleanup_free_ char *six = xasprintf("/proc/sys/net/ipv6/conf/%s/disable_ipv6", name);
	struct ifreq r = { 0 };
	int fd = open(six, O_WRONLY | O_CLOEXEC);

	if (fd >= 0) {
		if (write(fd, "1", 1) < 0)
			log_debug("%s: %s", six, strerror(errno));
		close(fd);
	}
	snprintf(r.ifr_name, IFNAMSIZ, "%s", name);
	r.ifr_mtu = (int)mtu;
	if (ioctl(s, SIOCSIFMTU, &r) < 0)
		return error_errno(err, errno, "%s: MTU %u", name, mtu);
	r.ifr_flags = IFF_UP;
	return ioctl(s, SIOCSIFFLAGS, &r) < 0 ? error_errno(err, errno, "%s: cannot bring it up", name) : 0;
}

/* EBUSY: it is in one already, and taps are in no other than ours. */
static int join_bridge(int s, const char *bridge, const char *name, struct error **err)
{
	struct ifreq r = { 0 };

	snprintf(r.ifr_name, IFNAMSIZ, "%s", bridge);
	r.ifr_ifindex = (int)if_nametoindex(name);
	if (!r.ifr_ifindex || (ioctl(s, SIOCBRADDIF, &r) < 0 && errno != EBUSY))
		return error_errno(err, errno, "%s: cannot be put into bridge %s", name, bridge);
	return 0;
}

static int make_bridge(int s, const struct zone *z, struct error **err)
{
	char name[16];

	kernel_bridge_name(z, name);
	if (ioctl(s, SIOCBRADDBR, name) < 0 && errno != EEXIST) {
		error_errno(err, errno, "zone %s: a bridge cannot be made", z->name);
		return errno == EPERM || errno == EACCES ? error_hint(err, "the kernel engine needs root; without `engine: kernel` none is needed") : -1;
	}
	return raise_link(s, name, z->mtu, err);
}

static void drop_bridge(int s, const char *name)
{
	struct ifreq r = { 0 };

	snprintf(r.ifr_name, IFNAMSIZ, "%s", name);
	if (ioctl(s, SIOCSIFFLAGS, &r) == 0)
		ioctl(s, SIOCBRDELBR, name);
}

/* ---- the zone's own tap ---- */

static void on_tap(void *arg, uint32_t events)
{
	static uint8_t f[FRAME_MAX_BYTES];
	struct kernel_tap *t = arg;

	for (int i = 0; i < READS_MAX; i++) {
		ssize_t n = read(t->fd, f, sizeof(f));
		struct port *from = n >= ETH_BYTES ? zone_by_mac(t->zone, f + 6) : NULL;

		if (n <= 0)
			return;
		if (from && from->kind == PORT_MACHINE)
			zone_input(t->zone, from, f, (size_t)n);
	}
}

static int open_tap(struct zone *z, int s, struct error **err)
{
	struct ifreq r = { .ifr_flags = IFF_TAP | IFF_NO_PI };
	struct kernel_tap *t;
	char bridge[16];
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK), rc;

	if (fd < 0)
		return error_errno(err, errno, "/dev/net/tun");
	kernel_bridge_name(z, bridge);
	kernel_own_tap_name(z, r.ifr_name);
	/* A process that was killed has it until the kernel has taken it away. */
	for (int i = 0; (rc = ioctl(fd, TUNSETIFF, &r)) < 0 && errno == EBUSY && i < TAP_TRIES; i++)
		poll(NULL, 0, TAP_WAIT_MS);
	if (rc < 0) {
		close(fd);
		return error_errno(err, errno, "%s: a tap cannot be made", r.ifr_name);
	}
	t = z->tap = xcalloc(1, sizeof(*t));
	*t = (struct kernel_tap){ .zone = z, .fd = fd };
	t->src = loop_fd(z->net->loop, fd, EPOLLIN, on_tap, t);
	return join_bridge(s, bridge, r.ifr_name, err) < 0 ? -1 : raise_link(s, r.ifr_name, z->mtu, err);
}

void kernel_zone_free(struct zone *z)
{
	if (!z->tap)
		return;
	loop_remove(z->tap->src);
	close(z->tap->fd);
	free(z->tap);
	z->tap = NULL;
}

void kernel_send(struct zone *z, const uint8_t *f, size_t len)
{
	/* What the kernel has no room for is lost, as on any network. */
	if (z->tap && write(z->tap->fd, f, len) < 0 && errno != EAGAIN)
		log_debug("zone %s: %s", z->name, strerror(errno));
}

/* ---- all of it ---- */

/* What there is or may be, for whoever cleans up: a bridge or an ifb a line. */
static int write_names(const struct net *n, struct error **err)
{
	_cleanup_free_ char *path = path_join(n->dir, "kernel.bridges");
	_cleanup_buf_ struct buf b = BUF_INIT;
	char name[16];

	for (const struct zone *z = n->zones; z; z = z->next) {
		kernel_bridge_name(z, name);
		buf_addf(&b, "%s\n", name);
		for (const struct port *p = z->ports; p; p = p->next)
			if (p->tap) {
				kernel_ifb_name(p, name);
				buf_addf(&b, "%s\n", name);
			}
	}
	return file_write(path, buf_str(&b), b.len, 0600, err);
}

static bool named(const struct net *n, const char *what)
{
	char name[16];

	for (const struct zone *z = n ? n->zones : NULL; z; z = z->next) {
		kernel_bridge_name(z, name);
		if (!strcmp(name, what))
			return true;
		for (const struct port *p = z->ports; p; p = p->next) {
			if (p->tap)
				kernel_ifb_name(p, name);
			if (p->tap && !strcmp(name, what))
				return true;
		}
	}
	return false;
}

static void drop_others(const struct net *n, int s, const char *path)
{
	_cleanup_strv_ struct strv names = STRV_INIT;
	_cleanup_error_ struct error *e = NULL;
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (!file_exists(path) || file_read(path, NAMES_MAX, &b, &e) < 0)
		return;
	strv_split(&names, buf_str(&b), "\n");
	for (size_t i = 0; i < names.len; i++) {
		_cleanup_error_ struct error *none = NULL;

		/* Only what can be ours. */
		if (strlen(names.v[i]) != 10 || named(n, names.v[i]) || !if_nametoindex(names.v[i]))
			continue;
		if (!strncmp(names.v[i], "cb", 2))
			drop_bridge(s, names.v[i]);
		else if (!strncmp(names.v[i], "cf", 2))
			proc_run((const char *[]){ "ip", "link", "del", names.v[i], NULL }, PROGRAM_MS, NULL, NULL, &none);
	}
}

int kernel_begin(struct net *n, struct error **err)
{
	_cleanup_free_ char *path = path_join(n->dir, "kernel.bridges");
	_cleanup_close_ int s = control_socket(err);

	if (s < 0)
		return -1;
	drop_others(n, s, path);
	/* Before the first is made: a kill in between leaves none that nobody knows. */
	if (write_names(n, err) < 0)
		return -1;
	for (struct zone *z = n->zones; z; z = z->next)
		if (make_bridge(s, z, err) < 0 || (!z->tap && open_tap(z, s, err) < 0))
			return -1;
	kernel_flap(n);
	return kernel_rules(n, err);
}

void kernel_attach(struct net *n)
{
	_cleanup_error_ struct error *none = NULL;
	_cleanup_close_ int s = control_socket(&none);
	char bridge[16];

	for (struct zone *z = n->zones; s >= 0 && z; z = z->next)
		for (struct port *p = z->ports; p; p = p->next) {
			_cleanup_error_ struct error *e = NULL;
			unsigned index = p->kind == PORT_MACHINE && p->tap ? if_nametoindex(p->tap) : 0;

			if (index == p->tap_index)
				continue;
			kernel_bridge_name(z, bridge);
			if (index && (join_bridge(s, bridge, p->tap, &e) < 0 || raise_link(s, p->tap, z->mtu, &e) < 0)) {
				log_warn("%s: %s", p->node, e->msg);
				continue;
			}
			log_info("%s: %s", p->node, index ? "connected" : "its machine has gone");
			p->tap_index = index;
			/* It is another one than before. */
			kernel_unshaped(p);
			kernel_watch_end(p);
			if (index && kernel_shape(p, &e) < 0)
				log_warn("%s: %s", p->node, e->msg);
		}
	kernel_watch(n);
}

void kernel_pause(struct net *n, bool on)
{
	_cleanup_error_ struct error *none = NULL;
	_cleanup_close_ int s = control_socket(&none);

	for (struct zone *z = n->zones; s >= 0 && z; z = z->next)
		for (struct port *p = z->ports; p; p = p->next) {
			_cleanup_error_ struct error *e = NULL;
			struct ifreq r = { 0 };

			if (!p->tap_index)
				continue;
			snprintf(r.ifr_name, IFNAMSIZ, "%s", p->tap);
			if (on ? ioctl(s, SIOCSIFFLAGS, &r) < 0 : raise_link(s, p->tap, z->mtu, &e) < 0)
				log_warn("%s: %s", p->node, e ? e->msg : strerror(errno));
		}
}

bool kernel_in_use(const struct net *n)
{
	for (const struct zone *z = n->zones; z; z = z->next)
		for (const struct port *p = z->ports; p; p = p->next)
			if (p->tap && if_nametoindex(p->tap))
				return true;
	return false;
}

int kernel_clean(const char *dir, struct error **err)
{
	_cleanup_free_ char *names = path_join(dir, "kernel.bridges"), *rules = path_join(dir, "kernel.nft");
	_cleanup_close_ int s = control_socket(err);
	_cleanup_error_ struct error *none = NULL;
	char table[32];

	if (s < 0)
		return -1;
	drop_others(NULL, s, names);
	kernel_table_name(dir, table);
	/* It may not be there. */
	if (file_exists(rules))
		proc_run((const char *[]){ "nft", "delete", "table", "bridge", table, NULL }, PROGRAM_MS, NULL, NULL, &none);
	return file_unlink(names, err) < 0 || file_unlink(rules, err) < 0 ? -1 : 0;
}

void kernel_counters(const struct port *p, uint64_t ret[4])
{
	static const char *const names[4] = { "rx_packets", "rx_bytes", "tx_packets", "tx_bytes" };

	for (int i = 0; i < 4; i++) {
		_cleanup_free_ char *path = xasprintf("/sys/class/net/%s/statistics/%s", p->tap, names[i]);
		_cleanup_error_ struct error *e = NULL;
		_cleanup_buf_ struct buf b = BUF_INIT;

		ret[i] = file_read(path, 64, &b, &e) == 0 ? strtoull(buf_str(&b), NULL, 10) : 0;
	}
}
