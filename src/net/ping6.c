/* SPDX-License-Identifier: Apache-2.0 */
#include "net/ping6.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/ip.h"
#include "net/ip6.h"
#include "net/routing.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PINGS 64
#define PINGS_EACH 8 /* of one address */
#define IDLE_NS 30000000000u
enum { ECHO = 128, ECHO_REPLY = 129 };

struct ping6 {
	struct zone *zone; /* NULL: free */
	uint8_t inside[16];
	uint16_t id; /* the machine's own; the kernel puts the socket's there on the way */
	int fd;
	struct loop_src *src;
	uint64_t until;
};
struct pings6 {
	struct ping6 all[PINGS];
	bool told; /* that there can't be any */
};

static void end(struct ping6 *p)
{
	if (!p->zone)
		return;
	loop_remove(p->src);
	close(p->fd);
	*p = (struct ping6){ .fd = -1 };
}

static void on_reply(void *arg, uint32_t events)
{
	struct ping6 *p = arg;
	struct sockaddr_in6 from;
	socklen_t size = sizeof(from);
	struct zone *z = p->zone;
	uint8_t *h = net_hop(z->net), *m = h ? h + IP6_BYTES : NULL;
	ssize_t n = h ? recvfrom(p->fd, m, FRAME_MAX_BYTES - ETH_BYTES - IP6_BYTES, MSG_DONTWAIT, (struct sockaddr *)&from, &size) : -1;

	if (h && n >= 8 && n <= 65535 && m[0] == ECHO_REPLY) {
		memset(h, 0, IP6_BYTES);
		h[0] = 0x60;
		put16(h + 4, (uint16_t)n);
		h[6] = IPPROTO_ICMPV6;
		h[7] = 64;
		memcpy(h + 8, &from.sin6_addr, 16);
		memcpy(h + 24, p->inside, 16);
		put16(m + 4, p->id);
		put16(m + 2, 0);
		put16(m + 2, inet_checksum(m, (size_t)n, pseudo6(h + 8, h + 24, IPPROTO_ICMPV6, (size_t)n)));
		ip6_from_outside(z, h, IP6_BYTES + (size_t)n);
	}
	if (h)
		net_hop_end(z->net);
}

/* The one that is used least recently makes room, of the same machine if that has as many as it may. */
static struct ping6 *room(struct pings6 *all, const uint8_t inside[16])
{
	struct ping6 *oldest = NULL, *own = NULL;
	unsigned n = 0;

	for (size_t i = 0; i < PINGS; i++) {
		struct ping6 *p = &all->all[i];

		if (p->zone && !memcmp(p->inside, inside, 16)) {
			n++;
			if (!own || p->until < own->until)
				own = p;
		}
		if (!oldest || (oldest->zone && (!p->zone || p->until < oldest->until)))
			oldest = p;
	}
	return n < PINGS_EACH ? oldest : own;
}

static struct ping6 *get(struct zone *z, const uint8_t inside[16], uint16_t id)
{
	struct pings6 *all = z->net->pings6;
	struct ping6 *p;
	int fd;

	if (!all)
		all = z->net->pings6 = xcalloc(1, sizeof(*all));
	for (size_t i = 0; i < PINGS; i++) {
		p = &all->all[i];
		if (p->zone == z && p->id == id && !memcmp(p->inside, inside, 16))
			return p;
	}
	fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_ICMPV6);
	if (fd < 0) {
		if (!all->told)
			log_warn("no ping by IPv6 to the host's network: %s; see net.ipv4.ping_group_range in icmp(7)", strerror(errno));
		all->told = true;
		return NULL;
	}
	p = room(all, inside);
	end(p);
	*p = (struct ping6){ .zone = z, .id = id, .fd = fd };
	memcpy(p->inside, inside, 16);
	p->src = loop_fd(z->net->loop, fd, EPOLLIN, on_reply, p);
	return p;
}

bool ping6_out(struct zone *z, const uint8_t *h, size_t n)
{
	const uint8_t *m = h + IP6_BYTES;
	struct sockaddr_in6 to = { .sin6_family = AF_INET6 };
	size_t len = n - IP6_BYTES;
	struct ping6 *p;

	if (n < IP6_BYTES + 8 || h[6] != IPPROTO_ICMPV6 || m[0] != ECHO || !outside_may_leave6(z, h + 24) ||
		inet_checksum(m, len, pseudo6(h + 8, h + 24, IPPROTO_ICMPV6, len)))
		return false;
	p = get(z, h + 8, get16(m + 4));
	if (!p)
		return false;
	p->until = loop_now() + IDLE_NS;
	memcpy(&to.sin6_addr, h + 24, 16);
	return sendto(p->fd, m, len, MSG_DONTWAIT, (struct sockaddr *)&to, sizeof(to)) == (ssize_t)len;
}

void pings6_tick(struct net *n)
{
	uint64_t now = loop_now();

	for (size_t i = 0; n->pings6 && i < PINGS; i++)
		if (n->pings6->all[i].until <= now)
			end(&n->pings6->all[i]);
}

void pings6_forget_zone(struct net *n, const struct zone *z)
{
	for (size_t i = 0; n->pings6 && i < PINGS; i++)
		if (n->pings6->all[i].zone == z)
			end(&n->pings6->all[i]);
}

void pings6_free(struct net *n)
{
	for (size_t i = 0; n->pings6 && i < PINGS; i++)
		end(&n->pings6->all[i]);
	free(n->pings6);
	n->pings6 = NULL;
}
